//! The program serving: its ready line, its admin port, its signals and its exit codes, over real
//! sockets.

use shardcast_patience::{Ended, PATIENCE, Program, wait_until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

/// A running server on ports of its own. Dropping it kills it.
struct Server {
    program: Program,
    ready: String,
    clients: SocketAddr,
    admin: SocketAddr,
}

impl Server {
    fn start(arguments: &[&str]) -> Server {
        // Small, for several run at once; the last assignment of a key decides.
        let base = "serve --listen 127.0.0.1:0 --admin 127.0.0.1:0 --shards 2 --set limits.max_connections=100";
        let base: Vec<_> = base.split(' ').collect();
        let mut program = Program::start(&mut program(&[&base[..], arguments].concat()));
        let ready = program.line().unwrap_or_default();
        let address = |before: &str, after: &str| {
            let rest = ready
                .split_once(before)
                .and_then(|(_, rest)| rest.split_once(after));
            rest.and_then(|(address, _)| address.parse().ok())
                .unwrap_or_else(|| panic!("no address in the ready line {ready:?}"))
        };
        let (clients, admin) = (address("ws://", "/ws,"), address("admin http://", ", "));
        Server {
            program,
            ready,
            clients,
            admin,
        }
    }

    fn signal(&self, name: &str) {
        self.program.signal(name);
    }

    /// Waits for the end, which the caller has brought about. Printed is what comes after the ready
    /// line.
    fn end(self) -> Ended {
        self.program.end()
    }

    /// The status and the body that the admin port answers.
    fn ask(&self, path: &str) -> (u16, String) {
        let mut socket = connect(self.admin);
        write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            body.to_owned(),
        )
    }

    /// A client that is welcomed, and reads and answers nothing from then on.
    fn client(&self) -> TcpStream {
        let mut socket = connect(self.clients);
        let head = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        socket.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // The welcome is the first frame, and the only thing with an "ms" in it.
        while !String::from_utf8_lossy(&answer).contains("\"heartbeat_ms\"") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            answer.extend_from_slice(&byte);
        }
        assert!(
            answer.starts_with(b"HTTP/1.1 101 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        socket
    }
}

/// The program with no `SHARDCAST_` variable of whoever runs the tests.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardcast"));
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SHARDCAST_"))
    {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[test]
fn one_line_says_that_it_is_ready_and_a_signal_ends_it_with_0() {
    for signal in ["TERM", "INT"] {
        let server = Server::start(&[
            "--set",
            "limits.max_connections=500",
            "--set",
            "limits.max_message_bytes=8KiB",
        ]);
        let rings = server
            .ready
            .split("rings up to ")
            .nth(1)
            .and_then(|rest| rest.split(',').next())
            .unwrap()
            .parse::<usize>()
            .unwrap();
        assert!(rings >= 2, "a ring for each shard: {}", server.ready);
        let want = format!(
            "shardcast 0.1.0 ready: clients ws://{}/ws, admin http://{}, shards 2, driver uring, rings up to {rings}, connections up to 500, messages up to 8192 bytes\n",
            server.clients, server.admin
        );
        assert_eq!(server.ready, want);
        server.signal(signal);
        let end = server.end();
        assert_eq!(
            (end.code, end.printed.as_str()),
            (Some(0), ""),
            "{}",
            end.errors
        );
        assert!(
            end.errors.contains("every client has left"),
            "{}",
            end.errors
        );
    }
}

#[test]
fn the_admin_port_answers() {
    let server = Server::start(&[]);
    assert_eq!(
        server.ask("/health"),
        (200, r#"{"status":"ok"}"#.to_owned())
    );
    assert_eq!(
        server.ask("/ready"),
        (200, r#"{"status":"ready"}"#.to_owned())
    );
    let (status, problem) = server.ask("/api/nothing");
    let problem: serde_json::Value = serde_json::from_str(&problem).expect("a problem");
    assert_eq!((status, &problem["title"]), (404, &"Not Found".into()));
}

#[test]
fn probes_are_answered_however_many_hold_the_admin_port() {
    /// A liveness probe gives up sooner. Who waits for places that are held for 10 s each gets none
    /// in this time.
    const PROBE_PATIENCE: Duration = Duration::from_secs(7);
    let server = Server::start(&[]);
    let probe = |path: &str| {
        let mut socket = connect(server.admin);
        socket.set_read_timeout(Some(PROBE_PATIENCE)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    };
    let hold = |said: &str| {
        let mut socket = connect(server.admin);
        socket.write_all(said.as_bytes()).unwrap();
        socket
    };
    let silent = "";
    let begun = "GET /health HTTP/1.1\r\nHost: a\r\n";
    let unread = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let kept_alive = "GET /health HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    let mut held = Vec::new();
    for (kinds, holders) in [
        (&[silent, begun][..], 190),
        (&[silent, begun, unread, kept_alive], 610),
    ] {
        held.extend(kinds.iter().cycle().take(holders).map(|said| hold(said)));
        for said in kinds.iter().cycle().take(20) {
            probe("/health");
            probe("/ready");
            held.push(hold(said));
        }
    }
}

#[test]
fn the_metrics_count_a_client_on_its_shard() {
    let server = Server::start(&[]);
    let _client = server.client();
    let (status, text) = server.ask("/metrics");
    let sum = |name: &str| -> u64 {
        let samples = text
            .lines()
            .filter(|line| line.starts_with(&format!("{name}{{shard=")));
        samples
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    };
    assert_eq!(status, 200);
    for (name, want) in [
        ("shardcast_connections", 1),
        ("shardcast_accepts_total", 1),
        ("shardcast_upgrades_total", 1),
    ] {
        assert_eq!(sum(name), want, "{name}\n{text}");
    }
    assert!(
        sum("shardcast_bytes_out_total") > 0 && sum("shardcast_enters_total") > 0,
        "{text}"
    );
    assert!(
        text.contains("shardcast_connections{shard=\"1\"}") && !text.contains("{shard=\"2\"}"),
        "{text}"
    );
}

#[test]
fn a_draining_server_tells_its_clients_and_is_not_ready() {
    let server = Server::start(&[
        "--set",
        "server.drain_timeout=1h",
        "--set",
        "timeouts.close=1h",
    ]);
    let mut client = server.client();
    server.signal("TERM");
    // The client leaves the close handshake open, so the drain lasts until the second signal.
    let mut told = Vec::new();
    while !told
        .windows(4)
        .any(|bytes| bytes[0] == 0x88 && bytes[2..] == 1001_u16.to_be_bytes())
    {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        told.push(byte[0]);
    }
    assert!(
        String::from_utf8_lossy(&told).contains("\"type\":\"closing\""),
        "{told:?}"
    );
    assert_eq!(
        server.ask("/ready"),
        (503, r#"{"status":"draining"}"#.to_owned())
    );
    assert_eq!(server.ask("/health").0, 200);
    server.signal("TERM");
    assert_eq!(server.end().code, Some(143));
}

#[test]
fn a_second_interrupt_ends_it_with_130() {
    let server = Server::start(&[
        "--set",
        "server.drain_timeout=1h",
        "--set",
        "timeouts.close=1h",
    ]);
    let _client = server.client();
    server.signal("INT");
    wait_until("a drain that /ready tells", || {
        server.ask("/ready").0 == 503
    });
    server.signal("INT");
    assert_eq!(server.end().code, Some(130));
}

#[test]
fn a_client_that_does_not_leave_is_cut_when_the_drain_timeout_is_over() {
    let server = Server::start(&[
        "--set",
        "server.drain_timeout=100ms",
        "--set",
        "timeouts.close=1h",
        "--set",
        "log.format=json",
    ]);
    let _client = server.client();
    server.signal("TERM");
    let end = server.end();
    assert_eq!(end.code, Some(0), "{}", end.errors);
    let cut = end
        .errors
        .lines()
        .find(|line| line.contains("the drain timeout is over"))
        .expect("a warning");
    assert!(
        cut.starts_with('{')
            && cut.contains("\"level\":\"WARN\"")
            && cut.contains("\"connections\":1"),
        "{cut}"
    );
}

/// By the id that the welcome told the client.
#[test]
fn the_log_at_trace_follows_a_connection() {
    let server = Server::start(&["--set", "log.level=trace"]);
    let mut client = server.client();
    let peer = client.local_addr().unwrap();
    // A masked close frame with code 1000; the answer says that it was heard.
    client
        .write_all(&[0x88, 0x82, 0, 0, 0, 0, 3, 0xe8])
        .unwrap();
    client.read_to_end(&mut Vec::new()).unwrap();
    server.signal("TERM");
    let log = server.end().errors;
    let of_client = |line: &&str| line.contains(" TRACE ") && line.contains("connection=");
    let told: Vec<_> = log.lines().filter(of_client).collect();
    for (part, value) in [
        ("accepted", format!("peer={peer}")),
        ("opened", String::new()),
        ("ended", "reason=Peer(Some(".into()),
        ("phase", "to=Retiring".into()),
    ] {
        let is_it = |line: &&str| line.contains(part) && line.contains(&value);
        assert!(told.iter().any(is_it), "{part} {value}: {log}");
    }
}

#[test]
fn an_address_in_use_is_told_with_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flag, other, way_out) in [
        ("--admin", "--listen", "--admin"),
        ("--listen", "--admin", "--listen or tls.listen"),
    ] {
        let mut command = program(&[
            "serve",
            "--shards",
            "1",
            flag,
            &address,
            other,
            "127.0.0.1:0",
        ]);
        let end = Program::start(&mut command).end();
        let complaints = end.errors;
        assert_eq!(
            (end.code, end.printed.as_str()),
            (Some(1), ""),
            "{complaints}"
        );
        let told: Vec<_> = complaints
            .lines()
            .filter(|line| line.starts_with("shardcast: cannot start: "))
            .collect();
        assert_eq!(told.len(), 1, "{complaints}");
        assert!(
            told[0].ends_with(&format!(
                "; another program has this address: stop it, or choose another with {way_out}"
            )),
            "{complaints}"
        );
    }
}
