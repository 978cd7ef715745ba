//! The listening sockets of a shard: which of them the driver waits for, and what is accepted in
//! one turn.

use super::token::Token;
use crate::connection::peer::Peer;
use crate::driver::boundary::{Millis, StopAccept};
use crate::driver::listen::ListenSocket;
use rustix::event::epoll;
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{SocketFlags, acceptfrom_with};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// After an accept failed for want of something, in milliseconds.
const PAUSE_MS: Millis = 100;

/// All listeners of a shard, in the order of the configuration.
#[derive(Debug)]
pub(super) struct Listeners(Vec<AcceptSource>);

#[derive(Debug)]
struct AcceptSource {
    /// `None`: it was given up.
    socket: Option<ListenSocket>,
    is_watched: bool,
    resume_at: Millis,
}

/// What one accept brought.
#[derive(Debug)]
pub(super) enum AcceptOutcome {
    Client(OwnedFd, Peer),
    /// The client has gone again, or another shard was quicker.
    Nobody,
    /// There is none, or the host is short of something.
    Done,
}

impl Listeners {
    /// # Errors
    /// A socket cannot be switched to calls that do not wait.
    pub(super) fn new(sockets: Vec<ListenSocket>) -> io::Result<Listeners> {
        let listener = |socket: ListenSocket| {
            // Several shards, or several processes, may be woken for one client.
            ioctl_fionbio(&socket, true)?;
            Ok(AcceptSource {
                socket: Some(socket),
                is_watched: false,
                resume_at: 0,
            })
        };
        let listeners: io::Result<_> = sockets.into_iter().map(listener).collect();
        listeners.map(Listeners)
    }

    /// Waits for clients where there is room for one, and nowhere else: whoever is not waited for
    /// stands in the kernel's backlog, of this socket or of another shard's.
    pub(super) fn watch(&mut self, epoll: &OwnedFd, has_room: HasRoom, now: Millis) {
        for (index, listener) in self.0.iter_mut().enumerate() {
            let Some(socket) = &listener.socket else {
                continue;
            };
            let wanted = has_room == HasRoom::Yes && listener.resume_at <= now;
            if wanted == listener.is_watched {
                continue;
            }
            let done = match wanted {
                true => {
                    let data = Token::Listener(index as u8).data();
                    // Of the shards that share a socket one is woken for a client, not all.
                    let flags = epoll::EventFlags::IN | epoll::EventFlags::EXCLUSIVE;
                    epoll::add(epoll, socket, data, flags)
                }
                false => epoll::delete(epoll, socket),
            };
            match done {
                Ok(()) => listener.is_watched = wanted,
                Err(error) => {
                    tracing::warn!(%error, "a listening socket cannot be waited for");
                    listener.resume_at = now + PAUSE_MS;
                }
            }
        }
    }

    /// Takes one client from a listener.
    pub(super) fn accept(&mut self, index: u8, now: Millis) -> AcceptOutcome {
        let listener = &mut self.0[usize::from(index)];
        let Some(socket) = &listener.socket else {
            return AcceptOutcome::Done;
        };
        match acceptfrom_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok((socket, address)) => {
                let address = address.and_then(|address| SocketAddr::try_from(address).ok());
                AcceptOutcome::Client(socket, address.map_or(Peer::Unix, Peer::Ip))
            }
            Err(Errno::CONNABORTED | Errno::INTR) => AcceptOutcome::Nobody,
            Err(Errno::AGAIN) => AcceptOutcome::Done,
            Err(error) => {
                // All reasons pass: the host is short of files or memory, and clients wait in the
                // backlog.
                tracing::warn!(%error, "accept failed");
                self.pause(index, now);
                AcceptOutcome::Done
            }
        }
    }

    /// Takes no client for a while.
    pub(super) fn pause(&mut self, index: u8, now: Millis) {
        if let Some(listener) = self.0.get_mut(usize::from(index)) {
            listener.resume_at = now + PAUSE_MS;
        }
    }

    pub(super) fn count(&self) -> u8 {
        // At most `Listener::COUNT_MAX`.
        self.0.len() as u8
    }

    /// When accepting goes on where it pauses, the soonest.
    pub(super) fn resumes(&self, now: Millis) -> Option<Millis> {
        let pauses = self.0.iter().map(|listener| listener.resume_at);
        pauses.filter(|at| *at > now).min()
    }

    /// Nothing is accepted any more.
    pub(super) fn stop(&mut self, epoll: &OwnedFd, how: StopAccept) {
        for listener in &mut self.0 {
            let Some(socket) = listener.socket.take() else {
                continue;
            };
            if std::mem::take(&mut listener.is_watched)
                && let Err(error) = epoll::delete(epoll, &socket)
            {
                tracing::warn!(%error, "a listening socket cannot be let go");
            }
            // Whether others still accept from it is no matter here: no accept is under way.
            let _others = socket.stop(how);
        }
    }

    pub(super) fn any_left(&self) -> bool {
        self.0.iter().any(|listener| listener.socket.is_some())
    }
}

/// Whether a further client could be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HasRoom {
    Yes,
    No,
}
