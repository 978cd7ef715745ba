//! Requests that ask for no WebSocket: what they are answered, in which order, and what becomes of
//! the connection.

use crate::SHARDS;
use shardcast_tests::{Client, FIN, Raw, Server, TEXT, config, frame, upgrade};
use std::time::Duration;

const OK: &str = "200 OK";
const UPGRADE_REQUIRED: &str = "426 Upgrade Required";
const NOT_ALLOWED: &str = "405 Method Not Allowed";
const HEALTH: &str = r#"{"status":"ok"}"#;

/// Request line, further headers and body, status, body of the answer.
type Row = (&'static str, &'static str, &'static str, &'static str);

const ANSWERED: &[Row] = &[
    ("GET /health HTTP/1.1", "\r\n", OK, HEALTH),
    ("GET /%68ealth?x=1 HTTP/1.1", "\r\n", OK, HEALTH),
    ("GET http://a/health HTTP/1.1", "\r\n", OK, HEALTH),
    ("GET /health?name=100%&x=%zz HTTP/1.1", "\r\n", OK, HEALTH),
    ("GET /health?name=\u{e4} HTTP/1.1", "\r\n", OK, HEALTH),
    (
        "GET /ws HTTP/1.1",
        "\r\n",
        UPGRADE_REQUIRED,
        "this is a WebSocket endpoint",
    ),
    (
        "GET /ws HTTP/1.1",
        "Upgrade: h2c\r\n\r\n",
        UPGRADE_REQUIRED,
        "this is a WebSocket endpoint",
    ),
    (
        "GET /ws HTTP/1.1",
        "Upgrade: websockets\r\n\r\n",
        UPGRADE_REQUIRED,
        "this is a WebSocket endpoint",
    ),
    (
        "GET /x HTTP/1.1",
        "\r\n",
        "404 Not Found",
        "clients connect to /ws",
    ),
    (
        "POST / HTTP/1.1",
        "Content-Length: 8\r\n\r\nGET / HT",
        NOT_ALLOWED,
        "this method is not allowed",
    ),
    (
        "GET /health HTTP/1.1",
        "Content-Length: 3\r\n\r\nxyz",
        OK,
        HEALTH,
    ),
    (
        "DELETE / HTTP/1.1",
        "\r\n",
        NOT_ALLOWED,
        "this method is not allowed",
    ),
    ("OPTIONS * HTTP/1.1", "\r\n", "204 No Content", ""),
    ("OPTIONS /ws HTTP/1.1", "\r\n", "204 No Content", ""),
    ("GET /health HTTP/1.9", "\r\n", OK, HEALTH),
];

fn request((line, rest, _, _): &Row) -> String {
    format!("{line}\r\nHost: localhost\r\n{rest}")
}

#[track_caller]
fn check_answered(raw: &mut Raw, row: &Row) {
    let (head, body) = raw.answer();
    assert!(
        head.starts_with(&format!("HTTP/1.1 {}\r\n", row.2)),
        "{row:?}: {head}"
    );
    assert_eq!(body, row.3, "{row:?}");
    assert!(!head.contains("close"), "{row:?}: {head}");
    assert_eq!(
        head.contains("\r\nAllow: GET, HEAD, OPTIONS\r\n"),
        row.2 == NOT_ALLOWED || row.3.is_empty()
    );
    let upgrades = match row.2 {
        UPGRADE_REQUIRED => ", Upgrade",
        _ => "",
    };
    let kept = format!("\r\nConnection: keep-alive{upgrades}\r\nKeep-Alive: timeout=75\r\n");
    assert!(head.contains(&kept), "{head}");
}

/// The connection is read on as it should be.
#[track_caller]
fn check_upgrades(mut raw: Raw) {
    raw.send(upgrade().replace("/ws", "/ws?name=100%").as_bytes());
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    assert!(raw.hear().starts_with(r#"{"type":"welcome","#));
    raw.say(r#"{"type":"ping","id":1}"#);
    assert_eq!(raw.hear(), r#"{"type":"pong","id":1}"#);
}

#[test]
fn one_connection_asks_again_and_again_and_then_upgrades() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let mut raw = Raw::connect(&server);
        for row in ANSWERED {
            raw.send(request(row).as_bytes());
            check_answered(&mut raw, row);
        }
        check_upgrades(raw);
        let all: String = ANSWERED.iter().map(request).collect();
        let mut pipelined = Raw::connect(&server);
        pipelined.send(all.as_bytes());
        ANSWERED
            .iter()
            .for_each(|row| check_answered(&mut pipelined, row));
        check_upgrades(pipelined);
        let mut bytewise = Raw::connect(&server);
        bytewise.send_bytewise(all.as_bytes());
        ANSWERED
            .iter()
            .for_each(|row| check_answered(&mut bytewise, row));
        check_upgrades(bytewise);
        server.wait_until_empty();
    }
}

#[test]
fn a_head_request_has_the_headers_alone() {
    let server = Server::native(config(1));
    let mut raw = Raw::connect(&server);
    raw.send(b"HEAD /health HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let expected = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: keep-alive\r\nKeep-Alive: timeout=75\r\n\r\n",
        HEALTH.len()
    );
    assert_eq!(raw.head(), expected);
    let (head, body) = raw.answer();
    assert!(
        head.contains("\r\nContent-Type: text/plain; charset=utf-8\r\n"),
        "{head}"
    );
    assert!(body.contains("/ws"), "{body}");
}

/// What ends the connection: the request, the status. What comes behind it is not read.
const LAST: &[(&str, &str)] = &[
    (
        "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        OK,
    ),
    ("GET /health HTTP/1.0\r\n\r\n", OK),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n",
        NOT_ALLOWED,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        NOT_ALLOWED,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: more\r\n\r\n",
        "417 Expectation Failed",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "411 Length Required",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "400 Bad Request",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "501 Not Implemented",
    ),
    (
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "505 HTTP Version Not Supported",
    ),
];

#[test]
fn a_connection_ends_when_http_asks_or_when_its_rest_is_unclear() {
    let server = Server::native(config(2));
    for (last, status) in LAST {
        let mut raw = Raw::connect(&server);
        raw.send_anyway(format!("GET / HTTP/1.1\r\nHost: a\r\n\r\n{last}").as_bytes());
        raw.send_anyway(b"GET /behind HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(raw.answer().0.starts_with("HTTP/1.1 200 OK\r\n"));
        let (head, _) = raw.answer();
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{last}{head}"
        );
        assert!(head.contains("\r\nConnection: close\r\n"), "{last}{head}");
        raw.ended();
    }
    let mut old = Raw::connect(&server);
    for _ in 0..3 {
        old.send(b"GET /health HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
        assert!(old.answer().0.contains("\r\nConnection: keep-alive\r\n"));
    }
    server.wait_until_empty_but(1);
}

#[test]
fn requests_of_one_connection_are_counted() {
    let server = Server::native(config(1));
    let mut raw = Raw::connect(&server);
    raw.send(
        "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
            .repeat(101)
            .as_bytes(),
    );
    for number in 1..=100 {
        let closes = raw.answer().0.contains("\r\nConnection: close\r\n");
        assert_eq!(closes, number == 100, "{number}");
    }
    raw.ended();
    // The largest body that is dropped.
    let mut raw = Raw::connect(&server);
    let post = format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n{}",
        "x".repeat(65536)
    );
    raw.send(post.as_bytes());
    assert!(raw.answer().0.starts_with("HTTP/1.1 405 "));
    check_upgrades(raw);
}

/// The deadline is far away: what is decisive is answered at once.
#[test]
fn a_fault_is_told_before_the_head_ends() {
    let mut config = config(1);
    config.handshake_timeout = Duration::from_secs(3600);
    let server = Server::native(config);
    for beginning in [
        "GET /ws HTTP/1.1\nHost: a\n",
        "\n",
        "GET /ws HTTP/1.1\r\nHost: a\n",
        "GET /ws HTTP/1.1\r\nHost: a\r\r",
        "GET /ws HTTP/1.1\r\nHost: a\0",
        "\u{16}\u{3}\u{1}\u{2}",
    ] {
        let mut raw = Raw::connect(&server);
        raw.send_bytewise(beginning.as_bytes());
        assert!(raw.answer().0.starts_with("HTTP/1.1 400 "), "{beginning:?}");
        raw.ended();
    }
}

#[test]
fn frames_behind_a_refused_upgrade_are_nobodys() {
    let server = Server::native(config(1));
    let frames = frame(FIN | TEXT, br#"{"type":"broadcast","data":"stray"}"#).repeat(10);
    let mut witness = Client::native(&server);
    for head in [
        upgrade().replace("/ws", "/x"),
        upgrade().replace("13", "12"),
    ] {
        let mut raw = Raw::connect(&server);
        raw.send(&[head.as_bytes(), &frames].concat());
        let (head, _) = raw.answer();
        assert!(head.contains("Connection: close"), "{head}");
        raw.ended();
    }
    witness.check_quiet();
    assert_eq!(server.sum(|shard| &shard.messages_in), 1);
}

#[test]
fn a_connection_kept_alive_ends_without_a_word() {
    let mut config = config(2);
    config.keep_alive_timeout = Duration::from_millis(100);
    config.header_timeout = Duration::from_millis(100);
    let server = Server::native(config);
    let mut idle = Raw::connect(&server);
    idle.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    let (head, body) = idle.answer();
    // Less than a second cannot be told.
    assert!(!head.contains("Keep-Alive"), "{head}");
    assert_eq!(body, HEALTH);
    idle.ended();
    let mut begun = Raw::connect(&server);
    begun.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET ");
    assert_eq!(begun.answer().1, HEALTH);
    assert!(begun.answer().0.starts_with("HTTP/1.1 408 "));
    begun.ended();
    drop((idle, begun));
    server.wait_until_empty();
    // Who was kept was not late with anything.
    assert_eq!(server.sum(|shard| &shard.closed_deadline_handshake), 0);
    assert_eq!(server.sum(|shard| &shard.closed_deadline_header), 1);
}

/// The deadline of the first request is not that of the next: proxies keep connections for a
/// minute.
#[test]
fn a_connection_is_kept_for_longer_than_a_handshake_may_take() {
    let mut config = config(1);
    (config.handshake_timeout, config.header_timeout) =
        (Duration::from_millis(200), Duration::from_millis(200));
    let server = Server::native(config);
    let mut kept = Raw::connect(&server);
    let mut body = Raw::connect(&server);
    kept.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(kept.answer().1, HEALTH);
    body.send(b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx");
    assert_eq!(body.answer().1, HEALTH);
    // One after the other, as long as a handshake may take each: the last came well after the
    // answer.
    for _ in 0..3 {
        Raw::connect(&server).ended();
    }
    // A body that does not come has no more time than before.
    assert!(body.answer().0.starts_with("HTTP/1.1 408 "));
    check_upgrades(kept);
}

/// Where all places are taken nobody keeps one for a request that may come.
#[test]
fn a_full_server_keeps_no_connection_alive() {
    let mut config = config(1);
    config.connections_max = 3;
    let server = Server::native(config);
    let mut clients = vec![Client::native(&server), Client::native(&server)];
    for closes in [false, true] {
        let mut raw = Raw::connect(&server);
        raw.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = raw.answer().0;
        let said = head.contains("\r\nConnection: close\r\n");
        assert_eq!(said, closes, "{head}");
        drop(raw);
        server.wait_until_empty_but(clients.len() as u64);
        if !closes {
            clients.push(Client::native(&server));
        }
    }
}

#[test]
fn whoever_says_no_more_still_hears_its_answers() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        for _ in 0..20 {
            let mut raw = Raw::connect(&server);
            raw.send(
                "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
                    .repeat(2)
                    .as_bytes(),
            );
            raw.finish();
            assert_eq!([raw.answer().1, raw.answer().1], [HEALTH; 2]);
            raw.ended();
        }
        server.wait_until_empty();
    }
}
