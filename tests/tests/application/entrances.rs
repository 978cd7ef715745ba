//! Which dialect a client speaks: by path, by query, by subprotocol, and what becomes of those who
//! name two.

use shardcast::App;
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::{BINARY, FIN, Raw, Server, TEXT, config, frame, upgrade_with};

/// A target, the subprotocols offered, and what the client then speaks and is answered.
type Row = (&'static str, &'static str, Dialect, Option<&'static str>);

const JSON: Dialect = Dialect::NativeJson;
const PACK: Dialect = Dialect::MessagePack;
const RPC: Dialect = Dialect::JsonRpc;

const LET_IN: &[Row] = &[
    // The subprotocol alone.
    ("/ws", "", JSON, None),
    ("/ws", "shardcast.v1", JSON, Some("shardcast.v1")),
    ("/ws", "jsonrpc-2.0", RPC, Some("jsonrpc-2.0")),
    ("/ws", "chat, soap", JSON, None),
    // The path.
    ("/jsonrpc", "", RPC, None),
    ("/msgpack", "", PACK, None),
    ("/%6Asonrpc", "", RPC, None),
    ("/jsonrpc?user=ann", "", RPC, None),
    ("/jsonrpc", "jsonrpc-2.0", RPC, Some("jsonrpc-2.0")),
    ("/jsonrpc", "json-rpc, jsonrpc", RPC, None),
    (
        "/jsonrpc",
        "shardcast.v1, jsonrpc-2.0",
        RPC,
        Some("jsonrpc-2.0"),
    ),
    (
        "/msgpack",
        "shardcast.v1.msgpack",
        PACK,
        Some("shardcast.v1.msgpack"),
    ),
    // The query.
    ("/ws?dialect=jsonrpc", "", RPC, None),
    ("/ws?user=ann&dialect=msgpack", "", PACK, None),
    ("/ws?dialect=json&x", "", JSON, None),
    ("/ws?dialects=soap&xdialect=soap", "", JSON, None),
    (
        "/ws?dialect=jsonrpc",
        "jsonrpc-2.0, shardcast.v1",
        RPC,
        Some("jsonrpc-2.0"),
    ),
    ("/jsonrpc?dialect=jsonrpc", "", RPC, None),
];

/// The Centrifuge protocol: a target, the subprotocols offered, its encoding and the answer.
const CENTRIFUGE: &[Row] = &[
    (LINES_PATH, "", LINES, None),
    (
        LINES_PATH,
        "centrifuge-json",
        LINES,
        Some("centrifuge-json"),
    ),
    (
        LINES_PATH,
        "centrifuge-protobuf",
        PROTOBUF,
        Some("centrifuge-protobuf"),
    ),
    (LINES_PATH, "chat", LINES, None),
    ("/connection/websocket?format=protobuf", "", PROTOBUF, None),
    (
        "/connection/websocket?x=1&cf_protocol=protobuf",
        "",
        PROTOBUF,
        None,
    ),
    (
        "/connection/websocket?format=protobuf",
        "centrifuge-json",
        LINES,
        Some("centrifuge-json"),
    ),
    ("/connection/websocket?format=json", "", LINES, None),
];

const LINES_PATH: &str = "/connection/websocket";
const LINES: Dialect = Dialect::CentrifugeJson;
const PROTOBUF: Dialect = Dialect::CentrifugeProtobuf;

#[test]
fn clients_of_the_centrifuge_protocol_choose_its_encoding() {
    let (server, _) = Server::of(App::new(), config(1));
    for (target, offered, dialect, subprotocol) in CENTRIFUGE {
        let mut raw = Raw::connect(&server);
        raw.send(request(target, offered).as_bytes());
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{target}: {head}");
        let answered = head
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
        assert_eq!(answered, *subprotocol, "{target} {offered}");
        // The first word is the client's.
        let (opcode, said, first) = match dialect {
            Dialect::CentrifugeProtobuf => (BINARY, &[4, 8, 1, 0x22, 0][..], 0x82),
            _ => (TEXT, &br#"{"id":1,"connect":{}}"#[..], 0x81),
        };
        raw.send(&frame(FIN | opcode, said));
        assert_eq!(raw.frame().0, first, "{target} {offered}");
    }
    // Elsewhere it is not spoken, and here nothing else is.
    let app = App::new().dialect_path(LINES, None);
    let (server, _) = Server::of(app, config(1));
    for (target, status) in [
        (LINES_PATH, "404 Not Found"),
        ("/ws?dialect=centrifuge", "400 Bad Request"),
    ] {
        let mut raw = Raw::connect(&server);
        raw.send(request(target, "").as_bytes());
        let head = raw.head();
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{target}: {head}"
        );
    }
}

/// A target, the subprotocols offered, and the refusal.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    (
        "/jsonrpc",
        "shardcast.v1",
        "400 Bad Request",
        "the subprotocol asks for the dialect json, the path for jsonrpc",
    ),
    (
        "/ws?dialect=msgpack",
        "jsonrpc-2.0",
        "400 Bad Request",
        "the subprotocol asks for the dialect jsonrpc, the query for msgpack",
    ),
    (
        "/msgpack?dialect=json",
        "",
        "400 Bad Request",
        "the query asks for the dialect json, the path for msgpack",
    ),
    (
        "/ws?dialect=soap",
        "",
        "400 Bad Request",
        "dialect is json, msgpack or jsonrpc",
    ),
    (
        "/ws?dialect=",
        "",
        "400 Bad Request",
        "dialect is json, msgpack or jsonrpc",
    ),
    (
        "/ws?dialect=json&dialect=json",
        "",
        "400 Bad Request",
        "the query names the dialect twice",
    ),
    ("/rpc", "", "404 Not Found", "clients connect to /ws"),
    ("/jsonrpc/", "", "404 Not Found", "clients connect to /ws"),
];

fn request(target: &str, offered: &str) -> String {
    let line = match offered {
        "" => String::new(),
        offered => format!("Sec-WebSocket-Protocol: {offered}\r\n"),
    };
    upgrade_with(&line).replacen(" /ws ", &format!(" {target} "), 1)
}

/// Upgrades, and tells the dialect by what it is welcomed with.
#[track_caller]
fn check_let_in(server: &Server, (target, offered, dialect, subprotocol): &Row) {
    let mut raw = Raw::connect(server);
    raw.send(request(target, offered).as_bytes());
    let head = raw.head();
    assert!(
        head.starts_with("HTTP/1.1 101 "),
        "{target} {offered}: {head}"
    );
    let answered = head
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
    assert_eq!(answered, *subprotocol, "{target} {offered}");
    let (first, welcome) = raw.frame();
    let begins: (u8, &[u8]) = match dialect {
        Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => unreachable!("it speaks another"),
        Dialect::NativeJson => (0x81, br#"{"type":"welcome","#),
        Dialect::JsonRpc => (0x81, br#"{"jsonrpc":"2.0","method":"welcome","#),
        Dialect::MessagePack => (0x82, b"\x85\xa4type\xa7welcome"),
    };
    assert!(
        first == begins.0 && welcome.starts_with(begins.1),
        "{target} {offered}: {}",
        welcome.escape_ascii()
    );
}

#[track_caller]
fn check_refused(server: &Server, target: &str, offered: &str, status: &str, text: &str) {
    let mut raw = Raw::connect(server);
    raw.send(request(target, offered).as_bytes());
    let (head, body) = raw.answer();
    assert!(
        head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
        "{target} {offered}: {head}"
    );
    assert_eq!(body, text, "{target} {offered}");
    raw.ended();
}

#[test]
fn path_query_and_subprotocol_choose_and_do_not_contradict() {
    let server = Server::native(config(1));
    for row in LET_IN {
        check_let_in(&server, row);
    }
    for (target, offered, status, text) in REFUSED {
        check_refused(&server, target, offered, status, text);
    }
    server.wait_until_empty();
}

#[test]
fn an_application_chooses_its_paths() {
    let app = App::new()
        .path("/live")
        .dialect_path(RPC, Some("/live/rpc"))
        .dialect_path(JSON, Some("/live/json"))
        .dialect_path(PACK, None);
    let (server, _) = Server::of(app, config(1));
    for row in [
        ("/live", "", JSON, None),
        ("/live?dialect=msgpack", "", PACK, None),
        ("/live/rpc", "", RPC, None),
        ("/live/json", "", JSON, None),
    ] {
        check_let_in(&server, &row);
    }
    for path in ["/ws", "/jsonrpc", "/msgpack"] {
        check_refused(
            &server,
            path,
            "",
            "404 Not Found",
            "clients connect to /live",
        );
    }
    let mut raw = Raw::connect(&server);
    for (path, status, body) in [
        (
            "/live/rpc",
            "426 ",
            "this is a WebSocket endpoint".to_owned(),
        ),
        (
            "/",
            "200 ",
            format!(
                "{}\nWebSocket clients connect to /live, in centrifuge to /connection/websocket, in jsonrpc to /live/rpc, in json to /live/json.\n",
                shardcast_tests::VERSION
            ),
        ),
    ] {
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let (head, text) = raw.answer();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        assert_eq!(text, body);
    }
}

/// An event stream speaks the native dialect in JSON, and says so to who asks for another.
#[test]
fn event_streams_speak_one_dialect() {
    let mut settings = config(1);
    settings.event_streams = Some("/sse".into());
    let server = Server::native(settings);
    for (query, status) in [
        ("", "200 OK"),
        ("?dialect=json", "200 OK"),
        ("?dialect=jsonrpc", "400 Bad Request"),
        ("?dialect=soap", "400 Bad Request"),
    ] {
        let mut raw = Raw::connect(&server);
        raw.send(
            format!("GET /sse{query} HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n")
                .as_bytes(),
        );
        let head = raw.head();
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{query}: {head}"
        );
    }
}
