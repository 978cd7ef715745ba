//! The call that tells what each shard has and does, and how long things take: what a dashboard
//! asks for once a second.
//!
//! Invariant: it reads counters and asks no shard anything, so it costs shards nothing.

use crate::admin::api::AdminApi;
use crate::session::latencies::Distribution;
use schemars::JsonSchema;
use serde::Serialize;
use shardcast_engine::{Histogram, ShardCounters};

/// All shards.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShardsAnswer {
    /// How long the process has been serving, in milliseconds: what rates are made with.
    uptime_ms: u64,
    /// Its name in the cluster, where it is a node of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    shards: Vec<ShardAnswer>,
    times: TimesAnswer,
}

/// One shard: what it has, and what it has done since the start.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShardAnswer {
    shard: usize,
    /// Open sockets, upgrading ones included.
    connections: u64,
    /// Rooms that it orders.
    rooms: u64,
    /// Users whose messages it orders.
    users: u64,
    /// Memory that its connections and topics hold, in bytes.
    held_bytes: u64,
    /// Messages that wait in its mailbox.
    lane_depth: u64,
    /// Connections that have not taken all yet.
    outboxes: u64,
    /// Bytes that they have not taken yet.
    outbox_bytes: u64,
    /// Members that read a room's log, because they were too slow or go on from earlier.
    cursors: u64,
    /// How long it was at work, in microseconds; not how long it waited for the kernel.
    busy_us: u64,
    messages_in: u64,
    bytes_in: u64,
    frames_out: u64,
    bytes_out: u64,
    publishes: u64,
    deliveries: u64,
    /// Connections closed because they read too slowly.
    closed_slow: u64,
    /// Times a connection was not read on for a while.
    parked: u64,
}

/// How long things have taken since the start.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TimesAnswer {
    /// Ticks of all shards.
    tick: Vec<TimeBucket>,
    /// A question to every shard and back, once a second.
    hop: Vec<TimeBucket>,
    /// Publishes of operators and backends, until every shard has handed them to its members.
    publish: Vec<TimeBucket>,
}

/// How many took about as long; buckets in which there is none are left out.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TimeBucket {
    /// Not longer than so many microseconds; none: longer than all other buckets.
    #[serde(skip_serializing_if = "Option::is_none")]
    to_us: Option<f64>,
    count: u64,
}

impl AdminApi {
    pub(crate) fn shards(&self) -> ShardsAnswer {
        let facts = &self.facts;
        let shards = facts.counters.iter().enumerate();
        let latencies = &self.handle.shared.latencies;
        let ticks = facts
            .counters
            .iter()
            .map(|shard| &shard.driver.tick_seconds);
        ShardsAnswer {
            uptime_ms: u64::try_from(facts.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            node: self.cluster.as_ref().map(|view| view.name.to_string()),
            shards: shards
                .map(|(shard, counters)| of(shard, counters))
                .collect(),
            times: TimesAnswer {
                tick: sum(ticks),
                hop: buckets_of(&latencies.hop),
                publish: buckets_of(&latencies.publish),
            },
        }
    }
}

fn of(shard: usize, counters: &ShardCounters) -> ShardAnswer {
    ShardAnswer {
        shard,
        connections: counters.connections.get(),
        rooms: counters.rooms_home.get(),
        users: counters.users_home.get(),
        held_bytes: counters.held_bytes.get(),
        lane_depth: counters.lane_depth.get(),
        outboxes: counters.outboxes.get(),
        outbox_bytes: counters.outbox_bytes.get(),
        cursors: counters.cursors.get(),
        busy_us: counters.driver.tick_seconds.sum(),
        messages_in: counters.messages_in.get(),
        bytes_in: counters.bytes_in.get(),
        frames_out: counters.frames_out.get(),
        bytes_out: counters.bytes_out.get(),
        publishes: counters.publishes.get(),
        deliveries: counters.deliveries.get(),
        closed_slow: counters.closed_slow.get(),
        parked: counters.parked.get(),
    }
}

/// Of all shards together.
fn sum<'h>(histograms: impl Iterator<Item = &'h Histogram>) -> Vec<TimeBucket> {
    let mut sums: Vec<(Option<u64>, u64)> = Vec::with_capacity(Histogram::BUCKETS);
    for histogram in histograms {
        for (index, (end, count)) in histogram.buckets().enumerate() {
            match sums.get_mut(index) {
                Some((_, sum)) => *sum += count,
                None => sums.push((end, count)),
            }
        }
    }
    let filled = sums.into_iter().filter(|(_, count)| *count > 0);
    filled
        .map(|(end, count)| TimeBucket {
            to_us: end.map(|end| end as f64),
            count,
        })
        .collect()
}

fn buckets_of(times: &Distribution) -> Vec<TimeBucket> {
    let (below, counts) = times.counts();
    let last = counts.len();
    let bound = |index: usize| {
        let doublings = index as f64 / f64::from(Distribution::PER_DOUBLING);
        (f64::from(Distribution::LOWEST) + doublings).exp2() * 1e6
    };
    let all = std::iter::once(below).chain(counts).enumerate();
    all.filter(|(_, count)| *count > 0)
        .map(|(index, count)| TimeBucket {
            to_us: (index < last).then(|| bound(index)),
            count,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn buckets_end_where_what_they_hold_does_not() {
        let times = Distribution::default();
        for time in [1, 1_000, 1_000, 1_000_000, 100_000_000] {
            times.record(Duration::from_micros(time));
        }
        let found = buckets_of(&times);
        let counts: Vec<u64> = found.iter().map(|bucket| bucket.count).collect();
        assert_eq!(counts, [1, 2, 1, 1]);
        // Each bucket ends within 9 % of the times in it.
        for (bucket, time) in found.iter().zip([1.0, 1_000.0, 1_000_000.0]) {
            let end = bucket.to_us.expect("an end");
            assert!((time..time * 1.0906).contains(&end), "{time}: {end}");
        }
        assert_eq!(found[3].to_us, None);
    }

    #[test]
    fn shards_are_added_up() {
        let (one, other) = (Histogram::default(), Histogram::default());
        one.record(5);
        other.record(6);
        other.record(u64::MAX >> 1);
        let found = sum([&one, &other].into_iter());
        let found: Vec<_> = found.iter().map(|it| (it.to_us, it.count)).collect();
        assert_eq!(found, [(Some(8.0), 2), (None, 1)]);
    }
}
