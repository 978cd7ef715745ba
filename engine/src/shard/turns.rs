//! Crowds that come or go at once: requests and ends have a budget in each tick, so that what a
//! crowd costs those who talk is bounded, and neither holds up the other.
//!
//! Invariants: a tick answers [`REQUESTS_PER_TICK`] request heads and ends [`ENDS_PER_TICK`] open
//! connections; more wait for the next ones in the order in which they came, and nobody overtakes
//! them. Of requests [`WAITING_MAX`] wait, unread, so TCP holds their clients back; one more is
//! answered 503. Accepts ([`crate::driver::boundary::ACCEPTS_PER_TURN`]) and handshakes of TLS have
//! budgets of their own. Called by the tick and by intake.

use super::Shard;
use crate::application::{Application, Refusal};
use crate::connection::input::Need;
use crate::connection::phase::Phase;
use crate::driver::boundary::{Driver, ReceiveEnd};
use crate::shard::crowd::{ENDS_PER_TICK, REQUESTS_PER_TICK, RETRY_AFTER_SECONDS, WAITING_MAX};
use crate::types::ticket::Ticket;

impl<A: Application, D: Driver> Shard<A, D> {
    /// A tick begins: those who waited come first.
    #[inline]
    pub(super) fn begin_turns(&mut self) {
        self.crowd.requests_left = REQUESTS_PER_TICK;
        self.crowd.ends_left = ENDS_PER_TICK;
        if self.crowd.is_waiting() {
            self.take_waiting();
        }
    }

    #[cold]
    fn take_waiting(&mut self) {
        while self.crowd.ends_left > 0
            && let Some((ticket, why)) = self.crowd.ends.pop_front()
        {
            self.crowd.ends_left -= 1;
            self.receive_ended(ticket, why);
            self.report_ended();
        }
        // A head that is not complete yet takes no budget, so more than that may be looked at.
        for _ in 0..self.crowd.requests.len() {
            if self.crowd.is_full() {
                return;
            }
            if let Some(ticket) = self.crowd.requests.pop_front() {
                self.read_again(ticket);
            }
        }
    }

    /// A request has to wait for the next tick: it is not read until then, or is refused where as
    /// many wait as may. `bytes` of it are there.
    #[cold]
    pub(super) fn queue_request(&mut self, ticket: Ticket, bytes: usize) -> Result<usize, Need> {
        if self.crowd.requests.len() >= WAITING_MAX {
            self.core.counters.refused_waiting.add(1);
            let refusal = self.busy("too many clients connect, try again later");
            self.refuse_client(ticket, None, refusal);
            return Ok(bytes);
        }
        self.hold(ticket);
        self.crowd.requests.push_back(ticket);
        Err(Need::Any)
    }

    /// A refusal of who may come back, and when: each is told another second, so that a crowd does
    /// not come back as one.
    pub(super) fn busy(&mut self, reason: &str) -> Refusal {
        let seconds = 1 + self.crowd.turned_away % RETRY_AFTER_SECONDS;
        self.crowd.turned_away = self.crowd.turned_away.wrapping_add(1);
        let refusal = Refusal::new(503, reason);
        let told = refusal.with_header("Retry-After", &seconds.to_string());
        told.unwrap_or_else(Refusal::from)
    }

    /// A connection's peer has gone, or it is not received for any more.
    pub(super) fn receive_over(&mut self, ticket: Ticket, why: ReceiveEnd) {
        let is_open = self.core.connections.slots.phase(ticket) == Phase::Open;
        let costs = is_open && why != ReceiveEnd::Stopped;
        if costs && self.crowd.ends_left == 0 {
            return self.crowd.ends.push_back((ticket, why));
        }
        self.crowd.ends_left -= usize::from(costs);
        self.receive_ended(ticket, why);
    }
}
