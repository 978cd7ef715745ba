//! What a completion says about its operation: 8 bits of operation, 24 of generation, 32 of slot.

use crate::types::ticket::Ticket;

/// Which operation completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Op {
    /// Slot: which accept of which listener.
    Accept = 1,
    Receive = 2,
    Transmit = 3,
    Tracked = 4,
    Close = 5,
    Cancel = 6,
    ShutDown = 7,
    /// Another shard rang.
    Wake = 8,
    /// The control plane rang.
    Bell = 9,
    /// A ring that does not sleep has something. Slot: its index.
    Sibling = 10,
    /// Our ring to another shard failed. Slot: the shard.
    Ring = 11,
    /// Both directions, before the descriptor is closed.
    ShutBoth = 12,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UserData(pub(super) u64);

impl UserData {
    pub(super) fn of(op: Op, ticket: Ticket) -> UserData {
        debug_assert!(ticket.generation < Ticket::GENERATIONS);
        UserData((op as u64) << 56 | u64::from(ticket.generation) << 32 | u64::from(ticket.slot))
    }

    /// An operation that belongs to no connection.
    pub(super) fn plain(op: Op, index: u32) -> UserData {
        UserData((op as u64) << 56 | u64::from(index))
    }

    pub(super) fn ticket(self) -> Ticket {
        Ticket {
            slot: self.0 as u32,
            generation: (self.0 >> 32) as u32 % Ticket::GENERATIONS,
        }
    }

    pub(super) fn op(self) -> Op {
        match (self.0 >> 56) as u8 {
            1 => Op::Accept,
            2 => Op::Receive,
            3 => Op::Transmit,
            4 => Op::Tracked,
            5 => Op::Close,
            6 => Op::Cancel,
            7 => Op::ShutDown,
            8 => Op::Wake,
            9 => Op::Bell,
            10 => Op::Sibling,
            11 => Op::Ring,
            12 => Op::ShutBoth,
            other => unreachable!("a completion of operation {other}, which nobody started"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_every_operation_and_the_largest_ticket() {
        let ticket = Ticket {
            slot: u32::MAX,
            generation: Ticket::GENERATIONS - 1,
        };
        for op in [
            Op::Accept,
            Op::Receive,
            Op::Transmit,
            Op::Tracked,
            Op::Close,
            Op::Cancel,
            Op::ShutDown,
            Op::Wake,
            Op::Bell,
            Op::Sibling,
            Op::Ring,
            Op::ShutBoth,
        ] {
            let user_data = UserData::of(op, ticket);
            assert_eq!((user_data.op(), user_data.ticket()), (op, ticket));
        }
    }
}
