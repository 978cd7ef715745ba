//! What leaves: transmits, one gathered write each, and tracked sends, which go on whenever the
//! kernel has room.

use super::PortableDriver;
use super::connection::Readiness;
use super::token::{RECEIVES, Token};
use crate::driver::boundary::{Completion, ShortSend, TRACKED_SEGMENTS_MAX};
use crate::egress::outgoing::Outgoing;
use crate::types::ticket::Ticket;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};
use std::io::IoSlice;
use std::os::fd::OwnedFd;

/// The sockets do not wait, and nobody wants a signal for one that is broken.
const FLAGS: SendFlags = SendFlags::NOSIGNAL;

/// How a write ended.
enum Written {
    /// So many bytes, perhaps not all; 0: the socket has no room.
    Some(usize),
    /// None, since the kernel is short of memory. It does not say when it has some again.
    NoMemory,
    Failed,
}

impl PortableDriver {
    /// Sends every transmit, and says which did not leave completely.
    pub(super) fn transmit(&mut self, outgoing: &Outgoing, short_sends: &mut Vec<ShortSend>) {
        for index in 0..outgoing.len() {
            let ticket = outgoing.ticket(index);
            let connection = &self.connections[ticket.slot];
            debug_assert!(!connection.state.has(Readiness::TRACKED));
            let bytes = outgoing.bytes(index);
            // A transmit whose bytes moved to an outbox has none left.
            if bytes == 0 {
                continue;
            }
            let Some(socket) = &connection.socket else {
                continue;
            };
            let (count, failed) = match write(socket, outgoing.slices(index)) {
                Written::Some(count) if count == bytes => continue,
                Written::Some(count) => (count, false),
                Written::NoMemory => (0, false),
                Written::Failed => (0, true),
            };
            short_sends.push(ShortSend {
                ticket,
                count,
                failed,
            });
        }
    }

    /// Goes on with the tracked sends that may get further. A send that ends is reaped next.
    pub(super) fn send_due(&mut self) {
        let mut due = std::mem::take(&mut self.tracked.due);
        for ticket in due.drain(..) {
            self.go_on(ticket);
        }
        self.tracked.due = due;
    }

    fn go_on(&mut self, ticket: Ticket) {
        let connection = &mut self.connections[ticket.slot];
        if !connection.belongs_to(ticket) || !connection.state.has(Readiness::TRACKED) {
            return;
        }
        let Some(socket) = &connection.socket else {
            return;
        };
        let Some(tracked) = self.tracked.under_way.get_mut(&ticket.slot) else {
            return;
        };
        let failed = loop {
            if tracked.rest.is_empty() {
                break false;
            }
            match write(socket, tracked.rest.iter().map(|bytes| &bytes[..])) {
                Written::Some(0) => {
                    if connection.state.has(Readiness::WATCHED)
                        || watch(&self.epoll, ticket.slot, socket)
                    {
                        connection.state.set(Readiness::WATCHED);
                        return;
                    }
                    break true;
                }
                Written::Some(count) => tracked.advance(count),
                Written::NoMemory => {
                    self.tracked.pause(ticket, self.now);
                    return;
                }
                Written::Failed => break true,
            }
        };
        let count = tracked.sent;
        self.tracked.under_way.remove(&ticket.slot);
        connection.state.clear(Readiness::TRACKED);
        connection.state.set(Readiness::PENDING);
        self.pending.push(Completion::Sent {
            ticket,
            count,
            failed,
        });
    }
}

/// The kernel says from now on when there is room. It says so at once if there is some already.
fn watch(epoll: &OwnedFd, slot: u32, socket: &OwnedFd) -> bool {
    let flags = RECEIVES | epoll::EventFlags::OUT;
    match epoll::modify(epoll, socket, Token::Connection(slot).data(), flags) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, "a socket cannot be waited for");
            false
        }
    }
}

/// One call. What the kernel has no room for now is not written.
fn write<'a>(socket: &OwnedFd, mut slices: impl Iterator<Item = &'a [u8]>) -> Written {
    let Some(first) = slices.next() else {
        return Written::Some(0);
    };
    let Some(second) = slices.next() else {
        return judge(|| send(socket, first, FLAGS));
    };
    let mut vectors = [IoSlice::new(&[]); TRACKED_SEGMENTS_MAX];
    let mut count = 0;
    for (vector, slice) in vectors
        .iter_mut()
        .zip([first, second].into_iter().chain(slices))
    {
        *vector = IoSlice::new(slice);
        count += 1;
    }
    judge(|| {
        let mut nothing = SendAncillaryBuffer::default();
        sendmsg(socket, &vectors[..count], &mut nothing, FLAGS)
    })
}

fn judge(mut call: impl FnMut() -> Result<usize, Errno>) -> Written {
    #[cfg(test)]
    let mut call = || shortage::next().map_or_else(&mut call, Err);
    loop {
        return match call() {
            Ok(count) => Written::Some(count),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Written::Some(0),
            Err(Errno::NOBUFS | Errno::NOMEM) => Written::NoMemory,
            Err(_) => Written::Failed,
        };
    }
}

const _: () = assert!(Outgoing::SEGMENTS_MAX <= TRACKED_SEGMENTS_MAX);

/// A kernel that is short of memory, as far as this thread's sends see it.
#[cfg(test)]
pub(super) mod shortage {
    use rustix::io::Errno;
    use std::cell::Cell;

    thread_local! {
        static CALLS: Cell<u32> = const { Cell::new(0) };
    }

    /// The next so many sends fail.
    pub(in crate::driver::portable) fn begin(calls: u32) {
        CALLS.set(calls);
    }

    /// How the next send fails, if it does.
    pub(super) fn next() -> Option<Errno> {
        let left = CALLS.replace(CALLS.get().saturating_sub(1));
        (left > 0).then_some(Errno::NOBUFS)
    }
}
