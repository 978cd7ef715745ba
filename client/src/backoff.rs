//! How long to wait before the next try: full jitter below a ceiling that doubles.
//!
//! Invariant: a delay is at least `min` and at most `max`, whatever the attempt and the random
//! number. Used by the link for connections, by the rooms for joins that were refused for now, by
//! the requests for retries and by the breaker.

use crate::error::{Error, ErrorKind};
use std::time::Duration;

/// Bounds of the time between two tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// No delay is shorter: 1 ms or more.
    pub min: Duration,
    /// The ceiling of the first delay.
    pub base: Duration,
    /// No delay is longer: at most [`Backoff::MAX`].
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff {
            min: Duration::from_millis(100),
            base: Duration::from_secs(1),
            max: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// Longest delay that may be asked for: an hour.
    pub const MAX: Duration = Duration::from_secs(3_600);

    /// Doublings beyond which a ceiling is the longest delay in any case.
    const DOUBLINGS_MAX: u32 = 22;
    const _COVERS: () = assert!(1 << Backoff::DOUBLINGS_MAX >= Backoff::MAX.as_millis());

    /// The delay before a try: spread evenly between `min` and `min(max, base * 2^attempt)`, so
    /// that clients that were cut together do not come back together. `attempt` counts tries that
    /// failed already; `random` is at least 0 and below 1.
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        let doubled = self.base * (1 << attempt.min(Backoff::DOUBLINGS_MAX));
        let ceiling = doubled.min(self.max).max(self.min);
        self.min + (ceiling - self.min).mul_f64(random.clamp(0.0, 1.0))
    }

    /// Whether the bounds fit together.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let fits = self.min >= Duration::from_millis(1)
            && self.min <= self.base
            && self.base <= self.max
            && self.max <= Backoff::MAX;
        match fits {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::BadOption,
                "reconnect: 1 ms <= min <= base <= max <= 1 h",
            )),
        }
    }
}
