//! Connections that are not read until a time that the application has named, or until it says so.
//!
//! Invariant: a pause is over at its time, whatever becomes of its connection; there is one time
//! for each connection, the latest that was asked for. A hold is over when the application says so,
//! or its connection leaves the open state. Owned by `core`; asked where
//! there is more to read.

use crate::driver::boundary::Millis;
use crate::types::ticket::Ticket;
use foldhash::fast::FixedState;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// One shard's.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    until: HashMap<Ticket, Millis, FixedState>,
    /// Times of pauses; one that was made longer has several, of which the last counts.
    times: BinaryHeap<Reverse<(Millis, Ticket)>>,
}

impl Pauses {
    /// The longest pause, in milliseconds: who owes more pauses again when it is read.
    const MS_MAX: Millis = 10_000;

    /// The connection is not read before `until`.
    pub(crate) fn pause(&mut self, ticket: Ticket, now: Millis, until: Millis) {
        let until = until.min(now + Self::MS_MAX);
        let held = self.until.entry(ticket).or_default();
        if *held < until && until > now {
            *held = until;
            self.times.push(Reverse((until, ticket)));
        }
    }

    /// The connection is not read before [`Pauses::release`]; what it was paused for counts no
    /// more.
    pub(crate) fn hold(&mut self, ticket: Ticket) {
        self.until.insert(ticket, Self::HELD);
    }

    /// The connection, if it is held, is read again.
    pub(crate) fn release(&mut self, ticket: Ticket, now: Millis) {
        if let Some(until) = self.until.get_mut(&ticket)
            && *until == Self::HELD
        {
            *until = now;
            self.times.push(Reverse((now, ticket)));
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    /// Whether the connection is to wait.
    pub(crate) fn holds(&self, ticket: Ticket, now: Millis) -> bool {
        self.until.get(&ticket).is_some_and(|until| *until > now)
    }

    /// When the next pause may be over.
    pub(crate) fn next_end(&self) -> Option<Millis> {
        self.times.peek().map(|Reverse((until, _))| *until)
    }

    /// A connection whose pause is over.
    pub(crate) fn ended(&mut self, now: Millis) -> Option<Ticket> {
        while let Some(&Reverse((time, ticket))) = self.times.peek()
            && time <= now
        {
            self.times.pop();
            if self.until.get(&ticket).is_some_and(|until| *until <= now) {
                self.until.remove(&ticket);
                return Some(ticket);
            }
        }
        if self.until.is_empty() && self.until.capacity() > Self::KEPT {
            *self = Pauses::default();
        }
        None
    }

    /// The time of a hold: there is none.
    const HELD: Millis = Millis::MAX;
    /// Places that are kept when nobody pauses.
    const KEPT: usize = 1_024;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(slot: u32) -> Ticket {
        let generation = 1;
        Ticket { slot, generation }
    }

    #[test]
    fn the_latest_time_counts_and_each_pause_ends_once() {
        let mut pauses = Pauses::default();
        pauses.pause(ticket(1), 0, 50);
        pauses.pause(ticket(2), 0, 20);
        pauses.pause(ticket(1), 0, 80);
        pauses.pause(ticket(1), 0, 30);
        assert_eq!(pauses.next_end(), Some(20));
        assert!(pauses.holds(ticket(1), 79) && !pauses.holds(ticket(1), 80));
        assert!(!pauses.holds(ticket(3), 0));
        assert_eq!(
            (pauses.ended(19), pauses.ended(20)),
            (None, Some(ticket(2)))
        );
        assert_eq!(
            (pauses.ended(79), pauses.ended(80)),
            (None, Some(ticket(1)))
        );
        assert!(pauses.is_empty() && pauses.next_end().is_none());
    }

    #[test]
    fn a_hold_ends_when_it_is_released_and_leaves_nothing() {
        let mut pauses = Pauses::default();
        for round in 0..3 {
            pauses.pause(ticket(1), 0, 50);
            pauses.hold(ticket(1));
            pauses.pause(ticket(1), 0, 60);
            assert!(pauses.holds(ticket(1), Pauses::MS_MAX * 10));
            assert_eq!(pauses.ended(100), None, "{round}");
            pauses.release(ticket(1), 100);
            pauses.release(ticket(1), 100);
            assert!(!pauses.holds(ticket(1), 100));
            assert_eq!(
                (pauses.ended(100), pauses.ended(100)),
                (Some(ticket(1)), None)
            );
            assert!(pauses.is_empty() && pauses.times.is_empty(), "{round}");
        }
        pauses.hold(ticket(2));
        pauses.release(ticket(3), 100);
        assert_eq!(pauses.next_end(), None);
    }

    #[test]
    fn nobody_pauses_for_ever() {
        let mut pauses = Pauses::default();
        pauses.pause(ticket(1), 5, u64::MAX);
        assert_eq!(pauses.next_end(), Some(5 + Pauses::MS_MAX));
        for slot in 0..10_000 {
            pauses.pause(ticket(slot), 5, 6);
        }
        let ended = std::iter::from_fn(|| pauses.ended(Pauses::MS_MAX + 5)).count();
        assert_eq!(ended, 10_000);
        assert_eq!(pauses.until.capacity(), 0, "what many took is given back");
    }
}
