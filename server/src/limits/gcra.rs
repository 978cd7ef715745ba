//! A rate with a burst, as the generic cell rate algorithm has it (ITU-T I.371): a token bucket
//! that is one number, the time at which it will be full again.
//!
//! Invariant: in any span of time no more passes than the burst and what the rate gives in that
//! span, but for one amount that is larger than the burst: it passes when the bucket is full, and
//! what comes next waits for all of it. Times are nanoseconds of one clock; who charges may share a
//! bucket with others.

use std::sync::atomic::{AtomicU64, Ordering};

/// So much per second, and so much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: u64,
    burst: u64,
}

impl Rate {
    /// What a rate, and a burst, may be.
    pub const MAX: u64 = 1 << 34;

    /// `None`: one of them is 0, or larger than [`Rate::MAX`].
    pub fn new(per_second: u64, burst: u64) -> Option<Rate> {
        let range = 1..=Rate::MAX;
        (range.contains(&per_second) && range.contains(&burst))
            .then_some(Rate { per_second, burst })
    }

    /// How much per second.
    pub fn per_second(self) -> u64 {
        self.per_second
    }

    /// How much at once.
    pub fn burst(self) -> u64 {
        self.burst
    }

    /// The time that an amount takes, rounded up: who says little at a time loses less than a
    /// nanosecond each time, and gains nothing.
    fn span(self, amount: u64) -> u64 {
        let nanoseconds = u128::from(amount) * u128::from(SECOND);
        let span = nanoseconds.div_ceil(u128::from(self.per_second));
        u64::try_from(span).unwrap_or(u64::MAX)
    }

    /// Takes an amount out of a bucket that is full at `full_at`.
    ///
    /// # Errors
    /// There is not so much in it, and nothing was taken: when there will be.
    pub(crate) fn take(self, full_at: u64, now: u64, amount: u64) -> Result<u64, Wait> {
        let (span, burst) = (self.span(amount), self.span(self.burst));
        let begin = full_at.max(now);
        let lacks = (begin - now)
            .saturating_add(span.min(burst))
            .saturating_sub(burst);
        match lacks {
            0 => Ok(begin.saturating_add(span)),
            lacks => Err(Wait(lacks)),
        }
    }

    /// Takes an amount whether it is there or not: when the bucket is full then, and how long
    /// whoever takes it has to pause, if it was not there.
    pub(crate) fn owe(self, full_at: u64, now: u64, amount: u64) -> (u64, Option<Wait>) {
        let full_at = full_at.max(now).saturating_add(self.span(amount));
        let lacks = (full_at - now).saturating_sub(self.span(self.burst));
        (full_at, (lacks > 0).then_some(Wait(lacks)))
    }

    /// As [`Rate::take`] from a bucket that shards share.
    pub(crate) fn take_shared(
        self,
        full_at: &AtomicU64,
        now: u64,
        amount: u64,
    ) -> Result<(), Wait> {
        let mut lacks = Wait(0);
        let taken = full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let taken = self.take(full_at, now, amount);
            taken.map_err(|wait| lacks = wait).ok()
        });
        taken.map(drop).map_err(|_| lacks)
    }

    /// As [`Rate::owe`] from a bucket that shards share.
    pub(crate) fn owe_shared(self, full_at: &AtomicU64, now: u64, amount: u64) -> Option<Wait> {
        let mut pause = None;
        let _always = full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let (full_at, wait) = self.owe(full_at, now, amount);
            pause = wait;
            Some(full_at)
        });
        pause
    }
}

/// How long there is not enough, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wait(u64);

impl Wait {
    /// Where nothing says when there will be enough.
    pub(crate) const SECOND: Wait = Wait(SECOND);

    /// In whole milliseconds, of which there is at least one.
    pub(crate) fn milliseconds(self) -> u64 {
        self.0.div_ceil(1_000_000).max(1)
    }
}

const SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// A bucket as one would draw it: tokens in units of a token's nanosecond, so that nothing is
    /// rounded.
    struct Bucket {
        rate: Rate,
        level: i128,
        at: u64,
    }

    impl Bucket {
        fn fill(&mut self, now: u64) {
            let more = i128::from(now - self.at) * i128::from(self.rate.per_second);
            let most = i128::from(self.rate.burst) * i128::from(SECOND);
            (self.level, self.at) = ((self.level + more).min(most), now);
        }

        /// Whether so much is in it, or it is full.
        fn has(&self, amount: u64) -> bool {
            self.level >= i128::from(amount.min(self.rate.burst)) * i128::from(SECOND)
        }

        fn take(&mut self, amount: u64) {
            self.level -= i128::from(amount) * i128::from(SECOND);
        }
    }

    /// Rates whose tokens take whole nanoseconds, so that model and number agree exactly.
    const RATES: [u64; 9] = [1, 2, 5, 10, 100, 1_000, 8_000, 1_000_000, 1_000_000_000];

    #[test]
    fn it_is_a_bucket_of_tokens() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let per_second = RATES[random.usize(..RATES.len())];
            let burst = random.u64(1..=2 * per_second.min(1 << 20));
            let rate = Rate::new(per_second, burst).expect("in range");
            let (mut full_at, mut now) = (0, 0);
            let mut model = Bucket {
                rate,
                level: i128::from(burst) * i128::from(SECOND),
                at: 0,
            };
            for step in 0..500 {
                let token = SECOND / per_second;
                let tokens = random.u64(1..=burst.min(100));
                now += random.u64(0..=3 * token * tokens);
                model.fill(now);
                let amount = match random.u8(..10) {
                    0 => burst + random.u64(0..=burst),
                    _ => random.u64(1..=burst),
                };
                let place = format!("seed {seed}, step {step}, {rate:?}, {amount} at {now}");
                match rate.take(full_at, now, amount) {
                    Ok(then) => {
                        assert!(model.has(amount), "{place}");
                        model.take(amount);
                        full_at = then;
                    }
                    Err(Wait(wait)) => {
                        assert!(!model.has(amount), "{place}");
                        // It passes after the wait, and not a nanosecond before.
                        assert!(rate.take(full_at, now + wait, amount).is_ok(), "{place}");
                        assert!(
                            rate.take(full_at, now + wait - 1, amount).is_err(),
                            "{place}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn who_owes_pauses_until_it_owes_nothing() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..2_000 {
            let per_second = RATES[random.usize(..RATES.len())];
            let burst = random.u64(1..=per_second.min(1 << 20));
            let rate = Rate::new(per_second, burst).expect("in range");
            let (mut full_at, mut now) = (0, random.u64(0..SECOND));
            for _ in 0..20 {
                let amount = random.u64(1..=2 * burst);
                let (then, pause) = rate.owe(full_at, now, amount);
                full_at = then;
                if let Some(Wait(pause)) = pause {
                    // Afterwards no more is owed than a burst, so the long run is the rate.
                    now += pause;
                    assert_eq!(full_at - now, rate.span(burst));
                }
            }
        }
    }

    #[test]
    fn in_no_span_more_passes_whatever_the_rate() {
        for per_second in [1, 3, 7, 999, 12_345, 999_999_937, Rate::MAX] {
            let mut random = fastrand::Rng::with_seed(per_second);
            let burst = random.u64(1..=1_000);
            let rate = Rate::new(per_second, burst).expect("in range");
            let (mut full_at, mut now, mut passed) = (0, 0, Vec::new());
            for _ in 0..3_000 {
                now += random.u64(0..=3 * SECOND / per_second.min(SECOND));
                if let Ok(then) = rate.take(full_at, now, 1) {
                    full_at = then;
                    passed.push(now);
                }
            }
            for (first, begin) in passed.iter().enumerate().step_by(97) {
                for (last, end) in passed.iter().enumerate().skip(first).step_by(89) {
                    let count = (last - first + 1) as u128;
                    let given = u128::from(end - begin) * u128::from(per_second);
                    let given = given.div_ceil(u128::from(SECOND)) + u128::from(burst);
                    assert!(count <= given, "{per_second}: {count} of {given}");
                }
            }
        }
    }

    #[test]
    fn threads_that_share_a_bucket_get_no_more_than_it_holds() {
        let rate = Rate::new(1, 1_000).expect("in range");
        let bucket = AtomicU64::new(0);
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let takes = (0..1_000).filter(|_| rate.take_shared(&bucket, 0, 1).is_ok());
                        takes.count()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|it| it.join().expect("no panic"))
                .sum()
        });
        assert_eq!(passed, 1_000);
    }

    #[test]
    fn rates_have_a_range() {
        for (per_second, burst, fits) in [
            (0, 1, false),
            (1, 0, false),
            (1, 1, true),
            (Rate::MAX, Rate::MAX, true),
            (Rate::MAX + 1, 1, false),
            (1, Rate::MAX + 1, false),
        ] {
            assert_eq!(Rate::new(per_second, burst).is_some(), fits);
        }
        // The longest span of all does not overflow.
        let slow = Rate::new(1, Rate::MAX).expect("in range");
        assert!(slow.take(u64::MAX, 0, u64::MAX).is_err());
        assert_eq!(slow.take(0, 0, Rate::MAX), Ok(Rate::MAX * SECOND));
    }
}
