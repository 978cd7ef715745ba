//! The listener and its accepts: some single-shot ones at a time, each with room for the peer's address, straight into direct slots.

use crate::driver::Millis;
use io_uring::{opcode, squeue, types};
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, SockRef, Socket, Type};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;

/// Connections that may wait to be accepted; the kernel cuts it at `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;

/// After an accept failed for want of something, in milliseconds.
const PAUSE_MS: Millis = 100;

pub(super) struct Acceptor {
    listener: Option<TcpListener>,
    accepts: Box<[Accept]>,
    idle: Vec<usize>,
    resume_at: Millis,
    /// The ring whose table takes the next connections.
    pub(super) ring: usize,
}

/// Where the kernel writes the peer's address.
struct Accept {
    address: SockAddrStorage,
    len: libc::socklen_t,
}

impl Acceptor {
    /// Accepts under way at a time: what one enter takes of a crowd. Single-shot with the address costs less than multishot and asking
    /// for the address afterwards. Against 4: 0.88 × the CPU of a connect and half the enters; 64 are no better (0.94 ×).
    pub(super) const OUTSTANDING: usize = 16;

    pub(super) fn new(listener: TcpListener) -> Acceptor {
        let accept = || Accept {
            address: SockAddrStorage::zeroed(),
            len: 0,
        };
        Acceptor {
            listener: Some(listener),
            accepts: (0..Self::OUTSTANDING).map(|_| accept()).collect(),
            idle: (0..Self::OUTSTANDING).collect(),
            resume_at: 0,
            ring: 0,
        }
    }

    /// An accept that may be armed.
    pub(super) fn next_idle(&self) -> Option<usize> {
        self.listener.as_ref().and(self.idle.last().copied())
    }

    /// Arms the accept that `next_idle` named.
    pub(super) fn entry(&mut self, index: usize) -> squeue::Entry {
        self.idle.retain(|idle| *idle != index);
        let listener = self.listener.as_ref().expect("next_idle was asked");
        let accept = &mut self.accepts[index];
        accept.len = size_of::<SockAddrStorage>() as libc::socklen_t;
        opcode::Accept::new(
            types::Fd(listener.as_raw_fd()),
            (&raw mut accept.address).cast(),
            &raw mut accept.len,
        )
        .file_index(Some(types::DestinationSlot::auto_target()))
        .build()
    }

    /// An accept ended: the peer's address, if it brought a connection.
    pub(super) fn finish(&mut self, index: usize) -> SocketAddr {
        self.idle.push(index);
        let accept = &self.accepts[index];
        // SAFETY: plain bytes, zeroed at first, of which the kernel has written `len` as a socket address since.
        let address =
            unsafe { SockAddr::new(std::ptr::read(&raw const accept.address), accept.len) };
        address
            .as_socket()
            .unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
    }

    /// An accept failed. All reasons pass: the peer gave up, or the host is short of files or memory. In the second case the next
    /// try waits, and the clients wait in the backlog.
    pub(super) fn failed(&mut self, errno: i32, now: Millis) {
        if errno != libc::ECONNABORTED && errno != libc::ECANCELED && self.listener.is_some() {
            tracing::warn!(error = %io::Error::from_raw_os_error(errno), "accept failed");
            self.resume_at = now + PAUSE_MS;
        }
    }

    /// When accepting may go on, if it pauses.
    pub(super) fn resumes(&self, now: Millis) -> Option<Millis> {
        (self.resume_at > now).then_some(self.resume_at)
    }

    /// Stops listening, at once: the accepts under way fail. Closing alone would leave the port taken until the kernel has taken the
    /// rings down, which hold the socket for their accepts.
    pub(super) fn stop(&mut self) {
        if let Some(listener) = self.listener.take()
            && let Err(error) = SockRef::from(&listener).shutdown(Shutdown::Both)
        {
            tracing::warn!(%error, "the listening socket cannot be shut down");
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.stop();
    }
}

/// See [`super::claim`].
pub(super) fn claim(address: SocketAddr) -> io::Result<()> {
    socket(address)?.bind(&address.into())
}

/// See [`super::listen`].
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    // Accepted sockets inherit it. Without it a delayed acknowledgement holds frames back (1.21 × the CPU, too).
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("listener", &self.listener)
            .field("ring", &self.ring)
            .finish_non_exhaustive()
    }
}
