//! Server-Sent Events (WHATWG HTML §9.2): the frames that a server would send, as events for
//! clients whose network lets no WebSocket through.
//!
//! A text message is an event without a name, one `data` line for each of its lines; a binary one
//! is `binary`, in base64; a close frame is `close` with its code and reason as JSON, after which
//! the stream ends; a ping is a comment, which keeps proxies awake. What is written at once is one
//! chunk (RFC 9112 §7.1) where the client speaks HTTP/1.1: there are proxies that hold back the
//! beginning of an answer with neither length nor chunks until more of it comes. Called by the
//! engine for event streams; complete, plain frames in, complete events out.

use crate::close::CloseFrame;
use crate::frame::{self, OpCode};
use crate::http::{Headers, Version};
use crate::json;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::io::Write as _;

/// The header that answers of the stream's path bear: which pages may ask is the server's to decide
/// before, as for a WebSocket, and they may read what they are answered.
pub const OPEN_TO_ALL: (&str, &str) = ("Access-Control-Allow-Origin", "*");

/// The same as a line.
pub const OPEN_TO_ALL_LINE: &str = "Access-Control-Allow-Origin: *\r\n";

/// The lines of the answer to a preflight request (Fetch §3.2): a POST with any content type.
pub const PREFLIGHT: &str = "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: GET, HEAD, POST\r\n\
     Access-Control-Allow-Headers: Content-Type\r\nAccess-Control-Max-Age: 86400\r\nAllow: GET, HEAD, POST, OPTIONS\r\n";

/// Lines of the answer that is a stream, and of the one to a HEAD.
pub const STREAM_LINES: &str =
    "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\nAccess-Control-Allow-Origin: *\r\n";

/// The media type of a stream.
pub const STREAM_TYPE: &str = "text/event-stream";

/// How a stream's end is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// By a chunk without bytes.
    Chunked,
    /// It is the connection's: HTTP/1.0 knows no chunks.
    UntilClose,
}

impl Framing {
    /// What a client of this version is sent. Clause 9112-6.1-5.
    pub fn of(version: Version) -> Framing {
        match version {
            Version::Http10 => Framing::UntilClose,
            Version::Http11 => Framing::Chunked,
        }
    }
}

/// Appends the head of the answer that becomes a stream, with the application's `headers`, and its
/// first event: the token with which messages are posted. The stream's end is the connection's,
/// too.
pub fn write_opening(out: &mut Vec<u8>, token: &str, framing: Framing, headers: &Headers) {
    let _ = write!(out, "HTTP/1.1 200 OK\r\nContent-Type: {STREAM_TYPE}\r\n");
    headers.write_over(out, STREAM_LINES);
    if framing == Framing::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(b"Connection: close\r\n\r\n");
    write_framed(out, framing, |out| {
        out.extend_from_slice(b"event: session\n");
        write_data(out, token.as_bytes());
    });
}

/// Appends the events of `frames`, which are complete and neither masked nor compressed. Pongs have
/// none, and a close frame is the last.
pub fn write_frames(out: &mut Vec<u8>, mut frames: &[u8], framing: Framing) {
    let mut ends = false;
    write_framed(out, framing, |out| {
        while let Some((opcode, payload, rest)) = frame::split_server_frame(frames) {
            write_event(out, opcode, payload);
            ends |= opcode == OpCode::Close;
            frames = rest;
        }
    });
    if ends && framing == Framing::Chunked {
        out.extend_from_slice(b"0\r\n\r\n");
    }
}

/// What `fill` appends is one chunk, where there are chunks. Nothing is none: a chunk without bytes
/// would be the last.
fn write_framed(out: &mut Vec<u8>, framing: Framing, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    fill(out);
    let bytes = out.len() - start;
    if framing == Framing::UntilClose || bytes == 0 {
        return;
    }
    let size = format!("{bytes:x}\r\n");
    out.splice(start..start, size.bytes());
    out.extend_from_slice(b"\r\n");
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
            let (code, reason) = match CloseFrame::parse(payload) {
                Ok(close) => (close.code.map_or(1005, |code| code.get()), close.reason),
                Err(_) => (1005, ""),
            };
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
