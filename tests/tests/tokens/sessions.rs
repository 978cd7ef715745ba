//! Sessions whose clients prove who they are by tokens: a session brings back what a token gave, to
//! the same user alone, for as long as that token lasts.

use crate::messages::Talker;
use crate::signed::{SECRET, hs256, now, with};
use serde_json::{Value, json};
use shardcast::namespace::{Namespace, Namespaces, Who};
use shardcast::{App, Auth, KeyMaterial, SessionOptions, TokenAlgorithm, TokenKey, TokenRules};
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::{Server, config};
use std::time::Duration;

/// Who has no token is nobody; users alone may enter `staff`.
fn server() -> Server {
    let key = TokenKey::new(
        "a",
        TokenAlgorithm::Hs256,
        KeyMaterial::Secret(SECRET.as_bytes()),
    );
    let rules = TokenRules {
        leeway: Duration::ZERO,
        ..TokenRules::default()
    };
    let auth = Auth::optional([key.expect("a key")]).expect("one");
    let staff = Namespace {
        join: Who::Users,
        ..Namespace::default()
    };
    let namespaces = Namespaces::new(Namespace::default(), [("staff", staff)]).expect("one");
    let app = App::new()
        .auth(auth.rules(rules))
        .namespaces(namespaces)
        .sessions(SessionOptions {
            resume: Some(Duration::from_secs(60)),
            ..SessionOptions::default()
        });
    Server::of(app, config(2)).0
}

const DIALECTS: [Dialect; 2] = [Dialect::NativeJson, Dialect::JsonRpc];

fn token_of(user: &str, seconds: u64) -> String {
    let mut claims = with("exp", json!(now() + seconds));
    claims["sub"] = user.into();
    hs256(SECRET, &claims)
}

/// Somebody with a session, in a room of users; and what the session's token is.
#[track_caller]
fn somebody(server: &Server, dialect: Dialect, token: &str) -> (Talker, String) {
    let (mut talker, welcome) = Talker::welcomed(server, dialect);
    talker.ask("auth", json!({ "token": token }));
    let joined = talker.ask("join_room", json!({"room": "staff:a"}));
    assert_eq!(joined["room"], "staff:a", "{joined}");
    let resume = welcome["resume"].as_str().expect("a token");
    (talker, resume.to_owned())
}

#[track_caller]
fn resume(talker: &mut Talker, token: &str) -> Value {
    talker.ask("resume", json!({ "token": token }))
}

#[test]
fn a_session_brings_back_who_its_token_proved() {
    let server = server();
    for dialect in DIALECTS {
        let (ann, session) = somebody(&server, dialect, &token_of("ann", 600));
        drop(ann);
        // The new connection shows no token of its own.
        let (mut ann, _) = Talker::welcomed(&server, dialect);
        let refused = ann.ask("join_room", json!({"room": "staff:b"}));
        assert_eq!(refused["code"], "unauthorized", "{refused}");
        let resumed = resume(&mut ann, &session);
        assert_eq!(resumed["user"], "ann", "{resumed}");
        assert_eq!(ann.ask("rooms", json!({}))["rooms"], json!(["staff:a"]));
        let joined = ann.ask("join_room", json!({"room": "staff:b"}));
        assert_eq!(joined["room"], "staff:b", "{joined}");
    }
}

#[test]
fn a_session_is_nobody_elses() {
    let server = server();
    for dialect in DIALECTS {
        let (ann, session) = somebody(&server, dialect, &token_of("ann", 600));
        drop(ann);
        let (mut bob, _) = Talker::welcomed(&server, dialect);
        bob.ask("auth", json!({"token": token_of("bob", 600)}));
        assert_eq!(resume(&mut bob, &session)["code"], "no_session");
        assert_eq!(bob.ask("rooms", json!({}))["rooms"], json!([]));
        // It is still ann's.
        let (mut ann, _) = Talker::welcomed(&server, dialect);
        ann.ask("auth", json!({"token": token_of("ann", 600)}));
        assert_eq!(resume(&mut ann, &session)["user"], "ann");
    }
}

/// A token that is over gives nobody back; the session waits for who proves anew to be its user.
#[test]
fn a_session_does_not_outlast_its_token() {
    let server = server();
    for dialect in DIALECTS {
        let (ann, session) = somebody(&server, dialect, &token_of("ann", 2));
        drop(ann);
        // Until the token is over: the clock of tokens has whole seconds.
        let (mut watch, _) = Talker::welcomed(&server, dialect);
        watch.ask("auth", json!({"token": token_of("watch", 4)}));
        assert_eq!(watch.client.closed().0, 4105);
        let (mut nobody, _) = Talker::welcomed(&server, dialect);
        assert_eq!(resume(&mut nobody, &session)["code"], "no_session");
        let (mut ann, _) = Talker::welcomed(&server, dialect);
        ann.ask("auth", json!({"token": token_of("ann", 600)}));
        let resumed = resume(&mut ann, &session);
        assert_eq!(resumed["user"], "ann", "{resumed}");
        assert_eq!(ann.ask("rooms", json!({}))["rooms"], json!(["staff:a"]));
    }
}

/// The time of the token goes on with the session: the new connection ends when it does.
#[test]
fn the_new_connection_ends_with_the_old_token() {
    let server = server();
    for dialect in DIALECTS {
        let (ann, session) = somebody(&server, dialect, &token_of("ann", 3));
        drop(ann);
        let (mut ann, _) = Talker::welcomed(&server, dialect);
        let resumed = resume(&mut ann, &session);
        // A machine that is too slow has missed the token's time, which the test above is about.
        if resumed["user"] == "ann" {
            let (code, reason) = ann.client.closed();
            assert_eq!((code, &*reason), (4105, "the token has expired"));
        } else {
            assert_eq!(resumed["code"], "no_session", "{resumed}");
        }
    }
}
