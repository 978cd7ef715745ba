//! What the driver knows of a slot: whose it is, and which operations are under way on it. 4 bytes
//! each.

use crate::types::ticket::Ticket;

/// What the driver knows of a slot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    /// Little end first.
    generation: [u8; 3],
    pub(super) state: State,
}

const _: () = assert!(size_of::<Slot>() == 4 && Ticket::GENERATIONS == 1 << 24);

impl Slot {
    pub(super) fn belongs_to(self, ticket: Ticket) -> bool {
        self.ticket(ticket.slot) == ticket
    }

    /// Of the slot at this index, with the generation that it was given to last.
    pub(super) fn ticket(self, slot: u32) -> Ticket {
        let [low, middle, high] = self.generation;
        let generation = u32::from_le_bytes([low, middle, high, 0]);
        Ticket { slot, generation }
    }

    pub(super) fn give_to(&mut self, ticket: Ticket) {
        let [low, middle, high, _] = ticket.generation.to_le_bytes();
        self.generation = [low, middle, high];
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State(pub(super) u8);

impl State {
    /// Between accept and close.
    pub(super) const USED: u8 = 1;
    /// The shard wants to receive.
    pub(super) const WANTED: u8 = 2;
    /// The kernel has a receive under way.
    pub(super) const ARMED: u8 = 4;
    /// That receive is being cancelled because the shard asked for it.
    pub(super) const STOPPING: u8 = 8;
    /// A tracked send is under way.
    pub(super) const TRACKED: u8 = 16;
    /// The shard has closed it; the descriptor is closed when nothing is under way.
    pub(super) const CLOSING: u8 = 32;
    /// A FIN was asked for and the kernel has not answered.
    pub(super) const SHUTTING: u8 = 64;
    /// It waits for a receive buffer, in its ring's order.
    pub(super) const WAITING: u8 = 128;

    /// Something is under way: the descriptor may not be closed.
    pub(super) const BUSY: u8 = Self::ARMED | Self::TRACKED | Self::SHUTTING;

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
