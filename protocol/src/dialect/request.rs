//! What clients can ask of the server: one vocabulary for all dialects.
//!
//! Invariant: a [`Request`] is complete and consistent. Every key has its type, a request that
//! needs rooms names at least one, and keys that exclude each other did not come together. What
//! depends on the server (whether a room's name is allowed, who may do it, whether somebody handles
//! a call) is not known here. Made by the dialects' readers, acted on by the server.

use super::centrifuge::CentrifugeRequest;
use super::fields::Wrong;
use super::keyed::KeyChange;
use super::names::names;
use super::position::{Since, SinceByRoom};
use super::value::Value;
use std::borrow::Cow;
use std::fmt;

/// The types of request that the server answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `ping`
    Ping,
    /// `echo`
    Echo,
    /// `join_room`
    JoinRoom,
    /// `leave_room`
    LeaveRoom,
    /// `broadcast`
    Broadcast,
    /// `publish`
    Publish,
    /// `rooms`
    Rooms,
    /// `status`
    Status,
    /// `presence`
    Presence,
    /// `history`
    History,
    /// `auth`
    Auth,
    /// `refresh`
    Refresh,
    /// `resume`
    Resume,
    /// `ack`
    Ack,
}

impl Method {
    /// How many there are.
    pub const COUNT: usize = 14;

    /// Every method, in the order of their numbers.
    pub const ALL: [Method; Method::COUNT] = [
        Method::Ping,
        Method::Echo,
        Method::JoinRoom,
        Method::LeaveRoom,
        Method::Broadcast,
        Method::Publish,
        Method::Rooms,
        Method::Status,
        Method::Presence,
        Method::History,
        Method::Auth,
        Method::Refresh,
        Method::Resume,
        Method::Ack,
    ];

    /// A small number for it, below [`Method::COUNT`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its name: the native `type`, and JSON-RPC's `method`.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Ping => "ping",
            Method::Echo => "echo",
            Method::JoinRoom => "join_room",
            Method::LeaveRoom => "leave_room",
            Method::Broadcast => "broadcast",
            Method::Publish => "publish",
            Method::Rooms => "rooms",
            Method::Status => "status",
            Method::Presence => "presence",
            Method::History => "history",
            Method::Auth => "auth",
            Method::Refresh => "refresh",
            Method::Resume => "resume",
            Method::Ack => "ack",
        }
    }

    /// The method of this name.
    pub fn from_name(name: &str) -> Option<Method> {
        Method::from_bytes(name.as_bytes())
    }

    /// The same for a name that may be no text.
    #[inline]
    pub(super) fn from_bytes(name: &[u8]) -> Option<Method> {
        // By length first: then each comparison is one of words.
        Some(match name.len() {
            3 if name == b"ack" => Method::Ack,
            4 => match name {
                b"ping" => Method::Ping,
                b"echo" => Method::Echo,
                b"auth" => Method::Auth,
                _ => return None,
            },
            5 if name == b"rooms" => Method::Rooms,
            6 => match name {
                b"status" => Method::Status,
                b"resume" => Method::Resume,
                _ => return None,
            },
            7 => match name {
                b"publish" => Method::Publish,
                b"history" => Method::History,
                b"refresh" => Method::Refresh,
                _ => return None,
            },
            8 if name == b"presence" => Method::Presence,
            9 => match name {
                b"broadcast" => Method::Broadcast,
                b"join_room" => Method::JoinRoom,
                _ => return None,
            },
            10 if name == b"leave_room" => Method::LeaveRoom,
            _ => return None,
        })
    }
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'b> {
    /// A sign of life; the answer bears the request's data.
    Ping,
    /// The request's data back.
    Echo,
    /// Membership of rooms.
    Join(Join<'b>),
    /// The end of membership of rooms.
    Leave(Rooms<'b>),
    /// The request's data to others (`broadcast`).
    Broadcast(Publish<'b>),
    /// The same, to rooms only (`publish`).
    Publish(Publish<'b>),
    /// Which rooms the connection is in.
    Rooms,
    /// What the server knows of the connection.
    Status,
    /// Who is in a room. Boxed, as the next one is, so that no other request is larger for it.
    Presence(Box<PresenceQuery<'b>>),
    /// What a room keeps.
    History(Box<HistoryQuery<'b>>),
    /// Who the client is.
    Auth(Credential<'b>),
    /// That it still is who it was.
    Refresh(Credential<'b>),
    /// The session of an earlier connection.
    Resume(Box<Resume<'b>>),
    /// That the client has what a room sent it.
    Ack(Box<Ack<'b>>),
    /// What only clients of the Centrifuge protocol ask for in this form.
    Centrifuge(CentrifugeRequest<'b>),
    /// Whatever somebody handles under this name.
    Call {
        /// The type, or JSON-RPC's method.
        name: Cow<'b, str>,
    },
}

impl Request<'_> {
    /// The request of a method that needs no keys. `None`: it needs some.
    #[inline]
    pub(super) fn bare(method: Method) -> Option<Request<'static>> {
        match method {
            Method::Ping => Some(Request::Ping),
            Method::Echo => Some(Request::Echo),
            Method::Rooms => Some(Request::Rooms),
            Method::Status => Some(Request::Status),
            Method::JoinRoom
            | Method::LeaveRoom
            | Method::Broadcast
            | Method::Publish
            | Method::Presence
            | Method::History
            | Method::Auth
            | Method::Refresh
            | Method::Resume
            | Method::Ack => None,
        }
    }

    /// The server's own method; `None` for a call.
    #[inline]
    pub fn method(&self) -> Option<Method> {
        Some(match self {
            Request::Ping => Method::Ping,
            Request::Echo => Method::Echo,
            Request::Join(_) => Method::JoinRoom,
            Request::Leave(_) => Method::LeaveRoom,
            Request::Broadcast(_) => Method::Broadcast,
            Request::Publish(_) => Method::Publish,
            Request::Rooms => Method::Rooms,
            Request::Status => Method::Status,
            Request::Presence(_) => Method::Presence,
            Request::History(_) => Method::History,
            Request::Auth(_) => Method::Auth,
            Request::Refresh(_) => Method::Refresh,
            Request::Resume(_) => Method::Resume,
            Request::Ack(_) => Method::Ack,
            Request::Centrifuge(CentrifugeRequest::Subscribe(_)) => Method::JoinRoom,
            Request::Centrifuge(CentrifugeRequest::Unsubscribe { .. }) => Method::LeaveRoom,
            Request::Centrifuge(CentrifugeRequest::PresenceStats { .. }) => Method::Presence,
            Request::Call { .. } => return None,
        })
    }

    /// Its type, or JSON-RPC's method.
    #[inline]
    pub fn name(&self) -> &str {
        match self {
            Request::Call { name } => name,
            request => request.method().map_or("", Method::name),
        }
    }
}

/// A token, which is not checked. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential<'b>(pub Cow<'b, str>);

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

/// Membership of rooms, what was missed of them, and what is shown there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join<'b> {
    /// Which.
    pub rooms: Rooms<'b>,
    /// What the client has had of them.
    pub since: Option<Box<JoinSince<'b>>>,
    /// What presence shows with the member in all of them, at most [`PRESENCE_BYTES_MAX`] as sent.
    /// Boxed, so that no other request is larger for it.
    pub presence: Option<Box<Value<'b>>>,
    /// What lets the client in, where it is not let in otherwise; only with one room.
    pub token: Option<Box<Credential<'b>>>,
}

/// Most bytes of what presence shows with a member, as its client sent it.
pub const PRESENCE_BYTES_MAX: usize = 1024;

/// What a client has had of the rooms that it joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinSince<'b> {
    /// With `room`.
    Room(Since<'b>),
    /// With `rooms`: of some of them, perhaps of others, perhaps of one twice.
    Rooms(SinceByRoom<'b>),
}

/// Who is in a room, or some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceQuery<'b> {
    /// The room.
    pub room: Cow<'b, str>,
    /// How many members the answer may name.
    pub limit: Option<u32>,
    /// Where the answer begins: what the answer before said. It is not checked.
    pub cursor: Option<Cow<'b, str>>,
}

/// A part of what a room keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery<'b> {
    /// The room.
    pub room: Cow<'b, str>,
    /// What is read lies behind this place; in reverse, before it.
    pub since: Option<Since<'b>>,
    /// How many messages the answer may have; 0: only the position is asked for.
    pub limit: Option<u32>,
    /// From where on.
    pub order: ReadOrder,
}

/// The session of an earlier connection, and what its client has had of its rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume<'b> {
    /// What the earlier connection was welcomed with. It is not checked.
    pub token: Cow<'b, str>,
    /// Perhaps of some of its rooms, perhaps of others, perhaps of one twice.
    pub since: Option<SinceByRoom<'b>>,
}

/// The client has what it was sent of a room, up to a place in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack<'b> {
    /// The room.
    pub room: Cow<'b, str>,
    /// The place of the newest message that it has, as all before.
    pub offset: u64,
}

/// In which order messages are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadOrder {
    /// The oldest first.
    #[default]
    Forward,
    /// The newest first.
    Reverse,
}

/// Data for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish<'b> {
    /// Whom the data is for.
    pub target: PublishTarget<'b>,
    /// Whether the data comes back to its sender. Absent means what the namespace says.
    pub echo: Option<bool>,
    /// Whether the answer has counts.
    pub report: bool,
    /// Only to rooms.
    pub keys: Option<Box<PublishKeys<'b>>>,
}

/// Keys of a publish to rooms that keep something, each of 1 to [`KEY_BYTES_MAX`] bytes: but the
/// length of a key with a [`change`](Self::change) is not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishKeys<'b> {
    /// `key`: a publish with the same key again is none.
    pub idempotency: Option<Cow<'b, str>>,
    /// `conflate`: a newer publish with the same key stands for this one.
    pub conflation: Option<Cow<'b, str>>,
    /// What becomes of that key in rooms that are maps. `None`: the request is no change of a map,
    /// so it may go to any room.
    pub change: Option<KeyChange>,
}

/// Longest key in bytes, after its escapes are resolved.
pub const KEY_BYTES_MAX: usize = 128;

/// Whom data is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishTarget<'b> {
    /// The members of rooms.
    Rooms(Rooms<'b>),
    /// All connections of this user, whose name is not checked.
    User(Cow<'b, str>),
    /// All connections of the server.
    Everyone,
}

/// The rooms of a request: one at least. Their names are not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rooms<'b> {
    /// From `room`: the answer is about one room.
    One(Cow<'b, str>),
    /// From `rooms`: the answer is about a list, however long.
    Many(RoomList<'b>),
}

/// The names in `rooms`: one at least, perhaps repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomList<'b> {
    /// An array of strings, as sent.
    array: Value<'b>,
    count: usize,
}

impl<'b> RoomList<'b> {
    pub(super) fn check(array: Value<'b>) -> Result<RoomList<'b>, Wrong> {
        const WRONG: Wrong = "rooms must be an array of strings";
        let mut count = 0;
        for name in names(array).ok_or(WRONG)? {
            name.ok_or(WRONG)?;
            count += 1;
        }
        match count {
            0 => Err("rooms must not be empty"),
            count => Ok(RoomList { array, count }),
        }
    }

    /// How many names there are, 1 or more.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The names, in the order asked.
    pub fn names(&self) -> impl Iterator<Item = Cow<'b, str>> + use<'b> {
        names(self.array).into_iter().flatten().flatten()
    }
}
