//! Tokens that operators take back: by name, by user and by age; what becomes of their bearers'
//! connections and sessions; and that a restart forgets none.

use crate::signed::{Folder, SECRET, claims, es256, es256_pair, hs256, now, with};
use crate::{asked, bearer, outcome, serve};
use serde_json::{Value, json};
use shardcast_tests::{Raw, Served, wait_until};
use std::net::SocketAddr;
use std::process::Command;

/// What a bearer hears.
const REVOKED: &str = "the token has been revoked";

/// A server that requires tokens, with these sections on top.
fn guarded(folder: &Folder, more: &str) -> Served {
    let secret = folder.write("secret", SECRET);
    serve(&format!(
        "[auth]\ntokens = \"required\"\n[auth.keys.main]\nalgorithm = \"HS256\"\nsecret_file = \"{secret}\"\n{more}"
    ))
}

/// An operator's call: status and answer.
#[track_caller]
fn call(served: &Served, path: &str, body: &Value) -> (u16, Value) {
    let mut raw = Raw::connect_at(served.address("http"));
    let body = body.to_string();
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}");
    raw.send(format!("{head}\r\n\r\n{body}").as_bytes());
    let answer = String::from_utf8(raw.rest()).expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("HTTP");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let body = serde_json::from_str(body).expect("JSON");
    (status.expect("a status"), body)
}

/// Revokes, and returns how many connections ended.
#[track_caller]
fn revoke(served: &Served, body: Value) -> u64 {
    let (status, answer) = call(served, "/api/revoke", &body);
    assert_eq!(status, 200, "{answer}");
    answer["disconnected"].as_u64().expect("a number")
}

/// A client that was let in, and welcomed.
#[track_caller]
fn enter(address: SocketAddr, token: &str) -> Raw {
    let (mut raw, head, body) = asked(address, "/ws", &bearer(token));
    assert!(head.starts_with("HTTP/1.1 101 "), "{head} {body}");
    raw.hear();
    raw
}

#[track_caller]
fn is_closed_as_revoked(raw: &mut Raw) {
    let (first, payload) = raw.frame();
    let expected = [&4003_u16.to_be_bytes()[..], REVOKED.as_bytes()].concat();
    assert_eq!((first, payload), (0x88, expected));
}

#[track_caller]
fn is_there(raw: &mut Raw) {
    raw.say(r#"{"type":"ping","id":1}"#);
    assert_eq!(raw.hear(), r#"{"type":"pong","id":1}"#);
}

fn status(served: &Served, token: &str) -> (u16, String) {
    outcome(served.address("ws"), "/ws", &bearer(token))
}

fn named(id: &str) -> String {
    hs256(SECRET, &with("jti", json!(id)))
}

/// A token of this user, issued so many seconds ago.
fn aged(user: &str, seconds: u64) -> String {
    let mut claims = claims();
    claims["sub"] = json!(user);
    claims["iat"] = json!(now() - seconds);
    hs256(SECRET, &claims)
}

#[test]
fn one_token_is_revoked_and_no_other() {
    let folder = Folder::new();
    let served = guarded(&folder, "");
    let (one, two) = (named("1"), named("2"));
    let mut clients = [&one, &one, &two].map(|token| enter(served.address("ws"), token));
    assert_eq!(revoke(&served, json!({"token": "1", "for": "1h"})), 2);
    let [first, second, other] = &mut clients;
    is_closed_as_revoked(first);
    is_closed_as_revoked(second);
    is_there(other);
    assert_eq!(status(&served, &one), (401, REVOKED.to_owned()));
    assert_eq!(status(&served, &two).0, 101);
    // It does not let an open connection stay longer either.
    other.say(&json!({"type": "refresh", "id": 1, "token": one}).to_string());
    let answer = other.hear();
    assert!(
        answer.contains(r#""code":"unauthorized""#) && answer.contains(REVOKED),
        "{answer}"
    );
    is_there(other);
    // Nothing is left to do.
    assert_eq!(revoke(&served, json!({"token": "1"})), 0);
}

#[test]
fn a_user_s_tokens_are_revoked_as_far_as_they_are_old() {
    let folder = Folder::new();
    let served = guarded(&folder, "");
    let (old, new, other) = (aged("ann", 60), aged("ann", 20), aged("bob", 60));
    let mut clients = [&old, &new, &other].map(|token| enter(served.address("ws"), token));
    let call = json!({"user": "ann", "issued_before": now() - 40});
    assert_eq!(revoke(&served, call), 1);
    let [first, second, third] = &mut clients;
    is_closed_as_revoked(first);
    is_there(second);
    is_there(third);
    assert_eq!(status(&served, &old).0, 401);
    assert_eq!(status(&served, &new).0, 101);
    // All that she has now; and then those of everybody, which leaves younger ones. Who has just
    // been let in may be gone already.
    assert!(revoke(&served, json!({"user": "ann"})) >= 1);
    is_closed_as_revoked(second);
    assert_eq!(status(&served, &new).0, 401);
    assert_eq!(revoke(&served, json!({"issued_before": now() - 30})), 1);
    is_closed_as_revoked(third);
    assert_eq!(status(&served, &other).0, 401);
    assert_eq!(status(&served, &aged("bob", 10)).0, 101);
}

#[test]
fn a_token_that_was_checked_before_is_checked_again() {
    let folder = Folder::new();
    let pair = es256_pair();
    let public = folder.write("public.pem", &pair.public_key_pem());
    let served = serve(&format!(
        "[auth]\ntokens = \"required\"\n[auth.keys.main]\nalgorithm = \"ES256\"\npublic_key = \"{public}\"\n"
    ));
    let token = es256(&pair, None, &with("jti", json!("1")));
    let mut first = enter(served.address("ws"), &token);
    assert_eq!(status(&served, &token).0, 101, "found again by its digest");
    assert!(revoke(&served, json!({"token": "1"})) >= 1);
    is_closed_as_revoked(&mut first);
    assert_eq!(status(&served, &token), (401, REVOKED.to_owned()));
}

#[test]
fn a_session_does_not_outlive_its_token() {
    let folder = Folder::new();
    let served = guarded(&folder, "[sessions]\nresume = \"60s\"\n");
    let address = served.address("ws");
    let (mut raw, _, _) = asked(address, "/ws", &bearer(&named("1")));
    let welcome: Value = serde_json::from_str(&raw.hear()).expect("JSON");
    let session = welcome["resume"].as_str().expect("a session").to_owned();
    drop(raw);
    revoke(&served, json!({"token": "1"}));
    let mut again = enter(address, &named("2"));
    again.say(&json!({"type": "resume", "id": 1, "token": session}).to_string());
    let answer = again.hear();
    // The same user may go on with its own session, but not by the token that was taken back.
    assert!(!answer.contains(REVOKED), "{answer}");
    is_there(&mut again);
    assert_eq!(revoke(&served, json!({"token": "2"})), 1);
    is_closed_as_revoked(&mut again);
}

#[test]
fn neither_a_restart_nor_a_crash_lets_them_in_again() {
    let folder = Folder::new();
    let state = folder.write("state", r#"{"bans":[],"revocations":[]}"#);
    let more = format!("[admin]\nstate_file = \"{state}\"\n");
    let served = guarded(&folder, &more);
    revoke(&served, json!({"token": "1"}));
    revoke(&served, json!({"user": "ann", "issued_before": now() - 30}));
    let ban = json!({"address": "192.0.2.0/24", "for": "1h"});
    assert_eq!(call(&served, "/api/ban", &ban).0, 200);
    // It is killed, not asked to go.
    drop(served);
    let served = guarded(&folder, &more);
    assert_eq!(status(&served, &named("1")).0, 401);
    assert_eq!(status(&served, &aged("ann", 60)).0, 401);
    assert_eq!(status(&served, &named("2")).0, 101);
    // The command knows of it, too.
    let secret = folder.write("secret", SECRET);
    let key = format!("[auth.keys.main]\nalgorithm = \"HS256\"\nsecret_file = \"{secret}\"\n");
    let toml = format!("{more}[auth]\ntokens = \"required\"\n{key}");
    let configuration = folder.write("toml", &toml);
    for (id, told) in [("1", "refused: revoked: "), ("2", "valid: ")] {
        let checked = Command::new(env!("CARGO_BIN_EXE_served"))
            .args(["check-token", &named(id), "--config", &configuration])
            .output();
        let page = checked.expect("it runs").stdout;
        let page = String::from_utf8(page).expect("UTF-8");
        assert!(page.contains(told), "{page}");
    }
    let unban = json!({"address": "192.0.2.0/24"});
    let lifted = call(&served, "/api/unban", &unban);
    assert_eq!(lifted, (200, json!({"lifted": true})));
    drop(served);
    let served = guarded(&folder, &more);
    let lifted = call(&served, "/api/unban", &unban);
    assert_eq!(lifted, (200, json!({"lifted": false})));
    // Where it cannot be kept it is in force all the same, and the operator hears of it.
    std::fs::remove_file(&state).expect("the file");
    std::fs::create_dir(&state).expect("in its place");
    let refused = call(&served, "/api/revoke", &json!({"token": "2"}));
    assert_eq!(refused.0, 507, "{}", refused.1);
    assert_eq!(status(&served, &named("2")).0, 401);
    wait_until("it is logged", || served.log().contains("are not kept"));
}

#[test]
fn what_is_no_call_revokes_nothing() {
    let folder = Folder::new();
    let served = guarded(&folder, "");
    let mut client = enter(served.address("ws"), &named("1"));
    for body in [
        json!({}),
        json!({"for": "1h"}),
        json!({"token": ""}),
        json!({"token": "x".repeat(256)}),
        json!({"token": "1", "user": "ann"}),
        json!({"token": "1", "issued_before": 1}),
        json!({"token": 1}),
        json!({"token": "1", "for": "0s"}),
        json!({"token": "1", "for": "366d"}),
        json!({"token": "1", "jti": "1"}),
        json!({"user": "ann", "issued_before": -1}),
        json!([]),
    ] {
        let (status, answer) = call(&served, "/api/revoke", &body);
        assert_eq!(status, 400, "{body}: {answer}");
    }
    is_there(&mut client);
    // Where no tokens are asked for, none can be taken back.
    let open = serve("");
    let (status, _) = call(&open, "/api/revoke", &json!({"token": "1"}));
    assert_eq!(status, 409);
}
