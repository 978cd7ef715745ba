//! What shards write to each other.

use crate::report::ReportKey;
use crate::{Address, Frame, Report, Tag, Ticket, Tls};
use bytes::Bytes;
use shardcast_protocol::close::CloseCode;
use std::sync::Arc;

/// A room's name, shared by every table that bears it.
pub(crate) type RoomName = Arc<str>;

/// To the shard that can do it: to a room's home, or to a connection's owner. Handling one may post deliveries and nothing else.
#[derive(Debug)]
pub(crate) enum Request {
    /// `counted`: the connection becomes a member; otherwise it is one, and only asks again.
    Join {
        room: RoomName,
        who: Address,
        tag: Tag,
        counted: bool,
    },
    Leave {
        room: RoomName,
        who: Address,
        tag: Tag,
    },
    /// A connection closed: it leaves these rooms, all of them this home's, and nobody waits for an answer.
    Depart {
        rooms: Vec<RoomName>,
        shard: u16,
    },
    Publish(Publication),
    /// One shard's part of a report, back at the shard that asked.
    Outcome(Outcome),
    /// A message for an event stream, as a client's frame; answered with [`Delivery::Posted`].
    Post {
        to: Ticket,
        from: Address,
        frame: Bytes,
    },
    Send {
        to: Ticket,
        frame: Frame,
    },
    Disconnect {
        who: Ticket,
        code: CloseCode,
        reason: Box<str>,
    },
}

/// A publish on its way.
#[derive(Debug)]
pub(crate) struct Publication {
    /// `None`: everyone.
    pub(crate) room: Option<RoomName>,
    pub(crate) frame: Frame,
    pub(crate) except: Option<Address>,
    pub(crate) report: Option<ReportKey>,
}

/// One shard's part of a report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) key: ReportKey,
    /// Shards that the publish went to; each sends one outcome. 0: to none, and this is the only outcome.
    pub(crate) shards: u16,
    pub(crate) report: Report,
}

/// From a home to the shards that have members. Handling one never posts anything, so deliveries always drain.
#[derive(Debug)]
pub(crate) enum Delivery {
    Joined {
        room: RoomName,
        who: Ticket,
        tag: Tag,
        members: u32,
        counted: bool,
    },
    Left {
        room: RoomName,
        who: Ticket,
        tag: Tag,
    },
    Message(Parcel),
    /// What became of a message that a connection posted.
    Posted {
        who: Ticket,
        outcome: PostOutcome,
    },
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

/// A publish in its place in the order, for one shard's members.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// `None`: everyone.
    pub(crate) room: Option<RoomName>,
    pub(crate) frame: Frame,
    /// Left out, if it is on the receiving shard.
    pub(crate) except: Option<Ticket>,
    pub(crate) report: Option<ReportKey>,
    /// Shards that this publish went to.
    pub(crate) shards: u16,
}

/// From any thread of the process.
#[derive(Debug)]
pub(crate) enum Command {
    Publish(Publication),
    /// Connections of a listener begin with this from now on.
    ReplaceTls {
        listener: usize,
        tls: Tls,
    },
    Drain,
}
