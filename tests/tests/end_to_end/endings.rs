//! How connections end: close handshakes in every variant, and peers that just go.

use crate::SHARDS;
use shardcast_tests::{CLOSE, Client, FIN, PING, Raw, Server, TEXT, config, frame};

#[test]
fn a_close_is_answered_with_its_own_code() {
    for shards in SHARDS {
        let server = Server::echo(config(shards));
        for code in [
            1000u16, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 4000, 4999,
        ] {
            for reason in ["", "bye", &"\u{e9}".repeat(61)] {
                let mut raw = Raw::upgraded(&server);
                let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
                raw.send(&frame(FIN | CLOSE, &payload));
                assert_eq!(raw.closed(), (code, String::new()));
            }
        }
        let mut raw = Raw::upgraded(&server);
        raw.send(&frame(FIN | CLOSE, b""));
        assert_eq!(raw.closed(), (1005, String::new()));
        server.wait_until_empty();
    }
}

#[test]
fn what_stands_before_a_close_is_answered_and_nothing_after() {
    let server = Server::echo(config(2));
    let mut raw = Raw::upgraded(&server);
    let before = [
        frame(FIN | TEXT, b"a"),
        frame(FIN | PING, b"b"),
        frame(TEXT, b"c"),
    ];
    let after = [
        frame(FIN, b"d"),
        frame(FIN | TEXT, b"e"),
        frame(FIN | PING, b"f"),
        frame(FIN | CLOSE, b""),
    ];
    let close = frame(FIN | CLOSE, b"\x03\xe8");
    raw.send_anyway(&[&before.concat()[..], &close, &after.concat()].concat());
    raw.expect(FIN | TEXT, b"a");
    raw.expect(FIN | shardcast_tests::PONG, b"b");
    assert_eq!(raw.frame(), (FIN | CLOSE, b"\x03\xe8".to_vec()));
    // The server goes first (RFC 6455 §7.1.1). Bytes that it never read make that a reset.
    raw.is_gone();
    let mut bytewise = Raw::upgraded(&server);
    bytewise.send_bytewise(&close);
    assert_eq!(bytewise.closed(), (1000, String::new()));
    server.wait_until_empty();
}

/// A way to go, and how.
type Ending = (&'static str, fn(Raw));

#[test]
fn whoever_just_goes_is_cleaned_up() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let endings: [Ending; 5] = [
            ("closed socket", drop),
            ("reset", Raw::reset),
            ("half-closed", |mut raw| {
                raw.finish();
                raw.ended();
            }),
            ("half a frame", |mut raw| {
                raw.send(&frame(FIN | TEXT, b"whole")[..7]);
                drop(raw);
            }),
            ("half a message", |mut raw| {
                raw.send(&frame(TEXT, b"half"));
                raw.reset();
            }),
        ];
        for (what, end) in endings {
            let mut raw = Raw::upgraded(&server);
            assert!(raw.frame().1.starts_with(br#"{"type":"welcome","#));
            raw.send(&frame(FIN | TEXT, br#"{"type":"join_room","room":"r"}"#));
            raw.expect(FIN | TEXT, br#"{"type":"joined","room":"r","members":1}"#);
            end(raw);
            server.wait_until(what, |server| server.sum(|shard| &shard.connections) == 0);
            let mut next = Client::native(&server);
            assert_eq!(next.join("r"), 1, "{what}");
            next.leave();
            server.wait_until_empty();
        }
    }
}
