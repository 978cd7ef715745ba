//! RFC 6455 §5.5.2, §5.5.3: pings and pongs. (Close frames are in `close.rs`.)

use crate::exchange::{Servers, close, pong, text};
use shardcast_tests::{CLOSE, FIN, PING, PONG, Raw, TEXT, frame};

#[test]
fn a_ping_is_answered_with_its_payload() {
    let servers = Servers::start();
    for payload in [&b""[..], b"p", &[0xff; 125]] {
        servers.check(
            "6455-5.5.2-1 6455-5.5.3-1",
            "ping",
            &frame(FIN | PING, payload),
            &[pong(payload)],
        );
    }
    let said = [
        frame(FIN | PING, b"1"),
        frame(FIN | TEXT, b"t"),
        frame(FIN | PING, b"2"),
    ]
    .concat();
    servers.check(
        "6455-5.5.2-1",
        "several",
        &said,
        &[pong(b"1"), text("t"), pong(b"2")],
    );
}

/// The answer comes while nothing else is said: nobody waits for more.
#[test]
fn a_ping_is_answered_at_once() {
    let servers = Servers::start();
    let mut raw = Raw::upgraded(servers.echo());
    for payload in [&b"first"[..], b"second"] {
        raw.send(&frame(FIN | PING, payload));
        // Clause 6455-5.5.2-2.
        raw.expect(FIN | PONG, payload);
    }
}

#[test]
fn pings_behind_a_close_are_not_answered() {
    let servers = Servers::start();
    let said = [frame(FIN | CLOSE, b"\x03\xe8"), frame(FIN | PING, b"late")].concat();
    // Whole: what arrives after the server has let go is answered with a reset, as by any host.
    servers.check_whole("6455-5.5.2-1", "late", &said, &[close(1000)]);
}

#[test]
fn a_pong_that_nobody_asked_for_is_taken() {
    let servers = Servers::start();
    let said = [frame(FIN | PONG, b"heartbeat"), frame(FIN | PONG, b"")].concat();
    servers.check("6455-5.4-4", "unsolicited", &said, &[]);
}

#[test]
fn control_frames_are_short() {
    let servers = Servers::start();
    for opcode in [CLOSE, PING, PONG] {
        for bytes in [126, 127, 65_536] {
            let said = shardcast_tests::header(FIN | opcode, bytes);
            servers.check("6455-5.5-1", "too long", &said, &[close(1002)]);
        }
    }
    let longest = [&1000u16.to_be_bytes()[..], &[b'r'; 123]].concat();
    servers.check(
        "6455-5.5-1",
        "just short enough",
        &frame(FIN | CLOSE, &longest),
        &[close(1000)],
    );
}
