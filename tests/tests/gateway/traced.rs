//! Traces over a gateway, on the stream and behind webhooks: each event bears that of its request,
//! and what the backend publishes is a part of it, or of one of the backend's own. Nothing is
//! recorded here, so everything goes on as it came.

use crate::backend::{Place, python};
use crate::{serve, status};
use serde_json::{Value, json};
use shardcast_tests::{Raw, upgrade_with};

/// One of the trace's parts.
fn part(number: u64) -> String {
    format!("00-0af7651916cd43dd8448eb211c80319c-{number:016x}-01")
}

#[track_caller]
fn heard(client: &mut Raw) -> Value {
    serde_json::from_str(&client.hear()).expect("JSON")
}

#[test]
fn a_backend_hears_the_trace_of_each_event_and_goes_on_with_it() {
    for place in [Place::unix(), Place::http()] {
        let _backend = python("tests/tests/gateway/traced.py", &place, &[]);
        let server = serve(&place, "events = \"connect,join,publish,rpc\"\n");
        let mut client = Raw::connect_at(server.address("ws"));
        let header = format!("traceparent: {}\r\n", part(1));
        client.send(upgrade_with(&header).as_bytes());
        assert_eq!(status(&mut client), 101);
        let _welcome = client.hear();
        let mut say = |request: Value| client.say(&request.to_string());
        say(json!({"type": "join_room", "id": 1, "room": "r", "traceparent": part(2)}));
        say(json!({"type": "broadcast", "room": "r", "data": 7, "traceparent": part(3)}));
        say(json!({"type": "seen", "id": 2, "traceparent": part(4)}));
        assert_eq!(heard(&mut client)["type"], "joined");
        let message = heard(&mut client);
        assert_eq!(
            (&message["data"], &message["traceparent"]),
            (&json!(7), &json!(part(3)))
        );
        // What the backend says with its answer belongs to the call. It comes by way of the room.
        let (event, answer) = both(&mut client);
        assert_eq!(event["traceparent"], part(4), "{event}");
        let events = ["connect", "join", "publish", "rpc"].into_iter().zip(1..);
        let told: Value = events
            .map(|(event, number)| (event, part(number)))
            .collect();
        assert_eq!(answer["data"], told, "{answer}");
        // A trace of the backend's own goes before.
        let own = json!({"type": "own", "id": 3, "data": part(9), "traceparent": part(5)});
        client.say(&own.to_string());
        let (event, _) = both(&mut client);
        assert_eq!(event["traceparent"], part(9), "{event}");
        // An event without a trace is said without one.
        client.say(r#"{"type":"seen","id":4}"#);
        let (event, answer) = both(&mut client);
        assert_eq!(event.get("traceparent"), None, "{event}");
        assert_eq!(answer["data"]["rpc"], Value::Null);
    }
}

/// An event, and the answer to a request, in whatever order they come.
#[track_caller]
fn both(client: &mut Raw) -> (Value, Value) {
    let mut heard = [heard(client), heard(client)];
    heard.sort_by_key(|message| message.get("id").is_some());
    let [event, answer] = heard;
    assert_eq!(event["event"], "said", "{event}");
    (event, answer)
}
