//! What the driver knows of a connection: its socket, whose it is, what the kernel said of it and
//! what is wanted. 12 bytes each.

use crate::types::ticket::Ticket;
use std::os::fd::OwnedFd;

/// One slot.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// `None`: the slot is free.
    pub(super) socket: Option<OwnedFd>,
    generation: u32,
    pub(super) state: Readiness,
}

const _: () = assert!(size_of::<Watched>() == 12);

impl Watched {
    /// Just accepted: nobody's yet.
    pub(super) fn of(socket: OwnedFd) -> Watched {
        Watched {
            socket: Some(socket),
            ..Watched::default()
        }
    }

    pub(super) fn give_to(&mut self, ticket: Ticket) {
        self.generation = ticket.generation;
    }

    pub(super) fn belongs_to(&self, ticket: Ticket) -> bool {
        self.socket.is_some() && self.generation == ticket.generation
    }

    /// Of the slot at this index.
    pub(super) fn ticket(&self, slot: u32) -> Ticket {
        Ticket {
            slot,
            generation: self.generation,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readiness(u8);

impl Readiness {
    /// The shard wants to receive.
    pub(super) const WANTED: u8 = 1;
    /// There may be something to receive: the kernel said so, and nothing has shown otherwise.
    pub(super) const READABLE: u8 = 2;
    /// The peer says no more, or the socket failed: what is there is received to its end, since
    /// the kernel does not say so again.
    pub(super) const ENDING: u8 = 4;
    /// It waits for a receive buffer, in the driver's order.
    pub(super) const WAITING: u8 = 8;
    /// A tracked send is under way.
    pub(super) const TRACKED: u8 = 16;
    /// The kernel tells when there is room to send.
    pub(super) const WATCHED: u8 = 32;
    /// An end that nobody has reaped yet.
    pub(super) const PENDING: u8 = 64;

    pub(super) fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }
    pub(super) fn set(&mut self, bits: u8) {
        self.0 |= bits;
    }
    pub(super) fn clear(&mut self, bits: u8) {
        self.0 &= !bits;
    }
}
