//! The opening handshake as sockets see it: what is refused and how, in whatever pieces it comes,
//! and who gets in when the server is full.

use crate::SHARDS;
use shardcast_tests::{Client, FIN, Raw, Server, TEXT, config, frame, upgrade};
use std::time::Duration;

/// Request line, header left out, headers added, status line.
type Row = (&'static str, &'static str, &'static str, &'static str);

const GET: &str = "GET /ws HTTP/1.1";
const BAD: &str = "400 Bad Request";
const NO_SUCH_VERSION: &str = "505 HTTP Version Not Supported";
const UPGRADE_REQUIRED: &str = "426 Upgrade Required";

const REFUSED: &[Row] = &[
    ("POST /ws HTTP/1.1", "", "", "405 Method Not Allowed"),
    ("get /ws HTTP/1.1", "", "", "405 Method Not Allowed"),
    ("GET /other HTTP/1.1", "", "", "404 Not Found"),
    ("GET /ws/ HTTP/1.1", "", "", "404 Not Found"),
    ("GET /WS HTTP/1.1", "", "", "404 Not Found"),
    ("GET /ws HTTP/1.0", "", "", UPGRADE_REQUIRED),
    ("GET /ws HTTP/2.0", "", "", NO_SUCH_VERSION),
    ("PRI * HTTP/2.0", "", "", NO_SUCH_VERSION),
    ("GET /ws", "", "", BAD),
    ("GET  /ws HTTP/1.1", "", "", BAD),
    ("GET /ws HTTP/1.1 ", "", "", BAD),
    ("GET * HTTP/1.1", "", "", BAD),
    ("GET ftp://localhost/ws HTTP/1.1", "", "", BAD),
    ("GET /ws#part HTTP/1.1", "", "", BAD),
    ("GET /w\u{e4} HTTP/1.1", "", "", BAD),
    ("GET /ws%2 HTTP/1.1", "", "", BAD),
    ("GET /ws%2F HTTP/1.1", "", "", "404 Not Found"),
    (
        "CONNECT localhost:80 HTTP/1.1",
        "",
        "",
        "405 Method Not Allowed",
    ),
    ("\u{16}\u{3}\u{1}\u{2}", "", "", BAD),
    (GET, "Host", "", BAD),
    (GET, "Connection", "", UPGRADE_REQUIRED),
    (GET, "Sec-WebSocket-Version", "", BAD),
    (GET, "Sec-WebSocket-Key", "", BAD),
    (
        GET,
        "Connection",
        "Connection: keep-alive\r\n",
        UPGRADE_REQUIRED,
    ),
    (
        GET,
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Version: 8\r\n",
        UPGRADE_REQUIRED,
    ),
    (
        GET,
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Version: 13, 8\r\n",
        UPGRADE_REQUIRED,
    ),
    (GET, "", "Host: other\r\n", BAD),
    (GET, "Host", "Host: a b\r\n", BAD),
    (GET, "Host", "Host : localhost\r\n", BAD),
    (GET, "", "Sec-WebSocket-Version: 13\r\n", BAD),
    (
        GET,
        "",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        BAD,
    ),
    (
        GET,
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Key: c2hvcnQ=\r\n",
        BAD,
    ),
    (
        GET,
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==\r\n",
        BAD,
    ),
    (GET, "", "Content-Length: 1\r\n", BAD),
    (GET, "", "Transfer-Encoding: chunked\r\n", BAD),
    (
        GET,
        "",
        "Transfer-Encoding: x, chunked\r\n",
        "501 Not Implemented",
    ),
    (GET, "", "Content-Length: 0\r\nContent-Length: 0\r\n", BAD),
    (GET, "", "Bad Name: x\r\n", BAD),
    (GET, "", "No-Colon\r\n", BAD),
    (GET, "", " Folded: x\r\n", BAD),
    (GET, "", "Folded: x\r\n\ty\r\n", BAD),
    (GET, "", "Bare: x\nY: z\r\n", BAD),
    (GET, "", "Bare: x\ry\r\n", BAD),
    (GET, "", "Null: \0\r\n", BAD),
];

const HEADERS: [&str; 5] = [
    "Host: localhost\r\n",
    "Upgrade: websocket\r\n",
    "Connection: Upgrade\r\n",
    "Sec-WebSocket-Version: 13\r\n",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
];

fn head((line, without, added, _): &Row) -> String {
    let without = format!("{without}:");
    let kept = HEADERS
        .iter()
        .filter(|header| !header.starts_with(&without));
    format!("{line}\r\n{}{added}\r\n", kept.copied().collect::<String>())
}

/// Sends a head and reads the refusal to its end: a well-formed answer, and then the end.
#[track_caller]
fn check_refused(mut raw: Raw, sent: &[u8], status: &str) -> String {
    raw.send_anyway(sent);
    let answer = raw.head();
    let shown = String::from_utf8_lossy(sent);
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
        "{shown}{answer}"
    );
    let body = String::from_utf8(raw.rest()).unwrap();
    assert!(
        answer.contains(&format!("Content-Length: {}\r\n", body.len())),
        "{answer}"
    );
    assert!(answer.contains("Connection: close"), "{answer}");
    let asks_for_13 = answer.contains("\r\nSec-WebSocket-Version: 13\r\n");
    assert_eq!(asks_for_13, status.starts_with("426"), "{answer}");
    assert_eq!(
        answer.contains("\r\nAllow: GET\r\n"),
        status.starts_with("405")
    );
    assert_eq!(
        answer.contains("\r\nRetry-After: "),
        status.starts_with("503")
    );
    body
}

/// Somebody else is served.
#[track_caller]
fn check_serves(server: &Server) {
    Client::native(server).check_quiet();
}

#[test]
fn malformed_requests_are_refused() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        for row in REFUSED {
            check_refused(Raw::connect(&server), head(row).as_bytes(), row.3);
            check_serves(&server);
        }
        // A peer that goes on talking still gets its answer.
        let mut chatty = head(&REFUSED[0]).into_bytes();
        chatty.resize(200_000, b'x');
        check_refused(Raw::connect(&server), &chatty, REFUSED[0].3);
        // Some of them did not ask for a WebSocket.
        let refused = server.sum(|shard| &shard.upgrades_refused)
            + server.sum(|shard| &shard.requests_refused);
        assert_eq!(refused, REFUSED.len() as u64 + 1);
        server.wait_until_empty();
    }
}

/// A head of exactly so many bytes.
fn long_head(bytes: usize) -> String {
    let head = upgrade();
    let padding = "x".repeat(bytes - head.len() - "Pad: \r\n".len());
    head.replace("\r\n\r\n", &format!("\r\nPad: {padding}\r\n\r\n"))
}

/// A head of exactly so many headers.
fn head_with(headers: usize) -> String {
    let given = upgrade().matches(": ").count();
    let more: String = (given..headers).map(|n| format!("X-{n}: y\r\n")).collect();
    upgrade().replace("\r\n\r\n", &format!("\r\n{more}\r\n"))
}

/// What cookies, tokens and proxies add is bounded where the configuration says, and taken up to
/// there.
#[test]
fn heads_are_bounded() {
    const TOO_LARGE: &str = "431 Request Header Fields Too Large";
    let default = (16 << 10, 100);
    assert_eq!((config(1).head_bytes_max, config(1).headers_max), default);
    for (bytes, headers) in [default, (8 << 10, 16), (256 << 10, 1_000)] {
        let mut config = config(1);
        (config.head_bytes_max, config.headers_max) = (bytes, headers);
        let server = Server::native(config);
        // The query is as long as a token may be.
        let line = upgrade().replace("/ws", &format!("/ws?{}", "x".repeat(bytes - 300)));
        for said in [long_head(bytes), head_with(headers), line] {
            let mut raw = Raw::connect(&server);
            raw.send(said.as_bytes());
            assert!(raw.head().starts_with("HTTP/1.1 101 "), "{bytes}");
        }
        // It need not end.
        let target = [b"GET /", &*vec![b'x'; bytes + 1]].concat();
        for (said, status) in [
            (long_head(bytes + 1).into_bytes(), TOO_LARGE),
            (head_with(headers + 1).into_bytes(), TOO_LARGE),
            (target, "414 URI Too Long"),
            (vec![b'x'; bytes + 1], BAD),
        ] {
            check_refused(Raw::connect(&server), &said, status);
        }
    }
}

#[test]
fn the_head_may_come_in_any_pieces() {
    for shards in SHARDS {
        let server = Server::echo(config(shards));
        let message = frame(FIN | TEXT, b"behind the head");
        let all = [upgrade().as_bytes(), &message].concat();
        let check = |mut raw: Raw| {
            let head = raw.head();
            assert!(
                head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
                "{head}"
            );
            // RFC 6455 §1.3 has this very key.
            assert!(head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
            raw.expect(FIN | TEXT, b"behind the head");
            raw.send(&frame(FIN | TEXT, b"and later"));
            raw.expect(FIN | TEXT, b"and later");
        };
        let mut whole = Raw::connect(&server);
        whole.send(&all);
        check(whole);
        let mut bytewise = Raw::connect(&server);
        bytewise.send_bytewise(&all);
        check(bytewise);
        for cut in [
            1,
            50,
            all.len() - message.len() - 1,
            all.len() - message.len(),
            all.len() - 1,
        ] {
            let mut raw = Raw::connect(&server);
            raw.send(&all[..cut]);
            raw.send(&all[cut..]);
            check(raw);
        }
        for (target, host) in [
            ("/ws?token=x", "a"),
            ("/%77s", "[::1]:8000"),
            ("http://localhost/ws", "b"),
            ("/ws", ""),
        ] {
            let mut raw = Raw::connect(&server);
            let head = upgrade()
                .replace("/ws", target)
                .replace("Host: localhost", &format!("HOST:{host}"));
            raw.send(head.as_bytes());
            raw.send(&message);
            check(raw);
        }
    }
}

#[test]
fn a_head_that_does_not_come_is_given_up() {
    let mut config = config(2);
    config.handshake_timeout = Duration::from_millis(500);
    config.header_timeout = Duration::from_millis(100);
    let server = Server::native(config);
    for beginning in ["G", "GET /ws HTTP/1.1\r\nHost: local"] {
        let raw = Raw::connect(&server);
        check_refused(raw, beginning.as_bytes(), "408 Request Timeout");
    }
    // Who said nothing is told nothing: browsers open connections ahead, and would take a 408 for
    // an answer.
    Raw::connect(&server).ended();
    check_serves(&server);
    server.wait_until_empty();
    assert_eq!(server.sum(|shard| &shard.closed_deadline_handshake), 1);
    assert_eq!(server.sum(|shard| &shard.closed_deadline_header), 2);
}

#[test]
fn a_full_server_says_so_until_somebody_leaves() {
    for shards in SHARDS {
        let mut config = config(shards);
        config.connections_max = 3;
        let server = Server::native(config);
        let mut clients: Vec<Client> = (0..3).map(|_| Client::native(&server)).collect();
        for _ in 0..5 {
            let raw = Raw::connect(&server);
            check_refused(raw, upgrade().as_bytes(), "503 Service Unavailable");
        }
        assert_eq!(server.sum(|shard| &shard.refused_full), 5);
        clients.iter_mut().for_each(Client::check_quiet);
        clients.remove(0).leave();
        // The slot is free as soon as the server has seen the close through.
        server.wait_until("a free slot", |server| {
            let mut raw = Raw::connect(server);
            raw.send(upgrade().as_bytes());
            raw.head().starts_with("HTTP/1.1 101 ")
        });
        clients.iter_mut().for_each(Client::check_quiet);
    }
}

#[test]
fn whoever_vanishes_before_the_upgrade_leaves_nothing_behind() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        for beginning in ["", "G", "GET /ws HTTP/1.1\r\nHost: local"] {
            let mut gone = Raw::connect(&server);
            gone.send(beginning.as_bytes());
            drop(gone);
            let mut reset = Raw::connect(&server);
            reset.send(beginning.as_bytes());
            reset.reset();
            let mut finished = Raw::connect(&server);
            finished.send(beginning.as_bytes());
            finished.finish();
            finished.is_gone();
        }
        check_serves(&server);
        server.wait_until_empty();
    }
}
