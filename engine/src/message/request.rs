//! What shards write to each other.

use crate::query::gather::{Outcome, QueryKey};
use crate::query::page::Query;
use crate::topic::key::TopicKey;
use crate::topic::log::options::LogClass;
use crate::topic::log::range::Reader;
use crate::topic::log::step::LogStep;
use crate::topic::publication::Content;
use crate::types::answer::{Notice, Tag};
use crate::types::encoding::EncodingId;
use crate::types::filter::Filter;
use crate::types::history::{HistoryQuery, JoinAcks, Since};
use crate::types::presence::{JoinPresence, PresenceQuery};
use crate::types::ticket::{Address, Ticket};
use bytes::Bytes;
use shardcast_protocol::close::CloseCode;
use std::sync::Arc;

/// A request to the shard that can fulfil it: a topic's home, or a connection's owner. Handling a
/// request posts at most [`DELIVERIES_PER_REQUEST_MAX`] deliveries to each shard, for which there
/// is room. What the application asks for meanwhile goes to the spill, as it does for deliveries.
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
    /// A connection closed: it leaves these topics, all of them this home's, and nobody waits for
    /// an answer.
    LeaveAll {
        topics: Vec<TopicKey>,
        who: Address,
        encoding: EncodingId,
        /// [`CloseReason::may_return`]
        ///
        /// [`CloseReason::may_return`]: crate::types::close_reason::CloseReason::may_return
        may_return: bool,
    },
    /// The connection's shard knows that a join of it was refused.
    RefusalAcked {
        topic: TopicKey,
        who: Address,
    },
    Publish(PublishRequest),
    /// Asks for this shard's part of an answer.
    Query {
        key: QueryKey,
        query: Arc<Query>,
    },
    /// Who is in the room at this place in the order.
    List {
        topic: TopicKey,
        key: QueryKey,
    },
    /// A page of the topic's log.
    History {
        topic: TopicKey,
        class: LogClass,
        key: QueryKey,
        query: Box<HistoryQuery>,
    },
    /// Whoever orders the topic has a step done with its log.
    StepLog {
        topic: TopicKey,
        step: LogStep,
    },
    /// Another thread wants the topic's log emptied.
    ClearHistory {
        topic: TopicKey,
        key: QueryKey,
    },
    /// Some members of a topic that keeps presence.
    Presence {
        topic: TopicKey,
        key: QueryKey,
        query: Box<PresenceQuery>,
    },
    /// A cursor asks for what comes next; answered with [`Delivery::CaughtUp`].
    ///
    /// [`Delivery::CaughtUp`]: crate::message::delivery::Delivery::CaughtUp
    CatchUp(Box<CatchUp>),
    /// One part of an answer, back at the shard that asked.
    Outcome(Outcome),
    /// A message for an event stream, as a client's frame; answered with
    /// [`crate::message::delivery::Delivery::Posted`].
    Post {
        to: Ticket,
        from: Address,
        frame: Bytes,
    },
    Send {
        to: Ticket,
        content: Content,
    },
    /// What one connection has another know, or whoever answers for it when it is gone.
    Notify {
        who: Ticket,
        notice: Notice,
    },
    Disconnect {
        who: Ticket,
        code: CloseCode,
        reason: Box<str>,
    },
    /// The sender has begun anew: what it said before, and what it was told and has not answered,
    /// is lost. Answered with [`ShardRequest::Settled`] and [`Delivery::Settled`].
    ///
    /// [`Delivery::Settled`]: crate::message::delivery::Delivery::Settled
    Restarted {
        shard: u16,
    },
    /// What the sender asks from here on, it asks of the shard that has begun anew.
    Settled,
}

/// Deliveries that handling one request may post to one shard: one for each encoding.
pub(crate) const DELIVERIES_PER_REQUEST_MAX: usize = EncodingId::OF_MEMBERS_MAX;

/// A request to join.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) topic: TopicKey,
    pub(crate) who: Address,
    pub(crate) encoding: EncodingId,
    /// Without a tag, nobody waits for the answer.
    pub(crate) tag: Option<Tag>,
    /// The connection becomes a member; otherwise it is one as far as its shard knows, and only
    /// asks again.
    pub(crate) counted: bool,
    /// Members with whom the room is full. Their number is a `u32`, so [`u32::MAX`] holds nobody
    /// back.
    pub(crate) members_max: u32,
    /// The class of the topic's log, if it is to keep one.
    pub(crate) log: Option<LogClass>,
    /// Up to where the connection knows the topic.
    pub(crate) since: Option<Box<Since>>,
    /// What the others see of it.
    pub(crate) presence: Option<Box<ShownMember>>,
    pub(crate) acks: JoinAcks,
}

/// What a topic that keeps presence knows of a member.
#[derive(Debug)]
pub(crate) struct ShownMember {
    pub(crate) user: Option<Arc<str>>,
    pub(crate) presence: JoinPresence,
}

/// A cursor into a topic's log.
#[derive(Debug)]
pub(crate) struct CatchUp {
    pub(crate) topic: TopicKey,
    pub(crate) epoch: u64,
    pub(crate) reader: Reader,
    /// Of what is published, the member is sent what passes.
    pub(crate) filter: Option<Filter>,
}

/// A publish on its way to the home of its topic.
#[derive(Debug)]
pub(crate) struct PublishRequest {
    /// `None`: everyone.
    pub(crate) topic: Option<TopicKey>,
    pub(crate) content: Content,
    pub(crate) except: Option<Address>,
    pub(crate) report: Option<QueryKey>,
}

impl PublishRequest {
    /// Whom this shard leaves out.
    pub(crate) fn except_on(&self, shard: u16) -> Option<Ticket> {
        let except = self.except.filter(|address| address.shard == shard);
        except.map(|address| address.ticket)
    }
}
