//! The load tool against the whole servers of `bench/peers`, each through its own protocol. Only
//! servers that can start at once take part: a test neither builds nor downloads them
//! (`bench/peers/NAME/start --prepare` does), and names those that were left out. Where nothing may
//! be left out, that is an error for all but sockudo, which takes longer to build than all tests.

mod tool;

use shardcast_patience::{leave_out, say_left_out, wait_until};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use tool::{run, tool};

#[test]
fn nats_server() {
    check("nats", "nats", "");
}

#[test]
fn nchan_on_nginx() {
    check("nchan", "nchan", "");
}

#[test]
fn socket_io_on_node() {
    check("socketio-node", "socketio", "node_modules");
}

#[test]
fn socket_io_on_bun() {
    check("socketio-bun", "socketio", "node_modules");
}

#[test]
fn sockudo() {
    check("sockudo", "pusher", "bin/sockudo");
}

/// How a `start` says that something is missing (EX_UNAVAILABLE of sysexits.h).
const MISSING: i32 = 69;
/// Of what a server complained about, shown with a failure.
const LOG_LINES_MAX: usize = 10;

/// `prepared`: what its folder below the target folder has, once it was prepared.
fn check(name: &str, protocol: &str, prepared: &str) {
    let Some(mut server) = Server::start(name, prepared) else {
        let what = format!("{name} is not prepared here");
        return match name {
            "sockudo" => say_left_out(&what),
            _ => leave_out(&what),
        };
    };
    for (scenario, messages) in [
        ("broadcast --rate 100", 1000),
        ("broadcast --rate 100 --burst 10 --publishers 2", 1000),
        ("echo --in-flight 3", 60),
    ] {
        let outcome = run(tool()
            .args(scenario.split(' '))
            .args(["--connections", "20", "--warmup", "0s"])
            .args(["--duration", "500ms", "--json", "-"])
            .args(["--protocol", protocol])
            .args(["--url", &format!("ws://{}", server.address)]));
        let (said, state) = (outcome.complaint, server.state());
        let context = format!("{name}, {scenario}: {said}; {state}");
        assert_eq!(outcome.code, Some(0), "{context}");
        let report = outcome.report;
        for fault in ["lost", "duplicated", "out_of_order", "corrupted"] {
            assert_eq!(report[fault], 0, "{fault}: {context}");
        }
        assert!(report["received"].as_u64() >= Some(messages), "{context}");
    }
}

struct Server {
    child: Child,
    address: SocketAddr,
    /// What it complains about.
    log: PathBuf,
}

impl Server {
    /// `None`: something is missing.
    fn start(name: &str, prepared: &str) -> Option<Server> {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        if !target.join("peers").join(name).join(prepared).exists() && !prepared.is_empty() {
            return None;
        }
        let peers = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../bench/peers");
        let address = free_address();
        let file = format!("shardcast-whole-{name}-{}.log", address.port());
        let log = std::env::temp_dir().join(file);
        let child = Command::new(peers.join(name).join("start"))
            .args(["--listen", &address.to_string()])
            .env("CARGO_TARGET_DIR", target)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut server = Server {
            child,
            address,
            log,
        };
        let mut ended = None;
        wait_until(&format!("{name} listens"), || {
            ended = server.child.try_wait().unwrap();
            ended.is_some() || TcpStream::connect(address).is_ok()
        });
        if let Some(status) = ended {
            assert_eq!(status.code(), Some(MISSING), "{name}: {}", server.state());
            return None;
        }
        Some(server)
    }

    /// Whether it runs, and the end of what it complained about.
    fn state(&mut self) -> String {
        let ended = self.child.try_wait().unwrap();
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(LOG_LINES_MAX).collect();
        let state = ended.map_or("it runs".to_owned(), |status| format!("it ended: {status}"));
        format!("the server: {state}; its last complaints, newest first: {last:?}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only for one that ended by itself, which its check has noticed.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.log);
    }
}

/// Below any range that connecting sockets are given ports from, so that no other test takes one
/// between the look and the server's start. `bench` uses those below.
const PORTS: Range<u16> = 9_700..9_900;

/// A port that is free, and so is the next: some servers take both. No two calls return the same.
fn free_address() -> SocketAddr {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let pairs = PORTS.len() as u32 / 2;
    for _ in 0..pairs {
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        let pair = std::process::id().wrapping_add(tried) % pairs;
        let port = PORTS.start + pair as u16 * 2;
        let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if is_free(port) && is_free(port + 1) {
            return (Ipv4Addr::LOCALHOST, port).into();
        }
    }
    panic!("no free port in {PORTS:?}");
}
