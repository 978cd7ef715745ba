//! Sessions that a backend has given an end, as SDKs meet them: those that it has go on are heard
//! of no more, and the others end as SDKs know it.

use super::{Format, Sdk};
use serde_json::json;
use shardcast_patience::Program;
use shardcast_tests::{Served, wait_until};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// The backend of the gateway's own tests, and a server that asks it.
fn start() -> (Program, Served) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("python3");
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONPATH", root.join("../server/examples/gateway"))
        .arg(root.join("tests/gateway/refresh.py"))
        .arg(port.to_string());
    let mut backend = Program::start(&mut command);
    assert_eq!(backend.line().as_deref(), Some("ready\n"));
    let toml = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nshards = 2\npin = \"none\"\n\
         [gateway]\nurl = \"http://127.0.0.1:{port}/\"\nevents = \"connect,refresh,rpc\"\n"
    );
    (backend, Served::start(env!("CARGO_BIN_EXE_served"), &toml))
}

#[track_caller]
fn connected(mut sdk: Sdk, server: &Served, user: &str) -> Sdk {
    let address = server.address("ws");
    let url = format!("ws://{address}/connection/websocket?user={user}");
    sdk.obey("connect", &json!({"url": url, "format": sdk.format.name()}));
    sdk.event("connected");
    sdk
}

#[test]
fn sessions_of_sdks_go_on_or_end() {
    let (_backend, server) = start();
    type Start = fn(Format) -> Sdk;
    for start in [Sdk::node as Start, Sdk::python as Start] {
        let mut keep = connected(start(Format::Json), &server, "keep");
        let mut bytes = connected(start(Format::Protobuf), &server, "keep");
        let mut dropped = connected(start(Format::Json), &server, "drop");
        let mut stands = connected(start(Format::Json), &server, "let");
        // A code after which SDKs stay away.
        assert_eq!(dropped.event("disconnected")["code"], 3507);
        // One after which they come back.
        assert_eq!(stands.event("connecting")["code"], 3005);
        stands.event("connected");
        for sdk in [&mut keep, &mut bytes] {
            wait_until("it was asked about three times", || {
                let call = json!({"method": "look", "data": 1});
                let answer = sdk.obey("rpc", &call);
                let asked = answer["data"]["questions"].as_array();
                asked.expect("a list").len() >= 3
            });
            // It has heard nothing of that: it is on the same connection.
            let same = sdk.obey("state", &json!(null));
            assert_eq!(same["state"], "connected", "{same}");
        }
        for mut sdk in [keep, bytes] {
            sdk.obey("disconnect", &json!(null));
            assert_eq!(sdk.event("disconnected")["code"], 0);
        }
    }
}
