//! How long things take that no shard times: distributions with buckets of 9 %, for all shards.
//!
//! Invariant: the row of buckets is fixed, so a distribution takes 2 KiB whatever it is told. A
//! shard reads a clock for it around one of [`Latencies::HANDLERS_EACH`] handlers; otherwise who
//! waits on another thread does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is timed.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    /// A publish that another thread waits for: from its handing over until every shard has handed
    /// it to its members' sockets.
    pub(crate) publish: Distribution,
    /// A question to all shards by way of one of them, and back.
    pub(crate) hop: Distribution,
    /// A handler on its shard: of about 64 calls one.
    pub(crate) handler: Distribution,
    /// A handler in the background, from its start to its outcome.
    pub(crate) background: Distribution,
}

impl Latencies {
    /// Of so many calls of handlers on a shard one is timed: reading the clock twice would cost as
    /// much as a small handler.
    pub(crate) const HANDLERS_EACH: u64 = 64;
}

/// A distribution of times. Buckets are those of native histograms of schema 3: eight for each
/// doubling, and one for all that is less than the lowest.
#[derive(Debug)]
pub(crate) struct Distribution {
    below: AtomicU64,
    buckets: [AtomicU64; Distribution::BUCKETS],
    sum_nanoseconds: AtomicU64,
}

impl Default for Distribution {
    fn default() -> Distribution {
        Distribution {
            below: AtomicU64::new(0),
            buckets: [const { AtomicU64::new(0) }; Distribution::BUCKETS],
            sum_nanoseconds: AtomicU64::new(0),
        }
    }
}

impl Distribution {
    /// Buckets for each doubling: 2 to the power of the schema.
    pub(crate) const PER_DOUBLING: i32 = 8;
    pub(crate) const SCHEMA: i32 = 3;
    /// What is not longer than 2^-20 s, which is a microsecond, has the lowest bucket.
    pub(crate) const LOWEST: i32 = -20;
    /// What is longer than 2^6 s, which is about a minute, has the highest.
    pub(crate) const HIGHEST: i32 = 6;
    const BUCKETS: usize =
        ((Distribution::HIGHEST - Distribution::LOWEST) * Distribution::PER_DOUBLING) as usize;

    pub(crate) fn record(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let above = (seconds.log2() - f64::from(Self::LOWEST)) * f64::from(Self::PER_DOUBLING);
        let bucket = match above {
            above if above > 0.0 => {
                let place = (above.ceil() as usize).clamp(1, Self::BUCKETS);
                &self.buckets[place - 1]
            }
            _ => &self.below,
        };
        bucket.fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.sum_nanoseconds
            .fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// What is not longer than the lowest bound, and then what each bucket has.
    pub(crate) fn counts(&self) -> (u64, Vec<u64>) {
        let counts = self.buckets.iter();
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        (self.below.load(Ordering::Relaxed), counts.collect())
    }

    pub(crate) fn sum_seconds(&self) -> f64 {
        self.sum_nanoseconds.load(Ordering::Relaxed) as f64 / 1e9
    }

    /// Bounds that double, and how many times are in each bucket, as classic histograms have it.
    pub(crate) fn classic(&self) -> Vec<(f64, u64)> {
        let (below, counts) = self.counts();
        let doublings = counts
            .chunks(Self::PER_DOUBLING as usize)
            .zip(Self::LOWEST + 1..);
        let doublings = doublings.map(|(counts, exponent)| {
            let bound = match exponent {
                Self::HIGHEST => f64::INFINITY,
                exponent => f64::from(exponent).exp2(),
            };
            (bound, counts.iter().sum())
        });
        let below = (f64::from(Self::LOWEST).exp2(), below);
        std::iter::once(below).chain(doublings).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_bucket_that_ends_with_it_or_behind_it() {
        for nanoseconds in [
            0,
            1,
            953,
            954,
            1_000,
            1 << 20,
            500_000_000,
            1_000_000_000,
            u64::MAX,
        ] {
            let distribution = Distribution::default();
            distribution.record(Duration::from_nanos(nanoseconds));
            let seconds = nanoseconds as f64 / 1e9;
            let (below, counts) = distribution.counts();
            let found = counts.iter().position(|count| *count == 1);
            assert_eq!(below + counts.iter().sum::<u64>(), 1);
            let bound = |index: usize| {
                let above = index as f64 / f64::from(Distribution::PER_DOUBLING);
                (f64::from(Distribution::LOWEST) + above).exp2()
            };
            match found {
                None => assert!(seconds <= bound(0), "{nanoseconds}"),
                Some(last) if last + 1 == counts.len() => assert!(seconds > bound(last)),
                Some(index) => {
                    assert!(
                        seconds > bound(index) && seconds <= bound(index + 1),
                        "{nanoseconds}"
                    );
                }
            }
            let classic = distribution.classic();
            assert_eq!(classic.iter().map(|(_, count)| count).sum::<u64>(), 1);
            assert!(classic.is_sorted_by(|one, next| one.0 < next.0));
            let holds = classic
                .iter()
                .find(|(_, count)| *count == 1)
                .expect("one has it");
            assert!(seconds <= holds.0);
        }
    }
}
