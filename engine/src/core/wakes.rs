//! When connections are to be woken for their application ([`crate::Application::due`]): a wheel of
//! its own beside that of the engine's deadlines, made when the first one is asked for.
//!
//! Invariant: one entry per connection, the earliest time that was asked for.

use super::Core;
use crate::connection::phase::Phase;
use crate::connection::wheel::Wheel;
use crate::driver::boundary::Millis;
use crate::types::ticket::Ticket;

/// Whoever is to be woken later is woken once before: a day. The wheel counts in 32 bits.
const WAKE_MS_MAX: Millis = 24 * 60 * 60 * 1000;

impl Core {
    /// Has the application called for an open connection, unless it is called before.
    pub(crate) fn wake_at(&mut self, ticket: Ticket, at: Millis) {
        if self.connections.phase(ticket) != Phase::Open {
            return;
        }
        let at = at.min(self.now + WAKE_MS_MAX);
        let wheel = self.wakes.get_or_insert_with(|| Box::new(Wheel::new()));
        if wheel.is_scheduled(ticket.slot) {
            wheel.advance(ticket.slot, at);
        } else {
            wheel.schedule(ticket.slot, at);
        }
    }

    /// Those whose time has come, as long as they are the connections that asked.
    pub(crate) fn woken(&mut self, woken: &mut impl Extend<Ticket>) {
        if let Some(wheel) = &mut self.wakes {
            let mut slots = Vec::new();
            wheel.expire(self.now, &mut slots);
            let connections = &self.connections;
            woken.extend(slots.into_iter().map(|slot| connections.ticket(slot)));
        }
    }

    /// The connection ends.
    pub(super) fn never_wake(&mut self, ticket: Ticket) {
        if let Some(wheel) = &mut self.wakes {
            wheel.cancel(ticket.slot);
        }
    }

    /// When the next deadline of either sort comes.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        let wake = self.wakes.as_ref().and_then(|wheel| wheel.next_expiry());
        self.wheel.next_expiry().into_iter().chain(wake).min()
    }
}
