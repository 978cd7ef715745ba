//! What a subscription hears, and what answers say: the messages of docs/protocol.md and
//! docs/delivery.md as types.
//!
//! Invariant: data stays as its sender wrote it until somebody reads it. Used by every file that
//! users see.

use crate::encoding::{Encoding, read};
use crate::error::Error;
use crate::trace::TraceContext;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shardcast_protocol::dialect::Unread;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A place in a room's order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Names the count that the offset belongs to.
    pub epoch: Box<str>,
    /// 1 for the first message; 0 lies before it.
    pub offset: u64,
}

/// What a subscription hears, in order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Item {
    /// The subscription hears the room from here on: the first item of all.
    Joined(Joined),
    /// Somebody published to the room, or the server's application has something to tell.
    Message(Message),
    /// Another member came, went, is away or is back; or how many there are.
    Presence(Box<PresenceEvent>),
    /// The room was joined again, and what it said meanwhile follows.
    Recovered(Recovered),
    /// Something is missing here.
    Lost(Lost),
    /// The server left out messages, because this client reads too slowly.
    Missed(Missed),
}

impl Item {
    /// Memory that it takes beside itself, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Item::Message(message) => message.held.as_bytes().len(),
            _ => 0,
        }
    }
}

/// The subscription hears the room from here on: what follows lies behind the position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Members of the room, this one included.
    pub members: u64,
    /// In rooms that keep history.
    pub position: Option<Position>,
}

/// The room was joined again. What it said meanwhile follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Messages that follow. Exactly so many where offsets count messages; at most so many where
    /// they skip, for rooms that NATS orders (docs/scale-out.md): there each place of the order
    /// that had not come with the answer may have one, and may have none.
    pub missed: u64,
    /// Members of the room.
    pub members: u64,
}

/// Something is missing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Why.
    pub why: Loss,
}

/// Why something is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// The room's log began anew.
    EpochChanged,
    /// More was published than the room keeps.
    TrimmedBySize,
    /// It is older than the room keeps it.
    TrimmedByAge,
    /// As many members as may were reading from logs.
    Limit,
    /// A reconnect to a room that keeps no history, or none that this client may read.
    NoHistory,
    /// Nobody took so many items in time.
    Buffer(u64),
    /// A reason of a later server.
    Other(Box<str>),
}

impl Loss {
    pub(crate) fn of_reason(reason: Option<&str>) -> Loss {
        match reason {
            None => Loss::NoHistory,
            Some("epoch_changed") => Loss::EpochChanged,
            Some("trimmed_by_size") => Loss::TrimmedBySize,
            Some("trimmed_by_age") => Loss::TrimmedByAge,
            Some("limit") => Loss::Limit,
            Some(other) => Loss::Other(other.into()),
        }
    }
}

/// Messages of the room that this client does not get: it reads too slowly for what the room keeps.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Missed {
    /// So many.
    pub count: u64,
    /// `dropped`, `conflated`, `trimmed_by_size` or `trimmed_by_age`.
    pub reason: Box<str>,
}

/// Another member joined, left, is away or came back; or how many there are.
#[derive(Clone, Debug, Deserialize)]
pub struct PresenceEvent {
    /// `join`, `leave`, `away`, `back` or `count`.
    pub event: Box<str>,
    /// The member's connection, where connections count.
    pub connection: Option<Box<str>>,
    /// The member's user; nobody has none.
    pub user: Option<Box<str>>,
    /// What the member shows.
    #[serde(default)]
    pub data: Option<serde_json::Value>,
    /// How many there are, with `count`.
    pub members: Option<u64>,
}

/// A published message, or an event of the server's application.
#[derive(Clone)]
pub struct Message {
    pub(crate) room: Option<Arc<str>>,
    /// The sender's connection or the event's name, and the data behind it.
    pub(crate) held: Received,
    pub(crate) sender_bytes: u32,
    pub(crate) origin: Origin,
    pub(crate) offset: Option<u64>,
    pub(crate) extras: Option<Box<Extras>>,
}

/// What a message keeps of what was received, in the connection's encoding.
#[derive(Clone)]
pub(crate) enum Received {
    Json(Arc<str>),
    Pack(Arc<[u8]>),
}

impl Received {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Received::Json(text) => text.as_bytes(),
            Received::Pack(bytes) => bytes,
        }
    }
}

/// What few messages have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    pub(crate) trace: Option<TraceContext>,
    pub(crate) redelivery: Delivery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Connection,
    Application,
}

/// Whether a message was delivered before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// It was not.
    #[default]
    First,
    /// It was, and nobody acknowledged it.
    Again,
}

impl Message {
    /// The room that it was published to; none if it is for this client's user or for everyone.
    pub fn room(&self) -> Option<&str> {
        self.room.as_deref()
    }

    /// The connection that published it; none if the server's application did.
    pub fn from(&self) -> Option<&str> {
        (self.origin == Origin::Connection).then(|| self.sender())
    }

    /// The application's name for it; none if a connection published it.
    pub fn event(&self) -> Option<&str> {
        (self.origin == Origin::Application).then(|| self.sender())
    }

    fn sender(&self) -> &str {
        let end = self.sender_bytes as usize;
        match &self.held {
            Received::Json(text) => &text[..end],
            Received::Pack(bytes) => str::from_utf8(&bytes[..end]).unwrap_or_default(),
        }
    }

    /// Its place in the room's order, in rooms that keep history.
    pub fn offset(&self) -> Option<u64> {
        self.offset
    }

    /// Whether it came before, in rooms with acknowledgements.
    pub fn delivery(&self) -> Delivery {
        self.extras
            .as_ref()
            .map_or(Delivery::First, |extras| extras.redelivery)
    }

    /// The trace that it belongs to.
    pub fn trace(&self) -> Option<TraceContext> {
        self.extras.as_ref()?.trace
    }

    /// The data as it came, in the connection's [`Encoding`].
    pub fn data(&self) -> &[u8] {
        self.unread().as_bytes()
    }

    /// How the data is written.
    pub fn encoding(&self) -> Encoding {
        match self.held {
            Received::Json(_) => Encoding::Json,
            Received::Pack(_) => Encoding::MessagePack,
        }
    }

    fn unread(&self) -> Unread<'_> {
        let start = self.sender_bytes as usize;
        match &self.held {
            Received::Json(text) => Unread::Json(&text[start..]),
            Received::Pack(bytes) => Unread::Pack(&bytes[start..]),
        }
    }

    /// The data as a value.
    ///
    /// # Errors
    /// It is none of this type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        read(self.unread())
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("room", &self.room)
            .field("from", &self.from())
            .field("event", &self.event())
            .field("offset", &self.offset)
            .field("data", &String::from_utf8_lossy(self.data()))
            .finish()
    }
}

/// What a publish is answered with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Receipt {
    /// Of the place that it got, in rooms that keep history.
    pub epoch: Option<Box<str>>,
    /// The place.
    pub offset: Option<u64>,
    /// An earlier publish with the same key has this place; this one was not sent to anybody.
    #[serde(default)]
    pub duplicate: bool,
    /// Of a publish to several rooms: those that keep history.
    #[serde(default)]
    pub rooms: Vec<RoomReceipt>,
    /// With a report: copies that were handed to the kernel.
    pub delivered: Option<u64>,
    /// Copies that wait for a slow reader.
    pub queued: Option<u64>,
    /// Copies that will not arrive.
    pub dropped: Option<u64>,
    /// Copies for which newer ones stand.
    pub conflated: Option<u64>,
    /// Copies that are read from the room's log.
    pub catching_up: Option<u64>,
}

/// The place that a publish to several rooms got in one of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RoomReceipt {
    /// The room.
    pub room: Box<str>,
    /// Of the place.
    pub epoch: Box<str>,
    /// The place.
    pub offset: u64,
    /// An earlier publish with the same key has it.
    #[serde(default)]
    pub duplicate: bool,
}

/// What a room keeps.
#[derive(Clone, Debug, Deserialize)]
pub struct History<T = serde_json::Value> {
    /// Of all offsets.
    pub epoch: Box<str>,
    /// Of the room's newest message.
    pub offset: u64,
    /// False: what was asked for is not there any more.
    #[serde(default)]
    pub recovered: Option<bool>,
    /// Why.
    #[serde(default)]
    pub reason: Option<Box<str>>,
    /// In the order that was asked for.
    pub messages: Vec<KeptMessage<T>>,
}

/// One message that a room keeps.
#[derive(Clone, Debug, Deserialize)]
pub struct KeptMessage<T = serde_json::Value> {
    /// Its place.
    pub offset: u64,
    /// The connection that published it.
    pub from: Option<Box<str>>,
    /// The application's name for it.
    pub event: Option<Box<str>>,
    /// What was published.
    pub data: T,
}

/// Who is in a room.
#[derive(Clone, Debug, Deserialize)]
pub struct Presence {
    /// Members of all shards.
    pub total: u64,
    /// Those that the answer names.
    pub members: Vec<Member>,
    /// There are more: ask again with it.
    #[serde(default)]
    pub cursor: Option<Box<str>>,
}

/// A member of a room.
#[derive(Clone, Debug, Deserialize)]
pub struct Member {
    /// Where connections count.
    pub connection: Option<Box<str>>,
    /// Nobody has none.
    pub user: Option<Box<str>>,
    /// What it shows.
    #[serde(default)]
    pub data: Option<serde_json::Value>,
    /// Its connection was lost, and it may come back.
    #[serde(default)]
    pub away: bool,
}

/// What the server knows of a connection.
#[derive(Clone, Debug, Deserialize)]
pub struct ConnectionStatus {
    /// What others see as the sender.
    pub connection: Box<str>,
    /// Nobody has none.
    pub user: Option<Box<str>>,
    /// Sorted.
    pub rooms: Vec<Box<str>>,
    /// For how long.
    pub connected_ms: u64,
    /// Which shard serves it.
    #[serde(default)]
    pub shard: u64,
}

/// The server's first message.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct WelcomeAnswer {
    pub(crate) connection: Box<str>,
    #[serde(default)]
    pub(crate) heartbeat_ms: u64,
    #[serde(default)]
    pub(crate) max_message_bytes: usize,
}

/// `authenticated`, or `status`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct AuthAnswer {
    #[serde(default)]
    pub(crate) user: Option<Box<str>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ErrorAnswer {
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) retryable: bool,
    #[serde(default)]
    pub(crate) retry_after_ms: Option<u64>,
    #[serde(default)]
    pub(crate) field: Option<String>,
}

/// `closing` and `expiring`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Notice {
    #[serde(default)]
    pub(crate) reconnect_ms: u64,
    #[serde(default)]
    pub(crate) in_ms: u64,
}

/// Of `joined`, for one room.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct JoinAnswer {
    #[serde(default)]
    pub(crate) room: Box<str>,
    #[serde(default)]
    pub(crate) members: u64,
    #[serde(default)]
    pub(crate) epoch: Option<Box<str>>,
    #[serde(default)]
    pub(crate) offset: Option<u64>,
    #[serde(default)]
    pub(crate) recovered: Option<bool>,
    #[serde(default)]
    pub(crate) reason: Option<Box<str>>,
}

/// Of `joined`, for several.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct JoinedRooms {
    pub(crate) rooms: Vec<JoinAnswer>,
}

/// `since` of a request for several rooms.
pub(crate) type SinceRooms<'a> = BTreeMap<&'a str, &'a Position>;
