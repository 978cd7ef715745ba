//! A started engine: its threads, its counters, and the way to stop it.

use crate::{Application, Config, ConfigError, Frame, ShardCounters};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The kernel cannot run the native driver: what is missing and what to do.
    #[error("{0}")]
    Unsupported(String),
    /// The address cannot be listened on, or another resource is missing.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

/// Starts one thread per shard, each with the application that `make` builds for it (on that thread, given the shard's index).
/// Returns when every shard listens.
///
/// # Errors
/// See [`StartError`]; no thread is left behind.
pub fn start<A: Application>(_config: Config, _make: impl Fn(u16) -> A + Send + Sync + 'static) -> Result<Running, StartError> {
    todo!()
}

/// A running engine. Dropping it stops it at once; [`Running::drain`] does so kindly.
#[derive(Debug)]
pub struct Running {
    _private: (),
}

impl Running {
    /// Where clients connect.
    pub fn local_addr(&self) -> SocketAddr { todo!() }
    /// Rings that may be used over all shards (the ready line says so).
    pub fn rings_max(&self) -> usize { todo!() }
    /// One line about the kernel and what of it is used.
    pub fn capabilities(&self) -> String { todo!() }
    /// One set of counters per shard.
    pub fn counters(&self) -> &[Arc<ShardCounters>] { todo!() }
    /// A cloneable way in from other threads.
    pub fn handle(&self) -> Handle { todo!() }
    /// Stops accepting, calls `draining` for every connection (paced), flushes, closes with 1001. Blocks until every
    /// connection is gone or `within` is over, then stops the shards. True when all were gone in time.
    pub fn drain(self, _within: Duration) -> bool { todo!() }
}

/// Publishes into a running engine from any thread.
#[derive(Clone, Debug)]
pub struct Handle {
    _private: (),
}

impl Handle {
    /// Publishes to a room. `false` when the engine is stopping or its command queue is full (nothing was sent; try again later).
    pub fn publish_room(&self, _room: &str, _frame: Frame) -> bool { todo!() }
    /// Publishes to every connection; `false` as above.
    pub fn publish_everyone(&self, _frame: Frame) -> bool { todo!() }
}
