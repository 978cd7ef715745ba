//! RFC 6455 §5.5.1, §7: how connections end.

use crate::exchange::{Heard, Servers, close, frames, pong, text};
use shardcast_tests::{CLOSE, CONTINUE, FIN, PING, Raw, TEXT, frame, upgrade};
use std::time::Duration;

fn closing(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// `check` reads to the end of the stream, and the client never closes its side: so the server
/// closes first, at once and cleanly.
#[test]
fn a_close_is_answered_and_then_the_server_hangs_up() {
    const CLAUSES: &str =
        "6455-5.5.1-4 6455-5.5.1-5 6455-5.5.1-6 6455-5.5.1-7 6455-7.1.1-1 6455-7.1.1-2";
    let servers = Servers::start();
    servers.check(
        CLAUSES,
        "no payload",
        &frame(FIN | CLOSE, b""),
        &[Heard::Close(None)],
    );
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ] {
        servers.check(CLAUSES, "code", &closing(code, b""), &[close(code)]);
        servers.check(
            CLAUSES,
            "reason",
            &closing(code, "adiós".as_bytes()),
            &[close(code)],
        );
    }
}

#[test]
fn a_close_payload_begins_with_a_code_that_may_be_sent() {
    let servers = Servers::start();
    servers.check(
        "6455-5.5.1-1",
        "one byte",
        &frame(FIN | CLOSE, b"\x03"),
        &[close(1002)],
    );
    servers.check("6455-7.4.1-1", "1005", &closing(1005, b""), &[close(1002)]);
    servers.check("6455-7.4.1-2", "1006", &closing(1006, b""), &[close(1002)]);
    servers.check("6455-7.4.1-3", "1015", &closing(1015, b""), &[close(1002)]);
    for code in [0, 999, 1004, 1016, 1100, 2000, 2999, 5000, 65_535] {
        servers.check(
            "6455-10.7-1",
            "a code that is nobody's",
            &closing(code, b""),
            &[close(1002)],
        );
    }
}

#[test]
fn nothing_follows_a_close() {
    let servers = Servers::start();
    let late = [
        frame(FIN | TEXT, b"late"),
        frame(FIN | PING, b"late"),
        closing(4000, b""),
    ]
    .concat();
    let said = [frame(FIN | TEXT, b"in time"), closing(1000, b""), late].concat();
    // Whole: what arrives after the server has let go is answered with a reset, as by any host.
    servers.check_whole(
        "6455-5.5.1-3 6455-6.1-1",
        "of the client's",
        &said,
        &[text("in time"), close(1000)],
    );
    let said = [
        frame(TEXT, b"unfin"),
        closing(1001, b""),
        frame(FIN | CONTINUE, b"ished"),
    ]
    .concat();
    servers.check_whole("6455-5.5.1-3", "inside a message", &said, &[close(1001)]);
}

#[test]
fn after_a_failure_nothing_is_processed() {
    let servers = Servers::start();
    let broken = frame(FIN | 3, b"");
    for (what, late) in [
        ("a message", frame(FIN | TEXT, b"late")),
        ("a ping", frame(FIN | PING, b"late")),
        ("a close", closing(1000, b"")),
        ("another failure", frame(FIN | TEXT, b"\xff")),
    ] {
        let said = [frame(FIN | PING, b"in time"), broken.clone(), late].concat();
        servers.check(
            "6455-7.1.7-5 6455-7.1.7-4",
            what,
            &said,
            &[pong(b"in time"), close(1002)],
        );
    }
}

/// The server goes away: it begins, with its code, hears the answer, and hangs up; nothing comes
/// behind its close frame.
#[test]
fn a_server_that_closes_says_so_first() {
    let servers = Servers::start();
    let (mut raw, address) = (Raw::upgraded(servers.echo()), servers.echo().address());
    raw.send(&frame(FIN | TEXT, b"before"));
    raw.expect(FIN | TEXT, b"before");
    let drain = std::thread::spawn(move || servers.stop(Duration::from_secs(10)));
    // Clauses 6455-7.1.2-1, 6455-5.5.1-3: whatever is asked meanwhile, the close frame is the last
    // thing sent.
    let (first, payload) = raw.frame();
    assert_eq!(
        (first, payload.get(..2)),
        (FIN | CLOSE, Some(&1001u16.to_be_bytes()[..])),
        "{address}"
    );
    raw.send_anyway(
        &[
            frame(FIN | TEXT, b"late"),
            frame(FIN | PING, b"late"),
            closing(1001, b""),
        ]
        .concat(),
    );
    assert_eq!(frames(&raw.rest()), []);
    assert!(drain.join().expect("no panic"));
}

/// Refused before it was open: an answer, and the end.
#[test]
fn a_handshake_that_is_given_up_ends_the_connection() {
    let servers = Servers::start();
    let mut raw = Raw::connect(servers.native());
    let request = upgrade().replace(
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Version: 13\r\nConnection: close",
    );
    raw.send(request.replace("/ws", "/nowhere").as_bytes());
    // Clause 6455-7.2.2-1.
    assert!(raw.head().starts_with("HTTP/1.1 404 "));
    raw.rest();
}
