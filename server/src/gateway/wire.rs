//! What travels to a backend and back: one set of types for both transports. On a stream they are
//! Protobuf (`proto/gateway.proto`), in webhooks JSON with the same names.
//!
//! Invariant: `data` is one complete JSON value wherever it was read from a webhook; from a stream
//! it is checked by whoever uses it.

use prost::{Message, Oneof};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

/// From the server.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ToBackend {
    #[prost(oneof = "ForBackend", tags = "1, 2, 3")]
    pub(crate) what: Option<ForBackend>,
}

/// One frame for the backend.
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum ForBackend {
    #[prost(message, tag = "1")]
    Hello(Hello),
    #[prost(message, boxed, tag = "2")]
    Event(Box<GatewayEvent>),
    #[prost(message, tag = "3")]
    Done(CommandDone),
}

/// From the backend.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ToServer {
    #[prost(oneof = "ForServer", tags = "1, 2")]
    pub(crate) what: Option<ForServer>,
}

/// One frame for the server.
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum ForServer {
    #[prost(message, tag = "1")]
    Answer(Answer),
    #[prost(message, tag = "2")]
    Command(BackendCommand),
}

/// The first frame of a connection.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Hello {
    #[prost(string, tag = "1")]
    pub(crate) server: String,
    #[prost(uint32, tag = "2")]
    pub(crate) version: u32,
    #[prost(string, tag = "3")]
    pub(crate) instance: String,
    #[prost(uint32, tag = "4")]
    pub(crate) frame_bytes_max: u32,
    #[prost(uint64, tag = "5")]
    pub(crate) time_s: u64,
    #[prost(string, tag = "6")]
    pub(crate) signature: String,
}

/// Something a client wants, or what has happened.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub(crate) struct GatewayEvent {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(string, tag = "2")]
    pub(crate) instance: String,
    #[prost(string, tag = "3")]
    pub(crate) event: String,
    #[prost(uint32, tag = "4")]
    pub(crate) attempt: u32,
    #[prost(uint64, tag = "5")]
    pub(crate) time_ms: u64,
    #[prost(string, tag = "6")]
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) connection: String,
    #[prost(string, optional, tag = "7")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[prost(string, repeated, tag = "8")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) roles: Vec<String>,
    #[prost(string, tag = "9")]
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) address: String,
    #[prost(string, tag = "10")]
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) dialect: String,
    #[prost(string, repeated, tag = "11")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rooms: Vec<String>,
    #[prost(string, optional, tag = "12")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to_user: Option<String>,
    #[prost(bool, tag = "13")]
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) everyone: bool,
    #[prost(string, optional, tag = "14")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<String>,
    #[prost(bytes = "vec", optional, tag = "15")]
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "write_json",
        deserialize_with = "read_json"
    )]
    pub(crate) data: Option<Vec<u8>>,
    #[prost(message, optional, tag = "16")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<HttpRequest>,
    #[prost(message, repeated, tag = "17")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notices: Vec<Notice>,
    /// Webhooks have it in a header.
    #[prost(string, optional, tag = "18")]
    #[serde(skip)]
    pub(crate) traceparent: Option<String>,
    #[prost(uint64, optional, tag = "19")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_ms: Option<u64>,
    #[prost(string, optional, tag = "20")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    #[prost(bool, tag = "21")]
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) asked: bool,
    #[prost(string, optional, tag = "22")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    #[prost(bool, tag = "23")]
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) removed: bool,
}

/// The request that a client connects with.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub(crate) struct HttpRequest {
    #[prost(string, tag = "1")]
    pub(crate) path: String,
    #[prost(string, optional, tag = "2")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) query: Option<String>,
    #[prost(message, repeated, tag = "3")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) headers: Vec<Header>,
}

/// A header of it.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub(crate) struct Header {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

/// Something that has happened.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub(crate) struct Notice {
    #[prost(string, tag = "1")]
    pub(crate) event: String,
    #[prost(uint64, tag = "2")]
    pub(crate) time_ms: u64,
    #[prost(string, optional, tag = "3")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) room: Option<String>,
    #[prost(string, optional, tag = "4")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) connection: Option<String>,
    #[prost(string, optional, tag = "5")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[prost(uint32, optional, tag = "6")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<u32>,
    #[prost(string, optional, tag = "7")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[prost(uint32, optional, tag = "8")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) members: Option<u32>,
}

/// The answer to an event. A key that is not known is an error: a mistyped `reject` would let
/// everybody in.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    #[prost(uint64, tag = "1")]
    #[serde(default)]
    pub(crate) id: u64,
    #[prost(message, optional, tag = "2")]
    #[serde(default)]
    pub(crate) reject: Option<Reject>,
    #[prost(string, optional, tag = "3")]
    #[serde(default)]
    pub(crate) user: Option<String>,
    #[prost(string, repeated, tag = "4")]
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    #[serde(default)]
    pub(crate) rooms: Vec<String>,
    #[prost(bytes = "vec", optional, tag = "6")]
    #[serde(default, deserialize_with = "read_json")]
    pub(crate) data: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "7")]
    #[serde(default)]
    pub(crate) publish: Vec<Publish>,
    #[prost(bool, tag = "8")]
    #[serde(default)]
    pub(crate) instead: bool,
    #[prost(uint64, optional, tag = "9")]
    #[serde(default)]
    pub(crate) expires_ms: Option<u64>,
}

impl Answer {
    /// The answer of a webhook.
    ///
    /// # Errors
    /// It is no object, or has what an answer has not.
    pub(crate) fn from_json(text: &[u8]) -> Result<Answer, serde_json::Error> {
        // An array of values in the order of the keys would be read, too, and an empty one accept.
        match text.trim_ascii_start().first() {
            Some(b'{') => serde_json::from_slice(text),
            _ => Err(de::Error::custom("it is no object")),
        }
    }
}

/// Why an event is not accepted.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reject {
    #[prost(string, tag = "1")]
    pub(crate) code: String,
    #[prost(string, tag = "2")]
    #[serde(default)]
    pub(crate) message: String,
    #[prost(uint32, optional, tag = "3")]
    #[serde(default)]
    pub(crate) retry_after_ms: Option<u32>,
}

/// An event for clients.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publish {
    #[prost(string, optional, tag = "1")]
    #[serde(default)]
    pub(crate) room: Option<String>,
    #[prost(string, optional, tag = "2")]
    #[serde(default)]
    pub(crate) user: Option<String>,
    #[prost(string, optional, tag = "3")]
    #[serde(default)]
    pub(crate) connection: Option<String>,
    #[prost(bool, tag = "4")]
    #[serde(default)]
    pub(crate) everyone: bool,
    #[prost(string, tag = "5")]
    pub(crate) event: String,
    #[prost(bytes = "vec", optional, tag = "6")]
    #[serde(default, deserialize_with = "read_json")]
    pub(crate) data: Option<Vec<u8>>,
    #[prost(string, optional, tag = "7")]
    #[serde(default)]
    pub(crate) except: Option<String>,
    #[prost(string, optional, tag = "8")]
    #[serde(default)]
    pub(crate) traceparent: Option<String>,
}

/// What the backend has the server do.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BackendCommand {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(oneof = "Order", tags = "2, 3, 4, 5")]
    pub(crate) what: Option<Order>,
}

/// See [`BackendCommand`].
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Order {
    #[prost(message, tag = "2")]
    Publish(Publish),
    #[prost(message, tag = "3")]
    Disconnect(Disconnect),
    #[prost(message, tag = "4")]
    Join(Membership),
    #[prost(message, tag = "5")]
    Leave(Membership),
}

/// Whose connections end.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Disconnect {
    #[prost(string, optional, tag = "1")]
    pub(crate) connection: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(crate) user: Option<String>,
    #[prost(uint32, optional, tag = "3")]
    pub(crate) code: Option<u32>,
    #[prost(string, tag = "4")]
    pub(crate) reason: String,
}

/// Who joins or leaves what.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Membership {
    #[prost(string, tag = "1")]
    pub(crate) connection: String,
    #[prost(string, repeated, tag = "2")]
    pub(crate) rooms: Vec<String>,
}

/// What became of a command.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CommandDone {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(message, optional, tag = "2")]
    pub(crate) failed: Option<Reject>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Writes what is JSON already.
fn write_json<S: Serializer>(data: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
    let data = data.as_deref().unwrap_or(b"null");
    let raw: &RawValue = serde_json::from_slice(data).map_err(ser::Error::custom)?;
    raw.serialize(to)
}

/// Reads a value and keeps it as it was written.
fn read_json<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
    let raw = Box::<RawValue>::deserialize(from).map_err(de::Error::custom)?;
    Ok(Some(raw.get().as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_mistyped_accepts_nothing() {
        let read = |text: &str| Answer::from_json(text.as_bytes());
        for (text, is_read) in [
            ("{}", true),
            (r#"{"reject":{"code":"forbidden"}}"#, true),
            (r#"{"rejct":{"code":"forbidden"}}"#, false),
            (r#"{"reject":{"message":"no code"}}"#, false),
            (r#"{"publish":[{"room":"r"}]}"#, false),
            (
                r#"{"publish":[{"room":"r","event":"e","data":{"a":1}}]}"#,
                true,
            ),
            ("[]", false),
            ("", false),
        ] {
            assert_eq!(read(text).is_ok(), is_read, "{text}");
        }
        let answer = read(r#"{"data": {"a": 1} ,"roles":["x"]}"#).expect("it fits");
        assert_eq!(answer.data.as_deref(), Some(&br#"{"a": 1}"#[..]));
    }

    #[test]
    fn an_event_says_what_it_has_and_no_more() {
        let event = GatewayEvent {
            id: 7,
            event: "publish".to_owned(),
            rooms: vec!["r".to_owned()],
            data: Some(br#"{"text":"hi"}"#.to_vec()),
            ..GatewayEvent::default()
        };
        assert_eq!(
            serde_json::to_string(&event).expect("it can be written"),
            r#"{"id":7,"instance":"","event":"publish","attempt":0,"time_ms":0,"rooms":["r"],"data":{"text":"hi"}}"#
        );
    }
}
