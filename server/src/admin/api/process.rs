//! Calls that tell of the process: what it is, how much it does, and its configuration.

use crate::admin::api::AdminApi;
use crate::admin::api::paging::limit_of;
use crate::admin::lifecycle::Stage;
use crate::admin::problem::AdminProblem;
use crate::config;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shardcast_engine::BusyRooms;
use std::collections::BTreeMap;

/// The server and what it does.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InfoAnswer {
    version: &'static str,
    stage: Stage,
    uptime_seconds: u64,
    shards: usize,
    /// `uring` or `portable`.
    driver: &'static str,
    /// The kernel, and what of it is used.
    kernel: String,
    /// Open sockets, upgrading ones included.
    connections: u64,
    connections_max: usize,
    /// Rooms with members.
    rooms: u64,
    /// Users with connections.
    users: u64,
    /// Memory that connections and topics hold, in bytes.
    held_bytes: u64,
    /// Since the start.
    totals: InfoTotals,
}

/// Sums over all shards since the start.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InfoTotals {
    accepts: u64,
    upgrades: u64,
    messages_in: u64,
    bytes_in: u64,
    frames_out: u64,
    bytes_out: u64,
    publishes: u64,
    deliveries: u64,
}

/// How many rooms are told of.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TopQuery {
    /// Rooms of the answer; 10 without.
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<u32>,
}

/// The rooms that most is published to.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TopAnswer {
    /// What is counted over, in milliseconds: the last complete one of such windows.
    window_ms: u64,
    /// The busiest first; none where the window had no publishes.
    rooms: Vec<TopRoom>,
}

/// One of them.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TopRoom {
    room: String,
    /// Publishes in the window: an estimate from every sixteenth or so.
    publishes: u64,
}

/// The configuration in force.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ConfigAnswer {
    /// By `section.key`; credentials in URLs are hidden, and secrets stand in files of their own.
    values: BTreeMap<String, Value>,
}

impl AdminApi {
    pub(crate) fn info(&self) -> InfoAnswer {
        let facts = &self.facts;
        InfoAnswer {
            version: env!("CARGO_PKG_VERSION"),
            stage: self.steering.lifecycle.stage(),
            uptime_seconds: facts.started.elapsed().as_secs(),
            shards: facts.counters.len(),
            driver: facts.driver,
            kernel: facts.kernel.clone(),
            connections: facts.connections(),
            connections_max: facts.connections_max,
            rooms: facts.sum(|shard| shard.rooms_home.get()),
            users: facts.sum(|shard| shard.users_home.get()),
            held_bytes: facts.sum(|shard| shard.held_bytes.get()),
            totals: InfoTotals {
                accepts: facts.sum(|shard| shard.accepts.get()),
                upgrades: facts.sum(|shard| shard.upgrades.get()),
                messages_in: facts.sum(|shard| shard.messages_in.get()),
                bytes_in: facts.sum(|shard| shard.bytes_in.get()),
                frames_out: facts.sum(|shard| shard.frames_out.get()),
                bytes_out: facts.sum(|shard| shard.bytes_out.get()),
                publishes: facts.sum(|shard| shard.publishes.get()),
                deliveries: facts.sum(|shard| shard.deliveries.get()),
            },
        }
    }

    pub(crate) fn top(&self, asked: &TopQuery) -> Result<TopAnswer, AdminProblem> {
        const WITHOUT: u32 = 10;
        let limit = limit_of(asked.limit.or(Some(WITHOUT)))?;
        let shards = self.facts.counters.iter();
        let rooms = BusyRooms::of_all(shards.map(|counters| &*counters.busiest), limit);
        let rooms = rooms.into_iter().map(|busy| TopRoom {
            room: busy.room.as_ref().to_owned(),
            publishes: busy.publishes,
        });
        Ok(TopAnswer {
            window_ms: BusyRooms::WINDOW_MS,
            rooms: rooms.collect(),
        })
    }

    pub(crate) fn config(&self) -> ConfigAnswer {
        let settings = self.steering.in_force.get();
        ConfigAnswer {
            values: config::shown(&settings),
        }
    }
}
