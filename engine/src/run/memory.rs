//! The memory that an engine may take, as a sum of named terms, each with a limit.
//!
//! What grows with use has a budget together, which the shards keep to (`core/relief.rs`): the
//! terms say how each part is bounded by itself. Not in the sum: the application's own state, of
//! which it tells what counts in the budget; memberships beyond the first of a connection; what
//! commands of other threads carry; and what the application's code publishes while requests wait
//! for lanes (from clients, no more than one message of each shard is among them).

use crate::config::Config;
use crate::connection::Connections;
use crate::connection::exchange::{Deferred, Exchange};
use crate::connection::slot::Cold;
use crate::driver::platform::PlatformLimits;
use crate::egress::compression::Compression;
use crate::egress::tls::sessions::TlsSessions;
use crate::events::{Event, Events};
use crate::message::command::Command;
use crate::message::lane::{LaneCapacity, REQUESTS_WAITING_MAX};
use crate::message::queue::{COMMANDS_MAX, WAITING_BYTES, WAITING_MAX};
use crate::query::gather::Queries;
use crate::query::page::{FoundConnection, FoundTopic, Query};
use crate::topic::cursor::Cursor;
use crate::topic::delayed::Delayed;
use crate::topic::key::{TopicKey, USER_BYTES_MAX};
use crate::topic::order::LIST_MEMBERS_MAX;
use crate::types::answer::Member;
use crate::types::encoding::EncodingId;
use shardcast_protocol::deflate::Takeover;
use std::fmt;

/// The terms, in bytes. [`Memory::idle_bytes`] is what full occupancy takes; the rest is what peers
/// can make of it at worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Receive buffers and queues of all rings, if every ring is made and every buffer touched.
    pub rings_bytes: u64,
    /// Slots of all connections, each in one room, without the application's sessions.
    pub connections_bytes: u64,
    /// TLS sessions, if there is a listener with TLS and everybody connects there.
    pub tls_bytes: u64,
    /// The lanes themselves, and the queues of commands.
    pub lanes_bytes: u64,
    /// Frames of the largest size in every lane, and as many as may wait for their recipients: a
    /// burst that is being pushed back.
    pub messages_worst_bytes: u64,
    /// If every connection's outbox is full. Outboxes share the frames of a broadcast, and this sum
    /// counts a shared frame once for each outbox.
    pub outboxes_worst_bytes: u64,
    /// What every shard compresses with, once it does.
    pub compressors_worst_bytes: u64,
    /// Windows of clients that keep one though they were told not to, which have a budget; besides,
    /// every connection with windows of its own, if that is allowed.
    pub windows_worst_bytes: u64,
    /// Unfinished messages, which have a budget.
    pub partials_worst_bytes: u64,
    /// Requests that wait for lanes: as many as may, everybody leaving at once, and all parts of
    /// answers.
    pub requests_worst_bytes: u64,
    /// Lists, reports and pages that are being put together: as many as may, each of them full.
    pub queries_worst_bytes: u64,
    /// Events in all subscriptions that there may be, and other threads that wait for a place in a
    /// queue of commands.
    pub events_worst_bytes: u64,
    /// Connections that wait for a deferred admission. What they say meanwhile is unfinished
    /// messages.
    pub deferred_worst_bytes: u64,
    /// Logs of topics, which have a budget.
    pub logs_worst_bytes: u64,
    /// Members that read logs, as many as may.
    pub cursors_worst_bytes: u64,
    /// What of all this grows with use may take no more together
    /// ([`Config::memory_bytes_max`]): above three quarters of it new connections, and publishes to
    /// the greediest topics, are refused, and the worst readers go.
    pub budget_bytes: u64,
}

impl Memory {
    /// The program itself: code that was touched, stacks, the allocator's own.
    const PROGRAM_BYTES: u64 = 16 << 20;
    /// A message: the larger of the two kinds.
    const SHARD_MESSAGE_BYTES: u64 = 80;
    /// A place in a queue of commands, and the stamp of the place.
    const COMMAND_BYTES: u64 = size_of::<Command>() as u64 + 8;
    /// A cursor in its connection's list, with its place in the table and in the queue.
    const CURSOR_BYTES: u64 = 2 * size_of::<Cursor>() as u64 + 64;
    /// What is allocated for a connection that waits for its admission: its cold part, its
    /// exchange, what the admission needs, and the key of its upgrade.
    const DEFERRED_BYTES: u64 =
        (size_of::<Cold>() + size_of::<Exchange>() + size_of::<Deferred>() + 24) as u64;

    /// The terms of a checked configuration whose shards have these limits each.
    pub fn of(config: &Config, limits: &PlatformLimits) -> Memory {
        let (shards, connections) = (config.shards as u64, config.connections_max as u64);
        let pairs = shards * (shards - 1);
        let messages = pairs * LaneCapacity::for_shards(config.shards).messages() as u64;
        let delayed_bytes = Delayed::DELIVERIES_MAX as u64 * Self::SHARD_MESSAGE_BYTES;
        Memory {
            rings_bytes: shards * limits.memory_bytes,
            connections_bytes: connections * Connections::BYTES_EACH,
            tls_bytes: if config
                .listeners
                .iter()
                .any(|listener| listener.tls.is_some())
            {
                connections * TlsSessions::SESSION_BYTES
            } else {
                0
            },
            lanes_bytes: messages * Self::SHARD_MESSAGE_BYTES
                + shards * COMMANDS_MAX as u64 * Self::COMMAND_BYTES,
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
            requests_worst_bytes: requests_bytes(shards, connections),
            queries_worst_bytes: queries_bytes(shards),
            events_worst_bytes: events_bytes(config),
            deferred_worst_bytes: config.deferred_max as u64 * Self::DEFERRED_BYTES,
            logs_worst_bytes: match config.logs.is_empty() {
                true => 0,
                false => config.logs_bytes_max as u64,
            },
            cursors_worst_bytes: match config.logs.is_empty() {
                true => 0,
                false => shards * Config::CURSORS_MAX as u64 * Self::CURSOR_BYTES,
            },
            budget_bytes: config.memory_bytes_max as u64,
        }
    }

    /// What is taken whoever comes, as the process's budget counts it: the first ring of each
    /// shard, lanes, the program. At most half of the budget, so that memory is not short for ever
    /// where that is too low for so many shards.
    pub(crate) fn fixed_bytes(&self, limits: &PlatformLimits) -> u64 {
        let rings_bytes = self.rings_bytes / limits.rings.max(1) as u64;
        let fixed_bytes = rings_bytes + self.lanes_bytes + Self::PROGRAM_BYTES;
        let (most, budget) = (self.budget_bytes / 2, self.budget_bytes);
        if fixed_bytes > most {
            tracing::warn!(
                fixed_bytes,
                budget,
                "the memory that the engine may take is low for so many shards"
            );
        }
        fixed_bytes.min(most)
    }

    /// Rings, connections, TLS sessions and lanes.
    pub fn idle_bytes(&self) -> u64 {
        self.rings_bytes + self.connections_bytes + self.tls_bytes + self.lanes_bytes
    }
}

/// Requests that wait, in queues that grow by doubling.
fn requests_bytes(shards: u64, connections: u64) -> u64 {
    // Each shard's part of each answer under way, one for each encoding.
    let queries = shards * 2 * Queries::PENDING_MAX as u64;
    let parts = queries * EncodingId::OF_MEMBERS_MAX as u64;
    let waiting = shards * (REQUESTS_WAITING_MAX as u64 + parts);
    // With the list of what it leaves, which is one room.
    let leaves = connections * (Memory::SHARD_MESSAGE_BYTES + size_of::<TopicKey>() as u64);
    waiting * 2 * Memory::SHARD_MESSAGE_BYTES + leaves
}

/// Connections ask for lists, of which each shard has its part; other threads ask one shard for
/// pages, which all shards answer.
fn queries_bytes(shards: u64) -> u64 {
    let pending = Queries::PENDING_MAX as u64;
    let lists = shards * pending * u64::from(LIST_MEMBERS_MAX) * size_of::<Member>() as u64;
    let item = size_of::<FoundConnection>().max(size_of::<FoundTopic>()) as u64;
    let pages = pending * (shards + 1) * Query::ITEMS_MAX as u64 * item;
    lists + pages
}

fn events_bytes(config: &Config) -> u64 {
    // A name whose topic is gone, and its counts.
    let name = config.room_name_bytes_max.max(USER_BYTES_MAX) + 16;
    let events = Events::SUBSCRIBERS_MAX * Events::WAITING_MAX * (size_of::<Event>() + name);
    let waiting = config.shards * WAITING_MAX * WAITING_BYTES;
    (events + waiting) as u64
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        write!(
            f,
            "{} MiB full and idle (rings {}, connections {}, TLS {}, lanes {}); at worst, besides: messages {}, outboxes {}, unfinished messages {}, compressors {}, their windows {}, requests {}, answers {}, events {}, deferred admissions {}, logs {}, cursors {}; of what grows no more than {} together",
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
            mib(self.requests_worst_bytes),
            mib(self.queries_worst_bytes),
            mib(self.events_worst_bytes),
            mib(self.deferred_worst_bytes),
            mib(self.logs_worst_bytes),
            mib(self.cursors_worst_bytes),
            mib(self.budget_bytes),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::delivery::Delivery;
    use crate::message::request::ShardRequest;

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
        let commands = 2 * 1024 * (size_of::<Command>() as u64 + 8);
        assert_eq!(memory.lanes_bytes, 2 * (2 * 2048 + 23) * 80 + commands);
        assert_eq!(memory.rings_bytes, 6 << 20);
        assert_eq!(memory.outboxes_worst_bytes, 1000 << 20);
        assert_eq!(memory.partials_worst_bytes, 256 << 20);
        assert_eq!(
            memory.idle_bytes(),
            memory.rings_bytes + 94_000 + 659_040 + commands
        );
        let parts = 2 * 2 * 1024 * 24;
        let leaves = 1000 * (80 + 8);
        assert_eq!(
            memory.requests_worst_bytes,
            2 * (65_536 + parts) * 160 + leaves
        );
        let lists = 2 * 1024 * 1000 * size_of::<Member>() as u64;
        let pages = 1024 * 3 * 1000 * size_of::<FoundConnection>() as u64;
        assert_eq!(memory.queries_worst_bytes, lists + pages);
        let event = size_of::<Event>() as u64 + 255 + 16;
        assert_eq!(
            memory.events_worst_bytes,
            16 * 65_536 * event + 2 * 65_536 * WAITING_BYTES as u64
        );
        assert_eq!(memory.logs_worst_bytes + memory.cursors_worst_bytes, 0);
        assert_eq!(memory.budget_bytes, config.memory_bytes_max as u64);
        let fixed = memory.rings_bytes + memory.lanes_bytes + (16 << 20);
        assert_eq!(memory.fixed_bytes(&limits), fixed);
        let more = PlatformLimits { rings: 3, ..limits };
        assert_eq!(memory.fixed_bytes(&more), fixed - (4 << 20));
        let low = Memory {
            budget_bytes: 30 << 20,
            ..memory
        };
        assert_eq!(low.fixed_bytes(&limits), 15 << 20);
        let deferred = memory.deferred_worst_bytes / 4096;
        assert!((200..1000).contains(&deferred), "{deferred}");
    }
}
