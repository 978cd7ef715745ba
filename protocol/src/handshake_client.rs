//! The opening handshake as a client speaks it (RFC 6455 §4.1): the request, and the check of what
//! came back. Called by the load generator, the client and tests, through [`crate::upgrade`]; the
//! key's randomness is theirs.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::head;

/// Largest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Why an answer does not open a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ResponseError {
    /// More than 16 KiB without an end, or more than 64 headers.
    #[error("response head is too large")]
    HeadTooLarge,
    /// Not an HTTP/1.1 response.
    #[error("malformed HTTP response")]
    Malformed,
    /// Another status than 101.
    #[error("server answered {0}")]
    Refused(u16),
    /// `Upgrade` is not `websocket`.
    #[error("Upgrade does not name websocket")]
    UpgradeMissing,
    /// `Connection` does not name `upgrade`.
    #[error("Connection does not name upgrade")]
    ConnectionMissing,
    /// `Sec-WebSocket-Accept` is missing, repeated, or that of another key.
    #[error("Sec-WebSocket-Accept does not answer the key")]
    AcceptWrong,
}

/// `Sec-WebSocket-Key` of 16 random bytes.
pub fn encode_key(nonce: [u8; 16]) -> String {
    let mut key = [0; head::KEY_CHARS];
    let written = BASE64_STANDARD.encode_slice(nonce, &mut key);
    assert_eq!(written, Ok(head::KEY_CHARS), "16 bytes are 24 characters");
    key.iter().copied().map(char::from).collect()
}

/// Appends an upgrade request for `path` (query included). `extra_headers` may name subprotocols, a
/// token, an origin.
///
/// # Panics
/// A given text holds a control character: it could end its line and begin another.
pub fn write_request(
    out: &mut Vec<u8>,
    host: &str,
    path: &str,
    key: &str,
    extra_headers: &[(&str, &str)],
) {
    let extra = extra_headers.iter().copied();
    let headers = [
        ("Host", host),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", key),
    ];
    assert!(
        !path.contains(|c: char| c.is_ascii_control() || c == ' '),
        "a path is one word"
    );
    out.extend_from_slice(b"GET ");
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in headers.into_iter().chain(extra) {
        assert!(
            head::is_token(name.as_bytes()),
            "a header's name is a token"
        );
        assert!(
            !value.contains(|c: char| c.is_ascii_control()),
            "a header's value is one line"
        );
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Looks for a complete answer to the request that sent `key`: `Ok(None)` asks for more bytes,
/// `Ok(Some(used))` means that the WebSocket is open and that its data begins at `used`.
/// Subprotocol and extensions are not judged.
///
/// # Errors
/// The server refused, or is not a WebSocket server: close.
pub fn parse_response(bytes: &[u8], key: &str) -> Result<Option<usize>, ResponseError> {
    let head_bytes = match head::find_end(bytes, &mut 0, HEAD_BYTES_MAX) {
        Ok(Some(head_bytes)) => head_bytes,
        Ok(None) => return Ok(None),
        Err(head::TooLarge) => return Err(ResponseError::HeadTooLarge),
    };
    let mut storage = [httparse::EMPTY_HEADER; head::HEADERS_MAX];
    let mut response = httparse::Response::new(&mut storage);
    // httparse passes over empty lines in front, which an answer does not have (RFC 9112 §2.1).
    let begins = bytes.starts_with(b"HTTP/");
    match response.parse(&bytes[..head_bytes]) {
        Ok(httparse::Status::Complete(used))
            if used == head_bytes && response.version == Some(1) && begins => {}
        Err(httparse::Error::TooManyHeaders) => return Err(ResponseError::HeadTooLarge),
        Ok(_) | Err(_) => return Err(ResponseError::Malformed),
    }
    match response.code {
        Some(101) => {}
        status => return Err(ResponseError::Refused(status.unwrap_or_default())),
    }
    let headers: Vec<(&str, &[u8])> = response
        .headers
        .iter()
        .map(|header| (header.name, header.value))
        .collect();
    if !head::names_token(&headers, "Upgrade", "websocket") {
        return Err(ResponseError::UpgradeMissing);
    }
    if !head::names_token(&headers, "Connection", "upgrade") {
        return Err(ResponseError::ConnectionMissing);
    }
    let mut accepts = head::values(&headers, "Sec-WebSocket-Accept");
    if accepts.next() != Some(head::accept_key(key).as_slice()) || accepts.next().is_some() {
        return Err(ResponseError::AcceptWrong);
    }
    Ok(Some(head_bytes))
}
