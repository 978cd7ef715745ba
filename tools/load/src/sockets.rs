//! A worker's sockets: non-blocking, edge-triggered, with TLS or without, each with what it could
//! not yet send or parse. Invariant: an open socket is registered once and read until it has no
//! more. A connection may be born again under its index, as another generation: what was still to
//! be said of an earlier one is dropped here. Called by `worker` and the loads.

use crate::clock::{now_ns, timespec};
use crate::deflate::{Carried, Compressor};
use crate::files::allow_files;
use crate::handshake::{Compression, Handshake};
use crate::stream::{self, Broken, Came, Records, Stream};
use crate::target::Target;
use crate::tls::Tls;
use crate::websocket::{CLOSE, Template};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::sockopt;
use std::net::{Ipv4Addr, SocketAddr};

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
    /// We said that we leave; the server's answer is awaited.
    Leaving,
    /// It answered; that it hangs up is awaited (RFC 6455 §7.1.1: the server closes first).
    /// Clause 6455-5.5.1-8.
    Left,
    /// Over.
    Closed,
}

#[derive(Debug)]
struct Connection {
    stream: Option<Stream>,
    phase: Phase,
    /// How often this index was connected.
    generation: u32,
    since_ns: u64,
    /// Whether the kernel said that the server sends no more: a short read is then not the last.
    hung_up: bool,
    /// Whether the receive buffer is to be small.
    narrow: bool,
    /// Whether nothing is to be read for now.
    paused: bool,
    /// Received, not yet a complete frame.
    carry: Vec<u8>,
}

/// What reading gave.
pub(crate) enum Read {
    /// This many bytes in the buffer, from its start; `full`: read again.
    Bytes {
        /// Bytes.
        len: usize,
        /// Whether to read again: the buffer was filled, or the end of the stream is still to be
        /// read.
        more: bool,
    },
    /// Nothing now, or the connection broke.
    Nothing,
}

/// What an event is about.
pub(crate) enum Happening {
    /// The watched input can be read.
    Input,
    /// A connection.
    Connection {
        /// Which.
        index: usize,
        /// There is room to send again, or the connect has ended.
        writable: bool,
        /// There is something to read.
        readable: bool,
    },
    /// A socket that is gone.
    Stale,
}

/// A connection's end that nobody here decided.
#[derive(Debug)]
struct End {
    index: usize,
    generation: u32,
    reason: Option<String>,
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
    handshake: Handshake,
    tls: Option<Tls>,
    records: Records,
    /// Where messages may be compressed.
    compressor: Option<Box<Compressor>>,
    open: usize,
    ended: Vec<End>,
}

/// Stands for the watched input among the events; no connection has this index.
const WATCHED: u64 = u64::MAX;
/// Events taken at once: few, so that a publisher on schedule never waits for many readers.
const EVENTS_MAX: usize = 64;
impl Sockets {
    /// `count` connections to be; messages of `message_bytes` must fit the buffer.
    pub(crate) fn new(
        count: usize,
        message_bytes: usize,
        target: &Target,
        sources: Option<(Ipv4Addr, u32)>,
    ) -> Result<Sockets, String> {
        allow_files(count as u64)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(|e| format!("epoll: {e}"))?;
        let connections = (0..count)
            .map(|_| Connection {
                stream: None,
                phase: Phase::Unborn,
                generation: 0,
                since_ns: 0,
                hung_up: false,
                narrow: false,
                paused: false,
                carry: Vec::new(),
            })
            .collect();
        let tls = match &target.tls {
            Some((name, terms)) => Some(Tls::new(name, terms)?),
            None => None,
        };
        Ok(Sockets {
            epoll,
            events: Vec::with_capacity(EVENTS_MAX),
            connections,
            buffer: vec![0; (256 << 10).max(2 * message_bytes + 4096)],
            address: target.address,
            sources,
            handshake: target.handshake.clone(),
            records: Records::new(tls.is_some()),
            tls,
            compressor: match target.handshake.compression() {
                Compression::None => None,
                Compression::Deflate => Some(Box::new(Compressor::new())),
            },
            open: 0,
            ended: Vec::new(),
        })
    }

    /// Also reports when `input` can be read, as `None`.
    pub(crate) fn watch(&self, input: impl AsFd) -> Result<(), String> {
        epoll::add(
            &self.epoll,
            input,
            EventData::new_u64(WATCHED),
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

    /// One of the events of the last wait.
    pub(crate) fn event(&mut self, which: usize) -> Happening {
        let (data, flags) = (self.events[which].data.u64(), self.events[which].flags);
        if data == WATCHED {
            return Happening::Input;
        }
        let (index, generation) = (data as u32 as usize, (data >> 32) as u32);
        let connection = &mut self.connections[index];
        if connection.generation != generation {
            return Happening::Stale;
        }
        connection.hung_up |= flags.contains(EventFlags::RDHUP);
        let readable = EventFlags::IN | EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP;
        Happening::Connection {
            index,
            writable: flags.contains(EventFlags::OUT),
            readable: flags.intersects(readable),
        }
    }

    /// Whether a connection has ended since `take_ended`.
    pub(crate) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// The connections that ended by themselves since this was last called, and why; `None`: after
    /// a close handshake that we began.
    pub(crate) fn take_ended(&mut self) -> Vec<(usize, Option<String>)> {
        let current = |end: &End| self.connections[end.index].generation == end.generation;
        let ended = std::mem::take(&mut self.ended);
        ended
            .into_iter()
            .filter(current)
            .map(|end| (end.index, end.reason))
            .collect()
    }

    /// Where a connection is.
    pub(crate) fn phase(&self, index: usize) -> Phase {
        self.connections[index].phase
    }

    /// Connections in `Phase::Open`.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// Begins to connect, for the first time or again after its end, in order to ask for `path`;
    /// `number` is the connection's number in the whole run.
    ///
    /// # Errors
    /// Why it cannot, in words.
    pub(crate) fn connect(&mut self, index: usize, number: u32, path: &str) -> Result<(), String> {
        assert!(
            self.connections[index].stream.is_none(),
            "its earlier socket is gone"
        );
        let narrow = self.connections[index].narrow;
        let generation = self.connections[index].generation.wrapping_add(1);
        self.connections[index].generation = generation;
        let source = self
            .sources
            .map(|(first, count)| Ipv4Addr::from_bits(first.to_bits() + number % count));
        let socket = stream::connect(&self.address, source, narrow)
            .and_then(|socket| {
                epoll::add(&self.epoll, &socket, name(index, generation), INTEREST).map(|()| socket)
            })
            .map_err(|error| self.explain(error))?;
        let session = self.tls.as_ref().map(Tls::session).transpose()?;
        let connection = &mut self.connections[index];
        connection.stream = Some(Stream::new(socket, session, self.handshake.request(path)));
        connection.phase = Phase::Connecting;
        connection.hung_up = false;
        connection.paused = false;
        connection.since_ns = now_ns();
        Ok(())
    }

    /// The socket became writable: ends the connect and asks for the upgrade, or sends what is
    /// left. TLS comes first, and nothing is said before the answer. Clauses 6455-4.1-4,
    /// 6455-4.1-16.
    pub(crate) fn writable(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let Some(stream) = &mut connection.stream else {
            return;
        };
        if connection.phase == Phase::Connecting {
            match sockopt::socket_error(stream.socket()) {
                Ok(Ok(())) => {}
                Ok(Err(error)) | Err(error) => return self.fail(index, self.explain(error)),
            }
            connection.phase = Phase::Upgrading;
        }
        if let Err(broken) = stream.resume() {
            self.broken(index, broken);
        }
    }

    /// Sends, or keeps what the kernel does not take.
    pub(crate) fn send(&mut self, index: usize, bytes: &[u8]) {
        let Some(stream) = &mut self.connections[index].stream else {
            return;
        };
        let bytes = match &mut self.compressor {
            Some(compressor) => compressor.translate(bytes),
            None => bytes,
        };
        if let Err(broken) = stream.send(bytes, &mut self.records) {
            self.broken(index, broken);
        }
    }

    /// What was sent where messages may be compressed.
    pub(crate) fn sent(&self) -> Option<Carried> {
        self.compressor.as_ref().map(|compressor| compressor.sent())
    }

    /// What a connection's TLS agreed on, in words; `None`: it is without.
    pub(crate) fn agreed(&self, index: usize) -> Option<String> {
        self.connections[index].stream.as_ref()?.agreed()
    }

    /// Connects this one with a small receive buffer.
    pub(crate) fn narrow(&mut self, index: usize) {
        self.connections[index].narrow = true;
    }

    /// Reads nothing of a connection until `resume`.
    pub(crate) fn pause(&mut self, index: usize) {
        self.connections[index].paused = true;
    }

    /// Reads again, first of all what came meanwhile.
    pub(crate) fn resume(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        connection.paused = false;
        let Some(stream) = &connection.stream else {
            return;
        };
        // Says again what an edge said before (epoll_ctl(2)).
        let name = name(index, connection.generation);
        if let Err(error) = epoll::modify(&self.epoll, stream.socket(), name, INTEREST) {
            self.fail(index, format!("epoll: {error}"));
        }
    }

    /// Reads into the buffer, behind what was kept.
    pub(crate) fn read(&mut self, index: usize) -> Read {
        let connection = &mut self.connections[index];
        let Some(stream) = &mut connection.stream else {
            return Read::Nothing;
        };
        if connection.paused {
            return Read::Nothing;
        }
        let kept = connection.carry.len();
        self.buffer[..kept].copy_from_slice(&connection.carry);
        match stream.read(&mut self.buffer[kept..], &mut self.records) {
            Ok(Came::Bytes { len, more }) => {
                connection.carry.clear();
                return Read::Bytes {
                    len: kept + len,
                    more: more || connection.hung_up,
                };
            }
            Ok(Came::Nothing) => {}
            Ok(Came::Over) => self.hung_up(index),
            Err(broken) => self.broken(index, broken),
        }
        Read::Nothing
    }

    /// The server sends no more.
    fn hung_up(&mut self, index: usize) {
        let connection = &self.connections[index];
        let shakes_hands = connection
            .stream
            .as_ref()
            .is_some_and(Stream::is_shaking_hands);
        let reason = match connection.phase {
            Phase::Left => return self.finish(index),
            Phase::Leaving => "the server hung up without answering the close",
            Phase::Connecting | Phase::Upgrading if shakes_hands => {
                "the server hung up during the TLS handshake"
            }
            Phase::Connecting | Phase::Upgrading => {
                "the server hung up instead of answering the upgrade"
            }
            Phase::Unborn | Phase::Greeting | Phase::Open | Phase::Closed => {
                "closed by the server without a close frame"
            }
        };
        self.fail(index, reason.into());
    }

    fn broken(&mut self, index: usize, broken: Broken) {
        let reason = match (broken, self.connections[index].phase) {
            (Broken::Socket(Errno::CONNRESET), Phase::Left) => return self.finish(index),
            (Broken::Socket(error), Phase::Connecting) => self.explain(error),
            (Broken::Socket(error), _) => format!("receive: {error}"),
            (Broken::Reason(reason), _) => reason,
        };
        self.fail(index, reason);
    }

    /// Says that we leave. The end comes with `take_ended`.
    pub(crate) fn leave(&mut self, index: usize) {
        let mut frame = Vec::new();
        Template::new(CLOSE, &NORMAL_CLOSURE.to_be_bytes()).append(&mut frame, &[]);
        self.become_phase(index, Phase::Leaving);
        self.send(index, &frame);
    }

    /// Ends a connection with a reset, as a broken network does; nobody is told.
    pub(crate) fn reset(&mut self, index: usize) {
        self.become_phase(index, Phase::Closed);
    }

    /// Ends a connection that broke, if it has not ended. Clauses 6455-4.1-3, 6455-7.1.7-1,
    /// 6455-7.2.1-1.
    pub(crate) fn fail(&mut self, index: usize, reason: String) {
        if self.connections[index].stream.is_some() {
            self.end(index, Some(reason));
        }
    }

    fn finish(&mut self, index: usize) {
        if let Some(stream) = &mut self.connections[index].stream {
            stream.finish(&mut self.records);
        }
        self.end(index, None);
    }

    fn end(&mut self, index: usize, reason: Option<String>) {
        self.become_phase(index, Phase::Closed);
        self.ended.push(End {
            index,
            generation: self.connections[index].generation,
            reason,
        });
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
            connection.stream = None;
            connection.carry = Vec::new();
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

/// RFC 6455 §7.4.1.
const NORMAL_CLOSURE: u16 = 1000;
/// An event's name, which a socket keeps all its life.
fn name(index: usize, generation: u32) -> EventData {
    EventData::new_u64(u64::from(generation) << 32 | index as u64)
}

/// What every socket is registered for.
const INTEREST: EventFlags = EventFlags::IN
    .union(EventFlags::OUT)
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);
/// Longest wait, so that no mistake in a deadline can hang a worker.
const WAIT_NS_MAX: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Door;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    fn sockets(listener: &TcpListener) -> Sockets {
        let address = listener.local_addr().unwrap();
        let target = Target::new(&format!("ws://{address}/"), &Door::default()).unwrap();
        Sockets::new(1, 64, &target, None).unwrap()
    }

    /// Waits for the connection's next event and serves it.
    fn serve(sockets: &mut Sockets) -> (usize, usize) {
        let until_ns = now_ns() + 5 * WAIT_NS_MAX;
        let mut seen = (0, 0);
        while seen == (0, 0) && now_ns() < until_ns {
            for which in 0..sockets.wait(until_ns).unwrap() {
                match sockets.event(which) {
                    Happening::Input => {}
                    Happening::Stale => seen.1 += 1,
                    Happening::Connection {
                        index, writable, ..
                    } => {
                        seen.0 += 1;
                        if writable {
                            sockets.writable(index);
                        }
                    }
                }
            }
        }
        seen
    }

    #[test]
    fn an_event_of_an_earlier_generation_does_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sockets = sockets(&listener);
        sockets.connect(0, 0, "/").unwrap();
        assert_eq!(sockets.wait(now_ns() + WAIT_NS_MAX).unwrap(), 1);
        sockets.reset(0);
        sockets.connect(0, 0, "/").unwrap();
        assert!(matches!(sockets.event(0), Happening::Stale));
        assert_eq!(serve(&mut sockets), (1, 0));
        assert_eq!(sockets.phase(0), Phase::Upgrading);
        sockets.fail(0, "old".into());
        sockets.connect(0, 0, "/").unwrap();
        assert!(sockets.has_ended());
        assert!(sockets.take_ended().is_empty());
        sockets.fail(0, "new".into());
        assert_eq!(sockets.take_ended(), [(0, Some("new".into()))]);
    }

    fn farewell(answer: &[u8], expected: &[(usize, Option<String>)]) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sockets = sockets(&listener);
        sockets.connect(0, 0, "/").unwrap();
        let (mut server, _): (TcpStream, _) = listener.accept().unwrap();
        serve(&mut sockets);
        sockets.become_phase(0, Phase::Open);
        sockets.leave(0);
        assert_eq!((sockets.open(), sockets.phase(0)), (0, Phase::Leaving));
        let mut said = Vec::new();
        let close_at = sockets.handshake.request("/").len();
        while said.len() < close_at + 8 {
            let mut some = [0; 512];
            let count = server.read(&mut some).unwrap();
            said.extend_from_slice(&some[..count]);
        }
        assert_eq!(said[close_at..close_at + 2], [0x88, 0x82]);
        server.write_all(answer).unwrap();
        drop(server);
        while !sockets.has_ended() {
            serve(&mut sockets);
            while let Read::Bytes { len, .. } = sockets.read(0) {
                assert_eq!(&sockets.buffer[..len], answer);
                sockets.become_phase(0, Phase::Left);
            }
        }
        assert_eq!(sockets.take_ended(), expected);
        assert_eq!(sockets.phase(0), Phase::Closed);
    }

    #[test]
    fn a_close_handshake_ends_without_a_reason_and_silence_with_one() {
        farewell(&[0x88, 2, 3, 232], &[(0, None)]);
        let mute = "the server hung up without answering the close";
        farewell(&[], &[(0, Some(mute.into()))]);
    }
}
