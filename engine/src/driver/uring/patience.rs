//! How many completions a sleep is for: a busy shard waits a little for more of them, a quiet one
//! takes the first.

use std::time::Duration;

/// A busy shard waits for this many …
const BATCH: u32 = 64;
/// … but no longer than this after the first, in microseconds (`IORING_ENTER` with `min_wait_usec`,
/// Linux 6.12).
const BATCH_WAIT_US: u32 = 50;
/// Busy: at least this many completions are expected within `BATCH_WAIT_US`. On a quiet server
/// waiting would only add latency.
const BUSY_COMPLETIONS: u64 = 4;

/// A moving average of the completion rate over about eight ticks.
#[derive(Debug)]
pub(super) struct Patience {
    /// Completions, in 1/256.
    completions: u64,
    nanos: u64,
    last: Duration,
    seen: usize,
}

impl Patience {
    pub(super) fn new() -> Patience {
        Patience {
            completions: 0,
            nanos: 1,
            last: Duration::ZERO,
            seen: 0,
        }
    }

    /// Completions that the last turns brought.
    pub(super) fn saw(&mut self, completions: usize) {
        self.seen += completions;
    }

    /// How many completions to wait for, and for how many microseconds after the first (0: take the
    /// first).
    pub(super) fn ask(&mut self, now: Duration, min_wait: bool) -> (u32, u32) {
        let nanos = (now - self.last).as_nanos() as u64;
        self.last = now;
        self.completions = self.completions - self.completions / 8
            + ((std::mem::take(&mut self.seen) as u64) << 8);
        self.nanos = self.nanos - self.nanos / 8 + nanos;
        let expected =
            (self.completions * u64::from(BATCH_WAIT_US) * 1000 / self.nanos.max(1)) >> 8;
        if min_wait && expected >= BUSY_COMPLETIONS {
            (BATCH, BATCH_WAIT_US)
        } else {
            (1, 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_when_busy_and_only_then() {
        let mut patience = Patience::new();
        let mut now = Duration::ZERO;
        let mut run = |completions: usize, gap_us: u64, min_wait: bool| {
            let mut asked = (0, 0);
            for _ in 0..50 {
                now += Duration::from_micros(gap_us);
                patience.saw(completions);
                asked = patience.ask(now, min_wait);
            }
            asked
        };
        assert_eq!(run(1, 1000, true), (1, 0), "a quiet server");
        assert_eq!(
            run(20, 100, true),
            (BATCH, BATCH_WAIT_US),
            "10 completions in 50 µs"
        );
        assert_eq!(run(20, 100, false), (1, 0), "a kernel that cannot");
        assert_eq!(run(1, 1000, true), (1, 0), "quiet again");
    }
}
