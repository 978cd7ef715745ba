//! When each connection is looked at next: one wheel for the engine's deadlines, one for those of
//! the application ([`crate::Application::due`]), which is made when the first time is asked for,
//! and the heartbeats of connections that are not sent pings.
//!
//! Invariant: one entry for each connection and wheel, the earliest time that was asked for.

use crate::connection::heartbeat::Heartbeats;
use crate::connection::phase::Phase;
use crate::connection::slot::Slots;
use crate::connection::wheel::Wheel;
use crate::driver::boundary::Millis;
use crate::types::ticket::Ticket;

/// A connection that asks for a later time is woken once before: after a day. The wheel counts in
/// 32 bits.
const WAKE_MS_MAX: Millis = 24 * 60 * 60 * 1000;

/// The times of one shard's connections.
#[derive(Debug)]
pub(crate) struct Timers {
    pub(crate) wheel: Wheel,
    pub(crate) heartbeats: Heartbeats,
    /// `None`: the application never asked for a time.
    wakes: Option<Box<Wakes>>,
}

/// The times that the application asked for.
#[derive(Debug)]
struct Wakes {
    /// Those of connections.
    wheel: Wheel,
    /// The shard's own.
    shard: Option<Millis>,
}

impl Wakes {
    fn next_expiry(&mut self) -> Option<Millis> {
        self.wheel.next_expiry().into_iter().chain(self.shard).min()
    }

    fn new() -> Box<Wakes> {
        Box::new(Wakes {
            wheel: Wheel::new(),
            shard: None,
        })
    }
}

impl Timers {
    pub(crate) fn new() -> Timers {
        Timers {
            wheel: Wheel::new(),
            heartbeats: Heartbeats::default(),
            wakes: None,
        }
    }

    /// Has the application called for an open connection, unless it is called before.
    pub(crate) fn wake_at(&mut self, slots: &Slots, ticket: Ticket, now: Millis, at: Millis) {
        if slots.phase(ticket) != Phase::Open {
            return;
        }
        let at = at.min(now + WAKE_MS_MAX);
        let wheel = &mut self.wakes.get_or_insert_with(Wakes::new).wheel;
        if wheel.is_scheduled(ticket.slot) {
            wheel.advance(ticket.slot, at);
        } else {
            wheel.schedule(ticket.slot, at);
        }
    }

    /// Has the application called for the shard, unless it is called before.
    pub(crate) fn wake_shard_at(&mut self, at: Millis) {
        let wakes = self.wakes.get_or_insert_with(Wakes::new);
        wakes.shard = Some(wakes.shard.map_or(at, |before| before.min(at)));
    }

    /// Those whose time has come, as long as they are the connections that asked; and whether the
    /// shard's has.
    pub(crate) fn woken(
        &mut self,
        slots: &Slots,
        now: Millis,
        woken: &mut impl Extend<Ticket>,
    ) -> bool {
        let Some(wakes) = &mut self.wakes else {
            return false;
        };
        let mut expired = Vec::new();
        wakes.wheel.expire(now, &mut expired);
        woken.extend(expired.into_iter().map(|slot| slots.ticket(slot)));
        wakes.shard.take_if(|at| *at <= now).is_some()
    }

    /// The connection ends: none of its times comes any more.
    pub(crate) fn cancel(&mut self, ticket: Ticket) {
        self.wheel.cancel(ticket.slot);
        if let Some(wakes) = &mut self.wakes {
            wakes.wheel.cancel(ticket.slot);
        }
        self.heartbeats.clear(ticket.slot);
    }

    /// None of the page's slots is in use.
    pub(crate) fn drop_page(&mut self, page: usize) {
        self.wheel.drop_page(page);
        if let Some(wakes) = &mut self.wakes {
            wakes.wheel.drop_page(page);
        }
        self.heartbeats.drop_page(page);
    }

    /// Keeps no wheel that holds no time.
    pub(crate) fn release_memory(&mut self) {
        self.wakes.take_if(|wakes| wakes.next_expiry().is_none());
    }

    /// When the next deadline of either sort comes.
    pub(crate) fn next_deadline(&mut self) -> Option<Millis> {
        let next = self.wheel.next_expiry();
        let Some(wakes) = &mut self.wakes else {
            return next;
        };
        next.into_iter().chain(wakes.next_expiry()).min()
    }
}
