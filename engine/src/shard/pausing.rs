//! Connections that their application does not want to be read for a while
//! ([`crate::Context::pause_until`]): they are held as parked ones are, and go on with those when
//! their time has come. Called by intake.

use super::Shard;
use crate::application::Application;
use crate::connection::phase::Phase;
use crate::connection::slot::Flags;
use crate::driver::boundary::Driver;
use crate::types::ticket::Ticket;

impl<A: Application, D: Driver> Shard<A, D> {
    /// The connection is not read further before its pause is over. It does not stand among those
    /// that are parked meanwhile, so that nobody looks at it.
    #[cold]
    pub(super) fn hold(&mut self, ticket: Ticket) {
        let now = self.core.connections.now;
        let connection = self.core.connections.slots.at(ticket.slot);
        if connection.flags.has(Flags::PARKED) {
            return;
        }
        self.core.counters.parked.add(1);
        connection.flags.set(Flags::PARKED);
        connection.cold().parked_since = now;
        self.core.connections.pending_work.park.push(ticket);
    }

    /// Those whose pause is over are read with those that are parked.
    #[inline(never)]
    pub(super) fn end_pauses(&mut self) {
        while let Some(ticket) = self
            .core
            .connections
            .pauses
            .ended(self.core.connections.now)
        {
            let connection = self.core.connections.slots.get(ticket);
            let held = connection.is_some_and(|connection| {
                connection.flags.has(Flags::PARKED) && connection.phase != Phase::Retiring
            });
            if held {
                self.parked.push_back(ticket);
            }
        }
    }
}
