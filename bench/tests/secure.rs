//! Whoever is measured over TLS or compressing, loaded by the real load generator for a moment:
//! every message is verified, and what was agreed on is what the works say. A peer whose tool is
//! not installed is left out.
#![forbid(unsafe_code)]

mod peer;

use peer::{Server, target};
use serde_json::{Value, json};
use shardcast_bench::identity;
use shardcast_bench::prepare::Places;
use shardcast_patience::Program;
use std::path::{Path, PathBuf};
use std::process::Command;

const SUITE: &str = "TLS13_AES_128_GCM_SHA256";

const WORKS: [&str; 5] = [
    "echo --connections 20 --warmup 0s --duration 300ms",
    "echo --connections 5 --payload 16384 --warmup 0s --duration 300ms",
    "broadcast --connections 20 --rate 100 --payload 1024 --content json --warmup 0s --duration 500ms",
    "idle --connections 50 --hold 100ms",
    "churn --connections 5 --rate 40 --warmup 0s --duration 500ms",
];

/// Built by the cargo that runs this test.
fn load_generator() -> PathBuf {
    peer::build(
        Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "shardcast-load"])
            .arg("--target-dir")
            .arg(target())
            .current_dir(env!("CARGO_MANIFEST_DIR")),
    );
    target().join("debug/shardcast-load")
}

fn check(generator: &Path, server: &Server, scheme: &str, work: &str, options: &str) -> Value {
    let ended = Program::start(
        Command::new(generator)
            .args(work.split(' ').chain(options.split_whitespace()))
            .args(["--url", &format!("{scheme}://{}/ws", server.address)])
            .args(["--progress", "none", "--json", "-"]),
    )
    .end();
    let report: Value = serde_json::from_str(&ended.printed).unwrap_or(Value::Null);
    let context = format!("{work} {options}: {} {report}", ended.errors);
    assert_eq!(ended.code, Some(0), "{context}");
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
    identity::write(&places.certificate(), &places.key()).expect("written");
    let [certificate, key] = [places.certificate(), places.key()].map(PathBuf::into_os_string);
    let arguments = ["--tls".into(), certificate, key];
    let generator = load_generator();
    let mut own = Command::new(env!("CARGO_BIN_EXE_raw-server"));
    check_tls(&generator, &Server::start(&mut own, &arguments));
    for name in ["tokio-tungstenite", "bun"] {
        if let Some(mut command) = peer::prepared(name) {
            check_tls(&generator, &Server::start(&mut command, &arguments));
        }
    }
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}

#[test]
fn whoever_is_measured_compressing_compresses() {
    let generator = load_generator();
    let mut own = Command::new(env!("CARGO_BIN_EXE_raw-server"));
    let arguments = ["--compress"];
    check_deflate(&generator, &Server::start(&mut own, &arguments));
    if let Some(mut command) = peer::prepared("bun") {
        check_deflate(&generator, &Server::start(&mut command, &arguments));
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
