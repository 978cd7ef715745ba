//! Deadlines: one per connection, its meaning given by the phase.

use super::Shard;
use crate::connection::{Flags, HEARD_MS};
use crate::driver::{Driver, Millis};
use crate::phase::Phase;
use crate::{Application, CloseReason, Ticket};
use shardcast_protocol::close::CloseCode;
use shardcast_protocol::frame::OpCode;

/// Deadlines met per tick; the rest wait for the next.
const DEADLINES_PER_TICK: usize = 1024;

impl<A: Application, D: Driver> Shard<A, D> {
    pub(super) fn meet_deadlines(&mut self) {
        let mut slots = Vec::new();
        self.core.wheel.expire(self.core.now, &mut slots);
        let connections = &self.core.connections;
        self.due
            .extend(slots.into_iter().map(|slot| connections.ticket(slot)));
        for _ in 0..DEADLINES_PER_TICK {
            let Some(ticket) = self.due.pop_front() else {
                return;
            };
            self.meet(ticket);
        }
    }

    fn meet(&mut self, ticket: Ticket) {
        // It waited its turn, and the connection went on in the meantime: the new deadline counts.
        if self.core.wheel.is_scheduled(ticket.slot) {
            return;
        }
        match self.core.connections.phase(ticket) {
            Phase::Free | Phase::Retiring => {}
            Phase::Upgrading => {
                self.core.counters.closed_deadline.add(1);
                self.core.refuse(ticket, 408, "no complete request in time");
            }
            Phase::Open => self.check_life(ticket),
            Phase::Closing | Phase::Flushing | Phase::Lingering => {
                self.core.counters.closed_deadline.add(1);
                self.core.lose(ticket);
            }
        }
    }

    /// Silence: first a ping, then the end. Any byte from the peer counts as a sign of life. Who is parked cannot be heard.
    fn check_life(&mut self, ticket: Ticket) {
        let limits = self.core.limits;
        let connection = self.core.connections.at(ticket.slot);
        if connection.flags.has(Flags::PARKED) {
            let at = self.core.now + limits.heartbeat_ms;
            self.core.wheel.schedule(ticket.slot, at);
            return;
        }
        let heard = Millis::from(connection.heard) * HEARD_MS;
        let silence = self.core.now.saturating_sub(heard);
        let partial = connection
            .cold
            .as_ref()
            .filter(|cold| !cold.partial.is_empty());
        let frame_due = match partial {
            Some(cold) => cold.partial_since + limits.frame_ms,
            None => Millis::MAX,
        };
        let at = if frame_due <= self.core.now {
            return self.give_up(ticket, "a frame took too long");
        } else if connection.flags.has(Flags::PINGED) || silence >= limits.idle_ms {
            return self.give_up(ticket, "no sign of life");
        } else if silence >= limits.heartbeat_ms {
            connection.flags.set(Flags::PINGED);
            self.core.control(ticket, OpCode::Ping, b"");
            (self.core.now + limits.pong_ms).min(heard + limits.idle_ms)
        } else {
            heard + limits.heartbeat_ms.min(limits.idle_ms)
        };
        // The ping may have found the outbox full and ended it all.
        if self.core.connections.phase(ticket) == Phase::Open {
            self.core.wheel.schedule(ticket.slot, at.min(frame_due));
        }
    }

    fn give_up(&mut self, ticket: Ticket, text: &str) {
        self.core.counters.closed_deadline.add(1);
        self.core
            .close(ticket, CloseCode::POLICY, text, CloseReason::TimedOut);
    }
}
