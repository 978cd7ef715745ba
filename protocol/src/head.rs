//! What both heads of an opening handshake have in common: what their headers say, and the accept
//! key that ties them together; and where an answer's head ends. Called by both sides.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use memchr::memmem;
use sha1::{Digest, Sha1};

/// Most headers in an answer's head.
pub(crate) const HEADERS_MAX: usize = 64;

/// Characters of a base64 key of 16 bytes, padding included.
pub(crate) const KEY_CHARS: usize = 24;

/// Characters of a base64 SHA-1, padding included.
const ACCEPT_CHARS: usize = 28;

/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const TERMINATOR: &[u8; 4] = b"\r\n\r\n";

/// No end within the permitted bytes.
pub(crate) struct TooLarge;

/// Length of the head at the start of `bytes`, terminator included, or `None` while it has not
/// ended. `scanned` remembers how far earlier calls looked, so that each byte is looked at once,
/// give or take the terminator.
pub(crate) fn find_end(
    bytes: &[u8],
    scanned: &mut usize,
    bytes_max: usize,
) -> Result<Option<usize>, TooLarge> {
    let window = &bytes[..bytes.len().min(bytes_max)];
    let start = scanned
        .saturating_sub(TERMINATOR.len() - 1)
        .min(window.len());
    *scanned = window.len();
    match memmem::find(&window[start..], TERMINATOR) {
        Some(at) => Ok(Some(start + at + TERMINATOR.len())),
        None if window.len() == bytes_max => Err(TooLarge),
        None => Ok(None),
    }
}

/// Values of all headers of that name, in order, trimmed.
pub(crate) fn values<'h, 'b: 'h>(
    headers: &'h [(&'b str, &'b [u8])],
    name: &'h str,
) -> impl Iterator<Item = &'b [u8]> + 'h {
    headers
        .iter()
        .filter(move |(given, _)| given.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim_ascii())
}

/// Items of a comma list, empty ones left out (RFC 9110 §5.6.1).
pub(crate) fn items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

/// Whether a list header names `token`, in any case and in any of its lines.
pub(crate) fn names_token(headers: &[(&str, &[u8])], name: &str, token: &str) -> bool {
    values(headers, name)
        .flat_map(items)
        .any(|item| item.eq_ignore_ascii_case(token.as_bytes()))
}

/// RFC 9110 §5.6.2.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    let is_token_char =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_token_char)
}

/// The `Sec-WebSocket-Accept` that answers `key` (RFC 6455 §4.2.2).
pub(crate) fn accept_key(key: &str) -> [u8; ACCEPT_CHARS] {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; ACCEPT_CHARS];
    let written = BASE64_STANDARD.encode_slice(digest, &mut accept);
    assert_eq!(written, Ok(ACCEPT_CHARS), "20 bytes are 28 characters");
    accept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_key_is_that_of_the_rfc() {
        assert_eq!(
            &accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
            b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn end_is_found_wherever_the_last_look_stopped() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for looked in 0..27 {
            let mut scanned = 0;
            assert!(
                matches!(
                    find_end(&bytes[..looked.min(26)], &mut scanned, 100),
                    Ok(None)
                ),
                "{looked}"
            );
            assert!(
                matches!(find_end(bytes, &mut scanned, 100), Ok(Some(27))),
                "{looked}"
            );
        }
        assert!(matches!(find_end(bytes, &mut 0, 27), Ok(Some(27))));
        assert!(matches!(find_end(bytes, &mut 0, 26), Err(TooLarge)));
        assert!(matches!(find_end(&bytes[..25], &mut 0, 26), Ok(None)));
        assert!(matches!(find_end(&bytes[..26], &mut 0, 26), Err(TooLarge)));
    }
}
