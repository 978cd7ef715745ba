//! The examples of `docs/admin.md`: each call, made, is answered as the page says.
//!
//! Values that differ each time (ids, epochs, addresses, counts of the process) need only be of
//! the same sort; all others are the same.

use crate::{Folder, heard};
use serde_json::Value;
use shardcast_tests::wait_until;

const PAGE: &str = include_str!("../../../docs/admin.md");

/// What differs each time.
const VOLATILE: &[&str] = &[
    "epoch",
    "connection",
    "address",
    "uptime_seconds",
    "connected_seconds",
    "driver",
    "kernel",
    "connections_max",
    "held_bytes",
    "totals",
    "seconds",
];

/// The lines of the page's examples: calls, and answers.
fn lines() -> Vec<&'static str> {
    let blocks = PAGE.split("```calls\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split("```").next());
    blocks.flat_map(str::lines).collect()
}

#[track_caller]
fn check(line: &str, documented: &Value, answered: &Value, name: &str) {
    match (documented, answered) {
        (Value::Object(one), Value::Object(other)) => {
            let names = |fields: &serde_json::Map<String, Value>| {
                fields.keys().cloned().collect::<Vec<_>>()
            };
            assert_eq!(names(one), names(other), "{line}: {answered}");
            for (name, field) in one {
                check(line, field, &other[name], name);
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len(), "{line}: {answered}");
            for (one, other) in one.iter().zip(other) {
                check(line, one, other, name);
            }
        }
        (Value::String(_), Value::String(_)) | (Value::Number(_), Value::Number(_))
            if VOLATILE.contains(&name) => {}
        (Value::Number(_), Value::Number(_)) if line.contains("/api/info") => {}
        (one, other) => assert_eq!(one, other, "{line}: {name}"),
    }
}

#[test]
fn every_example_is_answered_as_documented() {
    const ID: &str = "0-1f-3";
    let folder = Folder::new("documented");
    let served =
        folder.serve("shards = 1\n[namespaces.chat]\nhistory = 100\nidempotency = \"1m\"\n");
    let mut ann = folder.user(&served, "ann");
    ann.join("chat:lobby");
    let (_, body) = served.ask("/api/users/ann");
    let user: Value = serde_json::from_str(&body).expect("JSON");
    let id = user["first"][0]["connection"]
        .as_str()
        .expect("an id")
        .to_owned();
    let lines = lines();
    assert_eq!(lines.len(), 2 * 25, "a call has an answer");
    for pair in lines.chunks(2) {
        let &[call, answer] = pair else {
            panic!("no answer: {pair:?}");
        };
        let call = call.replace(ID, &id);
        if call.contains("/api/info") {
            wait_until("it has left", || served.metric("connections") == 0);
        }
        let words: Vec<&str> = call.splitn(4, ' ').collect();
        let (status, body) = match words[..] {
            ["→", "GET", path] => served.ask(path),
            ["→", "POST", path] => served.call(path, ""),
            ["→", "POST", path, body] => served.call(path, body),
            _ => panic!("no call: {call}"),
        };
        let documented = answer
            .strip_prefix("← ")
            .and_then(|rest| rest.split_once(' '));
        let (expected, documented) = documented.expect("a status and a body");
        assert_eq!(status.to_string(), expected, "{call}: {body}");
        let read = |text: &str| serde_json::from_str(text).expect("JSON");
        check(&call, &read(documented), &read(&body), "");
    }
    while heard(&mut ann)["type"] != "event" {}
    assert_eq!(served.end().0, Some(0), "it has drained");
}
