//! What the program says on a host that refuses what it needs: one line that names the lack and the
//! remedy, and never a panic. And what clients hear when the host refuses a further ring to a
//! server that runs.

use shardcast_patience::{PATIENCE, Program, wait_until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_shardcast");

/// The program, run by a shell after these words, such as a limit that it sets.
fn limited(before: &str, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{before} \"$0\" \"$@\""), program])
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--shards", "1", "--set", "limits.max_connections=1000"])
        // On epoll there is less to lack: `tests/tests/end_to_end/hosts.rs`.
        .args(["--driver", "uring"])
        .args(arguments);
    command
}

/// It ends at once: with one line that contains all of these.
fn check_refusal(what: &str, command: &mut Command, expected: &[&str]) {
    let end = Program::start(command).end();
    let told = end.errors;
    assert_eq!(
        (end.code, end.printed.len(), told.lines().count()),
        (Some(1), 0, 1),
        "{what}: {told}"
    );
    assert!(
        told.starts_with("shardcast: cannot start: "),
        "{what}: {told}"
    );
    for expected in expected {
        assert!(told.contains(expected), "{what}: {expected:?} in {told}");
    }
}

#[test]
fn a_sandbox_that_denies_a_call_is_told_which() {
    /// What sandboxes answer.
    const EPERM: i32 = 1;
    const ENOSYS: i32 = 38;
    let filter = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/denied.py");
    // Their numbers are the same on every architecture.
    for (number, call) in [
        (425, "io_uring_setup: "),
        (426, "io_uring_enter: "),
        (427, "io_uring_register: "),
    ] {
        for errno in [EPERM, ENOSYS] {
            let before = format!("exec python3 {filter} {number} {errno}");
            check_refusal(
                &format!("{call}{errno}"),
                &mut limited(&before, PROGRAM, &[]),
                &[call, "seccomp"],
            );
        }
    }
}

#[test]
fn too_few_open_files_are_told_as_they_are() {
    for limit in [8, 20, 30] {
        check_refusal(
            &format!("{limit} files"),
            &mut limited(&format!("ulimit -n {limit} && exec"), PROGRAM, &[]),
            &[&format!("open files is {limit}, and "), "LimitNOFILE="],
        );
    }
}

/// A copy of the program that any user may run, and the words that run it as one without
/// privileges.
struct Ordinary {
    program: std::path::PathBuf,
    become_ordinary: &'static str,
}

impl Ordinary {
    /// Each test takes a user of its own: limits count what one user has.
    fn new(name: &str, become_ordinary: &'static str) -> Ordinary {
        let program = std::env::temp_dir().join(format!("shardcast-{name}-{}", std::process::id()));
        std::fs::copy(PROGRAM, &program).unwrap();
        let user = Command::new("id").arg("-u").output().unwrap().stdout;
        let is_root = user == b"0\n";
        Ordinary {
            program,
            become_ordinary: if is_root { become_ordinary } else { "" },
        }
    }

    fn command(&self, limit: &str) -> Command {
        let before = format!("exec {} prlimit {limit}", self.become_ordinary);
        limited(&before, self.program.to_str().unwrap(), &[])
    }
}

impl Drop for Ordinary {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.program);
    }
}

#[test]
fn too_few_threads_are_told() {
    let ordinary = Ordinary::new(
        "threads",
        "setpriv --reuid 64301 --regid 64301 --clear-groups",
    );
    // More than the user has already, if it is one that runs tests.
    let expected = ["no more threads: ", "ulimit -u"];
    check_refusal("1 thread", &mut ordinary.command("--nproc=1"), &expected);
}

/// Some kernels count rings against the limit on locked memory, others do not: it starts, or says
/// that this is the lack.
#[test]
fn locked_memory_is_told_where_it_is_the_lack() {
    let ordinary = Ordinary::new(
        "locked",
        "setpriv --reuid 64302 --regid 64302 --clear-groups",
    );
    let mut command = ordinary.command("--memlock=65536");
    let mut program = Program::start(&mut command);
    if program
        .line()
        .is_some_and(|line| line.starts_with("shardcast "))
    {
        return;
    }
    drop(program);
    let expected = [
        "io_uring_setup: ",
        "locked memory, which is 64 KiB",
        "LimitMEMLOCK=",
    ];
    check_refusal(
        "64 KiB",
        &mut ordinary.command("--memlock=65536"),
        &expected,
    );
}

/// A server whose tables have as many slots as it may open files; killed when dropped.
struct Small {
    program: Program,
    clients: SocketAddr,
    admin: SocketAddr,
}

impl Small {
    fn start(open_files: usize) -> Small {
        let before = format!("ulimit -n {open_files} && exec");
        let mut command = limited(&before, PROGRAM, &[]);
        let mut program = Program::start(&mut command);
        let ready = program.line().unwrap_or_default();
        let address = |before: &str, after: &str| {
            let (_, rest) = ready.split_once(before).expect("the ready line");
            let (address, _) = rest.split_once(after).expect("the ready line");
            address.parse().expect("an address")
        };
        Small {
            clients: address("ws://", "/ws,"),
            admin: address("admin http://", ", "),
            program,
        }
    }

    fn open_files(&self, soft: usize) {
        let limit = format!("--nofile={soft}:");
        let pid = self.program.id().to_string();
        let set = Command::new("prlimit")
            .args(["--pid", &pid, &limit])
            .status();
        assert!(set.unwrap().success());
    }

    /// A client that asks for an upgrade, and the status that it is answered.
    fn connect(&self) -> (TcpStream, String) {
        let mut socket = TcpStream::connect(self.clients).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        socket.write_all(head.as_bytes()).unwrap();
        let mut status = [0; 12];
        socket.read_exact(&mut status).unwrap();
        let status = String::from_utf8_lossy(&status).replace("HTTP/1.1 ", "");
        (socket, status)
    }

    /// Connects until it is full, which it says however many come then: the clients that it has
    /// admitted.
    fn fill(&self, expected: usize) -> Vec<TcpStream> {
        let mut admitted = Vec::new();
        let refused = loop {
            let (socket, status) = self.connect();
            match status.as_str() {
                "101" => admitted.push(socket),
                _ => break status,
            }
            assert!(admitted.len() <= expected, "more than its tables have");
        };
        assert_eq!((refused.as_str(), admitted.len()), ("503", expected));
        for _ in 0..100 {
            assert_eq!(self.connect().1, "503");
        }
        admitted
    }

    /// A counter of the only shard.
    fn counter(&self, name: &str) -> usize {
        let mut socket = TcpStream::connect(self.admin).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(socket, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let line = answer
            .lines()
            .find(|line| line.starts_with(&format!("shardcast_{name}")))
            .unwrap_or_else(|| panic!("{name} in {answer}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

#[test]
fn a_server_that_may_have_no_further_ring_says_so_to_whoever_is_too_many() {
    let server = Small::start(256);
    // Whatever it has open stays open; nothing more is granted.
    server.open_files(10);
    let mut admitted = server.fill(224);
    drop(admitted.pop());
    // The place is free once the server has seen the end. Each refusal is counted, too.
    wait_until("the place of the one that left", || {
        server.connect().1 != "503"
    });
    server.open_files(256);
    assert!(server.counter("refused_full") >= 101);
    assert!(server.counter("rings_refused") >= 1);
    assert_eq!(server.counter("upgrades"), 225);
    server.program.signal("KILL");
    let log = server.program.end().errors;
    for expected in [
        "no further ring",
        "Too many open files",
        "open files, which is 10",
    ] {
        assert!(log.contains(expected), "{expected:?} in {log}");
    }
}

#[test]
fn a_server_with_all_the_rings_that_it_may_have_says_so_too() {
    let server = Small::start(48);
    // Six tables, and of one of them an eighth is kept.
    let admitted = server.fill(6 * 48 - 6);
    assert_eq!(server.counter("rings{"), 6);
    assert!(server.counter("refused_full") >= 101);
    assert_eq!(server.counter("upgrades_total"), admitted.len());
}
