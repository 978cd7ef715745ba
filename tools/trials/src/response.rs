//! The client's look at a server's answer: more bytes never change what was said, and an answer
//! that is taken ends where its head does.

use shardcast_protocol::upgrade::{ResponseError, encode_key, parse_response};

/// Most of an answer's head, as documented.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The input is what the server said to a request with the key of RFC 6455 §1.3.
///
/// # Panics
/// A promise is broken.
pub fn response(input: &[u8]) {
    let key = encode_key(*b"the sample nonce");
    assert_eq!(key, "dGhlIHNhbXBsZSBub25jZQ==");
    let complete = parse_response(input, &key);
    match complete {
        Ok(Some(used)) => {
            assert!(used <= input.len().min(HEAD_BYTES_MAX), "{used}");
            assert!(input[..used].ends_with(b"\r\n\r\n") && input.starts_with(b"HTTP/1.1 101"));
        }
        Ok(None) => assert!(input.len() < HEAD_BYTES_MAX),
        Err(ResponseError::Refused(status)) => assert_ne!(status, 101),
        Err(_) => {}
    }
    // Beginnings: all of a short input, some of a long one.
    for have in (0..input.len()).step_by(1 + input.len() / 300) {
        match parse_response(&input[..have], &key) {
            Ok(None) => {}
            other => assert_eq!(other, complete, "{have} of {}", input.len()),
        }
    }
}
