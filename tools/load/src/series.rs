//! The run as a series of intervals: what all workers saw in each, and what the parent saw at its
//! end. Invariant: every measured latency is in exactly one point, and in the sum. Called by
//! `conduct`; read by the report.

use crate::clock::now_ns;
use crate::gauge::{Segments, ThreadTimes};
use crate::host::CpuTimes;
use crate::interval::Interval;
use crate::latencies::Latencies;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// What the parent sees at a boundary.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// When it really was.
    pub(crate) time_ns: u64,
    /// `None`: no server process is known, or it died.
    pub(crate) server_cpu: Option<ThreadTimes>,
    pub(crate) server_rss_kib: Option<u64>,
    /// Growth of TCP's memory and slab of the whole host since before the first connection.
    pub(crate) kernel_kib: Option<i64>,
    pub(crate) cpu: Option<CpuTimes>,
    pub(crate) segments: Option<Segments>,
}

/// All intervals so far; times are CLOCK_MONOTONIC nanoseconds.
#[derive(Debug)]
pub(crate) struct Series {
    /// Where the first interval begins.
    pub(crate) start_ns: u64,
    /// The same, as the calendar has it.
    pub(crate) started: SystemTime,
    interval_ns: u64,
    /// By the boundary where they end; few, with whole histograms.
    hot: BTreeMap<u64, Hot>,
    cold: BTreeMap<u64, Cold>,
    samples: BTreeMap<u64, Sample>,
    measured: Latencies,
    /// By worker.
    totals: Vec<Totals>,
}

/// What one worker reported so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) errors: u64,
    /// At the end of the last interval.
    pub(crate) open: u64,
}

/// The workers' numbers of one interval, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    /// The longest.
    pub(crate) length_ns: u64,
    pub(crate) open: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) errors: u64,
    /// Received.
    pub(crate) rate_per_s: f64,
    /// Cores that the workers used.
    pub(crate) client_cpu_share: f64,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
}

impl Quantiles {
    /// `None`: nothing was recorded.
    pub(crate) fn of(latencies: &Latencies) -> Option<Quantiles> {
        (!latencies.is_empty()).then(|| Quantiles {
            p50: latencies.quantile_us(0.5),
            p90: latencies.quantile_us(0.9),
            p99: latencies.quantile_us(0.99),
            p99_9: latencies.quantile_us(0.999),
            max: latencies.max_us(),
        })
    }
}

#[derive(Debug)]
struct Hot {
    counts: Counts,
    measured: Latencies,
    unmeasured: Latencies,
}

/// Histograms packed: some KiB instead of some hundred.
#[derive(Debug)]
struct Cold {
    counts: Counts,
    quantiles: Option<Quantiles>,
    measured: Vec<u8>,
    unmeasured: Vec<u8>,
}

/// One interval of the report.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// The boundary where it ends.
    pub(crate) end_ns: u64,
    pub(crate) counts: Counts,
    /// Of all that arrived, measured or not.
    pub(crate) quantiles: Option<Quantiles>,
    /// Cores that the server used.
    pub(crate) server_cpu_share: Option<f64>,
    pub(crate) server_rss_kib: Option<u64>,
    pub(crate) kernel_kib: Option<i64>,
}

/// Workers may be this many intervals apart before histograms are packed and unpacked again.
const HOT_MAX: usize = 4;

impl Series {
    /// Before anything happened.
    pub(crate) fn new(start_ns: u64, interval_ns: u64, workers: usize) -> Series {
        let now_ns = now_ns();
        let later = Duration::from_nanos(start_ns.saturating_sub(now_ns));
        let earlier = Duration::from_nanos(now_ns.saturating_sub(start_ns));
        Series {
            start_ns,
            started: SystemTime::now() + later - earlier,
            interval_ns,
            hot: BTreeMap::new(),
            cold: BTreeMap::new(),
            samples: BTreeMap::new(),
            measured: Latencies::new(),
            totals: vec![Totals::default(); workers],
        }
    }

    /// A worker's interval.
    pub(crate) fn add(&mut self, worker: usize, interval: &Interval) {
        let totals = &mut self.totals[worker];
        totals.sent += interval.sent;
        totals.received += interval.received;
        totals.errors += interval.errors;
        totals.open = interval.open;
        self.measured.merge(&interval.measured);
        let hot = self.thaw(interval.end_ns);
        hot.measured.merge(&interval.measured);
        hot.unmeasured.merge(&interval.unmeasured);
        let counts = &mut hot.counts;
        let length_ns = interval.length_ns.max(1);
        counts.length_ns = counts.length_ns.max(length_ns);
        counts.open += interval.open;
        counts.sent += interval.sent;
        counts.received += interval.received;
        counts.errors += interval.errors;
        counts.rate_per_s += interval.received as f64 * 1e9 / length_ns as f64;
        counts.client_cpu_share += interval.cpu_ns as f64 / length_ns as f64;
        while self.hot.len() > HOT_MAX {
            let Some((end_ns, hot)) = self.hot.pop_first() else {
                break;
            };
            self.cold.insert(end_ns, Cold::from(&hot));
        }
    }

    fn thaw(&mut self, end_ns: u64) -> &mut Hot {
        let cold = self.cold.remove(&end_ns);
        self.hot.entry(end_ns).or_insert_with(|| {
            let unpack = |bytes: &[u8]| {
                Latencies::from_bytes(bytes).expect("packed by us from a whole histogram")
            };
            Hot {
                counts: cold.as_ref().map(|cold| cold.counts).unwrap_or_default(),
                measured: cold
                    .as_ref()
                    .map_or_else(Latencies::new, |cold| unpack(&cold.measured)),
                unmeasured: cold
                    .as_ref()
                    .map_or_else(Latencies::new, |cold| unpack(&cold.unmeasured)),
            }
        })
    }

    /// What the parent saw at a boundary.
    pub(crate) fn sample(&mut self, boundary_ns: u64, sample: Sample) {
        self.samples.insert(boundary_ns, sample);
    }

    /// What the first and the last samples within these times say that say it at all, and the
    /// nanoseconds between them.
    pub(crate) fn span<'s, T>(
        &'s self,
        start_ns: u64,
        end_ns: u64,
        get: impl Fn(&'s Sample) -> Option<T>,
    ) -> Option<(T, T, u64)> {
        let inside = || {
            let samples = self.samples.values();
            let timely = samples.skip_while(move |sample| sample.time_ns < start_ns);
            timely.filter_map(|sample| Some((sample.time_ns, get(sample)?)))
        };
        let (first_ns, first) = inside().next()?;
        // The one after the end, if we woke late for it, is the end's.
        let mut last = None;
        for (time_ns, value) in inside() {
            last = Some((time_ns, value));
            if time_ns >= end_ns {
                break;
            }
        }
        let (last_ns, last) = last?;
        (last_ns > first_ns).then_some((first, last, last_ns - first_ns))
    }

    /// What a worker reported so far.
    pub(crate) fn totals(&self, worker: usize) -> Totals {
        self.totals[worker]
    }

    /// What all workers reported so far.
    pub(crate) fn total(&self) -> Totals {
        let add = |sum: Totals, one: &Totals| Totals {
            sent: sum.sent + one.sent,
            received: sum.received + one.received,
            errors: sum.errors + one.errors,
            open: sum.open + one.open,
        };
        self.totals.iter().fold(Totals::default(), add)
    }

    /// All latencies of messages meant for the window.
    pub(crate) fn measured(&self) -> &Latencies {
        &self.measured
    }

    /// Received by a rate that is worth showing: of the latest interval but one, which all workers
    /// have reported.
    pub(crate) fn latest(&self) -> Option<Point> {
        let end_ns = *self.hot.keys().rev().nth(1).or(self.hot.keys().next())?;
        Some(self.point(end_ns, self.hot[&end_ns].counts, None))
    }

    /// In order.
    pub(crate) fn points(&self) -> Vec<Point> {
        let mut points: Vec<Point> = self
            .cold
            .iter()
            .map(|(end_ns, cold)| self.point(*end_ns, cold.counts, cold.quantiles))
            .collect();
        points.extend(self.hot.iter().map(|(end_ns, hot)| {
            let quantiles = Quantiles::of(&hot.all());
            self.point(*end_ns, hot.counts, quantiles)
        }));
        points.sort_by_key(|point| point.end_ns);
        // The rest of an interval at the end in which nothing was left to happen.
        points.retain(|point| {
            let Counts {
                length_ns,
                sent,
                received,
                errors,
                ..
            } = point.counts;
            sent + received + errors > 0 || length_ns >= self.interval_ns / 2
        });
        points
    }

    fn point(&self, end_ns: u64, counts: Counts, quantiles: Option<Quantiles>) -> Point {
        // A run that was cut short has its last sample before the boundary.
        let since_ns = end_ns.saturating_sub(self.interval_ns) + 1;
        let sample = self.samples.range(since_ns..=end_ns).next_back();
        let before = sample.and_then(|(at, _)| self.samples.range(..at).next_back());
        let sample = sample.map(|(_, sample)| sample);
        let server_cpu_share = sample.zip(before).and_then(|(sample, (_, before))| {
            let (now, before_cpu) = (sample.server_cpu.as_ref()?, before.server_cpu.as_ref()?);
            let spent_ns = now.since_ns(before_cpu);
            Some(spent_ns as f64 / (sample.time_ns - before.time_ns).max(1) as f64)
        });
        Point {
            end_ns,
            counts,
            quantiles,
            server_cpu_share,
            server_rss_kib: sample.and_then(|sample| sample.server_rss_kib),
            kernel_kib: sample.and_then(|sample| sample.kernel_kib),
        }
    }

    /// Measured latencies by the end of their interval and its length, in order; without the empty
    /// ones.
    pub(crate) fn histograms(&self) -> Vec<(u64, u64, Latencies)> {
        let cold = self.cold.iter().filter_map(|(end_ns, cold)| {
            let latencies = Latencies::from_bytes(&cold.measured).ok()?;
            Some((*end_ns, cold.counts.length_ns, latencies))
        });
        let hot = self
            .hot
            .iter()
            .map(|(end_ns, hot)| (*end_ns, hot.counts.length_ns, hot.measured.clone()));
        let mut all: Vec<_> = cold
            .chain(hot)
            .filter(|(_, _, latencies)| !latencies.is_empty())
            .collect();
        all.sort_by_key(|(end_ns, ..)| *end_ns);
        all
    }
}

impl Hot {
    fn all(&self) -> Latencies {
        let mut all = self.measured.clone();
        all.merge(&self.unmeasured);
        all
    }
}

impl From<&Hot> for Cold {
    fn from(hot: &Hot) -> Cold {
        Cold {
            counts: hot.counts,
            quantiles: Quantiles::of(&hot.all()),
            measured: hot.measured.to_bytes(),
            unmeasured: hot.unmeasured.to_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(end_ns: u64, sent: u64, measured_us: &[u64], unmeasured_us: &[u64]) -> Interval {
        let mut interval = Interval::new();
        (interval.end_ns, interval.length_ns) = (end_ns, 100);
        (interval.sent, interval.open, interval.errors) = (sent, 2, 1);
        interval.cpu_ns = 50;
        interval.received = (measured_us.len() + unmeasured_us.len()) as u64;
        measured_us
            .iter()
            .for_each(|us| interval.measured.record(us * 1_000));
        unmeasured_us
            .iter()
            .for_each(|us| interval.unmeasured.record(us * 1_000));
        interval
    }

    #[test]
    fn workers_are_added_up_however_far_apart_they_are() {
        let mut series = Series::new(1_000, 100, 2);
        for end_ns in (1_100..=2_000).step_by(100) {
            series.add(0, &interval(end_ns, 5, &[10, 20], &[]));
        }
        for end_ns in (1_100..=2_000).step_by(100) {
            series.add(1, &interval(end_ns, 7, &[30], &[40]));
        }
        let points = series.points();
        assert_eq!(points.len(), 10);
        for (place, point) in points.iter().enumerate() {
            assert_eq!(point.end_ns, 1_100 + 100 * place as u64);
            assert_eq!(
                point.counts,
                Counts {
                    length_ns: 100,
                    open: 4,
                    sent: 12,
                    received: 4,
                    errors: 2,
                    rate_per_s: 4e7,
                    client_cpu_share: 1.0,
                }
            );
            let quantiles = point.quantiles.unwrap();
            assert!((quantiles.p50 - 20.0).abs() < 0.1 && (quantiles.max - 40.0).abs() < 0.1);
        }
        assert_eq!((series.totals(1).sent, series.total().received), (70, 40));
        assert_eq!(series.measured().count(), 30);
        let parts = series.histograms();
        let sum: u64 = parts.iter().map(|(.., part)| part.count()).sum();
        assert_eq!((parts.len(), sum), (10, 30));
    }

    #[test]
    fn a_rest_without_events_is_no_point() {
        let mut series = Series::new(0, 1_000, 1);
        let mut rest = interval(2_000, 0, &[], &[]);
        rest.errors = 0;
        series.add(0, &interval(1_000, 1, &[5], &[]));
        series.add(0, &rest);
        assert_eq!(series.points().len(), 1);
        rest.length_ns = 500;
        series.add(0, &rest);
        assert_eq!(series.points().len(), 2);
    }
}
