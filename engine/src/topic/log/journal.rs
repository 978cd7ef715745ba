//! What homes have a store keep of their logs, so that these outlive the process: a bounded way out
//! that no shard waits at, and what a store had kept, on the way in.
//!
//! Invariant: a store is one more reader of every log that is to be kept. It is told of
//! publications in the order of their offsets; where the way out is full, a log goes on when there
//! is room, with what it still has then. Made by whoever starts an engine; written by
//! `topic/log/logs`.

use crate::topic::key::TopicName;
use crate::topic::log::options::LogClass;
use crate::topic::publication::{Content, Position};
use crate::types::history::KeptPublication;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The way to a store ([`crate::Config::journal`]), and what it had kept. Clones share it.
#[derive(Clone, Debug)]
pub struct Journal {
    records: Sender<LogRecord>,
    waiting_bytes: Arc<AtomicU64>,
    restored: Arc<Vec<RestoredLog>>,
}

/// The store's end.
#[derive(Debug)]
pub struct JournalReader {
    records: Receiver<LogRecord>,
    waiting_bytes: Arc<AtomicU64>,
}

/// What a store is told.
#[derive(Debug)]
pub enum LogRecord {
    /// A publication went into a log.
    Kept {
        /// The log's topic.
        topic: TopicName,
        /// Its epoch: what the store has of another epoch is gone.
        epoch: u64,
        /// The publication. Between it and the one before, some may be missing: then what the
        /// store has of before is of no use, for a log has no holes.
        publication: StoredPublication,
        /// What the log still has.
        left: LogLeft,
    },
    /// Publications went out of a log.
    Trimmed {
        /// The log's topic.
        topic: TopicName,
        /// What the log still has.
        left: LogLeft,
    },
    /// A log is no more.
    Gone {
        /// Its topic.
        topic: TopicName,
    },
}

/// Where a log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLeft {
    /// The offset of its oldest publication, or of the next one.
    pub first: u64,
    /// The offset up to which everything was given to those it waited for
    /// ([`crate::KeptFor::Absent`]).
    pub taken: u64,
}

/// One publication of a log, for a store.
#[derive(Clone, Debug)]
pub struct StoredPublication {
    /// With its offset.
    pub kept: KeptPublication,
    /// How long ago it was published, in milliseconds.
    pub age_ms: u64,
    /// [`crate::Publish::key`]
    pub key: Option<Arc<str>>,
    /// [`crate::Publish::conflate`]
    pub conflate: Option<Arc<str>>,
}

/// A log as a store has it.
#[derive(Clone, Debug)]
pub struct RestoredLog {
    /// Its topic.
    pub topic: TopicName,
    /// Its class in this process.
    pub class: LogClass,
    /// Its epoch in this process.
    pub epoch: u64,
    /// Up to where earlier epochs had the same publications: who knows the log up to such a place
    /// goes on from there.
    pub former: Vec<Position>,
    /// The offset of the next publication.
    pub next: u64,
    /// [`LogLeft::taken`]
    pub taken: u64,
    /// Those before `next`, without a hole.
    pub publications: Vec<StoredPublication>,
}

impl Journal {
    /// Records that wait for a store at most; a log with more goes on when there is room.
    pub const RECORDS_MAX: usize = 16_384;
    /// What these hold at most, in bytes, and one publication more for each shard.
    pub const BYTES_MAX: u64 = 16 << 20;
    /// Earlier epochs of a log that are known: 8.
    pub const FORMER_MAX: usize = 8;

    /// Both ends, and what the store has from before.
    pub fn new(restored: Vec<RestoredLog>) -> (Journal, JournalReader) {
        let (records, taken) = crossbeam_channel::bounded(Journal::RECORDS_MAX);
        let waiting_bytes = Arc::new(AtomicU64::new(0));
        let reader = JournalReader {
            records: taken,
            waiting_bytes: waiting_bytes.clone(),
        };
        let journal = Journal {
            records,
            waiting_bytes,
            restored: Arc::new(restored),
        };
        (journal, reader)
    }

    /// What the store has from before, once.
    pub(crate) fn take_restored(&mut self) -> Vec<RestoredLog> {
        Arc::unwrap_or_clone(std::mem::take(&mut self.restored))
    }

    /// Whether a record finds room.
    pub(crate) fn has_room(&self) -> bool {
        let bytes = self.waiting_bytes.load(Ordering::Relaxed);
        bytes < Journal::BYTES_MAX && self.records.len() < Journal::RECORDS_MAX
    }

    /// Hands a record over. False: there is no room, or no store any more.
    pub(crate) fn write(&self, record: LogRecord) -> bool {
        let bytes = record.bytes();
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        match self.records.try_send(record) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
                false
            }
        }
    }
}

/// The same journal.
impl PartialEq for Journal {
    fn eq(&self, other: &Journal) -> bool {
        self.records.same_channel(&other.records)
    }
}

impl Eq for Journal {}

impl JournalReader {
    /// The next record, for which the store waits so long. `None`: there is none, or the engine has
    /// stopped, and nothing comes any more.
    pub fn next(&self, within: Duration) -> Result<Option<LogRecord>, JournalEnded> {
        match self.records.recv_timeout(within) {
            Ok(record) => {
                self.waiting_bytes
                    .fetch_sub(record.bytes(), Ordering::Relaxed);
                Ok(Some(record))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(JournalEnded),
        }
    }

    /// Records that wait.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether no record waits.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// The engine has stopped, and all that it has said was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalEnded;

impl LogRecord {
    /// What it keeps in memory, about.
    pub fn bytes(&self) -> u64 {
        const LEAST: u64 = 64;
        match self {
            LogRecord::Kept { publication, .. } => LEAST + publication.kept.bytes() as u64,
            LogRecord::Trimmed { .. } | LogRecord::Gone { .. } => LEAST,
        }
    }
}

impl StoredPublication {
    /// One that a store had: with the content that [`crate::Content::data`] makes of it.
    pub fn new(
        offset: u64,
        content: Content,
        age_ms: u64,
        key: Option<Arc<str>>,
        conflate: Option<Arc<str>>,
    ) -> StoredPublication {
        StoredPublication {
            kept: KeptPublication::new(offset, content),
            age_ms,
            key,
            conflate,
        }
    }
}
