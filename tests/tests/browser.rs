//! A page in headless Chromium joins a room and receives what a page in another one broadcasts: a
//! client that we did not write, as users have it. In `browser/report.rs`, it shows the benchmark
//! report, and in `browser/dashboard.rs` and `browser/console.rs` the pages of the admin port.

#[path = "browser/chromium.rs"]
mod chromium;
#[path = "browser/console.rs"]
mod console;
#[path = "browser/dashboard.rs"]
mod dashboard;
#[path = "browser/inspector.rs"]
mod inspector;
#[path = "browser/looks.rs"]
mod looks;
#[path = "browser/operated.rs"]
mod operated;
#[path = "browser/page.rs"]
mod page;
#[path = "browser/report.rs"]
mod report;

use page::Page;
use shardcast::{App, Origins, Server};
use shardcast_engine::{Config, Listener, Pinning};
use std::net::SocketAddr;
use std::time::Duration;

#[test]
fn a_page_receives_what_another_page_broadcasts() {
    let server = serve();
    let (member, sender) = (Page::open(), Page::open());

    // Two subprotocols are offered, one of them is spoken here; none is offered; only a foreign
    // one, on which the browser insists.
    connect(&member, &server, r#"["graphql-ws", "shardcast.v1"]"#);
    assert_eq!(member.said(), r#"open with "shardcast.v1" and """#);
    welcomed(&member);
    connect(&sender, &server, r#"["graphql-ws"]"#);
    assert_eq!(sender.said(), "failed");
    assert_eq!(sender.said(), r#"closed 1006 "" unclean"#);
    connect(&sender, &server, "[]");
    assert_eq!(sender.said(), r#"open with "" and """#);
    let from = welcomed(&sender);

    send(&member, r#"{"type":"join_room","id":1,"room":"lobby"}"#);
    assert_eq!(
        member.said(),
        r#"got {"type":"joined","id":1,"room":"lobby","members":1}"#
    );
    // More than a receive buffer holds, cut inside its characters.
    let long = format!("\"{}\"", "👋🏽".repeat(7_500));
    for data in [DATA, &long] {
        send(
            &sender,
            &format!(r#"{{"type":"broadcast","id":"b","room":"lobby","data":{data}}}"#),
        );
        assert_eq!(sender.said(), r#"got {"type":"ack","id":"b"}"#);
        assert_eq!(
            member.said(),
            format!(r#"got {{"type":"message","room":"lobby","from":"{from}","data":{data}}}"#)
        );
    }

    sender.run(r#"socket.close(1000, "bye")"#);
    assert_eq!(sender.said(), r#"closed 1000 "" clean"#);
    assert!(server.drain(Duration::from_secs(30)), "the page leaves");
    let closing = member.said();
    assert!(
        closing.starts_with(r#"got {"type":"closing","reason":"draining","reconnect_ms":"#),
        "{closing}"
    );
    assert_eq!(member.said(), r#"closed 1001 "draining" clean"#);
}

/// The page is of another origin than the server, and asks before it posts JSON.
#[test]
fn a_page_without_websocket_talks_with_one_that_has_it() {
    let server = serve();
    let (reader, sender) = (Page::open(), Page::open());
    let address = server.local_addr().expect("TCP");
    reader.run(&format!(
        r#"base = "http://{address}/sse"; stream = new EventSource(base);
        stream.addEventListener("session", (event) => {{ token = event.data; say("session", token.length); }});
        stream.onmessage = (event) => say("got", event.data);
        stream.addEventListener("close", (event) => {{ stream.close(); say("closed", event.data); }});
        post = (json) => fetch(`${{base}}?session=${{token}}`, {{ method: "POST", body: json,
            headers: {{ "Content-Type": "application/json" }} }}).then((answer) => say("posted", answer.status));"#
    ));
    assert_eq!(reader.said(), "session 84");
    let from = welcomed(&reader);
    connect(&sender, &server, "[]");
    assert_eq!(sender.said(), r#"open with "" and """#);
    welcomed(&sender);
    send(&sender, r#"{"type":"join_room","id":1,"room":"lobby"}"#);
    assert_eq!(
        sender.said(),
        r#"got {"type":"joined","id":1,"room":"lobby","members":1}"#
    );
    // Its answer and what the stream says race each other.
    let post = |json: &str, expected: &str| {
        reader.run(&format!("post(String.raw`{json}`)"));
        let mut said = [reader.said(), reader.said()];
        said.sort();
        assert_eq!(said, [format!("got {expected}"), "posted 204".to_owned()]);
    };
    post(
        r#"{"type":"join_room","id":1,"room":"lobby"}"#,
        r#"{"type":"joined","id":1,"room":"lobby","members":2}"#,
    );
    let heard = format!(r#"{{"type":"message","room":"lobby","from":"{from}","data":{DATA}}}"#);
    post(
        &format!(r#"{{"type":"broadcast","room":"lobby","data":{DATA}}}"#),
        &heard,
    );
    assert_eq!(sender.said(), format!("got {heard}"));
    send(
        &sender,
        "{\"type\":\"broadcast\",\"room\":\"lobby\",\"data\":[1,\n2]}",
    );
    for page in [&sender, &reader] {
        let said = page.said();
        assert!(said.ends_with("\"data\":[1,\n2]}"), "{said}");
    }
    assert!(server.drain(Duration::from_secs(30)), "the pages leave");
    assert!(reader.said().starts_with(r#"got {"type":"closing","#));
    assert_eq!(reader.said(), r#"closed {"code":1001,"reason":"draining"}"#);
}

/// Kept byte for byte: white space, escapes and the form of numbers, too.
const DATA: &str =
    r#"{ "text": "Grüße, 世界 👋🏽", "escaped": "\ud83d\ude00\n\u0000", "n": [1.50, 1e2] }"#;

fn serve() -> Server {
    let config = Config {
        listeners: vec![Listener::plain(SocketAddr::from(([127, 0, 0, 1], 0)))],
        shards: 2,
        pinning: Pinning::None,
        connections_max: 100,
        event_streams: Some("/sse".to_owned()),
        ..Config::default()
    };
    App::new()
        .server("shardcast/test")
        .origins(Origins::any())
        .start(config)
        .expect("this kernel serves")
}

/// Opens a socket that says whatever becomes of it.
fn connect(page: &Page, server: &Server, subprotocols: &str) {
    let address = server.local_addr().expect("TCP");
    page.run(&format!(
        r#"socket = new WebSocket("ws://{address}/ws", {subprotocols});
        socket.onopen = () => say("open with", JSON.stringify(socket.protocol), "and", JSON.stringify(socket.extensions));
        socket.onmessage = (event) => say("got", event.data);
        socket.onerror = () => say("failed");
        socket.onclose = (event) => say("closed", event.code, JSON.stringify(event.reason), event.wasClean ? "clean" : "unclean");"#
    ));
}

/// Sends JSON as it is written here.
fn send(page: &Page, json: &str) {
    page.run(&format!("socket.send(String.raw`{json}`)"));
}

/// Hears the welcome and returns the connection's id.
fn welcomed(page: &Page) -> String {
    let said = page.said();
    let id = said
        .strip_prefix(r#"got {"type":"welcome","connection":""#)
        .and_then(|rest| {
            rest.strip_suffix(
                r#"","server":"shardcast/test","heartbeat_ms":25000,"max_message_bytes":65536}"#,
            )
        });
    id.unwrap_or_else(|| panic!("no welcome: {said}"))
        .to_owned()
}
