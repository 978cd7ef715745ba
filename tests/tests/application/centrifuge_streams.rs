//! Streams and unidirectional clients of the Centrifuge protocol, said by hand: what requests are
//! answered, commands beside a stream, and what is heard there.

use crate::centrifuge::app;
use serde_json::{Value, json};
use shardcast::{App, Centrifuge, Handle, Identity, Origins};
use shardcast_engine::protocol::close::CloseCode;
use shardcast_tests::events::status;
use shardcast_tests::{Client, PATIENCE, Raw, Server, VERSION, config};

const HTTP_STREAM: &str = "/connection/http_stream";
const CONNECT: &str = r#"{"id":1,"connect":{}}"#;

fn server(app: App) -> (Server, Handle) {
    Server::of(app, config(2))
}

/// A request with a body, which is JSON.
fn post(path: &str, body: &str) -> String {
    with_body(path, "Content-Type: application/json\r\n", body)
}

fn with_body(path: &str, lines: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: {length}\r\n\r\n{body}"
    )
}

fn bare(line: &str, lines: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
}

/// A stream of JSON, as lines or as events.
struct Stream {
    raw: Raw,
    ahead: String,
}

impl Stream {
    #[track_caller]
    fn open(server: &Server, request: &str) -> Stream {
        let mut raw = Raw::connect(server);
        raw.send(request.as_bytes());
        Stream::opened(raw)
    }

    #[track_caller]
    fn opened(mut raw: Raw) -> Stream {
        let head = raw.head();
        assert_eq!(status(&head), 200, "{head}");
        for line in [
            "Transfer-Encoding: chunked",
            "Cache-Control: no-store",
            "X-Accel-Buffering: no",
            "Access-Control-Allow-Origin: *",
        ] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
        }
        let ahead = String::new();
        Stream { raw, ahead }
    }

    /// The next message, without what makes it an event.
    #[track_caller]
    fn hear(&mut self) -> Value {
        loop {
            if let Some((line, rest)) = self.ahead.split_once('\n') {
                let line = line.trim_end_matches('\r');
                let heard = line.strip_prefix("data: ").unwrap_or(line).to_owned();
                self.ahead = rest.to_owned();
                if !heard.is_empty() {
                    return serde_json::from_str(&heard).expect("JSON");
                }
                continue;
            }
            let chunk = self.raw.chunk();
            assert!(!chunk.is_empty(), "the stream has ended");
            self.ahead += str::from_utf8(&chunk).expect("UTF-8");
        }
    }

    /// The next message ends the stream: its code.
    #[track_caller]
    fn ended(mut self, wrapped: bool) -> u64 {
        let heard = self.hear();
        let disconnect = match wrapped {
            true => &heard["push"]["disconnect"],
            false => &heard["disconnect"],
        };
        let reason = disconnect["reason"].as_str().expect("a reason");
        assert!(!reason.is_empty(), "{heard}");
        assert_eq!(self.ahead.trim(), "");
        assert_eq!(self.raw.chunk(), b"");
        self.raw.ended();
        disconnect["code"].as_u64().expect("a code")
    }
}

#[track_caller]
fn answered(server: &Server, request: &str) -> (u16, String) {
    let mut raw = Raw::connect(server);
    raw.send(request.as_bytes());
    if request.starts_with("HEAD") {
        let head = raw.head();
        return (status(&head), head);
    }
    let (head, body) = raw.answer();
    (status(&head), head + &body)
}

/// Commands beside a stream: the status.
#[track_caller]
fn emulate(server: &Server, session: &str, commands: &str) -> u16 {
    let body = json!({"session": session, "node": "", "data": commands});
    answered(server, &post("/emulation", &body.to_string())).0
}

fn sse(connect: &str) -> String {
    let escaped: String = connect.bytes().map(|byte| format!("%{byte:02X}")).collect();
    bare(&format!("GET /connection/sse?cf_connect={escaped}"), "")
}

#[test]
fn requests_are_answered_as_the_paths_have_it() {
    let (server, _) = server(app());
    let large = "x".repeat(70 << 10);
    let larger = "x".repeat(140 << 10);
    let session = "0".repeat(84);
    let known = |data: &str| format!(r#"{{"session":"{session}","node":"","data":{data}}}"#);
    for (request, expected) in [
        (bare(&format!("GET {HTTP_STREAM}"), ""), 405),
        (bare(&format!("HEAD {HTTP_STREAM}"), ""), 405),
        (bare("DELETE /connection/sse", ""), 405),
        (bare("HEAD /connection/sse", ""), 405),
        (bare("GET /emulation", ""), 405),
        (bare("GET /connection/sse", ""), 400),
        (bare("GET /connection/sse?cf_connect=", ""), 400),
        (post(HTTP_STREAM, ""), 400),
        (post(HTTP_STREAM, &large), 413),
        (
            bare(
                &format!("POST {HTTP_STREAM}"),
                "Transfer-Encoding: chunked\r\n",
            ),
            411,
        ),
        (post("/emulation", ""), 400),
        (post("/emulation", "{}"), 400),
        (post("/emulation", &known("1")), 404),
        (post("/emulation", &known(r#""{}""#)), 404),
        (post("/emulation", &known(&format!("{large:?}"))), 413),
        (post("/emulation", &larger), 413),
        (
            with_body(
                "/emulation",
                "Content-Type: application/octet-stream\r\n",
                "\x1a\x05x",
            ),
            400,
        ),
        (
            with_body(
                "/emulation",
                "Content-Type: application/octet-stream\r\n",
                "\x12\x01s\x1a\x00",
            ),
            404,
        ),
        (bare("POST /emulation", ""), 411),
        (bare("GET /connection/uni_websocket", ""), 426),
        (bare("GET /connection/uni_http_stream", ""), 405),
        (bare("GET /connection/none", ""), 404),
    ] {
        assert_eq!(answered(&server, &request).0, expected, "{:.200}", request);
    }
    for path in [
        HTTP_STREAM,
        "/connection/sse",
        "/emulation",
        "/connection/uni_sse",
    ] {
        let lines = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n";
        let (status, head) = answered(&server, &bare(&format!("OPTIONS {path}"), lines));
        let allowed = head.contains("\r\nAccess-Control-Allow-Headers: Content-Type\r\n");
        assert!(status == 204 && allowed, "{head}");
    }
    // None of it has opened anything.
    assert_eq!(server.sum(|shard| &shard.event_streams), 0);
}

#[test]
fn pages_of_other_origins_have_no_streams() {
    let (server, _) = server(app());
    let foreign = "Origin: https://evil.example\r\n";
    let body = r#"{"session":"s","data":"{}"}"#;
    for request in [
        with_body(HTTP_STREAM, foreign, CONNECT),
        with_body("/connection/sse", foreign, CONNECT),
        with_body("/connection/uni_sse", foreign, "{}"),
        with_body("/emulation", foreign, body),
        bare("GET /connection/sse?cf_connect=%7B%7D", foreign),
        bare("OPTIONS /emulation", foreign),
    ] {
        assert_eq!(answered(&server, &request).0, 403, "{request}");
    }
    let (open, _) = self::server(app().origins(Origins::any()));
    let mut stream = Stream::open(&open, &with_body(HTTP_STREAM, foreign, CONNECT));
    assert_eq!(stream.hear()["id"], 1);
}

#[test]
fn they_are_there_only_where_they_are_wanted() {
    let options = Centrifuge {
        fallbacks: false,
        unidirectional: false,
        ..Centrifuge::default()
    };
    for app in [
        app().centrifuge(options),
        app().dialect_path(
            shardcast_engine::protocol::dialect::Dialect::CentrifugeJson,
            None,
        ),
    ] {
        let (server, _) = server(app);
        for request in [
            post(HTTP_STREAM, CONNECT),
            post("/emulation", CONNECT),
            bare("GET /connection/uni_sse", ""),
            bare("GET /connection/uni_websocket", ""),
        ] {
            let (status, answer) = answered(&server, &request);
            assert!(matches!(status, 404 | 405), "{answer}");
        }
    }
}

/// Commands come beside the stream, on connections of any shard, and only who has the session's
/// name may send any.
#[test]
fn commands_come_beside_a_stream() {
    let (server, handle) = server(app());
    for request in [
        post(HTTP_STREAM, CONNECT),
        sse(CONNECT),
        post("/connection/sse", CONNECT),
    ] {
        let mut stream = Stream::open(&server, &request);
        let reply = stream.hear();
        let connect = &reply["connect"];
        let text = |name: &str| connect[name].as_str().expect("a text").to_owned();
        let (id, session) = (text("client"), text("session"));
        let expected = json!({"client": id, "version": VERSION, "ping": 25, "session": session});
        assert_eq!(reply, json!({"id": 1, "connect": expected}));
        let two = "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"presence_stats\":{\"channel\":\"a\"}}";
        assert_eq!(emulate(&server, &session, two), 204);
        assert_eq!(stream.hear(), json!({"id": 2, "subscribe": {}}));
        assert_eq!(stream.hear()["presence_stats"]["num_clients"], 1);
        // A shard takes whatever connection comes, so some of these meet another one's.
        for number in 4..20 {
            let publish = json!({"id": number, "publish": {"channel": "a", "data": {"n": number}}});
            assert_eq!(emulate(&server, &session, &publish.to_string()), 204);
            let (first, second) = (stream.hear(), stream.hear());
            let (reply, push) = match first.get("push") {
                Some(_) => (second, first),
                None => (first, second),
            };
            assert_eq!(reply, json!({"id": number, "publish": {}}));
            assert_eq!(push["push"]["pub"]["data"]["n"], number);
        }
        let mut forged = session.clone().into_bytes();
        forged[0] ^= 1;
        let forged = String::from_utf8(forged).expect("ASCII");
        assert_eq!(emulate(&server, &forged, "{}"), 404);
        // A pong that nothing was asked for: the end is a push, which nothing comes behind.
        assert_eq!(emulate(&server, &session, "{}"), 204);
        assert_eq!(stream.ended(true), 3501);
        server.wait_until_empty();
        assert_eq!(emulate(&server, &session, "{}"), 404);
    }
    let mut stream = Stream::open(&server, &post(HTTP_STREAM, CONNECT));
    let id = stream.hear()["connect"]["client"]
        .as_str()
        .expect("an id")
        .to_owned();
    let code = CloseCode::new(4003).expect("a code");
    block_on(handle.disconnect(id.parse().expect("ours"), code, "who are you")).expect("there");
    assert_eq!(stream.ended(true), 3500);
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let work = async { tokio::time::timeout(PATIENCE, future).await };
    runtime.expect("a runtime").block_on(work).expect("in time")
}

/// A request opens its stream when its body is there, however that comes, and once.
#[test]
fn a_body_may_take_its_time() {
    let (server, _) = server(app());
    let request = post(HTTP_STREAM, CONNECT);
    for at in [
        1,
        request.len() - CONNECT.len() - 1,
        request.len() - CONNECT.len(),
        request.len() - 1,
    ] {
        let mut raw = Raw::connect(&server);
        raw.send(&request.as_bytes()[..at]);
        raw.send_bytewise(&request.as_bytes()[at..]);
        let mut stream = Stream::opened(raw);
        assert_eq!(stream.hear()["id"], 1, "{at}");
    }
    let mut raw = Raw::connect(&server);
    let patient = with_body(HTTP_STREAM, "Expect: 100-continue\r\n", CONNECT);
    let (head, body) = patient.split_at(patient.len() - CONNECT.len());
    raw.send(head.as_bytes());
    assert!(raw.head().starts_with("HTTP/1.1 100 "));
    raw.send(body.as_bytes());
    assert_eq!(Stream::opened(raw).hear()["id"], 1);
    assert_eq!(server.sum(|shard| &shard.event_streams), 5);
    server.wait_until_empty();
}

#[test]
fn what_is_no_command_ends_a_stream() {
    let (server, _) = server(app());
    for said in ["[]", r#"{"id":1,"subscribe":{"channel":"a"}}"#, "{}"] {
        let stream = Stream::open(&server, &post(HTTP_STREAM, said));
        assert_eq!(stream.ended(true), 3501, "{said}");
    }
    server.wait_until_empty();
}

/// Users are in a channel of their own from the start, which is how who asks for nothing hears
/// anything.
fn personal() -> App {
    let options = Centrifuge {
        personal_channels: Some("#".to_owned()),
        ..Centrifuge::default()
    };
    let app = App::new().centrifuge(options);
    app.on_connect(|client| match client.parameter("user") {
        Some(user) => Ok(Identity::user(user)?),
        None => Ok(Identity::nobody()),
    })
}

#[test]
fn unidirectional_clients_hear_pushes_alone() {
    let (server, handle) = server(personal());
    for request in [
        post(
            "/connection/uni_http_stream?user=ann",
            "{\n \"name\": \"test\"\n}",
        ),
        post("/connection/uni_http_stream?user=ann", ""),
        post("/connection/uni_sse?user=ann", "{}"),
        bare("GET /connection/uni_sse?user=ann&cf_connect=%7B%7D", ""),
        bare("GET /connection/uni_sse?user=ann", ""),
    ] {
        let mut stream = Stream::open(&server, &request);
        let connect = stream.hear();
        let id = connect["connect"]["client"]
            .as_str()
            .expect("an id")
            .to_owned();
        let expected = json!({"client": id, "version": VERSION, "ping": 25, "subs": {"#ann": {}}});
        assert_eq!(connect, json!({"connect": expected}));
        let mut native = Client::native(&server);
        native.say(r##"{"type":"publish","room":"#ann","data":{"a":1}}"##);
        let heard = stream.hear();
        assert_eq!(
            (&heard["channel"], &heard["pub"]["data"]),
            (&json!("#ann"), &json!({"a": 1}))
        );
        let code = CloseCode::new(3000).expect("a code");
        block_on(handle.disconnect(id.parse().expect("ours"), code, "come back")).expect("there");
        assert_eq!(stream.ended(false), 3000);
        native.leave();
        server.wait_until_empty();
    }
}

/// A WebSocket that asks for nothing: its first message, or its query, is the request. What it says
/// besides is not heard.
#[test]
fn unidirectional_websockets() {
    let (server, handle) = server(personal());
    let code = CloseCode::new(4003).expect("a code");
    for query in [
        "user=ann",
        "user=ann&cf_connect=%7B%7D",
        "cf_connect={}&user=ann",
    ] {
        let path = format!("/connection/uni_websocket?{query}");
        let mut client = Client::asking(server.address(), &path, "centrifuge-json");
        if !query.contains("cf_connect") {
            client.say("{}");
        }
        let connect: Value = serde_json::from_str(&client.hear()).expect("JSON");
        let id = connect["connect"]["client"]
            .as_str()
            .expect("an id")
            .to_owned();
        let expected = json!({"client": id, "version": VERSION, "subs": {"#ann": {}}});
        assert_eq!(connect, json!({"connect": expected}));
        for said in ["{}", "nonsense", r#"{"id":2,"rpc":{"method":"m"}}"#] {
            client.say(said);
        }
        let mut native = Client::native(&server);
        for data in ["1", "\"two\""] {
            native.say(&format!(
                r##"{{"type":"publish","room":"#ann","data":{data}}}"##
            ));
            let heard: Value = serde_json::from_str(&client.hear()).expect("JSON");
            assert_eq!(
                (&heard["channel"], heard["pub"]["data"].to_string()),
                (&json!("#ann"), data.to_owned())
            );
        }
        block_on(handle.disconnect(id.parse().expect("ours"), code, "who are you")).expect("there");
        let last: Value = serde_json::from_str(&client.hear()).expect("JSON");
        assert_eq!(
            last,
            json!({"disconnect": {"code": 3500, "reason": "who are you"}})
        );
        assert_eq!(client.closed(), (3500, "who are you".to_owned()));
        native.leave();
        server.wait_until_empty();
    }
}
