//! RFC 6455 §5.1, §5.3: clients mask, servers do not.

use crate::exchange::{Servers, binary, close, pong, text};
use shardcast_tests::{BINARY, CLOSE, FIN, PING, TEXT, frame};

/// A frame under a key of the test's own.
fn masked(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | payload.len() as u8];
    bytes.extend(key);
    bytes.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

#[test]
fn a_frame_without_a_mask_closes() {
    let servers = Servers::start();
    for (what, said) in [
        ("text", vec![FIN | TEXT, 2, b'h', b'i']),
        ("empty text", vec![FIN | TEXT, 0]),
        ("binary", vec![FIN | BINARY, 1, 7]),
        ("first fragment", vec![TEXT, 1, b'a']),
        ("ping", vec![FIN | PING, 0]),
        ("close", vec![FIN | CLOSE, 2, 3, 0xe8]),
    ] {
        servers.check("6455-5.1-2", what, &said, &[close(1002)]);
    }
    // Whoever masks and then stops is no better.
    let said = [frame(FIN | TEXT, b"masked"), vec![FIN | TEXT, 0]].concat();
    servers.check(
        "6455-5.1-2",
        "after a masked one",
        &said,
        &[text("masked"), close(1002)],
    );
}

#[test]
fn masks_of_every_key_are_taken_off() {
    let servers = Servers::start();
    let payload: Vec<u8> = (0..=120).collect();
    for key in [[0; 4], [0xff; 4], [1, 2, 3, 4], [0, 0, 0, 9]] {
        for bytes in [0, 1, 2, 3, 4, 5, 63, 64, 65, 121] {
            let payload = &payload[..bytes];
            let said = masked(FIN | BINARY, payload, key);
            servers.check("6455-6.2-5", "binary", &said, &[binary(payload)]);
        }
        let said = [
            masked(FIN | PING, b"p", key),
            masked(FIN | TEXT, "ü".as_bytes(), key),
        ]
        .concat();
        servers.check("6455-6.2-5", "ping, text", &said, &[pong(b"p"), text("ü")]);
    }
}

/// Whatever a server sends is read by `exchange::frames`, which takes no mask: messages, pongs and
/// close frames of its own.
#[test]
fn nothing_that_a_server_sends_is_masked() {
    let servers = Servers::start();
    let said = [
        frame(FIN | TEXT, b"a"),
        frame(FIN | PING, b"b"),
        frame(FIN | 3, b""),
    ]
    .concat();
    servers.check(
        "6455-5.1-3",
        "every kind",
        &said,
        &[text("a"), pong(b"b"), close(1002)],
    );
}
