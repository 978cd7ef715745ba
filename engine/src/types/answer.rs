//! What becomes of a request: the answers that an application and other threads get, and the parts
//! that they are put together from.

use crate::query::page::{Found, FoundConnection, FoundTopic, TopicDetail};
use crate::topic::publication::Position;
use crate::types::history::{History, JoinedLog};
use crate::types::presence::PresencePage;
use crate::types::room_error::RoomError;
use crate::types::ticket::Address;
use std::any::Any;
use std::ops::AddAssign;
use std::sync::Arc;

/// Chosen by the application to tell answers apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(pub u32);

/// What became of a tagged request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The connection is a member; messages that the room orders from here on reach it.
    Joined {
        /// The room.
        room: Arc<str>,
        /// Members on all shards, this one included.
        members: u32,
        /// What there is to say where the topic keeps a log. `None`: it keeps none.
        log: Option<JoinedLog>,
    },
    /// The connection is no member any more; no message of the room follows.
    Left {
        /// The room.
        room: Arc<str>,
    },
    /// A reported publish reached every shard, or one that asks for a receipt has its place in the
    /// order.
    Reported(Report),
    /// The connection did not become a member.
    Refused {
        /// The room.
        room: Arc<str>,
        /// [`RoomError::Full`].
        error: RoomError,
    },
    /// Who was a member when the list had its turn among the joins, leaves and publishes of the
    /// topic.
    Listed(Listing),
    /// A page of open connections ([`crate::Query::Connections`]).
    Connections(Found<FoundConnection>),
    /// A page of topics with members ([`crate::Query::Topics`]).
    Topics(Found<FoundTopic>),
    /// A page of a topic's log.
    History(History),
    /// A page of who is in a topic that keeps presence.
    Present(PresencePage),
    /// One topic ([`crate::Query::Topic`]).
    Topic(Box<TopicDetail>),
}

/// The members of a room, or the connections of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// How many there were on all shards. One that has just closed counts until the topic's home
    /// hears of it, and is not named.
    pub total: u32,
    /// Who they were, in no order: at most 1,000.
    pub members: Vec<Member>,
}

/// A connection that is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The connection.
    pub address: Address,
    /// The user that it was, if it was one.
    pub user: Option<Arc<str>>,
}

/// What became of one publish, over all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Handed to the kernel completely.
    pub delivered: u32,
    /// Waiting, completely or in part, in the outbox of a slow reader.
    pub queued: u32,
    /// Refused: the connection was closing, or its outbox was full and it was closed for that; or
    /// the message cannot be encoded for it.
    pub dropped: u32,
    /// To be read from the log, unless a newer one with the same conflation key comes first
    /// ([`crate::SlowReader::Conflate`]).
    pub conflated: u32,
    /// To be read from the log, by members that have not read what came before.
    pub catching_up: u32,
    /// Acknowledged by members that acknowledge, before the report's time was over
    /// ([`crate::AckOptions::timeout`]). They count above as well.
    pub acknowledged: u32,
    /// Where it stands in its topic's log, if that keeps it.
    pub position: Option<Position>,
    /// Whether it was published by this.
    pub repeat: Repeat,
}

impl Report {
    /// Of a publish that whoever orders its topic did not take.
    pub(crate) fn unavailable() -> Report {
        Report {
            repeat: Repeat::Unavailable,
            ..Report::default()
        }
    }
}

/// Whether a publication was published, or another one with its key was before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeat {
    /// It was.
    #[default]
    First,
    /// Another one was: the position is that one's, and nothing was sent.
    Duplicate,
    /// Whoever orders the topic ([`crate::LogOrder::Sequencer`]) cannot be reached, or takes no
    /// more: whether it was is not known, and nothing was sent.
    Unavailable,
    /// The map that its topic is ([`crate::LogOptions::map`]), or all of them together, has no room
    /// for it: nothing was sent.
    MapFull,
    /// The map has no such key, so there was nothing to remove, or to set where only a key that is
    /// there is set; or others hold it still ([`crate::Publish::releases`]): nothing was sent.
    NoKey,
    /// The map has such a key, and only a new one was to be set: nothing was sent.
    KeyExists,
    /// The map has the key in this version ([`crate::Publish::version`]) or in a higher one:
    /// nothing was sent.
    Outdated,
}

/// Adds another shard's part.
impl AddAssign for Report {
    fn add_assign(&mut self, part: Report) {
        self.delivered += part.delivered;
        self.queued += part.queued;
        self.dropped += part.dropped;
        self.conflated += part.conflated;
        self.catching_up += part.catching_up;
        self.acknowledged += part.acknowledged;
        self.position = self.position.or(part.position);
        if part.repeat != Repeat::First {
            self.repeat = part.repeat;
        }
    }
}

/// What another thread sends to a connection; the application knows what it is.
pub type Notice = Box<dyn Any + Send>;

/// What is called with the answer to a question from outside, on a shard's thread: it must not
/// block. A panic in it is counted and logged. Dropped without a call: the engine stopped before
/// there was an answer.
pub type Reply = Box<dyn FnOnce(Answer) + Send>;
