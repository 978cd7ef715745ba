//! Varnish between the server and its clients: it holds back the beginning of an answer with
//! neither length nor chunks until more of it comes, which on a quiet stream is the next heartbeat.
//! In chunks, events pass as they are said.

use crate::{installed, serve};
use shardcast_patience::{PATIENCE, Program, is_reached_within};
use shardcast_tests::events::{post, status, stream};
use shardcast_tests::{Certificates, Raw};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

/// Where Debian has it: no ordinary user's path holds it.
const VARNISHD: &str = "/usr/sbin/varnishd";

/// A proxy in front of one server, as it comes: no configuration.
struct Varnish {
    _program: Program,
    folder: Folder,
}

impl Varnish {
    #[track_caller]
    fn start(server: SocketAddr) -> Varnish {
        installed::need(VARNISHD, "varnish", &["-V"]);
        let folder = format!("shardcast-varnish-{}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(folder));
        let mut varnishd = Command::new(VARNISHD);
        varnishd
            .args(["-F", "-j", "none", "-a", "127.0.0.1:0"])
            .args(["-b", &server.to_string(), "-n"])
            .arg(&folder.0);
        let program = Program::start(&mut varnishd);
        let started =
            is_reached_within(PATIENCE, || program.errors().contains("said Child starts"));
        assert!(started, "Varnish does not start: {}", program.errors());
        Varnish {
            _program: program,
            folder,
        }
    }

    /// Where it listens.
    #[track_caller]
    fn address(&self) -> SocketAddr {
        let mut ask = Command::new("varnishadm");
        ask.arg("-n")
            .arg(&self.folder.0)
            .arg("debug.listen_address");
        let told = ask.output().expect("varnishadm comes with varnishd").stdout;
        let told = String::from_utf8(told).expect("text");
        let words: Vec<&str> = told.split_whitespace().collect();
        match words[..] {
            [_, address, port, ..] => format!("{address}:{port}").parse().expect("an address"),
            _ => panic!("not an address: {told}"),
        }
    }
}

/// What Varnish keeps on disk. It goes when Varnish has ended.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _left_behind = std::fs::remove_dir_all(&self.0);
    }
}

/// What came of a stream until it holds `wanted`.
#[track_caller]
fn heard_until(raw: &mut Raw, wanted: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(wanted) {
        heard += &String::from_utf8(raw.chunk()).expect("UTF-8");
    }
    heard
}

#[test]
fn varnish_passes_events_on_as_they_are_said() {
    // No heartbeat helps what is held back.
    let quiet = "[timeouts]\nheartbeat = \"1h\"\nidle = \"2h\"\n";
    let served = serve(&Certificates::make(), quiet);
    let varnish = Varnish::start(served.address("ws"));
    let mut raw = Raw::connect_at(varnish.address());
    raw.send(stream("/sse").as_bytes());
    assert_eq!(status(&raw.head()), 200);
    let heard = heard_until(&mut raw, r#"{"type":"welcome","#);
    let token = heard
        .split_once("event: session\ndata: ")
        .map(|(_, rest)| rest);
    let token = token
        .and_then(|rest| rest.split('\n').next())
        .expect("a token");
    let mut poster = Raw::connect_at(varnish.address());
    for id in 1..=3 {
        let message = format!(r#"{{"type":"ping","id":{id}}}"#);
        poster.send(post("/sse", token, &message).as_bytes());
        assert_eq!(status(&poster.answer().0), 204);
        heard_until(&mut raw, &format!(r#"{{"type":"pong","id":{id}}}"#));
    }
}
