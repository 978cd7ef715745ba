//! A broker as operators run it, in a process and a place of its own, and what may become of it.
//!
//! Invariant: its process and its folder go with it; it comes back at the same address with what
//! was on its disk. Used by clusters.

use crate::place::{Place, Side};
use shardcast_patience::{Program, wait_until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nats,
    Redis,
}

impl Kind {
    /// As `[cluster] broker` names it; the scheme of its URL, too.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Nats => "nats",
            Kind::Redis => "redis",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Kind::Nats => "nats-server",
            Kind::Redis => "redis-server",
        }
    }

    /// Whether this machine has it.
    ///
    /// # Panics
    /// It has not, and nothing may be left out.
    pub(crate) fn is_here(self) -> bool {
        let here = Command::new(self.program())
            .arg("--version")
            .output()
            .is_ok();
        if !here {
            let program = self.program();
            shardcast_patience::leave_out(&format!("clusters over {program}, which is missing"));
        }
        here
    }
}

/// A broker, running or not.
#[derive(Debug)]
pub(crate) struct Broker {
    kind: Kind,
    address: SocketAddr,
    folder: PathBuf,
    more: Vec<String>,
    program: Option<Program>,
    /// Goes behind the program.
    place: Place,
}

impl Broker {
    /// Starts one, with an empty disk.
    pub(crate) fn start(kind: Kind) -> Broker {
        Broker::start_with(kind, &[])
    }

    /// The same with further arguments.
    pub(crate) fn start_with(kind: Kind, more: &[&str]) -> Broker {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("shardcast-broker-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let place = Place::new();
        let address = SocketAddr::new(place.address(Side::Back), place.port(4222));
        let mut broker = Broker {
            kind,
            address,
            folder,
            more: more.iter().map(|word| (*word).to_owned()).collect(),
            program: None,
            place,
        };
        broker.restart();
        broker
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(&mut self) {
        // Dropping a program is SIGKILL and a wait.
        drop(self.program.take());
    }

    /// Starts it at the same address with what is on its disk, and waits until it answers.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut command = self.place.command(self.kind.program());
        let (host, port) = (
            self.address.ip().to_string(),
            self.address.port().to_string(),
        );
        match self.kind {
            Kind::Nats => command
                .args(["-a", &host, "-p", &port, "-js", "-sd"])
                .arg(&self.folder),
            Kind::Redis => command
                .args(["--bind", &host, "--port", &port, "--protected-mode", "no"])
                .args(["--save", "", "--appendonly", "yes"])
                // Otherwise it may put off writing for two seconds while its disk is busy.
                .args(["--appendfsync", "always", "--dir"])
                .arg(&self.folder),
        };
        self.program = Some(Program::start(command.args(&self.more)));
        wait_until("the broker answers", || self.answers());
    }

    /// Where its store is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stops its process where it stands: connections stay, nobody answers.
    pub(crate) fn freeze(&self) {
        self.program.as_ref().expect("it runs").signal("STOP");
    }

    /// It goes on.
    pub(crate) fn thaw(&self) {
        self.program.as_ref().expect("it runs").signal("CONT");
    }

    /// It talks to clients. Redis says nothing by itself; NATS does, before it asks who comes.
    fn answers(&self) -> bool {
        let patience = Duration::from_secs(1);
        let Ok(mut socket) = TcpStream::connect_timeout(&self.address, patience) else {
            return false;
        };
        _ = socket.set_read_timeout(Some(patience));
        let (says, hears): (&[u8], &[u8]) = match self.kind {
            Kind::Nats => (b"", b"INFO"),
            Kind::Redis => (b"PING\r\n", b"+PONG"),
        };
        if socket.write_all(says).is_err() {
            return false;
        }
        let (mut heard, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = socket.read(&mut piece) {
            heard.extend_from_slice(&piece[..count]);
            if heard.windows(hears.len()).any(|window| window == hears) {
                return true;
            }
        }
        false
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        _ = std::fs::remove_dir_all(&self.folder);
    }
}
