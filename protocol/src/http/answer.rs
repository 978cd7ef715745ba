//! Answers to requests: complete, with a length, and without a line that a peer wrote.
//!
//! No answer has a `Date`: the engine reads no wall clock, and a server without one must not send
//! it (RFC 9110 §6.6.1).

use super::Headers;
use std::io::Write as _;

/// A complete answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// 200..=999; anything else becomes 500.
    pub status: u16,
    /// Media type of the body, chosen by the server.
    pub content_type: &'a str,
    /// The body: it may hold anything.
    pub body: &'a [u8],
    /// Whether the body is sent or only its length.
    pub content: Content,
    /// What becomes of the connection.
    pub persistence: Persistence,
    /// How long a connection that persists waits for the next request, in seconds: `Keep-Alive`
    /// has them. 0: there is no such header.
    pub keep_alive_seconds: u64,
    /// Further header lines, each with its CRLF, chosen by the server.
    pub lines: &'a str,
    /// The application's: one of a name that the server has given by itself comes in its place.
    pub headers: &'a Headers,
}

/// Whether an answer's body goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// It does.
    Sent,
    /// The request was a HEAD: the headers are those of a GET, and nothing follows (RFC 9110
    /// §9.3.2).
    Withheld,
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Persistence {
    /// It goes on, which is the default of HTTP/1.1.
    Persist,
    /// It goes on, and the answer says so, for HTTP/1.0 expects the opposite.
    PersistExplicitly,
    /// It is closed.
    Close,
}

/// Appends an answer. 426 carries what RFC 6455 §4.4 and RFC 9110 §15.5.22 ask, 503 and 429
/// `Retry-After: 1`.
pub fn write_answer(out: &mut Vec<u8>, answer: &Answer<'_>) {
    let status = match answer.status {
        200..=999 => answer.status,
        _ => 500,
    };
    let _ = write!(out, "HTTP/1.1 {status} {}\r\n", phrase(status));
    // These have no content, and no header may speak of its length (RFC 9110 §8.6, §15.4.5).
    let has_content = !matches!(status, 204 | 304);
    if has_content {
        let _ = write!(out, "Content-Type: {}\r\n", answer.content_type);
    }
    // A HEAD's answer may leave the length out: what a GET would be answered may be a stream, which
    // has none.
    if has_content && !(answer.content == Content::Withheld && answer.body.is_empty()) {
        let _ = write!(out, "Content-Length: {}\r\n", answer.body.len());
    }
    write_connection(out, answer, status == 426);
    let demand = match status {
        426 => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        429 | 503 => "Retry-After: 1\r\n",
        _ => "",
    };
    answer
        .headers
        .write_over(out, &[demand, answer.lines].concat());
    out.extend_from_slice(b"\r\n");
    if answer.content == Content::Sent && has_content {
        out.extend_from_slice(answer.body);
    }
}

/// What becomes of the connection. An `Upgrade` header wants its connection option (RFC 9110 §7.8),
/// and so does `Keep-Alive` (§7.6.1).
fn write_connection(out: &mut Vec<u8>, answer: &Answer<'_>, names_upgrade: bool) {
    let seconds = match answer.persistence {
        Persistence::Close => 0,
        Persistence::Persist | Persistence::PersistExplicitly => answer.keep_alive_seconds,
    };
    let option = match answer.persistence {
        Persistence::Close => "close",
        Persistence::Persist if seconds == 0 => "",
        Persistence::Persist | Persistence::PersistExplicitly => "keep-alive",
    };
    let value = match (option, names_upgrade) {
        ("", false) => return,
        ("", true) => "Upgrade",
        (option, false) => option,
        (option, true) => &format!("{option}, Upgrade"),
    };
    let _ = write!(out, "Connection: {value}\r\n");
    if seconds > 0 {
        let _ = write!(out, "Keep-Alive: timeout={seconds}\r\n");
    }
}

/// Appends a complete refusal: a short text, `Connection: close`, and with 405 `Allow: GET`.
/// `reason` is the body, so it may hold anything.
pub fn write_refusal(out: &mut Vec<u8>, status: u16, reason: &str, headers: &Headers) {
    let answer = Answer {
        status,
        content_type: "text/plain; charset=utf-8",
        body: reason.as_bytes(),
        content: Content::Sent,
        persistence: Persistence::Close,
        keep_alive_seconds: 0,
        lines: match status {
            405 => "Allow: GET\r\n",
            _ => "",
        },
        headers,
    };
    write_answer(out, &answer);
}

/// Appends the interim answer for which a client with `Expect: 100-continue` waits (RFC 9110
/// §10.1.1).
pub fn write_continue(out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// RFC 9110 §15, RFC 6585.
fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Refused",
    }
}
