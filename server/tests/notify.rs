//! What the server tells the service manager, heard on a socket as systemd has one, and sockets
//! that systemd's own tool passes.

use shardcast_patience::{PATIENCE, Program, leave_out};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_shardcast");

/// A service manager's end: a socket in a folder of its own, which goes when the value is dropped.
struct ServiceManager {
    folder: PathBuf,
    socket: UnixDatagram,
}

impl ServiceManager {
    fn new(test: &str) -> ServiceManager {
        let name = format!("shardcast-notify-{}-{test}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a temporary folder");
        let socket = UnixDatagram::bind(folder.join("notify")).expect("a socket of our own");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        ServiceManager { folder, socket }
    }

    /// The server as systemd starts it, with a watchdog that bites after so many microseconds.
    fn start(&self, watchdog: &str) -> Program {
        let mut command = Command::new("sh");
        command.args(["-c", r#"WATCHDOG_PID=$$ exec "$0" "$@""#, PROGRAM, "serve"]);
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--shards",
            "2",
        ]);
        command.arg("--config").arg(self.configuration());
        command.env("NOTIFY_SOCKET", self.folder.join("notify"));
        command.env("WATCHDOG_USEC", watchdog);
        Program::start(&mut command)
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("shardcast.toml")
    }

    fn configure(&self, text: &str) {
        fs::write(self.configuration(), text).expect("a file of our own");
    }

    /// The next message.
    fn hear(&self) -> String {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).expect("a message in time");
        String::from_utf8(message[..length].to_vec()).expect("UTF-8")
    }

    /// The messages that are there.
    fn heard(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).expect("a socket");
        let mut message = [0; 4096];
        let messages = std::iter::from_fn(|| {
            let length = self.socket.recv(&mut message).ok()?;
            Some(String::from_utf8_lossy(&message[..length]).into_owned())
        });
        let heard = messages.collect();
        self.socket.set_nonblocking(false).expect("a socket");
        heard
    }

    /// The next message that is no word of the watchdog.
    fn hear_other(&self) -> String {
        let mut heard = self.hear();
        while heard.starts_with("WATCHDOG=1\n") {
            heard = self.hear();
        }
        heard
    }
}

impl Drop for ServiceManager {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_life_is_told_from_its_start_to_its_end() {
    let manager = ServiceManager::new("life");
    manager.configure("[server]\nlame_duck = \"1s\"\ndrain_timeout = \"7s\"\n");
    let mut program = manager.start("300000");
    let ready = program.line().unwrap_or_default();
    let told = manager.hear();
    let clients = "READY=1\nSTATUS=serving clients at ws://127.0.0.1:";
    assert!(
        told.starts_with(clients),
        "{told}{ready}{}",
        program.errors()
    );
    // Nobody is there, and no shard has anything to do but to say that it is well.
    for _ in 0..5 {
        assert_eq!(
            manager.hear(),
            "WATCHDOG=1\nSTATUS=serving, 0 connections\n"
        );
    }
    program.signal("HUP");
    let told = manager.hear_other();
    let moment = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    let moment = moment.and_then(|moment| moment.trim_end().parse::<u64>().ok());
    assert!(moment.is_some_and(|moment| moment > 0), "{told}");
    let told = manager.hear_other();
    assert!(
        told.starts_with("READY=1\nSTATUS=serving; the configuration was read"),
        "{told}"
    );
    // What cannot be used ends the reload, too: the server serves on as before.
    manager.configure("[server]\nlame_duck = \"soon\"\n");
    program.signal("HUP");
    assert!(manager.hear_other().starts_with("RELOADING=1\n"));
    let told = manager.hear_other();
    assert!(
        told.starts_with("READY=1\n") && told.contains("cannot be used"),
        "{told}"
    );
    program.signal("TERM");
    // One second of a lame duck, seven of a drain, and five.
    let told = manager.hear_other();
    let expected = "STOPPING=1\nSTATUS=stopping, 0 connections\nEXTEND_TIMEOUT_USEC=13000000\n";
    assert_eq!(told, expected);
    // While it is a lame duck it is watched.
    assert_eq!(
        manager.hear(),
        "WATCHDOG=1\nSTATUS=about to drain, 0 connections\n"
    );
    assert_eq!(program.end().code, Some(0));
}

/// A socket that systemd makes is served, and so is who connected before the server was there.
#[test]
fn a_socket_of_systemd_is_served() {
    let tool = "systemd-socket-activate";
    if Command::new(tool).arg("--version").output().is_err() {
        return leave_out("systemd-socket-activate, which passes sockets as systemd does");
    }
    let manager = ServiceManager::new("socket");
    let path = manager.folder.join("clients");
    let mut command = Command::new(tool);
    command
        .arg("-l")
        .arg(&path)
        .args(["--fdname=clients", PROGRAM, "serve"]);
    command.args([
        "--listen",
        "inherited:clients",
        "--admin",
        "127.0.0.1:0",
        "--shards",
        "2",
    ]);
    let mut program = Program::start(&mut command);
    shardcast_patience::wait_until("systemd listens", || path.exists());
    // This connection is what the tool starts the server for.
    let mut client = UnixStream::connect(&path).expect("it listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(upgrade.as_bytes()).expect("it reads");
    let mut status = [0; 12];
    client.read_exact(&mut status).expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 101");
    let ready = program.line().unwrap_or_default();
    assert!(
        ready.contains("clients ws+unix:"),
        "{ready}{}",
        program.errors()
    );
    drop(client);
    program.signal("TERM");
    assert_eq!(program.end().code, Some(0));
}

/// Holds a thread where it is, as nothing but a debugger or a fault of the kernel does, until its
/// input ends.
const HOLD: &str = r#"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
SEIZE, INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000
thread = int(sys.argv[1])
if libc.ptrace(SEIZE, thread, None, None) != 0:
    print("refused", os.strerror(ctypes.get_errno()), flush=True)
else:
    libc.ptrace(INTERRUPT, thread, None, None)
    os.waitpid(thread, WALL)
    print("held", flush=True)
    sys.stdin.read()
"#;

/// The thread of a process that has this name.
#[track_caller]
fn thread_of(process: u32, name: &str) -> String {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let mut tasks = tasks.map(|task| task.expect("a folder").path());
    let found = tasks.find(|task| {
        let comm = fs::read_to_string(task.join("comm"));
        comm.is_ok_and(|comm| comm.trim_end() == name)
    });
    let found = found.unwrap_or_else(|| panic!("no thread {name}"));
    found
        .file_name()
        .expect("a number")
        .to_string_lossy()
        .into_owned()
}

/// What the admin port, which the ready line names, says about a path.
fn ask(ready: &str, path: &str) -> String {
    let address = ready.split("admin http://").nth(1).expect("an admin port");
    let address = address.split(',').next().expect("an address");
    let mut admin = TcpStream::connect(address).expect("it listens");
    admin.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    admin.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    admin.read_to_string(&mut answer).expect("an answer");
    answer
}

/// A shard whose thread does not get on: the watchdog is not fed, so that systemd would end the
/// process; and the shard is named, with what it is doing.
#[test]
fn a_shard_that_hangs_is_named_and_the_watchdog_hears_nothing() {
    let manager = ServiceManager::new("hang");
    manager.configure("");
    let mut program = manager.start("3000000");
    let ready = program.line().unwrap_or_default();
    assert!(ask(&ready, "/ready").starts_with("HTTP/1.1 200"), "{ready}");
    let thread = thread_of(program.id(), "shard-1");
    let mut command = Command::new("python3");
    command.args(["-c", HOLD, &thread]);
    let (mut holder, input) = Program::start_with_input(&mut command);
    let held = holder.line().unwrap_or_default();
    let held = held.trim_end();
    if held != "held" {
        return leave_out(&format!("ptrace, which holds a thread: {held}"));
    }
    let mut told = manager.hear();
    while !told.contains("do not tick") {
        told = manager.hear();
    }
    assert_eq!(
        told,
        "STATUS=1 shards do not tick, among them 1; 0 connections\n"
    );
    // Nothing that is said from here on feeds the watchdog.
    let unfed = || {
        for told in manager.heard() {
            assert!(told.starts_with("STATUS=1 shards do not tick"), "{told}");
        }
    };
    shardcast_patience::wait_until("it is not ready", || {
        unfed();
        ask(&ready, "/ready").starts_with("HTTP/1.1 503")
    });
    let answer = ask(&ready, "/ready");
    assert!(
        answer.contains("stuck") && answer.contains("[1]"),
        "{answer}"
    );
    let metrics = ask(&ready, "/metrics");
    let stuck_ms = |shard: &str| {
        let name = format!("shardcast_stuck_ms{{shard=\"{shard}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&*name));
        value.and_then(|value| value.trim_end().parse::<u64>().ok())
    };
    assert!(stuck_ms("1") >= Some(5_000), "{:?}", stuck_ms("1"));
    assert_eq!(stuck_ms("0"), Some(0));
    shardcast_patience::wait_until("the log names it", || {
        let errors = program.errors();
        let named = errors
            .lines()
            .find(|line| line.contains("a shard is stuck"));
        named.is_some_and(|line| line.contains("shard=1") && line.contains("doing=waiting"))
    });
    unfed();
    drop(input);
    assert_eq!(holder.end().code, Some(0));
    let mut told = manager.hear();
    while told.starts_with("STATUS=") {
        told = manager.hear();
    }
    assert_eq!(told, "WATCHDOG=1\nSTATUS=serving, 0 connections\n");
    shardcast_patience::wait_until("it is ready again", || {
        ask(&ready, "/ready").starts_with("HTTP/1.1 200")
    });
    program.signal("TERM");
    assert_eq!(program.end().code, Some(0));
}
