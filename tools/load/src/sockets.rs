//! A worker's sockets: non-blocking, edge-triggered, each with what it could not yet send or parse.
//! Invariant: an open socket is registered once and read until it has no more. Called by `worker`.

use crate::clock::{now_ns, timespec};
use crate::websocket::upgrade_request;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No socket yet.
    Unborn,
    /// The kernel connects.
    Connecting,
    /// The answer to the handshake is awaited.
    Upgrading,
    /// The server's welcome is awaited.
    Greeting,
    /// In use.
    Open,
    /// Over.
    Closed,
}

#[derive(Debug)]
struct Connection {
    socket: Option<OwnedFd>,
    phase: Phase,
    since_ns: u64,
    /// Received, not yet a whole frame.
    carry: Vec<u8>,
    /// Not taken by the kernel yet; at most `UNSENT_BYTES_MAX`.
    unsent: Vec<u8>,
}

/// What reading gave.
pub(crate) enum Read {
    /// This many bytes in the buffer, from its start; `full`: read again.
    Bytes {
        /// Bytes.
        len: usize,
        /// Whether the buffer's end was reached.
        full: bool,
    },
    /// Nothing now, or the connection broke.
    Nothing,
}

/// The worker's sockets.
pub(crate) struct Sockets {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    connections: Vec<Connection>,
    /// What is read goes here, one connection at a time.
    pub(crate) buffer: Vec<u8>,
    address: SocketAddr,
    /// Address of the first source and how many there are; `None`: the kernel chooses.
    sources: Option<(Ipv4Addr, u32)>,
    request: Vec<u8>,
    open: usize,
    /// Why connections broke since this was last taken.
    pub(crate) broken: Vec<String>,
}

/// Events taken at once: few, so that a publisher on schedule never waits for many readers.
const EVENTS_MAX: usize = 64;
/// A server that reads nothing for this long a queue has stopped.
const UNSENT_BYTES_MAX: usize = 64 << 20;

impl Sockets {
    /// `count` connections to be; messages of `message_bytes` must fit the buffer.
    pub(crate) fn new(
        count: usize,
        message_bytes: usize,
        (address, host, path): (SocketAddr, &str, &str),
        sources: Option<(Ipv4Addr, u32)>,
    ) -> Result<Sockets, String> {
        allow_files(count as u64 + OTHER_FILES)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(|e| format!("epoll: {e}"))?;
        let connections = (0..count)
            .map(|_| Connection {
                socket: None,
                phase: Phase::Unborn,
                since_ns: 0,
                carry: Vec::new(),
                unsent: Vec::new(),
            })
            .collect();
        Ok(Sockets {
            epoll,
            events: Vec::with_capacity(EVENTS_MAX),
            connections,
            buffer: vec![0; (256 << 10).max(2 * message_bytes + 4096)],
            address,
            sources,
            request: upgrade_request(host, path),
            open: 0,
            broken: Vec::new(),
        })
    }

    /// Also reports when `input` can be read, as `None`.
    pub(crate) fn watch(&self, input: impl AsFd) -> Result<(), String> {
        epoll::add(
            &self.epoll,
            input,
            EventData::new_u64(u64::MAX),
            EventFlags::IN,
        )
        .map_err(|e| format!("epoll: {e}"))
    }

    /// Waits until something happens or `until_ns`. Returns the number of events.
    pub(crate) fn wait(&mut self, until_ns: u64) -> Result<usize, String> {
        let timeout = timespec(until_ns.saturating_sub(now_ns()).min(WAIT_NS_MAX));
        self.events.clear();
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            Some(&timeout),
        ) {
            Ok(_) | Err(Errno::INTR) => Ok(self.events.len()),
            Err(error) => Err(format!("epoll: {error}")),
        }
    }

    /// One of the events of the last wait: its connection (`None`: the watched input), whether it is writable, whether readable.
    pub(crate) fn event(&self, which: usize) -> (Option<usize>, bool, bool) {
        let (data, flags) = (self.events[which].data, self.events[which].flags);
        let readable = EventFlags::IN | EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP;
        let index = (data.u64() != u64::MAX).then_some(data.u64() as usize);
        (
            index,
            flags.contains(EventFlags::OUT),
            flags.intersects(readable),
        )
    }

    /// Where a connection is.
    pub(crate) fn phase(&self, index: usize) -> Phase {
        self.connections[index].phase
    }

    /// Connections in `Phase::Open`.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// Begins to connect; `number` is the connection's number in the whole run.
    ///
    /// # Errors
    /// Why it cannot, in words.
    pub(crate) fn connect(&mut self, index: usize, number: u32) -> Result<(), String> {
        let attempt = || -> Result<OwnedFd, Errno> {
            let family = if self.address.is_ipv4() {
                AddressFamily::INET
            } else {
                AddressFamily::INET6
            };
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
            sockopt::set_tcp_nodelay(&socket, true)?;
            // Ends with a reset: thousands of ports in TIME_WAIT would be in the way of the next run, and of the next server's own port.
            sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
            if let Some((first, count)) = self.sources {
                let source = Ipv4Addr::from_bits(first.to_bits() + number % count);
                rustix::net::bind(&socket, &SocketAddr::new(IpAddr::V4(source), 0))?;
            }
            match rustix::net::connect(&socket, &self.address) {
                Ok(()) | Err(Errno::INPROGRESS) => {}
                Err(error) => return Err(error),
            }
            let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            epoll::add(
                &self.epoll,
                &socket,
                EventData::new_u64(index as u64),
                interest,
            )?;
            Ok(socket)
        };
        let socket = attempt().map_err(|error| self.explain(error))?;
        let connection = &mut self.connections[index];
        connection.socket = Some(socket);
        connection.phase = Phase::Connecting;
        connection.since_ns = now_ns();
        Ok(())
    }

    /// The socket became writable: ends the connect and asks for the upgrade, or sends what is left.
    pub(crate) fn writable(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let Some(socket) = &connection.socket else {
            return;
        };
        if connection.phase == Phase::Connecting {
            match sockopt::socket_error(socket) {
                Ok(Ok(())) => {}
                Ok(Err(error)) | Err(error) => return self.fail(index, self.explain(error)),
            }
            connection.phase = Phase::Upgrading;
            let request = std::mem::take(&mut self.request);
            self.send(index, &request);
            self.request = request;
        } else if !connection.unsent.is_empty() {
            let unsent = std::mem::take(&mut connection.unsent);
            self.send(index, &unsent);
        }
    }

    /// Sends, or keeps what the kernel does not take.
    pub(crate) fn send(&mut self, index: usize, bytes: &[u8]) {
        let connection = &mut self.connections[index];
        let Some(socket) = &connection.socket else {
            return;
        };
        let mut sent = 0;
        if connection.unsent.is_empty() {
            match rustix::net::send(socket, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => sent = count,
                Err(Errno::AGAIN) => {}
                Err(error) => return self.fail(index, format!("send: {error}")),
            }
        }
        if sent < bytes.len() {
            connection.unsent.extend_from_slice(&bytes[sent..]);
            if connection.unsent.len() > UNSENT_BYTES_MAX {
                self.fail(
                    index,
                    format!("the server left {UNSENT_BYTES_MAX} bytes of a connection unread"),
                );
            }
        }
    }

    /// Reads into the buffer, behind what was kept.
    pub(crate) fn read(&mut self, index: usize) -> Read {
        let connection = &mut self.connections[index];
        let Some(socket) = &connection.socket else {
            return Read::Nothing;
        };
        let kept = connection.carry.len();
        self.buffer[..kept].copy_from_slice(&connection.carry);
        let reason = match rustix::io::read(socket, &mut self.buffer[kept..]) {
            Ok(0) => "closed by the server without a close frame".into(),
            Ok(count) => {
                connection.carry.clear();
                let len = kept + count;
                return Read::Bytes {
                    len,
                    full: len == self.buffer.len(),
                };
            }
            Err(Errno::AGAIN | Errno::INTR) => return Read::Nothing,
            Err(error) if connection.phase == Phase::Connecting => self.explain(error),
            Err(error) => format!("receive: {error}"),
        };
        self.fail(index, reason);
        Read::Nothing
    }

    /// Ends a connection that broke.
    pub(crate) fn fail(&mut self, index: usize, reason: String) {
        self.become_phase(index, Phase::Closed);
        self.broken.push(reason);
    }

    /// Keeps the beginning of a frame for the next read.
    pub(crate) fn keep(&mut self, index: usize, bytes: &[u8]) {
        self.connections[index].carry.extend_from_slice(bytes);
    }

    /// The next phase. Returns when the connect began.
    pub(crate) fn become_phase(&mut self, index: usize, phase: Phase) -> u64 {
        let connection = &mut self.connections[index];
        self.open += usize::from(phase == Phase::Open);
        self.open -= usize::from(connection.phase == Phase::Open);
        connection.phase = phase;
        if phase == Phase::Closed {
            connection.socket = None;
            connection.carry = Vec::new();
            connection.unsent = Vec::new();
        }
        connection.since_ns
    }

    fn explain(&self, error: Errno) -> String {
        let address = self.address;
        match error {
            Errno::CONNREFUSED => {
                format!("{address} refused the connection: is the server running there?")
            }
            Errno::ADDRNOTAVAIL | Errno::ADDRINUSE => {
                format!("no local port left for {address}: use more --sources ({error})")
            }
            Errno::MFILE | Errno::NFILE => {
                format!("too many open files: raise `ulimit -n` ({error})")
            }
            _ => format!("connecting to {address}: {error}"),
        }
    }
}

/// Longest wait, so that no mistake in a deadline can hang a worker.
const WAIT_NS_MAX: u64 = 1_000_000_000;
/// Files besides the connections.
const OTHER_FILES: u64 = 32;

/// Raises the soft limit of open files if it must.
fn allow_files(needed: u64) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let refusal = format!(
        "a worker needs {needed} open files and may have {:?}: use more --workers or raise `ulimit -n`",
        limit.maximum
    );
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        return Err(refusal);
    }
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )
    .map_err(|_| refusal)
}
