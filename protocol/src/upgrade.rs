//! The opening handshake (RFC 6455 §4), server side: what a request must say to become a WebSocket,
//! and the answer that makes it one. Called by the shard with a request that obeys HTTP already;
//! clients find their side of it here too.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use crate::deflate::Agreement;
pub use crate::handshake_client::{ResponseError, encode_key, parse_response, write_request};
use crate::head;
use crate::http::{Headers, HttpMethod, HttpRequest, Version};

/// Why a request is not upgraded; each has its HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum UpgradeError {
    /// 400: HTTP/1.0 (RFC 6455 §4.2.1 wants at least 1.1). Clause 6455-4.2.1-2.
    #[error("HTTP version is not 1.1")]
    HttpVersion,
    /// 405.
    #[error("method is not GET")]
    MethodNotGet,
    /// 400: `Content-Length` above 0 or `Transfer-Encoding`; what follows the head would be
    /// ambiguous.
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
    /// 400 (RFC 6455 §11.3.5). Clause 6455-11.3.5-1.
    #[error("Sec-WebSocket-Version header is repeated")]
    VersionRepeated,
    /// 426 (RFC 6455 §4.4). Clauses 6455-4.4-1, 6455-4.2.2-3.
    #[error("WebSocket version is not 13")]
    VersionUnsupported,
    /// 400.
    #[error("Sec-WebSocket-Key header is missing")]
    KeyMissing,
    /// 400 (RFC 6455 §11.3.1). Clause 6455-11.3.1-1.
    #[error("Sec-WebSocket-Key header is repeated")]
    KeyRepeated,
    /// 400.
    #[error("Sec-WebSocket-Key is not 16 bytes in base64")]
    KeyInvalid,
}

impl UpgradeError {
    /// 400, 405 or 426.
    pub fn status(self) -> u16 {
        match self {
            UpgradeError::MethodNotGet => 405,
            UpgradeError::UpgradeMissing
            | UpgradeError::ConnectionMissing
            | UpgradeError::VersionUnsupported => 426,
            UpgradeError::HttpVersion
            | UpgradeError::BodyAnnounced
            | UpgradeError::VersionMissing
            | UpgradeError::VersionRepeated
            | UpgradeError::KeyMissing
            | UpgradeError::KeyRepeated
            | UpgradeError::KeyInvalid => 400,
        }
    }
}

/// Checks a request against every rule of RFC 6455 §4.2.1. Its `Sec-WebSocket-Key`, which
/// [`write_accept`] answers.
///
/// # Errors
/// The request is refused: answer with [`crate::http::write_refusal`] and close, for what follows
/// may be frames.
pub fn check<'b>(request: &HttpRequest<'b>) -> Result<&'b str, UpgradeError> {
    let headers = request.headers();
    if request.method() != HttpMethod::Get {
        return Err(UpgradeError::MethodNotGet);
    }
    if request.version() != Version::Http11 {
        return Err(UpgradeError::HttpVersion);
    }
    if !request.body_is_empty() {
        return Err(UpgradeError::BodyAnnounced);
    }
    if !head::names_token(headers, "Upgrade", "websocket") {
        return Err(UpgradeError::UpgradeMissing);
    }
    if !head::names_token(headers, "Connection", "upgrade") {
        return Err(UpgradeError::ConnectionMissing);
    }
    let version = single(
        headers,
        "Sec-WebSocket-Version",
        UpgradeError::VersionMissing,
        UpgradeError::VersionRepeated,
    )?;
    if version != b"13" {
        return Err(UpgradeError::VersionUnsupported);
    }
    let key = single(
        headers,
        "Sec-WebSocket-Key",
        UpgradeError::KeyMissing,
        UpgradeError::KeyRepeated,
    )?;
    checked_key(key).ok_or(UpgradeError::KeyInvalid)
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

/// The key as text, if it is 16 bytes in base64 (RFC 6455 §4.2.1). Bits behind the last byte are
/// not ours to judge: there are clients that draw all 22 characters at random, and the answer
/// hashes the text, not the bytes.
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

/// Appends the 101 answer, with the application's `headers`. A subprotocol that is not a token is
/// left out: it could only be a mistake, and would let whoever named it write headers.
pub fn write_accept(
    out: &mut Vec<u8>,
    key: &str,
    subprotocol: Option<&str>,
    deflate: Option<&Agreement>,
    headers: &Headers,
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
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(headers.lines().as_bytes());
    out.extend_from_slice(b"\r\n");
}
