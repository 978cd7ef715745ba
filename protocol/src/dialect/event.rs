//! What the server sends without a request, and how the native dialects write it.

use super::centrifuge::Unsubscribed;
use super::map::{Map, Notation};
use super::position::{LogPosition, LossReason};
use super::tagged::{plain_name, write_entry};
use super::value::{Encoding, Unencodable, Value};
use crate::trace_parent::TraceParent;
use std::num::NonZeroU32;

/// What the server sends without a request.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The connection is open.
    Welcome(Welcome<'a>),
    /// Delivers a broadcast: to a room's members, or without `room` to everyone. Absent `data`
    /// becomes `null`.
    Message {
        /// Where it was published.
        room: Option<&'a str>,
        /// The connection that sent it.
        from: &'a str,
        /// Who that was, where it is known; told to clients of the Centrifuge protocol.
        sender: Option<&'a Sender<'a>>,
        /// Its place in the order of a room that keeps history.
        offset: Option<u64>,
        /// What it sent.
        data: Option<Value<'a>>,
    },
    /// A message or an event that the client was sent before, and has not acknowledged.
    Redelivered(&'a Event<'a>),
    /// A message or an event that belongs to a trace: the native dialects say to which.
    Traced {
        /// The message or the event.
        event: &'a Event<'a>,
        /// The step that published it.
        trace: TraceParent,
    },
    /// An event of the application. Absent `data` becomes `null`.
    Event {
        /// Its name.
        event: &'a str,
        /// Where it was published.
        room: Option<&'a str>,
        /// Its place in the order of a room that keeps history.
        offset: Option<u64>,
        /// Its content.
        data: Option<Value<'a>>,
    },
    /// Messages of a room, or to the client's user, do not arrive, which stand before the next one
    /// that does.
    Missed {
        /// The room; `None`: those to its user.
        room: Option<&'a str>,
        /// How many.
        count: u64,
        /// Why.
        reason: LossReason,
    },
    /// A member of a room comes or goes.
    Presence {
        /// The room.
        room: &'a str,
        /// What it does.
        change: PresenceChange,
        /// Its connection. `None`: the member is a user with all its connections.
        connection: Option<&'a str>,
        /// The connection that it had, if it comes back with another one.
        was: Option<&'a str>,
        /// Its user, if it has one.
        user: Option<&'a str>,
        /// What it shows.
        data: Option<Value<'a>>,
    },
    /// How many members a room has, which are too many to tell of each.
    PresenceCount {
        /// The room.
        room: &'a str,
        /// All members.
        members: u32,
    },
    /// The server is about to close this connection.
    Closing {
        /// Why.
        reason: &'a str,
        /// When to come back.
        reconnect_ms: u64,
    },
    /// The token that said who the client is will be over soon.
    Expiring {
        /// In how many milliseconds.
        in_ms: u64,
    },
    /// The application has made the connection a member of a room; Centrifuge only.
    Subscribed {
        /// The room.
        room: &'a str,
        /// The place of its newest message, if the client may name it.
        position: Option<LogPosition<'a>>,
    },
    /// It is a member no more, by the application's doing or because its token is over; Centrifuge
    /// only.
    Unsubscribed {
        /// The room.
        room: &'a str,
        /// Why.
        why: Unsubscribed,
    },
    /// The application has said anew how long the connection is who it is; Centrifuge only.
    Prolonged {
        /// Seconds; `None`: without end.
        left_s: Option<NonZeroU32>,
    },
    /// Calls the client; JSON-RPC only. The answer comes as [`super::Item::Response`].
    Call {
        /// A number of ours.
        id: u64,
        /// What is asked.
        method: &'a str,
        /// An object or an array.
        params: Option<Value<'a>>,
    },
}

/// Who has sent a message, as the token said that it came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender<'a> {
    /// Its user, if it is one.
    pub user: Option<&'a str>,
    /// What the token lets others know of it.
    pub info: Option<Value<'a>>,
}

impl Sender<'_> {
    /// Bytes of its parts, as they are known here.
    pub(super) fn bytes(&self) -> usize {
        self.user.map_or(0, str::len) + self.info.map_or(0, |info| info.as_bytes().len())
    }
}

/// What a member of a room does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PresenceChange {
    /// It is a member from here on.
    Join,
    /// It is none any more.
    Leave,
    /// Its connection was lost, and it may come back.
    Away,
    /// It came back.
    Back,
}

impl PresenceChange {
    /// Every change.
    pub const ALL: [PresenceChange; 4] = [
        PresenceChange::Join,
        PresenceChange::Leave,
        PresenceChange::Away,
        PresenceChange::Back,
    ];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            PresenceChange::Join => "join",
            PresenceChange::Leave => "leave",
            PresenceChange::Away => "away",
            PresenceChange::Back => "back",
        }
    }
}

/// The first event of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// The connection's id; `from` in what it sends.
    pub connection: &'a str,
    /// Name and version.
    pub server: &'a str,
    /// Silence after which the server pings.
    pub heartbeat_ms: u64,
    /// Largest message that the client may send.
    pub message_bytes_max: usize,
    /// How it can go on with this session after the connection, if it can.
    pub session: Option<WelcomeSession<'a>>,
    /// Rooms that the application has it in from the start.
    pub rooms: &'a [&'a str],
    /// What the application tells it.
    pub data: Option<Value<'a>>,
}

/// How a client can go on with its session.
#[derive(Clone, Copy, Debug)]
pub struct WelcomeSession<'a> {
    /// What it shows then.
    pub token: &'a str,
    /// How long it has for that, from the end of its connection on.
    pub resume_ms: u64,
}

impl Welcome<'_> {
    /// Bytes that the rooms have in their list, before escapes.
    fn rooms_bytes(&self) -> usize {
        self.rooms.iter().map(|room| room.len() + 3).sum()
    }

    fn body<N: Notation>(&self, map: &mut Map<'_, N>) {
        map.string("connection", self.connection);
        map.string("server", self.server);
        map.number("heartbeat_ms", self.heartbeat_ms);
        map.number("max_message_bytes", self.message_bytes_max as u64);
        if let Some(session) = self.session {
            map.string("resume", session.token);
            map.number("resume_ms", session.resume_ms);
        }
        if !self.rooms.is_empty() {
            map.strings("rooms", self.rooms);
        }
        map.some_value("data", self.data);
    }
}

/// JSON-RPC's keys are the longest.
const ENVELOPE_BYTES: usize =
    r#"{"jsonrpc":"2.0","method":"message","params":{"room":"","from":"","data":null}}"#.len();

/// The three numbers of a welcome, and its longer keys.
const NUMBERS_BYTES: usize = 160;
/// A control character is six in JSON: `\u0001`.
const STRING_GROWTH_MAX: usize = 6;

fn offset_bytes(offset: Option<u64>) -> usize {
    offset.map_or(0, |_| Event::OFFSET_BYTES_MAX)
}

/// Appends an event of a native dialect, `type` first.
#[inline]
pub(crate) fn write<N: Notation>(out: &mut Vec<u8>, event: &Event<'_>) -> Result<(), Unencodable> {
    let mut map = Map::<N>::open(out);
    map.string("type", event.kind().ok_or(Unencodable::Message)?);
    event.body(&mut map)?;
    map.close();
    Ok(())
}

impl Event<'_> {
    /// Bytes that an offset adds to an event, at most.
    pub const OFFSET_BYTES_MAX: usize = r#","offset":18446744073709551615"#.len();

    /// Bytes that a message has more when it is sent again.
    pub const REDELIVERED_BYTES: usize = r#","redelivered":true"#.len();

    /// Bytes that a message has more when it belongs to a trace.
    pub const TRACED_BYTES: usize = r#","traceparent":"""#.len() + TraceParent::TEXT_BYTES;

    /// About how many bytes it has in any dialect: a capacity with which writing it rarely has to
    /// grow. Exactly as many, or more, for a message or an event whose strings need no escapes and
    /// whose data is in the dialect's own encoding.
    pub fn bytes_hint(&self) -> usize {
        let bytes = |text: Option<&str>| text.map_or(0, str::len);
        let data = |data: Option<Value<'_>>| data.map_or(0, |data| data.as_bytes().len());
        ENVELOPE_BYTES
            + match *self {
                Event::Welcome(welcome) => {
                    let session = welcome.session;
                    let token = session.map_or(0, |session| 48 + session.token.len());
                    let more = welcome.rooms_bytes() + data(welcome.data);
                    80 + welcome.connection.len() + welcome.server.len() + token + more
                }
                Event::Message {
                    room,
                    from,
                    sender: _,
                    offset,
                    data: value,
                } => bytes(room) + from.len() + offset_bytes(offset) + data(value),
                Event::Event {
                    event,
                    room,
                    offset,
                    data: value,
                } => event.len() + bytes(room) + offset_bytes(offset) + data(value),
                Event::Redelivered(event) => Event::REDELIVERED_BYTES + event.bytes_hint(),
                Event::Traced { event, .. } => Event::TRACED_BYTES + event.bytes_hint(),
                Event::Missed { room, .. } => 64 + bytes(room),
                Event::Presence {
                    room,
                    connection,
                    was,
                    user,
                    data: value,
                    ..
                } => {
                    let names = bytes(connection) + bytes(was) + bytes(user);
                    72 + room.len() + names + data(value)
                }
                Event::PresenceCount { room, .. } => 64 + room.len(),
                Event::Closing { reason, .. } => 32 + reason.len(),
                Event::Expiring { .. } | Event::Prolonged { .. } => 32,
                Event::Subscribed { room, .. } | Event::Unsubscribed { room, .. } => {
                    64 + room.len()
                }
                Event::Call { method, params, .. } => 32 + method.len() + data(params),
            }
    }

    /// Whether the native dialects have it.
    pub(super) fn is_native(&self) -> bool {
        self.kind().is_some()
    }

    /// Bytes that it has at most in a dialect of this encoding: without writing it, so often many
    /// more.
    pub fn bytes_max(&self, encoding: Encoding) -> usize {
        if let Event::Redelivered(event) = self {
            return Event::REDELIVERED_BYTES + event.bytes_max(encoding);
        }
        if let Event::Traced { event, .. } = self {
            return Event::TRACED_BYTES + event.bytes_max(encoding);
        }
        let strings = match *self {
            Event::Welcome(welcome) => {
                let token = welcome.session.map_or(0, |session| session.token.len());
                welcome.connection.len() + welcome.server.len() + token + welcome.rooms_bytes()
            }
            Event::Redelivered(_) | Event::Traced { .. } => 0,
            Event::Message {
                room, from, sender, ..
            } => room.map_or(0, str::len) + from.len() + sender.map_or(0, Sender::bytes),
            Event::Event { event, room, .. } => event.len() + room.map_or(0, str::len),
            Event::Missed { room, .. } => room.map_or(0, str::len),
            Event::PresenceCount { room, .. }
            | Event::Subscribed { room, .. }
            | Event::Unsubscribed { room, .. } => room.len(),
            Event::Presence {
                room,
                connection,
                was,
                user,
                ..
            } => {
                let names = [connection, was, user];
                room.len() + names.iter().flatten().map(|name| name.len()).sum::<usize>()
            }
            Event::Closing { reason, .. } => reason.len(),
            Event::Expiring { .. } | Event::Prolonged { .. } => 0,
            Event::Call { method, .. } => method.len(),
        };
        let data = match *self {
            Event::Message { data, .. }
            | Event::Event { data, .. }
            | Event::Presence { data, .. } => data,
            Event::Call { params, .. } => params,
            Event::Welcome(welcome) => welcome.data,
            Event::Redelivered(_)
            | Event::Traced { .. }
            | Event::Closing { .. }
            | Event::Expiring { .. }
            | Event::Prolonged { .. }
            | Event::Missed { .. }
            | Event::PresenceCount { .. }
            | Event::Subscribed { .. }
            | Event::Unsubscribed { .. } => None,
        };
        let data = data.map_or(0, |data| data.bytes_max(encoding));
        ENVELOPE_BYTES + NUMBERS_BYTES + STRING_GROWTH_MAX * strings + data
    }

    /// Its `type`, or its method in JSON-RPC. Calls, and what only Centrifuge has, have none.
    #[inline]
    pub(super) fn kind(&self) -> Option<&'static str> {
        match self {
            Event::Welcome(_) => Some("welcome"),
            Event::Redelivered(event) | Event::Traced { event, .. } => event.kind(),
            Event::Message { .. } => Some("message"),
            Event::Event { .. } => Some("event"),
            Event::Missed { .. } => Some("missed"),
            Event::Presence { .. } | Event::PresenceCount { .. } => Some("presence"),
            Event::Closing { .. } => Some("closing"),
            Event::Expiring { .. } => Some("expiring"),
            Event::Subscribed { .. }
            | Event::Unsubscribed { .. }
            | Event::Prolonged { .. }
            | Event::Call { .. } => None,
        }
    }

    /// All keys but `type`.
    #[inline]
    pub(super) fn body<N: Notation>(&self, map: &mut Map<'_, N>) -> Result<(), Unencodable> {
        match *self {
            Event::Welcome(welcome) => welcome.body(map),
            Event::Redelivered(event) => {
                event.body(map)?;
                map.boolean("redelivered", true);
            }
            Event::Traced { event, trace } => {
                event.body(map)?;
                map.string("traceparent", trace.text().as_str());
            }
            Event::Message {
                room,
                from,
                sender: _,
                offset,
                data,
            } => {
                map.some_string("room", room);
                map.string("from", from);
                map.some_number("offset", offset);
                map.value_or_null("data", data);
            }
            Event::Event {
                event,
                room,
                offset,
                data,
            } => {
                let name = plain_name(event);
                map.string("event", name);
                map.some_string("room", room);
                map.some_number("offset", offset);
                write_entry(map, name, event);
                map.value_or_null("data", data);
            }
            Event::Missed {
                room,
                count,
                reason,
            } => {
                map.some_string("room", room);
                map.number("count", count);
                map.string("reason", reason.as_str());
            }
            Event::Presence {
                room,
                change,
                connection,
                was,
                user,
                data,
            } => {
                map.string("room", room);
                map.string("event", change.as_str());
                map.some_string("connection", connection);
                map.some_string("was", was);
                map.string_or_null("user", user);
                map.some_value("data", data);
            }
            Event::PresenceCount { room, members } => {
                map.string("room", room);
                map.string("event", "count");
                map.number("members", members.into());
            }
            _ => return self.body_about_connection(map),
        }
        Ok(())
    }

    /// Of the events that are about the connection itself.
    fn body_about_connection<N: Notation>(&self, map: &mut Map<'_, N>) -> Result<(), Unencodable> {
        match *self {
            Event::Closing {
                reason,
                reconnect_ms,
            } => {
                map.string("reason", reason);
                map.number("reconnect_ms", reconnect_ms);
            }
            Event::Expiring { in_ms } => map.number("in_ms", in_ms),
            _ => return Err(Unencodable::Message),
        }
        Ok(())
    }
}
