//! Secrets are planted in every place that the server reads them from, tokens in every place that
//! they come by; then all that it puts out is searched: what clients and operators are answered,
//! log, audit log, metrics, the file of its state, what its commands print, and its arguments.

use crate::signed::{Folder, OTHER_SECRET, SECRET, claims, hs256, now, with};
use crate::{asked, bearer, serve};
use serde_json::json;
use shardcast_tests::{Raw, Served, wait_until};
use std::fs;
use std::process::Command;

const OPERATORS: &str = "planted-operators-token-0123456789abcdef";
const PREVIOUS: &str = "planted-previous-secret-0123456789abcdef";

/// A server that has all of them, and its configuration.
fn planted(folder: &Folder) -> (String, Served) {
    let file = |name: &str, content: &str| folder.write(name, content);
    let path = |name: &str| file(name, "");
    let state = file("state", r#"{"bans":[],"revocations":[]}"#);
    let toml = format!(
        "[log]\nlevel = \"trace\"\n[audit]\nfile = \"{}\"\n[admin]\ntoken_file = \"{}\"\nstate_file = \"{state}\"\n\
         [auth]\ntokens = \"optional\"\n[auth.keys.main]\nalgorithm = \"HS256\"\nsecret_file = \"{}\"\n\
         previous_secret_file = \"{}\"\nprevious_until = \"2099-01-01\"\n[auth.keys.other]\nalgorithm = \"HS512\"\nsecret_file = \"{}\"\n",
        path("audit.log"),
        file("operators", OPERATORS),
        file("secret", SECRET),
        file("previous", PREVIOUS),
        file("other", &OTHER_SECRET.repeat(2)),
    );
    let served = serve(&toml);
    (toml, served)
}

/// What an operator's call is answered with; with a token or without.
fn call(served: &Served, line: &str, token: &str, body: &str) -> String {
    let mut raw = Raw::connect_at(served.address("http"));
    let length = body.len();
    let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}");
    let shown = format!("Authorization: Bearer {token}");
    raw.send(format!("{head}\r\n{shown}\r\n\r\n{body}").as_bytes());
    String::from_utf8(raw.rest()).expect("UTF-8")
}

/// Everything that clients are answered who bring these tokens by every way.
fn answers(served: &Served, tokens: &[String]) -> String {
    let address = served.address("ws");
    let mut answers = String::new();
    for token in tokens {
        for (path, lines) in [
            ("/ws".to_owned(), bearer(token)),
            (format!("/ws?token={token}"), String::new()),
            (
                "/ws".to_owned(),
                format!("Cookie: shardcast_token={token}\r\n"),
            ),
            (
                "/ws".to_owned(),
                format!("Sec-WebSocket-Protocol: shardcast.v1, shardcast.token.{token}\r\n"),
            ),
        ] {
            let (_, head, body) = asked(address, &path, &lines);
            answers += &format!("{head}{body}");
        }
        let (mut raw, _, _) = asked(address, "/ws", "");
        answers += &raw.hear();
        for kind in ["auth", "refresh"] {
            raw.say(&json!({"type": kind, "id": 1, "token": token}).to_string());
            answers += &raw.hear();
        }
        raw.say(&json!({"type": "join_room", "id": 2, "room": "a", "token": token}).to_string());
        answers += &raw.hear();
    }
    answers
}

/// What the program prints for these arguments.
fn printed(arguments: &[&str]) -> String {
    let program = Command::new(env!("CARGO_BIN_EXE_served"))
        .args(arguments)
        .output();
    let output = program.expect("it runs");
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn nothing_that_the_server_puts_out_has_a_secret_or_a_token() {
    let folder = Folder::new();
    let (toml, served) = planted(&folder);
    let good = hs256(SECRET, &with("jti", json!("1")));
    let mut expired = claims();
    expired["exp"] = json!(now() - 3_600);
    let tokens = [
        good.clone(),
        hs256(PREVIOUS, &claims()),
        hs256("a secret of a stranger, who guesses", &claims()),
        hs256(SECRET, &expired),
        hs256(SECRET, &with("room", json!("a"))),
        good.replace('.', ".x"),
    ];
    let mut out = vec![("an answer to a client", answers(&served, &tokens))];
    for (line, token, body) in [
        ("GET /metrics", OPERATORS, ""),
        (
            "GET /metrics",
            "planted-operators-token-guessed-0123456",
            "",
        ),
        ("POST /api/ban", OPERATORS, r#"{"user":"eve","for":"1h"}"#),
        ("POST /api/revoke", OPERATORS, r#"{"token":"1"}"#),
        ("POST /api/revoke", OPERATORS, r#"{"token":"#),
        ("GET /nothing", OPERATORS, ""),
    ] {
        out.push(("an answer to an operator", call(&served, line, token, body)));
    }
    served.hang_up();
    wait_until("it has read all again", || {
        served.log().matches("just read").count() >= 2
    });
    let file = |name: &str| folder.read(name);
    wait_until("it is audited", || file("audit.log").contains("reloaded"));
    let arguments = fs::read(format!("/proc/{}/cmdline", served.id())).expect("proc(5)");
    out.push((
        "the arguments",
        String::from_utf8_lossy(&arguments).into_owned(),
    ));
    let ports = "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n";
    let configuration = folder.write("shardcast.toml", &format!("{ports}{toml}"));
    out.push((
        "check-config",
        printed(&["check-config", "--config", &configuration]),
    ));
    for token in &tokens {
        let checked = printed(&["check-token", token, "--config", &configuration]);
        out.push(("check-token", checked));
    }
    // What cannot be used is told, and not shown.
    folder.write("secret", "planted-short");
    folder.write("operators", "planted-operators");
    for command in ["check-config", "serve"] {
        out.push((command, printed(&[command, "--config", &configuration])));
    }
    served.hang_up();
    wait_until("it keeps what it had", || {
        served.log().matches("as it is").count() >= 1
    });
    out.push(("the audit log", file("audit.log")));
    out.push(("the state", file("state")));
    served.terminate();
    out.push(("the log", served.end().1));
    has_none(&out, &tokens);
}

/// Searches for what was planted, and for the parts of tokens.
#[track_caller]
fn has_none(out: &[(&str, String)], tokens: &[String]) {
    let parts = tokens.iter().flat_map(|token| token.split('.').skip(1));
    // Headers and the claims of no interest are the same for everybody.
    let parts = parts.filter(|part| part.len() > 20);
    let words = ["planted", OTHER_SECRET, "a secret of a stranger"].into_iter();
    let words: Vec<&str> = words.chain(parts).collect();
    for (place, text) in out {
        assert!(!text.is_empty(), "{place} says nothing");
        for word in &words {
            assert!(!text.contains(word), "{word} is in {place}: {text}");
        }
    }
}
