//! Event streams and posts: the sessions of clients that cannot have a WebSocket, beside those that
//! can.

use crate::SHARDS;
use shardcast_engine::Config;
use shardcast_tests::events::{Events, post, status, stream};
use shardcast_tests::{Client, PATIENCE, Raw, Server};
use std::time::Duration;

fn config(shards: usize) -> Config {
    Config {
        event_streams: Some("/sse".to_owned()),
        ..shardcast_tests::config(shards)
    }
}

/// A native session that has heard its welcome and joined a room.
#[track_caller]
fn joined(server: &Server, room: &str) -> Events {
    let mut events = Events::open(server);
    assert!(
        events
            .hear()
            .starts_with(r#"{"type":"welcome","connection":""#)
    );
    events.say(
        server,
        &format!(r#"{{"type":"join_room","room":"{room}"}}"#),
    );
    let start = format!(r#"{{"type":"joined","room":"{room}","members":"#);
    let heard = events.hear();
    assert!(heard.starts_with(&start), "{heard}");
    events
}

fn data_of(message: &str) -> &str {
    let (_, data) = message.split_once(r#","data":"#).expect("a message");
    data.strip_suffix('}').expect("an object")
}

#[test]
fn a_stream_is_a_session_like_any_other() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let mut clients = server.spread();
        clients.iter_mut().for_each(|client| {
            client.join("r");
        });
        let mut streams: Vec<Events> = (0..4).map(|_| joined(&server, "r")).collect();
        let text = "{\"a\":\r\n [1,\n\n2]}";
        let say = |data: &str, extra: &str| {
            format!(r#"{{"type":"broadcast","room":"r"{extra},"data":{data}}}"#)
        };
        clients[0].say(&say(text, ""));
        for client in &mut clients {
            assert_eq!(data_of(&client.hear()), text);
        }
        for stream in &mut streams {
            assert_eq!(data_of(&stream.hear()), text.replace("\r\n", "\n"));
        }
        // And back, without the sender.
        streams[0].say(&server, &say("7", r#","id":1,"echo":false,"report":true"#));
        let everybody = clients.len() + streams.len();
        for client in &mut clients {
            assert_eq!(data_of(&client.hear()), "7");
        }
        for stream in &mut streams[1..] {
            assert_eq!(data_of(&stream.hear()), "7");
        }
        assert_eq!(
            streams[0].hear(),
            format!(
                r#"{{"type":"ack","id":1,"delivered":{},"queued":0,"dropped":0,"conflated":0,"catching_up":0}}"#,
                everybody - 1
            )
        );
        // A batch of several, one of them the member's own.
        streams[1].say(&server, &say("8", r#","echo":false"#));
        clients[0].say(&say("9", ""));
        assert_eq!(data_of(&streams[1].hear()), "9");
        assert_eq!(server.sum(|shard| &shard.event_streams), 4);
        drop((streams, clients));
        server.wait_until_empty();
    }
}

#[test]
fn posts_are_taken_in_order_wherever_they_arrive() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let mut events = Events::open(&server);
        events.hear();
        let echo = |number: u32| format!(r#"{{"type":"echo","id":{number}}}"#);
        for number in 0..40 {
            events.say(&server, &echo(number));
        }
        // One connection, one after the other, and all at once; the last ends it.
        let mut raw = Raw::connect(&server);
        let posts = |numbers: std::ops::Range<u32>| {
            let posts = numbers.map(|number| post("/sse", events.token(), &echo(number)));
            posts.collect::<String>()
        };
        raw.send(posts(40..80).as_bytes());
        raw.finish();
        for _ in 40..80 {
            assert_eq!(status(&raw.answer().0), 204);
        }
        raw.ended();
        let mut raw = Raw::connect(&server);
        raw.send_bytewise(posts(80..83).as_bytes());
        (80..83).for_each(|_| assert_eq!(status(&raw.answer().0), 204));
        for number in 0..83 {
            assert_eq!(events.hear(), echo(number));
        }
        assert_eq!(server.sum(|shard| &shard.posts), 83);
        drop((events, raw));
        server.wait_until_empty();
    }
}

/// One request, its answer's status, and whether the connection takes another request after it.
fn check_answer(server: &Server, said: &str, expected: u16, persists: bool) {
    let mut raw = Raw::connect(server);
    raw.send(said.as_bytes());
    let head = match said.starts_with("HEAD") {
        true => raw.head(),
        false => raw.answer().0,
    };
    assert_eq!(status(&head), expected, "{said}");
    let opens = said.contains("/sse") && expected != 417 && !said.contains("chunked");
    assert_eq!(
        head.contains("\r\nAccess-Control-Allow-Origin: *\r\n"),
        opens,
        "{said}{head}"
    );
    assert_eq!(
        !head.contains("\r\nConnection: close\r\n"),
        persists,
        "{said}{head}"
    );
    if persists {
        raw.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(status(&raw.answer().0), 200, "{said}");
    }
}

#[test]
fn pages_ask_before_they_post() {
    let server = Server::native(config(1));
    let mut preflight = Raw::connect(&server);
    preflight.send(
        b"OPTIONS /sse HTTP/1.1\r\nHost: localhost:8000\r\nOrigin: http://localhost:8000\r\n\r\n",
    );
    let allowed = preflight.head();
    assert!(
        allowed.contains("\r\nAccess-Control-Allow-Methods: GET, HEAD, POST\r\n"),
        "{allowed}"
    );
}

#[test]
fn what_cannot_be_taken_is_told_why() {
    let mut config = config(2);
    config.listeners[0].message_bytes_max = 1000;
    let server = Server::native(config);
    let mut events = Events::open(&server);
    events.hear();
    let token = events.token().to_owned();
    let mut forged = token.clone();
    forged.replace_range(20..21, if &token[20..21] == "0" { "1" } else { "0" });
    let head = |line: &str, rest: &str| format!("{line} HTTP/1.1\r\nHost: a\r\n{rest}");
    let target = format!("POST /sse?x=y&session={token}");
    let table = [
        (post("/sse", &token, r#"{"type":"ping","id":1}"#), 204, true),
        (post("/sse", &forged, "{}"), 404, true),
        (post("/sse", &token[1..], "{}"), 404, true),
        (post("/sse", "", "{}"), 404, true),
        (head("POST /sse", "Content-Length: 2\r\n\r\n{}"), 404, true),
        (head(&target, "\r\n"), 411, true),
        (
            head(&target, "Transfer-Encoding: chunked\r\n\r\n"),
            411,
            false,
        ),
        (
            head(&target, "Content-Length: 2\r\nExpect: more\r\n\r\n"),
            417,
            false,
        ),
        (post("/sse", &token, &" ".repeat(1001)), 413, true),
        (
            head(&target, "Content-Length: 99999999999999999999\r\n\r\n"),
            413,
            false,
        ),
        (head("GET /sse", "Accept: text/html\r\n\r\n"), 406, true),
        (
            head("GET /sse", "Accept: text/event-stream;q=0, */*\r\n\r\n"),
            406,
            true,
        ),
        (head("HEAD /sse", "Accept: text/html\r\n\r\n"), 406, true),
        (head("HEAD /sse", "\r\n"), 200, true),
        (head("PUT /sse", "\r\n"), 405, true),
        (head("OPTIONS /sse", "\r\n"), 204, true),
        (post("/ws", &token, "{}"), 405, true),
        (stream("/ws"), 426, true),
        (stream("/elsewhere"), 404, true),
    ];
    for (said, expected, persists) in table {
        check_answer(&server, &said, expected, persists);
    }
    assert_eq!(events.hear(), r#"{"type":"pong","id":1}"#);
    // The largest message.
    let data = "x".repeat(1000 - r#"{"type":"echo","data":""}"#.len());
    let echo = format!(r#"{{"type":"echo","data":"{data}"}}"#);
    events.say(&server, &echo);
    assert_eq!(events.hear(), echo);
    // Nobody is left to post to.
    drop(events);
    server.wait_until("the stream gone", |server| {
        server.sum(|shard| &shard.rooms) == 0 && server.sum(|shard| &shard.connections) <= 1
    });
    let mut raw = Raw::connect(&server);
    raw.send(post("/sse", &token, "{}").as_bytes());
    assert_eq!(status(&raw.answer().0), 404);
}

/// Whoever does not say that it will not have a stream gets one, in chunks where HTTP has them.
#[test]
fn streams_are_for_whoever_takes_them() {
    let server = Server::native(config(2));
    let mut witness = Client::native(&server);
    for accept in [
        "",
        "Accept: */*\r\n",
        "Accept: text/*\r\n",
        "Accept: application/json, text/event-stream;q=0.5\r\n",
    ] {
        let request = format!("GET /sse HTTP/1.1\r\nHost: a\r\n{accept}\r\n");
        let mut events = Events::asking(Raw::connect(&server), &request);
        assert!(events.hear().starts_with(r#"{"type":"welcome","#));
    }
    // The head alone, with the same headers as far as they do not speak of the connection.
    let mut raw = Raw::connect(&server);
    raw.send(b"HEAD /sse HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = raw.head();
    for line in [
        "Content-Type: text/event-stream",
        "Cache-Control: no-store",
        "X-Accel-Buffering: no",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
    }
    assert!(!head.contains("Content-Length"), "{head}");
    assert_eq!(server.sum(|shard| &shard.event_streams), 4);
    // HTTP/1.0 has no chunks (clause 9112-6.1-5): the stream ends with the connection.
    let mut old = Raw::connect(&server);
    old.send(b"GET /sse HTTP/1.0\r\n\r\n");
    let head = old.head();
    assert!(!head.contains("Transfer-Encoding"), "{head}");
    assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
    assert_eq!(old.line(), "event: session");
    let token = old.line().split_off("data: ".len());
    assert_eq!(old.line(), "");
    assert!(old.line().starts_with(r#"data: {"type":"welcome","#));
    assert_eq!(old.line(), "");
    let mut poster = Raw::connect(&server);
    poster.send(post("/sse", &token, r#"{"type":"join_room","room":"r"}"#).as_bytes());
    assert_eq!(status(&poster.answer().0), 204);
    assert!(old.line().starts_with(r#"data: {"type":"joined","#));
    // Beside one in chunks, of one batch.
    let mut new = joined(&server, "r");
    witness.say(r#"{"type":"broadcast","room":"r","data":7}"#);
    assert_eq!(data_of(&new.hear()), "7");
    assert_eq!(old.line(), "");
    assert_eq!(data_of(&old.line()), "7");
    assert_eq!(old.line(), "");
    poster.send(
        post("/sse", &token, "\u{e9}")
            .replace("\r\nHost", "\r\nX: y\r\nHost")
            .as_bytes(),
    );
    assert_eq!(status(&poster.answer().0), 204);
    drop(new);
    assert!(
        old.line()
            .starts_with(r#"data: {"type":"error","code":"bad_json","#)
    );
}

#[test]
fn a_client_may_wait_to_be_told_to_go_on() {
    let server = Server::native(config(2));
    let mut events = Events::open(&server);
    events.hear();
    let said = post("/sse", events.token(), r#"{"type":"ping","id":1}"#);
    let (head, body) = said.split_once("\r\n\r\n").expect("a head");
    let mut raw = Raw::connect(&server);
    raw.send(format!("{head}\r\nExpect: 100-Continue\r\n\r\n").as_bytes());
    assert_eq!(raw.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    raw.send(body.as_bytes());
    assert_eq!(status(&raw.answer().0), 204);
    assert_eq!(events.hear(), r#"{"type":"pong","id":1}"#);
}

#[test]
fn a_broken_message_ends_the_session_as_it_would_a_socket() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let mut events = Events::open(&server);
        events.hear();
        let mut raw = Raw::connect(&server);
        let said = post("/sse", events.token(), "??").replace("??", "");
        raw.send(&[said.as_bytes(), b"\xc3\x28"].concat());
        assert_eq!(status(&raw.answer().0), 204);
        let close = events.closed();
        assert!(close.starts_with(r#"{"code":1007,"reason":""#), "{close}");
        assert_eq!(events.post(&server, "{}"), 404);
        drop((raw, events));
        server.wait_until_empty();
    }
}

#[test]
fn bytes_have_their_own_event() {
    let mut config = config(1);
    config.event_streams = Some("/ws".to_owned());
    let server = Server::echo(config);
    let mut events = Events::at(Raw::connect(&server), "/ws");
    let mut raw = Raw::connect(&server);
    let said = post("/ws", events.token(), "\0\u{1}\n");
    raw.send(
        said.replace(
            "\r\n\r\n",
            "\r\nContent-Type: application/octet-stream\r\n\r\n",
        )
        .as_bytes(),
    );
    assert_eq!(status(&raw.answer().0), 204);
    assert_eq!(events.event(), ("binary".to_owned(), "AAEK".to_owned()));
    // The same path upgrades, too.
    Raw::upgraded(&server);
}

#[test]
fn a_stream_that_only_listens_stays() {
    let mut config = config(1);
    config.heartbeat = Duration::from_millis(100);
    config.pong_timeout = Duration::from_millis(100);
    config.idle_timeout = Duration::from_secs(1);
    let server = Server::native(config);
    let mut behind = Raw::connect(&server);
    behind.send(format!("{}GET / HTTP/1.1\r\n\x08", stream("/sse")).as_bytes());
    assert_eq!(status(&behind.head()), 200);
    let mut events = Events::open(&server);
    events.hear();
    for _ in 0..15 {
        assert_eq!([events.line(), events.line()], [":", ""]);
    }
    // What is said behind the request is nobody's.
    events
        .raw()
        .send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n\x81\x80\0\0\0\0");
    events.say(&server, r#"{"type":"ping","id":1}"#);
    assert_eq!(events.hear(), r#"{"type":"pong","id":1}"#);
    assert_eq!(server.sum(|shard| &shard.closed_deadline_pong), 0);
}

#[test]
fn a_slow_stream_is_closed_behind_what_waits() {
    let mut config = config(1);
    config.outbox_bytes_max = 128 << 10;
    config.close_timeout = PATIENCE;
    let server = Server::native(config);
    let mut slow = Events::over(Raw::narrow(&server));
    slow.hear();
    slow.say(&server, r#"{"type":"join_room","room":"r"}"#);
    slow.hear();
    let mut speaker = Client::native(&server);
    let data = "x".repeat(32 << 10);
    let broadcast = format!(r#"{{"type":"broadcast","room":"r","id":1,"data":"{data}"}}"#);
    server.wait_until("one that is too slow", |server| {
        speaker.check(&broadcast, r#"{"type":"ack","id":1}"#);
        server.sum(|shard| &shard.closed_slow) > 0
    });
    let mut heard = 0;
    let close = loop {
        match slow.event() {
            (name, text) if name == "message" => {
                heard += 1;
                assert_eq!(data_of(&text), format!("\"{data}\""));
            }
            (name, close) => break (name, close),
        }
    };
    assert_eq!(
        close,
        (
            "close".to_owned(),
            r#"{"code":1008,"reason":"too slow"}"#.to_owned()
        )
    );
    assert!(heard > 4, "{heard}");
    slow.ended();
}

#[test]
fn a_drain_tells_streams_too() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let mut streams: Vec<Events> = (0..5).map(|_| joined(&server, "r")).collect();
        let reader = std::thread::spawn(move || {
            for events in &mut streams {
                assert!(
                    events
                        .hear()
                        .starts_with(r#"{"type":"closing","reason":"draining","#)
                );
                assert_eq!(events.closed(), r#"{"code":1001,"reason":"draining"}"#);
            }
        });
        assert!(server.drain(PATIENCE));
        reader.join().expect("every stream heard it");
    }
}

#[test]
fn a_full_server_refuses_streams_alike() {
    let mut config = config(1);
    config.connections_max = 1;
    let server = Server::native(config);
    let mut events = Events::open(&server);
    events.hear();
    let mut raw = Raw::connect(&server);
    raw.send(stream("/sse").as_bytes());
    assert_eq!(status(&raw.answer().0), 503);
    // Posts are no connections.
    events.say(&server, r#"{"type":"ping","id":1}"#);
    assert_eq!(events.hear(), r#"{"type":"pong","id":1}"#);
}
