//! The counters and histograms in OpenMetrics text. Reads those of the shards when it is asked, and
//! keeps nothing between two readings.

mod busiest;
pub(crate) mod exposition;
mod latencies;
mod process;

use crate::audit::journal::JournalCounts;
use crate::auth::counts::TokenCounts;
use crate::broker::counts::{BridgeCount, BridgeCounts};
use crate::gateway::counts::GatewayCounts;
use crate::limits::tally::{LimitName, LimitOutcome, Tally};
use crate::session::counts::{SessionCount, SessionCounts};
use crate::session::latencies::Latencies;
use crate::session::refusals::RefusalCounts;
use crate::store::counts::{StoreCountKind, StoreCounts};
use crate::traces::counts::TraceCounts;
use busiest::BusiestMetrics;
use latencies::{LatencyMetrics, Timed, timed};
use process::ProcessMetrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as Labelled;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use shardcast_engine::{Histogram, Measured, Reading, ShardCounters};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// Everything that is measured.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// By `success` and `failure`, as the other.
    tls_reloads: ByResult,
    access_reloads: ByResult,
    key_reloads: ByResult,
    /// `None`: nothing else is timed.
    latencies: Option<Arc<Latencies>>,
    shards: Vec<Arc<ShardCounters>>,
}

/// A counter for each `result`.
type ByResult = Labelled<[(&'static str, &'static str); 1], Counter>;

impl Metrics {
    /// The media type of [`Metrics::text`].
    pub(crate) const CONTENT_TYPE: &str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// The metrics of a process that starts now.
    pub(crate) fn new(
        counters: Vec<Arc<ShardCounters>>,
        limited: Arc<Tally>,
        sessions: Arc<SessionCounts>,
        audited: Arc<JournalCounts>,
    ) -> Metrics {
        let started = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let mut registry = Registry::default();
        registry.register(
            "shardcast_build",
            "The running version",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register(
            "process_start_time_seconds",
            "When the server started, in seconds since 1970",
            ConstGauge::new(started.as_secs_f64()),
        );
        let mut reloads = |name, help| {
            let by_result = ByResult::default();
            for result in ["success", "failure"] {
                // Both are there from the start.
                drop(by_result.get_or_create(&[("result", result)]));
            }
            registry.register(name, help, by_result.clone());
            by_result
        };
        let tls_reloads = reloads(
            "shardcast_tls_reloads",
            "Times that the certificate files were read again (SIGHUP)",
        );
        let access_reloads = reloads(
            "shardcast_access_reloads",
            "Times that access.allow and access.block were read again (SIGHUP)",
        );
        let key_reloads = reloads(
            "shardcast_key_reloads",
            "Times that the keys of tokens were read again (SIGHUP)",
        );
        registry.register_collector(Box::new(ProcessMetrics));
        registry.register_collector(Box::new(LimitMetrics(limited)));
        registry.register_collector(Box::new(AuditMetrics(audited)));
        registry.register_collector(Box::new(ShardMetrics(counters.clone())));
        registry.register_collector(Box::new(BusiestMetrics(counters.clone())));
        registry.register_collector(Box::new(SessionMetrics(sessions)));
        Metrics {
            registry,
            tls_reloads,
            access_reloads,
            key_reloads,
            latencies: None,
            shards: counters,
        }
    }

    /// Shards that do not get on, as [`shardcast_engine::Watch`] has found.
    pub(crate) fn stuck_shards(&self) -> Vec<usize> {
        let shards = self.shards.iter().enumerate();
        let stuck = shards.filter(|(_, counters)| counters.stuck_ms.get() > 0);
        stuck.map(|(shard, _)| shard).collect()
    }

    /// Adds what is timed outside of shards.
    pub(crate) fn add_latencies(&mut self, latencies: Arc<Latencies>) {
        let collector = Box::new(LatencyMetrics(latencies.clone()));
        self.registry.register_collector(collector);
        self.latencies = Some(latencies);
    }

    /// Adds the counters of refusals.
    pub(crate) fn add_refusals(&mut self, counts: &RefusalCounts) {
        counts.register(&mut self.registry);
    }

    /// Adds the counts of the store, if there is one.
    pub(crate) fn add_store(&mut self, counts: Option<Arc<StoreCounts>>) {
        if let Some(counts) = counts {
            self.registry
                .register_collector(Box::new(StoreMetrics(counts)));
        }
    }

    /// Adds the counts of the bridge to a broker, if there is one.
    pub(crate) fn add_cluster(&mut self, counts: Option<Arc<BridgeCounts>>) {
        if let Some(counts) = counts {
            self.registry
                .register_collector(Box::new(BridgeMetrics(counts)));
        }
    }

    /// Adds which driver runs.
    pub(crate) fn add_driver(&mut self, driver: &'static str) {
        let help = "What carries the work to the kernel: uring or portable (epoll)";
        let info = Info::new([("driver", driver)]);
        self.registry.register("shardcast_driver", help, info);
    }

    /// Adds the counters of the gateway, if there is one.
    pub(crate) fn add_gateway(&mut self, counts: Option<&GatewayCounts>) {
        if let Some(counts) = counts {
            counts.register(&mut self.registry);
        }
    }

    /// Adds the counters of traces, if any are recorded.
    pub(crate) fn add_traces(&mut self, counts: Option<&TraceCounts>) {
        if let Some(counts) = counts {
            counts.register(&mut self.registry);
        }
    }

    /// Adds the counters of tokens.
    pub(crate) fn add_tokens(&mut self, counts: &TokenCounts) {
        counts.register(&mut self.registry);
    }

    /// The certificate files were read again, with this `result`.
    pub(crate) fn tls_reloaded(&self, result: &'static str) {
        self.tls_reloads.get_or_create(&[("result", result)]).inc();
    }

    /// The keys of tokens were read again, with this `result`.
    pub(crate) fn keys_reloaded(&self, result: &'static str) {
        self.key_reloads.get_or_create(&[("result", result)]).inc();
    }

    /// Who may connect by address was read again, with this `result`.
    pub(crate) fn access_reloaded(&self, result: &'static str) {
        self.access_reloads
            .get_or_create(&[("result", result)])
            .inc();
    }

    /// One reading.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes everything");
        text
    }
}

impl Metrics {
    /// One reading, as Prometheus has it in Protobuf ([`exposition`]).
    pub(crate) fn protobuf(&self) -> Vec<u8> {
        let natives = self.latencies.as_ref();
        let natives = natives.map(|latencies| timed(latencies));
        let natives = natives.map(|timed| timed.map(|Timed { name, times, .. }| (name, times)));
        exposition::encode(
            &self.text(),
            natives.as_ref().map_or(&[], |natives| natives),
        )
    }
}

/// What limits have done, by limit and outcome.
#[derive(Debug)]
struct LimitMetrics(Arc<Tally>);

impl Collector for LimitMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "What limits found to be too much, by limit and by what became of it";
        let kind = MetricType::Counter;
        let mut family = encoder.encode_descriptor("shardcast_limited", help, None, kind)?;
        for limit in LimitName::ALL {
            for outcome in LimitOutcome::ALL {
                let labels = [("limit", limit.as_str()), ("outcome", outcome.as_str())];
                let mut sample = family.encode_family(&labels)?;
                let count = self.0.get(limit, outcome);
                sample.encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
            }
        }
        Ok(())
    }
}

/// What became of events of the audit log.
#[derive(Debug)]
struct AuditMetrics(Arc<JournalCounts>);

impl Collector for AuditMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Events of the audit log: written to its file, or lost because too many waited or it could not be written";
        let kind = MetricType::Counter;
        let mut family = encoder.encode_descriptor("shardcast_audit_events", help, None, kind)?;
        let JournalCounts { written, lost } = &*self.0;
        for (outcome, count) in [("written", written), ("lost", lost)] {
            let labels = [("outcome", outcome)];
            let mut sample = family.encode_family(&labels)?;
            let count = count.load(Ordering::Relaxed);
            sample.encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
        }
        Ok(())
    }
}

/// The counters of all shards, which are read when the metrics are asked for.
#[derive(Debug)]
struct ShardMetrics(Vec<Arc<ShardCounters>>);

/// What is counted of sessions, for the process.
#[derive(Debug)]
struct SessionMetrics(Arc<SessionCounts>);

impl Collector for SessionMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.0.each();
        for family in counts.chunk_by(|one, other| one.name == other.name) {
            let SessionCount {
                name,
                help,
                is_gauge,
                ..
            } = family[0];
            let kind = match is_gauge {
                true => MetricType::Gauge,
                false => MetricType::Counter,
            };
            let name = format!("shardcast_{name}");
            let help = help.trim_end_matches('.');
            let mut descriptor = encoder.encode_descriptor(&name, help, None, kind)?;
            for count in family {
                match count.label {
                    Some(label) => encode_count(descriptor.encode_family(&[label])?, count)?,
                    None if is_gauge => descriptor.encode_gauge(&count.value)?,
                    None => {
                        descriptor.encode_counter::<NoLabelSet, u64, u64>(&count.value, None)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// What the store has done.
#[derive(Debug)]
struct StoreMetrics(Arc<StoreCounts>);

impl Collector for StoreMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for count in self.0.each() {
            let name = format!("shardcast_{}", count.name);
            let help = count.help.trim_end_matches('.');
            let kind = match count.kind {
                StoreCountKind::Count => MetricType::Counter,
                StoreCountKind::Gauge => MetricType::Gauge,
            };
            let mut descriptor = encoder.encode_descriptor(&name, help, None, kind)?;
            match count.kind {
                StoreCountKind::Count => {
                    descriptor.encode_counter::<NoLabelSet, u64, u64>(&count.value, None)?;
                }
                StoreCountKind::Gauge => descriptor.encode_gauge(&count.value)?,
            }
        }
        Ok(())
    }
}

/// What the bridge to a broker has done.
#[derive(Debug)]
struct BridgeMetrics(Arc<BridgeCounts>);

impl Collector for BridgeMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for count in BridgeCount::ALL {
            let (name, help) = count.described();
            let (name, help) = (format!("shardcast_{name}"), help.trim_end_matches('.'));
            let value = self.0.get(count);
            match count.is_gauge() {
                true => {
                    let mut gauge =
                        encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
                    gauge.encode_gauge(&value)?;
                }
                false => {
                    let mut counter =
                        encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
                    counter.encode_counter::<NoLabelSet, u64, u64>(&value, None)?;
                }
            }
        }
        Ok(())
    }
}

fn encode_count(mut sample: MetricEncoder<'_>, count: &SessionCount) -> fmt::Result {
    match count.is_gauge {
        true => sample.encode_gauge(&count.value),
        false => sample.encode_counter::<NoLabelSet, u64, u64>(&count.value, None),
    }
}

/// One counter of all shards, or the counters that share a name; the format wants them side by
/// side.
struct Family<'a> {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    samples: Vec<Sample<'a>>,
}

struct Sample<'a> {
    shard: usize,
    label: Option<(&'static str, &'static str)>,
    value: Measured<'a>,
}

impl Collector for ShardMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family {
            name,
            help,
            kind,
            samples,
        } in self.families()
        {
            let name = format!("shardcast_{name}");
            let mut family = encoder.encode_descriptor(&name, help.trim(), None, kind)?;
            for sample in samples {
                let shard = sample.shard.to_string();
                let labels: Vec<(&str, &str)> = [("shard", shard.as_str())]
                    .into_iter()
                    .chain(sample.label)
                    .collect();
                sample.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl Sample<'_> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        match self.value {
            Measured::Gauge(value) => encoder.encode_gauge(&value),
            Measured::Count(value) => encoder.encode_counter::<NoLabelSet, u64, u64>(&value, None),
            // Times were cut to microseconds, so those in a bucket are less than its end.
            Measured::Times(times) => {
                let seconds = |micros: u64| micros as f64 / 1e6;
                encode_histogram(&mut encoder, times, seconds, seconds)
            }
            Measured::Sizes(sizes) => {
                let last = |end: u64| (end - 1) as f64;
                encode_histogram(&mut encoder, sizes, last, |sum| sum as f64)
            }
        }
    }
}

/// `bound` makes the upper bound of a bucket out of its end, `total` the sum out of the recorded
/// one.
fn encode_histogram(
    encoder: &mut MetricEncoder<'_>,
    histogram: &Histogram,
    bound: impl Fn(u64) -> f64,
    total: impl Fn(u64) -> f64,
) -> fmt::Result {
    let sum = total(histogram.sum());
    let buckets = histogram.buckets();
    let buckets = buckets.map(|(end, count)| (end.map_or(f64::INFINITY, &bound), count));
    let buckets: Vec<(f64, u64)> = buckets.collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}

fn kind_of(value: Measured<'_>) -> MetricType {
    match value {
        Measured::Count(_) => MetricType::Counter,
        Measured::Gauge(_) => MetricType::Gauge,
        Measured::Times(_) | Measured::Sizes(_) => MetricType::Histogram,
    }
}

impl ShardMetrics {
    fn families(&self) -> Vec<Family<'_>> {
        let mut families: Vec<Family<'_>> = Vec::new();
        for (shard, counters) in self.0.iter().enumerate() {
            counters.each(|reading| {
                let Reading {
                    name,
                    label,
                    help,
                    value,
                } = reading;
                let sample = Sample {
                    shard,
                    label,
                    value,
                };
                match families.iter_mut().find(|family| family.name == name) {
                    Some(family) => family.samples.push(sample),
                    None => families.push(Family {
                        name,
                        help,
                        kind: kind_of(value),
                        samples: vec![sample],
                    }),
                }
            });
        }
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_counter_is_one_family_with_a_sample_for_each_shard() {
        let counters: Vec<_> = (0..2).map(|_| Arc::new(ShardCounters::default())).collect();
        counters[0].connections.set(3);
        counters[1].connections.set(4);
        counters[1].messages_in.add(7);
        counters[0].closed_deadline_frame.add(2);
        let text = Metrics::new(counters, Arc::default(), Arc::default(), Arc::default()).text();
        let block = |name: &str| {
            text.lines()
                .filter(|line| line.split([' ', '{', '_']).count() > 1 && line.contains(name))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(
            block("shardcast_connections"),
            "# HELP shardcast_connections Open sockets, upgrading ones included.\n# TYPE shardcast_connections gauge\n\
             shardcast_connections{shard=\"0\"} 3\nshardcast_connections{shard=\"1\"} 4"
        );
        assert_eq!(
            block("shardcast_messages_in"),
            "# HELP shardcast_messages_in Data messages received.\n# TYPE shardcast_messages_in counter\n\
             shardcast_messages_in_total{shard=\"0\"} 0\nshardcast_messages_in_total{shard=\"1\"} 7"
        );
        let deadlines = block("shardcast_closed_deadline");
        let help = "# HELP shardcast_closed_deadline Connections that were too late, by the deadline that they missed.";
        assert!(deadlines.starts_with(help), "{deadlines}");
        for sample in [
            "shardcast_closed_deadline_total{shard=\"0\",deadline=\"frame\"} 2",
            "shardcast_closed_deadline_total{shard=\"1\",deadline=\"frame\"} 0",
            "shardcast_closed_deadline_total{shard=\"0\",deadline=\"handshake\"} 0",
        ] {
            assert!(deadlines.lines().any(|line| line == sample), "{deadlines}");
        }
        assert!(
            text.contains("shardcast_build_info{version=\"0.1.0\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("\nprocess_start_time_seconds "), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
        let families = text
            .lines()
            .filter(|line| line.starts_with("# TYPE shardcast_"))
            .count();
        let mut names = BTreeSet::new();
        ShardCounters::default().each(|reading| {
            names.insert(reading.name);
        });
        let sessions = 5;
        assert_eq!(
            families,
            names.len() + 7 + sessions,
            "every counter, the build, the reloads, limits, the audit log and the busiest rooms"
        );
        for line in [
            "shardcast_sessions_waiting 0\n",
            "shardcast_sessions_resumed_total 0\n",
            "shardcast_sessions_lost_total{reason=\"evicted\"} 0\n",
            "shardcast_tls_reloads_total{result=\"success\"} 0\n",
            "shardcast_tls_reloads_total{result=\"failure\"} 0\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn each_histogram_has_buckets_a_sum_and_a_count_for_each_shard() {
        let counters: Vec<_> = (0..2).map(|_| Arc::new(ShardCounters::default())).collect();
        let driver = &counters[1].driver;
        for (micros, completions) in [(0, 0), (3, 1), (1_000_000, 1 << 30)] {
            driver.tick_seconds.record(micros);
            driver.tick_completions.record(completions);
        }
        let text = Metrics::new(counters, Arc::default(), Arc::default(), Arc::default()).text();
        for sample in [
            "shardcast_tick_seconds_sum{shard=\"1\"} 1.000003",
            "shardcast_tick_seconds_count{shard=\"1\"} 3",
            "shardcast_tick_seconds_bucket{le=\"0.000001\",shard=\"1\"} 1",
            "shardcast_tick_seconds_bucket{le=\"0.000002\",shard=\"1\"} 1",
            "shardcast_tick_seconds_bucket{le=\"0.000004\",shard=\"1\"} 2",
            "shardcast_tick_seconds_bucket{le=\"1.048576\",shard=\"1\"} 3",
            "shardcast_tick_seconds_bucket{le=\"+Inf\",shard=\"1\"} 3",
            "shardcast_tick_seconds_bucket{le=\"+Inf\",shard=\"0\"} 0",
            "shardcast_tick_completions_bucket{le=\"0.0\",shard=\"1\"} 1",
            "shardcast_tick_completions_bucket{le=\"1.0\",shard=\"1\"} 2",
            "shardcast_tick_completions_bucket{le=\"4194303.0\",shard=\"1\"} 2",
            "shardcast_tick_completions_bucket{le=\"+Inf\",shard=\"1\"} 3",
        ] {
            assert!(text.lines().any(|line| line == sample), "{sample}\n{text}");
        }
        for name in ["tick_seconds", "tick_completions"] {
            let kind = format!("# TYPE shardcast_{name} histogram");
            assert!(text.lines().any(|line| line == kind), "{text}");
        }
    }
}
