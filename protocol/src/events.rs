//! Event streams: the frames that a server would send, in a form for clients whose network lets no
//! WebSocket through. In the native dialect these are Server-Sent Events (WHATWG HTML §9.2); `form`
//! has that and the others.
//!
//! In the native form a text message is an event without a name, one `data` line for each of its
//! lines; a binary one is `binary`, in base64; a close frame is `close` with its code and reason as
//! JSON, after which the stream ends; a ping is a comment, which keeps proxies awake. What is
//! written at once is one chunk (RFC 9112 §7.1) where the client speaks HTTP/1.1: there are proxies
//! that hold back the beginning of an answer with neither length nor chunks until more of it comes.
//! Called by the engine for event streams; complete, plain frames in, complete messages out.

mod form;

pub use form::Form;

use crate::frame::{self, OpCode};
use crate::http::{Headers, Version};
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

/// Appends the head of the answer that becomes a stream, with the application's `headers`, and what
/// stands before its first message: in the native form an event with the `token` with which
/// messages are posted. The stream's end is the connection's, too.
pub fn write_opening(
    out: &mut Vec<u8>,
    form: Form,
    token: &str,
    framing: Framing,
    headers: &Headers,
) {
    let content_type = form.content_type();
    let _ = write!(out, "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n");
    headers.write_over(out, STREAM_LINES);
    if framing == Framing::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(b"Connection: close\r\n\r\n");
    write_framed(out, framing, |out| form.write_opening(out, token));
}

/// Appends what `frames` become, which are complete and neither masked nor compressed. A close
/// frame is the last.
pub fn write_frames(out: &mut Vec<u8>, mut frames: &[u8], form: Form, framing: Framing) {
    let mut ends = false;
    write_framed(out, framing, |out| {
        while let Some((opcode, payload, rest)) = frame::split_server_frame(frames) {
            form.write(out, opcode, payload);
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
