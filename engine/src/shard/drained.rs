//! A shard that is drained: it stops accepting, and its connections are told and closed, some a
//! tick. Called for the command, by the tick, and where a shard goes on that was draining.

use super::Shard;
use super::draining::Draining;
use crate::application::Application;
use crate::connection::phase::Phase;
use crate::driver::boundary::{Driver, StopAccept};
use crate::types::close_reason::CloseReason;
use shardcast_protocol::close::CloseCode;
use std::num::NonZeroU32;

impl<A: Application, D: Driver> Shard<A, D> {
    /// Stops accepting; every connection is told, closed with 1001, and given the close deadline.
    /// Who is accepted and not open yet is answered first, within a second of its accept.
    pub fn start_drain(&mut self, listeners: StopAccept) {
        self.start_paced_drain(listeners, NonZeroU32::MAX);
    }

    /// The same, closing so many each second.
    pub fn start_paced_drain(&mut self, listeners: StopAccept, pace: NonZeroU32) {
        if self.drain.is_none() {
            self.driver.stop_accepting(listeners);
            self.spare_listeners = Vec::new();
            let open = self.core.connections.slots.in_phase(Phase::Open);
            self.drain = Some(Draining::new(open, pace, self.core.connections.now));
            self.hurry_requests();
            let waiting = self.core.connections.slots.in_phase(Phase::Authenticating);
            for ticket in waiting.collect::<Vec<_>>() {
                self.core.refuse(ticket, 503, "the server stops");
            }
        }
    }

    /// Draining, and no connection is left.
    pub fn is_drained(&self) -> bool {
        self.drain.is_some() && self.core.connections.slots.live() == 0 && !self.driver.may_accept()
    }

    /// Closes a bounded number of connections, so that a drain does not starve the deliveries
    /// before it.
    pub(super) fn drain_some(&mut self) {
        /// Connections told per tick.
        const CLOSES_PER_TICK: usize = 256;
        for _ in 0..CLOSES_PER_TICK {
            let now = self.core.connections.now;
            let Some(ticket) = self.drain.as_mut().and_then(|drain| drain.next(now)) else {
                return;
            };
            if self.core.connections.slots.phase(ticket) == Phase::Open {
                self.call(ticket, None, |application, context, session| {
                    application.draining(context, session)
                });
                let code = CloseCode::GOING_AWAY;
                (self.core).close(ticket, code, "draining", CloseReason::Draining);
            }
        }
    }
}
