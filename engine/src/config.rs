//! How an engine is set up: few knobs, each with a unit and a default; the rest are constants.

use std::net::SocketAddr;
use std::time::Duration;

/// Engine configuration. [`Config::check`] turns it into something that cannot be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where clients connect. Port 0 picks one; [`crate::Running::local_addr`] tells.
    pub listen: SocketAddr,
    /// Number of shards, 1..=256. Default: one per available core.
    pub shards: usize,
    /// Which core each shard's thread is pinned to.
    pub pinning: Pinning,
    /// Connections in the whole process; one more is answered 503. Default 100,000, range 1..=10,000,000.
    pub connections_max: usize,
    /// Largest message in bytes; a larger one ends its connection with 1009. Default 64 KiB, range 125 B..=64 MiB.
    pub message_bytes_max: usize,
    /// Rooms that one connection may be in. Default 128, range 1..=65,536.
    pub rooms_per_connection_max: usize,
    /// Longest room name in bytes. Default 255, range 1..=4,096.
    pub room_name_bytes_max: usize,
    /// Bytes that may wait for one slow reader; more closes it with 1008. Default 1 MiB; at least `message_bytes_max` + 1 KiB.
    pub outbox_bytes_max: usize,
    /// Sends that may wait for one slow reader. Default 4,096, range 16..=1,048,576.
    pub outbox_frames_max: usize,
    /// From accept to the end of the request head. Default 5 s.
    pub handshake_timeout: Duration,
    /// Silence after which a ping is sent. Default 25 s.
    pub heartbeat: Duration,
    /// From a ping to any sign of life. Default 10 s.
    pub pong_timeout: Duration,
    /// Silence (no byte from the peer) that ends a connection whatever the heartbeat says. Default 120 s.
    pub idle_timeout: Duration,
    /// From our close frame to the peer's. Default 5 s.
    pub close_timeout: Duration,
}

/// Which core each shard's thread runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pinning {
    /// Wherever the scheduler puts it.
    None,
    /// Shard n on the n-th core that this process may use (unpinned when there are more shards than cores).
    Auto,
    /// Shard n on the n-th core of this list.
    Cores(Vec<usize>),
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}: {rule}")]
pub struct ConfigError {
    /// The field's name.
    pub field: &'static str,
    /// What it was set to.
    pub value: String,
    /// What it must be.
    pub rule: &'static str,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            shards: std::thread::available_parallelism().map_or(1, usize::from),
            pinning: Pinning::Auto,
            connections_max: 100_000,
            message_bytes_max: 64 << 10,
            rooms_per_connection_max: 128,
            room_name_bytes_max: 255,
            outbox_bytes_max: 1 << 20,
            outbox_frames_max: 4096,
            handshake_timeout: Duration::from_secs(5),
            heartbeat: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            close_timeout: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// Checks ranges and relations.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn check(&self) -> Result<(), ConfigError> { todo!() }
}
