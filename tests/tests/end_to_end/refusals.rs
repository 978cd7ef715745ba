//! Every error that the native dialect has today, byte for byte, and that nothing happened but the
//! answer.

use crate::SHARDS;
use shardcast_tests::{Client, FIN, Raw, Server, TEXT, config, frame};
use std::collections::BTreeSet;
use tungstenite::Message;

/// An error as it is answered.
fn error(id: &str, code: &str, message: &str) -> String {
    let id = if id.is_empty() {
        String::new()
    } else {
        format!(r#""id":{id},"#)
    };
    format!(r#"{{"type":"error",{id}"code":"{code}","message":"{message}","retryable":false}}"#)
}

/// Where the message stops to be JSON.
const BAD_JSON: &[(&str, usize)] = &[
    ("", 0),
    (" ", 1),
    ("hello", 0),
    ("{", 1),
    (r#"{"id":1,"type":"ping""#, 21),
    (r#"{"id":1,"type":"ping"}}"#, 22),
    (r#"{"id":1,"type":"ping",}"#, 22),
    (r#"{"id":1,"type":"ping","data":01}"#, 30),
    (r#"{"id":1,"type":"ping","data":+1}"#, 29),
    (r#"{'type':"ping"}"#, 1),
    (r#"{"type":"ping","data":nul}"#, 22),
    (r#"{"type":"ping","data":NaN}"#, 22),
];

/// Request, id, message of the `bad_request`.
const BAD_REQUESTS: &[(&str, &str, &str)] = &[
    ("[]", "", "a message is one JSON object"),
    ("7", "", "a message is one JSON object"),
    (r#""ping""#, "", "a message is one JSON object"),
    ("{}", "", "type is missing"),
    (r#"{"id":1}"#, "1", "type is missing"),
    (r#"{"id":1,"type":null}"#, "1", "type is missing"),
    (r#"{"id":"a","type":7}"#, r#""a""#, "type must be a string"),
    (
        r#"{"id":{},"type":"ping"}"#,
        "",
        "id must be a string or a number",
    ),
    (
        r#"{"id":1,"type":"ping","type":"ping"}"#,
        "1",
        "duplicate key",
    ),
    (
        r#"{"id":1,"type":"ping","\u0064ata":1,"data":1}"#,
        "1",
        "duplicate key",
    ),
    (
        r#"{"id":1,"type":"join_room"}"#,
        "1",
        "room or rooms is missing",
    ),
    (
        r#"{"id":1,"type":"leave_room"}"#,
        "1",
        "room or rooms is missing",
    ),
    (
        r#"{"id":1,"type":"join_room","room":null}"#,
        "1",
        "room or rooms is missing",
    ),
    (
        r#"{"id":1,"type":"join_room","rooms":"a"}"#,
        "1",
        "rooms must be an array of strings",
    ),
    (
        r#"{"id":1,"type":"join_room","rooms":["a",1]}"#,
        "1",
        "rooms must be an array of strings",
    ),
    (
        r#"{"id":1,"type":"join_room","rooms":[]}"#,
        "1",
        "rooms must not be empty",
    ),
    (
        r#"{"id":1,"type":"join_room","room":"a","rooms":["b"]}"#,
        "1",
        "room and rooms exclude each other",
    ),
    (
        r#"{"id":1,"type":"leave_room","room":"a","rooms":["b"]}"#,
        "1",
        "room and rooms exclude each other",
    ),
    (
        r#"{"id":1,"type":"broadcast","room":"a","rooms":["b"]}"#,
        "1",
        "room and rooms exclude each other",
    ),
    (r#"{"id":1,"type":"join_room","room":""}"#, "1", BAD_NAME),
    (
        r#"{"id":1,"type":"join_room","rooms":["fine",""]}"#,
        "1",
        BAD_NAME,
    ),
    (
        r#"{"id":1,"type":"join_room","room":"a\u0000"}"#,
        "1",
        BAD_NAME,
    ),
    (r#"{"id":1,"type":"join_room","room":"a\n"}"#, "1", BAD_NAME),
    (
        r#"{"id":1,"type":"leave_room","room":"\u007f"}"#,
        "1",
        BAD_NAME,
    ),
    (
        r#"{"id":1,"type":"broadcast","room":"\u009f"}"#,
        "1",
        BAD_NAME,
    ),
    (
        r#"{"id":1,"type":"broadcast","room":"r","echo":0}"#,
        "1",
        "echo must be true or false",
    ),
    (
        r#"{"id":1,"type":"broadcast","room":"r","report":"true"}"#,
        "1",
        "report must be true or false",
    ),
    (
        r#"{"id":1,"type":"broadcast","user":7}"#,
        "1",
        "user must be a string",
    ),
    (
        r#"{"id":1,"type":"broadcast","user":""}"#,
        "1",
        "a user's name is empty or too long",
    ),
];

const BAD_NAME: &str = "a room's name is empty, too long or has control characters";

#[test]
fn what_is_no_request_is_told_why() {
    let server = Server::native(config(1));
    let mut client = Client::native(&server);
    for (text, at) in BAD_JSON {
        let end = match text.len() == *at {
            true => ", where the text ends",
            false => "",
        };
        client.check(
            text,
            &error("", "bad_json", &format!("not valid JSON at byte {at}{end}")),
        );
    }
    for (text, id, message) in BAD_REQUESTS {
        client.check(text, &error(id, "bad_request", message));
    }
    let deep =
        |open: &str, close: &str, depth| format!("{}{}", open.repeat(depth), close.repeat(depth));
    let nested = |depth| format!(r#"{{"type":"echo","data":{}}}"#, deep("[", "]", depth));
    client.check(&nested(125), &nested(125));
    assert!(
        client
            .ask(&nested(126))
            .starts_with(r#"{"type":"error","code":"bad_json","#)
    );
    for text in [
        r#"{"type":"echo","data":1e400}"#,
        r#"{"type":"echo","data":"\ud83e"}"#,
    ] {
        assert!(
            client
                .ask(text)
                .starts_with(r#"{"type":"error","code":"bad_json","#),
            "{text}"
        );
    }
    client.check(r#"{"type":"rooms"}"#, r#"{"type":"rooms","rooms":[]}"#);
}

#[test]
fn other_refusals() {
    let server = Server::native(config(2));
    let mut client = Client::native(&server);
    for kind in ["", "Ping", "ping ", "histories", "error"] {
        client.check(
            &format!(r#"{{"type":"{kind}","id":1}}"#),
            &error("1", "unknown_type", "no such type of request"),
        );
    }
    let id = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    client.check(
        &format!(r#"{{"type":"ping","id":{}}}"#, id(128)),
        &format!(r#"{{"type":"pong","id":{}}}"#, id(128)),
    );
    client.check(
        &format!(r#"{{"type":"ping","id":{}}}"#, id(129)),
        &error("", "bad_request", "id is longer than 128 bytes"),
    );
    client.send(Message::binary(&br#"{"type":"ping","id":1}"#[..]));
    client.expect(&error(
        "",
        "bad_request",
        "binary messages are not understood: send text",
    ));
    client.check(
        &format!(
            r#"{{"type":"join_room","id":1,"room":"{}"}}"#,
            "r".repeat(256)
        ),
        &error("1", "bad_request", BAD_NAME),
    );
    let not_joined = error("1", "not_joined", "the connection is not in this room");
    client.check(r#"{"type":"leave_room","id":1,"room":"r"}"#, &not_joined);
    client.join("a");
    client.check(
        r#"{"type":"leave_room","id":1,"rooms":["a","r"]}"#,
        &not_joined,
    );
    client.check(r#"{"type":"rooms"}"#, r#"{"type":"rooms","rooms":["a"]}"#);
    client.check_quiet();
}

#[test]
fn rooms_are_limited_all_or_nothing() {
    for shards in SHARDS {
        let mut config = config(shards);
        (config.rooms_per_connection_max, config.room_name_bytes_max) = (4, 3);
        let server = Server::native(config);
        let mut client = Client::native(&server);
        let full = error(
            "1",
            "room_limit",
            "the connection would be in more rooms than it may be",
        );
        let long = error(
            "1",
            "room_limit",
            "rooms names more rooms than a connection may be in",
        );
        client.check(
            r#"{"type":"join_room","id":1,"rooms":["a","b","c"]}"#,
            r#"{"type":"joined","id":1,"rooms":[{"room":"a","members":1},{"room":"b","members":1},{"room":"c","members":1}]}"#,
        );
        client.check(r#"{"type":"join_room","id":1,"rooms":["d","e"]}"#, &full);
        client.check(
            r#"{"type":"join_room","id":1,"rooms":["a","b","c","d","a"]}"#,
            &long,
        );
        client.check(
            r#"{"type":"broadcast","id":1,"rooms":["a","b","c","d","e"]}"#,
            &long,
        );
        client.check(
            r#"{"type":"leave_room","id":1,"rooms":["a","b","c","d","e"]}"#,
            &long,
        );
        client.check(
            r#"{"type":"rooms"}"#,
            r#"{"type":"rooms","rooms":["a","b","c"]}"#,
        );
        client.check(
            r#"{"type":"join_room","id":1,"rooms":["c","d"]}"#,
            r#"{"type":"joined","id":1,"rooms":[{"room":"c","members":1},{"room":"d","members":1}]}"#,
        );
        client.check(r#"{"type":"join_room","id":1,"room":"e"}"#, &full);
        client.check(
            r#"{"type":"join_room","id":1,"room":"éé"}"#,
            &error("1", "bad_request", BAD_NAME),
        );
        client.check(
            r#"{"type":"leave_room","room":"d"}"#,
            r#"{"type":"left","room":"d"}"#,
        );
        assert_eq!(client.join("é"), 1);
        client.leave();
        server.wait_until_empty();
    }
}

#[test]
fn what_grows_too_large_on_delivery_is_not_sent() {
    let mut config = config(2);
    config.listeners[0].message_bytes_max = 1000;
    let server = Server::native(config);
    let mut clients = server.spread();
    clients.iter_mut().for_each(|client| {
        client.join("r");
    });
    let envelope = format!(
        r#"{{"type":"message","room":"r","from":"{}","data":""}}"#,
        clients[0].id()
    );
    let data = |bytes| format!("\"{}\"", "x".repeat(bytes));
    let largest = data(1000 - envelope.len());
    // Without `id`, so that the request itself is the shorter one.
    let request = |data: &str, room: &str| format!(r#"{{"type":"broadcast",{room}"data":{data}}}"#);
    let too_large = error(
        "",
        "too_large",
        "the message would be larger than max_message_bytes on delivery",
    );
    clients[0].check(
        &request(&data(1001 - envelope.len()), r#""room":"r","#),
        &too_large,
    );
    // None of several rooms gets what is too large for one of them.
    let longer = data(1000 - envelope.len() - 3);
    clients[0].check(&request(&longer, r#""rooms":["r","r_234"],"#), &too_large);
    clients[0].say(&request(&largest, r#""room":"r","#));
    let delivered = format!(
        r#"{{"type":"message","room":"r","from":"{}","data":{largest}}}"#,
        clients[0].id()
    );
    assert_eq!(delivered.len(), 1000);
    clients
        .iter_mut()
        .for_each(|client| client.expect(&delivered));
    clients.iter_mut().for_each(Client::check_quiet);
}

#[test]
fn requests_that_wait_are_limited() {
    let server = Server::native(config(1));
    let mut raw = Raw::upgraded(&server);
    assert!(raw.frame().1.starts_with(br#"{"type":"welcome","#));
    // One segment and one shard: nothing is answered before all have been read.
    let burst: Vec<u8> = (0..66)
        .flat_map(|id| {
            let request = format!(r#"{{"type":"join_room","id":{id},"room":"r{id}"}}"#);
            frame(FIN | TEXT, request.as_bytes())
        })
        .collect();
    raw.send(&burst);
    let mut heard = BTreeSet::new();
    for _ in 0..66 {
        let (first, payload) = raw.frame();
        assert_eq!(first, FIN | TEXT);
        heard.insert(String::from_utf8(payload).unwrap());
    }
    let refused = |id| {
        format!(
            r#"{{"type":"error","id":{id},"code":"rate_limited","message":"too many requests of this connection wait for their answers","retryable":true,"retry_after_ms":100}}"#
        )
    };
    let joined = |id| format!(r#"{{"type":"joined","id":{id},"room":"r{id}","members":1}}"#);
    let expected: BTreeSet<String> = (0..64).map(joined).chain((64..66).map(refused)).collect();
    assert_eq!(heard, expected);
    // There is room again.
    raw.send(&frame(
        FIN | TEXT,
        br#"{"type":"join_room","id":9,"room":"later"}"#,
    ));
    raw.expect(
        FIN | TEXT,
        br#"{"type":"joined","id":9,"room":"later","members":1}"#,
    );
}
