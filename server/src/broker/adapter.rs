//! What an adapter of a broker does. Implemented for each broker, and by a model for tests; called
//! by the bridge alone.
//!
//! # What an adapter promises
//!
//! 1. **It connects by itself, and never gives up.** Making one returns at once. It tries again
//!    without end, at most 500 ms apart once the server answers connects (with jitter before), and
//!    tells what it knows by [`Broker::link`]. A server that is silent is noticed within 5 s,
//!    whether anybody publishes or only listens.
//! 2. **Every call ends**: within 5 s, or at once with [`BrokerError::Lost`] while there is no
//!    connection. Nothing that was refused is done later by itself. A call whose future is dropped
//!    may or may not have had its effect.
//! 3. **[`Broker::publish`] keeps the order** of a batch and of batches one after the other, for
//!    the same subject. What is published is delivered to each connected subscriber at most once;
//!    own messages may come back or not. While the link stands, nothing is lost unless
//!    [`InboxSender`](crate::broker::InboxSender) counts it or [`Link::losses`] changes: whoever
//!    looks at these two knows all gaps.
//! 4. **Subscriptions are a set.** To subscribe twice changes nothing, and one unsubscribe ends it.
//!    After [`Link::losses`] has changed, the adapter may have none of them, and the bridge
//!    subscribes again to everything that it wants, in batches. A subscribe has taken effect when
//!    it returns: what is published after that comes in.
//! 5. **What comes in goes to the inbox**, which is bounded and never waits: an adapter reads on
//!    whatever happens, so that the broker does not cut it for slowness.
//! 6. **[`Broker::append`] is one step at the broker**: the entry has the next place in its room's
//!    log, is in the log, and is published to the room's subscribers with its place, to the
//!    publisher, too, if it is one of them; or none of it. Offsets of one epoch rise, may skip, and
//!    begin at 1 or more. An entry with the key of one that was appended within the window is not
//!    appended, and answered as that one was. An epoch ends only with its log: when the broker lost
//!    it, it had not been used for its time to live, or it can no longer tell what it had
//!    acknowledged.
//! 7. **[`Broker::read`] answers from the log** what was appended before it was asked, and nothing
//!    is missing between the entries of a page, whatever is appended and trimmed meanwhile.
//!    An empty log that [`Broker::open`] has made keeps its epoch for as long as it is opened once
//!    in a minute.
//! 8. **Payloads are opaque**, up to [`Broker::payload_bytes_max`], which may change with the
//!    server. What was too large by then is [`BrokerError::TooLarge`], and nothing of its batch
//!    behind it was published.
//! 9. **No input of a broker panics** an adapter or makes it hold more than its bounds.

use crate::broker::subject::Subject;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The way to a broker. The module's text says what an implementation promises.
pub trait Broker: Send + Sync + 'static {
    /// Subscribes to all of these.
    fn subscribe(
        &self,
        subjects: &[Subject],
    ) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// Ends subscriptions.
    fn unsubscribe(
        &self,
        subjects: &[Subject],
    ) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// Publishes in this order. An error: some of them may have been published, from the first on.
    fn publish(&self, batch: &[Outbound]) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// Appends to a room's log and publishes to [`Subject::Room`].
    fn append(&self, append: Append) -> impl Future<Output = Result<Appended, BrokerError>> + Send;

    /// Appends one after the other, as [`Broker::append`] does with each: as many answers, in
    /// order. What stands behind one that failed may have been appended.
    fn append_all(
        &self,
        batch: &[Append],
    ) -> impl Future<Output = Vec<Result<Appended, BrokerError>>> + Send {
        async move {
            let mut done = Vec::with_capacity(batch.len());
            for append in batch {
                done.push(self.append(append.clone()).await);
            }
            done
        }
    }

    /// A page of a room's log, which is there afterwards, be it empty: as [`Broker::read`]. A log
    /// with the epoch `over`, of which somebody knows that the broker has lost a part, is replaced
    /// by an empty one with another epoch in the same step.
    fn open(
        &self,
        read: ReadLog,
        over: Option<u64>,
    ) -> impl Future<Output = Result<LogPage, BrokerError>> + Send;

    /// A page of a room's log.
    fn read(&self, read: ReadLog) -> impl Future<Output = Result<LogPage, BrokerError>> + Send;

    /// The largest payload that the broker takes now. The bridge publishes and appends none that is
    /// larger.
    fn payload_bytes_max(&self) -> usize;

    /// The connection as it is, and when it changes.
    fn link(&self) -> watch::Receiver<Link>;
}

/// The connection to the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Whether there is one.
    pub connected: bool,
    /// How often messages may have been missed: at every connection lost, or part of one. Changes
    /// before [`Link::connected`] is true again.
    pub losses: u64,
}

/// One message to be published.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// To whom.
    pub subject: Subject,
    /// An [`crate::broker::Envelope`].
    pub payload: Bytes,
}

/// An entry for the log of an ordered room.
#[derive(Clone, Debug)]
pub struct Append {
    /// The room.
    pub room: Arc<str>,
    /// An [`crate::broker::Envelope`] without a place: whoever hears it or reads it from the log is
    /// told the place beside it ([`crate::broker::Incoming::place`]), or finds it inside, where
    /// the broker has written it ([`crate::broker::Envelope::place_bytes`]).
    pub payload: Bytes,
    /// The publisher's key, and how long it is known.
    pub key: Option<(Arc<str>, Duration)>,
    /// What the log keeps.
    pub keep: KeptInLog,
}

/// What a room's log keeps at the broker. The oldest entries go first; a few more may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptInLog {
    /// Entries.
    pub entries_max: u32,
    /// How long one stays.
    pub ttl: Duration,
    /// How long a log that nothing is appended to keeps its epoch.
    pub epoch_ttl: Duration,
}

/// A place in a room's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPlace {
    /// Which log: 1 to 2^60 - 1.
    pub epoch: u64,
    /// Above all before, 1 to [`LogPlace::OFFSET_MAX`].
    pub offset: u64,
    /// The offset of the room's entry before. 0: there was none in this epoch;
    /// [`LogPlace::UNKNOWN`]: the broker knows none, but may have known one. Of the first of a
    /// page: [`LogPage::behind`].
    pub previous: u64,
}

impl LogPlace {
    /// As [`LogPlace::previous`].
    pub const UNKNOWN: u64 = u64::MAX;
    /// The largest offset. No log comes near it; who writes to a broker may claim any.
    pub const OFFSET_MAX: u64 = (1 << 60) - 1;

    /// Whether an entry can stand there.
    pub(crate) fn is_possible(&self) -> bool {
        let follows = self.previous < self.offset || self.previous == Self::UNKNOWN;
        (1..=Self::OFFSET_MAX).contains(&self.offset) && follows
    }
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// As [`LogPlace::epoch`].
    pub epoch: u64,
    /// As [`LogPlace::offset`].
    pub offset: u64,
    /// It was there before, under the same key.
    pub is_duplicate: bool,
}

/// What to read of a room's log.
#[derive(Clone, Debug)]
pub struct ReadLog {
    /// The room.
    pub room: Arc<str>,
    /// What its log keeps, as whoever appends to it says: a broker may keep logs apart by that.
    pub keep: KeptInLog,
    /// Entries with offsets above this one.
    pub after: u64,
    /// Up to this many, the oldest of them: 1 to 1,000.
    pub limit: u32,
}

/// A page of a log. One that there is not has no epoch.
#[derive(Clone, Debug, Default)]
pub struct LogPage {
    /// The log's. 0: there is no such log.
    pub epoch: u64,
    /// The newest offset that was given in this epoch: to the room, or to anything that shares its
    /// sequence. What the room has up to there is on this page or on one behind it, or is gone.
    pub newest: u64,
    /// Nothing of the room that was appended behind this offset is missing before the first of
    /// these entries; or, without entries, at all. At least [`ReadLog::after`] where nothing was
    /// lost; above it, what was between them may have been trimmed.
    pub behind: u64,
    /// In order.
    pub entries: Vec<LogEntry>,
    /// Whether there are more behind these.
    pub has_more: bool,
}

/// One entry of a log.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// Its place.
    pub place: LogPlace,
    /// What was appended.
    pub payload: Bytes,
    /// How long before it was read, by the broker's own clock. Zero: just before, or nobody knows.
    pub age: Duration,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// There is no connection, or it broke meanwhile, or no answer came in time.
    #[error("there is no connection to the broker")]
    Lost,
    /// The message is larger than the broker takes.
    #[error("the broker takes no message of this size")]
    TooLarge,
    /// The broker said no, in its own words; for operators, never for clients.
    #[error("the broker refuses: {0}")]
    Refused(Box<str>),
}
