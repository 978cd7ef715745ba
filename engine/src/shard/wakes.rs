//! Connections woken for their application: its deadlines belong to the shard, whatever becomes of
//! what was to meet them.

use super::Shard;
use crate::application::Application;
use crate::connection::phase::Phase;
use crate::driver::boundary::Driver;
use crate::types::ticket::Ticket;

/// Connections woken per tick; the rest wait for the next.
const WAKES_PER_TICK: usize = 1024;

impl<A: Application, D: Driver> Shard<A, D> {
    pub(super) fn wake_some(&mut self) {
        self.core
            .timers
            .woken(&self.core.connections, self.core.now, &mut self.woken);
        for _ in 0..WAKES_PER_TICK {
            let Some(ticket) = self.woken.pop_front() else {
                return;
            };
            self.wake(ticket);
        }
    }

    fn wake(&mut self, ticket: Ticket) {
        if self.core.connections.phase(ticket) != Phase::Open {
            return;
        }
        let next = self.call(ticket, None, |application, context, session| {
            application.due(context, session)
        });
        if let Some(at) = next.flatten() {
            self.core
                .timers
                .wake_at(&self.core.connections, ticket, self.core.now, at);
        }
        self.after_call();
    }
}
