//! The account of what unfinished messages take: the one place that counts it, and holds it below
//! the shard's budget.
//!
//! Counted is memory, not bytes that arrived. What a connection asks for is counted right after it
//! was read, so the budget is passed for the length of one call at most, by one connection's
//! growth. Called after each intake, and wherever unread bytes are dropped.

use super::Core;
use crate::types::ticket::Ticket;
use shardcast_protocol::pieces::Pieces;

/// Whoever holds no more may ask for the last eighth of the budget (less where one message needs
/// it): those who hold much leave it to ordinary messages that came in two pieces.
const SMALL_BYTES: usize = 64 << 10;

impl Core {
    /// Counts what the connection holds by now, and gives its cold part back when nothing is left
    /// in it. Whoever asks for more than the shard's budget has left is turned away; what others
    /// hold is theirs.
    pub(crate) fn account_input(&mut self, ticket: Ticket) {
        let Some(connection) = self.connections.get(ticket) else {
            return;
        };
        let Some(cold) = connection.cold.as_mut() else {
            return;
        };
        let (before, now) = (cold.counted_bytes, cold.buffered_bytes());
        cold.counted_bytes = now;
        self.counters.reassembly_bytes.sub(before as u64);
        self.counters.reassembly_bytes.add(now as u64);
        connection.release_cold(&mut self.spare);
        let all = self.counters.reassembly_bytes.get();
        let all_max = match now > SMALL_BYTES {
            true => self.limits.reassembly_bulk_bytes_max,
            false => self.limits.reassembly_bytes_max,
        };
        if now > before && all > all_max {
            self.turn_away(ticket);
        }
    }

    /// Nothing more is read from the connection: what was unread, or unfinished, goes.
    pub(super) fn drop_input(&mut self, ticket: Ticket) {
        let connection = self.connections.at(ticket.slot);
        if let Some(cold) = connection.cold.as_mut() {
            self.spare.put(std::mem::take(&mut cold.input));
            cold.assembly = None;
            cold.pieces = Pieces::default();
            self.account_input(ticket);
        }
    }
}
