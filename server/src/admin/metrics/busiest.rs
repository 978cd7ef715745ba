//! How much is published to the rooms that most is published to, by their rank: names of rooms come
//! from clients, and none is a label. `GET /api/top` has the names.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use shardcast_engine::{BusyRooms, ShardCounters};
use std::fmt;
use std::sync::Arc;

/// Ranks that are told.
pub(crate) const RANKS: usize = 10;

/// The busiest rooms of all shards.
#[derive(Debug)]
pub(super) struct BusiestMetrics(pub(super) Vec<Arc<ShardCounters>>);

impl Collector for BusiestMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let shards = self.0.iter().map(|counters| &*counters.busiest);
        let rooms = BusyRooms::of_all(shards, RANKS);
        let help = "Publishes in ten seconds to the room of this rank, estimated";
        let name = "shardcast_busiest_room_publishes";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for rank in 1..=RANKS {
            let publishes = rooms.get(rank - 1).map_or(0, |room| room.publishes);
            let label = [("rank", rank.to_string())];
            let sample = family.encode_family(&label)?;
            ConstGauge::new(publishes as i64).encode(sample)?;
        }
        Ok(())
    }
}
