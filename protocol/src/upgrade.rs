//! The opening handshake (RFC 6455 §4, RFC 9112), server side: a `Request` that exists obeys every rule of §4.2.1, and
//! what is answered cannot carry a line that a peer wrote. Called by the shard on a connection that is upgrading;
//! clients find their side of it here too.

use std::fmt::Write as _;
use std::mem::MaybeUninit;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use crate::deflate::{Agreement, ExtensionsMalformed, Takeover, negotiate};
pub use crate::handshake_client::{ResponseError, encode_key, parse_response, write_request};
use crate::head;

/// Bounds of a request head.
#[derive(Clone, Copy, Debug)]
pub struct UpgradeLimits {
    /// Largest head in bytes, terminator included; more is 431.
    pub head_bytes_max: usize,
}

/// A request that may be upgraded: every rule of RFC 6455 §4.2.1 holds.
#[derive(Debug)]
pub struct Request<'b> {
    path: &'b str,
    query: Option<&'b str>,
    key: &'b str,
    headers: Vec<(&'b str, &'b [u8])>,
}

impl<'b> Request<'b> {
    /// The path, without the query; begins with `/`. Percent-encoding is left as it came.
    pub fn path(&self) -> &'b str {
        self.path
    }

    /// What follows `?`, if anything.
    pub fn query(&self) -> Option<&'b str> {
        self.query
    }

    /// First header of that name (case-insensitive).
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        self.headers
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// Subprotocols offered, in the client's order (all Sec-WebSocket-Protocol headers). What is not a token is left out.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'b str> + '_ {
        head::values(&self.headers, "Sec-WebSocket-Protocol")
            .flat_map(head::items)
            .filter(|item| head::is_token(item))
            .filter_map(|item| str::from_utf8(item).ok())
    }

    /// What is agreed on of the permessage-deflate offers; `None`: nothing.
    ///
    /// # Errors
    /// `Sec-WebSocket-Extensions` is malformed: the request is refused with 400 (RFC 6455 §9.1).
    pub fn deflate(&self, takeover: Takeover) -> Result<Option<Agreement>, ExtensionsMalformed> {
        negotiate(
            head::values(&self.headers, "Sec-WebSocket-Extensions"),
            takeover,
        )
    }

    /// `Sec-WebSocket-Key`.
    pub fn key(&self) -> &'b str {
        self.key
    }
}

/// Why a request is not upgraded; each has its HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum UpgradeError {
    /// 431: no end of the head within `head_bytes_max`.
    #[error("request head is too large")]
    HeadTooLarge,
    /// 431: more than 64 headers.
    #[error("too many request headers")]
    TooManyHeaders,
    /// 400: not HTTP/1.x, or not as RFC 9112 writes it.
    #[error("malformed HTTP request")]
    Malformed,
    /// 400: HTTP/1.0 or another version than 1.1 (RFC 6455 §4.2.1 wants at least 1.1).
    #[error("HTTP version is not 1.1")]
    HttpVersion,
    /// 405.
    #[error("method is not GET")]
    MethodNotGet,
    /// 400: neither a path nor an absolute URI, or with a fragment (RFC 6455 §3).
    #[error("bad request target")]
    BadTarget,
    /// 400 (RFC 9112 §3.2).
    #[error("Host header is missing")]
    HostMissing,
    /// 400 (RFC 9112 §3.2).
    #[error("Host header is repeated")]
    HostRepeated,
    /// 400: `Content-Length` above 0 or `Transfer-Encoding`; what follows the head would be ambiguous.
    #[error("request announces a body")]
    BodyAnnounced,
    /// 426: no `Upgrade` header names `websocket`.
    #[error("not a WebSocket upgrade: Upgrade does not name websocket")]
    UpgradeMissing,
    /// 426: no `Connection` header names `upgrade`.
    #[error("not a WebSocket upgrade: Connection does not name upgrade")]
    ConnectionMissing,
    /// 400.
    #[error("Sec-WebSocket-Version header is missing")]
    VersionMissing,
    /// 400 (RFC 6455 §11.3.5).
    #[error("Sec-WebSocket-Version header is repeated")]
    VersionRepeated,
    /// 426 (RFC 6455 §4.4).
    #[error("WebSocket version is not 13")]
    VersionUnsupported,
    /// 400.
    #[error("Sec-WebSocket-Key header is missing")]
    KeyMissing,
    /// 400 (RFC 6455 §11.3.1).
    #[error("Sec-WebSocket-Key header is repeated")]
    KeyRepeated,
    /// 400.
    #[error("Sec-WebSocket-Key is not 16 bytes in base64")]
    KeyInvalid,
}

impl UpgradeError {
    /// 400, 405, 426 or 431.
    pub fn status(self) -> u16 {
        match self {
            UpgradeError::HeadTooLarge | UpgradeError::TooManyHeaders => 431,
            UpgradeError::MethodNotGet => 405,
            UpgradeError::UpgradeMissing
            | UpgradeError::ConnectionMissing
            | UpgradeError::VersionUnsupported => 426,
            UpgradeError::Malformed
            | UpgradeError::HttpVersion
            | UpgradeError::BadTarget
            | UpgradeError::HostMissing
            | UpgradeError::HostRepeated
            | UpgradeError::BodyAnnounced
            | UpgradeError::VersionMissing
            | UpgradeError::VersionRepeated
            | UpgradeError::KeyMissing
            | UpgradeError::KeyRepeated
            | UpgradeError::KeyInvalid => 400,
        }
    }
}

/// Looks for a whole request head at the start of `bytes`: `Ok(None)` asks for more bytes.
/// With it comes how many bytes the head took; what follows is already WebSocket data.
///
/// `scanned` remembers how far earlier calls looked for the end of the head (start with 0), so that a head arriving byte by byte costs linear work.
///
/// # Errors
/// The request is refused: answer with [`write_refusal`] and close.
pub fn parse<'b>(
    bytes: &'b [u8],
    scanned: &mut usize,
    limits: &UpgradeLimits,
) -> Result<Option<(Request<'b>, usize)>, UpgradeError> {
    match head::find_end(bytes, scanned, limits.head_bytes_max) {
        Ok(Some(head_bytes)) => Ok(Some((parse_head(&bytes[..head_bytes])?, head_bytes))),
        Ok(None) => Ok(None),
        Err(head::TooLarge) => Err(UpgradeError::HeadTooLarge),
    }
}

fn parse_head(bytes: &[u8]) -> Result<Request<'_>, UpgradeError> {
    let mut storage = [MaybeUninit::uninit(); head::HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut storage) {
        Ok(httparse::Status::Complete(used))
            if used == bytes.len() && head::has_only_crlf(bytes) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(UpgradeError::TooManyHeaders),
        Err(httparse::Error::Version) => return Err(UpgradeError::HttpVersion),
        Ok(_) | Err(_) => return Err(UpgradeError::Malformed),
    }
    let headers: Vec<(&str, &[u8])> = request
        .headers
        .iter()
        .map(|header| (header.name, header.value))
        .collect();
    if request.method != Some("GET") {
        return Err(UpgradeError::MethodNotGet);
    }
    if request.version != Some(1) {
        return Err(UpgradeError::HttpVersion);
    }
    let (path, query) =
        split_target(request.path.unwrap_or_default()).ok_or(UpgradeError::BadTarget)?;
    single(
        &headers,
        "Host",
        UpgradeError::HostMissing,
        UpgradeError::HostRepeated,
    )?;
    if announces_body(&headers) {
        return Err(UpgradeError::BodyAnnounced);
    }
    if !head::names_token(&headers, "Upgrade", "websocket") {
        return Err(UpgradeError::UpgradeMissing);
    }
    if !head::names_token(&headers, "Connection", "upgrade") {
        return Err(UpgradeError::ConnectionMissing);
    }
    let version = single(
        &headers,
        "Sec-WebSocket-Version",
        UpgradeError::VersionMissing,
        UpgradeError::VersionRepeated,
    )?;
    if version != b"13" {
        return Err(UpgradeError::VersionUnsupported);
    }
    let key = single(
        &headers,
        "Sec-WebSocket-Key",
        UpgradeError::KeyMissing,
        UpgradeError::KeyRepeated,
    )?;
    let key = checked_key(key).ok_or(UpgradeError::KeyInvalid)?;
    Ok(Request {
        path,
        query,
        key,
        headers,
    })
}

/// The only header of that name.
fn single<'b>(
    headers: &[(&'b str, &'b [u8])],
    name: &str,
    missing: UpgradeError,
    repeated: UpgradeError,
) -> Result<&'b [u8], UpgradeError> {
    let mut values = head::values(headers, name);
    let value = values.next().ok_or(missing)?;
    if values.next().is_some() {
        Err(repeated)
    } else {
        Ok(value)
    }
}

/// Path and query of an origin-form or absolute-form target (RFC 9112 §3.2.1, §3.2.2).
fn split_target(target: &str) -> Option<(&str, Option<&str>)> {
    if !target.is_ascii() || target.contains('#') {
        return None;
    }
    let origin = if target.starts_with('/') {
        target
    } else {
        strip_authority(target)?
    };
    let (path, query) = match origin.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (origin, None),
    };
    // An absolute URI may have no path at all, which means the root (RFC 9110 §4.2.3).
    Some((if path.is_empty() { "/" } else { path }, query))
}

fn strip_authority(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    if !["http", "https", "ws", "wss"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        return None;
    }
    let authority_bytes = rest.find(['/', '?']).unwrap_or(rest.len());
    if authority_bytes == 0 {
        None
    } else {
        Some(&rest[authority_bytes..])
    }
}

fn announces_body(headers: &[(&str, &[u8])]) -> bool {
    head::values(headers, "Transfer-Encoding").next().is_some()
        || head::values(headers, "Content-Length").any(|length| length != b"0")
}

/// The key as text, if it is 16 bytes in base64 (RFC 6455 §4.2.1). Bits behind the last byte are not ours to judge:
/// there are clients that draw all 22 characters at random, and the answer hashes the text, not the bytes.
fn checked_key(key: &[u8]) -> Option<&str> {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    let mut decoded = [0; head::KEY_CHARS / 4 * 3];
    if key.len() != head::KEY_CHARS || ENGINE.decode_slice(key, &mut decoded) != Ok(16) {
        return None;
    }
    str::from_utf8(key).ok()
}

/// Appends the 101 answer. A subprotocol that is not a token is left out: it could only be a mistake, and would let
/// whoever named it write headers.
pub fn write_accept(
    out: &mut Vec<u8>,
    key: &str,
    subprotocol: Option<&str>,
    deflate: Option<&Agreement>,
) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&head::accept_key(key));
    if let Some(subprotocol) = subprotocol.filter(|name| head::is_token(name.as_bytes())) {
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend_from_slice(subprotocol.as_bytes());
    }
    if let Some(agreement) = deflate {
        out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
        out.extend_from_slice(agreement.to_string().as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
}

/// The path that a GET asked for which is no upgrade ([`UpgradeError::UpgradeMissing`]): the beginning of the same bytes.
pub fn plain_path(head: &[u8]) -> Option<&str> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let target = std::str::from_utf8(line.strip_prefix(b"GET ")?).ok()?;
    let target = target.split(' ').next()?;
    target
        .starts_with('/')
        .then(|| target.split('?').next().unwrap_or(target))
}

/// Appends a complete refusal (`Connection: close`, short text body; 426 carries `Sec-WebSocket-Version: 13`,
/// 405 `Allow: GET`, 503 `Retry-After: 1`). The status line has the registered phrase; `reason` is the body, so it may
/// hold anything. A status outside 100-999 becomes 500.
pub fn write_refusal(out: &mut Vec<u8>, status: u16, reason: &str) {
    let status = if (100..=999).contains(&status) {
        status
    } else {
        500
    };
    let extra = match status {
        405 => "Connection: close\r\nAllow: GET\r\n",
        // An `Upgrade` header wants its connection option (RFC 9110 §7.8).
        426 => "Connection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        503 => "Connection: close\r\nRetry-After: 1\r\n",
        _ => "Connection: close\r\n",
    };
    let mut answer = String::new();
    let written = write!(
        answer,
        "HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n{extra}\r\n{reason}",
        phrase = phrase(status),
        length = reason.len(),
    );
    assert!(written.is_ok(), "a String takes everything");
    out.extend_from_slice(answer.as_bytes());
}

/// RFC 9110 §15, RFC 6585.
fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Refused",
    }
}
