//! Names of connections: a ticket inside a shard, an address across shards.

use std::fmt;

/// A slot and the generation that used it. A ticket whose generation is over is *stale*: its
/// accounts are settled and nothing else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// Index in the shard's slab; chosen by the driver.
    pub slot: u32,
    /// Counts the slot's uses, modulo [`Ticket::GENERATIONS`].
    pub generation: u32,
}

impl Ticket {
    /// Generations before a slot's numbers repeat: 24 bits, because a completion's `user_data` also
    /// holds the slot and the operation.
    pub const GENERATIONS: u32 = 1 << 24;
}

/// A connection anywhere in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The owning shard.
    pub shard: u16,
    /// The connection on it.
    pub ticket: Ticket,
}

/// `shard-slot-generation` in hexadecimal, as logs name a connection.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ticket { slot, generation } = self.ticket;
        write!(f, "{:x}-{slot:x}-{generation:x}", self.shard)
    }
}
