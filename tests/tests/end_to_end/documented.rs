//! Runs the examples of `docs/protocol.md`, in every dialect: what stands there is what the server
//! says, key for key, but for ids and counts.

use serde_json::Value;
use shardcast::{App, Background};
use shardcast_engine::protocol::dialect::Code;
use shardcast_tests::{Client, FIN, PATIENCE, Raw, Server, TEXT, config, frame};
use tungstenite::Message;

const PAGE: &str = include_str!("../../../docs/protocol.md");

/// One line of an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Sent(&'static str),
    Heard(&'static str),
}

/// The fenced blocks in which something is heard.
fn examples() -> Vec<Vec<Line>> {
    let line = |text: &'static str| {
        // Examples in lists are indented.
        let text = text.trim_start();
        let sent = text.strip_prefix("→ ").map(Line::Sent);
        sent.or_else(|| text.strip_prefix("← ").map(Line::Heard))
    };
    let blocks = PAGE.split("```").skip(1).step_by(2);
    let examples = blocks.map(|block| block.lines().filter_map(line).collect::<Vec<Line>>());
    examples.filter(|example| !example.is_empty()).collect()
}

/// Numbers that differ from run to run become 0, and ids of connections `id`.
fn settled(text: &str) -> String {
    let mut text = text.to_owned();
    for key in [
        "members",
        "delivered",
        "queued",
        "connected_ms",
        "shard",
        "reconnect_ms",
    ] {
        text = with_values(&text, &format!("\"{key}\":"), |value| {
            (value.find(|c: char| !c.is_ascii_digit()).unwrap(), "0")
        });
    }
    for key in ["connection", "from"] {
        text = with_values(&text, &format!("\"{key}\":\""), |value| {
            let id = &value[..value.find('"').unwrap()];
            assert_eq!(id.split('-').count(), 3, "{value}");
            (id.len(), "id")
        });
    }
    text
}

/// `text` with every value behind `key` replaced: `value` tells how long it is and what stands
/// there instead.
fn with_values(text: &str, key: &str, value: impl Fn(&str) -> (usize, &'static str)) -> String {
    let mut parts = text.split(key);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (length, instead) = value(part);
        out += key;
        out += instead;
        out += &part[length..];
    }
    out
}

/// The handlers that the examples take for granted.
fn app() -> App {
    let app = App::new();
    let handlers = app.handlers();
    handlers
        .on("add", |_, (a, b): (i64, i64)| Ok(a + b))
        .expect("a free type");
    let ask = |cx: Background, (): ()| async move {
        let answer: String = cx.call("what", &["is it?"], PATIENCE).await?;
        Ok(answer)
    };
    handlers.on_async("ask.me", ask).expect("a free type");
    app
}

/// In the rooms that the example takes for granted.
fn prepared(server: &Server, example: &[Line]) -> Client {
    let mut client = Client::native(server);
    let asks = |kind: &str| {
        let kind = format!("\"type\":\"{kind}\"");
        example
            .iter()
            .any(|line| matches!(line, Line::Sent(text) if text.contains(&kind)))
    };
    let rooms: &[&str] = if asks("leave_room") {
        &["lobby", "news", "sport"]
    } else if asks("rooms") {
        &["lobby", "news"]
    } else if asks("status") {
        &["lobby"]
    } else {
        &[]
    };
    rooms.iter().for_each(|room| {
        client.join(room);
    });
    client
}

/// A dialogue: what is sent brings what is heard, and nothing else. (One shard keeps even the
/// order, which is not promised.)
fn check_dialogue(server: &Server, example: &[Line]) {
    let mut client = prepared(server, example);
    for (index, line) in example.iter().enumerate() {
        match line {
            Line::Sent(text) => client.say(text),
            Line::Heard(text) => {
                // The welcome has been heard.
                let heard = if index == 0 {
                    client.welcome().to_owned()
                } else {
                    client.hear()
                };
                assert_eq!(settled(&heard), settled(text), "{example:?}");
            }
        }
    }
    client.check_quiet();
    client.leave();
}

/// The same in JSON-RPC. A call of the server bears a number of its own, under which it is
/// answered.
fn check_json_rpc(server: &Server, example: &[Line]) {
    let (mut client, _) = Client::offering(server, "jsonrpc-2.0");
    let mut heard = client.hear();
    let mut number = Value::Null;
    for (index, line) in example.iter().enumerate() {
        match line {
            Line::Sent(text) if text.contains(r#""result""#) => {
                let mut response: Value = serde_json::from_str(text).expect("JSON");
                response["id"] = number.take();
                client.say(&response.to_string());
            }
            Line::Sent(text) => client.say(text),
            Line::Heard(text) => {
                // The welcome has been heard.
                if index > 0 {
                    heard = client.hear();
                }
                let expected: Value = serde_json::from_str(&settled(text)).expect("JSON");
                let mut given: Value = serde_json::from_str(&settled(&heard)).expect("JSON");
                if given["method"].is_string() && given["id"].is_string() {
                    number = std::mem::replace(&mut given["id"], expected["id"].clone());
                }
                assert_eq!(given, expected, "{example:?}");
            }
        }
    }
    client.check(
        r#"{"jsonrpc":"2.0","method":"ping","id":"quiet"}"#,
        r#"{"jsonrpc":"2.0","result":{},"id":"quiet"}"#,
    );
    client.leave();
}

/// The same in MessagePack, whose messages stand there in hexadecimal.
fn check_messagepack(server: &Server, example: &[Line]) {
    let bytes = |text: &str| {
        let digits = text.strip_prefix("0x").expect("hexadecimal").as_bytes();
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).expect("hexadecimal")
        };
        digits.chunks(2).map(byte).collect::<Vec<u8>>()
    };
    let (mut client, _) = Client::offering(server, "shardcast.v1.msgpack");
    assert!(matches!(client.hear_any(), Message::Binary(_)), "a welcome");
    for line in example {
        match line {
            Line::Sent(text) => client.send(Message::binary(bytes(text))),
            Line::Heard(text) => {
                assert_eq!(client.hear_any(), Message::binary(bytes(text)), "{text}");
            }
        }
    }
    client.leave();
}

/// What is only heard has its cause in the text around it.
fn check_heard(server: &Server, heard: &str) {
    let mut client = Client::native(server);
    let given = if heard.starts_with(r#"{"type":"message""#) {
        client.join("lobby");
        client.say(r#"{"type":"broadcast","room":"lobby","data":{"text":"hello"}}"#);
        client.hear()
    } else if heard.contains("not_joined") {
        client.ask(r#"{"type":"leave_room","id":1,"room":"lobby"}"#)
    } else if heard.contains("rate_limited") {
        let mut raw = Raw::upgraded(server);
        let requests: Vec<u8> = (0..65)
            .flat_map(|room| {
                let request = format!(r#"{{"type":"join_room","id":9,"room":"r{room}"}}"#);
                frame(FIN | TEXT, request.as_bytes())
            })
            .collect();
        raw.send(&requests);
        (0..66)
            .map(|_| raw.hear())
            .find(|text| text.contains("error"))
            .unwrap()
    } else {
        panic!("an example that nobody runs: {heard}")
    };
    assert_eq!(settled(&given), settled(heard));
}

#[test]
fn the_examples_are_what_happens() {
    let examples = examples();
    assert_eq!(examples.len(), 27, "examples come and go; count them here");
    // One shard: the last example needs all its requests to be read before any is answered.
    let (server, _handle) = Server::of(app(), config(1));
    let mut neighbour = Client::native(&server);
    neighbour.join("lobby");
    for example in &examples {
        let has = |word: &str| {
            let (Line::Sent(text) | Line::Heard(text)) = example[0];
            text.contains(word)
        };
        if has("jsonrpc") {
            check_json_rpc(&server, example);
            continue;
        }
        // An hour passes in it: `tests/tokens` has this dialogue with a token of seconds.
        if has(r#""type":"auth""#) {
            continue;
        }
        if has("0x") {
            check_messagepack(&server, example);
            continue;
        }
        if example.iter().any(|line| matches!(line, Line::Sent(_))) {
            check_dialogue(&server, example);
            continue;
        }
        for line in example {
            if let Line::Heard(text) = line {
                check_heard(&server, text);
            }
        }
    }
}

#[test]
fn the_events_are_what_happens() {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `{"));
    let events: Vec<String> = rows
        .map(|row| format!("{{{}", row.split('`').next().unwrap()))
        .collect();
    let event = |kind: &str| {
        let start = format!(r#"{{"type":"{kind}""#);
        settled(
            events
                .iter()
                .find(|event| event.starts_with(&start))
                .unwrap(),
        )
    };
    let (server, handle) = Server::of(App::new(), config(1));
    let mut client = Client::native(&server);
    assert_eq!(settled(client.welcome()), event("welcome"));
    client.join("lobby");
    client.say(r#"{"type":"broadcast","room":"lobby","data":…}"#.replace('…', "null").as_str());
    assert_eq!(
        settled(&client.hear()).replace("null", "…"),
        event("message")
    );
    let emitted = handle.to("lobby").try_emit("price", &());
    emitted.expect("its queue is empty");
    assert_eq!(settled(&client.hear()).replace("null", "…"), event("event"));
    std::thread::scope(|scope| {
        let drained = scope.spawn(move || server.drain(PATIENCE));
        assert_eq!(settled(&client.hear()), event("closing"));
        assert_eq!(client.closed().0, 1001);
        assert!(drained.join().unwrap());
    });
}

#[test]
fn the_errors_are_those_of_the_protocol() {
    let section = PAGE
        .split("\n## ")
        .find(|section| section.starts_with("Errors\n"))
        .unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: Vec<(&str, bool)> = rows
        .map(|row| {
            let (code, rest) = row.split_once("` | ").unwrap();
            (code, rest.starts_with("yes |"))
        })
        .collect();
    let existing: Vec<(&str, bool)> = Code::ALL
        .iter()
        .map(|code| (code.as_str(), code.is_retryable()))
        .collect();
    assert_eq!(documented, existing);
}
