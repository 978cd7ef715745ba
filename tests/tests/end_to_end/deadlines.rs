//! Deadlines of open connections: silence is pinged, and ends. Only that they come is tested, never how late.

use shardcast_tests::{CLOSE, Client, FIN, PING, PONG, Raw, Server, TEXT, config, frame};
use std::time::Duration;

const NO_LIFE: &str = "no sign of life";

/// A ping every two seconds: the longer of the two, so that no busy machine misses the pong.
fn server() -> Server {
    let mut config = config(2);
    (config.heartbeat, config.pong_timeout) = (Duration::from_millis(100), Duration::from_secs(2));
    Server::echo(config)
}

#[test]
fn silence_is_pinged_and_anything_answers() {
    let server = server();
    let mut raw = Raw::upgraded(&server);
    let mut talker = Raw::upgraded(&server);
    for payload in [&b""[..], b"something else"] {
        raw.expect(FIN | PING, b"");
        raw.send(&frame(FIN | PONG, payload));
        talker.expect(FIN | PING, b"");
        talker.send(&frame(FIN | TEXT, b"here"));
        talker.expect(FIN | TEXT, b"here");
    }
    raw.expect(FIN | PING, b"");
    talker.expect(FIN | PING, b"");
    assert_eq!(server.sum(|shard| &shard.closed_deadline), 0);
}

#[test]
fn tungstenite_stays() {
    let server = server();
    let mut client = Client::plain(&server);
    for _ in 0..2 {
        assert!(client.hear_any().is_ping());
    }
    assert_eq!(client.ask("here"), "here");
}

#[test]
fn a_ping_without_an_answer_ends_in_1008() {
    let mut config = config(2);
    (config.heartbeat, config.pong_timeout) =
        (Duration::from_millis(100), Duration::from_millis(100));
    let server = Server::echo(config);
    let mut raw = Raw::upgraded(&server);
    raw.expect(FIN | PING, b"");
    let (first, payload) = raw.frame();
    assert_eq!((first, &payload[2..]), (FIN | CLOSE, NO_LIFE.as_bytes()));
    assert_eq!(payload[..2], 1008u16.to_be_bytes());
    raw.send(&frame(FIN | CLOSE, b"\x03\xf0"));
    raw.ended();
    assert_eq!(server.sum(|shard| &shard.closed_deadline), 1);
    server.wait_until_empty();
}

#[test]
fn silence_ends_in_1008_whatever_the_heartbeat_says() {
    let mut config = config(1);
    (config.heartbeat, config.idle_timeout) = (Duration::from_secs(3600), Duration::from_secs(1));
    let server = Server::echo(config);
    let mut raw = Raw::upgraded(&server);
    let (first, payload) = raw.frame();
    assert_eq!((first, &payload[2..]), (FIN | CLOSE, NO_LIFE.as_bytes()));
    server.wait_until("the deadline", |server| {
        server.sum(|shard| &shard.closed_deadline) == 1
    });
}

#[test]
fn a_close_without_an_answer_is_the_end_all_the_same() {
    let mut config = config(1);
    (config.heartbeat, config.pong_timeout) =
        (Duration::from_millis(100), Duration::from_millis(100));
    config.close_timeout = Duration::from_millis(100);
    let server = Server::echo(config);
    let mut raw = Raw::upgraded(&server);
    raw.expect(FIN | PING, b"");
    assert_eq!(raw.closed(), (1008, NO_LIFE.to_owned()));
    server.wait_until_empty();
    // Once for the pong, once for the close.
    assert_eq!(server.sum(|shard| &shard.closed_deadline), 2);
}
