//! What the rooms of a namespace keep of what is published to them, and the logs that this takes of
//! the engine.
//!
//! Invariant: namespaces whose logs are alike share a class, so the engine has as few as there are
//! different ones. Built with the table of namespaces; named by joins, publishes and queries.

use super::map::RoomMap;
use shardcast_engine::{
    AckOptions, Durability, KeptFor, LogClass, LogOptions, LogOrder, Newcomers, SlowReader,
};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What a room keeps. Clients read it (`history`) and recover from it (`since` of `join_room`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// Publications that a room keeps, within [`History::PUBLICATIONS`]. The oldest go first.
    pub publications_max: u32,
    /// Bytes that they may have as they are delivered, within [`History::BYTES`]; at least the
    /// largest message.
    pub bytes_max: usize,
    /// How long one is kept, within [`History::AGE`].
    pub ttl: Duration,
    /// How long a room without publications remembers its epoch, within [`History::AGE`]: clients
    /// that come back within this time recover.
    pub epoch_ttl: Duration,
    /// How long the answer to a publish with an idempotency key is repeated, within
    /// [`History::IDEMPOTENCY`]; of a room at most [`LogOptions::KEYS_MAX`] keys are known. `None`:
    /// there are no such keys.
    pub idempotency: Option<Duration>,
    /// What who joins is sent of what is kept.
    pub last: Newcomers,
    /// Whether members acknowledge what they are sent, and when they are sent it again. Only where
    /// nothing is left out for who reads slowly ([`SlowReader::Disconnect`],
    /// [`SlowReader::CatchUp`]) or joins ([`Newcomers::Nothing`], [`Newcomers::Newest`]).
    pub acks: Option<AckOptions>,
    /// Who orders what is published, where there are several nodes.
    pub order: RoomOrder,
}

/// Who orders what is published to a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoomOrder {
    /// Each node for itself: it is delivered there at once, and told to the others.
    #[default]
    Fast,
    /// The broker of the cluster, for all nodes: it is delivered once the broker has it, at every
    /// node in the same order and with the same offsets, and who comes back to another node goes on
    /// there. Takes a cluster ([`crate::App::cluster`]). Over NATS the offsets skip. See
    /// `docs/scale-out.md`.
    Broker,
}

impl Default for History {
    fn default() -> History {
        History {
            publications_max: 100,
            bytes_max: 1 << 20,
            ttl: Duration::from_secs(5 * 60),
            epoch_ttl: Duration::from_secs(30 * 86_400),
            idempotency: Some(Duration::from_secs(5 * 60)),
            last: Newcomers::Nothing,
            acks: None,
            order: RoomOrder::Fast,
        }
    }
}

impl History {
    /// Publications that a room may keep.
    pub const PUBLICATIONS: RangeInclusive<u32> = LogOptions::PUBLICATIONS;
    /// Bytes that they may have.
    pub const BYTES: RangeInclusive<usize> = LogOptions::BYTES;
    /// How long an idempotency key may be known.
    pub const IDEMPOTENCY: RangeInclusive<Duration> =
        Duration::from_secs(1)..=LogOptions::IDEMPOTENCY_MAX;
    /// How long anything else is kept.
    pub const AGE: RangeInclusive<Duration> = LogOptions::TTL;

    /// The first field that is out of range, and what it must be.
    pub(super) fn check(
        &self,
        slow_reader: SlowReader,
    ) -> Result<(), (&'static str, &'static str)> {
        if let Some(acks) = &self.acks {
            self.check_acks(acks, slow_reader)?;
        }
        const AGE: &str = "from 1 s to 365 days";
        if !History::PUBLICATIONS.contains(&self.publications_max) {
            return Err(("publications_max", "from 1 to 100000"));
        }
        if !History::BYTES.contains(&self.bytes_max) {
            return Err(("bytes_max", "from 1 KiB to 1 GiB"));
        }
        for (field, age) in [("ttl", self.ttl), ("epoch_ttl", self.epoch_ttl)] {
            if !History::AGE.contains(&age) {
                return Err((field, AGE));
            }
        }
        match self.idempotency {
            Some(window) if !History::IDEMPOTENCY.contains(&window) => {
                Err(("idempotency", "from 1 s to 1 day"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl History {
    fn check_acks(
        &self,
        acks: &AckOptions,
        slow_reader: SlowReader,
    ) -> Result<(), (&'static str, &'static str)> {
        if !AckOptions::TIMEOUT.contains(&acks.timeout) {
            return Err(("acks.timeout", "from 100 ms to 1 h"));
        }
        if !AckOptions::ATTEMPTS.contains(&acks.attempts_max) {
            return Err(("acks.attempts_max", "from 1 to 100"));
        }
        if !History::leaves_nothing_out(self.last, slow_reader) {
            return Err(("acks", "none where slow_reader or last leave something out"));
        }
        Ok(())
    }

    /// Whether members of a room are sent all that is published, so that they can acknowledge it.
    pub(crate) fn leaves_nothing_out(last: Newcomers, slow_reader: SlowReader) -> bool {
        last != Newcomers::NewestByKey
            && matches!(slow_reader, SlowReader::Disconnect | SlowReader::CatchUp)
    }
}

/// The log of a class of rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Log {
    options: LogOptions,
    reader: LogReader,
}

/// Who a log is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LogReader {
    Clients,
    /// Members that read slowly go on from it; no client can name a place in it.
    SlowReaders,
}

impl Log {
    /// The log that rooms of a namespace keep, if they keep one.
    pub(super) fn of(
        history: Option<History>,
        slow_reader: SlowReader,
        map: Option<RoomMap>,
    ) -> Option<Log> {
        let (history, reader) = match (history, slow_reader) {
            (Some(history), _) => (history, LogReader::Clients),
            (None, SlowReader::Disconnect) => return None,
            (None, _) => (FOR_SLOW_READERS, LogReader::SlowReaders),
        };
        let options = LogOptions {
            publications_max: history.publications_max,
            bytes_max: history.bytes_max,
            ttl: history.ttl,
            epoch_ttl: history.epoch_ttl,
            idempotency: history.idempotency.unwrap_or(Duration::ZERO),
            newcomers: history.last,
            slow_reader,
            kept_for: KeptFor::Readers,
            acks: history.acks,
            durability: match (reader, history.order, map) {
                (LogReader::Clients, RoomOrder::Fast, None) => Durability::Stored,
                // The broker keeps what it has ordered, and what a map holds is no part of a log.
                (LogReader::SlowReaders, ..) | (_, RoomOrder::Broker, _) | (_, _, Some(_)) => {
                    Durability::Memory
                }
            },
            order: match history.order {
                RoomOrder::Fast => LogOrder::Home,
                RoomOrder::Broker => LogOrder::Sequencer,
            },
            map: map.map(|map| map.options()),
        };
        Some(Log { options, reader })
    }

    /// Its class: that of the log like it, which is added if there is none.
    pub(super) fn class(self, all: &mut Vec<Log>) -> LogClass {
        let index = all.iter().position(|log| *log == self);
        let index = index.unwrap_or_else(|| {
            all.push(self);
            all.len() - 1
        });
        LogClass::new(index.try_into().expect("as few as there are namespaces"))
    }

    /// What the engine is told, where no message is larger. A log that nobody has configured takes
    /// the largest message.
    pub(super) fn options(&self, message_bytes_max: usize) -> LogOptions {
        match self.reader {
            LogReader::Clients => self.options,
            LogReader::SlowReaders => LogOptions {
                bytes_max: self
                    .options
                    .bytes_max
                    .max(message_bytes_max + MESSAGE_HEADROOM_BYTES),
                ..self.options
            },
        }
    }
}

/// What a room without history keeps so that its slow readers can go on.
const FOR_SLOW_READERS: History = History {
    publications_max: 256,
    bytes_max: 256 << 10,
    ttl: Duration::from_secs(60),
    epoch_ttl: Duration::from_secs(60),
    idempotency: None,
    last: Newcomers::Nothing,
    acks: None,
    order: RoomOrder::Fast,
};

/// What a kept message takes beside what its publisher was allowed: header, offset, and what the
/// log counts for it.
pub(crate) const MESSAGE_HEADROOM_BYTES: usize = 1 << 10;
const _: () = assert!(2 * LogOptions::PUBLICATION_BYTES < MESSAGE_HEADROOM_BYTES);
