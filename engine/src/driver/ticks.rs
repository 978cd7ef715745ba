//! How long ticks take, and how much each takes in: a clock that the driver reads anyhow tells.
//!
//! A tick lasts from one reap to the next, without the time that the shard waits. What the kernel
//! does in the call that waits (the last sends of a tick that found nothing more to do) is not in
//! it. Called by the driver.

use crate::driver::counters::DriverCounters;
use std::time::Duration;

/// The tick under way.
#[derive(Debug, Default)]
pub(crate) struct Ticks {
    /// When it began; `None`: there was none yet.
    began: Option<Duration>,
    /// When the shard began to wait, if it did.
    waits_since: Option<Duration>,
}

impl Ticks {
    /// A tick begins, with so many completions: the one before is over.
    pub(crate) fn begin(&mut self, now: Duration, completions: usize, counters: &DriverCounters) {
        let ended = self.waits_since.take().unwrap_or(now);
        if let Some(began) = self.began.replace(now) {
            let lasted = ended.saturating_sub(began);
            counters.tick_seconds.record(lasted.as_micros() as u64);
        }
        counters.tick_completions.record(completions as u64);
    }

    /// The shard waits from here on.
    pub(crate) fn wait(&mut self, now: Duration) {
        self.waits_since = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shard_waits_is_not_its_ticks() {
        let counters = DriverCounters::default();
        let mut ticks = Ticks::default();
        let at = Duration::from_micros;
        ticks.begin(at(1_000), 0, &counters);
        ticks.begin(at(1_100), 3, &counters);
        ticks.wait(at(1_107));
        ticks.begin(at(9_999), 64, &counters);
        let (seconds, completions) = (&counters.tick_seconds, &counters.tick_completions);
        assert_eq!((seconds.count(), seconds.sum()), (2, 100 + 7));
        assert_eq!((completions.count(), completions.sum()), (3, 67));
    }
}
