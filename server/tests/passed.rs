//! Listening sockets that the program makes as files or is given, as systemd gives them: over real
//! sockets, with one process after the other.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// A server that hangs fails its test instead of holding up the suite.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. Dropping it kills it.
struct Server {
    program: Child,
    ready: String,
}

/// The program, small and without variables of whoever runs the tests. A socket is passed as
/// descriptor 3, which a shell makes of its standard input; the process keeps its number.
fn program(arguments: &[&str], socket: Option<(&OwnedFd, &str)>) -> Command {
    const PASSING: &str = r#"LISTEN_PID=$$ exec "$0" "$@" 3<&0 </dev/null"#;
    let mut command = match socket {
        Some((socket, names)) => {
            let mut command = Command::new("sh");
            command
                .args(["-c", PASSING, env!("CARGO_BIN_EXE_shardcast")])
                .env("LISTEN_FDS", "1")
                .env("LISTEN_FDNAMES", names)
                .stdin(Stdio::from(socket.try_clone().unwrap()));
            command
        }
        None => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_shardcast"));
            command.env_remove("LISTEN_FDS").stdin(Stdio::null());
            command
        }
    };
    let base = "serve --admin 127.0.0.1:0 --shards 2 --set limits.max_connections=100";
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SHARDCAST_") {
            command.env_remove(name);
        }
    }
    command
        .args(base.split(' '))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Server {
    #[track_caller]
    fn start(mut command: Command) -> Server {
        let mut program = command.spawn().expect("the program starts");
        let mut ready = String::new();
        let mut out = BufReader::new(program.stdout.take().unwrap());
        out.read_line(&mut ready).unwrap();
        Server { program, ready }
    }

    fn terminate(&self) {
        let sent = Command::new("kill")
            .arg(self.program.id().to_string())
            .status();
        assert!(sent.unwrap().success());
    }

    #[track_caller]
    fn ends_well(mut self) {
        assert_eq!(self.program.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_ended = self.program.kill();
        let _already_waited = self.program.wait();
    }
}

/// What is said when the program does not start.
#[track_caller]
fn refusal(mut command: Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// A client that is welcomed.
#[track_caller]
fn welcome<S: Read + Write>(mut stream: S) -> S {
    let head = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("\"max_message_bytes\":65536}") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.extend_from_slice(&byte);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    stream
}

#[track_caller]
fn connect(socket: &TcpListener) -> TcpStream {
    let stream = TcpStream::connect(socket.local_addr().unwrap()).expect("somebody accepts");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    welcome(stream)
}

/// The next frame is the close of a drain; the client leaves.
#[track_caller]
fn is_sent_away<S: Read + Write>(mut stream: S) {
    // Events come before it: a text with the reason.
    let mut said = Vec::new();
    while !said.ends_with(b"\x03\xe9draining") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        said.extend_from_slice(&byte);
    }
    // Whoever answers late finds the server gone.
    let _gone = stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 3, 0xe9]);
}

fn path(test: &str) -> PathBuf {
    let name = format!("shardcast-passed-{}-{test}.sock", std::process::id());
    std::env::temp_dir().join(name)
}

#[test]
fn a_path_serves_and_is_gone_after_the_drain() {
    let path = path("serves");
    let listen = format!("unix:{}", path.display());
    let server = Server::start(program(&["--listen", &listen], None));
    let ready = format!("clients ws+{listen}:/ws, admin ");
    assert!(server.ready.contains(&ready), "{}", server.ready);
    let client = welcome(UnixStream::connect(&path).unwrap());
    let (code, said) = refusal(program(&["--listen", &listen], None));
    let told = format!(
        "shardcast: cannot start: cannot listen on {listen}: Address already in use (os error 98); another program listens there, or a file that \
         is no socket is in the way\n"
    );
    assert_eq!((code, said), (Some(1), told));
    server.terminate();
    is_sent_away(client);
    server.ends_well();
    assert!(!path.exists());
}

/// The successor shares the socket: from the first farewell of the first server on, every client is
/// let in by it, at the latest when it comes again.
#[test]
fn a_server_drains_while_its_successor_accepts_from_the_same_socket() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let descriptor = OwnedFd::from(socket.try_clone().unwrap());
    let serve = |listen| {
        let command = program(&["--listen", listen], Some((&descriptor, "web")));
        Server::start(command)
    };
    let first = serve("inherited:web");
    let address = format!("clients ws://{}/ws, ", socket.local_addr().unwrap());
    assert!(first.ready.contains(&address), "{}", first.ready);
    let (one, other) = (connect(&socket), connect(&socket));
    let second = serve("inherited");
    first.terminate();
    is_sent_away(one);
    let clients: Vec<TcpStream> = (0..50).map(|_| connect(&socket)).collect();
    is_sent_away(other);
    first.ends_well();
    second.terminate();
    clients.into_iter().for_each(is_sent_away);
    second.ends_well();
    // Who connects now waits for the next one.
    let waiting = TcpStream::connect(socket.local_addr().unwrap()).unwrap();
    let third = serve("inherited:web");
    let client = welcome(waiting);
    third.terminate();
    is_sent_away(client);
    third.ends_well();
}

#[test]
fn what_was_not_passed_is_told() {
    let near = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let far = OwnedFd::from(TcpListener::bind("0.0.0.0:0").unwrap());
    let beginning = "shardcast: cannot start: server.listen: ";
    for (socket, listen, told) in [
        (
            None,
            "inherited",
            "no socket was passed to this process (LISTEN_FDS)\n",
        ),
        (
            None,
            "inherited:web",
            "no socket was passed to this process (LISTEN_FDS)\n",
        ),
        (
            Some((&near, "web")),
            "inherited:tls",
            "of 1 sockets that were passed to this process none is named so: web\n",
        ),
        (
            Some((&far, "web")),
            "inherited:web",
            " is reachable from other hosts, and without authentication everyone there could read and publish everything: have a loopback \
             address passed, require tokens (auth.tokens = \"required\"), or pass --insecure (server.insecure = true) where the network itself \
             keeps strangers out\n",
        ),
    ] {
        let (code, said) = refusal(program(&["--listen", listen], socket));
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.starts_with(beginning) && said.ends_with(told),
            "{said}"
        );
    }
}
