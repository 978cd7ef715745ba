//! Commands: what other threads write into a shard's bounded queue.

use crate::driver::boundary::StopAccept;
use crate::egress::tls::server::Tls;
use crate::events::Subscriber;
use crate::message::request::PublishRequest;
use crate::query::gather::QueryKey;
use crate::query::page::Query;
use crate::topic::key::TopicKey;
use crate::topic::log::options::LogClass;
use crate::topic::log::step::LogStep;
use crate::topic::presence::options::PresenceClass;
use crate::topic::target::Wants;
use crate::types::answer::{Notice, Reply, Report};
use crate::types::history::HistoryQuery;
use crate::types::presence::{MemberElsewhere, PresenceQuery};
use crate::types::ticket::Ticket;
use std::fmt;
use std::num::NonZeroU32;

/// From any thread of the process.
pub(crate) enum Command {
    /// With a reply, it is reported.
    Publish {
        publish: PublishRequest,
        wants: Wants,
        reply: Option<Reply>,
    },
    List {
        topic: TopicKey,
        reply: Reply,
    },
    History {
        topic: TopicKey,
        class: LogClass,
        query: HistoryQuery,
        reply: Reply,
    },
    ClearHistory {
        topic: TopicKey,
        reply: Reply,
    },
    StepLog {
        topic: TopicKey,
        step: LogStep,
    },
    /// What became of a publish that this shard asked for.
    Sequenced {
        key: QueryKey,
        report: Report,
    },
    Presence {
        topic: TopicKey,
        query: PresenceQuery,
        reply: Reply,
    },
    /// Into the queue of the topic's home: what another process says of a member.
    PlaceElsewhere {
        topic: TopicKey,
        class: PresenceClass,
        told: Box<MemberElsewhere>,
    },
    Notify {
        who: Ticket,
        notice: Notice,
    },
    /// The same for one that may be gone.
    Reach {
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
        /// Connections that the shard closes each second.
        pace: NonZeroU32,
        subscriber: Subscriber,
    },
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Command::Publish { .. } => "Publish",
            Command::List { .. } => "List",
            Command::History { .. } => "History",
            Command::ClearHistory { .. } => "ClearHistory",
            Command::StepLog { .. } => "StepLog",
            Command::Sequenced { .. } => "Sequenced",
            Command::Presence { .. } => "Presence",
            Command::PlaceElsewhere { .. } => "PlaceElsewhere",
            Command::Notify { .. } => "Notify",
            Command::Reach { .. } => "Reach",
            Command::Admit { .. } => "Admit",
            Command::ReplaceTls { .. } => "ReplaceTls",
            Command::Subscribe { .. } => "Subscribe",
            Command::Query { .. } => "Query",
            Command::Drain { .. } => "Drain",
        })
    }
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The shard's queue of commands is full: try again later.
    #[error("the shard is busy")]
    Busy,
    /// Memory is short, and what is published there takes most of it
    /// ([`crate::Config::memory_bytes_max`]).
    #[error("memory is short, and what is published there takes most of it")]
    Memory,
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
}
