//! Varnish between the server and its clients: it holds back the beginning of an answer with neither length nor chunks until more
//! of it comes, which on a quiet stream is the next heartbeat. In chunks, events pass as they are said.

use crate::{installed, serve};
use shardcast_tests::events::{post, status, stream};
use shardcast_tests::{Certificates, Raw};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Where Debian has it: no ordinary user's path holds it.
const VARNISHD: &str = "/usr/sbin/varnishd";

/// A proxy in front of one server, as it comes: no configuration.
struct Varnish {
    program: Child,
    folder: PathBuf,
}

impl Varnish {
    #[track_caller]
    fn start(server: SocketAddr) -> Varnish {
        installed::need(VARNISHD, "varnish", &["-V"]);
        let folder = std::env::temp_dir().join(format!("shardcast-varnish-{}", std::process::id()));
        let program = Command::new(VARNISHD)
            .args(["-F", "-j", "none", "-a", "127.0.0.1:0"])
            .args(["-b", &server.to_string(), "-n"])
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("varnishd starts");
        let mut varnish = Varnish { program, folder };
        let said = BufReader::new(varnish.program.stderr.take().expect("it is piped"));
        let mut heard = String::new();
        for line in said.lines() {
            heard += &line.expect("text");
            if heard.ends_with("said Child starts") {
                return varnish;
            }
        }
        panic!("Varnish does not start: {heard}");
    }

    /// Where it listens.
    #[track_caller]
    fn address(&self) -> SocketAddr {
        let mut ask = Command::new("varnishadm");
        ask.arg("-n").arg(&self.folder).arg("debug.listen_address");
        let told = ask.output().expect("varnishadm comes with varnishd").stdout;
        let told = String::from_utf8(told).expect("text");
        let words: Vec<&str> = told.split_whitespace().collect();
        match words[..] {
            [_, address, port, ..] => format!("{address}:{port}").parse().expect("an address"),
            _ => panic!("not an address: {told}"),
        }
    }
}

impl Drop for Varnish {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
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
