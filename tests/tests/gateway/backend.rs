//! Backends in processes of their own, and where the server finds them.

use shardcast_patience::Program;
use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where a backend listens; a socket's file goes when this is dropped.
#[derive(Debug)]
pub(crate) enum Place {
    Unix(PathBuf),
    Http(u16),
}

impl Place {
    /// A socket of its own.
    pub(crate) fn unix() -> Place {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("shardcast-gateway-{}-{number}.sock", std::process::id());
        Place::Unix(std::env::temp_dir().join(name))
    }

    /// A port that is free now.
    pub(crate) fn http() -> Place {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        Place::Http(listener.local_addr().expect("bound").port())
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Place::Unix(path) => path,
            Place::Http(_) => panic!("no path"),
        }
    }

    /// As a script is told.
    fn argument(&self) -> OsString {
        match self {
            Place::Unix(path) => path.into(),
            Place::Http(port) => port.to_string().into(),
        }
    }

    pub(crate) fn toml(&self) -> String {
        match self {
            Place::Unix(path) => format!("socket = \"unix:{}\"", path.display()),
            Place::Http(port) => format!("url = \"http://127.0.0.1:{port}/hook?x=1\""),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Place::Unix(path) = self {
            let _nobody_minds = std::fs::remove_file(path);
        }
    }
}

/// A file of the repository.
pub(crate) fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Starts a script in Python that serves on the socket, or on the port, and waits until it does.
#[track_caller]
pub(crate) fn python(script: &str, place: &Place, arguments: &[&str]) -> Program {
    let mut command = Command::new("python3");
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONPATH", file("server/examples/gateway"));
    command
        .arg(file(script))
        .arg(place.argument())
        .args(arguments);
    ready(&mut command)
}

/// The same for the example in Node, with a secret.
#[track_caller]
pub(crate) fn node(script: &str, place: &Place, secret: &str) -> Program {
    let Place::Http(port) = place else {
        panic!("webhooks need a port")
    };
    let mut command = Command::new("node");
    command.env("GATEWAY_SECRET", secret).arg(file(script));
    ready(command.arg(port.to_string()))
}

#[track_caller]
fn ready(command: &mut Command) -> Program {
    let mut program = Program::start(command);
    let line = program.line().unwrap_or_default();
    if !line.starts_with("ready") {
        panic!("not ready: {line}\n{}", program.end().errors);
    }
    program
}
