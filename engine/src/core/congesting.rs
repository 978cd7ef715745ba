//! Whoever asks for more of a topic that is congested is not read until it has caught up, so that
//! what it says does not stand in the way of what others say. Called by what connections ask for,
//! and by intake.

use super::Core;
use crate::connection::phase::Phase;
use crate::topic::key::Topic;
use crate::types::ticket::Ticket;

impl Core {
    /// The connection has asked for something of a topic; `None`: everyone's.
    #[inline]
    pub(super) fn check_congestion(&mut self, ticket: Ticket, topic: Option<Topic<'_>>) {
        if !self.congestion.is_none() {
            self.await_topic(ticket, topic);
        }
    }

    #[cold]
    fn await_topic(&mut self, ticket: Ticket, topic: Option<Topic<'_>>) {
        let bucket = self.congestion.bucket(topic);
        if self.congestion.has(bucket) && self.connections.phase(ticket) == Phase::Open {
            self.connections.at(ticket.slot).cold().awaits = Some(bucket);
        }
    }

    /// No more of the connection is to be read: it is to be parked. Asked where there is more, so
    /// that whoever is parked has something unread.
    #[inline]
    pub(crate) fn must_await_topic(&mut self, ticket: Ticket) -> bool {
        let topics_awaited = !self.congestion.is_none() && self.awaits_turn(ticket);
        self.topics_awaited |= topics_awaited;
        topics_awaited
    }

    /// The connection is not to be read before a topic has caught up.
    pub(crate) fn awaits_turn(&self, ticket: Ticket) -> bool {
        if self.connections.phase(ticket) != Phase::Open {
            return false;
        }
        let cold = self.connections.ref_at(ticket.slot).cold.as_ref();
        let awaits = cold.and_then(|cold| cold.awaits);
        awaits.is_some_and(|bucket| self.congestion.has(bucket))
    }

    /// It goes on.
    pub(crate) fn take_turn(&mut self, ticket: Ticket) {
        if let Some(cold) = &mut self.connections.at(ticket.slot).cold {
            cold.awaits = None;
        }
    }
}
