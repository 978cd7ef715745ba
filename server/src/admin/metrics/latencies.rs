//! The metrics of what is timed outside of shards: one row for each distribution.

use crate::session::latencies::{Distribution, Latencies};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::sync::Arc;

/// One distribution with its name.
pub(crate) struct Timed<'a> {
    pub(crate) name: &'static str,
    help: &'static str,
    pub(crate) times: &'a Distribution,
}

/// All of them.
pub(crate) fn timed(latencies: &Latencies) -> [Timed<'_>; 4] {
    let Latencies {
        publish,
        hop,
        handler,
        background,
    } = latencies;
    let row = |name, help, times| Timed { name, help, times };
    [
        row(
            "shardcast_publish_seconds",
            "Publishes of operators and backends, from their coming until every shard has handed them to its members' sockets",
            publish,
        ),
        row(
            "shardcast_hop_seconds",
            "A question to every shard and back, asked once a second",
            hop,
        ),
        row(
            "shardcast_handler_seconds",
            "Handlers of the application on their shard, about one call of 64",
            handler,
        ),
        row(
            "shardcast_background_seconds",
            "Handlers of the application in the background, from their start to their outcome",
            background,
        ),
    ]
}

/// What is timed outside of shards.
#[derive(Debug)]
pub(super) struct LatencyMetrics(pub(super) Arc<Latencies>);

impl Collector for LatencyMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Timed { name, help, times } in timed(&self.0) {
            let kind = MetricType::Histogram;
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            let buckets = times.classic();
            let count = buckets.iter().map(|(_, count)| count).sum();
            family.encode_histogram::<NoLabelSet>(times.sum_seconds(), count, &buckets, None)?;
        }
        Ok(())
    }
}
