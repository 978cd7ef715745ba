//! The connections that a drain has yet to close, and how many may be by now.
//!
//! Invariant: whoever was open when the drain began, or opens while it goes on, stands here once.
//! Used by the shard alone.

use crate::driver::boundary::Millis;
use crate::types::ticket::Ticket;
use std::collections::VecDeque;
use std::num::NonZeroU32;

/// A drain of one shard.
#[derive(Debug)]
pub(super) struct Draining {
    waiting: VecDeque<Ticket>,
    /// Closes a second.
    pace: NonZeroU32,
    begun: Millis,
    closed: u64,
}

impl Draining {
    pub(super) fn new(
        waiting: impl Iterator<Item = Ticket>,
        pace: NonZeroU32,
        now: Millis,
    ) -> Draining {
        Draining {
            waiting: waiting.collect(),
            pace,
            begun: now,
            closed: 0,
        }
    }

    /// Whoever opens late is closed behind the others.
    pub(super) fn push(&mut self, ticket: Ticket) {
        self.waiting.push_back(ticket);
    }

    /// The next connection to close, if it may be closed by now.
    pub(super) fn next(&mut self, now: Millis) -> Option<Ticket> {
        if now < self.due()? {
            return None;
        }
        self.closed += 1;
        self.waiting.pop_front()
    }

    /// When the next may be closed. `None`: nobody waits.
    pub(super) fn due(&self) -> Option<Millis> {
        let milliseconds = self.closed * 1_000 / u64::from(self.pace.get());
        (!self.waiting.is_empty()).then_some(self.begun + milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_closed_each_second_and_none_is_forgotten() {
        for pace in [1, 3, 999, 1_000, 50_000] {
            let ticket = |slot| Ticket {
                slot,
                generation: 1,
            };
            let rate = NonZeroU32::new(pace).expect("not zero");
            let mut draining = Draining::new((0..pace * 2).map(ticket), rate, 70);
            let mut closed = Vec::new();
            for now in 70..2_070 {
                while let Some(ticket) = draining.next(now) {
                    closed.push(ticket.slot);
                }
                let most = (u64::from(pace) * (now - 69)).div_ceil(1_000);
                assert!(closed.len() as u64 <= most, "{pace} {now}");
                assert!(draining.due().is_none_or(|due| due > now));
            }
            assert!(closed.iter().copied().eq(0..pace * 2), "{pace}");
            draining.push(ticket(7));
            assert_eq!(draining.next(2_070), Some(ticket(7)));
            assert_eq!(draining.next(9_000), None);
        }
    }
}
