//! `shardcast serve` with TLS, in a process of its own. Dropping it kills it.

use crate::PATIENCE;
use crate::files::Folder;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

pub(crate) struct Program {
    child: Child,
    /// The ready line.
    pub(crate) ready: String,
    pub(crate) secure: SocketAddr,
    /// Of the plain listener, if there is one.
    pub(crate) plain: Option<SocketAddr>,
    admin: SocketAddr,
}

impl Program {
    /// Two shards, a plain and a TLS listener, and these identities of the folder (`NAME.pem`, `NAME.key`).
    pub(crate) fn start(folder: &Folder, names: &[&str], set: &[&str]) -> Program {
        Program::started(command("serve", folder, names, "127.0.0.1:0", set))
    }

    /// The same without a plain listener.
    pub(crate) fn alone(folder: &Folder, names: &[&str], set: &[&str]) -> Program {
        Program::started(command("serve", folder, names, "none", set))
    }

    fn started(mut command: Command) -> Program {
        let mut child = command.spawn().expect("the program starts");
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        let address = |before: &str, after: char| -> Option<SocketAddr> {
            let (_, rest) = ready.split_once(before)?;
            rest.split_once(after)?.0.parse().ok()
        };
        let ends = (
            address("wss://", '/'),
            address(" ws://", '/'),
            address("admin http://", ','),
        );
        let (Some(secure), plain, Some(admin)) = ends else {
            let mut log = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut log)
                .unwrap();
            panic!("not ready: {ready:?} {log}");
        };
        Program {
            child,
            ready,
            secure,
            plain,
            admin,
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// The value of a metric over all shards; `name` with its labels but for the shard's.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let mut socket = TcpStream::connect(self.admin).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(socket, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let samples = text.lines().filter_map(|line| line.strip_prefix(name));
        samples
            .filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum()
    }

    pub(crate) fn wait_for(&self, name: &str, value: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.metric(name) != value {
            assert!(Instant::now() < deadline, "{name} is {}", self.metric(name));
        }
    }

    /// Stops it; its log.
    pub(crate) fn end(mut self) -> String {
        self.signal("TERM");
        let mut log = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut log).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{log}");
        log
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _already_ended = self.child.kill();
        let _already_waited = self.child.wait();
    }
}

/// `check-config` with the same configuration.
pub(crate) fn check_config(folder: &Folder, names: &[&str], set: &[&str]) -> Output {
    command("check-config", folder, names, "127.0.0.1:0", set)
        .output()
        .unwrap()
}

fn command(name: &str, folder: &Folder, names: &[&str], listen: &str, set: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardcast"));
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SHARDCAST_"))
    {
        command.env_remove(name);
    }
    let files = |ending: &str| {
        let files = names
            .iter()
            .map(|name| folder.path(&format!("{name}.{ending}")));
        files.collect::<Vec<_>>().join(",")
    };
    let base = format!("--listen {listen} --admin 127.0.0.1:0 --shards 2 --pin none");
    command.arg(name).args(base.split(' '));
    for assignment in [
        "limits.max_connections=100".to_owned(),
        "tls.listen=127.0.0.1:0".to_owned(),
        format!("tls.certificates={}", files("pem")),
        format!("tls.keys={}", files("key")),
    ]
    .iter()
    .map(String::as_str)
    .chain(set.iter().copied())
    {
        command.args(["--set", assignment]);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}
