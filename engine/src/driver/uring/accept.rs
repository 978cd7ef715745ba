//! The listeners and their accepts: some single-shot ones at a time for each, with room for the
//! peer's address, straight into direct slots.

use crate::connection::peer::Peer;
use crate::driver::boundary::{ACCEPTS_PER_TURN, Millis, StopAccept};
use crate::driver::listen::{ListenSocket, StillAccepts};
use io_uring::{opcode, squeue, types};
use socket2::{SockAddr, SockAddrStorage};
use std::fmt;
use std::io;
use std::os::fd::AsRawFd;

/// After an accept failed for want of something, in milliseconds.
const PAUSE_MS: Millis = 100;

/// All listeners of a shard.
#[derive(Debug)]
pub(super) struct Acceptors {
    each: Box<[Acceptor]>,
    /// The ring whose table takes the next connections.
    pub(super) ring: usize,
}

/// One of the accepts of one listener. As an index: 16 bits of listener, 16 of accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AcceptId {
    pub(super) listener: u8,
    index: u16,
}

/// How an accept ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BroughtClient {
    Yes,
    No,
}

impl AcceptId {
    pub(super) fn index(self) -> u32 {
        u32::from(self.listener) << 16 | u32::from(self.index)
    }

    pub(super) fn of(index: u32) -> AcceptId {
        AcceptId {
            listener: (index >> 16) as u8,
            index: index as u16,
        }
    }
}

impl Acceptors {
    /// Accepts under way at a time for each listener: what one enter takes of a crowd. Single-shot
    /// with the address costs less than multishot and asking for the address afterwards. Against 4:
    /// 0.88 × the CPU of a connect and half the enters; 64 are no better (0.94 ×).
    pub(super) const OUTSTANDING: usize = ACCEPTS_PER_TURN;

    /// Listener n is the n-th of the configuration.
    pub(super) fn new(listeners: Vec<ListenSocket>) -> Acceptors {
        Acceptors {
            each: listeners.into_iter().map(Acceptor::new).collect(),
            ring: 0,
        }
    }

    /// An accept that may be armed: of the listener that lacks most, so that none goes without
    /// where slots are few.
    pub(super) fn next_idle(&self, now: Millis) -> Option<AcceptId> {
        let lacking = self
            .each
            .iter()
            .enumerate()
            .filter(|(_, acceptor)| acceptor.may_accept(now));
        let (listener, acceptor) = lacking.max_by_key(|(_, acceptor)| acceptor.idle.len())?;
        Some(AcceptId {
            listener: listener as u8,
            index: *acceptor.idle.last()?,
        })
    }

    /// Arms the accept that `next_idle` named, on this ring.
    pub(super) fn entry(&mut self, id: AcceptId, ring: usize) -> squeue::Entry {
        self.each[id.listener as usize].entry(id.index, ring)
    }

    /// An accept ended: where the peer connects from, if it brought a connection.
    pub(super) fn finish(&mut self, id: AcceptId) -> Peer {
        self.each[id.listener as usize].finish(id.index)
    }

    /// An accept failed. All reasons pass: the peer gave up, or the host is short of files or
    /// memory. In the second case the listener's next try waits, and the clients wait in the
    /// backlog.
    pub(super) fn failed(&mut self, id: AcceptId, errno: i32, now: Millis) {
        self.each[id.listener as usize].failed(errno, now);
    }

    /// An accept ended and is idle; if its listener was given up: the accept that is to look once
    /// more.
    pub(super) fn next_look(&mut self, id: AcceptId, brought: BroughtClient) -> Option<AcceptId> {
        let index = self.each[id.listener as usize].next_look(brought)?;
        Some(AcceptId { index, ..id })
    }

    /// When accepting goes on where it pauses, the soonest.
    pub(super) fn resumes(&self, now: Millis) -> Option<Millis> {
        let pauses = self.each.iter().map(|acceptor| acceptor.resume_at);
        pauses.filter(|at| *at > now).min()
    }

    /// An accept is under way, or will be.
    pub(super) fn may_accept(&self) -> bool {
        self.each.iter().any(Acceptor::may_bring_one)
    }

    /// Stops listening. The accepts that must be cancelled, each with its ring.
    pub(super) fn stop(&mut self, how: StopAccept) -> Vec<(usize, AcceptId)> {
        let mut armed = Vec::new();
        for (listener, acceptor) in self.each.iter_mut().enumerate() {
            let listener = listener as u8;
            armed.extend(
                acceptor
                    .stop(how)
                    .map(|(ring, index)| (ring, AcceptId { listener, index })),
            );
        }
        armed
    }
}

/// One listener.
struct Acceptor {
    listener: Option<ListenSocket>,
    /// The listener that was given up, while some client may have been left for this shard alone.
    leaving: Option<Leaving>,
    accepts: Box<[Accept]>,
    idle: Vec<u16>,
    resume_at: Millis,
}

/// A socket from which others go on accepting. The kernel wakes one accept for each client, and an
/// accept that was woken and then cancelled passes that wake to nobody: without a last look, such a
/// client would wait until the next one comes. A look is an accept that is cancelled at once; it
/// takes a client who is there already.
struct Leaving {
    socket: ListenSocket,
    /// One for each wake that may have been lost.
    looks_left: usize,
    /// The accept that ends next is a look.
    is_looking: bool,
}

/// Where the kernel writes the peer's address.
struct Accept {
    /// On which it was armed last.
    ring: u8,
    address: SockAddrStorage,
    len: libc::socklen_t,
}

impl Acceptor {
    fn new(listener: ListenSocket) -> Acceptor {
        let accept = || Accept {
            ring: 0,
            address: SockAddrStorage::zeroed(),
            len: 0,
        };
        Acceptor {
            listener: Some(listener),
            leaving: None,
            accepts: (0..Acceptors::OUTSTANDING).map(|_| accept()).collect(),
            idle: (0..Acceptors::OUTSTANDING as u16).collect(),
            resume_at: 0,
        }
    }

    fn may_accept(&self, now: Millis) -> bool {
        !self.idle.is_empty() && self.listener.is_some() && self.resume_at <= now
    }

    fn may_bring_one(&self) -> bool {
        self.listener.is_some() || self.idle.len() < self.accepts.len()
    }

    /// An accept of a listener that was given up has ended, with a client or without: the accept
    /// that looks next, once no other is under way.
    fn next_look(&mut self, brought_client: BroughtClient) -> Option<u16> {
        let leaving = self.leaving.as_mut()?;
        if self.idle.len() < self.accepts.len() {
            return None;
        }
        let found_none = leaving.is_looking && brought_client == BroughtClient::No;
        if found_none || leaving.looks_left == 0 {
            self.leaving = None;
            return None;
        }
        leaving.looks_left -= 1;
        leaving.is_looking = true;
        self.idle.last().copied()
    }

    fn entry(&mut self, index: u16, ring: usize) -> squeue::Entry {
        self.idle.retain(|idle| *idle != index);
        let leaving = self.leaving.as_ref().map(|leaving| &leaving.socket);
        let listener = self.listener.as_ref().or(leaving);
        let listener = listener.expect("the caller was told to arm this accept");
        let accept = &mut self.accepts[index as usize];
        accept.ring = ring as u8;
        accept.len = size_of::<SockAddrStorage>() as libc::socklen_t;
        opcode::Accept::new(
            types::Fd(listener.as_raw_fd()),
            (&raw mut accept.address).cast(),
            &raw mut accept.len,
        )
        .file_index(Some(types::DestinationSlot::auto_target()))
        .build()
    }

    fn finish(&mut self, index: u16) -> Peer {
        self.idle.push(index);
        let accept = &self.accepts[index as usize];
        // SAFETY: plain bytes, zeroed at first, of which the kernel has written `len` as a socket
        // address since.
        let address =
            unsafe { SockAddr::new(std::ptr::read(&raw const accept.address), accept.len) };
        address.as_socket().map_or(Peer::Unix, Peer::Ip)
    }

    fn failed(&mut self, errno: i32, now: Millis) {
        if errno != libc::ECONNABORTED && errno != libc::ECANCELED && self.listener.is_some() {
            tracing::warn!(error = %io::Error::from_raw_os_error(errno), "accept failed");
            self.resume_at = now + PAUSE_MS;
        }
    }

    /// Closing alone would leave the port taken until the kernel has taken the rings down, which
    /// hold the socket for their accepts. The accepts that must be cancelled: their rings and
    /// indices.
    fn stop(&mut self, how: StopAccept) -> impl Iterator<Item = (usize, u16)> {
        let under_way = self.accepts.len() - self.idle.len();
        let armed = match self.listener.take() {
            Some(socket) if socket.stop(how) == StillAccepts::Yes => {
                self.leaving = (under_way > 0).then_some(Leaving {
                    socket,
                    looks_left: under_way,
                    is_looking: false,
                });
                0..self.accepts.len() as u16
            }
            Some(_) | None => 0..0,
        };
        let armed = armed.filter(|index| !self.idle.contains(index));
        armed.map(|index| (usize::from(self.accepts[usize::from(index)].ring), index))
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::listen::{ListenSource, Listening};

    #[test]
    fn an_accept_is_told_by_its_index() {
        for (listener, index) in [(0, 0), (7, 15), (u8::MAX, u16::MAX)] {
            let id = AcceptId { listener, index };
            assert_eq!(AcceptId::of(id.index()), id);
        }
    }

    #[test]
    fn listeners_take_turns_and_pause_alone() {
        let any = ListenSource::Bind(([127, 0, 0, 1], 0).into());
        let mut listening = Listening::new(1);
        listening.open(&any).unwrap();
        listening.open(&any).unwrap();
        let mut acceptors = Acceptors::new(listening.shards.remove(0));
        let mut armed = [0; 2];
        for round in 1..=Acceptors::OUTSTANDING {
            for _ in 0..2 {
                let id = acceptors.next_idle(0).unwrap();
                acceptors.entry(id, round);
                armed[id.listener as usize] += 1;
            }
            assert_eq!(armed, [round; 2]);
        }
        assert_eq!(acceptors.next_idle(0), None);
        let (listener, index) = (1, 3);
        let id = AcceptId { listener, index };
        acceptors.finish(id);
        acceptors.failed(id, libc::EMFILE, 10);
        assert_eq!(
            (acceptors.next_idle(10), acceptors.resumes(10)),
            (None, Some(110))
        );
        assert_eq!(
            (acceptors.next_idle(110), acceptors.resumes(110)),
            (Some(id), None)
        );
        // One accept is idle; all others of both listeners are cancelled where they were armed, the
        // first in the first round.
        let armed = acceptors.stop(StopAccept::HandOver);
        assert_eq!(armed.len(), 2 * Acceptors::OUTSTANDING - 1);
        assert!(!armed.iter().any(|(_, armed)| *armed == id));
        let last = Acceptors::OUTSTANDING as u16 - 1;
        let (first, index) = (1, last);
        assert_eq!(
            armed
                .iter()
                .filter(|(ring, id)| (*ring, id.index) == (first, index))
                .count(),
            2
        );
        assert_eq!(acceptors.next_idle(110), None);
        assert_eq!(acceptors.stop(StopAccept::Release), []);
    }
}
