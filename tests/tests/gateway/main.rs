//! A backend behind `shardcast serve` decides what clients may do: the examples in Python and Node
//! by their promises, a chat of 1,000 clients whose backend is killed again and again, and backends
//! that are slow, dead or liars.

#![forbid(unsafe_code)]

mod backend;
mod chat;
mod examples;
mod faults;
mod maps;
mod notices;
mod orders;
mod refresh;
mod reload;
mod traced;

use backend::Place;
use shardcast_tests::{Raw, Served, upgrade_with};
use std::net::SocketAddr;

/// A server whose backend is there, and more configuration for its section.
#[track_caller]
fn serve(place: &Place, gateway: &str) -> Served {
    let ports =
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nshards = 2\npin = \"none\"\n";
    let toml = format!("{ports}[gateway]\n{}\n{gateway}", place.toml());
    Served::start(env!("CARGO_BIN_EXE_served"), &toml)
}

/// Asks to connect, as this user.
#[track_caller]
fn knock(address: SocketAddr, query: &str) -> Raw {
    let mut raw = Raw::connect_at(address);
    raw.send(
        upgrade_with("")
            .replace("/ws", &format!("/ws{query}"))
            .as_bytes(),
    );
    raw
}

/// The status of the answer.
#[track_caller]
fn status(raw: &mut Raw) -> u16 {
    let (head, _) = raw.answer();
    let status = head.split(' ').nth(1);
    status
        .and_then(|status| status.parse().ok())
        .expect("a status")
}

/// Connects as this user, and hears the welcome.
#[track_caller]
fn connect(address: SocketAddr, user: &str) -> Raw {
    let mut raw = knock(address, &format!("?user={user}"));
    assert_eq!(status(&mut raw), 101);
    let welcome = raw.hear();
    assert!(welcome.contains(r#""type":"welcome""#), "{welcome}");
    raw
}

/// A sample of `/metrics`.
#[track_caller]
fn sample(server: &Served, name: &str) -> u64 {
    let (_, text) = server.ask("/metrics");
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.unwrap_or_else(|| panic!("no {name} in {text}"));
    value.parse().expect("a whole number")
}

/// Calls of the gateway that ended so.
#[track_caller]
fn calls(server: &Served, event: &str, outcome: &str) -> u64 {
    let labels = format!("event=\"{event}\",outcome=\"{outcome}\"");
    sample(
        server,
        &format!("shardcast_gateway_calls_total{{{labels}}}"),
    )
}
