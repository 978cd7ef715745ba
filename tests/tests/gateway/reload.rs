//! What a reload exchanges of a gateway: its secret, and what becomes of events without a backend;
//! and limits of roles, which the backend gives.

use crate::backend::{Place, python};
use crate::{connect, knock, status};
use serde_json::{Value, json};
use shardcast_tests::{Raw, Served};
use std::fs;
use std::path::PathBuf;

const OLD: &str = "the-old-secret-of-tests";
const NEW: &str = "the-new-secret-of-tests";

/// A file with a secret, which goes when it is dropped.
struct SecretFile(PathBuf);

impl SecretFile {
    fn new() -> SecretFile {
        let name = format!("shardcast-gateway-secret-{}", std::process::id());
        let file = SecretFile(std::env::temp_dir().join(name));
        file.write(OLD);
        file
    }

    fn write(&self, secret: &str) {
        fs::write(&self.0, secret).expect("a temporary file");
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_file(&self.0);
    }
}

/// By which secret the call of this client was signed.
#[track_caller]
fn signed_by(client: &mut Raw) -> Value {
    client.say(r#"{"type":"who","id":1}"#);
    let heard: Value = serde_json::from_str(&client.hear()).expect("JSON");
    heard["data"].clone()
}

/// What a reload is answered.
#[track_caller]
fn reloaded(server: &Served, with: u16) -> Value {
    let (status, answer) = server.call("/api/reload", "{}");
    assert_eq!(status, with, "{answer}");
    serde_json::from_str(&answer).expect("JSON")
}

#[test]
fn a_secret_and_what_is_done_without_a_backend_are_exchanged() {
    let place = Place::http();
    let secret = SecretFile::new();
    let configuration = |more: &str| {
        let (url, file) = (place.toml(), secret.0.display());
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nshards = 2\npin = \"none\"\n\
             [gateway]\n{url}\nsecret_file = \"{file}\"\nevents = \"connect,join,rpc\"\n{more}"
        )
    };
    let backend = python("tests/tests/gateway/reload.py", &place, &[]);
    let server = Served::start(env!("CARGO_BIN_EXE_served"), &configuration(""));
    let mut client = connect(server.address("ws"), "ann");
    assert_eq!(signed_by(&mut client), OLD);
    // The file is read again, whatever else has changed.
    secret.write(NEW);
    let nothing = json!({"applied": [], "needs_restart": []});
    assert_eq!(reloaded(&server, 200), nothing);
    assert_eq!(signed_by(&mut client), NEW);
    // One that is too short is none, and nothing changes.
    secret.write("short");
    server.reconfigure(&configuration("when_down = \"open\"\n"));
    let problem = reloaded(&server, 409);
    let why = problem["errors"][0].as_str().expect("a text");
    assert!(why.contains("secret"), "{why}");
    assert_eq!(signed_by(&mut client), NEW);
    drop(backend);
    let refused = |server: &Served| {
        let mut client = knock(server.address("ws"), "?user=bob");
        status(&mut client)
    };
    assert_eq!(refused(&server), 503);
    // What can change does, and the rest is named.
    secret.write(OLD);
    let more = "when_down = \"open\"\nretries = 0\ntimeout = \"7s\"\n";
    server.reconfigure(&configuration(more));
    let expected = json!({
        "applied": ["gateway.retries", "gateway.when_down"],
        "needs_restart": ["gateway.timeout"],
    });
    assert_eq!(reloaded(&server, 200), expected);
    assert_eq!(refused(&server), 101, "let in without a backend");
}

/// Asks so often at once, and hears how often that is too much.
#[track_caller]
fn too_much(client: &mut Raw, times: usize) -> usize {
    for id in 0..times {
        client.say(&json!({"type": "ping", "id": id}).to_string());
    }
    let heard = (0..times).map(|_| client.hear());
    let limited = heard.filter(|answer| answer.contains("rate_limited"));
    limited.count()
}

#[test]
fn roles_come_and_go_by_a_reload() {
    let place = Place::http();
    let configuration = |limits: &str| {
        let url = place.toml();
        format!(
            "{limits}[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nshards = 2\npin = \"none\"\n\
             [gateway]\n{url}\nevents = \"connect\"\n"
        )
    };
    // 2 at once, and then hardly any.
    let role = |name: &str| {
        format!("[roles.{name}]\nmessages_per_second = 1\nmessages_per_second_burst = 2\n")
    };
    // Whoever has used up a role is within this at once.
    let everybody =
        "[limits]\nmessages_per_second = 1000000\nmessages_per_second_burst = 1000000000\n";
    let _backend = python("tests/tests/gateway/reload.py", &place, &[]);
    let of_zed = format!("{everybody}{}", role("zed"));
    let server = Served::start(env!("CARGO_BIN_EXE_served"), &configuration(&of_zed));
    let mut zed = connect(server.address("ws"), "zed");
    let mut ann = connect(server.address("ws"), "ann");
    assert!(too_much(&mut zed, 50) > 0);
    assert_eq!(too_much(&mut ann, 50), 0);
    // A role that sorts before the other comes, and the other stays.
    let both = format!("{of_zed}{}", role("ann"));
    server.reconfigure(&configuration(&both));
    let answer = reloaded(&server, 200);
    let names = answer["applied"].as_array().expect("a list");
    assert!(
        names.contains(&json!("roles.ann.messages_per_second")),
        "{answer}"
    );
    assert_eq!(answer["needs_restart"], json!([]));
    assert!(too_much(&mut zed, 50) > 0, "it has its class still");
    let mut later = connect(server.address("ws"), "ann");
    assert!(too_much(&mut later, 50) > 0, "who comes is limited");
    // The first one goes.
    let of_ann = format!("{everybody}{}", role("ann"));
    server.reconfigure(&configuration(&of_ann));
    assert_eq!(reloaded(&server, 200)["needs_restart"], json!([]));
    assert_eq!(too_much(&mut zed, 50), 0, "as everybody");
    assert!(too_much(&mut later, 50) > 0);
    let mut zed = connect(server.address("ws"), "zed");
    assert_eq!(too_much(&mut zed, 50), 0);
}
