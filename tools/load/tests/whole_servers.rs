//! The load tool against the whole servers of `bench/peers`, each through its own protocol. Only those that can start at once take part:
//! a test neither builds nor downloads them (`bench/peers/NAME/start --prepare` does), and says which were left out.

use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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
/// For a server to listen.
const START_MAX: Duration = Duration::from_secs(20);
/// Other people's servers tell nobody when they listen.
const POLL: Duration = Duration::from_millis(10);

/// `prepared`: what its folder below the target folder has, once it was prepared.
fn check(name: &str, protocol: &str, prepared: &str) {
    let Some(server) = Server::start(name, prepared) else {
        eprintln!("left out: {name} is not prepared here");
        return;
    };
    for (scenario, messages) in [
        ("broadcast --rate 100", 1000),
        ("broadcast --rate 100 --burst 10 --publishers 2", 1000),
        ("echo --in-flight 3", 60),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_shardcast-load"))
            .args(scenario.split(' '))
            .args(["--connections", "20", "--warmup", "0s"])
            .args(["--duration", "500ms", "--json", "-"])
            .args(["--protocol", protocol])
            .args(["--url", &format!("ws://{}", server.address)])
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        let context = format!("{name}, {scenario}: {complaint}");
        assert_eq!(output.status.code(), Some(0), "{context}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        for fault in ["lost", "duplicated", "out_of_order", "corrupted"] {
            assert_eq!(report[fault], 0, "{fault}: {context}");
        }
        assert!(report["received"].as_u64() >= Some(messages), "{context}");
    }
}

struct Server {
    child: Child,
    address: SocketAddr,
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
        let mut child = Command::new(peers.join(name).join("start"))
            .args(["--listen", &address.to_string()])
            .env("CARGO_TARGET_DIR", target)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + START_MAX;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = child.try_wait().unwrap() {
                assert_eq!(status.code(), Some(MISSING), "{name} ended: {status}");
                return None;
            }
            assert!(Instant::now() < deadline, "{name} does not listen");
            std::thread::sleep(POLL);
        }
        Some(Server { child, address })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only for one that ended by itself, which its check has noticed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free, and so is the next: some servers take both.
fn free_address() -> SocketAddr {
    loop {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = first.local_addr().unwrap();
        let next = address.port().checked_add(1);
        if next.is_some_and(|next| TcpListener::bind((Ipv4Addr::LOCALHOST, next)).is_ok()) {
            return address;
        }
    }
}
