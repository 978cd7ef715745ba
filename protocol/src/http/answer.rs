//! Answers to requests: complete, with a length, and without a line that a peer wrote.
//!
//! No answer has a `Date`: the engine reads no wall clock, and a server without one must not send it (RFC 9110 §6.6.1).

use std::fmt::Write as _;

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
    /// Whole further header lines, each with its CRLF, chosen by the server.
    pub lines: &'a str,
}

/// Whether an answer's body goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// It does.
    Sent,
    /// The request was a HEAD: the headers are those of a GET, and nothing follows (RFC 9110 §9.3.2).
    Withheld,
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Persistence {
    /// It goes on, as HTTP/1.1 does unless somebody says otherwise.
    Persist,
    /// It goes on, and HTTP/1.0 must be told.
    PersistSaid,
    /// It is closed.
    Close,
}

/// Appends an answer. 426 carries what RFC 6455 §4.4 and RFC 9110 §15.5.22 ask, 503 and 429 `Retry-After: 1`.
pub fn write_answer(out: &mut Vec<u8>, answer: &Answer<'_>) {
    let status = match answer.status {
        200..=999 => answer.status,
        _ => 500,
    };
    // An `Upgrade` header wants its connection option (RFC 9110 §7.8).
    let connection = match (status, answer.persistence) {
        (426, Persistence::Close) => "Connection: close, Upgrade\r\n",
        (426, Persistence::Persist) => "Connection: Upgrade\r\n",
        (426, Persistence::PersistSaid) => "Connection: keep-alive, Upgrade\r\n",
        (_, Persistence::Close) => "Connection: close\r\n",
        (_, Persistence::Persist) => "",
        (_, Persistence::PersistSaid) => "Connection: keep-alive\r\n",
    };
    let demand = match status {
        426 => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        429 | 503 => "Retry-After: 1\r\n",
        _ => "",
    };
    let mut head = String::new();
    let _ = write!(head, "HTTP/1.1 {status} {}\r\n", phrase(status));
    // 204 has no content, and no header may speak of its length (RFC 9110 §8.6).
    if status != 204 {
        let (kind, bytes) = (answer.content_type, answer.body.len());
        let _ = write!(head, "Content-Type: {kind}\r\nContent-Length: {bytes}\r\n");
    }
    let lines = answer.lines;
    let _ = write!(head, "{connection}{demand}{lines}\r\n");
    out.extend_from_slice(head.as_bytes());
    if answer.content == Content::Sent && status != 204 {
        out.extend_from_slice(answer.body);
    }
}

/// Appends a complete refusal: a short text, `Connection: close`, and with 405 `Allow: GET`.
/// `reason` is the body, so it may hold anything.
pub fn write_refusal(out: &mut Vec<u8>, status: u16, reason: &str) {
    let answer = Answer {
        status,
        content_type: "text/plain; charset=utf-8",
        body: reason.as_bytes(),
        content: Content::Sent,
        persistence: Persistence::Close,
        lines: match status {
            405 => "Allow: GET\r\n",
            _ => "",
        },
    };
    write_answer(out, &answer);
}

/// Appends the interim answer for which a client with `Expect: 100-continue` waits (RFC 9110 §10.1.1).
pub fn write_continue(out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// RFC 9110 §15, RFC 6585.
fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Refused",
    }
}
