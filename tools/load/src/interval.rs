//! The intervals of a run: where they end, and what one worker saw in one of them. Invariant: both
//! ends of the window are boundaries, for the parent and every worker alike. Called by `meter`,
//! `series`, `conduct`.

use crate::latencies::Latencies;
use serde::{Deserialize, Serialize};

/// Where intervals end; times are CLOCK_MONOTONIC nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ruler {
    /// Where measuring begins.
    pub(crate) window_start_ns: u64,
    /// Where it ends.
    pub(crate) window_end_ns: u64,
    /// Above 0.
    pub(crate) interval_ns: u64,
}

impl Ruler {
    /// The first boundary later than `time_ns`.
    pub(crate) fn after(&self, time_ns: u64) -> u64 {
        let interval_ns = self.interval_ns.max(1);
        let next_ns = match time_ns.checked_sub(self.window_start_ns) {
            Some(since_ns) => {
                let count = since_ns / interval_ns + 1;
                self.window_start_ns
                    .saturating_add(count.saturating_mul(interval_ns))
            }
            None => {
                let count = (self.window_start_ns - time_ns - 1) / interval_ns;
                self.window_start_ns - count * interval_ns
            }
        };
        if time_ns < self.window_end_ns {
            next_ns.min(self.window_end_ns)
        } else {
            next_ns
        }
    }
}

/// What a worker saw in one interval.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Interval {
    /// The boundary where it was meant to end.
    pub(crate) end_ns: u64,
    /// How long it really was.
    pub(crate) length_ns: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Of messages meant for the window.
    pub(crate) measured: Latencies,
    /// Of messages meant for the warm-up.
    pub(crate) unmeasured: Latencies,
    /// CPU that the worker spent.
    pub(crate) cpu_ns: u64,
    /// Connections open at the end.
    pub(crate) open: u64,
    /// What went wrong besides the messages.
    pub(crate) errors: u64,
}

impl Interval {
    /// An empty one.
    pub(crate) fn new() -> Interval {
        Interval {
            end_ns: u64::MAX,
            length_ns: 0,
            sent: 0,
            received: 0,
            measured: Latencies::new(),
            unmeasured: Latencies::new(),
            cpu_ns: 0,
            open: 0,
            errors: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_the_window_are_boundaries() {
        let ruler = Ruler {
            window_start_ns: 1_000,
            window_end_ns: 1_250,
            interval_ns: 100,
        };
        let mut time_ns = 770;
        let boundaries: Vec<u64> = std::iter::from_fn(|| {
            time_ns = ruler.after(time_ns);
            Some(time_ns)
        })
        .take(8)
        .collect();
        assert_eq!(
            boundaries,
            [800, 900, 1_000, 1_100, 1_200, 1_250, 1_300, 1_400]
        );
        assert_eq!(ruler.after(0), 100);
    }
}
