//! `deploy/shardcast.service` and its socket: systemd takes them, finds little to expose, and the
//! server does its work under the system call filter, on io_uring.

use shardcast_patience::{PATIENCE, Program, leave_out};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_shardcast");
const UNIT: &str = include_str!("../../deploy/shardcast.service");

const SOCKET: &str = include_str!("../../deploy/shardcast.socket");

/// systemd's own tool, if it is here.
fn systemd_analyze() -> Option<Command> {
    let mut tool = Command::new("systemd-analyze");
    match tool.arg("--version").output() {
        Ok(_) => Some(Command::new("systemd-analyze")),
        Err(_) => {
            leave_out("systemd-analyze, which checks the unit");
            None
        }
    }
}

/// The unit with the program that was built, in a folder that goes when the value is dropped.
struct Unit(PathBuf);

impl Unit {
    fn new() -> Unit {
        let folder = std::env::temp_dir().join(format!("shardcast-unit-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        let unit = UNIT.replace("/usr/bin/shardcast", PROGRAM);
        fs::write(folder.join("shardcast.service"), unit).expect("a temporary file");
        fs::write(folder.join("shardcast.socket"), SOCKET).expect("a temporary file");
        Unit(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.join("shardcast.service")
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_dir_all(&self.0);
    }
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

#[test]
fn systemd_takes_the_unit_and_finds_it_tight() {
    let Some(mut verify) = systemd_analyze() else {
        return;
    };
    let unit = Unit::new();
    let socket = unit.path().with_extension("socket");
    let verified = verify.arg("verify").arg(unit.path()).arg(socket).output();
    let verified = verified.expect("it runs");
    assert!(verified.status.success(), "{}", text(&verified));
    assert_eq!(text(&verified), "", "it has nothing to say");
    // The exposure is 1.4 of 10 with systemd 252; half of a server without a sandbox is 4.8.
    let arguments = ["security", "--offline=true", "--threshold=20"];
    let mut security = Command::new("systemd-analyze");
    let rated = security.args(arguments).arg(unit.path()).output();
    let rated = rated.expect("it runs");
    assert!(rated.status.success(), "{}", text(&rated));
}

/// The values of a setting, one a line of the unit.
fn setting<'u>(name: &'u str) -> impl Iterator<Item = &'static str> + 'u {
    UNIT.lines()
        .filter_map(move |line| line.strip_prefix(name)?.strip_prefix('='))
}

/// The system calls of a filter's item: one, or a set with all sets that it names.
fn calls(item: &str, into: &mut BTreeSet<String>) {
    if !item.starts_with('@') {
        into.insert(item.to_owned());
        return;
    }
    let mut list = Command::new("systemd-analyze");
    let listed = list.args(["syscall-filter", item]).output();
    let listed = text(&listed.expect("it runs"));
    for line in listed.lines().skip(1).map(str::trim) {
        if !line.is_empty() && !line.starts_with('#') {
            calls(line, into);
        }
    }
}

/// What the unit's filter allows: each line adds, or takes away what it names behind a `~`.
fn allowed() -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for line in setting("SystemCallFilter") {
        let (takes, items) = match line.strip_prefix('~') {
            Some(items) => (true, items),
            None => (false, line),
        };
        let mut named = BTreeSet::new();
        items
            .split_whitespace()
            .for_each(|item| calls(item, &mut named));
        match takes {
            true => allowed.retain(|call| !named.contains(call)),
            false => allowed.extend(named),
        }
    }
    allowed
}

/// The numbers of this machine's system calls, by name, as the C compiler has them.
fn numbers() -> BTreeMap<String, u32> {
    let mut compiler = Command::new("cc");
    let arguments = [
        "-E",
        "-dM",
        "-include",
        "sys/syscall.h",
        "-x",
        "c",
        "/dev/null",
    ];
    let output = compiler.args(arguments).output().expect("a C compiler");
    let named = text(&output);
    let named = named
        .lines()
        .filter_map(|line| line.strip_prefix("#define __NR_"));
    let named = named.filter_map(|line| line.split_once(' '));
    named
        .filter_map(|(name, number)| Some((name.to_owned(), number.trim().parse().ok()?)))
        .collect()
}

#[test]
fn the_server_works_under_the_unit_s_filter() {
    if systemd_analyze().is_none() {
        return;
    }
    let (allowed, numbers) = (allowed(), numbers());
    for call in ["io_uring_setup", "io_uring_enter", "io_uring_register"] {
        assert!(allowed.contains(call), "{call}");
    }
    // What a server has no use for, and an intruder has.
    for call in ["mount", "ptrace", "setuid", "chroot", "init_module", "bpf"] {
        assert!(!allowed.contains(call), "{call}");
    }
    let numbers: Vec<String> = allowed
        .iter()
        .filter_map(|call| numbers.get(call))
        .map(u32::to_string)
        .collect();
    assert!(numbers.len() > 100, "{numbers:?}");
    let filter = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/allowed.py");
    let state = std::env::temp_dir().join(format!("shardcast-sandbox-{}", std::process::id()));
    let mut command = Command::new("python3");
    command
        .arg(filter)
        .args([&numbers.join(","), PROGRAM, "serve", "--listen"])
        .args(["127.0.0.1:0", "--admin", "127.0.0.1:0", "--shards", "2"])
        .args(["--driver", "uring"])
        .args(["--set", &format!("admin.state_file={}", state.display())]);
    let mut program = Program::start(&mut command);
    let ready = program.line().unwrap_or_default();
    assert!(ready.starts_with("shardcast "), "{ready}");
    let between = |before: &str, after: &str| {
        let (_, rest) = ready.split_once(before).expect("the ready line");
        rest.split(after).next().expect("the ready line").to_owned()
    };
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut client = TcpStream::connect(between("ws://", "/ws,")).expect("it listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket");
    client.write_all(upgrade.as_bytes()).expect("it reads");
    let mut status = [0; 12];
    client.read_exact(&mut status).expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 101");
    let ban = r#"{"address":"192.0.2.1","for":"9m"}"#;
    let head = "POST /api/ban HTTP/1.1\r\nHost: localhost\r\nContent-Length";
    let ban = format!("{head}: {}\r\n\r\n{ban}", ban.len());
    let mut admin = TcpStream::connect(between("admin http://", ",")).expect("it listens");
    admin.set_read_timeout(Some(PATIENCE)).expect("a socket");
    admin.write_all(ban.as_bytes()).expect("it reads");
    let mut answer = String::new();
    admin.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let kept = fs::read_to_string(&state).expect("what is kept");
    assert!(kept.contains("192.0.2.1"), "{kept}");
    let _nobody_minds = fs::remove_file(&state);
    // It drains, and ends as it does elsewhere.
    drop(client);
    program.signal("TERM");
    assert_eq!(program.end().code, Some(0));
}
