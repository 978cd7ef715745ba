//! Whether every stream of numbered messages arrived complete and in order.
//! Invariant: arrived + lost = sent, for every stream. Called by the loads.

use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// What went wrong, in messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Faults {
    /// Never arrived.
    pub(crate) lost: u64,
    /// Arrived again.
    pub(crate) duplicated: u64,
    /// Arrived after a later one.
    pub(crate) out_of_order: u64,
    /// Arrived damaged, or where they do not belong. Each also counts as lost.
    pub(crate) corrupted: u64,
}

/// What an arrival was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The next one, or one after a hole of `skipped` messages.
    New {
        /// Size of the hole.
        skipped: u64,
    },
    /// Fills a hole.
    Late,
    /// Seen before, or never sent.
    Repeated,
}

/// The streams of one worker.
#[derive(Debug)]
pub(crate) struct Tally {
    next: Vec<u64>,
    /// Holes: (stream, sequence).
    missing: HashSet<(usize, u64)>,
    faults: Faults,
    arrived: u64,
}

/// Holes remembered one by one; beyond, they are lost even if they arrive late (which then counts
/// as a duplicate).
const HOLES_MAX: u64 = 1_000_000;

impl Tally {
    /// Streams are numbered from 0.
    pub(crate) fn new(streams: usize) -> Tally {
        Tally {
            next: vec![0; streams],
            missing: HashSet::new(),
            faults: Faults::default(),
            arrived: 0,
        }
    }

    /// Message `sequence` of a stream arrived.
    pub(crate) fn arrive(&mut self, stream: usize, sequence: u64) -> Arrival {
        let next = &mut self.next[stream];
        if sequence < *next {
            return if self.missing.remove(&(stream, sequence)) {
                self.faults.out_of_order += 1;
                self.arrived += 1;
                Arrival::Late
            } else {
                self.faults.duplicated += 1;
                Arrival::Repeated
            };
        }
        let skipped = sequence - *next;
        if skipped > 0 {
            let room = HOLES_MAX
                .saturating_sub(self.missing.len() as u64)
                .min(skipped);
            self.missing
                .extend((*next..*next + room).map(|hole| (stream, hole)));
            self.faults.lost += skipped - room;
        }
        *next = sequence + 1;
        self.arrived += 1;
        Arrival::New { skipped }
    }

    /// A message came that is none.
    pub(crate) fn corrupted(&mut self) {
        self.faults.corrupted += 1;
    }

    /// The sequence a stream waits for.
    pub(crate) fn next(&self, stream: usize) -> u64 {
        self.next[stream]
    }

    /// Different messages that arrived, in all streams.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived
    }

    /// The account when all is over, given how many each stream was sent.
    pub(crate) fn settle(mut self, sent: impl Fn(usize) -> u64) -> Faults {
        let tails = self
            .next
            .iter()
            .enumerate()
            .map(|(stream, next)| sent(stream).saturating_sub(*next));
        self.faults.lost += tails.sum::<u64>() + self.missing.len() as u64;
        self.faults
    }
}

/// One more step of a hash over the order in which messages arrived.
pub(crate) fn chain(hash: u64, publisher: u32, sequence: u64) -> u64 {
    let item = (u64::from(publisher) << 32 ^ sequence).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash.rotate_left(5) ^ item).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arrivals: &[u64], sent: u64, expected: Faults) {
        let mut tally = Tally::new(2);
        for &sequence in arrivals {
            tally.arrive(1, sequence);
        }
        let arrived = tally.arrived();
        let faults = tally.settle(|stream| if stream == 1 { sent } else { 0 });
        assert_eq!(faults, expected, "{arrivals:?} of {sent}");
        assert_eq!(arrived + faults.lost, sent, "{arrivals:?} of {sent}");
    }

    #[test]
    fn every_fault_is_told_from_the_others() {
        let good = Faults::default();
        check(&[], 0, good);
        check(&[0, 1, 2], 3, good);
        check(&[0, 2], 3, Faults { lost: 1, ..good });
        check(&[0, 1], 3, Faults { lost: 1, ..good });
        check(&[], 3, Faults { lost: 3, ..good });
        check(
            &[0, 0, 1, 2, 1],
            3,
            Faults {
                duplicated: 2,
                ..good
            },
        );
        check(
            &[1, 0, 2],
            3,
            Faults {
                out_of_order: 1,
                ..good
            },
        );
        check(
            &[2, 1, 0],
            3,
            Faults {
                out_of_order: 2,
                ..good
            },
        );
        check(
            &[3, 1, 1],
            4,
            Faults {
                out_of_order: 1,
                duplicated: 1,
                lost: 2,
                ..good
            },
        );
    }

    #[test]
    fn a_hole_too_large_to_remember_is_lost() {
        let mut tally = Tally::new(1);
        assert_eq!(
            tally.arrive(0, HOLES_MAX + 5),
            Arrival::New {
                skipped: HOLES_MAX + 5
            }
        );
        assert_eq!(tally.arrive(0, 0), Arrival::Late);
        assert_eq!(tally.settle(|_| HOLES_MAX + 6).lost, HOLES_MAX + 4);
    }

    #[test]
    fn the_chain_depends_on_the_order() {
        let hash = |order: &[(u32, u64)]| order.iter().fold(0, |hash, &(p, s)| chain(hash, p, s));
        assert_eq!(hash(&[(0, 0), (1, 0)]), hash(&[(0, 0), (1, 0)]));
        assert_ne!(hash(&[(0, 0), (1, 0)]), hash(&[(1, 0), (0, 0)]));
        assert_ne!(hash(&[(0, 0), (0, 1)]), hash(&[(0, 0)]));
    }
}
