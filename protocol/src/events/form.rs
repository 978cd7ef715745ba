//! What a server's frame becomes for a connection that is sent no frames, or other ones: our own
//! events, the streams of the Centrifuge protocol, or what its unidirectional clients hear.
//!
//! Invariant: messages of that protocol in JSON have no line feed, so a line, or an event, is one;
//! and what ends a connection is said in a message, since streams have no close codes. Called by
//! `events`.

use crate::close::CloseFrame;
use crate::dialect::Dialect;
use crate::dialect::centrifuge::{pushed_alone, write_disconnect};
use crate::frame::{self, Header, OpCode};
use crate::json;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::io::Write as _;

/// In which form a connection is sent its messages, where not as the frames that were encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Form {
    /// Events, of which the first names the session: of the native dialect.
    #[default]
    Events,
    /// An event for each message, in JSON of the Centrifuge protocol.
    CentrifugeEvents,
    /// A line for each.
    CentrifugeLines,
    /// In Protobuf, each behind its length.
    CentrifugeDelimited,
    /// An event for each push, for clients that ask for nothing.
    PushEvents,
    /// A line for each push.
    PushLines,
    /// A WebSocket's frame for each push.
    PushFrames,
}

impl Form {
    /// The media type of a stream.
    pub const fn content_type(self) -> &'static str {
        match self {
            Form::Events | Form::CentrifugeEvents | Form::PushEvents => "text/event-stream",
            Form::CentrifugeLines | Form::PushLines | Form::PushFrames => "application/json",
            Form::CentrifugeDelimited => "application/octet-stream",
        }
    }

    /// Whether the client hears pushes alone, and says nothing after its first message.
    pub const fn is_unidirectional(self) -> bool {
        match self {
            Form::PushEvents | Form::PushLines | Form::PushFrames => true,
            Form::Events
            | Form::CentrifugeEvents
            | Form::CentrifugeLines
            | Form::CentrifugeDelimited => false,
        }
    }

    /// Appends what stands before the first message, if anything does.
    pub(super) fn write_opening(self, out: &mut Vec<u8>, token: &str) {
        match self {
            Form::Events => {
                out.extend_from_slice(b"event: session\n");
                write_data(out, token.as_bytes());
            }
            // Proxies and browsers pass a stream on when something of it is there.
            Form::CentrifugeEvents | Form::PushEvents => out.extend_from_slice(b"\r\n"),
            Form::CentrifugeLines
            | Form::CentrifugeDelimited
            | Form::PushLines
            | Form::PushFrames => {}
        }
    }

    /// Appends what a frame becomes.
    pub(super) fn write(self, out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
        match (self, opcode) {
            (Form::Events, _) => write_event(out, opcode, payload),
            (_, OpCode::Text | OpCode::Binary | OpCode::Continuation) => {
                self.write_message(out, payload);
            }
            (Form::PushFrames, OpCode::Ping | OpCode::Pong) => {
                frame::write_frame(out, opcode, payload);
            }
            (Form::CentrifugeEvents | Form::PushEvents, OpCode::Ping) => {
                out.extend_from_slice(b":\n\n");
            }
            (_, OpCode::Ping | OpCode::Pong) => {}
            (_, OpCode::Close) => {
                let (code, reason) = said_by(payload);
                let dialect = match self {
                    Form::CentrifugeDelimited => Dialect::CentrifugeProtobuf,
                    _ => Dialect::CentrifugeJson,
                };
                let mut disconnect = Vec::new();
                write_disconnect(dialect, &mut disconnect, code, reason);
                self.write_message(out, &disconnect);
                if self == Form::PushFrames {
                    frame::write_frame(out, OpCode::Close, payload);
                }
            }
        }
    }

    fn write_message(self, out: &mut Vec<u8>, message: &[u8]) {
        let (before, rest) = match self.is_unidirectional() {
            true => pushed_alone(message),
            false => (&b""[..], message),
        };
        match self {
            Form::Events => write_data(out, message),
            Form::CentrifugeEvents | Form::PushEvents => {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(before);
                push_in_line(out, rest);
                out.extend_from_slice(b"\n\n");
            }
            Form::CentrifugeLines | Form::PushLines => {
                out.extend_from_slice(before);
                out.extend_from_slice(rest);
                out.push(b'\n');
            }
            Form::CentrifugeDelimited => out.extend_from_slice(message),
            Form::PushFrames => {
                let header = Header::server(OpCode::Text, before.len() + rest.len());
                out.extend_from_slice(&header);
                out.extend_from_slice(before);
                out.extend_from_slice(rest);
            }
        }
    }
}

/// JSON in a line of an event stream, which a carriage return ends, too: between the parts of
/// JSON, where alone there is one, a space is the same.
fn push_in_line(out: &mut Vec<u8>, json: &[u8]) {
    let mut parts = json.split(|byte| matches!(byte, b'\r' | b'\n'));
    out.extend_from_slice(parts.next().unwrap_or_default());
    for part in parts {
        out.push(b' ');
        out.extend_from_slice(part);
    }
}

/// Code and reason of a close frame.
fn said_by(payload: &[u8]) -> (u16, &str) {
    match CloseFrame::parse(payload) {
        Ok(close) => (close.code.map_or(1005, |code| code.get()), close.reason),
        Err(_) => (1005, ""),
    }
}

fn write_event(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    match opcode {
        OpCode::Text | OpCode::Continuation => write_data(out, payload),
        OpCode::Binary => {
            out.extend_from_slice(b"event: binary\n");
            write_data(out, BASE64_STANDARD.encode(payload).as_bytes());
        }
        OpCode::Ping => out.extend_from_slice(b":\n\n"),
        OpCode::Pong => {}
        OpCode::Close => {
            let (code, reason) = said_by(payload);
            out.extend_from_slice(b"event: close\ndata: {\"code\":");
            let _ = write!(out, "{code}");
            out.extend_from_slice(b",\"reason\":");
            json::push_string(out, reason);
            out.extend_from_slice(b"}\n\n");
        }
    }
}

/// `data` lines and the empty line that ends the event. CR, LF and CR LF end a line alike, and the
/// client joins lines with LF.
fn write_data(out: &mut Vec<u8>, mut text: &[u8]) {
    out.reserve(text.len() + b"data: \n\n".len());
    loop {
        out.extend_from_slice(b"data: ");
        let Some(at) = memchr::memchr2(b'\r', b'\n', text) else {
            out.extend_from_slice(text);
            out.extend_from_slice(b"\n\n");
            return;
        };
        out.extend_from_slice(&text[..at]);
        out.push(b'\n');
        let ending_bytes = if text[at..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        text = &text[at + ending_bytes..];
    }
}
