//! Tokens over real sockets, against `shardcast serve` and against programs that embed the server:
//! who is let in as whom, what attackers try, and what the server says of it where. One file a
//! subject; [`signed`] makes the tokens.

#![forbid(unsafe_code)]

mod attacks;
mod commands;
mod embedded;
mod jwks;
mod messages;
mod nowhere;
mod revoked;
mod rooms;
mod sessions;
mod signed;

use shardcast_tests::{Raw, Served, upgrade_with};
use std::net::SocketAddr;

/// A server with this configuration, beside a free port for clients and for operators.
#[track_caller]
fn serve(toml: &str) -> Served {
    let ports =
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nshards = 2\npin = \"none\"\n";
    Served::start(env!("CARGO_BIN_EXE_served"), &format!("{ports}{toml}"))
}

/// The status and the body of the answer to an upgrade with these header lines, on this path.
#[track_caller]
fn asked(address: SocketAddr, path: &str, lines: &str) -> (Raw, String, String) {
    let mut raw = Raw::connect_at(address);
    raw.send(upgrade_with(lines).replace("/ws", path).as_bytes());
    let (head, body) = raw.answer();
    (raw, head, body)
}

/// The status and the reason of a refusal; of a success nothing but 101.
#[track_caller]
fn outcome(address: SocketAddr, path: &str, lines: &str) -> (u16, String) {
    let (_, head, body) = asked(address, path, lines);
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.expect("a status"), body)
}

/// `Authorization` with this token.
fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// Whom the server believes to be at the other end of a socket that has upgraded.
#[track_caller]
fn user_of(mut raw: Raw) -> String {
    let welcome = raw.hear();
    assert!(welcome.contains(r#""type":"welcome""#), "{welcome}");
    raw.say(r#"{"type":"status","id":1}"#);
    let status: serde_json::Value = serde_json::from_str(&raw.hear()).expect("JSON");
    status["user"].as_str().unwrap_or("nobody").to_owned()
}
