//! Servers that a test starts: a peer of `bench/peers` by its script, or our own.
//!
//! Invariant: every wait has a deadline, and every process ends with its test. Used by `peers` and
//! `secure`.

use shardcast_patience::Program;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How a script says that it misses a tool.
const EXIT_MISSING: i32 = 69;
/// How long a build may take that nobody has made before.
const BUILD_TIME_MAX: Duration = Duration::from_secs(600);

/// A running server.
pub(crate) struct Server {
    pub(crate) address: String,
    _program: Program,
}

impl Server {
    /// Starts a server at a port of its own.
    pub(crate) fn start<A: AsRef<OsStr>>(command: &mut Command, arguments: &[A]) -> Server {
        let listen = ["--listen", "127.0.0.1:0"];
        let mut program = Program::start(command.args(listen).args(arguments));
        let line = program.line().expect("it says where it listens");
        // As in "NAME listens on 127.0.0.1:40123, one thread".
        let (_, rest) = line.split_once("listens on ").expect("an address");
        let address = rest.split(',').next().unwrap_or(rest).trim().to_owned();
        Server {
            address,
            _program: program,
        }
    }
}

/// The script of a peer that is ready to start. `None`: a tool is missing.
pub(crate) fn prepared(name: &str) -> Option<Command> {
    let script = || {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let mut command = Command::new(folder.join(name).join("start"));
        // The development build is made of what the tests have built already.
        command.env("PEER_PROFILE", "dev");
        command.env("CARGO_TARGET_DIR", target());
        command
    };
    let ended = Program::start(script().arg("--prepare")).end_within(BUILD_TIME_MAX);
    if ended.code == Some(EXIT_MISSING) {
        return None;
    }
    assert_eq!(ended.code, Some(0), "{name} --prepare: {}", ended.errors);
    Some(script())
}

/// The folder that holds `debug`.
pub(crate) fn target() -> PathBuf {
    let server = Path::new(env!("CARGO_BIN_EXE_raw-server"));
    server.ancestors().nth(2).expect("a folder").to_owned()
}

/// Runs a build to its end.
#[allow(dead_code, reason = "the peers build themselves")]
pub(crate) fn build(command: &mut Command) {
    let ended = Program::start(command).end_within(BUILD_TIME_MAX);
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
}
