//! What the admin API tells of the process: what does not change while it runs, and where it
//! counts. Made by `serve`.

use shardcast_engine::{Running, ShardCounters};
use std::sync::Arc;
use std::time::Instant;

/// What does not change while it runs, and where it counts.
#[derive(Debug)]
pub(crate) struct ProcessFacts {
    pub(crate) started: Instant,
    pub(crate) counters: Vec<Arc<ShardCounters>>,
    pub(crate) driver: &'static str,
    pub(crate) kernel: String,
    pub(crate) connections_max: usize,
}

impl ProcessFacts {
    pub(crate) fn new(running: &Running) -> ProcessFacts {
        ProcessFacts {
            started: Instant::now(),
            counters: running.counters().to_vec(),
            driver: running.driver(),
            kernel: running.capabilities(),
            connections_max: running.connections_max(),
        }
    }

    /// Over all shards.
    pub(crate) fn sum(&self, of: impl Fn(&ShardCounters) -> u64) -> u64 {
        self.counters.iter().map(|shard| of(shard)).sum()
    }

    /// Open sockets, upgrading ones included.
    pub(crate) fn connections(&self) -> u64 {
        self.sum(|shard| shard.connections.get())
    }
}
