//! The memory that an engine may take, as a sum of named terms. Limits bound every term; nothing else grows with load.

use crate::delayed::Delayed;
use crate::driver::PlatformLimits;
use crate::lane::LaneCapacity;
use crate::{Compression, Config};
use shardcast_protocol::deflate::Takeover;
use std::fmt;

/// The terms, in bytes. [`Memory::idle_bytes`] is what full occupancy takes; the rest is what peers can make of it at worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Receive buffers and queues of all rings, if every ring is made and every buffer touched.
    pub rings_bytes: u64,
    /// Slots of all connections, each in one room, without the application's sessions.
    pub connections_bytes: u64,
    /// TLS sessions, if there is a listener with TLS and everybody connects there.
    pub tls_bytes: u64,
    /// The lanes themselves.
    pub lanes_bytes: u64,
    /// Messages that hold messages of the largest size in every lane, and as many as may wait for a set of recipients: a burst that is being
    /// pushed back.
    pub messages_worst_bytes: u64,
    /// Every connection a slow reader with a full outbox. Frames of a broadcast are shared, so this counts them many times over.
    pub outboxes_worst_bytes: u64,
    /// What every shard compresses with, once it does.
    pub compressors_worst_bytes: u64,
    /// Windows of clients that keep one though they were told not to, which have a budget; besides,
    /// every connection with windows of its own, if that is allowed.
    pub windows_worst_bytes: u64,
    /// Unfinished messages, which have a budget.
    pub partials_worst_bytes: u64,
}

impl Memory {
    /// Hot slot, peer address (6 over IPv4), memberships, deadline, driver's slot, one membership in a slice (with the slack of a growing list).
    const CONNECTION_BYTES: u64 = 24 + 22 + 16 + 12 + 4 + 16;
    /// An idle TLS session: rustls' state and keys (3.4-3.6 kB of heap, `bench/results/tried.md`), its place in the table.
    const TLS_SESSION_BYTES: u64 = 3_600 + 8;
    /// A message: the larger of the two kinds.
    const SHARD_MESSAGE_BYTES: u64 = 80;

    /// The terms of a checked configuration whose shards have these limits each.
    pub fn of(config: &Config, limits: &PlatformLimits) -> Memory {
        let (shards, connections) = (config.shards as u64, config.connections_max as u64);
        let pairs = shards * (shards - 1);
        let messages = pairs * LaneCapacity::for_shards(config.shards).messages() as u64;
        let delayed_bytes = Delayed::DELIVERIES_MAX as u64 * Self::SHARD_MESSAGE_BYTES;
        Memory {
            rings_bytes: shards * limits.memory_bytes,
            connections_bytes: connections * Self::CONNECTION_BYTES,
            tls_bytes: if config
                .listeners
                .iter()
                .any(|listener| listener.tls.is_some())
            {
                connections * Self::TLS_SESSION_BYTES
            } else {
                0
            },
            lanes_bytes: messages * Self::SHARD_MESSAGE_BYTES,
            messages_worst_bytes: (messages.max(LaneCapacity::for_shards(1).0 as u64) + shards)
                * config.message_bytes_max() as u64
                + shards * (Delayed::BYTES_MAX as u64 + delayed_bytes),
            outboxes_worst_bytes: connections * config.outbox_bytes_max as u64,
            compressors_worst_bytes: config
                .compression
                .as_ref()
                .map_or(0, |_| shards * Compression::SHARD_BYTES as u64),
            windows_worst_bytes: config.compression.as_ref().map_or(0, |compression| {
                let agreed = match compression.takeover {
                    Takeover::Never => 0,
                    Takeover::Allowed => connections * Compression::TAKEOVER_BYTES as u64,
                };
                compression.windows_bytes_max as u64 + agreed
            }),
            partials_worst_bytes: config.reassembly_bytes_max as u64,
        }
    }

    /// Rings, connections, TLS sessions and lanes.
    pub fn idle_bytes(&self) -> u64 {
        self.rings_bytes + self.connections_bytes + self.tls_bytes + self.lanes_bytes
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        write!(
            f,
            "{} MiB full and idle (rings {}, connections {}, TLS {}, lanes {}); at worst, besides: messages {}, outboxes {}, unfinished messages {}, compressors {}, their windows {}",
            mib(self.idle_bytes()),
            mib(self.rings_bytes),
            mib(self.connections_bytes),
            mib(self.tls_bytes),
            mib(self.lanes_bytes),
            mib(self.messages_worst_bytes),
            mib(self.outboxes_worst_bytes),
            mib(self.partials_worst_bytes),
            mib(self.compressors_worst_bytes),
            mib(self.windows_worst_bytes),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Delivery, ShardRequest};

    #[test]
    fn a_shard_message_is_no_larger_than_it_is_counted() {
        assert!(
            size_of::<ShardRequest>() as u64 <= Memory::SHARD_MESSAGE_BYTES,
            "{}",
            size_of::<ShardRequest>()
        );
        assert!(
            size_of::<Delivery>() as u64 <= Memory::SHARD_MESSAGE_BYTES,
            "{}",
            size_of::<Delivery>()
        );
    }

    #[test]
    fn the_sum_of_two_shards() {
        let config = Config {
            shards: 2,
            connections_max: 1000,
            ..Config::default()
        };
        let limits = PlatformLimits {
            rings: 1,
            connections_max: 1000,
            memory_bytes: 3 << 20,
        };
        let memory = Memory::of(&config, &limits);
        assert_eq!(memory.connections_bytes, 94_000);
        assert_eq!(memory.lanes_bytes, 2 * (2 * 2048 + 7) * 80);
        assert_eq!(memory.rings_bytes, 6 << 20);
        assert_eq!(memory.outboxes_worst_bytes, 1000 << 20);
        assert_eq!(memory.partials_worst_bytes, 256 << 20);
        assert_eq!(memory.idle_bytes(), memory.rings_bytes + 94_000 + 656_480);
    }
}
