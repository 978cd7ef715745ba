//! What shards write to each other.

use crate::driver::StopAccept;
use crate::events::Subscriber;
use crate::query::Query;
use crate::report::{Part, ReportKey};
use crate::topic::{Topic, TopicKey};
use crate::{Address, Content, EncodingId, Frame, Notice, Reply, RoomError, Tag, Ticket, Tls};
use bytes::Bytes;
use shardcast_protocol::close::CloseCode;
use std::fmt;
use std::sync::Arc;

/// To the shard that can do it: to a room's home, or to a connection's owner. Handling one may post deliveries and nothing else, to
/// no shard more than [`DELIVERIES_PER_REQUEST_MAX`].
#[derive(Debug)]
pub(crate) enum ShardRequest {
    Join(Join),
    /// Without a tag, nobody waits for the answer.
    Leave {
        topic: TopicKey,
        who: Address,
        encoding: EncodingId,
        tag: Option<Tag>,
    },
    /// A connection closed: it leaves these topics, all of them this home's, and nobody waits for an answer.
    LeaveAll {
        topics: Vec<TopicKey>,
        who: Address,
        encoding: EncodingId,
    },
    /// The connection's shard knows that a join of it was refused.
    RefusalAcked {
        topic: TopicKey,
        who: Address,
    },
    Publish(PublishRequest),
    /// Asks for this shard's part of an answer.
    Query {
        key: ReportKey,
        query: Arc<Query>,
    },
    /// Who is in the room at this place in the order.
    List {
        topic: TopicKey,
        key: ReportKey,
    },
    /// One part of an answer, back at the shard that asked.
    Outcome(Outcome),
    /// A message for an event stream, as a client's frame; answered with [`Delivery::Posted`].
    Post {
        to: Ticket,
        from: Address,
        frame: Bytes,
    },
    Send {
        to: Ticket,
        content: Content,
    },
    Disconnect {
        who: Ticket,
        code: CloseCode,
        reason: Box<str>,
    },
}

/// Deliveries that handling one request may post to one shard: one for each encoding.
pub(crate) const DELIVERIES_PER_REQUEST_MAX: usize = EncodingId::COUNT_MAX;

/// A wish to be a member.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) topic: TopicKey,
    pub(crate) who: Address,
    pub(crate) encoding: EncodingId,
    /// Without a tag, nobody waits for the answer.
    pub(crate) tag: Option<Tag>,
    /// The connection becomes a member; otherwise it is one as far as its shard knows, and only asks again.
    pub(crate) counted: bool,
    /// Members with whom the room is full. Their number is a `u32`, so [`u32::MAX`] holds nobody back.
    pub(crate) members_max: u32,
}

/// A publish on its way to the home of its topic.
#[derive(Debug)]
pub(crate) struct PublishRequest {
    /// `None`: everyone.
    pub(crate) topic: Option<TopicKey>,
    pub(crate) content: Content,
    pub(crate) except: Option<Address>,
    pub(crate) report: Option<ReportKey>,
}

impl PublishRequest {
    /// Whom this shard leaves out.
    pub(crate) fn except_on(&self, shard: u16) -> Option<Ticket> {
        let except = self.except.filter(|address| address.shard == shard);
        except.map(|address| address.ticket)
    }
}

/// One part of what was asked for.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) key: ReportKey,
    /// Parcels that were sent; each has one outcome. 0: there were none, and this is the only outcome.
    pub(crate) parcels: u16,
    pub(crate) part: Part,
}

/// From a home to the shards that have members. Handling one never posts anything, so deliveries always drain.
#[derive(Debug)]
pub(crate) enum Delivery {
    Joined(Joined),
    Left {
        topic: TopicKey,
        encoding: EncodingId,
        who: Ticket,
        tag: Option<Tag>,
    },
    /// The connection did not become a member.
    Refused {
        topic: TopicKey,
        encoding: EncodingId,
        who: Ticket,
        tag: Option<Tag>,
        error: RoomError,
    },
    Message(Parcel),
    /// A reported publish to everyone that cannot be said to connections of this encoding: asks how many there are.
    Unencodable {
        encoding: EncodingId,
        /// Not counted, if it is on the receiving shard.
        except: Option<Ticket>,
        key: ReportKey,
        parcels: u16,
    },
    /// Asks for some of the members of one encoding.
    List {
        topic: TopicKey,
        encoding: EncodingId,
        key: ReportKey,
        parcels: u16,
        /// Members on all shards.
        total: u32,
        /// As many as are to be named.
        members: u16,
    },
    /// What became of a message that a connection posted.
    Posted {
        who: Ticket,
        outcome: PostOutcome,
    },
}

impl Delivery {
    /// The topic whose order it stands in, `None` being everyone's, and the encoding of those it concerns there.
    pub(crate) fn recipients(&self) -> Option<(Option<Topic<'_>>, EncodingId)> {
        match self {
            Delivery::Joined(joined) => Some((Some(joined.topic.topic()), joined.encoding)),
            Delivery::Left {
                topic, encoding, ..
            }
            | Delivery::Refused {
                topic, encoding, ..
            }
            | Delivery::List {
                topic, encoding, ..
            } => Some((Some(topic.topic()), *encoding)),
            Delivery::Message(parcel) => {
                Some((parcel.topic.as_ref().map(TopicKey::topic), parcel.encoding))
            }
            Delivery::Unencodable { .. } | Delivery::Posted { .. } => None,
        }
    }

    /// What it keeps in memory of a frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        match self {
            Delivery::Message(parcel) => parcel.frame.bytes().len(),
            Delivery::Joined(_)
            | Delivery::Left { .. }
            | Delivery::Refused { .. }
            | Delivery::Unencodable { .. }
            | Delivery::List { .. }
            | Delivery::Posted { .. } => 0,
        }
    }
}

/// The connection is a member from this place in the order on, or was one.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) topic: TopicKey,
    pub(crate) encoding: EncodingId,
    pub(crate) who: Ticket,
    pub(crate) tag: Option<Tag>,
    pub(crate) members: u32,
    pub(crate) counted: bool,
}

/// What became of a posted message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PostOutcome {
    /// It waits to be read, before all that is posted later.
    Taken,
    /// No such event stream, or none any more.
    Gone,
    /// More waits than may.
    Full,
}

/// A publish in its place in the order, for one shard's members of one encoding.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// `None`: everyone.
    pub(crate) topic: Option<TopicKey>,
    pub(crate) encoding: EncodingId,
    pub(crate) frame: Frame,
    /// Left out, if it is on the receiving shard.
    pub(crate) except: Option<Ticket>,
    pub(crate) report: Option<ReportKey>,
    /// Parcels of this publish.
    pub(crate) parcels: u16,
}

/// From any thread of the process.
pub(crate) enum Command {
    /// With a reply, it is reported.
    Publish {
        publish: PublishRequest,
        reply: Option<Reply>,
    },
    List {
        topic: TopicKey,
        reply: Reply,
    },
    Notify {
        who: Ticket,
        notice: Notice,
    },
    /// What a deferred admission waited for.
    Admit {
        who: Ticket,
        notice: Notice,
    },
    /// Connections of a listener begin with this from now on.
    ReplaceTls {
        listener: usize,
        tls: Tls,
    },
    Subscribe {
        subscriber: Subscriber,
    },
    Query {
        query: Query,
        reply: Reply,
    },
    Drain {
        listeners: StopAccept,
        subscriber: Subscriber,
    },
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Command::Publish { .. } => "Publish",
            Command::List { .. } => "List",
            Command::Notify { .. } => "Notify",
            Command::Admit { .. } => "Admit",
            Command::ReplaceTls { .. } => "ReplaceTls",
            Command::Subscribe { .. } => "Subscribe",
            Command::Query { .. } => "Query",
            Command::Drain { .. } => "Drain",
        })
    }
}
