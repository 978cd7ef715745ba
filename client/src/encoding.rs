//! Requests as bytes, in both encodings of the native dialect: a body that is written once, and
//! what is added when it is sent.
//!
//! Invariant: a body with its tail is one object, no key of which stands there twice. Used by the
//! requests and the rooms.

use crate::error::{Error, ErrorKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shardcast_protocol::dialect::Unread;

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Text, which everybody can read.
    #[default]
    Json,
    /// Shorter, and with bytes and times of its own.
    MessagePack,
}

impl Encoding {
    pub(crate) fn subprotocol(self) -> &'static str {
        match self {
            Encoding::Json => "shardcast.v1",
            Encoding::MessagePack => "shardcast.v1.msgpack",
        }
    }

    fn append<T: Serialize + ?Sized>(self, out: &mut Vec<u8>, value: &T) -> Result<(), Error> {
        match self {
            Encoding::Json => serde_json::to_writer(out, value).map_err(data_error),
            Encoding::MessagePack => {
                let mut writer = rmp_serde::Serializer::new(out).with_struct_map();
                value.serialize(&mut writer).map_err(data_error)
            }
        }
    }
}

/// Reads a value or a whole message.
pub(crate) fn read<T: DeserializeOwned>(value: Unread<'_>) -> Result<T, Error> {
    match value {
        Unread::Json(text) => serde_json::from_str(text).map_err(data_error),
        Unread::Pack(bytes) => rmp_serde::from_slice(bytes).map_err(data_error),
    }
}

pub(crate) fn data_error(error: impl Into<crate::error::BoxError>) -> Error {
    Error::caused(ErrorKind::Data, error)
}

/// A request without what is added when it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    encoding: Encoding,
    /// Keys and values; in JSON without the braces, in MessagePack without the map's head.
    bytes: Vec<u8>,
    /// Keys so far; fewer than 15, of which MessagePack's short head is made.
    keys: u8,
}

/// What a body has room for at first.
const BODY_BYTES: usize = 192;

/// What is added when a request is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail<'a> {
    pub(crate) id: u64,
    pub(crate) key: Option<&'a str>,
}

/// Keys of a body and its tail: a `fixmap` has no more.
const KEYS_MAX: u8 = 15;
/// `id` and `key`.
const TAIL_KEYS: u8 = 2;

impl Body {
    /// A request of this type.
    pub(crate) fn new(encoding: Encoding, kind: &str) -> Body {
        let mut body = Body {
            encoding,
            bytes: Vec::with_capacity(BODY_BYTES),
            keys: 0,
        };
        body.text("type", kind);
        body
    }

    /// Adds a key. What was written of a value that cannot be is taken back, and so is what would
    /// be one key too many.
    pub(crate) fn put<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), Error> {
        if self.keys >= KEYS_MAX - TAIL_KEYS {
            return Err(Error::new(ErrorKind::Data, "a request has at most 13 keys"));
        }
        let (length, keys) = (self.bytes.len(), self.keys);
        self.key(key);
        let written = self.encoding.append(&mut self.bytes, value);
        if written.is_err() {
            self.bytes.truncate(length);
            self.keys = keys;
        }
        written
    }

    /// Adds a key whose value is text, which can always be written.
    pub(crate) fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        append_text(&mut self.bytes, self.encoding, text);
    }

    /// Adds a key whose value is `false` or `true`.
    pub(crate) fn flag(&mut self, key: &str, flag: bool) {
        self.key(key);
        self.bytes.extend_from_slice(match (self.encoding, flag) {
            (Encoding::Json, false) => b"false",
            (Encoding::Json, true) => b"true",
            (Encoding::MessagePack, false) => &[0xc2],
            (Encoding::MessagePack, true) => &[0xc3],
        });
    }

    fn key(&mut self, key: &str) {
        assert!(self.keys < KEYS_MAX - TAIL_KEYS, "requests have few keys");
        self.keys += 1;
        match self.encoding {
            Encoding::Json => {
                if self.keys > 1 {
                    self.bytes.push(b',');
                }
                self.bytes.push(b'"');
                self.bytes.extend_from_slice(key.as_bytes());
                self.bytes.extend_from_slice(b"\":");
            }
            Encoding::MessagePack => append_text(&mut self.bytes, self.encoding, key),
        }
    }

    /// Bytes of the message with any tail: an upper bound that is a few bytes off.
    pub(crate) fn bytes_max(&self, key: Option<&str>) -> usize {
        const ENDS_AND_ID: usize = 2 + ",\"id\":18446744073709551615".len();
        let key = key.map_or(0, |key| ",\"key\":\"\"".len() + 2 * key.len());
        self.bytes.len() + ENDS_AND_ID + key
    }

    /// What it was written in, emptied, for what answers it.
    pub(crate) fn emptied(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        bytes
    }

    /// Appends the message.
    pub(crate) fn write(&self, out: &mut Vec<u8>, tail: Tail<'_>) {
        match self.encoding {
            Encoding::Json => {
                out.push(b'{');
                out.extend_from_slice(&self.bytes);
                out.extend_from_slice(b",\"id\":");
                append_number(out, tail.id);
                if let Some(key) = tail.key {
                    out.extend_from_slice(b",\"key\":");
                    append_text(out, self.encoding, key);
                }
                out.push(b'}');
            }
            Encoding::MessagePack => {
                out.push(0x80 | (self.keys + 1 + u8::from(tail.key.is_some())));
                out.extend_from_slice(&self.bytes);
                append_text(out, self.encoding, "id");
                out.push(0xcf);
                out.extend_from_slice(&tail.id.to_be_bytes());
                if let Some(key) = tail.key {
                    append_text(out, self.encoding, "key");
                    append_text(out, self.encoding, key);
                }
            }
        }
    }
}

fn append_text(out: &mut Vec<u8>, encoding: Encoding, text: &str) {
    let written = encoding.append(out, text);
    debug_assert!(written.is_ok(), "text can be written");
}

fn append_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::{Body, Encoding, Tail, read};
    use serde_json::{Value, json};
    use shardcast_protocol::dialect::Unread;

    fn check(encoding: Encoding, tail: Tail<'_>, expected: &Value) {
        let mut body = Body::new(encoding, "publish");
        body.text("room", "a\"b");
        body.put("data", &json!({"n": [1, 2.5, null]}))
            .expect("JSON");
        body.flag("echo", false);
        let mut out = Vec::new();
        body.write(&mut out, tail);
        assert!(out.len() <= body.bytes_max(tail.key));
        let written = match encoding {
            Encoding::Json => Unread::Json(str::from_utf8(&out).expect("text")),
            Encoding::MessagePack => Unread::Pack(&out),
        };
        assert_eq!(&read::<Value>(written).expect("valid"), expected);
    }

    #[test]
    fn a_request_is_one_object_in_both_encodings() {
        for encoding in [Encoding::Json, Encoding::MessagePack] {
            for id in [0, 7, 10, u64::from(u32::MAX), u64::MAX] {
                let mut expected = json!({
                    "type": "publish", "room": "a\"b", "data": {"n": [1, 2.5, null]},
                    "echo": false, "id": id,
                });
                check(encoding, Tail { id, key: None }, &expected);
                expected["key"] = json!("k-1");
                let key = Some("k-1");
                check(encoding, Tail { id, key }, &expected);
            }
        }
    }

    #[test]
    fn a_value_that_cannot_be_written_leaves_nothing_behind() {
        struct Refuses;
        impl serde::Serialize for Refuses {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("no"))
            }
        }
        let mut body = Body::new(Encoding::Json, "echo");
        assert!(body.put("data", &[Refuses]).is_err());
        let mut out = Vec::new();
        body.write(&mut out, Tail { id: 1, key: None });
        assert_eq!(out, br#"{"type":"echo","id":1}"#);
    }
}
