//! What a server says in the native dialect, as a client reads it: the keys that decide where a
//! message belongs, found in one pass.
//!
//! Invariant: a message that is handed out is valid as a whole, and no key of it stands there
//! twice. Answers have further keys, which whoever asked reads by itself. Called by clients.

use super::fields::{Fields, Span, Wrong};
use super::value::Value;
use std::borrow::Cow;

/// One message of a server.
#[derive(Clone, Debug)]
pub struct ServerMessage<'b> {
    /// Its `type`, without escapes: no type of this dialect needs one.
    pub kind: &'b [u8],
    /// The number that a request bore; ids of other kinds are none of a client that counts.
    pub id: Option<u64>,
    /// The room that it belongs to.
    pub room: Option<Cow<'b, str>>,
    /// The connection that published it.
    pub from: Option<Cow<'b, str>>,
    /// The application's name for it.
    pub event: Option<Cow<'b, str>>,
    /// Its place in the room's order.
    pub offset: Option<u64>,
    /// As its sender wrote it.
    pub data: Option<Value<'b>>,
    /// The trace that it belongs to (W3C Trace Context).
    pub traceparent: Option<Cow<'b, str>>,
    /// Whether it was delivered before, to a client that did not acknowledge it.
    pub redelivered: bool,
}

/// It is no message: not one object with a `type`, or with one key twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of the native dialect")]
pub struct NotAMessage;

enum MessageKey {
    Type,
    Room,
    From,
    Offset,
    Data,
    Id,
    Event,
    Traceparent,
    Redelivered,
}

/// The keys of a delivered message and of an answer.
const COMMON: usize = 6;
const RARE: usize = 3;

impl MessageKey {
    fn of_name(name: &[u8]) -> Option<usize> {
        let key = match name {
            b"type" => MessageKey::Type,
            b"room" => MessageKey::Room,
            b"from" => MessageKey::From,
            b"offset" => MessageKey::Offset,
            b"data" => MessageKey::Data,
            b"id" => MessageKey::Id,
            b"event" => MessageKey::Event,
            b"traceparent" => MessageKey::Traceparent,
            b"redelivered" => MessageKey::Redelivered,
            _ => return None,
        };
        Some(key as usize)
    }
}

const NOT_AN_OBJECT: Wrong = "a message is one object";

impl<'b> ServerMessage<'b> {
    /// Reads a text message: the dialect in JSON.
    ///
    /// # Errors
    /// It is no message; a client goes on without it.
    pub fn read_json(text: &'b str) -> Result<ServerMessage<'b>, NotAMessage> {
        let mut keys = Fields::<_, COMMON, RARE>::NONE;
        let read = keys.read_json(text, 0, MessageKey::of_name, NOT_AN_OBJECT);
        read.map_err(|_| NotAMessage)?;
        ServerMessage::of(&keys)
    }

    /// Reads a binary message: the dialect in MessagePack.
    ///
    /// # Errors
    /// It is no message; a client goes on without it.
    pub fn read_pack(bytes: &'b [u8]) -> Result<ServerMessage<'b>, NotAMessage> {
        let mut keys = Fields::<_, COMMON, RARE>::NONE;
        let read = keys.read_pack(bytes, 0, MessageKey::of_name, NOT_AN_OBJECT);
        read.map_err(|_| NotAMessage)?;
        ServerMessage::of(&keys)
    }

    fn of<S: Span<'b>>(keys: &Fields<S, COMMON, RARE>) -> Result<ServerMessage<'b>, NotAMessage> {
        if keys.wrong.is_some() {
            return Err(NotAMessage);
        }
        let text = |key: MessageKey| keys.get(key as usize).and_then(S::text);
        let number = |key: MessageKey| keys.get(key as usize).and_then(S::unsigned);
        let kind = keys.get(MessageKey::Type as usize).and_then(S::sent);
        Ok(ServerMessage {
            kind: kind.ok_or(NotAMessage)?,
            id: number(MessageKey::Id),
            room: text(MessageKey::Room),
            from: text(MessageKey::From),
            event: text(MessageKey::Event),
            offset: number(MessageKey::Offset),
            data: keys.get(MessageKey::Data as usize).map(Into::into),
            traceparent: text(MessageKey::Traceparent),
            redelivered: keys
                .get(MessageKey::Redelivered as usize)
                .and_then(S::boolean)
                == Some(true),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{NotAMessage, ServerMessage};

    #[test]
    fn a_delivered_message_is_read_in_both_encodings() {
        let text = r#"{"type":"message","room":"r\u00e4","from":"0-1","offset":7,"data":[1, 2.0]}"#;
        let read = ServerMessage::read_json(text).expect("a message");
        assert_eq!(read.kind, b"message");
        assert_eq!(read.room.as_deref(), Some("rä"));
        assert_eq!((read.offset, read.id), (Some(7), None));
        let data = read.data.expect("it has data");
        assert_eq!(data.as_bytes(), b"[1, 2.0]");
        let pack = b"\x84\xa4type\xa3ack\xa2id\xcd\x01\x00\xa6offset\x05\xabredelivered\xc3";
        let read = ServerMessage::read_pack(pack).expect("a message");
        assert_eq!((read.kind, read.id), (&b"ack"[..], Some(256)));
        assert_eq!((read.offset, read.redelivered), (Some(5), true));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"type":1}"#,
            r#"{"type":"a","type":"b"}"#,
            r#"{"type":"a"} "#.trim_end_matches(['}', ' ']),
        ] {
            let read = ServerMessage::read_json(text);
            assert_eq!(read.map(|read| read.kind.len()), Err(NotAMessage), "{text}");
        }
        for pack in [&b"\x80"[..], b"\xc1", b"\x81\xa4type", b"\x90"] {
            let read = ServerMessage::read_pack(pack);
            assert_eq!(read.map(|read| read.kind.len()), Err(NotAMessage));
        }
    }
}
