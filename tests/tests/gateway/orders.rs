//! What a backend has the server do: rooms and data of a client from the start, memberships, events
//! and ends of connections; and what it is told when that cannot be done.

use crate::backend::{Place, python};
use crate::{knock, sample, serve, status};
use serde_json::{Value, json};
use shardcast_tests::{CLOSE, FIN, Raw};

/// The next message that is no event, in JSON.
#[track_caller]
fn reply(client: &mut Raw, events: &mut Vec<Value>) -> Value {
    loop {
        let heard: Value = serde_json::from_str(&client.hear()).expect("JSON");
        if heard["type"] != "event" {
            return heard;
        }
        events.push(heard);
    }
}

/// Commands, and the codes of those that cannot be done.
fn commands(me: &str) -> Vec<(Value, Option<&'static str>)> {
    let nobody = "0-ffff-1";
    vec![
        (
            json!({"join": {"connection": me, "rooms": ["third"]}}),
            None,
        ),
        (
            json!({"leave": {"connection": me, "rooms": ["first"]}}),
            None,
        ),
        (
            json!({"leave": {"connection": me, "rooms": ["first"]}}),
            Some("not_joined"),
        ),
        (
            json!({"publish": {"room": "third", "event": "news", "data": [1]}}),
            None,
        ),
        (
            json!({"publish": {"user": "ann", "event": "news", "except": me}}),
            None,
        ),
        (
            json!({"publish": {"everyone": true, "event": ""}}),
            Some("bad_request"),
        ),
        (
            json!({"publish": {"room": "a", "everyone": true, "event": "x"}}),
            Some("bad_request"),
        ),
        (
            json!({"publish": {"room": "third", "event": "x", "data": "deep"}}),
            Some("bad_request"),
        ),
        (
            json!({"join": {"connection": nobody, "rooms": ["third"]}}),
            Some("not_joined"),
        ),
        (
            json!({"disconnect": {"connection": "?", "reason": "x"}}),
            Some("bad_request"),
        ),
        (
            json!({"disconnect": {"user": "ann", "code": 1006, "reason": "x"}}),
            Some("bad_request"),
        ),
    ]
}

#[test]
fn a_backend_commands_and_hears_what_became_of_it() {
    let place = Place::unix();
    let _backend = python("tests/tests/gateway/orders.py", &place, &[]);
    let server = serve(&place, "events = \"connect,rpc\"\n");
    let mut client = knock(server.address("ws"), "");
    assert_eq!(status(&mut client), 101);
    let welcome: Value = serde_json::from_str(&client.hear()).expect("JSON");
    assert_eq!(welcome["rooms"], json!(["first", "second"]));
    assert_eq!(welcome["data"], json!({"motd": "hi"}));
    let me = welcome["connection"].as_str().expect("an id").to_owned();
    let mut events = Vec::new();
    for (command, code) in commands(&me) {
        client.say(&json!({"type": "order", "id": 1, "data": command}).to_string());
        let heard = reply(&mut client, &mut events);
        assert_eq!(heard["data"]["code"].as_str(), code, "{command}: {heard}");
    }
    client.say(r#"{"type":"rooms","id":2}"#);
    let rooms = reply(&mut client, &mut events);
    assert_eq!(rooms["rooms"], json!(["second", "third"]));
    let news = json!({"type": "event", "event": "news", "room": "third", "data": [1]});
    assert_eq!(events, [news]);
    let bye = json!({"disconnect": {"user": "ann", "code": 4001, "reason": "bye"}});
    client.say(&json!({"type": "order", "id": 3, "data": bye}).to_string());
    let (first, payload) = client.frame();
    assert_eq!((first, &payload[2..]), (FIN | CLOSE, &b"bye"[..]));
    assert_eq!(&payload[..2], 4001_u16.to_be_bytes());
    let done = "shardcast_gateway_commands_total{command=\"publish\",outcome=\"done\"}";
    assert_eq!(sample(&server, done), 2);
    let failed = "shardcast_gateway_commands_total{command=\"publish\",outcome=\"failed\"}";
    assert_eq!(sample(&server, failed), 3);
}
