//! A PROXY header: it is awaited, taken or refused alike in whatever pieces it comes, never more is
//! awaited than a header may have, and what follows it does not matter.

use shardcast_protocol::proxy::{HEADER_BYTES_MAX, parse};

/// The input is what a proxy sends.
///
/// # Panics
/// A promise is broken.
pub fn proxy(input: &[u8]) {
    // The outcome of the bytes so far, once there is one.
    let mut settled = None;
    for end in 0..=input.len().min(HEADER_BYTES_MAX + 1) {
        let outcome = parse(&input[..end]);
        match (settled, outcome) {
            (None, Ok(None)) => assert!(end < HEADER_BYTES_MAX, "{end} bytes, and more awaited"),
            (None, Ok(Some((_, used)))) => {
                assert_eq!(used, end, "taken as soon as it is complete");
                settled = Some(outcome);
            }
            (None, Err(_)) => settled = Some(outcome),
            (Some(before), after) => assert_eq!(before, after, "{end}"),
        }
    }
}
