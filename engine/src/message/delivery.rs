//! Deliveries: what a home writes to the shards that have members, in the order that it gives.

use crate::query::gather::QueryKey;
use crate::topic::acks::AckRule;
use crate::topic::key::{Topic, TopicKey};
use crate::topic::log::jumps::Jumps;
use crate::topic::log::options::SlowReader;
use crate::topic::log::range::{Range, ReadMode};
use crate::topic::publication::{Content, RecordedTrace};
use crate::types::answer::Tag;
use crate::types::encoding::EncodingId;
use crate::types::frame::Frame;
use crate::types::history::JoinedLog;
use crate::types::room_error::RoomError;
use crate::types::ticket::Ticket;

/// A delivery, from a home to the shards that have members. Handling a delivery never waits for a
/// lane, so deliveries always drain: an answer to another shard is enqueued
/// ([`crate::message::lane::Mailbox::enqueue`]), and what the application asks for goes to the
/// spill.
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
    /// For members that are sent deltas.
    Next(Box<NextParcel>),
    /// For members with filters.
    Sifted(Box<SiftedParcel>),
    /// One of the three above that is recorded.
    Traced(Box<TracedDelivery>),
    /// A reported publish to everyone that cannot be encoded for these connections: asks how
    /// many there are.
    Unencodable {
        encoding: EncodingId,
        /// Not counted, if it is on the receiving shard.
        except: Option<Ticket>,
        key: QueryKey,
        parcels: u16,
    },
    /// Asks for some of the members of one encoding.
    List {
        topic: TopicKey,
        encoding: EncodingId,
        key: QueryKey,
        parcels: u16,
        /// Members on all shards.
        total: u32,
        /// As many as are to be named.
        members: u16,
    },
    /// The offsets of a topic jump, whose members may acknowledge.
    Jumped(Box<Jumped>),
    /// What a cursor asked for. Members change by it as by a join.
    CaughtUp(Box<CaughtUp>),
    /// What became of a message that a connection posted.
    Posted {
        who: Ticket,
        outcome: PostOutcome,
    },
    /// What the sender delivers from here on, it delivers as what it became when it began anew, or
    /// to what the receiver became.
    Settled,
}

impl Delivery {
    /// The topic whose order it stands in, `None` being everyone's, and the encoding of those it
    /// concerns there.
    pub(crate) fn recipients(&self) -> Option<(Option<Topic<'_>>, EncodingId)> {
        match self {
            Delivery::Joined(joined) => Some((Some(joined.topic.topic()), joined.encoding)),
            Delivery::CaughtUp(caught_up) => {
                Some((Some(caught_up.topic.topic()), caught_up.encoding))
            }
            Delivery::Left {
                topic, encoding, ..
            }
            | Delivery::Refused {
                topic, encoding, ..
            }
            | Delivery::List {
                topic, encoding, ..
            } => Some((Some(topic.topic()), *encoding)),
            Delivery::Jumped(jumped) => Some((Some(jumped.topic.topic()), jumped.encoding)),
            Delivery::Next(next) => {
                let topic = next.parcel.topic.as_ref().map(TopicKey::topic);
                Some((topic, next.parcel.encoding))
            }
            Delivery::Sifted(sifted) => {
                let topic = sifted.parcel.topic.as_ref().map(TopicKey::topic);
                Some((topic, sifted.parcel.encoding))
            }
            Delivery::Message(parcel) => {
                Some((parcel.topic.as_ref().map(TopicKey::topic), parcel.encoding))
            }
            Delivery::Traced(traced) => traced.delivery.recipients(),
            Delivery::Unencodable { .. } | Delivery::Posted { .. } | Delivery::Settled => None,
        }
    }

    /// The topic of a publish; `None`: it is something else, or for everyone.
    pub(crate) fn published_to(&self) -> Option<&TopicKey> {
        match self {
            Delivery::Message(parcel) => parcel.topic.as_ref(),
            Delivery::Next(next) => next.parcel.topic.as_ref(),
            Delivery::Sifted(sifted) => sifted.parcel.topic.as_ref(),
            _ => None,
        }
    }

    /// What it keeps in memory of a frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        match self {
            Delivery::Message(parcel) => parcel.frame.bytes().len(),
            // What it is made of is the home's, too, or in the frame.
            Delivery::Sifted(sifted) => sifted.parcel.frame.bytes().len(),
            Delivery::Next(next) => {
                let delta = next.delta.as_ref();
                next.parcel.frame.bytes().len() + delta.map_or(0, |delta| delta.bytes().len())
            }
            Delivery::Traced(traced) => traced.delivery.frame_bytes(),
            Delivery::Joined(_)
            | Delivery::CaughtUp(_)
            | Delivery::Jumped(_)
            | Delivery::Left { .. }
            | Delivery::Refused { .. }
            | Delivery::Unencodable { .. }
            | Delivery::List { .. }
            | Delivery::Posted { .. }
            | Delivery::Settled => 0,
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
    /// Where the topic keeps a log.
    pub(crate) log: Option<Box<JoinedAt>>,
}

/// What a join found in the topic's log.
#[derive(Clone, Debug)]
pub(crate) struct JoinedAt {
    pub(crate) answer: JoinedLog,
    /// That of the newest publication.
    pub(crate) ordinal: u64,
    /// Where the log's offsets jump, as far as the member acknowledges by them.
    pub(crate) jumps: Jumps,
    pub(crate) slow_reader: SlowReader,
    /// The ordinal from where the connection reads the log, before it is sent what is published.
    pub(crate) cursor: Option<(u64, ReadMode)>,
    /// When what it does not acknowledge is sent again.
    pub(crate) acks: Option<AckRule>,
}

/// From one publication on, a topic's offsets are ahead of its ordinals.
#[derive(Debug)]
pub(crate) struct Jumped {
    pub(crate) topic: TopicKey,
    pub(crate) encoding: EncodingId,
    /// Those of that publication.
    pub(crate) ordinal: u64,
    pub(crate) offset: u64,
}

/// What a cursor asked for.
#[derive(Debug)]
pub(crate) struct CaughtUp {
    pub(crate) topic: TopicKey,
    pub(crate) encoding: EncodingId,
    pub(crate) who: Ticket,
    /// Where the cursor stood.
    pub(crate) asked: u64,
    pub(crate) range: Range,
    pub(crate) progress: Progress,
}

/// How far a cursor has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is more in the log.
    More,
    /// The next publication is the next that the member is sent.
    UpToDate,
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
    /// The body is none that is posted there.
    Malformed,
    /// What stands in the body is longer than a message may be.
    TooLarge,
}

/// A delivery of a publication that is recorded: the step of its home comes before.
#[derive(Debug)]
pub(crate) struct TracedDelivery {
    pub(crate) delivery: Delivery,
    pub(crate) from: RecordedTrace,
}

impl TracedDelivery {
    /// A delivery, with the step of its home if that is recorded.
    #[inline]
    pub(crate) fn with(delivery: Delivery, from: Option<RecordedTrace>) -> Delivery {
        match from {
            None => delivery,
            Some(from) => Delivery::Traced(Box::new(TracedDelivery { delivery, from })),
        }
    }
}

/// A publish that members build on with the next one.
#[derive(Debug)]
pub(crate) struct NextParcel {
    /// With the frame that has all of it.
    pub(crate) parcel: Parcel,
    /// What it changes of the one before it. `None`: everybody is sent all of it.
    pub(crate) delta: Option<Frame>,
}

/// A publish that is for those of the members whose filters it passes.
#[derive(Debug)]
pub(crate) struct SiftedParcel {
    pub(crate) parcel: Parcel,
    /// What the filters are asked about.
    pub(crate) content: Content,
}

/// A publish in its place in the order, for one shard's members of one encoding.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// `None`: everyone.
    pub(crate) topic: Option<TopicKey>,
    pub(crate) encoding: EncodingId,
    pub(crate) frame: Frame,
    /// Its ordinal in its topic's log; 0: it is not kept.
    pub(crate) ordinal: u64,
    /// Left out, if it is on the receiving shard.
    pub(crate) except: Option<Ticket>,
    pub(crate) report: Option<QueryKey>,
    /// Parcels of this publish.
    pub(crate) parcels: u16,
}
