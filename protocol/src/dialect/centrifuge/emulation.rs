//! Commands that come beside a stream: a request's body names the session, and has in it what a
//! WebSocket's message would have. Read by the server.

use super::protobuf::Wire;
use super::record::{FieldValue, Record};
use super::schema::sent::emulation;
use crate::dialect::fields::Wrong;
use crate::dialect::value::Value;
use crate::frame::Kind;
use std::borrow::Cow;

/// A body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emulated<'b> {
    /// Whose message it is.
    pub session: Cow<'b, str>,
    /// The message.
    pub data: Cow<'b, [u8]>,
}

impl<'b> Emulated<'b> {
    /// Reads a body: of text it is one JSON object, of bytes one message in Protobuf.
    ///
    /// # Errors
    /// What it is instead.
    pub fn read(body: &'b [u8], kind: Kind) -> Result<Emulated<'b>, &'static str> {
        match kind {
            Kind::Text => Emulated::of_json(body),
            Kind::Binary => Emulated::of_protobuf(body),
        }
    }

    fn of_json(body: &'b [u8]) -> Result<Emulated<'b>, Wrong> {
        let text = simdutf8::basic::from_utf8(body).map_err(|_| "it is not UTF-8")?;
        let record = Record::of_line(text, 0, emulation::ALL)?;
        let data = record.get(emulation::DATA).ok_or(NO_DATA)?;
        // A text with commands in it, or one command as it is.
        let data = match (data.text(), FieldValue::data(data, 0)) {
            (Some(Cow::Borrowed(text)), _) => Cow::Borrowed(text.as_bytes()),
            (Some(Cow::Owned(text)), _) => Cow::Owned(text.into_bytes()),
            (None, Some(Value::Json(json))) => Cow::Borrowed(json.as_str().as_bytes()),
            (None, _) => return Err(NO_DATA),
        };
        Ok(Emulated {
            session: record.text(emulation::SESSION)?,
            data,
        })
    }

    fn of_protobuf(body: &'b [u8]) -> Result<Emulated<'b>, Wrong> {
        let record = Record::of_bytes(body, emulation::ALL)?;
        match record.get(emulation::DATA) {
            Some(Wire::Bytes(data)) => Ok(Emulated {
                session: record.text(emulation::SESSION)?,
                data: Cow::Borrowed(data),
            }),
            Some(Wire::Varint(..) | Wire::Fixed) | None => Err(NO_DATA),
        }
    }
}

const NO_DATA: Wrong = "data is missing";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &[u8], kind: Kind, expected: Result<(&str, &[u8]), ()>) {
        let read = Emulated::read(body, kind);
        let read = read.as_ref().map(|read| (&*read.session, &*read.data));
        assert_eq!(read.map_err(|_| ()), expected, "{body:?}");
    }

    #[test]
    fn a_body_names_its_session_and_has_a_message() {
        let json = |body: &str, expected| check(body.as_bytes(), Kind::Text, expected);
        let commands = &br#"{"id":1,"rpc":{}}"#[..];
        json(
            r#"{"session":"s","node":"n","data":"{\"id\":1,\"rpc\":{}}"}"#,
            Ok(("s", commands)),
        );
        json(
            r#"{"data":{"id":1,"rpc":{}},"session":"s"}"#,
            Ok(("s", commands)),
        );
        json(r#"{"session":"s","data":"{}\n{}"}"#, Ok(("s", b"{}\n{}")));
        json(r#"{"data":"{}"}"#, Ok(("", b"{}")));
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"session":"s","data":null}"#,
            r#"{"session":1,"data":""}"#,
        ] {
            json(wrong, Err(()));
        }
        check(b"{\"session\":\"\xff\",\"data\":\"\"}", Kind::Text, Err(()));
        let protobuf = |body: &[u8], expected| check(body, Kind::Binary, expected);
        protobuf(b"\x12\x01s\x1a\x03\x02\x08\x01", Ok(("s", b"\x02\x08\x01")));
        protobuf(b"\x0a\x01n\x12\x01s\x1a\x00", Ok(("s", b"")));
        for wrong in [
            &b"\x12\x01s"[..],
            b"\x1a\x05x",
            b"\x12\x01\xff\x1a\x00",
            b"\x18\x01",
        ] {
            protobuf(wrong, Err(()));
        }
    }
}
