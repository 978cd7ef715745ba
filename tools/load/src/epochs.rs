//! What those who kept talking felt before, during and after a storm. Invariant: every latency
//! counts in one of the three. The storm's end is known only when all workers have said when theirs
//! were back: until then, samples wait. Called by `meter` and `worker`.

use crate::latencies::Latencies;
use serde::{Deserialize, Serialize};

/// Latencies apart by whether their message met the storm: it was under way when the storm began,
/// or left before all were back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Epochs {
    storm_ns: u64,
    /// When all were back; `None`: not yet known.
    calm_ns: Option<u64>,
    pub(crate) before: Latencies,
    pub(crate) during: Latencies,
    pub(crate) after: Latencies,
    /// Microseconds from the storm's begin to the intended send (0: before it), and from there
    /// to the arrival.
    #[serde(skip)]
    waiting: Vec<(u32, u32)>,
}

/// 64 MiB of samples; those beyond count as after the storm.
const WAITING_MAX: usize = 8 << 20;

impl Epochs {
    /// The storm begins at `storm_ns` of CLOCK_MONOTONIC.
    pub(crate) fn new(storm_ns: u64) -> Epochs {
        Epochs {
            storm_ns,
            calm_ns: None,
            before: Latencies::new(),
            during: Latencies::new(),
            after: Latencies::new(),
            waiting: Vec::new(),
        }
    }

    /// A message meant to leave at `intended_ns` arrived.
    pub(crate) fn record(&mut self, intended_ns: u64, now_ns: u64) {
        let latency_ns = now_ns.saturating_sub(intended_ns);
        if now_ns < self.storm_ns {
            return self.before.record(latency_ns);
        }
        match self.calm_ns {
            Some(calm_ns) if intended_ns < calm_ns => self.during.record(latency_ns),
            Some(_) => self.after.record(latency_ns),
            None if self.waiting.len() < WAITING_MAX => {
                let since_us = intended_ns.saturating_sub(self.storm_ns).div_ceil(1000);
                let whole = |us: u64| u32::try_from(us).unwrap_or(u32::MAX);
                self.waiting
                    .push((whole(since_us), whole(latency_ns / 1000)));
            }
            None => self.after.record(latency_ns),
        }
    }

    /// All were back at `calm_ns`.
    pub(crate) fn settle(&mut self, calm_ns: u64) {
        self.calm_ns = Some(calm_ns);
        let calm_us = calm_ns.saturating_sub(self.storm_ns).div_ceil(1000);
        for (since_us, latency_us) in std::mem::take(&mut self.waiting) {
            let latency_ns = u64::from(latency_us) * 1000;
            if u64::from(since_us) < calm_us {
                self.during.record(latency_ns);
            } else {
                self.after.record(latency_ns);
            }
        }
    }

    /// Another worker's, too.
    pub(crate) fn merge(&mut self, other: &Epochs) {
        self.before.merge(&other.before);
        self.during.merge(&other.during);
        self.after.merge(&other.after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_counts_in_the_epoch_that_it_met() {
        let us = 1_000;
        let mut epochs = Epochs::new(100 * us);
        let counts = |epochs: &Epochs| {
            [&epochs.before, &epochs.during, &epochs.after].map(|latencies| latencies.count())
        };
        for (intended, now, expected) in [
            (50, 99, [1, 0, 0]),
            (60, 100, [1, 1, 0]),
            (100, 300, [1, 2, 0]),
            (199, 230, [1, 3, 0]),
            (200, 201, [1, 3, 1]),
            (250, 260, [1, 3, 2]),
        ] {
            epochs.record(intended * us, now * us);
            let mut settled = epochs.clone();
            settled.settle(200 * us);
            assert_eq!(counts(&settled), expected, "{intended} to {now}");
        }
        epochs.settle(200 * us);
        epochs.record(150 * us, 400 * us);
        epochs.record(300 * us, 400 * us);
        assert_eq!(counts(&epochs), [1, 4, 3]);
        let other = epochs.clone();
        epochs.merge(&other);
        assert_eq!(counts(&epochs), [2, 8, 6]);
        assert!((epochs.during.max_us() - 250.0).abs() < 1.0);
    }

    #[test]
    fn a_storm_that_never_ends_has_no_after() {
        let mut epochs = Epochs::new(100);
        epochs.record(200, 5_000);
        epochs.settle(u64::MAX);
        epochs.record(9_000, 9_100);
        assert_eq!((epochs.during.count(), epochs.after.is_empty()), (2, true));
    }
}
