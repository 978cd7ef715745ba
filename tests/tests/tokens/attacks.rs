//! What attackers send instead of a token, by every way in, and whether anything of a secret or of
//! a token ever comes out.

use crate::signed::{Folder, OTHER_SECRET, SECRET, claims, es256, es256_pair, hs256, now, with};
use crate::{asked, bearer, outcome, serve, user_of};
use serde_json::json;
use shardcast_tests::{PATIENCE, Served, is_reached_within};
use std::fs;

/// A server that takes tokens of a secret and of a pair of keys.
fn guarded(folder: &Folder, pair: &rcgen::KeyPair) -> Served {
    let secret = folder.write("secret", &format!("{SECRET}\n"));
    let public = folder.write("public.pem", &pair.public_key_pem());
    serve(&format!(
        "[auth]\ntokens = \"required\"\nsources = \"header,query,subprotocol,cookie\"\naudience = \"chat\"\nissuer = \"us\"\n\
         [auth.keys.shared]\nalgorithm = \"HS256\"\nsecret_file = \"{secret}\"\n\
         [auth.keys.public]\nalgorithm = \"ES256\"\npublic_key = \"{public}\"\n"
    ))
}

fn good() -> serde_json::Value {
    let mut claims = claims();
    claims["aud"] = json!("chat");
    claims["iss"] = json!("us");
    claims
}

fn good_but(name: &str, value: serde_json::Value) -> serde_json::Value {
    let mut claims = good();
    claims[name] = value;
    claims
}

/// A fault, the token that has it, and what the client is told.
type Row = (&'static str, String, &'static str);

fn table(pair: &rcgen::KeyPair) -> Vec<Row> {
    let mut rows = bad_signatures(pair);
    rows.extend(bad_claims(pair));
    for (fault, token, told) in [
        ("giant", "x".repeat(8_000), "too long"),
        ("no token", "hello".into(), "malformed"),
        ("dots", "..".into(), "malformed"),
    ] {
        rows.push((fault, token, told));
    }
    rows
}

fn bad_signatures(pair: &rcgen::KeyPair) -> Vec<Row> {
    const WRONG: &str = "signature is wrong";
    let good_hs = hs256(SECRET, &good());
    let (signed, _) = good_hs.rsplit_once('.').expect("three parts");
    let (_, claims) = signed.split_once('.').expect("two parts");
    // {"alg":"none","typ":"JWT"}
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.");
    let public = pair.public_key_pem();
    vec![
        ("no signature", format!("{signed}."), WRONG),
        ("algorithm none", none, "algorithm is not that of its key"),
        ("another secret", hs256(OTHER_SECRET, &good()), WRONG),
        ("the public key as a secret", hs256(&public, &good()), WRONG),
        ("another pair", es256(&es256_pair(), None, &good()), WRONG),
    ]
}

fn bad_claims(pair: &rcgen::KeyPair) -> Vec<Row> {
    let but = |name: &str, value| hs256(SECRET, &good_but(name, value));
    let past = es256(pair, None, &good_but("exp", json!(now() - 60)));
    vec![
        ("expired", but("exp", json!(now() - 60)), "has expired"),
        ("expired, public", past, "has expired"),
        ("endless", but("exp", json!(null)), "lacks the claim exp"),
        (
            "odd end",
            but("exp", json!("never")),
            "claim exp is malformed",
        ),
        (
            "future",
            but("nbf", json!(now() + 600)),
            "nbf is in the future",
        ),
        (
            "tomorrow's",
            but("iat", json!(now() + 86_400)),
            "iat is in the future",
        ),
        ("audience", but("aud", json!("mail")), "another audience"),
        (
            "no audience",
            but("aud", json!(null)),
            "lacks the claim aud",
        ),
        (
            "issuer",
            but("iss", json!("them")),
            "issuer is not accepted",
        ),
        ("a room's token", but("room", json!("r")), "another purpose"),
    ]
}

#[test]
fn whoever_brings_a_bad_token_is_refused_with_the_rule_that_it_breaks() {
    let (folder, pair) = (Folder::new(), es256_pair());
    let served = guarded(&folder, &pair);
    let address = served.address("ws");
    for (fault, token, told) in table(&pair) {
        for (path, lines) in [
            ("/ws".to_owned(), bearer(&token)),
            (format!("/ws?token={token}"), String::new()),
            (
                "/ws".to_owned(),
                format!("Cookie: a=b; shardcast_token={token}\r\n"),
            ),
            (
                "/ws".to_owned(),
                format!("Sec-WebSocket-Protocol: shardcast.v1, shardcast.token.{token}\r\n"),
            ),
        ] {
            let (status, reason) = outcome(address, &path, &lines);
            assert_eq!(status, 401, "{fault}: {reason}");
            assert!(reason.contains(told), "{fault}: {reason}");
        }
    }
    for (path, lines, told) in [
        ("/ws", String::new(), "a token is required"),
        ("/ws?token=", String::new(), "a token is required"),
        (
            "/ws",
            "Authorization: Basic YTpi\r\n".to_owned(),
            "a token is required",
        ),
        ("/ws?token=a&token=b", String::new(), "two tokens"),
        ("/ws", bearer("a") + &bearer("b"), "two tokens"),
    ] {
        let (status, reason) = outcome(address, path, &lines);
        assert_eq!((status, reason.contains(told)), (401, true), "{reason}");
    }
    let token = hs256(SECRET, &good());
    let (raw, head, _) = asked(address, "/ws", &bearer(&token));
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(user_of(raw), "ann");
}

#[test]
fn every_way_in_is_taken_and_never_answered_with_the_token() {
    let (folder, pair) = (Folder::new(), es256_pair());
    let served = guarded(&folder, &pair);
    let address = served.address("ws");
    for token in [hs256(SECRET, &good()), es256(&pair, None, &good())] {
        for (path, lines) in [
            ("/ws".to_owned(), bearer(&token)),
            (format!("/ws?token={token}"), String::new()),
            (
                "/ws".to_owned(),
                format!("Cookie: shardcast_token={token}\r\n"),
            ),
            (
                "/ws".to_owned(),
                format!("Sec-WebSocket-Protocol: shardcast.token.{token}, shardcast.v1\r\n"),
            ),
        ] {
            let (raw, head, _) = asked(address, &path, &lines);
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            assert!(!head.contains(&token), "{head}");
            assert_eq!(
                head.contains("shardcast.v1"),
                lines.contains("Protocol"),
                "{head}"
            );
            assert_eq!(user_of(raw), "ann");
        }
    }
}

#[test]
fn a_connection_ends_with_its_token() {
    let folder = Folder::new();
    let secret = folder.write("secret", SECRET);
    let served = serve(&format!(
        "[auth]\ntokens = \"optional\"\nleeway = \"0s\"\n\
         [auth.keys.shared]\nalgorithm = \"HS256\"\nsecret_file = \"{secret}\"\n"
    ));
    let token = hs256(SECRET, &with("exp", json!(now() + 3)));
    let (mut raw, _, _) = asked(served.address("ws"), "/ws", &bearer(&token));
    let (mut nobody, _, _) = asked(served.address("ws"), "/ws", "");
    raw.hear();
    assert_eq!(raw.closed(), (4105, "the token has expired".to_owned()));
    assert_eq!(outcome(served.address("ws"), "/ws", &bearer(&token)).0, 401);
    // Who came without one stays.
    nobody.hear();
    nobody.say(r#"{"type":"ping","id":1}"#);
    assert_eq!(nobody.hear(), r#"{"type":"pong","id":1}"#);
}

#[test]
fn keys_are_exchanged_while_the_server_runs() {
    let folder = Folder::new();
    let secret = folder.write("secret", SECRET);
    let served = serve(&format!(
        "[auth]\ntokens = \"required\"\n[auth.keys.shared]\nsecret_file = \"{secret}\"\n"
    ));
    let address = served.address("ws");
    let is_taken = |secret: &str| outcome(address, "/ws", &bearer(&hs256(secret, &claims()))).0;
    assert_eq!((is_taken(SECRET), is_taken(OTHER_SECRET)), (101, 401));
    // A file that cannot be used changes nothing.
    folder.write("secret", "short");
    served.hang_up();
    let stays = "the keys of tokens stay as they are";
    assert!(is_reached_within(PATIENCE, || served.log().contains(stays)));
    assert_eq!((is_taken(SECRET), is_taken(OTHER_SECRET)), (101, 401));
    folder.write("secret", OTHER_SECRET);
    served.hang_up();
    assert!(is_reached_within(PATIENCE, || is_taken(OTHER_SECRET) == 101));
    assert_eq!(is_taken(SECRET), 401);
}

#[test]
fn neither_a_secret_nor_a_token_comes_out() {
    let (folder, pair) = (Folder::new(), es256_pair());
    let served = guarded(&folder, &pair);
    let address = served.address("ws");
    let good = hs256(SECRET, &good());
    let mut tokens: Vec<String> = table(&pair)
        .into_iter()
        .map(|(_, token, _)| token)
        .collect();
    tokens.push(good);
    let mut answers = String::new();
    for token in &tokens {
        for (path, lines) in [
            ("/ws".to_owned(), bearer(token)),
            (format!("/ws?token={token}"), String::new()),
        ] {
            let (_, head, body) = asked(address, &path, &lines);
            answers += &format!("{head}{body}");
        }
    }
    let (_, metrics) = served.ask("/metrics");
    assert!(
        metrics.contains(r#"shardcast_tokens_total{result="bad_signature"}"#),
        "{metrics}"
    );
    let read = |file: &str| fs::read(format!("/proc/{}/{file}", served.id())).expect("it lives");
    let arguments = String::from_utf8_lossy(&read("cmdline")).into_owned();
    let environment = String::from_utf8_lossy(&read("environ")).into_owned();
    served.terminate();
    let (_, log) = served.end();
    for (place, text) in [
        ("an answer", &answers),
        ("the metrics", &metrics),
        ("the arguments", &arguments),
        ("the environment", &environment),
        ("the log", &log),
    ] {
        assert!(!text.contains(SECRET), "the secret is in {place}: {text}");
        for token in tokens.iter().filter(|token| token.len() > 20) {
            assert!(
                !text.contains(token.as_str()),
                "a token is in {place}: {text}"
            );
        }
    }
}
