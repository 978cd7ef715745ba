//! MessagePack libraries that we did not write: npm msgpackr and @msgpack/msgpack, and rmp-serde.
//! What they send is heard in JSON as what it means, and read by a handler with types; what is no
//! map gets the remedy.

use crate::installed;
use crate::puppet::{Puppet, Script};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use serde_json::{Value, json};
use shardcast::App;
use shardcast_tests::{Client, Server, config};
use tungstenite::Message;

#[derive(Serialize, Deserialize)]
struct Typed {
    at: chrono::DateTime<chrono::Utc>,
    ms: u64,
    bytes: ByteBuf,
}

fn server() -> Server {
    let app = App::new();
    app.handlers()
        .on("typed", |_, typed: Typed| Ok(typed))
        .expect("a new type");
    Server::of(app, config(2)).0
}

const AT: &str = "2020-01-01T00:00:00.125Z";

#[track_caller]
fn check_npm(library: &str) {
    let server = server();
    let mut native = Client::plain(&server);
    native.hear();
    native.check(
        r#"{"type":"join_room","room":"r"}"#,
        r#"{"type":"joined","room":"r","members":1}"#,
    );
    let mut script = Script::start(&mut installed::node_script("messagepack-npm", "client.js"));
    let url = format!("ws://{}/msgpack", server.address());
    let report = script.obey(&json!({"url": url, "library": library}));
    let remedy = "a message is one map, this is a record: npm msgpackr needs `useRecords: false`";
    // chrono writes no more digits than it must.
    let typed = json!({"at": AT, "ms": 1_732_860_000_000_u64, "bytes": [0, 1, 255]});
    assert_eq!(
        report,
        json!({
            "joined": "joined",
            "published": "ack",
            "own": true,
            "typed": typed,
            "records": remedy,
        })
    );
    let heard: Value = serde_json::from_str(&native.hear()).expect("JSON");
    let data = json!({
        "at": AT,
        "ms": 1_732_860_000_000_u64,
        "whole": 2,
        "half": 0.5,
        "bytes": "AAH/",
        "none": null,
    });
    assert_eq!(heard["data"], data);
    drop(script);
}

#[test]
fn npm_msgpackr() {
    check_npm("msgpackr");
}

#[test]
fn npm_msgpack() {
    check_npm("@msgpack/msgpack");
}

#[derive(Serialize)]
struct Request {
    r#type: &'static str,
    id: Option<u8>,
    room: Option<&'static str>,
    data: Option<Typed>,
}

#[test]
fn rmp_serde_with_names() {
    let server = server();
    let (mut client, _) = Client::offering(&server, "shardcast.v1.msgpack");
    client.hear_any();
    let mut ask = |bytes: Vec<u8>| {
        client.send(Message::binary(bytes));
        let answer = client.hear_any().into_data();
        rmpv::decode::read_value(&mut &answer[..]).expect("MessagePack")
    };
    let ping = || Request {
        r#type: "ping",
        id: None,
        room: None,
        data: None,
    };
    assert_eq!(
        ask(rmp_serde::to_vec_named(&ping()).unwrap())["type"],
        "pong".into()
    );
    let refused = ask(rmp_serde::to_vec(&ping()).unwrap());
    let remedy = "a message is one map, this is an array: rmp-serde needs `to_vec_named`";
    assert_eq!(refused["message"], remedy.into());
    let typed = Typed {
        at: AT.parse().expect("a time"),
        ms: 7,
        bytes: ByteBuf::from(vec![255]),
    };
    let request = Request {
        r#type: "typed",
        id: Some(1),
        room: None,
        data: Some(typed),
    };
    let answer = ask(rmp_serde::to_vec_named(&request).unwrap());
    assert_eq!(answer["data"]["at"], AT.into());
    assert_eq!(answer["data"]["bytes"], rmpv::Value::Binary(vec![255]));
}
