//! Connections woken for their application: its deadlines belong to the shard, whatever becomes of
//! what was to meet them.

use super::Shard;
use crate::application::Application;
use crate::confine::{Panicked, confine};
use crate::connection::phase::Phase;
use crate::driver::boundary::Driver;
use crate::types::ticket::Ticket;

/// Connections woken per tick; the rest wait for the next.
const WAKES_PER_TICK: usize = 1024;

impl<A: Application, D: Driver> Shard<A, D> {
    pub(super) fn wake_some(&mut self) {
        let core = &mut self.core;
        let timers = &mut core.connections.timers;
        if timers.woken(
            &core.connections.slots,
            core.connections.now,
            &mut self.woken,
        ) {
            self.wake_application();
        }
        for _ in 0..WAKES_PER_TICK {
            let Some(ticket) = self.woken.pop_front() else {
                return;
            };
            self.wake(ticket);
        }
    }

    /// The shard begins or ends, or the time has come that the application has asked for itself.
    #[cold]
    pub fn wake_application(&mut self) {
        let now = self.driver.now();
        match confine(|| self.application.shard_due(now)) {
            Ok(Some(at)) => self.core.connections.timers.wake_shard_at(at),
            Ok(None) => {}
            Err(Panicked) => self.core.count_panic(None),
        }
    }

    fn wake(&mut self, ticket: Ticket) {
        if self.core.connections.slots.phase(ticket) != Phase::Open {
            return;
        }
        let next = self.call(ticket, None, |application, context, session| {
            application.due(context, session)
        });
        if let Some(at) = next.flatten() {
            self.core.connections.timers.wake_at(
                &self.core.connections.slots,
                ticket,
                self.core.connections.now,
                at,
            );
        }
        self.after_call();
    }
}
