//! RFC 9110 and RFC 9112, as far as a handshake and small answers meet them.

use crate::exchange::{Answer, Servers, answers};
use shardcast_tests::{Server, upgrade};

/// What a request without a body says in the end: nothing more is asked.
const LAST: &str = "Connection: close\r\n\r\n";

/// Says `said`, and expects one answer of this status before the end.
#[track_caller]
fn check(server: &Server, clauses: &str, said: &[u8], status: u16) -> Answer {
    let given = answers(server, said, &[]);
    let shown = String::from_utf8_lossy(said);
    assert_eq!(given.len(), 1, "{clauses}: {shown:?}: {given:?}");
    assert_eq!(given[0].status, status, "{clauses}: {shown:?}: {given:?}");
    given[0].clone()
}

/// A request for the native server's health, with further lines.
fn health(lines: &str) -> Vec<u8> {
    format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{lines}{LAST}").into_bytes()
}

/// Clauses, what is sent, status.
type Row = (&'static str, &'static [u8], u16);

const LINES: &[Row] = &[
    ("9112-2.2-2", b"GET /health HTTP/1.1\rHost: a\r\n\r\n", 400),
    (
        "9112-2.2-2",
        b"GET /health HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        400,
    ),
    (
        "9112-2.2-5",
        b"GET /health HTTP/1.1\r\n Host: a\r\n\r\n",
        400,
    ),
    (
        "9112-2.2-5",
        b"GET /health HTTP/1.1\r\n\tX: b\r\nHost: a\r\n\r\n",
        400,
    ),
    ("9112-2.2-6", b"SSH-2.0-OpenSSH\r\n\r\n", 400),
    (
        "9112-2.2-6",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        400,
    ),
    ("9112-3-1", b"GET  /health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("9112-3-1", b"GET /hea lth HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("9112-3-1", b"GET /health\r\nHost: a\r\n\r\n", 400),
    ("9112-3-1", b"GET /health http/1.1\r\nHost: a\r\n\r\n", 400),
    ("9112-3-1", b"G(T /health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("9112-3.2-2", b"GET /health HTTP/1.1\r\n\r\n", 400),
    (
        "9112-3.2-3",
        b"GET /health HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        400,
    ),
    (
        "9112-3.2-3",
        b"GET /health HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
        400,
    ),
    (
        "9112-3.2-4",
        b"GET /health HTTP/1.1\r\nHost: a b\r\n\r\n",
        400,
    ),
    (
        "9112-3.2-4",
        b"GET /health HTTP/1.1\r\nHost: a/b\r\n\r\n",
        400,
    ),
    (
        "9112-3.2-4",
        b"GET /health HTTP/1.1\r\nHost: a@b\r\n\r\n",
        400,
    ),
    (
        "9112-3.2-4",
        b"GET /health HTTP/1.1\r\nHost: a:b\r\n\r\n",
        400,
    ),
    (
        "9110-4.2.1-1",
        b"GET http:///health HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    ("9112-5-1", b"GET /health HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    (
        "9112-5-1",
        b"GET /health HTTP/1.1\r\nHost: a\r\nX\t: b\r\n\r\n",
        400,
    ),
    (
        "9112-5.2-1",
        b"GET /health HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
        400,
    ),
    (
        "9112-5.2-1",
        b"GET /health HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n",
        400,
    ),
    (
        "9110-5.5-1",
        b"GET /health HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
        400,
    ),
    (
        "9110-5.5-1",
        b"GET /health HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n",
        400,
    ),
];

#[test]
fn malformed_lines_are_refused() {
    let servers = Servers::start();
    for (clauses, said, status) in LINES {
        check(servers.native(), clauses, said, *status);
        check(servers.echo(), clauses, said, *status);
    }
}

const BODIES: &[Row] = &[
    ("9112-6.1-1", b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("9112-6.1-2", b"GET /health HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("9112-6.3-1", b"GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
    ("9112-6.3-1", b"GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400),
    ("9112-6.3-2", b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
    ("9112-6.3-2", b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n1", 400),
    ("9112-6.3-2", b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\n1", 400),
    ("9112-6.3-3", b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12", 400),
    ("9112-6.3-3", b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n12", 400),
];

/// Each could be read in two ways, so nothing behind it may count: not the request that would be
/// hidden in it either.
#[test]
fn ambiguous_bodies_are_refused_and_nothing_behind_them_is_a_request() {
    let servers = Servers::start();
    for (clauses, said, status) in BODIES {
        check(servers.native(), clauses, said, *status);
        let smuggled = [said, &health("")[..]].concat();
        check(servers.native(), clauses, &smuggled, *status);
    }
}

#[test]
fn an_unknown_transfer_coding_is_refused() {
    let servers = Servers::start();
    let said =
        b"GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: br, chunked\r\n\r\n0\r\n\r\n";
    let given = answers(servers.native(), said, &[]);
    assert!(
        given.len() == 1 && matches!(given[0].status, 400 | 411 | 501),
        "9112-6.1-3: {given:?}"
    );
}

#[test]
fn well_formed_heads_are_taken() {
    let servers = Servers::start();
    for (clauses, said) in [
        (
            "9110-5.1-1",
            &b"GET /health HTTP/1.1\r\nhOST: a\r\ncONNECTION: CLOSE\r\n\r\n"[..],
        ),
        (
            "9112-5.1-1",
            b"GET /health HTTP/1.1\r\nHost:a\r\nX: \t b \t \r\nConnection:\t close \r\n\r\n",
        ),
        (
            "9110-5.6.1-1",
            b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: , ,close,\r\n\r\n",
        ),
        (
            "9112-3.2.2-1",
            b"GET http://a/health HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n",
        ),
        (
            "9112-2.2-4",
            b"\r\nGET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        ),
    ] {
        check(servers.native(), clauses, said, 200);
    }
    let said = upgrade()
        .replace("Connection: Upgrade", "Connection: ,, Upgrade ,")
        .replace("/ws", "/nowhere");
    check(
        servers.native(),
        "9110-5.6.1-1",
        said.replace("\r\n\r\n", &format!("\r\n{LAST}")).as_bytes(),
        404,
    );
}

#[test]
fn heads_that_are_too_large_are_told_so() {
    let servers = Servers::start();
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(17_000));
    check(servers.native(), "9112-3-2", long.as_bytes(), 414);
    check(
        servers.native(),
        "9110-5.4-1",
        &health(&format!("X: {}\r\n", "x".repeat(17_000))),
        431,
    );
    check(
        servers.native(),
        "9110-5.4-1",
        &health(&"X: y\r\n".repeat(100)),
        431,
    );
}

#[test]
fn methods_are_answered_as_http_asks() {
    let servers = Servers::start();
    let get = check(servers.native(), "9110-9.1-1", &health(""), 200);
    let said = health("");
    let said = [b"HEAD", said.strip_prefix(b"GET").expect("a GET")].concat();
    // Clauses 9110-9.1-1, 9110-9.3.2-1: the same head, and nothing behind it.
    let given = answers(servers.native(), &said, &["HEAD"]);
    assert!(
        given.len() == 1 && given[0].headers == get.headers && given[0].status == 200,
        "{given:?}"
    );
    for method in ["PUT", "DELETE", "BREW", "get"] {
        let said = [
            method.as_bytes(),
            health("").strip_prefix(b"GET").expect("a GET"),
        ]
        .concat();
        let answer = check(servers.native(), "9110-15.5.6-1", &said, 405);
        assert!(answer.names("allow", "GET"), "{answer:?}");
    }
}

#[test]
fn upgrades_are_negotiated_as_http_asks() {
    let servers = Servers::start();
    let plain = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = check(servers.native(), "9110-15.5.22-1", plain, 426);
    // Clauses 9110-7.8-4, 9110-7.6.1-1.
    assert!(
        answer.names("upgrade", "websocket") && answer.names("connection", "upgrade"),
        "{answer:?}"
    );
    let other =
        b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, close\r\n\r\n";
    check(servers.native(), "9110-7.8-2", other, 426);
    let old = upgrade().replace("HTTP/1.1", "HTTP/1.0");
    let given = answers(servers.native(), old.as_bytes(), &[]);
    assert!(
        given.len() == 1 && given[0].status >= 400,
        "9110-7.8-3: {given:?}"
    );
    // Clauses 9110-7.8-1: what 101 says is in `handshake.rs`, too.
    let mut raw = shardcast_tests::Raw::upgraded(servers.echo());
    raw.finish();
    raw.ended();
}

#[test]
fn connections_are_kept_and_closed_as_http_asks() {
    let servers = Servers::start();
    let one = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    let other = "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n";
    let first = answers(servers.native(), &health(""), &[]);
    // Clauses 9112-9.6-1, 9112-9.3-2, 9112-9.6-3: said, and done.
    assert!(
        first.len() == 1 && first[0].names("connection", "close"),
        "{first:?}"
    );
    let late = [&health("")[..], one.as_bytes()].concat();
    assert_eq!(answers(servers.native(), &late, &[]).len(), 1, "9112-9.6-2");
    let ahead = format!("{one}{other}{one}");
    let given = answers(
        servers.native(),
        &[ahead.as_bytes(), &health("")].concat(),
        &[],
    );
    let statuses: Vec<u16> = given.iter().map(|answer| answer.status).collect();
    let kept = given
        .iter()
        .filter(|answer| !answer.names("connection", "close"))
        .count();
    assert_eq!(statuses, [200, 404, 200, 200], "9112-9.3.2-1");
    assert_eq!(kept, 3, "9112-9.3-2");
    // The body looks like a request, and is none.
    let length = one.len();
    let hidden =
        format!("PUT /health HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{one}");
    let given = answers(
        servers.native(),
        &[hidden.as_bytes(), &health("")].concat(),
        &[],
    );
    let statuses: Vec<u16> = given.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [405, 200], "9112-9.3-1");
    // One that is too long to be read ends the connection with the answer.
    let long = "PUT /health HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n";
    let given = check(servers.native(), "9112-9.3-1", long.as_bytes(), 405);
    assert!(
        given.names("connection", "close"),
        "9112-9.3-1 9112-9.6-3: {given:?}"
    );
    // A peer that goes on talking still gets its answer, and no reset: `answers` wants a clean end.
    let mut chatty = LINES[0].1.to_vec();
    chatty.resize(300_000, b'x');
    check(servers.native(), "9112-9.6-4", &chatty, 400);
}
