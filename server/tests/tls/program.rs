//! `shardcast serve` with TLS, in a process of its own. Dropping it kills it.

use crate::files::Folder;
use shardcast_patience::{Ended, PATIENCE, is_reached_within};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

pub(crate) struct Program {
    child: shardcast_patience::Program,
    /// The ready line.
    pub(crate) ready: String,
    pub(crate) secure: SocketAddr,
    /// Of the plain listener, if there is one.
    pub(crate) plain: Option<SocketAddr>,
    admin: SocketAddr,
}

impl Program {
    /// Two shards, a plain and a TLS listener, and these identities of the folder (`NAME.pem`,
    /// `NAME.key`).
    pub(crate) fn start(folder: &Folder, names: &[&str], set: &[&str]) -> Program {
        Program::started(command("serve", folder, names, "127.0.0.1:0", set))
    }

    /// The same without a plain listener.
    pub(crate) fn alone(folder: &Folder, names: &[&str], set: &[&str]) -> Program {
        Program::started(command("serve", folder, names, "none", set))
    }

    fn started(mut command: Command) -> Program {
        let mut child = shardcast_patience::Program::start(&mut command);
        let ready = child.line().unwrap_or_default();
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
            panic!("not ready: {ready:?} {}", child.end().errors);
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
        self.child.signal(name);
    }

    /// The value of a metric over all shards; `name` with its labels but for the shard's.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let mut socket = TcpStream::connect(self.admin).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(socket, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let samples = text.lines().filter_map(|line| line.strip_prefix(name));
        samples
            .filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum()
    }

    pub(crate) fn wait_for(&self, name: &str, value: u64) {
        let reached = is_reached_within(PATIENCE, || self.metric(name) == value);
        assert!(reached, "{name} is {}, not {value}", self.metric(name));
    }

    /// Stops it; its log.
    pub(crate) fn end(self) -> String {
        self.signal("TERM");
        let end = self.child.end();
        assert_eq!(end.code, Some(0), "{}", end.errors);
        end.errors
    }
}

/// `check-config` with the same configuration.
pub(crate) fn check_config(folder: &Folder, names: &[&str], set: &[&str]) -> Ended {
    let mut command = command("check-config", folder, names, "127.0.0.1:0", set);
    shardcast_patience::Program::start(&mut command).end()
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
}
