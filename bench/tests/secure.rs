//! Whoever is measured over TLS or compressing, loaded by the real load generator for a moment: every message is verified, and what was agreed on
//! is what the works say. A peer whose tool is not installed is left out.
#![forbid(unsafe_code)]

use serde_json::{Value, json};
use shardcast_bench::identity;
use shardcast_bench::prepare::Places;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How a peer's script says that it misses a tool.
const EXIT_MISSING: i32 = 69;
const SUITE: &str = "TLS13_AES_128_GCM_SHA256";

const WORKS: [&str; 5] = [
    "echo --connections 20 --warmup 0s --duration 300ms",
    "echo --connections 5 --payload 16384 --warmup 0s --duration 300ms",
    "broadcast --connections 20 --rate 100 --payload 1024 --content json --warmup 0s --duration 500ms",
    "idle --connections 50 --hold 100ms",
    "churn --connections 5 --rate 40 --warmup 0s --duration 500ms",
];

/// Ends with the value.
struct Server(Child, String);

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only for one that ended by itself, which a check has noticed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    fn start(mut command: Command, arguments: &[OsString]) -> Server {
        let mut child = command
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .env("PEER_PROFILE", "dev")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = child.stdout.take().expect("piped");
        let line = BufReader::new(output).lines().next();
        let line = line.expect("a line").expect("text");
        // As in "NAME listens on 127.0.0.1:40123, one thread".
        let (_, rest) = line.split_once("listens on ").expect("an address");
        let address = rest.split(',').next().unwrap_or(rest).trim().to_owned();
        Server(child, address)
    }
}

/// The folder that holds `debug`.
fn target() -> PathBuf {
    let server = Path::new(env!("CARGO_BIN_EXE_raw-server"));
    server.ancestors().nth(2).expect("a folder").to_owned()
}

/// Built by the cargo that runs this test.
fn load_generator() -> PathBuf {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "shardcast-load"])
        .arg("--target-dir")
        .arg(target())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(status.expect("cargo runs").success());
    target().join("debug/shardcast-load")
}

fn check(generator: &Path, server: &Server, scheme: &str, work: &str, options: &str) -> Value {
    let output = Command::new(generator)
        .args(work.split(' ').chain(options.split_whitespace()))
        .args(["--url", &format!("{scheme}://{}/ws", server.1)])
        .args(["--progress", "none", "--json", "-"])
        .output()
        .expect("it runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    let context = format!("{work} {options}: {complaint} {report}");
    assert_eq!(output.status.code(), Some(0), "{context}");
    assert_eq!(report["errors"], json!({}), "{context}");
    report
}

fn check_tls(generator: &Path, server: &Server) {
    for resume in ["", "--tls-resume"] {
        for work in WORKS {
            let options = format!("--insecure --tls-suite {SUITE} {resume}");
            let report = check(generator, server, "wss", work, &options);
            let agreed = report["tls"].as_object().expect("a table");
            let of = |kind: &str| {
                let words = format!("TLS 1.3, {SUITE}, X25519, {kind}");
                agreed.get(&words).and_then(Value::as_u64).unwrap_or(0)
            };
            let (whole, resumed) = (of("whole handshake"), of("resumed"));
            let all: u64 = agreed.values().filter_map(Value::as_u64).sum();
            assert_eq!(whole + resumed, all, "{agreed:?}");
            let resumes = !resume.is_empty() && work.starts_with("churn");
            assert_eq!(resumed > 0, resumes, "{work}: {agreed:?}");
        }
    }
}

fn script(name: &str) -> Option<PathBuf> {
    let start = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(name)
        .join("start");
    let prepared = Command::new(&start)
        .arg("--prepare")
        .env("PEER_PROFILE", "dev")
        .env("CARGO_TARGET_DIR", target())
        .status()
        .expect("the script runs");
    if prepared.code() == Some(EXIT_MISSING) {
        return None;
    }
    assert!(prepared.success(), "{name}: {prepared}");
    Some(start)
}

#[test]
fn whoever_is_measured_over_tls_speaks_it() {
    let folder = std::env::temp_dir().join(format!("shardcast-secure-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let places = Places {
        repository: folder.clone(),
        target: folder.clone(),
        floor: None,
        against: None,
    };
    identity::write(&places).expect("written");
    let [certificate, key] = [places.certificate(), places.key()].map(PathBuf::into_os_string);
    let arguments = ["--tls".into(), certificate, key];
    let generator = load_generator();
    let own = Command::new(env!("CARGO_BIN_EXE_raw-server"));
    check_tls(&generator, &Server::start(own, &arguments));
    for peer in ["tokio-tungstenite", "bun"] {
        if let Some(start) = script(peer) {
            let mut command = Command::new(start);
            command.env("CARGO_TARGET_DIR", target());
            check_tls(&generator, &Server::start(command, &arguments));
        }
    }
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}

#[test]
fn whoever_is_measured_compressing_compresses() {
    let generator = load_generator();
    let own = Command::new(env!("CARGO_BIN_EXE_raw-server"));
    let arguments = ["--compress".into()];
    check_deflate(&generator, &Server::start(own, &arguments));
    if let Some(start) = script("bun") {
        let mut command = Command::new(start);
        command.env("CARGO_TARGET_DIR", target());
        check_deflate(&generator, &Server::start(command, &arguments));
    }
}

fn check_deflate(generator: &Path, server: &Server) {
    for work in WORKS {
        check(generator, server, "ws", work, "");
        let report = check(generator, server, "ws", work, "--compress");
        if work.contains("json") {
            let received = &report["compressed"]["received"];
            assert_eq!(received["compressed"], received["messages"], "{received}");
            let ratio = received["ratio"].as_f64().expect("a number");
            assert!((1.7..3.0).contains(&ratio), "{ratio}");
        }
    }
}
