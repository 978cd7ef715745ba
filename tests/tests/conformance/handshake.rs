//! RFC 6455 §4, §11.3: the opening handshake.

use crate::exchange::{Answer, Servers, answers, head};
use shardcast_engine::protocol::frame::Kind;
use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::{Admission, Application, Context, Message, Refusal};
use shardcast_tests::{FIN, Raw, Server, TEXT, config, frame};

const LINE: &str = "GET /ws HTTP/1.1";
const HOST: &str = "Host: localhost";
const UPGRADE: &str = "Upgrade: websocket";
const CONNECTION: &str = "Connection: Upgrade";
const VERSION: &str = "Sec-WebSocket-Version: 13";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const GOOD: [&str; 6] = [LINE, HOST, UPGRADE, CONNECTION, VERSION, KEY];

fn request(lines: &[&str]) -> Vec<u8> {
    format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

/// The good request with `instead` of the line `of`; without it, if that is empty.
fn with(of: &str, instead: &str) -> Vec<u8> {
    let lines = GOOD.map(|line| if line == of { instead } else { line });
    request(
        &lines
            .into_iter()
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>(),
    )
}

/// The good request and further lines.
fn and(more: &[&str]) -> Vec<u8> {
    request(&[&GOOD, more].concat())
}

/// The answer to a request that is accepted; an echo behind it works, so the head ended where the
/// answer says.
#[track_caller]
fn accepted(server: &Server, clauses: &str, said: &[u8]) -> Answer {
    let mut raw = Raw::connect(server);
    // The first frame comes with the request: its bytes are the WebSocket's.
    raw.send(&[said, &frame(FIN | TEXT, b"first")].concat());
    let answer = raw.head();
    let answer = head(answer.trim_end_matches("\r\n\r\n").as_bytes());
    assert_eq!(
        answer.status,
        101,
        "{clauses}: {}: {answer:?}",
        String::from_utf8_lossy(said)
    );
    raw.expect(FIN | TEXT, b"first");
    answer
}

/// The answer to a request that is refused: an error with a body of its length, nothing else behind
/// it.
#[track_caller]
fn refused(server: &Server, clauses: &str, said: &[u8], status: u16) -> Answer {
    let given = answers(server, &closing(said), &[]);
    assert_eq!(given.len(), 1, "{clauses}: {given:?}");
    assert_eq!(
        given[0].status,
        status,
        "{clauses}: {}: {given:?}",
        String::from_utf8_lossy(said)
    );
    given[0].clone()
}

/// The request, asking that the connection be closed behind the answer, which it need not be where
/// the refusal leaves no doubt where it ends.
fn closing(said: &[u8]) -> Vec<u8> {
    match said.strip_suffix(b"\r\n\r\n") {
        Some(lines) => [lines, b"\r\nConnection: close\r\n\r\n"].concat(),
        None => said.to_vec(),
    }
}

/// Clauses, request, status.
type Row = (&'static str, Vec<u8>, u16);

fn refusals() -> Vec<Row> {
    vec![
        ("6455-4.2.1-2", with(LINE, "POST /ws HTTP/1.1"), 405),
        ("6455-4.2.1-2", with(LINE, "GET /ws HTTP/1.0"), 426),
        ("6455-4.2.1-2", with(LINE, "GET * HTTP/1.1"), 400),
        ("6455-4.2.1-2", with(LINE, "GET ws HTTP/1.1"), 400),
        ("6455-3-1", with(LINE, "GET /ws#part HTTP/1.1"), 400),
        ("6455-4.2.1-3", with(HOST, ""), 400),
        ("6455-4.2.1-4", with(UPGRADE, "Upgrade: h2c"), 426),
        ("6455-4.2.1-4", with(UPGRADE, "Upgrade: websocket2"), 426),
        (
            "6455-4.2.1-5",
            with(CONNECTION, "Connection: keep-alive"),
            426,
        ),
        ("6455-4.2.1-6", with(KEY, ""), 400),
        ("6455-4.2.1-6", with(KEY, "Sec-WebSocket-Key:"), 400),
        (
            "6455-4.2.1-6",
            with(KEY, "Sec-WebSocket-Key: c2hvcnQ="),
            400,
        ),
        (
            "6455-4.2.1-6",
            with(KEY, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"),
            400,
        ),
        (
            "6455-4.2.1-6",
            with(KEY, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQABCDE="),
            400,
        ),
        (
            "6455-4.2.1-6",
            with(KEY, "Sec-WebSocket-Key: dGhl*HNhbXBsZSBub25jZQ=="),
            400,
        ),
        ("6455-4.2.1-7", with(VERSION, ""), 400),
        (
            "6455-4.2.1-7 6455-4.2.2-3",
            with(VERSION, "Sec-WebSocket-Version: 12"),
            426,
        ),
        (
            "6455-4.2.1-7 6455-4.2.2-3",
            with(VERSION, "Sec-WebSocket-Version: 013"),
            426,
        ),
        ("6455-4.2.2-4", with(LINE, "GET /nowhere HTTP/1.1"), 404),
        ("6455-11.3.1-1", and(&[KEY]), 400),
        (
            "6455-11.3.1-1",
            and(&["sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA=="]),
            400,
        ),
        ("6455-11.3.5-1", and(&[VERSION]), 400),
    ]
}

#[test]
fn what_is_no_handshake_gets_an_http_error() {
    let servers = Servers::start();
    for (clauses, said, status) in refusals() {
        for server in [servers.echo(), servers.native()] {
            // Clauses 6455-4.2.1-1, 6455-10.7-3.
            let answer = refused(server, clauses, &said, status);
            assert!(
                answer.header("upgrade").is_none() || status == 426,
                "{answer:?}"
            );
            assert_eq!(answer.header("sec-websocket-accept"), None);
            if status == 426 {
                // Clause 6455-4.4-1: all versions that are spoken.
                assert_eq!(answer.header("sec-websocket-version"), Some("13"));
                assert!(answer.names("upgrade", "websocket"), "{answer:?}");
            }
        }
    }
}

#[test]
fn names_are_compared_in_any_case_and_unknown_ones_ignored() {
    let servers = Servers::start();
    let server = servers.echo();
    accepted(server, "6455-4.2.1-4", &with(UPGRADE, "upgrade: WebSocket"));
    accepted(
        server,
        "6455-4.2.1-4",
        &with(UPGRADE, "UPGRADE: h2c, WEBSOCKET"),
    );
    accepted(
        server,
        "6455-4.2.1-5",
        &with(CONNECTION, "connection: keep-alive, uPGRADE"),
    );
    accepted(
        server,
        "6455-4.2.1-9",
        &and(&[
            "X-Unknown: ?",
            "Origin: https://a.example",
            "Cookie: a=b",
            "X-Unknown: !",
        ]),
    );
    accepted(
        server,
        "6455-4.2.1-2",
        &with(LINE, "GET http://localhost/ws HTTP/1.1"),
    );
    accepted(
        server,
        "6455-4.2.1-6",
        &with(KEY, "Sec-WebSocket-Key:\t AAAAAAAAAAAAAAAAAAAAAA== \t"),
    );
}

#[test]
fn text_in_a_handshake_is_utf8() {
    let servers = Servers::start();
    for target in [&b"/w\xff"[..], b"/ws?\xc3\x28", "/wä".as_bytes()] {
        let said = [b"GET ", target, &with(LINE, " HTTP/1.1")].concat();
        refused(servers.echo(), "6455-8.1-2", &said, 400);
    }
}

#[test]
fn the_answer_is_that_of_the_rfc() {
    let servers = Servers::start();
    let answer = accepted(servers.echo(), "6455-4.2.2-8", &request(&GOOD));
    for (clauses, name, value) in [
        ("6455-4.2.2-9", "upgrade", Some("websocket")),
        ("6455-4.2.2-10", "connection", Some("Upgrade")),
        // RFC 6455 §1.3 has this key and its answer.
        (
            "6455-4.2.2-11 6455-11.3.3-1",
            "sec-websocket-accept",
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ),
        ("6455-4.2.2-6", "sec-websocket-protocol", None),
        ("6455-4.2.2-7 6455-9-1", "sec-websocket-extensions", None),
        ("9110-8.6-1", "content-length", None),
        ("9112-6.1-4", "transfer-encoding", None),
    ] {
        assert_eq!(answer.header(name), value, "{clauses}");
    }
    let answer = accepted(
        servers.echo(),
        "6455-4.2.2-11",
        &with(KEY, "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC=="),
    );
    assert_eq!(
        answer.header("sec-websocket-accept"),
        Some("OfS0wDaT5NoxF2gqm7Zj2YtetzM=")
    );
}

#[test]
fn a_subprotocol_is_one_of_those_offered() {
    let servers = Servers::start();
    for (offered, chosen) in [
        (&[][..], None),
        (
            &["Sec-WebSocket-Protocol: shardcast.v1"],
            Some("shardcast.v1"),
        ),
        (
            &["Sec-WebSocket-Protocol: other, shardcast.v1"],
            Some("shardcast.v1"),
        ),
        (
            &[
                "Sec-WebSocket-Protocol: other",
                "Sec-WebSocket-Protocol: shardcast.v1",
            ],
            Some("shardcast.v1"),
        ),
        (&["Sec-WebSocket-Protocol: other"], None),
        (&["Sec-WebSocket-Protocol: SHARDCAST.V1"], None),
        (&["Sec-WebSocket-Protocol:"], None),
    ] {
        let mut raw = Raw::connect(servers.native());
        raw.send(&and(offered));
        let answer = raw.head();
        let answer = head(answer.trim_end_matches("\r\n\r\n").as_bytes());
        assert_eq!(answer.status, 101);
        // Clauses 6455-4.2.2-5, 6455-4.2.2-6, 6455-11.3.4-1.
        assert_eq!(
            answer.header("sec-websocket-protocol"),
            chosen,
            "{offered:?}"
        );
    }
}

/// Speaks first, and only to one origin.
struct Eager;

impl Application for Eager {
    type Session = ();

    fn connect(&mut self, _cx: &mut Context<'_>, request: &HttpRequest<'_>) -> Admission<()> {
        match request.header("Origin") {
            Some(b"https://a.example") => Admission::Accept(().into()),
            _ => Admission::Refuse(Refusal::new(403, "another origin")),
        }
    }

    fn opened(&mut self, cx: &mut Context<'_>, _session: &mut ()) {
        cx.send(Kind::Text, b"first");
    }

    fn message(&mut self, _cx: &mut Context<'_>, _session: &mut (), _message: Message<'_>) {}
}

#[test]
fn nothing_is_said_before_the_answer() {
    let server = Server::with(config(1), |_| Eager);
    let said = and(&["Origin: https://a.example"]);
    let (most, last) = said.split_at(said.len() - 1);
    let mut raw = Raw::connect(&server);
    raw.send(most);
    raw.send(last);
    // Clause 6455-4.2.2-12: `head` would fail on a frame before it.
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    raw.expect(FIN | TEXT, b"first");
}

#[test]
fn who_is_not_wanted_gets_an_http_error() {
    let server = Server::with(config(1), |_| Eager);
    let answer = refused(
        &server,
        "6455-4.2.2-2",
        &and(&["Origin: https://b.example"]),
        403,
    );
    assert_eq!(answer.body, "another origin");
}
