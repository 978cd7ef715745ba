//! Calls that tell of the process: what it is, how much it does, and its configuration.

use crate::admin::api::AdminApi;
use crate::admin::lifecycle::Stage;
use crate::config;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
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

    pub(crate) fn config(&self) -> ConfigAnswer {
        let settings = self.steering.in_force.get();
        ConfigAnswer {
            values: config::shown(&settings),
        }
    }
}
