//! Headers that an application adds to an answer: checked when they are added, so that no value
//! writes lines of its own and none changes where the answer ends or what becomes of the
//! connection. Called by applications; written by `answer`, `upgrade` and `events`.

use crate::head;

/// Header lines of an application's, each checked. Its clones and its order are those of what was
/// added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Headers {
    /// Lines, each with its CRLF; at most [`Headers::BYTES_MAX`].
    lines: String,
}

/// Why a header is not taken; the headers are as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HeaderError {
    /// The name is no token (RFC 9110 §5.6.2).
    #[error("the name of a header is not a token")]
    Name,
    /// The name is one of [`Headers::RESERVED`], or begins with `Sec-WebSocket-`.
    #[error("this header is written by the server alone")]
    Reserved,
    /// The value is not visible ASCII, with spaces and tabs between (RFC 9110 §5.5).
    #[error("the value of a header has a character that cannot stand there")]
    Value,
    /// All lines together would be longer than [`Headers::BYTES_MAX`].
    #[error(
        "the headers of an answer are longer than {} bytes",
        Headers::BYTES_MAX
    )]
    TooLarge,
}

impl Headers {
    /// All lines of an answer together, in bytes: two cookies of the largest size that browsers
    /// keep (RFC 6265 §6.1).
    pub const BYTES_MAX: usize = 8 << 10;

    /// Names that say where an answer ends, what is in it, and what becomes of the connection (RFC
    /// 9110 §7.6.1, §8; RFC 9112 §6). Only the server writes them.
    pub const RESERVED: [&str; 12] = [
        "Connection",
        "Content-Encoding",
        "Content-Length",
        "Content-Range",
        "Content-Type",
        "HTTP2-Settings",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
    ];

    /// None.
    pub fn new() -> Headers {
        Headers::default()
    }

    /// Adds a header behind those that are there; one of the same name stays (`Set-Cookie` may come
    /// twice).
    ///
    /// # Errors
    /// It is not taken.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        const SEC_WEBSOCKET: &str = "sec-websocket-";
        if !head::is_token(name.as_bytes()) {
            return Err(HeaderError::Name);
        }
        let is_name = |reserved: &&str| reserved.eq_ignore_ascii_case(name);
        let start = name.as_bytes().get(..SEC_WEBSOCKET.len());
        let is_handshake =
            start.is_some_and(|start| start.eq_ignore_ascii_case(SEC_WEBSOCKET.as_bytes()));
        if is_handshake || Headers::RESERVED.iter().any(is_name) {
            return Err(HeaderError::Reserved);
        }
        let stands = |byte: u8| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t';
        if !value.bytes().all(stands) || value.trim_ascii() != value {
            return Err(HeaderError::Value);
        }
        let line_bytes = name.len() + ": ".len() + value.len() + "\r\n".len();
        if self.lines.len() + line_bytes > Headers::BYTES_MAX {
            return Err(HeaderError::TooLarge);
        }
        for part in [name, ": ", value, "\r\n"] {
            self.lines.push_str(part);
        }
        Ok(())
    }

    /// Whether a header of that name was added (case-insensitive).
    pub fn has(&self, name: &str) -> bool {
        self.lines.lines().any(|line| {
            let given = line.split(':').next().unwrap_or_default();
            given.eq_ignore_ascii_case(name)
        })
    }

    /// Lines, each with its CRLF.
    pub(crate) fn lines(&self) -> &str {
        &self.lines
    }

    /// Appends the server's own `lines` but for those whose names the application has given, then
    /// the application's.
    pub(crate) fn write_over(&self, out: &mut Vec<u8>, lines: &str) {
        for line in lines.split_inclusive("\r\n") {
            let name = line.split(':').next().unwrap_or_default();
            if !self.has(name) {
                out.extend_from_slice(line.as_bytes());
            }
        }
        out.extend_from_slice(self.lines.as_bytes());
    }
}
