//! What logs an engine keeps, by class: how much, how long, and what becomes of readers who are
//! too slow for it. Part of the configuration.

use crate::topic::log::map_options::MapOptions;
use crate::types::config_error::{ConfigError, within};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Which of [`crate::Config::logs`] a topic keeps: an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogClass(u16);

impl LogClass {
    /// Classes of logs that an engine may have.
    pub const COUNT_MAX: usize = 1_024;

    /// The class with this index in [`crate::Config::logs`].
    ///
    /// # Panics
    /// If the index is not below [`LogClass::COUNT_MAX`].
    pub const fn new(index: u16) -> LogClass {
        assert!(
            (index as usize) < LogClass::COUNT_MAX,
            "there are 1,024 classes of logs"
        );
        LogClass(index)
    }

    /// Its index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How one class of topics keeps what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogOptions {
    /// Publications kept of each topic. Default 100, range [`LogOptions::PUBLICATIONS`].
    pub publications_max: u32,
    /// Bytes kept of each topic: frames as they were delivered, and
    /// [`LogOptions::PUBLICATION_BYTES`] for each. The newest publication is kept however large it
    /// is. Default 1 MiB, range [`LogOptions::BYTES`].
    pub bytes_max: usize,
    /// How long a publication is kept. Default 5 min, range [`LogOptions::TTL`].
    pub ttl: Duration,
    /// How long the log of a topic without members keeps its epoch once it is empty. Default 30
    /// days, up to 365 days.
    pub epoch_ttl: Duration,
    /// How long the key of a publication is known ([`crate::Publish::key`]), of at most
    /// [`LogOptions::KEYS_MAX`] keys of a topic: beyond them the oldest is forgotten. Zero: keys
    /// mean nothing. Default 5 min, up to 1 day.
    pub idempotency: Duration,
    /// What a connection that joins is sent first.
    pub newcomers: Newcomers,
    /// What becomes of a member that reads too slowly.
    pub slow_reader: SlowReader,
    /// Whom it is kept for.
    pub kept_for: KeptFor,
    /// What becomes of publications that a member does not acknowledge, of those members that do
    /// ([`crate::JoinOptions::acks`]). `None`, the default: nobody is asked to. Takes
    /// [`KeptFor::Readers`], and that nothing is left out: [`SlowReader::Disconnect`] or
    /// [`SlowReader::CatchUp`], and not [`Newcomers::NewestByKey`].
    pub acks: Option<AckOptions>,
    /// Whether it outlives the process.
    pub durability: Durability,
    /// Who gives publications their places.
    pub order: LogOrder,
    /// Whether it is a map as well: the newest publication of each conflation key is there
    /// ([`crate::ReadOrder::Map`]) whatever the log has pushed out, until it is removed
    /// ([`crate::Publish::removes`]). Takes [`LogOrder::Home`], [`KeptFor::Readers`] and
    /// [`Durability::Memory`].
    pub map: Option<MapOptions>,
}

/// Who gives the publications of a topic their places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LogOrder {
    /// The topic's home.
    #[default]
    Home,
    /// Whoever listens at [`crate::Config::sequencer`], for this process and others: what is
    /// published goes there first, and is published and kept here once it comes back with its place
    /// ([`crate::Handle::publish_sequenced`]). Takes [`KeptFor::Readers`] and
    /// [`Durability::Memory`]; keys are the sequencer's business.
    Sequencer,
}

/// Whether a log outlives the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// It does not.
    #[default]
    Memory,
    /// It does, if there is a store ([`crate::Config::journal`]), as far as that has it.
    Stored,
}

/// When what a member has not acknowledged ([`crate::Context::acknowledge`]) is sent to it again,
/// as far as the log has it, and when that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AckOptions {
    /// How long a member has. Default 10 s, range [`AckOptions::TIMEOUT`]; it may have an eighth
    /// more.
    pub timeout: Duration,
    /// How often something is sent again. After that the member is told that it was not
    /// acknowledged ([`crate::MissedReason::Unacknowledged`]). Default 5, range
    /// [`AckOptions::ATTEMPTS`].
    pub attempts_max: u32,
}

impl Default for AckOptions {
    fn default() -> AckOptions {
        AckOptions {
            timeout: Duration::from_secs(10),
            attempts_max: 5,
        }
    }
}

impl AckOptions {
    /// What [`AckOptions::timeout`] may be.
    pub const TIMEOUT: RangeInclusive<Duration> =
        Duration::from_millis(100)..=Duration::from_secs(3_600);
    /// What [`AckOptions::attempts_max`] may be.
    pub const ATTEMPTS: RangeInclusive<u32> = 1..=100;

    fn check(&self, log: &LogOptions) -> Result<(), ConfigError> {
        let range = Self::TIMEOUT.start().as_millis()..=Self::TIMEOUT.end().as_millis();
        let timeout = self.timeout.as_millis();
        within("acks.timeout", timeout, range, "100 ms to 1 h")?;
        let attempts = self.attempts_max;
        within("acks.attempts_max", attempts, Self::ATTEMPTS, "1 to 100")?;
        let leaves_nothing_out = matches!(
            log.slow_reader,
            SlowReader::Disconnect | SlowReader::CatchUp
        );
        let is_possible = leaves_nothing_out
            && log.kept_for == KeptFor::Readers
            && log.newcomers != Newcomers::NewestByKey;
        is_possible.then_some(()).ok_or_else(|| ConfigError {
            field: "acks",
            value: format!("{self:?}"),
            rule: "none where publications are left out, or kept for absent members",
        })
    }
}

/// Whom a log is kept for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeptFor {
    /// Whoever may read it: everything that is published.
    #[default]
    Readers,
    /// Members to come: what is published while there is none, until one has been given it. Who
    /// joins is sent what waits, in order, and what is published from then on behind it. Of several
    /// that join meanwhile each is sent what none before it has taken completely. Nobody is told
    /// positions, and keys mean nothing.
    Absent,
}

/// What a connection is sent of the log when it joins without a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Newcomers {
    /// Nothing.
    #[default]
    Nothing,
    /// The newest publication.
    Newest,
    /// The newest publication of each conflation key, and all that have none.
    NewestByKey,
}

/// What becomes of a member whose socket takes nothing more.
///
/// But for [`SlowReader::Disconnect`] nothing of the topic is queued for it: the member becomes a
/// cursor into the log, and is sent from there once its outbox is empty. So a stalled reader costs
/// bytes, not messages. What it missed then is told by [`crate::Application::missed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SlowReader {
    /// Messages wait in its outbox; when that is full, it is closed with 1008.
    #[default]
    Disconnect,
    /// It goes on with the newest publications, [`SlowReader::NEWEST_BYTES`] of them at most.
    DropOldest,
    /// It goes on with what is published from then on.
    DropNewest,
    /// It goes on with the newest publication of each conflation key, and all that have none.
    Conflate,
    /// It goes on where it stopped, as far as the log reaches back.
    CatchUp,
}

impl SlowReader {
    /// What [`SlowReader::DropOldest`] leaves of what waits, in bytes of frames: 64 KiB.
    pub const NEWEST_BYTES: usize = 64 << 10;
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            publications_max: 100,
            bytes_max: 1 << 20,
            ttl: Duration::from_secs(5 * 60),
            epoch_ttl: Duration::from_secs(30 * DAY_SECONDS),
            idempotency: Duration::from_secs(5 * 60),
            newcomers: Newcomers::Nothing,
            slow_reader: SlowReader::Disconnect,
            kept_for: KeptFor::Readers,
            acks: None,
            durability: Durability::Memory,
            order: LogOrder::Home,
            map: None,
        }
    }
}

const DAY_SECONDS: u64 = 86_400;

impl LogOptions {
    /// What [`LogOptions::publications_max`] may be.
    pub const PUBLICATIONS: RangeInclusive<u32> = 1..=100_000;
    /// What [`LogOptions::bytes_max`] may be.
    pub const BYTES: RangeInclusive<usize> = 1 << 10..=1 << 30;
    /// What [`LogOptions::ttl`] may be.
    pub const TTL: RangeInclusive<Duration> =
        Duration::from_secs(1)..=Duration::from_secs(365 * DAY_SECONDS);
    /// The longest [`LogOptions::epoch_ttl`].
    pub const EPOCH_TTL_MAX: Duration = Duration::from_secs(365 * DAY_SECONDS);
    /// The longest [`LogOptions::idempotency`].
    pub const IDEMPOTENCY_MAX: Duration = Duration::from_secs(DAY_SECONDS);
    /// Keys that are known of one topic.
    pub const KEYS_MAX: usize = 4_096;
    /// What a publication takes of [`LogOptions::bytes_max`] besides its frame.
    pub const PUBLICATION_BYTES: usize = 128;

    /// Checks the ranges.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let (count, rule) = (self.publications_max, "1 to 100,000");
        within("publications_max", count, Self::PUBLICATIONS, rule)?;
        let rule = "1 KiB to 1 GiB";
        within("bytes_max", self.bytes_max, Self::BYTES, rule)?;
        let spans = [
            ("ttl", self.ttl, Self::TTL, "1 s to 365 days"),
            (
                "epoch_ttl",
                self.epoch_ttl,
                Duration::ZERO..=Self::EPOCH_TTL_MAX,
                "up to 365 days",
            ),
            (
                "idempotency",
                self.idempotency,
                Duration::ZERO..=Self::IDEMPOTENCY_MAX,
                "up to 1 day",
            ),
        ];
        for (field, value, range, rule) in spans {
            let range = range.start().as_millis()..=range.end().as_millis();
            within(field, value.as_millis(), range, rule)?;
        }
        let is_possible = self.order == LogOrder::Home
            || self.kept_for == KeptFor::Readers && self.durability == Durability::Memory;
        is_possible.then_some(()).ok_or_else(|| ConfigError {
            field: "order",
            value: format!("{:?}", self.order),
            rule: "Home where logs are stored, or kept for absent members",
        })?;
        if let Some(map) = &self.map {
            map.check()?;
            let is_possible = self.order == LogOrder::Home
                && self.kept_for == KeptFor::Readers
                && self.durability == Durability::Memory;
            is_possible.then_some(()).ok_or_else(|| ConfigError {
                field: "map",
                value: format!("{map:?}"),
                rule: "none where logs are stored, ordered elsewhere, or kept for absent members",
            })?;
        }
        self.acks.map_or(Ok(()), |acks| acks.check(self))
    }
}
