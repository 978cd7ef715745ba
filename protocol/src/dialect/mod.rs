//! What messages mean: bytes to typed requests, and typed replies and events to bytes, in every
//! dialect.
//!
//! [`Dialect`] is the boundary: `read` gives a [`Decoded`] (one or many items, or why there is
//! none), `write_reply` and `write_event` append one complete message. What a client sent as `data`
//! and `id` is never rebuilt within an encoding: it travels as a [`Value`], byte for byte. Called
//! by the server.

pub mod centrifuge;
mod command;
mod control;
mod decoded;
mod event;
mod fields;
mod id;
mod json_rpc;
mod kept;
mod keyed;
mod map;
mod names;
mod native;
mod position;
mod push;
mod replies;
mod reply;
mod request;
mod rules;
mod server_message;
mod tagged;
mod timestamp;
mod token;
mod transcode;
mod value;

pub use crate::problem::{Code, Problem};
pub use command::{Command, ReplyMode};
pub use control::ControlPolicy;
pub use decoded::{CallError, Decoded, ITEMS_MAX, InvalidRequest, Item, Items, Response};
pub use event::{Event, PresenceChange, Sender, Welcome, WelcomeSession};
pub use id::{ID_BYTES_MAX, Id, IdBox};
pub use kept::{KeptMessage, Origin};
pub use position::{LogPosition, LossReason, Recovery, Since, SinceByRoom};
pub use replies::{Joining, Replies};
pub use reply::{
    Authenticated, Counts, HistoryPage, Joined, Member, MemberState, Place, Places, Presence,
    Repeat, Reply, Resumed, ResumedRoom, Resumption, RoomPlace, Status,
};
pub use request::{
    Ack, Credential, HistoryQuery, Join, JoinSince, KEY_BYTES_MAX, Method, PRESENCE_BYTES_MAX,
    PresenceQuery, Publish, PublishKeys, PublishTarget, ReadOrder, Request, Resume, RoomList,
    Rooms,
};
pub use rules::{DEPTH_MAX, Rules};
pub use server_message::{NotAMessage, ServerMessage, Unread};
pub use token::{Rest, Token, Tokens};
pub use value::{Encoding, Unencodable, Value, ValueBox};

use crate::frame::Kind;
use centrifuge::{Commands, Delimited, Encoded, JsonLines};

/// A dialect that a client may use. Chosen by subprotocol when it connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The native dialect, one JSON object per text message.
    NativeJson,
    /// JSON-RPC 2.0 in text messages.
    JsonRpc,
    /// The native dialect in MessagePack, one map per binary message.
    MessagePack,
    /// The Centrifuge client protocol, version 2, as lines of JSON in text messages.
    CentrifugeJson,
    /// The same in Protobuf, in binary messages.
    CentrifugeProtobuf,
}

/// A message as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'b> {
    /// Of a text message.
    Text(&'b str),
    /// Of a binary message.
    Binary(&'b [u8]),
}

impl Dialect {
    /// Every dialect, in the order of [`Dialect::index`].
    pub const ALL: [Dialect; 5] = [
        Dialect::NativeJson,
        Dialect::JsonRpc,
        Dialect::MessagePack,
        Dialect::CentrifugeJson,
        Dialect::CentrifugeProtobuf,
    ];

    /// Those whose clients make the requests of this server's own vocabulary.
    pub const OWN: [Dialect; 3] = [Dialect::NativeJson, Dialect::JsonRpc, Dialect::MessagePack];

    /// Whether it is the Centrifuge protocol, in either encoding.
    pub const fn is_centrifuge(self) -> bool {
        match self {
            Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => true,
            Dialect::NativeJson | Dialect::JsonRpc | Dialect::MessagePack => false,
        }
    }

    /// A small number for it, from 0 on: the engine's encoding.
    pub const fn index(self) -> u8 {
        self as u8
    }

    /// The dialect with this number.
    pub fn from_index(index: u8) -> Option<Dialect> {
        Dialect::ALL.get(usize::from(index)).copied()
    }

    /// The WebSocket subprotocol that names it (RFC 6455 §1.9). A client that offers none
    /// uses [`Dialect::NativeJson`].
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Dialect::NativeJson => "shardcast.v1",
            Dialect::JsonRpc => "jsonrpc-2.0",
            Dialect::MessagePack => "shardcast.v1.msgpack",
            Dialect::CentrifugeJson => "centrifuge-json",
            Dialect::CentrifugeProtobuf => "centrifuge-protobuf",
        }
    }

    /// The dialect of a subprotocol.
    pub fn from_subprotocol(name: &str) -> Option<Dialect> {
        Dialect::ALL
            .into_iter()
            .find(|dialect| dialect.subprotocol() == name)
    }

    /// What its messages travel in, both ways.
    pub const fn kind(self) -> Kind {
        match self {
            Dialect::NativeJson | Dialect::JsonRpc | Dialect::CentrifugeJson => Kind::Text,
            Dialect::MessagePack | Dialect::CentrifugeProtobuf => Kind::Binary,
        }
    }

    /// What its values are written in. (Protobuf carries them as JSON, or bytes as they are.)
    pub const fn encoding(self) -> Encoding {
        match self {
            Dialect::NativeJson
            | Dialect::JsonRpc
            | Dialect::CentrifugeJson
            | Dialect::CentrifugeProtobuf => Encoding::Json,
            Dialect::MessagePack => Encoding::Pack,
        }
    }

    /// The event that a connection begins with. `None`: the server waits for the client's first
    /// message.
    pub const fn greeting(self, welcome: Welcome<'_>) -> Option<Event<'_>> {
        match self {
            Dialect::NativeJson | Dialect::JsonRpc | Dialect::MessagePack => {
                Some(Event::Welcome(welcome))
            }
            Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => None,
        }
    }

    /// Decodes a client's message. The result borrows from the message; the time is linear in its
    /// length, and nothing is allocated but the text of a refusal, strings that bear escapes, and
    /// the list of several items. See [`Rules`] for what is answered to strange input.
    pub fn read<'b>(self, payload: Payload<'b>, rules: &Rules) -> Decoded<'b> {
        Decoded::One(match (self, payload) {
            (Dialect::NativeJson, Payload::Text(text)) => native::json::read(text, rules),
            (Dialect::MessagePack, Payload::Binary(bytes)) => {
                native::messagepack::read(bytes, rules)
            }
            (Dialect::JsonRpc, Payload::Text(text)) => return json_rpc::read(text, rules),
            (Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf, _) => {
                return Decoded::Commands(self.commands(payload, rules));
            }
            (Dialect::NativeJson, Payload::Binary(_)) => {
                refused(Problem::new(Code::BadRequest, NOT_TEXT))
            }
            (Dialect::JsonRpc, Payload::Binary(_)) => refused(Problem::invalid_request(NOT_TEXT)),
            (Dialect::MessagePack, Payload::Text(_)) => {
                refused(Problem::new(Code::BadRequest, NOT_BINARY))
            }
        })
    }

    /// Of a dialect of the Centrifuge protocol.
    #[cold]
    fn commands<'b>(self, payload: Payload<'b>, rules: &Rules) -> Commands<'b> {
        let message = match (self, payload) {
            (Dialect::CentrifugeProtobuf, Payload::Binary(bytes)) => Encoded::Delimited(bytes),
            (Dialect::CentrifugeProtobuf, Payload::Text(_)) => Encoded::Wrong(NOT_BINARY),
            (_, Payload::Text(text)) => Encoded::Lines(text),
            (_, Payload::Binary(_)) => Encoded::Wrong(NOT_TEXT),
        };
        Commands::new(message, rules)
    }

    /// Appends the answer to a command, under its `id`. One complete message, or one element of
    /// [`Replies`].
    #[inline]
    pub fn write_reply(self, out: &mut Vec<u8>, id: Option<Id<'_>>, reply: &Reply<'_>) {
        match self {
            Dialect::NativeJson => reply::write::<map::JsonNotation>(out, id, reply),
            Dialect::MessagePack => reply::write::<map::PackNotation>(out, id, reply),
            Dialect::JsonRpc => json_rpc::write_reply(out, id, reply),
            Dialect::CentrifugeJson => centrifuge::reply::write::<JsonLines>(out, id, reply),
            Dialect::CentrifugeProtobuf => centrifuge::reply::write::<Delimited>(out, id, reply),
        }
    }

    /// Whether its clients are told of an event.
    pub fn has(self, event: &Event<'_>) -> bool {
        match self {
            Dialect::NativeJson | Dialect::MessagePack => event.is_native(),
            Dialect::JsonRpc => event.is_native() || matches!(event, Event::Call { .. }),
            Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => centrifuge::push::has(event),
        }
    }

    /// Appends an event as one complete message.
    ///
    /// # Errors
    /// The dialect has no such event, or its parameters are none; nothing was appended.
    #[inline]
    pub fn write_event(self, out: &mut Vec<u8>, event: &Event<'_>) -> Result<(), Unencodable> {
        all_or_nothing(out, |out| match self {
            Dialect::NativeJson => event::write::<map::JsonNotation>(out, event),
            Dialect::MessagePack => event::write::<map::PackNotation>(out, event),
            Dialect::JsonRpc => json_rpc::write_event(out, event),
            Dialect::CentrifugeJson => centrifuge::push::write::<JsonLines>(out, event),
            Dialect::CentrifugeProtobuf => centrifuge::push::write::<Delimited>(out, event),
        })
    }
}

/// For clients whose subscription to a room has deltas.
impl Dialect {
    /// Appends an event as one complete message: of a publication all of it, so that the next one
    /// can build on it.
    ///
    /// # Errors
    /// As [`Dialect::write_event`].
    pub fn write_whole(self, out: &mut Vec<u8>, event: &Event<'_>) -> Result<(), Unencodable> {
        all_or_nothing(out, |out| match self {
            Dialect::CentrifugeJson => centrifuge::push::write_whole::<JsonLines>(out, event),
            Dialect::CentrifugeProtobuf => centrifuge::push::write_whole::<Delimited>(out, event),
            Dialect::NativeJson | Dialect::MessagePack | Dialect::JsonRpc => {
                self.write_event(out, event)
            }
        })
    }

    /// Appends a publication as one complete message: what it changes of what its clients have.
    ///
    /// # Errors
    /// [`Unencodable::Change`]: it is sent as a whole; nothing was appended.
    pub fn write_change(
        self,
        out: &mut Vec<u8>,
        event: &Event<'_>,
        base: Value<'_>,
    ) -> Result<(), Unencodable> {
        all_or_nothing(out, |out| match self {
            Dialect::CentrifugeJson => {
                centrifuge::push::write_change::<JsonLines>(out, event, base)
            }
            Dialect::CentrifugeProtobuf => {
                centrifuge::push::write_change::<Delimited>(out, event, base)
            }
            Dialect::NativeJson | Dialect::MessagePack | Dialect::JsonRpc => {
                Err(Unencodable::Change)
            }
        })
    }
}

/// All that `fill` appends, or nothing.
#[inline]
fn all_or_nothing(
    out: &mut Vec<u8>,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), Unencodable>,
) -> Result<(), Unencodable> {
    let start = out.len();
    let outcome = fill(out);
    if outcome.is_err() {
        out.truncate(start);
    }
    outcome
}

/// Refuses all of a message, without an id.
#[cold]
fn refused<'b>(problem: Problem) -> Result<Item<'b>, InvalidRequest<'b>> {
    Err(InvalidRequest {
        id: None,
        problem,
        reply: ReplyMode::Always,
    })
}

const NOT_TEXT: &str = "binary messages are not understood: send text";
const NOT_BINARY: &str = "text messages are not understood: send binary";
