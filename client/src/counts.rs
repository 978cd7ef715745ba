//! What a client counts: messages, bytes, reconnects, round trips.
//!
//! Invariant: a count only grows. Filled by the core; shown as a snapshot, and through the
//! `metrics` facade with the feature of this name.

use std::time::Duration;

/// What a client has counted since it was made, and what waits now.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// Messages that were sent.
    pub messages_sent: u64,
    /// Messages that came.
    pub messages_received: u64,
    /// Bytes that were sent, before TLS.
    pub bytes_sent: u64,
    /// Bytes that came, before TLS.
    pub bytes_received: u64,
    /// Messages a second that were sent over the time since the last snapshot.
    pub sent_per_second: f64,
    /// Messages a second that came over the time since the last snapshot.
    pub received_per_second: f64,
    /// Connections that got their welcome.
    pub connections: u64,
    /// Tries to connect that failed.
    pub connect_failures: u64,
    /// Connections that were lost after their welcome.
    pub disconnects: u64,
    /// Requests that were refused for now and asked again.
    pub retries: u64,
    /// What the server said that is no message.
    pub unreadable: u64,
    /// Handlers of the user that panicked.
    pub handler_panics: u64,
    /// Requests that wait to be sent.
    pub queued: usize,
    /// Bytes of these.
    pub queued_bytes: usize,
    /// Requests that are not settled.
    pub pending: usize,
    /// Rooms with subscriptions.
    pub rooms: usize,
    /// Round trips that were measured.
    pub rtt: Histogram,
    /// The smoothed round trip (RFC 6298), once one was measured.
    pub smoothed_rtt: Option<Duration>,
}

/// How often durations fell into ranges: four for each doubling, from 1 µs to over an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u64; RANGES]>,
    max: Duration,
}

const RANGES_A_DOUBLING: usize = 4;
const DOUBLINGS: usize = 32;
const RANGES: usize = RANGES_A_DOUBLING * DOUBLINGS;

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            counts: Box::new([0; RANGES]),
            max: Duration::ZERO,
        }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, value: Duration) {
        let range = range_of(value).min(RANGES - 1);
        self.counts[range] += 1;
        self.max = self.max.max(value);
    }

    /// Durations that were recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The duration that this share of them, from 0 to 1, did not exceed, to within a quarter.
    /// `None`: there are none.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        let wanted = ((count as f64 * share.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        let range = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(end_of(range).min(self.max))
    }
}

/// The range of a duration: the doubling of its microseconds, and the quarter of that.
fn range_of(value: Duration) -> usize {
    let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX).max(1);
    let doubling = micros.ilog2() as usize;
    let quarter = match doubling {
        0 | 1 => (micros - (1 << doubling)) << (2 - doubling),
        _ => (micros >> (doubling - 2)) & 3,
    };
    doubling * RANGES_A_DOUBLING + quarter as usize
}

/// Where a range ends.
fn end_of(range: usize) -> Duration {
    let (doubling, quarter) = (range / RANGES_A_DOUBLING, range % RANGES_A_DOUBLING);
    let start = 1_u64 << doubling;
    Duration::from_micros(start + (start * (quarter as u64 + 1)).div_ceil(4))
}

/// The smoothed round trip and its variation (RFC 6298 §2).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RoundTrip {
    #[cfg(feature = "metrics")]
    fresh: Option<Duration>,
    estimate: Option<(Duration, Duration)>,
}

impl RoundTrip {
    pub(crate) fn record(&mut self, sample: Duration) {
        #[cfg(feature = "metrics")]
        {
            self.fresh = Some(sample);
        }
        self.estimate = Some(match self.estimate {
            None => (sample, sample / 2),
            Some((smoothed, variation)) => {
                let off = smoothed.abs_diff(sample);
                (smoothed * 7 / 8 + sample / 8, variation * 3 / 4 + off / 4)
            }
        });
    }

    /// The last one, once.
    #[cfg(feature = "metrics")]
    pub(crate) fn take_fresh(&mut self) -> Option<Duration> {
        self.fresh.take()
    }

    pub(crate) fn smoothed(&self) -> Option<Duration> {
        Some(self.estimate?.0)
    }

    pub(crate) fn variation(&self) -> Option<Duration> {
        Some(self.estimate?.1)
    }
}

#[cfg(test)]
mod tests {
    use super::{Histogram, RANGES, RoundTrip, end_of, range_of};
    use std::time::Duration;

    #[test]
    fn a_range_ends_where_the_next_begins() {
        for range in 8..RANGES {
            let end = end_of(range);
            assert_eq!(range_of(end), range + 1, "{end:?}");
            assert_eq!(range_of(end - Duration::from_micros(1)), range, "{end:?}");
        }
        assert_eq!(range_of(Duration::ZERO), 0);
    }

    #[test]
    fn quantiles_are_within_a_quarter() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        (1..=1_000).for_each(|ms| histogram.record(Duration::from_millis(ms)));
        for (share, ms) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1_000.0)] {
            let found = histogram
                .quantile(share)
                .expect("it has some")
                .as_secs_f64()
                * 1e3;
            assert!(found >= ms && found <= ms * 1.25, "{share}: {found}");
        }
        assert_eq!(histogram.count(), 1_000);
    }

    #[test]
    fn a_round_trip_is_smoothed() {
        let mut trip = RoundTrip::default();
        trip.record(Duration::from_millis(80));
        trip.record(Duration::from_millis(160));
        assert_eq!(trip.smoothed(), Some(Duration::from_millis(90)));
        assert_eq!(trip.variation(), Some(Duration::from_millis(50)));
    }
}
