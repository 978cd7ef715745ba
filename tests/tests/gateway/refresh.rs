//! Sessions that end: the backend has them go on, changes what they may, or ends them, behind
//! webhooks and over the stream; and what becomes of them when it does not answer.

use crate::backend::{Place, python};
use crate::{calls, connect, serve};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use shardcast_patience::Program;
use shardcast_tests::{CLOSE, FIN, Raw, Served, upgrade_with, wait_until};
use std::net::SocketAddr;
use std::time::SystemTime;

/// Backends of both sorts.
fn places() -> [Place; 2] {
    [Place::unix(), Place::http()]
}

/// A backend, and a server that asks it about sessions. It answers soon, or not at all.
#[track_caller]
fn asked(place: &Place, more: &str) -> (Program, Served) {
    let backend = python("tests/tests/gateway/refresh.py", place, &[]);
    let events = "events = \"connect,refresh,rpc\"\ntimeout = \"1s\"\nretries = 0\n";
    let server = serve(place, &format!("{events}{more}"));
    (backend, server)
}

/// The next message.
#[track_caller]
fn heard(client: &mut Raw) -> Value {
    serde_json::from_str(&client.hear()).expect("JSON")
}

/// What the backend knows of the client, who hears nothing but the answer.
#[track_caller]
fn known(client: &mut Raw) -> Value {
    client.say(r#"{"type":"look","id":7}"#);
    let answer = heard(client);
    assert_eq!(answer["id"], 7, "{answer}");
    answer["data"].clone()
}

/// How often the backend was asked about the client's session.
#[track_caller]
fn questions(client: &mut Raw) -> usize {
    let known = known(client);
    known["questions"].as_array().expect("a list").len()
}

/// Hears that the session will end.
#[track_caller]
fn expiring(client: &mut Raw) {
    let told = heard(client);
    assert_eq!(told["type"], "expiring", "{told}");
}

const EXPIRED: (u16, &str) = (4105, "the session has expired");

#[track_caller]
fn closed(client: &mut Raw, with: (u16, &str)) {
    let (code, reason) = client.closed();
    assert_eq!((code, &*reason), with);
}

#[test]
fn a_session_goes_on_changes_or_ends_as_the_backend_says() {
    for place in places() {
        let (_backend, server) = asked(&place, "");
        let users = ["keep", "drop", "let", "mistaken"];
        let clients = users.map(|user| connect(server.address("ws"), user));
        let [mut keep, mut drop, mut stands, mut mistaken] = clients;
        assert_eq!(known(&mut keep)["roles"], json!(["first"]));
        closed(&mut drop, (4004, "bye"));
        for client in [&mut stands, &mut mistaken] {
            expiring(client);
            closed(client, EXPIRED);
        }
        // Three times on end it would have ended.
        wait_until("it is asked about again", || questions(&mut keep) >= 3);
        let known = known(&mut keep);
        assert_eq!(known["roles"], json!(["again"]));
        let first = &known["questions"][0];
        assert!(first["expires_ms"].as_u64() > Some(0), "{first}");
        assert_ne!(first["asked"], true, "{first}");
        assert_eq!(calls(&server, "refresh", "rejected"), 1);
        assert!(calls(&server, "refresh", "accepted") >= 4);
    }
}

#[test]
fn a_session_that_nobody_decides_about_ends_or_goes_on() {
    for place in places() {
        let (_backend, server) = asked(&place, "");
        let mut silent = connect(server.address("ws"), "silent");
        ends(&mut silent, EXPIRED);
        assert!(calls(&server, "refresh", "timeout") >= 1);
        drop(server);
    }
    for place in places() {
        let (_backend, server) = asked(&place, "when_down = \"open\"\n");
        let mut silent = connect(server.address("ws"), "silent");
        // The second question is about the time that nobody has given.
        wait_until("it has gone on", || questions(&mut silent) >= 2);
        assert!(calls(&server, "refresh", "let_through") >= 1);
    }
}

/// The connection ends so, and its client was told before if there was time.
#[track_caller]
fn ends(client: &mut Raw, with: (u16, &str)) {
    let (first, payload) = client.frame();
    match first == FIN | CLOSE {
        true => {
            assert_eq!(payload[..2], with.0.to_be_bytes());
            assert_eq!(payload[2..], *with.1.as_bytes());
        }
        false => {
            let told: Value = serde_json::from_slice(&payload).expect("JSON");
            assert_eq!(told["type"], "expiring", "{told}");
            closed(client, with);
        }
    }
}

#[test]
fn a_client_shows_the_backend_what_only_that_can_check() {
    for place in places() {
        let (_backend, server) = asked(&place, "");
        let mut good = connect(server.address("ws"), "ticket");
        let mut bad = connect(server.address("ws"), "ticket");
        for client in [&mut good, &mut bad] {
            expiring(client);
        }
        good.say(r#"{"type":"refresh","id":2,"token":"good"}"#);
        let answer = heard(&mut good);
        assert_eq!(answer["user"], "ticket", "{answer}");
        // Longer than it had at first.
        assert!(answer["expires_ms"].as_u64() > Some(60_000), "{answer}");
        bad.say(r#"{"type":"refresh","id":1,"token":"bad"}"#);
        let refused = heard(&mut bad);
        assert_eq!(refused["code"], "unauthorized", "{refused}");
        closed(&mut bad, (4003, "no"));
        let known = known(&mut good);
        let asked = known["questions"].as_array().expect("a list");
        assert!(asked.iter().any(|question| question["token"] == "good"));
        // Whom nobody has given an end has nothing to ask for.
        let mut nobody = crate::knock(server.address("ws"), "");
        assert_eq!(crate::status(&mut nobody), 101);
        let _welcome = nobody.hear();
        nobody.say(r#"{"type":"refresh","id":3,"token":"good"}"#);
        assert_eq!(heard(&mut nobody)["code"], "unauthorized");
    }
}

const SECRET: &str = "planted-secret-0123456789abcdefghij";

/// A token of this user that ends soon.
fn token(user: &str) -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now_s = since.expect("a clock behind 1970").as_secs();
    let claims = json!({"sub": user, "iat": now_s, "exp": now_s + 4});
    let key = EncodingKey::from_secret(SECRET.as_bytes()).expect("not empty");
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).expect("claims")
}

#[test]
fn a_tokens_end_is_moved_by_the_backend_alone() {
    let file = std::env::temp_dir().join(format!("shardcast-refresh-{}", std::process::id()));
    std::fs::write(&file, SECRET).expect("a temporary file");
    let auth = format!(
        "when_down = \"open\"\n[auth]\ntokens = \"optional\"\nleeway = \"0s\"\nsources = \"query,message\"\n[auth.keys.a]\nalgorithm = \"HS256\"\nsecret_file = \"{}\"\n",
        file.display()
    );
    let place = Place::unix();
    let (_backend, server) = asked(&place, &auth);
    std::fs::remove_file(&file).expect("it was read");
    let [mut bearer, mut silent] = ["bearer", "silent"].map(|user| {
        let mut client = crate::knock(server.address("ws"), &format!("?token={}", token(user)));
        assert_eq!(crate::status(&mut client), 101);
        let _welcome = client.hear();
        client
    });
    // A token that has expired does not go on because the backend is down.
    ends(&mut silent, (4105, "the token has expired"));
    // The other one would have ended, too.
    assert_eq!(questions(&mut bearer), 1);
    assert_eq!(known(&mut bearer)["user"], "bearer");
    // A new token of the client's is checked before the backend is asked.
    bearer.say(r#"{"type":"refresh","id":1,"token":"no.to.ken"}"#);
    assert_eq!(heard(&mut bearer)["type"], "error");
    assert_eq!(questions(&mut bearer), 1);
    let text = json!({"type": "refresh", "id": 2, "token": token("bearer")});
    bearer.say(&text.to_string());
    let answer = heard(&mut bearer);
    assert!(answer["expires_ms"].as_u64() > Some(60_000), "{answer}");
    let known = known(&mut bearer);
    assert_eq!(known["questions"][1]["asked"], true, "{known}");
    assert_eq!(known["questions"][1]["token"], Value::Null, "{known}");
}

/// A client of the Centrifuge protocol, and the reply to its first command.
#[track_caller]
fn centrifuge(address: SocketAddr, user: &str) -> (Raw, Value) {
    let mut raw = Raw::connect_at(address);
    let path = format!("/connection/websocket?user={user}");
    raw.send(upgrade_with("").replace("/ws", &path).as_bytes());
    assert_eq!(crate::status(&mut raw), 101);
    raw.say(r#"{"id":1,"connect":{}}"#);
    let reply = heard(&mut raw);
    (raw, reply["connect"].clone())
}

#[test]
fn clients_of_the_centrifuge_protocol_go_on_without_asking() {
    for place in places() {
        let (_backend, server) = asked(&place, "");
        let (mut keep, connected) = centrifuge(server.address("ws"), "keep");
        // Else its SDK would ask for another token.
        assert_eq!(connected["ttl"], Value::Null, "{connected}");
        assert_ne!(connected["expires"], true, "{connected}");
        let (mut drop, _) = centrifuge(server.address("ws"), "drop");
        closed(&mut drop, (3507, "bye"));
        let (mut stands, _) = centrifuge(server.address("ws"), "let");
        let (code, _) = stands.closed();
        assert_eq!(code, 3005);
        wait_until("it is asked about again", || {
            keep.say(r#"{"id":2,"rpc":{"method":"look"}}"#);
            let known = &heard(&mut keep)["rpc"]["data"];
            known["questions"].as_array().expect("a list").len() >= 3
        });
    }
}
