//! The counters in OpenMetrics text. Reads the shards' counters when it is asked, and keeps nothing between two readings.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use shardcast_engine::ShardCounters;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Everything that is measured.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// By `result`: `success` or `failure`.
    tls_reloads: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Metrics {
    /// The media type of [`Metrics::text`].
    pub(crate) const CONTENT_TYPE: &str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// The metrics of a process that starts now.
    pub(crate) fn new(counters: Vec<Arc<ShardCounters>>) -> Metrics {
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
        let tls_reloads = Family::default();
        for result in ["success", "failure"] {
            // Both are there from the start.
            drop(tls_reloads.get_or_create(&[("result", result)]));
        }
        registry.register(
            "shardcast_tls_reloads",
            "Times that the certificate files were read again (SIGHUP)",
            tls_reloads.clone(),
        );
        registry.register_collector(Box::new(Shards(counters)));
        Metrics {
            registry,
            tls_reloads,
        }
    }

    /// The certificate files were read again, with this `result`.
    pub(crate) fn tls_reloaded(&self, result: &'static str) {
        self.tls_reloads.get_or_create(&[("result", result)]).inc();
    }

    /// One reading.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes everything");
        text
    }
}

#[derive(Debug)]
struct Shards(Vec<Arc<ShardCounters>>);

/// One counter of all shards; the format wants them side by side.
struct Reading {
    name: &'static str,
    help: &'static str,
    is_gauge: bool,
    by_shard: Vec<u64>,
}

impl Collector for Shards {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Reading {
            name,
            help,
            is_gauge,
            by_shard,
        } in self.families()
        {
            let name = format!("shardcast_{name}");
            let kind = if is_gauge {
                MetricType::Gauge
            } else {
                MetricType::Counter
            };
            let mut family = encoder.encode_descriptor(&name, help.trim(), None, kind)?;
            for (shard, value) in by_shard.iter().enumerate() {
                let labels = [("shard", shard.to_string())];
                let mut sample = family.encode_family(&labels)?;
                if is_gauge {
                    sample.encode_gauge(value)?;
                } else {
                    sample.encode_counter::<NoLabelSet, u64, u64>(value, None)?;
                }
            }
        }
        Ok(())
    }
}

impl Shards {
    fn families(&self) -> Vec<Reading> {
        let mut families: Vec<Reading> = Vec::new();
        for counters in &self.0 {
            // Every shard visits the same counters in the same order.
            let mut index = 0;
            counters.each(|name, help, is_gauge, value| {
                if index == families.len() {
                    families.push(Reading {
                        name,
                        help,
                        is_gauge,
                        by_shard: Vec::with_capacity(self.0.len()),
                    });
                }
                families[index].by_shard.push(value);
                index += 1;
            });
        }
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_is_one_family_with_a_sample_for_each_shard() {
        let counters: Vec<_> = (0..2).map(|_| Arc::new(ShardCounters::default())).collect();
        counters[0].connections.set(3);
        counters[1].connections.set(4);
        counters[1].messages_in.add(7);
        let text = Metrics::new(counters).text();
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
        let mut counters = 0;
        ShardCounters::default().each(|_, _, _, _| counters += 1);
        assert_eq!(
            families,
            counters + 2,
            "every counter, the build, and the reloads"
        );
        for line in [
            "shardcast_tls_reloads_total{result=\"success\"} 0\n",
            "shardcast_tls_reloads_total{result=\"failure\"} 0\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
