//! The examples keep their promises, on a socket and behind webhooks, word for word the same.

use crate::backend::{Place, node, python};
use crate::{calls, connect, knock, serve, status};
use shardcast_tests::{Raw, Served};
use std::io::Write;

/// Says something and expects this answer.
#[track_caller]
fn exchange(client: &mut Raw, said: &str, answer: &str) {
    client.say(said);
    assert_eq!(client.hear(), answer, "{said}");
}

/// What both backends decide.
#[track_caller]
fn converse(server: &Served) {
    let address = server.address("ws");
    for (query, answer) in [("", 401), ("?user=mallory", 403)] {
        assert_eq!(status(&mut knock(address, query)), answer, "{query}");
    }
    let (mut ann, mut bob) = (connect(address, "ann"), connect(address, "bob"));
    ann.say(r#"{"type":"status","id":1}"#);
    let said = ann.hear();
    assert!(said.contains(r#""user":"ann""#), "{said}");
    for (said, answer) in [
        (
            r#"{"type":"join_room","id":1,"room":"staff:1"}"#,
            r#"{"type":"error","id":1,"code":"forbidden","message":"this room is for moderators","retryable":false}"#,
        ),
        (
            r#"{"type":"join_room","id":2,"room":"r"}"#,
            r#"{"type":"joined","id":2,"room":"r","members":1}"#,
        ),
        (
            r#"{"type":"broadcast","id":3,"room":"r","data":"spam"}"#,
            r#"{"type":"error","id":3,"code":"forbidden","message":"no spam","retryable":false}"#,
        ),
        (
            r#"{"type":"add","id":4,"data":[1,2,3]}"#,
            r#"{"type":"result","id":4,"data":6}"#,
        ),
        (
            r#"{"type":"nobody","id":5}"#,
            r#"{"type":"error","id":5,"code":"unknown_type","message":"there is no nobody","retryable":false}"#,
        ),
        // What a backend cannot read is one client's fault, and no failure of the backend.
        (
            r#"{"type":"add","id":9,"data":"x"}"#,
            r#"{"type":"error","id":9,"code":"handler_failed","message":"the backend failed","retryable":false}"#,
        ),
    ] {
        exchange(&mut bob, said, answer);
    }
    // What stands behind a request that is decided about waits for it.
    bob.say(r#"{"type":"broadcast","id":6,"room":"r","data":"hi","echo":true}"#);
    bob.say(r#"{"type":"leave_room","id":7,"room":"r"}"#);
    bob.say(r#"{"type":"ping","id":8}"#);
    let heard = [bob.hear(), bob.hear(), bob.hear(), bob.hear()];
    let at = |start: &str| {
        let at = heard.iter().position(|line| line.starts_with(start));
        at.unwrap_or_else(|| panic!("no {start} in {heard:?}"))
    };
    let ack = at(r#"{"type":"ack","id":6"#);
    assert!(ack < at(r#"{"type":"left","id":7"#) && ack < at(r#"{"type":"pong","id":8"#));
    at(r#"{"type":"message","room":"r""#);

    moderate(&mut ann);
    check_counts(server);
}

/// A moderator enters, and has the backend say something.
#[track_caller]
fn moderate(ann: &mut Raw) {
    exchange(
        ann,
        r#"{"type":"join_room","id":2,"room":"staff:1"}"#,
        r#"{"type":"joined","id":2,"room":"staff:1","members":1}"#,
    );
    ann.say(r#"{"type":"shout","id":3,"data":{"room":"staff:1","text":"hello"}}"#);
    let mut heard = [ann.hear(), ann.hear()];
    heard.sort();
    assert_eq!(
        heard,
        [
            r#"{"type":"event","event":"shout","room":"staff:1","data":"HELLO"}"#,
            r#"{"type":"result","id":3,"data":true}"#,
        ]
    );
}

/// The server has counted all that.
#[track_caller]
fn check_counts(server: &Served) {
    for (event, outcome, count) in [
        ("connect", "accepted", 2),
        ("connect", "rejected", 2),
        ("join", "accepted", 2),
        ("join", "rejected", 1),
        ("publish", "accepted", 1),
        ("publish", "rejected", 1),
        ("rpc", "accepted", 2),
        ("rpc", "rejected", 2),
        ("rpc", "unavailable", 0),
    ] {
        assert_eq!(calls(server, event, outcome), count, "{event} {outcome}");
    }
}

#[test]
fn the_example_in_python_decides_on_a_socket() {
    let place = Place::unix();
    let _backend = python("server/examples/gateway/backend.py", &place, &[]);
    converse(&serve(&place, ""));
}

#[test]
fn the_example_in_node_decides_behind_webhooks() {
    let (place, secret) = (Place::http(), "0123456789abcdef");
    let mut file = std::env::temp_dir();
    file.push(format!("shardcast-gateway-secret-{}", std::process::id()));
    let mut written = std::fs::File::create(&file).expect("a temporary file");
    written.write_all(secret.as_bytes()).expect("space");
    let _backend = node("server/examples/gateway/webhook.mjs", &place, secret);
    let key = format!("secret_file = \"{}\"", file.display());
    converse(&serve(&place, &key));
    let _nobody_minds = std::fs::remove_file(&file);
    // What is not signed as it should be is not answered.
    let unsigned = serve(&place, "");
    let mut refused = knock(unsigned.address("ws"), "?user=ann");
    assert_eq!(status(&mut refused), 401);
}
