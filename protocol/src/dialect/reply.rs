//! The replies to requests, and how the native dialects write them.

use super::centrifuge::CentrifugeReply;
use super::id::Id;
use super::kept::{KeptMessage, Origin};
use super::map::{Map, Notation};
use super::position::{LogPosition, LossReason, Recovery};
use super::tagged::{plain_name, write_entry};
use super::value::{Encoding, Value};
use super::{Code, Problem};

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
    /// To `broadcast` to rooms that keep history, or with `"report":true`.
    Published {
        /// Its places in the order of the rooms that keep history.
        places: Places<'a>,
        /// With `"report":true`.
        counts: Option<Counts>,
    },
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
    /// To `history`.
    History(HistoryPage<'a>),
    /// To `auth` and `refresh`.
    Authenticated(Authenticated<'a>),
    /// To `resume`.
    Resumed(Resumed<'a>),
    /// What a handler answered; `null` if it answered without a value.
    Result(Option<Value<'a>>),
    /// To what was refused.
    Error(&'a Problem),
    /// To what only clients of the Centrifuge protocol ask for; of other dialects nobody is
    /// answered so.
    Centrifuge(CentrifugeReply<'a>),
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
    /// The place of its newest message, if it keeps history.
    pub position: Option<LogPosition<'a>>,
    /// If it was asked for what was missed.
    pub recovery: Option<Recovery>,
}

/// A session that went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed<'a> {
    /// The connection that it has now.
    pub connection: &'a str,
    /// The connection that it had.
    pub previous: &'a str,
    /// Its user, if it has one.
    pub user: Option<&'a str>,
    /// The rooms that it was in.
    pub rooms: &'a [ResumedRoom<'a>],
}

/// A room of a session that went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumedRoom<'a> {
    /// Its name.
    pub room: &'a str,
    /// What came of it.
    pub outcome: Resumption<'a>,
}

/// What came of a room of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumption<'a> {
    /// The connection is in it.
    Member {
        /// The place of its newest message, if it keeps history.
        position: Option<LogPosition<'a>>,
        /// What becomes of what was missed.
        recovery: Recovery,
    },
    /// It is not, for this.
    Refused(Code),
}

/// Where a broadcast stands in the order of the rooms that keep history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places<'a> {
    /// None does.
    Nowhere,
    /// The one room that was named.
    Room(Place<'a>),
    /// Several were named: those that do, in the order asked.
    Rooms(&'a [RoomPlace<'a>]),
}

/// A place in the order of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The place.
    pub position: LogPosition<'a>,
    /// Whose it is.
    pub repeat: Repeat,
}

/// Whether a broadcast was published already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeat {
    /// It is published now.
    #[default]
    First,
    /// One with the same key was: nothing is published, and the place is that one's.
    Duplicate,
}

/// A place in the order of the room of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomPlace<'a> {
    /// The room.
    pub room: &'a str,
    /// The place.
    pub place: Place<'a>,
}

/// What became of a broadcast, in connections.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Handed to the kernel completely.
    pub delivered: u32,
    /// Waiting for a slow reader.
    pub queued: u32,
    /// Not sent: the connection was closing or had fallen too far behind, or its room leaves out
    /// what a slow reader would have to wait for.
    pub dropped: u32,
    /// Not sent to a slow reader, which gets a newer one with the same key.
    pub conflated: u32,
    /// Kept for a slow reader, which gets it when it has come so far.
    pub catching_up: u32,
    /// Acknowledged in time. `None`: nobody is asked to.
    pub acknowledged: Option<u32>,
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
    /// Where the next answer begins, if not all of them have come.
    pub cursor: Option<&'a str>,
    /// Some of them, or all.
    pub members: &'a [Member<'a>],
}

/// A member of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The connection's id. `None`: the member is a user with all its connections.
    pub connection: Option<&'a str>,
    /// Its user, if it has one.
    pub user: Option<&'a str>,
    /// What it shows.
    pub data: Option<Value<'a>>,
    /// Whether it is there.
    pub state: MemberState,
}

/// Whether a member of a room is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberState {
    /// It is.
    #[default]
    Here,
    /// Its connection was lost, and it may come back.
    Away,
}

/// Who a client is from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authenticated<'a> {
    /// Its user, if it has one.
    pub user: Option<&'a str>,
    /// The user's roles.
    pub roles: &'a [&'a str],
    /// How long this holds; absent: without end.
    pub expires_ms: Option<u64>,
}

/// A part of what a room keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryPage<'a> {
    /// Its name.
    pub room: &'a str,
    /// The place of its newest message.
    pub position: LogPosition<'a>,
    /// Why not all that was asked for is there any more.
    pub loss: Option<LossReason>,
    /// In the order asked.
    pub messages: &'a [KeptMessage<'a>],
}

/// A control character is six in JSON: `\u0001`.
const STRING_GROWTH_MAX: usize = 6;

impl Member<'_> {
    /// Bytes that it has in a reply of this encoding, at most.
    pub fn bytes_max(&self, encoding: Encoding) -> usize {
        let envelope = r#",{"connection":"","user":null,"data":,"away":true}"#.len();
        let strings = [self.connection, self.user];
        let strings: usize = strings.iter().flatten().map(|text| text.len()).sum();
        let data = self.data.map_or(0, |data| data.bytes_max(encoding));
        envelope + STRING_GROWTH_MAX * strings + data
    }
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
            Reply::Ack | Reply::Published { .. } => "ack",
            Reply::Rooms(_) => "rooms",
            Reply::Status { .. } => "status",
            Reply::Presence(_) => "presence",
            Reply::History(_) => "history",
            Reply::Authenticated(_) => "authenticated",
            Reply::Resumed(_) => "resumed",
            Reply::Result(_) | Reply::Centrifuge(_) => "result",
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
            Reply::Ack | Reply::Centrifuge(_) => {}
            Reply::Published { places, counts } => {
                match places {
                    Places::Nowhere => {}
                    Places::Room(place) => place.body(map),
                    Places::Rooms(rooms) => map.maps("rooms", rooms, |map, room| {
                        map.string("room", room.room);
                        room.place.body(map);
                    }),
                }
                if let Some(counts) = counts {
                    counts.body(map);
                }
            }
            Reply::Status { status, rooms } => {
                map.string("connection", status.connection);
                map.string_or_null("user", status.user);
                map.strings("rooms", rooms);
                map.number("connected_ms", status.connected_ms);
                map.number("shard", status.shard.into());
            }
            Reply::Presence(presence) => presence.body(map),
            Reply::History(page) => page.body(map),
            Reply::Authenticated(authenticated) => authenticated.body(map),
            Reply::Resumed(resumed) => resumed.body(map),
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
        if let Some(position) = self.position {
            position.body(map);
        }
        if let Some(recovery) = self.recovery {
            recovery.body(map);
        }
    }
}

impl Resumed<'_> {
    fn body<N: Notation>(&self, map: &mut Map<'_, N>) {
        map.string("connection", self.connection);
        map.string("previous", self.previous);
        map.string_or_null("user", self.user);
        map.maps("rooms", self.rooms, |map, room| {
            map.string("room", room.room);
            match room.outcome {
                Resumption::Member { position, recovery } => {
                    if let Some(position) = position {
                        position.body(map);
                    }
                    recovery.body(map);
                }
                Resumption::Refused(code) => {
                    map.boolean("joined", false);
                    map.string("code", code.as_str());
                }
            }
        });
    }
}

impl Place<'_> {
    fn body<N: Notation>(&self, map: &mut Map<'_, N>) {
        self.position.body(map);
        if self.repeat == Repeat::Duplicate {
            map.boolean("duplicate", true);
        }
    }
}

impl Counts {
    fn body<N: Notation>(&self, map: &mut Map<'_, N>) {
        map.number("delivered", self.delivered.into());
        map.number("queued", self.queued.into());
        map.number("dropped", self.dropped.into());
        map.number("conflated", self.conflated.into());
        map.number("catching_up", self.catching_up.into());
        map.some_number("acknowledged", self.acknowledged.map(u64::from));
    }
}

impl Presence<'_> {
    fn body<N: Notation>(&self, map: &mut Map<'_, N>) {
        map.string("room", self.room);
        map.number("total", self.total.into());
        map.some_string("cursor", self.cursor);
        map.maps("members", self.members, |map, member| {
            map.some_string("connection", member.connection);
            map.string_or_null("user", member.user);
            map.some_value("data", member.data);
            if member.state == MemberState::Away {
                map.boolean("away", true);
            }
        });
    }
}

impl Authenticated<'_> {
    fn body<N: Notation>(&self, map: &mut Map<'_, N>) {
        map.string_or_null("user", self.user);
        map.strings("roles", self.roles);
        map.some_number("expires_ms", self.expires_ms);
    }
}

impl HistoryPage<'_> {
    fn body<N: Notation>(&self, map: &mut Map<'_, N>) {
        map.string("room", self.room);
        self.position.body(map);
        if let Some(reason) = self.loss {
            Recovery::Lost(reason).body(map);
        }
        map.maps("messages", self.messages, |map, message| {
            map.number("offset", message.offset);
            match message.origin {
                Origin::From(connection) => map.string("from", connection),
                Origin::Event(name) => {
                    let plain = plain_name(name);
                    map.string("event", plain);
                    write_entry(map, plain, name);
                }
            }
            map.value("data", message.data);
        });
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
