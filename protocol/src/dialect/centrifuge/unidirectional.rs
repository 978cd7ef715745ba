//! Clients that hear pushes and ask for nothing: what they say is the request of the first command,
//! and what they hear is what stands in replies. Also what tells a client that its connection ends,
//! where there is no close frame. Used by the server, and by the forms of streams.
//!
//! Invariant: their one command has the number 1, so the reply to it is known by its beginning.

use super::body::{Delimited, JsonLines, WireNotation, message};
use super::schema::received::{disconnect, push, reply};
use crate::dialect::Dialect;

/// The first command of a client that says `request`, an object, and nothing is an empty one.
pub fn connect_command(request: &[u8]) -> Vec<u8> {
    let request = match request.trim_ascii() {
        b"" => b"{}",
        request => request,
    };
    let mut command = [br#"{"id":1,"connect":"#, request, b"}"].concat();
    // In JSON a line feed stands between its parts alone, and would end the command.
    for byte in &mut command {
        if *byte == b'\n' {
            *byte = b' ';
        }
    }
    command
}

/// A reply in JSON as such a client hears it, in two parts: the push by itself, or the reply to its
/// command, which is a push then, too.
pub fn pushed_alone(message: &[u8]) -> (&'static [u8], &[u8]) {
    let pushed = message.strip_prefix(br#"{"push":"#);
    if let Some(pushed) = pushed.and_then(|rest| rest.strip_suffix(b"}")) {
        return (b"", pushed);
    }
    match message.strip_prefix(br#"{"id":1,"#) {
        Some(rest) => (b"{", rest),
        None => (b"", message),
    }
}

/// Appends the push that ends a connection, of a dialect of the protocol.
pub fn write_disconnect(dialect: Dialect, out: &mut Vec<u8>, code: u16, reason: &str) {
    match dialect {
        Dialect::CentrifugeProtobuf => write_push::<Delimited>(out, code, reason),
        _ => write_push::<JsonLines>(out, code, reason),
    }
}

fn write_push<N: WireNotation>(out: &mut Vec<u8>, code: u16, reason: &str) {
    message::<N>(out, reason.len() + 12, |body| {
        body.message(reply::PUSH, reason.len() + 10, |body| {
            body.message(push::DISCONNECT, reason.len() + 5, |body| {
                body.unsigned(disconnect::CODE, code.into());
                body.text(disconnect::REASON, reason);
            });
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_become_pushes() {
        for (reply, expected) in [
            (
                r#"{"push":{"channel":"a","pub":{"data":{}}}}"#,
                r#"{"channel":"a","pub":{"data":{}}}"#,
            ),
            (
                r#"{"id":1,"connect":{"client":"x"}}"#,
                r#"{"connect":{"client":"x"}}"#,
            ),
            ("{}", "{}"),
        ] {
            let (before, rest) = pushed_alone(reply.as_bytes());
            assert_eq!([before, rest].concat(), expected.as_bytes());
        }
    }

    #[test]
    fn a_request_becomes_the_first_command() {
        for (request, expected) in [
            ("", r#"{"id":1,"connect":{}}"#),
            (" \n", r#"{"id":1,"connect":{}}"#),
            (r#" {"token":"x"} "#, r#"{"id":1,"connect":{"token":"x"}}"#),
            ("{\n\"data\":1}", r#"{"id":1,"connect":{ "data":1}}"#),
        ] {
            assert_eq!(connect_command(request.as_bytes()), expected.as_bytes());
        }
    }

    #[test]
    fn the_end_is_a_push_in_either_encoding() {
        let written = |dialect| {
            let mut out = Vec::new();
            write_disconnect(dialect, &mut out, 3500, "bad");
            out
        };
        let json = br#"{"push":{"disconnect":{"code":3500,"reason":"bad"}}}"#;
        assert_eq!(written(Dialect::CentrifugeJson), json);
        let protobuf = b"\x0c\x22\x0a\x5a\x08\x08\xac\x1b\x12\x03bad";
        assert_eq!(written(Dialect::CentrifugeProtobuf), protobuf);
    }
}
