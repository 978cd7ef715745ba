//! The examples, each as a process of its own: real clients say to it what its first lines promise.
//!
//! They are built by `cargo test`; by itself this target needs `cargo build --examples` before.

use serde_json::{Value, json};
use shardcast_patience::{PATIENCE, Program};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

/// A running example. Dropping it kills it.
struct Example {
    program: Program,
    ready: String,
}

impl Example {
    /// Starts an example on a free port and waits for its line.
    fn start(name: &str, arguments: &[&str]) -> Example {
        // target/PROFILE/deps/this-test, and beside `deps`, `examples`.
        let test = std::env::current_exe().unwrap();
        let built = test.parent().and_then(Path::parent).unwrap();
        let program = built.join("examples").join(name);
        assert!(program.exists(), "cargo build --example {name}");
        let mut command = Command::new(program);
        command.args(["--listen", "127.0.0.1:0"]).args(arguments);
        let mut program = Program::start(&mut command);
        let ready = program.line().expect("the ready line");
        let example = Example { program, ready };
        let start = format!("{name} ready: ws://127.0.0.1:");
        assert!(example.ready.starts_with(&start), "{}", example.ready);
        example
    }

    /// The address that the ready line has behind this.
    fn address(&self, scheme: &str) -> SocketAddr {
        let mut words = self.ready.split_whitespace();
        let address = words.find_map(|word| word.strip_prefix(scheme)).unwrap();
        address.trim_end_matches("/ws").parse().unwrap()
    }

    fn client(&self, user: &str) -> Client {
        let mut client = Client::connect(self.address("ws://"), &format!("?user={user}"), None);
        assert_eq!(client.hear()["type"], "welcome");
        client
    }

    /// Tells it to stop: it sends its last client away, kindly, and ends well.
    fn stop(self, mut last: Client) {
        self.program.signal("TERM");
        loop {
            match last.0.read().expect("a close") {
                Message::Close(close) => {
                    assert_eq!(close.map(|close| close.code.into()), Some(1001_u16));
                    break;
                }
                // Prices go on, and it says that it closes.
                Message::Text(_) => {}
                other => panic!("not closed: {other:?}"),
            }
        }
        // The answer that tungstenite still has to send.
        let _ = last.0.flush();
        drop(last);
        assert_eq!(self.program.end().code, Some(0));
    }
}

/// A client by tungstenite, which knows nothing of ours.
struct Client(WebSocket<TcpStream>);

impl Client {
    fn connect(address: SocketAddr, query: &str, subprotocol: Option<&str>) -> Client {
        let connected = Client::try_connect(address, query, subprotocol);
        connected.expect("an upgrade")
    }

    fn try_connect(
        address: SocketAddr,
        query: &str,
        subprotocol: Option<&str>,
    ) -> Result<Client, String> {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let url = format!("ws://{address}/ws{query}");
        let mut request = url.into_client_request().unwrap();
        if let Some(subprotocol) = subprotocol {
            let headers = request.headers_mut();
            headers.insert("Sec-WebSocket-Protocol", subprotocol.parse().unwrap());
        }
        let connected = tungstenite::client(request, stream);
        let (socket, _) = connected.map_err(|error| error.to_string())?;
        Ok(Client(socket))
    }

    fn say(&mut self, value: &Value) {
        self.say_text(&value.to_string());
    }

    fn say_text(&mut self, text: &str) {
        self.0.send(Message::text(text)).unwrap();
    }

    fn hear(&mut self) -> Value {
        loop {
            match self.0.read().expect("something to hear") {
                Message::Text(text) => return serde_json::from_str(text.as_str()).unwrap(),
                Message::Ping(_) => {}
                other => panic!("not text: {other:?}"),
            }
        }
    }

    /// Asks the native dialect, and expects a result.
    fn ask(&mut self, kind: &str, data: Value) -> Value {
        self.say(&json!({"type": kind, "id": "ask", "data": data}));
        let heard = self.hear();
        assert_eq!(
            (&heard["type"], &heard["id"]),
            (&json!("result"), &json!("ask")),
            "{heard}"
        );
        heard["data"].clone()
    }

    /// Asks the native dialect, and expects an error: its code.
    fn refused(&mut self, request: Value) -> String {
        self.say(&request);
        let heard = self.hear();
        assert_eq!(heard["type"], "error", "{heard}");
        heard["code"].as_str().unwrap().to_owned()
    }

    fn join(&mut self, room: &str) {
        self.say(&json!({"type": "join_room", "room": room}));
        assert_eq!(self.hear()["type"], "joined");
    }

    /// The next message is this event: its data.
    fn event(&mut self, event: &str) -> Value {
        let heard = self.hear();
        assert_eq!(heard["event"], event, "{heard}");
        heard["data"].clone()
    }

    /// Nothing was sent before this.
    fn is_quiet(&mut self) {
        self.say(&json!({"type": "ping", "id": "quiet"}));
        assert_eq!(self.hear(), json!({"type": "pong", "id": "quiet"}));
    }

    /// The server closes: code and reason.
    fn closed(&mut self) -> (u16, String) {
        match self.0.read().expect("a close") {
            Message::Close(Some(close)) => {
                // The answer that tungstenite still has to send.
                let _ = self.0.flush();
                (close.code.into(), close.reason.as_str().to_owned())
            }
            other => panic!("not closed: {other:?}"),
        }
    }
}

/// A file that goes with the test.
struct Database(PathBuf);

impl Database {
    fn new() -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("shardcast-chat-{}-{number}.sqlite", std::process::id());
        Database(std::env::temp_dir().join(name))
    }

    fn chat(&self) -> Example {
        let path = self.0.to_str().unwrap();
        Example::start("chat_service", &["--database", path, "--moderator", "root"])
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        for behind in ["", "-wal", "-shm"] {
            let mut path = self.0.clone().into_os_string();
            path.push(behind);
            let _nobody_minds = std::fs::remove_file(path);
        }
    }
}

fn say(room: &str, text: &str) -> Value {
    json!({"room": room, "text": text})
}

#[test]
fn what_is_said_in_the_chat_is_heard_and_kept() {
    let database = Database::new();
    let chat = database.chat();
    let (mut ann, mut bob) = (chat.client("ann"), chat.client("bob"));
    ann.join("lobby");
    let early = ann.ask("chat.history", json!({"room": "lobby", "last": 10}));
    assert_eq!(early, json!([]));
    let outside = bob.refused(json!({"type": "chat.say", "id": 1, "data": say("lobby", "hi")}));
    assert_eq!(outside, "not_joined");
    bob.join("lobby");

    ann.ask("chat.typing", json!({"room": "lobby"}));
    assert_eq!(bob.event("chat.typing"), "ann");
    for (id, text) in [(1, "Hello 👋"), (2, "Anybody?")] {
        let said = json!({"id": id, "room": "lobby", "user": "ann", "text": text});
        ann.say(&json!({"type": "chat.say", "data": say("lobby", text)}));
        assert_eq!(bob.event("chat.said"), said);
        // The event and the result of the request: which comes first is not said.
        let mut heard = [ann.hear(), ann.hear()].map(|heard| heard["data"].clone());
        heard.sort_by_key(Value::to_string);
        assert_eq!(heard, [said.clone(), said]);
    }
    let empty = bob.refused(json!({"type": "chat.say", "id": 1, "data": say("lobby", "")}));
    assert_eq!(empty, "invalid_data");
    drop(bob);
    chat.stop(ann);

    let chat = database.chat();
    let mut bob = chat.client("bob");
    bob.join("lobby");
    let last = bob.ask("chat.history", json!({"room": "lobby", "last": 1}));
    assert_eq!(
        last,
        json!([{"id": 2, "room": "lobby", "user": "ann", "text": "Anybody?"}])
    );
    let all = bob.ask("chat.history", json!({"room": "lobby", "last": 10}));
    assert_eq!(all.as_array().unwrap().len(), 2);
}

#[test]
fn moderators_mute_and_kick() {
    let database = Database::new();
    let chat = database.chat();
    let (mut root, mut ann) = (chat.client("root"), chat.client("ann"));
    let mut nobody = Client::connect(chat.address("ws://"), "", None);
    assert_eq!(nobody.hear()["type"], "welcome");
    ann.join("lobby");

    let mute = |id: &str| json!({"type": "chat.mute", "id": id, "data": {"user": "ann"}});
    assert_eq!(nobody.refused(mute("1")), "unauthorized");
    assert_eq!(ann.refused(mute("1")), "forbidden");
    assert_eq!(root.ask("chat.mute", json!({"user": "ann"})), Value::Null);
    assert_eq!(ann.event("chat.muted"), Value::Null);
    for kind in ["broadcast", "publish", "chat.say", "chat.typing"] {
        let request = json!({"type": kind, "id": 1, "room": "lobby", "data": say("lobby", "hi")});
        assert_eq!(ann.refused(request), "forbidden", "{kind}");
    }
    ann.is_quiet();
    // Another connection of the same user is no way around.
    let mut again = chat.client("ann");
    let request = json!({"type": "broadcast", "id": 1, "room": "lobby", "data": "hi"});
    assert_eq!(again.refused(request.clone()), "forbidden");
    assert_eq!(nobody.refused(request), "unauthorized");

    assert_eq!(root.ask("chat.kick", json!({"user": "ann"})), json!(2));
    for client in [&mut ann, &mut again] {
        assert_eq!(client.closed(), (1008, "kicked".to_owned()));
    }
    root.is_quiet();
    drop(nobody);
    chat.stop(root);
}

#[test]
fn prices_come_to_who_joined_and_from_the_server_only() {
    let ticker = Example::start("ticker", &["--every-ms", "1"]);
    let mut client = ticker.client("ann");
    for room in ["price:ACME", "lobby"] {
        for kind in ["broadcast", "publish"] {
            let request = json!({"type": kind, "id": 1, "room": room, "data": 1});
            assert_eq!(client.refused(request), "forbidden");
        }
    }
    let everyone = json!({"type": "broadcast", "id": 1, "data": 1});
    assert_eq!(client.refused(everyone), "forbidden");
    let unknown = json!({"type": "join_room", "id": 1, "room": "prices:ACME"});
    assert_eq!(client.refused(unknown), "unknown_namespace");
    client.is_quiet();
    client.join("price:ACME");
    for _ in 0..3 {
        let heard = client.hear();
        assert_eq!(
            (&heard["event"], &heard["room"]),
            (&json!("price"), &json!("price:ACME"))
        );
        assert_eq!(heard["data"]["symbol"], "ACME");
        assert!(heard["data"]["cents"].as_u64().unwrap() > 0);
    }
    // A newcomer hears the last price of each symbol, whenever it comes.
    let mut newcomer = ticker.client("bob");
    newcomer.join("price:all");
    let mut symbols: Vec<Value> = (0..3)
        .map(|_| newcomer.event("price")["symbol"].clone())
        .collect();
    symbols.sort_by_key(Value::to_string);
    assert_eq!(symbols, ["ACME", "GLOBEX", "INITECH"]);
    drop(newcomer);
    ticker.stop(client);
}

#[test]
fn a_chat_remembers_what_was_said() {
    let chat = Example::start("chat_history", &[]);
    let (mut ann, mut bob) = (chat.client("ann"), chat.client("bob"));
    let join = |since: Value| json!({"type": "join_room", "room": "chat:lobby", "since": since});
    ann.say(&join(Value::Null));
    let joined = ann.hear();
    assert_eq!(
        (&joined["type"], &joined["offset"]),
        (&json!("joined"), &json!(0))
    );
    let say = |text: &str, key: &str| json!({"room": "chat:lobby", "text": text, "key": key});
    for (offset, text) in [(1, "one"), (2, "two")] {
        assert_eq!(
            bob.ask("chat.say", say(text, text)),
            json!({"offset": offset})
        );
        assert_eq!(ann.event("said"), json!({"user": "bob", "text": text}));
    }
    // Said again, it is not said again.
    assert_eq!(bob.ask("chat.say", say("two", "two")), json!({"offset": 2}));
    drop(ann);
    assert_eq!(
        bob.ask("chat.say", say("three", "three")),
        json!({"offset": 3})
    );
    let mut ann = chat.client("ann");
    ann.say(&join(json!({"epoch": joined["epoch"], "offset": 2})));
    assert_eq!(ann.hear()["recovered"], true);
    assert_eq!(ann.event("said"), json!({"user": "bob", "text": "three"}));
    let recent = ann.ask("chat.recent", json!({"room": "chat:lobby", "last": 2}));
    let said = |text: &str| json!({"user": "bob", "text": text});
    assert_eq!(recent, json!([said("three"), said("two")]));
    // Ann's messages are hers, whatever she calls them. She hears them, too, before the answer or
    // after it.
    ann.say(&json!({"type": "chat.say", "id": 1, "data": say("four", "two")}));
    let mut heard = [ann.hear(), ann.hear()].map(|heard| heard["data"].clone());
    heard.sort_by_key(Value::to_string);
    let four = json!({"user": "ann", "text": "four"});
    assert_eq!(heard, [json!({"offset": 4}), four]);
    let direct = json!({"type": "publish", "id": 1, "room": "chat:lobby"});
    assert_eq!(ann.refused(direct), "forbidden");
    drop(bob);
    chat.stop(ann);
}

#[test]
fn cursors_are_seen_by_the_others_of_a_document() {
    let cursors = Example::start("cursors", &[]);
    let (mut ann, mut bob, mut eve) = (
        cursors.client("ann"),
        cursors.client("bob"),
        cursors.client("eve"),
    );
    let moving =
        |line: u32| json!({"type": "cursor.move", "id": 1, "data": {"line": line, "column": 7}});
    assert_eq!(ann.refused(moving(1)), "not_joined");
    for (client, document) in [(&mut ann, "plan"), (&mut eve, "other")] {
        client.ask("document.open", json!({"document": document}));
    }
    bob.ask("document.open", json!({"document": "plan"}));
    let joined = ann.event("cursor.joined");
    assert_eq!(joined["user"], "bob");
    let cursor = joined["cursor"].clone();

    bob.ask("cursor.move", json!({"line": 3, "column": 7}));
    let moved = json!({"cursor": cursor, "user": "bob", "line": 3, "column": 7});
    assert_eq!(ann.event("cursor.moved"), moved);
    bob.say(&moving(0));
    let refused = bob.hear();
    assert_eq!(
        (&refused["code"], &refused["field"]),
        (&json!("invalid_data"), &json!("data.line"))
    );
    bob.ask("document.open", json!({"document": "other"}));
    let left = json!({"cursor": cursor, "user": "bob"});
    assert_eq!(ann.event("cursor.left"), left);
    assert_eq!(eve.event("cursor.joined"), left);
    // Gone without a word.
    drop(bob);
    assert_eq!(eve.event("cursor.left"), left);
    ann.is_quiet();
    ann.ask("document.close", Value::Null);
    assert_eq!(ann.refused(moving(1)), "not_joined");
    drop(eve);
    cursors.stop(ann);
}

/// The examples of the specification (section 7) that concern its methods, in its order; `None`: no
/// answer.
const SPECIFIED: &[(&str, Option<&str>)] = &[
    (
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}"#,
        Some(r#"{"jsonrpc": "2.0", "result": 19, "id": 1}"#),
    ),
    (
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}"#,
        Some(r#"{"jsonrpc": "2.0", "result": -19, "id": 2}"#),
    ),
    (
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}"#,
        Some(r#"{"jsonrpc": "2.0", "result": 19, "id": 3}"#),
    ),
    (
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}"#,
        Some(r#"{"jsonrpc": "2.0", "result": 19, "id": 4}"#),
    ),
    (
        r#"{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}"#,
        None,
    ),
    (r#"{"jsonrpc": "2.0", "method": "foobar"}"#, None),
    (
        r#"[{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]}, {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}]"#,
        None,
    ),
    (
        r#"[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
            {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
            {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
            {"jsonrpc": "2.0", "method": "get_data", "id": "9"}]"#,
        Some(
            r#"[{"jsonrpc": "2.0", "result": 7, "id": "1"}, {"jsonrpc": "2.0", "result": 19, "id": "2"},
                {"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"}]"#,
        ),
    ),
];

#[test]
fn the_methods_of_the_specification_answer_as_it_says() {
    let service = Example::start("jsonrpc", &[]);
    let address = service.address("ws://");
    let other = Client::try_connect(address, "", None);
    assert!(other.is_err_and(|error| error.contains("400")));
    let mut client = Client::connect(address, "", Some("jsonrpc-2.0"));
    assert_eq!(client.hear()["method"], "welcome");
    for (request, expected) in SPECIFIED {
        client.say_text(request);
        if let Some(expected) = expected {
            assert_eq!(
                client.hear(),
                serde_json::from_str::<Value>(expected).unwrap()
            );
        }
    }
    let huge = json!({"jsonrpc": "2.0", "method": "sum", "params": [i64::MAX, 1], "id": 5});
    client.say(&huge);
    assert_eq!(client.hear()["error"]["code"], -32602);
    service.stop(client);
}

#[test]
fn the_server_calls_its_client_back() {
    let service = Example::start("jsonrpc", &[]);
    let mut client = Client::connect(service.address("ws://"), "", Some("jsonrpc-2.0"));
    client.hear();
    let introduce =
        |id: u32| json!({"jsonrpc": "2.0", "method": "introduce", "params": ["en"], "id": id});
    client.say(&introduce(1));
    client.say(&introduce(2));
    let calls = [client.hear(), client.hear()];
    for call in &calls {
        assert_eq!(
            (&call["method"], &call["params"]),
            (&json!("your_name"), &json!({"language": "en"}))
        );
    }
    // The later call is answered first; each answer finds its own handler.
    client.say(&json!({"jsonrpc": "2.0", "result": "Bob", "id": calls[1]["id"]}));
    let second = client.hear();
    client.say(
        &json!({"jsonrpc": "2.0", "error": {"code": 1, "message": "secret"}, "id": calls[0]["id"]}),
    );
    let first = client.hear();
    assert_eq!(second["result"], "Hello, Bob");
    assert_eq!(first["error"]["data"]["code"], "invalid_data");
    let mut ids = [first["id"].clone(), second["id"].clone()];
    ids.sort_by_key(Value::as_u64);
    assert_eq!(ids, [json!(1), json!(2)]);
    service.stop(client);
}

/// Status and body of a request to the web application.
fn http(address: SocketAddr, method: &str, path: &str, body: &str) -> (String, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
}

#[test]
fn a_web_application_publishes_lists_and_kicks() {
    let both = Example::start("axum", &["--http", "127.0.0.1:0"]);
    let web = both.address("http://");
    let mut ann = both.client("ann");
    ann.join("lobby");

    let (status, body) = http(web, "GET", "/members/lobby", "");
    let listed: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status.as_str(), &listed["total"]),
        ("200", &json!(1)),
        "{body}"
    );
    assert_eq!(listed["members"][0]["user"], "ann");

    let (status, _) = http(web, "POST", "/publish/lobby", r#"{"text":"hello"}"#);
    assert_eq!(status, "202");
    assert_eq!(ann.event("published"), json!({"text": "hello"}));
    let (status, _) = http(web, "POST", "/publish/%07", "1");
    assert_eq!(status, "400");

    assert_eq!(
        http(web, "POST", "/kick/ann", ""),
        ("200".to_owned(), "1".to_owned())
    );
    assert_eq!(ann.closed(), (1008, "kicked".to_owned()));
    let ann = both.client("ann");
    both.stop(ann);
}
