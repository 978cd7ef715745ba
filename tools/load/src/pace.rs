//! When messages leave. Called by the loads.

use serde::{Deserialize, Serialize};

/// How a load decides to send.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pace {
    /// Every sender keeps this many messages unanswered.
    Closed(u32),
    /// By the clock: messages a second, all senders together, `burst` at a time.
    Rate {
        /// Above 0.
        per_s: f64,
        /// At least 1.
        burst: u32,
    },
    /// One message to each room and one to everyone.
    Once,
    /// Never.
    Silent,
}

/// Intended send times of bursts at a steady rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    start_ns: u64,
    end_ns: u64,
    interval_ns: f64,
    /// Number of the next burst.
    burst: u64,
}

impl Schedule {
    /// `bursts_per_s` bursts a second in `start_ns..end_ns`.
    pub(crate) fn new(start_ns: u64, end_ns: u64, bursts_per_s: f64) -> Schedule {
        assert!(bursts_per_s > 0.0, "checked by the plan");
        Schedule {
            start_ns,
            end_ns,
            interval_ns: 1e9 / bursts_per_s,
            burst: 0,
        }
    }

    /// When the next burst is meant to leave; `None` after the last one.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let next = self.start_ns + (self.burst as f64 * self.interval_ns) as u64;
        (next < self.end_ns).then_some(next)
    }

    /// Takes the next burst, its number and its time, if it is due.
    pub(crate) fn take(&mut self, now_ns: u64) -> Option<(u64, u64)> {
        let due = self.next_ns().filter(|&next| next <= now_ns)?;
        self.burst += 1;
        Some((self.burst - 1, due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_schedule_catches_up_and_keeps_its_times() {
        let mut schedule = Schedule::new(1_000, 1_000 + 1_000_000_000, 4.0);
        assert_eq!(schedule.take(999), None);
        assert_eq!(schedule.take(1_000), Some((0, 1_000)));
        assert_eq!(schedule.take(1_000), None);
        let late = 2_000_000_000;
        let rest: Vec<_> = std::iter::from_fn(|| schedule.take(late)).collect();
        assert_eq!(rest, [(1, 250_001_000), (2, 500_001_000), (3, 750_001_000)]);
        assert_eq!(schedule.next_ns(), None);
    }
}
