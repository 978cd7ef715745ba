//! What can be asked of a topic's log, and what is answered: positions to go on from, pages of
//! history, and what somebody has missed.

use crate::topic::key::Topic;
use crate::topic::publication::{Content, Position, Publication};
use crate::types::encoding::EncodingId;
use crate::types::frame::Frame;

/// Encodes a publication for who was sent it before: [`crate::Application::encode_again`].
pub(crate) type EncodeAgain = for<'a> fn(EncodingId, &Publication<'a>, Position) -> Option<Frame>;

/// Whether a member is sent deltas: what a publication changes of the one before it
/// ([`crate::Application::encode_delta`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JoinDeltas {
    /// It is sent each publication as it is.
    #[default]
    Never,
    /// It is, where that is shorter and it was sent the one before.
    Wanted,
}

/// The place up to which somebody knows a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// The epoch that the offset is of. `None`: any, for those who only know an offset.
    pub epoch: Option<u64>,
    /// The offset of the last publication that is known; 0: none is.
    pub offset: u64,
}

/// Why publications are not in a log any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The log was lost since, or never had the position.
    EpochChanged,
    /// They were pushed out by newer ones.
    TrimmedBySize,
    /// They were older than the log keeps them.
    TrimmedByAge,
    /// As many connections of the shard as may were catching up
    /// ([`crate::Config::CURSORS_MAX`]).
    Limit,
    /// Whoever orders the topic ([`crate::LogOrder::Sequencer`]) cannot be reached: nobody knows
    /// what the log has.
    Unavailable,
}

/// Whether a member acknowledges what it is sent of a room that asks for it
/// ([`crate::LogOptions::acks`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JoinAcks {
    /// It does not, and is sent everything once.
    #[default]
    Never,
    /// It does ([`crate::Context::acknowledge`]).
    Always,
}

/// Whether a join went on where its [`Since`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// What was missed follows, then what is published from then on: no gap, no repeat.
    Recovered,
    /// It did not. Only what is published from then on follows.
    Lost(Loss),
}

/// What of a log is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Forward: what was published after this. Reverse: what was published before its offset.
    /// `None`: all.
    pub since: Option<Since>,
    /// Publications of the answer, at most [`HistoryQuery::LIMIT_MAX`]; 0: only the position. Fewer
    /// come where they would be more than [`HistoryQuery::BYTES_MAX`]: who wants more goes on from
    /// the last.
    pub limit: u32,
    /// Which come first.
    pub order: ReadOrder,
}

impl HistoryQuery {
    /// Publications of one answer.
    pub const LIMIT_MAX: u32 = 1_000;
    /// Bytes of one answer's publications; the first comes however large it is.
    pub const BYTES_MAX: usize = 1 << 20;
}

/// The order of a page of history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadOrder {
    /// Oldest first.
    #[default]
    Forward,
    /// Newest first.
    Reverse,
    /// Of a topic whose log is a map ([`crate::LogOptions::map`]): what the map holds, oldest
    /// first; [`HistoryQuery::since`] is where a page goes on. Whoever has read what the map holds
    /// up to the position of the first page, and what is published behind that, has all of it.
    Map,
}

/// Publications that a member was not sent, before the next one that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// How many.
    pub count: u64,
    /// Why.
    pub reason: MissedReason,
}

/// Why a member was not sent publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissedReason {
    /// It read too slowly, and the topic's policy drops what waits.
    Dropped,
    /// It read too slowly, and newer ones with the same keys took their places.
    Conflated,
    /// It read too slowly, and newer ones pushed them out of the log.
    TrimmedBySize,
    /// It read too slowly, and they are older than the log keeps them.
    TrimmedByAge,
    /// It was sent them and has not acknowledged them, and is not sent them again: that has been
    /// done often enough ([`crate::AckOptions::attempts_max`]), or the log has them no more.
    Unacknowledged,
}

/// What a join found where the topic keeps a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinedLog {
    /// That of the newest publication before the join; offset 0 where there was none.
    pub position: Position,
    /// Whether the join went on from where it said. `None`: it said nothing, or the connection was
    /// a member already.
    pub recovery: Option<Recovery>,
}

/// A page of a topic's log.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// That of the newest publication.
    pub position: Position,
    /// In the order that was asked for.
    pub publications: Vec<KeptPublication>,
    /// What was asked for begins before the log does: this is why, and the page begins with the
    /// oldest that there is.
    pub loss: Option<Loss>,
    /// Of a map: it holds more behind this page.
    pub more: bool,
    /// Of a map: how many keys it holds; 0 of every other log.
    pub keys: u32,
}

impl History {
    /// Nobody can say what there is.
    pub(crate) fn unavailable() -> History {
        History {
            position: Position {
                epoch: 0,
                offset: 0,
            },
            publications: Vec::new(),
            loss: Some(Loss::Unavailable),
            more: false,
            keys: 0,
        }
    }
}

/// A publication from a log.
#[derive(Clone, Debug)]
pub struct KeptPublication {
    /// Its place in the topic's order.
    pub offset: u64,
    content: Content,
}

impl KeptPublication {
    pub(crate) fn new(offset: u64, content: Content) -> KeptPublication {
        KeptPublication { offset, content }
    }

    /// Bytes of its frames and its data.
    pub(crate) fn bytes(&self) -> usize {
        self.content.bytes()
    }

    /// What is in the log.
    pub(crate) fn into_content(self) -> Content {
        self.content
    }

    /// The publication, as data. `None`: it was published as a frame that was ready.
    pub fn publication<'a>(&'a self, topic: Option<Topic<'a>>) -> Option<Publication<'a>> {
        self.content.publication(topic)
    }
}

/// Those of one log.
impl PartialEq for KeptPublication {
    fn eq(&self, other: &KeptPublication) -> bool {
        self.offset == other.offset
            && self.content.publication(None) == other.content.publication(None)
    }
}
