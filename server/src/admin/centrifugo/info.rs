//! What the server API says of the server itself: one node, with its counts.

use serde_json::{Value, json};
use shardcast_engine::ShardCounters;
use std::sync::Arc;
use std::time::Instant;

/// The counts, and since when they are kept.
#[derive(Debug)]
pub(crate) struct ServerInfo {
    counters: Vec<Arc<ShardCounters>>,
    started: Instant,
}

impl ServerInfo {
    pub(crate) fn new(counters: Vec<Arc<ShardCounters>>) -> ServerInfo {
        ServerInfo {
            counters,
            started: Instant::now(),
        }
    }

    /// The node.
    pub(crate) fn show(&self, server: &str) -> Value {
        let sum = |of: fn(&ShardCounters) -> u64| {
            self.counters.iter().map(|shard| of(shard)).sum::<u64>()
        };
        let version = server.rsplit('/').next().unwrap_or_default();
        json!({ "nodes": [{
            "uid": "shardcast",
            "name": server,
            "version": version,
            "num_clients": sum(|shard| shard.connections.get()),
            "num_users": sum(|shard| shard.users_home.get()),
            "num_channels": sum(|shard| shard.rooms_home.get()),
            "uptime": self.started.elapsed().as_secs(),
        }] })
    }
}
