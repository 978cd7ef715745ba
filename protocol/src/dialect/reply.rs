//! The replies to requests, and how the native dialects write them.

use super::Problem;
use super::id::Id;
use super::map::{Map, Notation};
use super::value::Value;

/// The answer to a command.
#[derive(Clone, Copy, Debug)]
pub enum Reply<'a> {
    /// To `ping`; without `data` if that had none.
    Pong {
        /// What came.
        data: Option<Value<'a>>,
    },
    /// To `echo`; without `data` if that had none.
    Echo {
        /// What came.
        data: Option<Value<'a>>,
    },
    /// To `join_room` with `room`.
    Joined(Joined<'a>),
    /// To `join_room` with `rooms`, in the order asked.
    JoinedRooms(&'a [Joined<'a>]),
    /// To `leave_room` with `room`.
    Left {
        /// Its name.
        room: &'a str,
    },
    /// To `leave_room` with `rooms`, in the order asked.
    LeftRooms(&'a [&'a str]),
    /// To `broadcast`.
    Ack,
    /// To `broadcast` with `"report":true`.
    Report(Counts),
    /// To `rooms`.
    Rooms(&'a [&'a str]),
    /// To `status`.
    Status {
        /// The connection.
        status: Status<'a>,
        /// The rooms that it is in.
        rooms: &'a [&'a str],
    },
    /// To `presence`.
    Presence(Presence<'a>),
    /// What a handler answered; `null` if it answered without a value.
    Result(Option<Value<'a>>),
    /// To what was refused.
    Error(&'a Problem),
}

impl Reply<'_> {
    /// Whether it says only that a handler succeeded, without a value.
    pub fn is_bare_success(&self) -> bool {
        match self {
            Reply::Result(None) => true,
            Reply::Result(Some(value)) => value.is_null(),
            _ => false,
        }
    }
}

/// A room that was joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined<'a> {
    /// Its name.
    pub room: &'a str,
    /// Members on all shards, this connection included.
    pub members: u32,
}

/// What became of a broadcast, in connections.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Handed to the kernel completely.
    pub delivered: u32,
    /// Waiting for a slow reader.
    pub queued: u32,
    /// Not sent: the connection was closing or had fallen too far behind.
    pub dropped: u32,
}

/// What a status reply has of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Status<'a> {
    /// The connection's id.
    pub connection: &'a str,
    /// Its user, if it has one.
    pub user: Option<&'a str>,
    /// Time since it opened.
    pub connected_ms: u64,
    /// The shard that serves it.
    pub shard: u16,
}

/// Who is in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence<'a> {
    /// Its name.
    pub room: &'a str,
    /// All members.
    pub total: u32,
    /// Some of them, or all.
    pub members: &'a [Member<'a>],
}

/// A member of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The connection's id.
    pub connection: &'a str,
    /// Its user, if it has one.
    pub user: Option<&'a str>,
}

/// Appends an answer of a native dialect: `type` first and `id`, when there is one, second.
#[inline]
pub(crate) fn write<N: Notation>(out: &mut Vec<u8>, id: Option<Id<'_>>, reply: &Reply<'_>) {
    let mut map = Map::<N>::open(out);
    map.string("type", reply.kind());
    map.id(id);
    reply.body(&mut map);
    map.close();
}

impl Reply<'_> {
    #[inline]
    fn kind(&self) -> &'static str {
        match self {
            Reply::Pong { .. } => "pong",
            Reply::Echo { .. } => "echo",
            Reply::Joined(_) | Reply::JoinedRooms(_) => "joined",
            Reply::Left { .. } | Reply::LeftRooms(_) => "left",
            Reply::Ack | Reply::Report(_) => "ack",
            Reply::Rooms(_) => "rooms",
            Reply::Status { .. } => "status",
            Reply::Presence(_) => "presence",
            Reply::Result(_) => "result",
            Reply::Error(_) => "error",
        }
    }

    /// All keys but `type` and `id`.
    #[inline]
    pub(super) fn body<N: Notation>(&self, map: &mut Map<'_, N>) {
        match *self {
            Reply::Pong { data } | Reply::Echo { data } => map.some_value("data", data),
            Reply::Joined(joined) => joined.body(map),
            Reply::JoinedRooms(rooms) => map.maps("rooms", rooms, |map, room| room.body(map)),
            Reply::Left { room } => map.string("room", room),
            Reply::LeftRooms(rooms) | Reply::Rooms(rooms) => map.strings("rooms", rooms),
            Reply::Ack => {}
            Reply::Report(counts) => {
                map.number("delivered", counts.delivered.into());
                map.number("queued", counts.queued.into());
                map.number("dropped", counts.dropped.into());
            }
            Reply::Status { status, rooms } => {
                map.string("connection", status.connection);
                user(map, status.user);
                map.strings("rooms", rooms);
                map.number("connected_ms", status.connected_ms);
                map.number("shard", status.shard.into());
            }
            Reply::Presence(presence) => {
                map.string("room", presence.room);
                map.number("total", presence.total.into());
                map.maps("members", presence.members, |map, member| {
                    map.string("connection", member.connection);
                    user(map, member.user);
                });
            }
            Reply::Result(value) => map.value_or_null("data", value),
            Reply::Error(problem) => {
                map.string("code", problem.code.as_str());
                map.string("message", &problem.message);
                error_details(map, problem);
            }
        }
    }
}

impl Joined<'_> {
    fn body<N: Notation>(&self, map: &mut Map<'_, N>) {
        map.string("room", self.room);
        map.number("members", self.members.into());
    }
}

fn user<N: Notation>(map: &mut Map<'_, N>, user: Option<&str>) {
    match user {
        Some(user) => map.string("user", user),
        None => map.null("user"),
    }
}

/// What a program may want to know of a problem beside its code.
pub(super) fn error_details<N: Notation>(map: &mut Map<'_, N>, problem: &Problem) {
    map.boolean("retryable", problem.code.is_retryable());
    if let Some(after) = problem.retry_after_ms {
        map.number("retry_after_ms", after.into());
    }
    map.some_string("field", problem.field.as_deref());
}
