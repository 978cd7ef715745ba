//! What unfinished messages take of the shard's memory budget.
//!
//! Memory is counted, not bytes that arrived. A connection's memory is counted right after it was
//! read, so one connection's growth exceeds the budget for the length of one call at most. Called
//! after each intake, and wherever input is dropped.

use super::Core;
use crate::connection::budget::OverBudget;
use crate::types::ticket::Ticket;
use shardcast_protocol::pieces::Pieces;

impl Core {
    /// Counts what the connection holds by now, and gives its cold part back when nothing is left
    /// in it. A connection that asks for more than the shard's budget has left is turned away; the
    /// others keep what they hold.
    pub(crate) fn account_input(&mut self, ticket: Ticket) {
        let Some(connection) = self.connections.get(ticket) else {
            return;
        };
        let Some(cold) = connection.cold.as_mut() else {
            return;
        };
        let now = cold.buffered_bytes();
        let counted = self.budget.resize_input(&mut cold.counted_bytes, now);
        self.counters.reassembly_bytes.set(self.budget.used());
        connection.release_cold(&mut self.spare);
        if counted == Err(OverBudget) {
            self.evict_over_budget(ticket);
        }
    }

    /// Nothing more is read from the connection: its input, and what is unfinished, goes.
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
