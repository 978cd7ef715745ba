//! Deadlines of open connections: silence is pinged, and ends. Only that they come is tested, never
//! how late.

use shardcast_engine::{Config, Deadline};
use shardcast_tests::{
    CLOSE, CONTINUE, Client, FIN, PING, PONG, Raw, Server, TEXT, config, frame, header,
};
use std::time::Duration;

/// Deadlines that anybody missed.
fn missed(server: &Server) -> u64 {
    let of = |deadline: Deadline| server.sum(|shard| deadline.counter(shard));
    Deadline::ALL.into_iter().map(of).sum()
}

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
    assert_eq!(missed(&server), 0);
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
    raw.expect(FIN | CLOSE, b"\x03\xf0no answer to a ping");
    raw.send(&frame(FIN | CLOSE, b"\x03\xf0"));
    raw.ended();
    assert_eq!(server.sum(|shard| &shard.closed_deadline_pong), 1);
    assert_eq!(missed(&server), 1);
    server.wait_until_empty();
}

#[test]
fn silence_ends_in_1008_whatever_the_heartbeat_says() {
    let mut config = config(1);
    (config.heartbeat, config.idle_timeout) = (Duration::from_secs(3600), Duration::from_secs(1));
    let server = Server::echo(config);
    let mut raw = Raw::upgraded(&server);
    raw.expect(FIN | CLOSE, b"\x03\xf0no sign of life");
    server.wait_until("the deadline", |server| {
        server.sum(|shard| &shard.closed_deadline_idle) == 1
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
    assert_eq!(raw.closed(), (1008, "no answer to a ping".to_owned()));
    server.wait_until_empty();
    assert_eq!(server.sum(|shard| &shard.closed_deadline_pong), 1);
    assert_eq!(server.sum(|shard| &shard.closed_deadline_close), 1);
    assert_eq!(missed(&server), 2);
}

/// Short for what is tested; everything else is as it is.
fn hasty(shorten: impl FnOnce(&mut Config)) -> Server {
    let mut config = config(2);
    shorten(&mut config);
    Server::echo(config)
}

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn whoever_trickles_a_head_hears_408_and_whoever_is_silent_nothing() {
    let server = hasty(|config| {
        (config.handshake_timeout, config.header_timeout) = (5 * SHORT, SHORT);
    });
    Raw::connect(&server).ended();
    let mut raw = Raw::connect(&server);
    raw.send(b"GET /ws HTTP/1.1\r\nHo");
    assert!(raw.head().starts_with("HTTP/1.1 408 Request Timeout\r\n"));
    assert_eq!(raw.rest(), b"the request head took too long");
    assert_eq!(server.sum(|shard| &shard.closed_deadline_handshake), 1);
    assert_eq!(server.sum(|shard| &shard.closed_deadline_header), 1);
    server.wait_until_empty();
}

#[test]
fn a_frame_that_trickles_ends_in_1008() {
    let server = hasty(|config| config.frame_timeout = SHORT);
    let mut raw = Raw::upgraded(&server);
    raw.send(&frame(FIN | TEXT, b"begun")[..7]);
    assert_eq!(raw.closed(), (1008, "a frame took too long".to_owned()));
    assert_eq!(server.sum(|shard| &shard.closed_deadline_frame), 1);
    // Whole frames may take as long as they like to follow each other.
    let mut honest = Raw::upgraded(&server);
    honest.say("here");
    assert_eq!(honest.hear(), "here");
}

#[test]
fn a_reader_that_reads_nothing_ends_in_1008_whatever_it_says() {
    let mut config = config(2);
    (config.progress_timeout, config.outbox_bytes_max) = (5 * SHORT, 64 << 20);
    let server = Server::echo(config);
    let mut slow = Raw::narrow(&server);
    slow.upgrade();
    let message = frame(FIN | TEXT, &vec![b'x'; 32 << 10]);
    server.wait_until("a message that waits", |server| {
        slow.send(&message);
        server.sum(|shard| &shard.outboxes) > 0
    });
    server.wait_until("the deadline", |server| {
        slow.send_anyway(&frame(FIN | PONG, b""));
        server.sum(|shard| &shard.closed_deadline_progress) == 1
    });
    // What was pending for it comes first.
    let reason = loop {
        match slow.frame() {
            (first, payload) if first == FIN | CLOSE => break payload,
            (first, payload) => assert_eq!((first, payload.len()), (FIN | TEXT, 32 << 10)),
        }
    };
    assert_eq!(reason, b"\x03\xf0nothing was read in time");
    assert_eq!(missed(&server), 1);
}

/// An ending: what is sent after the upgrade, and the code that it is told.
type Ending<'a> = (&'a str, Vec<u8>, u16);

/// After these nothing that the peer says can be read, so nobody waits for it.
#[test]
fn whoever_cannot_be_read_any_more_is_let_go() {
    let mut config = config(1);
    config.close_timeout = Duration::from_secs(3600);
    (config.frame_timeout, config.message_timeout) = (5 * SHORT, SHORT);
    let begun = |first| frame(first, b"begun")[..7].to_vec();
    let late = [frame(TEXT, b"a"), begun(FIN | CONTINUE)].concat();
    let endings: &[Ending<'_>] = &[
        ("a frame is late", begun(FIN | TEXT), 1008),
        ("a message is late, in a frame", late, 1008),
        ("a frame without a mask", vec![FIN | TEXT, 5, b'a'], 1002),
        (
            "a frame of a reserved type",
            vec![FIN | 3, 0xff, b'a'],
            1002,
        ),
        ("a text that is none", frame(FIN | TEXT, b"\xff"), 1007),
        ("a frame too large", header(FIN | TEXT, 1 << 40), 1009),
    ];
    let server = Server::echo(config);
    for (what, said, code) in endings {
        let mut raw = Raw::upgraded(&server);
        raw.send(said);
        let (told, reason) = raw.closed();
        assert_eq!(told, *code, "{what}: {reason}");
        // It neither answers nor goes.
        server.wait_until_empty();
        drop(raw);
    }
    for request in [
        "GET / HTTP/0.9\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        let mut raw = Raw::connect(&server);
        raw.send(request.as_bytes());
        raw.head();
        server.wait_until_empty();
        drop(raw);
    }
    assert_eq!(server.sum(|shard| &shard.closed_deadline_close), 0);
}

/// Between two frames its answer could be read: it has its time.
#[test]
fn whoever_can_still_answer_a_close_may() {
    let mut config = config(1);
    config.message_timeout = SHORT;
    let server = Server::echo(config);
    let mut raw = Raw::upgraded(&server);
    raw.send(&frame(TEXT, b"a"));
    raw.expect(FIN | CLOSE, b"\x03\xf0a message took too long");
    raw.send(&frame(FIN | CLOSE, b"\x03\xf0"));
    raw.ended();
    server.wait_until_empty();
    assert_eq!(missed(&server), 1);
}

#[test]
fn fragments_and_pings_do_not_prolong_a_message() {
    let server = hasty(|config| config.message_timeout = SHORT);
    let mut raw = Raw::upgraded(&server);
    raw.send(&frame(TEXT, b"a"));
    // It says something as soon as it has heard something, for as long as it is let.
    let mut reason = Vec::new();
    server.wait_until("the end of a message that goes on", |_| {
        raw.send_anyway(&[frame(CONTINUE, b"b"), frame(FIN | PING, b"?")].concat());
        let (first, payload) = raw.frame();
        assert!(matches!(first & 0x0f, PONG | CLOSE), "{first:#x}");
        reason = payload;
        first == FIN | CLOSE
    });
    assert_eq!(reason, b"\x03\xf0a message took too long");
    assert_eq!(server.sum(|shard| &shard.closed_deadline_message), 1);
}
