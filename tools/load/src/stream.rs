//! One connection's bytes to and from the server, with TLS or without, and what the kernel did not
//! take yet. Invariant: what is unsent is bounded; without TLS nothing is copied on the way in.
//! Called by `sockets`.

use crate::tls::{Opened, Rest, Session};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A socket and what it could not send.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: OwnedFd,
    /// `None`: without TLS.
    session: Option<Box<Session>>,
    /// Not taken by the kernel yet, with TLS in records; at most `UNSENT_BYTES_MAX`.
    unsent: Vec<u8>,
}

/// Room for the records of whichever stream is at it; empty between two calls.
#[derive(Debug)]
pub(crate) struct Records {
    came: Vec<u8>,
    encrypted: Vec<u8>,
}

/// What reading gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// This many bytes at the start of the room; `more`: there may be more at once.
    Bytes {
        /// Bytes; with TLS perhaps none.
        len: usize,
        /// Whether to read again.
        more: bool,
    },
    /// Nothing now.
    Nothing,
    /// The server sends no more.
    Over,
}

/// Why a stream is of no use any more.
#[derive(Debug)]
pub(crate) enum Broken {
    /// By the kernel.
    Socket(Errno),
    /// For a reason in words.
    Reason(String),
}

/// A server that reads nothing for this long a queue has stopped.
const UNSENT_BYTES_MAX: usize = 64 << 20;
/// Records read at once: four of the longest.
const RECORDS_BYTES: usize = 64 << 10;
/// Receive buffer of a reader who is going to stall; the kernel takes twice as much (socket(7)).
const NARROW_BYTES: usize = 16 << 10;

/// A socket that is being connected, from `source` if it is given; `is_narrow`: with a small
/// receive buffer.
pub(crate) fn connect(
    address: &SocketAddr,
    source: Option<Ipv4Addr>,
    is_narrow: bool,
) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    // Ends with a reset: thousands of ports in TIME_WAIT would be in the way of the next run, and
    // of the next server's own port.
    sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    if is_narrow {
        // Before the connect, which announces the window (tcp(7)).
        sockopt::set_socket_recv_buffer_size(&socket, NARROW_BYTES)?;
    }
    if let Some(source) = source {
        rustix::net::bind(&socket, &SocketAddr::new(IpAddr::V4(source), 0))?;
    }
    match rustix::net::connect(&socket, address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

impl Stream {
    /// Over a socket that is being connected; `first` is to be sent as soon as it is.
    pub(crate) fn new(
        socket: OwnedFd,
        mut session: Option<Box<Session>>,
        first: Vec<u8>,
    ) -> Stream {
        let unsent = match &mut session {
            Some(session) => {
                let mut encrypted = Vec::new();
                session.encrypt(&first, &mut encrypted);
                encrypted
            }
            None => first,
        };
        Stream {
            socket,
            session,
            unsent,
        }
    }

    /// What is polled.
    pub(crate) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Whether TLS is still being agreed on.
    pub(crate) fn is_shaking_hands(&self) -> bool {
        let session = self.session.as_ref();
        session.is_some_and(|session| session.is_shaking_hands())
    }

    /// What TLS agreed on, in words; `None`: nothing yet, or it is without TLS.
    pub(crate) fn agreed(&self) -> Option<String> {
        self.session.as_ref()?.agreed()
    }

    /// Says `bytes`.
    pub(crate) fn send(&mut self, bytes: &[u8], records: &mut Records) -> Result<(), Broken> {
        let Some(session) = &mut self.session else {
            return self.transmit(bytes);
        };
        session.encrypt(bytes, &mut records.encrypted);
        self.transmit_records(records)
    }

    /// Sends what is left.
    pub(crate) fn resume(&mut self) -> Result<(), Broken> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let unsent = std::mem::take(&mut self.unsent);
        self.transmit(&unsent)
    }

    fn transmit_records(&mut self, records: &mut Records) -> Result<(), Broken> {
        if records.encrypted.is_empty() {
            return Ok(());
        }
        let sent = self.transmit(&records.encrypted);
        records.encrypted.clear();
        sent
    }

    fn transmit(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let mut sent = 0;
        if self.unsent.is_empty() {
            match rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => sent = count,
                Err(Errno::AGAIN) => {}
                Err(error) => return Err(Broken::Reason(format!("send: {error}"))),
            }
        }
        if sent < bytes.len() {
            self.unsent.extend_from_slice(&bytes[sent..]);
            if self.unsent.len() > UNSENT_BYTES_MAX {
                return Err(Broken::Reason(format!(
                    "the server left {UNSENT_BYTES_MAX} bytes of a connection unread"
                )));
            }
        }
        Ok(())
    }

    /// Reads into `room`.
    pub(crate) fn read(&mut self, room: &mut [u8], records: &mut Records) -> Result<Came, Broken> {
        let Some(session) = &self.session else {
            return came(rustix::io::read(&self.socket, &mut *room)).map(|came| match came {
                Came::Bytes { len, .. } => Came::Bytes {
                    len,
                    more: len == room.len(),
                },
                other => other,
            });
        };
        match session.rest() {
            Rest::Over => Ok(Came::Over),
            Rest::More => self.open(0, room, records),
            Rest::None => match came(rustix::io::read(&self.socket, &mut records.came[..]))? {
                Came::Bytes { len, .. } => self.open(len, room, records),
                other => Ok(other),
            },
        }
    }

    fn open(
        &mut self,
        count: usize,
        room: &mut [u8],
        records: &mut Records,
    ) -> Result<Came, Broken> {
        let Some(session) = &mut self.session else {
            return Ok(Came::Nothing);
        };
        // Nothing new was read, or not all of it: the socket may have more.
        let is_part = count == 0 || count == records.came.len();
        let opened = session.open(&records.came[..count], room, &mut records.encrypted);
        match opened {
            Ok(Opened { len, rest }) => {
                self.transmit_records(records)?;
                Ok(Came::Bytes {
                    len,
                    more: is_part || rest != Rest::None,
                })
            }
            Err(reason) => {
                self.send_last(records);
                Err(Broken::Reason(reason))
            }
        }
    }

    /// Ends the usual way, where the server hung up first: so no port is left in TIME_WAIT.
    pub(crate) fn finish(&mut self, records: &mut Records) {
        if let Some(session) = &mut self.session {
            session.encrypt_end(&mut records.encrypted);
            self.send_last(records);
        }
        // A socket that was reset meanwhile is gone all the same.
        let _ = sockopt::set_socket_linger(&self.socket, None);
    }

    /// Sends the last records of TLS, if the peer still takes them.
    fn send_last(&mut self, records: &mut Records) {
        if self.unsent.is_empty() {
            let _ = rustix::net::send(&self.socket, &records.encrypted, SendFlags::NOSIGNAL);
        }
        records.encrypted.clear();
    }
}

impl Records {
    /// Room for them, if there will be any.
    pub(crate) fn new(is_secure: bool) -> Records {
        Records {
            came: vec![0; if is_secure { RECORDS_BYTES } else { 0 }],
            encrypted: Vec::new(),
        }
    }
}

fn came(read: Result<usize, Errno>) -> Result<Came, Broken> {
    match read {
        Ok(0) => Ok(Came::Over),
        Ok(len) => Ok(Came::Bytes { len, more: false }),
        Err(Errno::AGAIN | Errno::INTR) => Ok(Came::Nothing),
        Err(error) => Err(Broken::Socket(error)),
    }
}
