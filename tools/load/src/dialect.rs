//! What to say to a server and what its messages mean: one interface here, one file below for each
//! protocol. Invariant: a stamp that comes out was found intact. Called by `worker` and the loads.

mod centrifuge;
mod echo;
mod native;
mod native_room;
mod nats;
mod nchan;
mod pusher;
mod raw;
mod socketio;

use crate::content::Content;
use crate::message::{Body, Corrupted, Encoding, Kind, Stamp};
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// Binary messages: `S` subscribes, `P` and a rest publishes the rest, anything else is echoed.
    Raw,
    /// Shardcast's JSON, version 1.
    Native,
    /// The same; an echo is a publish to a room of one's own.
    #[value(name = "native-room")]
    #[serde(rename = "native-room")]
    NativeRoom,
    /// Binary messages come back; nothing else.
    Echo,
    /// The NATS client protocol, for nats-server.
    Nats,
    /// Paths of nchan, as `bench/peers/nchan` has them.
    Nchan,
    /// Socket.IO, to the events of `bench/peers/socketio-node`.
    Socketio,
    /// The Pusher protocol, for sockudo.
    Pusher,
    /// The Centrifuge client protocol, version 2, as lines of JSON.
    #[value(name = "centrifuge-json")]
    #[serde(rename = "centrifuge-json")]
    CentrifugeJson,
    /// The same in Protobuf.
    #[value(name = "centrifuge-protobuf")]
    #[serde(rename = "centrifuge-protobuf")]
    CentrifugeProtobuf,
}

impl Protocol {
    /// How bodies travel. `None`: this protocol has no place for such content.
    pub(crate) fn encoding(self, content: Content) -> Option<Encoding> {
        match (content, self) {
            (Content::Pattern, _) => Some(self.stamps()),
            (Content::Json, Protocol::Raw | Protocol::Echo) => Some(Encoding::Json),
            (Content::Json, _) => None,
        }
    }

    fn stamps(self) -> Encoding {
        match self {
            Protocol::Raw | Protocol::Echo | Protocol::Nats => Encoding::Binary,
            Protocol::Native
            | Protocol::NativeRoom
            | Protocol::Nchan
            | Protocol::Socketio
            | Protocol::Pusher
            | Protocol::CentrifugeJson
            | Protocol::CentrifugeProtobuf => Encoding::Hex,
        }
    }

    /// Whether what one connection publishes can reach others.
    pub(crate) fn has_topics(self) -> bool {
        self != Protocol::Echo
    }

    /// Whether there are rooms to choose from, not only one topic for everyone.
    pub(crate) fn has_rooms(self) -> bool {
        match self {
            Protocol::Native
            | Protocol::NativeRoom
            | Protocol::Nats
            | Protocol::Socketio
            | Protocol::Pusher
            | Protocol::CentrifugeJson
            | Protocol::CentrifugeProtobuf => true,
            Protocol::Raw | Protocol::Echo | Protocol::Nchan => false,
        }
    }

    /// Whether one publish can reach every connection of the server, whatever its rooms.
    pub(crate) fn has_everyone(self) -> bool {
        self == Protocol::Native
    }

    /// Whether a connection subscribes by a message. In nchan its path does it.
    pub(crate) fn subscribes(self) -> bool {
        self.has_topics() && self != Protocol::Nchan
    }

    /// Its words for a worker's connections to a URL with this path, whose messages have this body.
    /// Publishes to `rooms` rooms will be possible.
    pub(crate) fn dialect(self, body: Body, rooms: u32, path: &str) -> Box<Dialect> {
        match self {
            Protocol::Raw => Box::new(raw::Raw::new(body, path)),
            Protocol::Native => Box::new(native::Native::new(body, rooms, path)),
            Protocol::NativeRoom => Box::new(native_room::NativeRoom::new(body, rooms, path)),
            Protocol::Echo => Box::new(echo::Echo::new(body, path)),
            Protocol::Nats => Box::new(nats::Nats::new(body, rooms, path)),
            Protocol::Nchan => Box::new(nchan::Nchan::new(body, path)),
            Protocol::Socketio => Box::new(socketio::Socketio::new(body, rooms, path)),
            Protocol::Pusher => Box::new(pusher::Pusher::new(body, rooms, path)),
            Protocol::CentrifugeJson => {
                let notation = centrifuge::CentrifugeNotation::Json;
                Box::new(centrifuge::Centrifuge::new(notation, body, rooms, path))
            }
            Protocol::CentrifugeProtobuf => {
                let notation = centrifuge::CentrifugeNotation::Protobuf;
                Box::new(centrifuge::Centrifuge::new(notation, body, rooms, path))
            }
        }
    }
}

/// The room number that stands for every connection of the server.
pub(crate) const EVERYONE: u32 = u32::MAX;

/// What a connection is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It gets back what it sends.
    Echoer {
        /// In the whole run.
        number: u32,
    },
    /// It receives what is published to the room.
    Subscriber {
        /// Below the number of rooms.
        room: u32,
    },
    /// It publishes, to any room.
    Publisher,
}

/// What a server's message meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// The answer to an echo or a barrier.
    Echo(Stamp),
    /// A publish arrived.
    Delivery(Stamp),
    /// The server is ready for us, where it speaks first.
    Welcome,
    /// We are in the room.
    Joined,
    /// Of no concern here: acknowledgements, presence.
    Other,
    /// The server refused something, or is going away; its words.
    Refused(String),
    /// Not what was sent.
    Corrupted,
}

/// The words of one protocol, with what it knows of each of the worker's connections.
pub(crate) type Dialect = dyn Speech;

/// What every protocol can say and understand. Connections are named by their index in the worker.
pub(crate) trait Speech: Debug {
    /// The path that such a connection asks for, made from the URL's.
    fn path(&self, role: Role) -> String;

    /// A connection was upgraded, for the first time or again: what was known of it is forgotten.
    fn begin(&mut self, index: usize, role: Role) {
        let _ = (index, role);
    }

    /// From here on a connection that subscribes again says which message it had last, so that it
    /// misses none. `connections`: of this worker.
    fn recover(&mut self, connections: usize) {
        let _ = connections;
    }

    /// Appends what a client with this role says as soon as it is upgraded, where the server waits
    /// for that before it speaks.
    fn append_greeting(&self, out: &mut Vec<u8>, role: Role) {
        let _ = (out, role);
    }

    /// Whether the server speaks first, or answers the greeting: then a connection is in use from
    /// `Incoming::Welcome` on, else from the upgrade on.
    fn has_welcome(&self) -> bool;

    /// Appends an echo (or a barrier).
    fn append_echo(&self, out: &mut Vec<u8>, stamp: &Stamp);

    /// Appends a publish to `stamp.room`.
    fn append_publish(&self, out: &mut Vec<u8>, stamp: &Stamp);

    /// Appends what subscribes a connection; `Incoming::Joined` or the echo of the barrier says
    /// that it was taken in.
    fn append_subscribe(&self, out: &mut Vec<u8>, index: usize, sender: u32, room: u32);

    /// Takes the next meaning off a data message and leaves in `rest` what follows it; `Ok(None)`:
    /// nothing more in it. What must be answered without anyone being asked is appended to `out`.
    ///
    /// # Errors
    /// The server broke the protocol, in these words: the connection cannot go on.
    fn read(
        &mut self,
        index: usize,
        opcode: u8,
        rest: &mut Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Incoming>, String>;
}

/// What a body says.
fn stamped(body: Result<Stamp, Corrupted>) -> Incoming {
    match body {
        Ok(stamp) => match stamp.kind {
            Kind::Echo | Kind::Barrier => Incoming::Echo(stamp),
            Kind::Publish | Kind::Probe => Incoming::Delivery(stamp),
        },
        Err(Corrupted) => Incoming::Corrupted,
    }
}

/// A body to make templates with; each message replaces its head.
fn blank(body: &Body) -> Vec<u8> {
    body.write(&numbered(0))
}

/// One for each variant of the body.
fn blanks(body: &Body) -> Vec<Vec<u8>> {
    let stamps = (0..body.variants()).map(|variant| {
        let mut numbers = (0..).map(numbered);
        numbers.find(|stamp| body.variant(stamp) == variant)
    });
    stamps.flatten().map(|stamp| body.write(&stamp)).collect()
}

fn numbered(sequence: u64) -> Stamp {
    Stamp {
        kind: Kind::Echo,
        sender: 0,
        room: 0,
        sequence,
        intended_ns: 0,
    }
}

#[cfg(test)]
mod testing {
    use super::*;
    use crate::websocket::next_frame;

    pub(super) const STAMP: Stamp = Stamp {
        kind: Kind::Publish,
        sender: 1,
        room: 2,
        sequence: 41,
        intended_ns: 99,
    };

    pub(super) const ECHO: Stamp = Stamp {
        kind: Kind::Echo,
        ..STAMP
    };

    /// A body of 64 bytes.
    pub(super) fn body(encoding: Encoding) -> Body {
        Body::new(encoding, 0x77_00, 64)
    }

    /// The opcodes and unmasked payloads of the frames that `append` writes; every byte stands for
    /// one character.
    pub(super) fn sent(append: impl FnOnce(&mut Vec<u8>)) -> Vec<(u8, String)> {
        let mut out = Vec::new();
        append(&mut out);
        let mut frames = Vec::new();
        while !out.is_empty() {
            let key_at = if out[1] == 0x80 | 126 { 4 } else { 2 };
            let key: Vec<u8> = out.drain(key_at..key_at + 4).collect();
            out[1] &= 0x7f;
            let frame = next_frame(&out, 1 << 20).unwrap().unwrap();
            let bytes = out[frame.payload.clone()].iter();
            let text = bytes.enumerate().map(|(i, byte)| byte ^ key[i % 4]);
            frames.push((frame.opcode, text.map(char::from).collect()));
            out.drain(..frame.payload.end);
        }
        frames
    }

    /// All that a message means to a connection.
    pub(super) fn heard(
        dialect: &mut Dialect,
        index: usize,
        opcode: u8,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Vec<Incoming>, String> {
        let mut rest = Some(payload);
        std::iter::from_fn(|| dialect.read(index, opcode, &mut rest, out).transpose()).collect()
    }

    /// What a message means that needs no answer and means one thing.
    pub(super) fn meaning(dialect: &mut Dialect, opcode: u8, payload: &[u8]) -> Incoming {
        let mut out = Vec::new();
        let mut all = heard(dialect, 0, opcode, payload, &mut out).unwrap();
        assert_eq!((all.len(), out.len()), (1, 0), "{all:?}");
        all.remove(0)
    }

    #[test]
    fn a_message_of_several_frames_is_told_apart() {
        let frames = sent(|out| {
            crate::websocket::Template::new(1, b"one").append(out, &[]);
            crate::websocket::Template::new(2, &[b'x'; 200]).append(out, &[]);
        });
        assert_eq!(frames, [(1, "one".to_owned()), (2, "x".repeat(200))]);
    }
}
