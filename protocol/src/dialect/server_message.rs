//! What a server says in the native dialect, as a client reads it: the keys that decide where a
//! message belongs, found in one pass.
//!
//! Invariant: no key of a message that is handed out stands there twice. Its data is not looked at,
//! and in JSON no value is that has another key. Answers have further keys, which whoever asked
//! reads by itself. Called by clients.

use super::fields::{Fields, Span, Wrong, escaped_key};
use crate::json::{JsonScanner, Raw, SyntaxError};
use crate::pack::Pack;
use std::borrow::Cow;

/// One message of a server.
#[derive(Clone, Debug, Default)]
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
    /// What was published or answered.
    pub data: Option<Unread<'b>>,
    /// The trace that it belongs to (W3C Trace Context).
    pub traceparent: Option<Cow<'b, str>>,
    /// Whether it was delivered before, to a client that did not acknowledge it.
    pub redelivered: bool,
}

/// A value as its sender wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread<'b> {
    /// In JSON: a value with an end, of which whoever reads it finds out whether it is valid
    /// inside.
    Json(&'b str),
    /// In MessagePack: one valid value.
    Pack(&'b [u8]),
}

impl<'b> Unread<'b> {
    /// The bytes.
    pub fn as_bytes(self) -> &'b [u8] {
        match self {
            Unread::Json(text) => text.as_bytes(),
            Unread::Pack(bytes) => bytes,
        }
    }
}

/// It is no message: not one object with a `type`, or with one key twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of the native dialect")]
pub struct NotAMessage;

impl From<SyntaxError> for NotAMessage {
    fn from(_: SyntaxError) -> NotAMessage {
        NotAMessage
    }
}

#[derive(Clone, Copy)]
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
    const ALL: [MessageKey; COMMON + RARE] = [
        MessageKey::Type,
        MessageKey::Room,
        MessageKey::From,
        MessageKey::Offset,
        MessageKey::Data,
        MessageKey::Id,
        MessageKey::Event,
        MessageKey::Traceparent,
        MessageKey::Redelivered,
    ];

    #[inline(always)]
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
        match ServerMessage::read_usual(text) {
            Some(message) => Ok(message),
            None => ServerMessage::read_keys(text),
        }
    }

    /// Reads what is written just as our server writes most of what it says: without white space
    /// and escapes, keys in its order. `None`: it is written in another way.
    #[inline(always)]
    fn read_usual(text: &'b str) -> Option<ServerMessage<'b>> {
        let mut scanner = JsonScanner::new(text);
        let mut message = ServerMessage::default();
        if !scanner.literal("{\"type\":\"") {
            return None;
        }
        message.kind = scanner.plain_rest()?.as_bytes();
        if scanner.literal(",\"id\":") {
            message.id = unsigned(scanner.unread().ok()?);
        }
        if scanner.literal(",\"room\":\"") {
            message.room = Some(Cow::Borrowed(scanner.plain_rest()?));
        }
        if scanner.literal(",\"from\":\"") {
            message.from = Some(Cow::Borrowed(scanner.plain_rest()?));
        }
        if scanner.literal(",\"offset\":") {
            message.offset = unsigned(scanner.unread().ok()?);
        }
        if scanner.literal(",\"data\":") {
            message.data = Some(Unread::Json(scanner.unread().ok()?));
        }
        let is_whole = scanner.literal("}") && scanner.peek().is_none();
        (is_whole && !message.kind.is_empty()).then_some(message)
    }

    /// Reads any message, key by key.
    #[inline(never)]
    fn read_keys(text: &'b str) -> Result<ServerMessage<'b>, NotAMessage> {
        let mut message = ServerMessage::default();
        let mut scanner = JsonScanner::new(text);
        // One bit for each key that was there.
        let mut seen = 0_u32;
        scanner.expect(b'{')?;
        loop {
            let name = scanner.key_bytes()?;
            let known = match MessageKey::of_name(name) {
                None => escaped_key(name, MessageKey::of_name),
                known => known,
            };
            match known {
                None => drop(scanner.unread()?),
                Some(key) => {
                    if seen & (1 << key) != 0 {
                        return Err(NotAMessage);
                    }
                    seen |= 1 << key;
                    message.take(MessageKey::ALL[key], &mut scanner)?;
                }
            }
            if !scanner.take(b',') {
                break;
            }
        }
        scanner.expect(b'}')?;
        scanner.finish()?;
        match message.kind {
            b"" => Err(NotAMessage),
            _ => Ok(message),
        }
    }

    /// Takes the value of a key.
    #[inline(always)]
    fn take(&mut self, key: MessageKey, scanner: &mut JsonScanner<'b>) -> Result<(), NotAMessage> {
        match key {
            MessageKey::Type => {
                if scanner.peek() != Some(b'"') {
                    return Err(NotAMessage);
                }
                self.kind = scanner.string()?.as_bytes();
            }
            MessageKey::Room => self.room = text(scanner)?,
            MessageKey::From => self.from = text(scanner)?,
            MessageKey::Event => self.event = text(scanner)?,
            MessageKey::Traceparent => self.traceparent = text(scanner)?,
            MessageKey::Id => self.id = unsigned(scanner.unread()?),
            MessageKey::Offset => self.offset = unsigned(scanner.unread()?),
            MessageKey::Redelivered => self.redelivered = scanner.unread()? == "true",
            MessageKey::Data => self.data = Some(Unread::Json(scanner.unread()?)),
        }
        Ok(())
    }

    /// Reads a binary message: the dialect in MessagePack.
    ///
    /// # Errors
    /// It is no message; a client goes on without it.
    pub fn read_pack(bytes: &'b [u8]) -> Result<ServerMessage<'b>, NotAMessage> {
        let mut keys = Fields::<Pack<'b>, COMMON, RARE>::NONE;
        let read = keys.read_pack(bytes, 0, MessageKey::of_name, NOT_AN_OBJECT);
        read.map_err(|_| NotAMessage)?;
        if keys.wrong.is_some() {
            return Err(NotAMessage);
        }
        let text = |key: MessageKey| keys.get(key as usize).and_then(Span::text);
        let number = |key: MessageKey| keys.get(key as usize).and_then(Span::unsigned);
        let kind = keys.get(MessageKey::Type as usize).and_then(Span::sent);
        let data = keys.get(MessageKey::Data as usize);
        let redelivered = keys.get(MessageKey::Redelivered as usize);
        Ok(ServerMessage {
            kind: kind.filter(|kind| !kind.is_empty()).ok_or(NotAMessage)?,
            id: number(MessageKey::Id),
            room: text(MessageKey::Room),
            from: text(MessageKey::From),
            event: text(MessageKey::Event),
            offset: number(MessageKey::Offset),
            data: data.map(|data| Unread::Pack(data.as_bytes())),
            traceparent: text(MessageKey::Traceparent),
            redelivered: redelivered.and_then(Span::boolean) == Some(true),
        })
    }
}

/// Text; any other value is none.
#[inline(always)]
fn text<'b>(scanner: &mut JsonScanner<'b>) -> Result<Option<Cow<'b, str>>, SyntaxError> {
    match scanner.peek() {
        Some(b'"') => scanner.text().map(Some),
        _ => scanner.unread().map(|_| None),
    }
}

/// A whole number; any other value is none.
#[inline]
fn unsigned(value: &str) -> Option<u64> {
    // Of so many digits none is too large.
    const DIGITS_MAX: usize = 19;
    let mut number = 0;
    for byte in value.bytes() {
        if !byte.is_ascii_digit() || value.len() > DIGITS_MAX {
            return Span::unsigned(Raw::parse(value)?);
        }
        number = number * 10 + u64::from(byte - b'0');
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::{NotAMessage, ServerMessage, Unread};

    #[test]
    fn a_delivered_message_is_read_in_both_encodings() {
        let text = r#"{"type":"message","room":"r\u00e4","from":"0-1","offset":7,"data":[1, 2.0]}"#;
        let read = ServerMessage::read_json(text).expect("a message");
        assert_eq!(read.kind, b"message");
        assert_eq!(read.room.as_deref(), Some("rä"));
        assert_eq!((read.offset, read.id), (Some(7), None));
        let data = read.data.expect("it has data");
        assert_eq!(data, Unread::Json("[1, 2.0]"));
        let pack = b"\x84\xa4type\xa3ack\xa2id\xcd\x01\x00\xa6offset\x05\xabredelivered\xc3";
        let read = ServerMessage::read_pack(pack).expect("a message");
        assert_eq!((read.kind, read.id), (&b"ack"[..], Some(256)));
        assert_eq!((read.offset, read.redelivered), (Some(5), true));
    }

    #[test]
    fn keys_come_in_any_order_and_other_values_are_none() {
        let text = r#" { "data" : {"a":[1,"}"]} , "other":[{}], "offset":12e1,"t\u0079pe":"ack","id":"7",
            "room":null,"from":3,"redelivered":true,"event":"e\n" } "#;
        let read = ServerMessage::read_json(text).expect("a message");
        assert_eq!((read.kind, read.id), (&b"ack"[..], None));
        assert_eq!((read.offset, read.redelivered), (Some(120), true));
        assert_eq!((read.room, read.from), (None, None));
        assert_eq!(read.event.as_deref(), Some("e\n"));
        assert_eq!(read.data, Some(Unread::Json(r#"{"a":[1,"}"]}"#)));
        for (written, read) in [
            ("0", Some(0)),
            ("9999999999999999999", Some(9_999_999_999_999_999_999)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", None),
            ("1.5", None),
            ("x", None),
        ] {
            let text = format!(r#"{{"type":"ack","id":{written}}}"#);
            assert_eq!(ServerMessage::read_json(&text).expect("a message").id, read);
        }
    }

    #[test]
    fn the_usual_way_and_key_by_key_agree() {
        let shown = |text: &str| {
            let (usual, keys) = (
                ServerMessage::read_usual(text),
                ServerMessage::read_keys(text),
            );
            (
                usual.map(|read| format!("{read:?}")),
                keys.map(|read| format!("{read:?}")),
            )
        };
        for text in [
            r#"{"type":"message","room":"r","from":"0-1","offset":7,"data":{"a":"}\""}}"#,
            r#"{"type":"message","room":"räume","data":null}"#,
            r#"{"type":"echo","id":17,"data":[1,2]}"#,
            r#"{"type":"ack","id":18446744073709551615,"offset":12} "#,
            r#"{"type":"pong"}"#,
        ] {
            let (usual, keys) = shown(text);
            assert_eq!(usual.ok_or(NotAMessage), keys, "{text}");
            // Cut anywhere it is no message, for neither.
            for end in (0..text.trim_end().len()).filter(|end| text.is_char_boundary(*end)) {
                assert_eq!(
                    shown(&text[..end]),
                    (None, Err(NotAMessage)),
                    "{text} {end}"
                );
            }
        }
        for text in [
            r#"{"type":"message","from":"0-1","room":"r"}"#,
            r#"{"type":"message","room":"a\"b"}"#,
            r#"{"type":"joined","id":1,"room":"r","members":2}"#,
            r#"{ "type":"pong"}"#,
        ] {
            let (usual, keys) = shown(text);
            assert_eq!((usual, keys.is_ok()), (None, true), "{text}");
        }
        for text in [
            r#"{"type":""}"#,
            r#"{"type":"a","data":1,"data":2}"#,
            r#"{"type":"a"}}"#,
        ] {
            assert_eq!(shown(text), (None, Err(NotAMessage)), "{text}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"type":1}"#,
            r#"{"type":"a","data":[1,"x}"#,
            r#"{"type":"a","data":}"#,
            r#"{"type":"a"}}"#,
            r#"{"type":"a",}"#,
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
