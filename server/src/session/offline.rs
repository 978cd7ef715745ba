//! What waits for users who have no connection, and how much of it.

use shardcast_engine::{Config, Durability, KeptFor, LogOptions, LogOrder, Newcomers, SlowReader};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What is kept of messages to users without connections. Default: nothing.
///
/// The next connection of the user is sent it, in order, before what is said from then on. See
/// `docs/delivery.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfflineOptions {
    /// Messages that wait for one user, within [`OfflineOptions::MESSAGES`]; the oldest go first.
    pub messages_max: u32,
    /// Bytes that they may have, within [`OfflineOptions::BYTES`]; at least the largest message.
    pub bytes_max: usize,
    /// How long one waits, within [`OfflineOptions::AGE`].
    pub ttl: Duration,
    /// Users of each shard for whom something may wait, within [`OfflineOptions::USERS`]. What is
    /// said to one more is dropped, and its report says so.
    pub users_max: usize,
}

impl Default for OfflineOptions {
    fn default() -> OfflineOptions {
        OfflineOptions {
            messages_max: 100,
            bytes_max: 256 << 10,
            ttl: Duration::from_secs(7 * 86_400),
            users_max: 16_384,
        }
    }
}

impl OfflineOptions {
    /// What [`OfflineOptions::messages_max`] may be.
    pub const MESSAGES: RangeInclusive<u32> = LogOptions::PUBLICATIONS;
    /// What [`OfflineOptions::bytes_max`] may be.
    pub const BYTES: RangeInclusive<usize> = LogOptions::BYTES;
    /// What [`OfflineOptions::ttl`] may be.
    pub const AGE: RangeInclusive<Duration> = LogOptions::TTL;
    /// What [`OfflineOptions::users_max`] may be.
    pub const USERS: RangeInclusive<usize> = Config::LOGS;

    /// Users of each shard for whom something may wait.
    pub(crate) fn users_max(&self) -> usize {
        self.users_max
            .clamp(*Self::USERS.start(), *Self::USERS.end())
    }

    /// The log of a user, as the engine has it. Whoever comes too late for what has waited is told
    /// so for as long again, and for an hour at least.
    pub(crate) fn log(&self) -> LogOptions {
        let ttl = self.ttl.clamp(*Self::AGE.start(), *Self::AGE.end());
        LogOptions {
            publications_max: self
                .messages_max
                .clamp(*Self::MESSAGES.start(), *Self::MESSAGES.end()),
            bytes_max: self
                .bytes_max
                .clamp(*Self::BYTES.start(), *Self::BYTES.end()),
            ttl,
            epoch_ttl: ttl.max(LOSS_TOLD_FOR),
            idempotency: Duration::ZERO,
            newcomers: Newcomers::Nothing,
            slow_reader: SlowReader::Disconnect,
            kept_for: KeptFor::Absent,
            acks: None,
            durability: Durability::Stored,
            order: LogOrder::Home,
            map: None,
        }
    }
}

/// How long it is known at least that something was lost.
const LOSS_TOLD_FOR: Duration = Duration::from_secs(3_600);
