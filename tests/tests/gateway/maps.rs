//! What a backend is told of changes of a map: which key a client sets or removes, so that it can
//! decide about keys.

use crate::backend::Place;
use crate::{serve, status};
use serde_json::{Value, json};
use shardcast_patience::PATIENCE;
use shardcast_tests::{Raw, upgrade_with};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// A backend behind webhooks that refuses keys of others, and tells of each event.
fn backend() -> (Place, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = Place::Http(listener.local_addr().expect("it listens").port());
    let (tells, told) = sync_channel(64);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(stream), tells) = (stream, tells.clone()) else {
                return;
            };
            thread::spawn(move || answer(stream, &tells));
        }
    });
    (place, told)
}

/// Answers until the connection ends, or the test does.
fn answer(stream: TcpStream, tells: &SyncSender<Value>) {
    let mut reader = BufReader::new(stream);
    while let Some(event) = event(&mut reader) {
        let key = event["key"].as_str().unwrap_or("own");
        let answer = match key.starts_with("own") {
            true => "{}",
            false => r#"{"reject":{"code":"forbidden"}}"#,
        };
        let length = answer.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{answer}");
        if tells.send(event).is_err() || reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The body of the next request.
fn event(reader: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        let read = reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        match line.strip_prefix("content-length:") {
            Some(value) => length = value.trim().parse().ok()?,
            None if read == 0 => return None,
            None if line.is_empty() => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

#[test]
fn a_backend_hears_which_key_is_set_or_removed() {
    let (place, told) = backend();
    let more = "events = \"publish\"\n[namespaces.map]\nmap = true\nhistory = 10\n";
    let served = serve(&place, more);
    let mut raw = Raw::connect_at(served.address("ws"));
    let upgrade = upgrade_with("").replace("/ws", "/connection/websocket");
    raw.send(upgrade.as_bytes());
    assert_eq!(status(&mut raw), 101);
    raw.say(r#"{"id":1,"connect":{}}"#);
    assert!(raw.hear().contains("\"connect\""));
    let of_map = |key: &str, more: Value| {
        let mut asked = json!({"channel": "map:a", "type": 1, "key": key});
        let more = more.as_object().expect("an object").clone();
        asked.as_object_mut().expect("an object").extend(more);
        asked
    };
    for (asked, key, removed, is_done) in [
        (
            of_map("own1", json!({"data": {"x": 1}})),
            json!("own1"),
            Value::Null,
            true,
        ),
        (
            of_map("own1", json!({"removed": true})),
            json!("own1"),
            json!(true),
            true,
        ),
        // It is not the same as a key without data.
        (
            of_map("own2", json!({"data": null})),
            json!("own2"),
            Value::Null,
            true,
        ),
        (
            of_map("ann's", json!({"removed": true})),
            json!("ann's"),
            json!(true),
            false,
        ),
        (
            of_map("ann's", json!({"data": 1})),
            json!("ann's"),
            Value::Null,
            false,
        ),
        (
            json!({"channel": "plain", "data": 1}),
            Value::Null,
            Value::Null,
            true,
        ),
    ] {
        raw.say(&json!({"id": 2, "publish": asked}).to_string());
        let event = told.recv_timeout(PATIENCE).expect("it is asked");
        let heard = (&event["key"], &event["removed"]);
        assert_eq!(heard, (&key, &removed), "{asked}");
        assert_eq!(event["rooms"], json!([asked["channel"]]));
        let reply: Value = serde_json::from_str(&raw.hear()).expect("JSON");
        assert_eq!(reply.get("publish").is_some(), is_done, "{asked} {reply}");
        if !is_done {
            assert_eq!(reply["error"]["code"], 103, "{reply}");
        }
    }
}
