//! A broker for the time of a measurement: started from the path, on a port and in a folder of its
//! own. Gone when dropped. Used by the parts of the work.

use crate::cluster::resp::Resp;
use crate::threads::threads_ns;
use clap::ValueEnum;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// From start to the first answer.
const START_TIME_MAX: Duration = Duration::from_secs(10);
/// Between two looks at it.
const POLL: Duration = Duration::from_millis(20);

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BrokerName {
    /// `redis-server`: keeps logs, which it writes to the disk once a second.
    Redis,
    /// `nats-server`.
    Nats,
}

impl BrokerName {
    /// All of them.
    pub const ALL: [BrokerName; 2] = [BrokerName::Redis, BrokerName::Nats];
}

/// As `cluster.broker` and URLs have it.
impl fmt::Display for BrokerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BrokerName::Redis => "redis",
            BrokerName::Nats => "nats",
        })
    }
}

/// A running one.
#[derive(Debug)]
pub(super) struct MeasuredBroker {
    pub(super) name: BrokerName,
    address: SocketAddr,
    child: Child,
    folder: PathBuf,
}

impl MeasuredBroker {
    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub(super) fn start(name: BrokerName) -> io::Result<MeasuredBroker> {
        let port = free_port()?;
        let folder = format!("shardcast-bench-{name}-{}-{port}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder)?;
        let mut command = Command::new(format!("{name}-server"));
        let text = port.to_string();
        match name {
            BrokerName::Redis => command
                .args(["--bind", "127.0.0.1", "--port", &text, "--save", ""])
                .args(["--appendonly", "yes", "--appendfsync", "everysec", "--dir"])
                .arg(&folder),
            BrokerName::Nats => command
                .args(["-a", "127.0.0.1", "-p", &text, "-js", "-sd"])
                .arg(&folder),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn();
        let child = child.map_err(|error| io::Error::other(format!("{name}-server: {error}")))?;
        let mut broker = MeasuredBroker {
            name,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            child,
            folder,
        };
        broker.wait()?;
        Ok(broker)
    }

    fn wait(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + START_TIME_MAX;
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                let why = format!("{}-server ended with {status}", self.name);
                return Err(io::Error::other(why));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other("the broker does not listen"));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Where nodes find it.
    pub(super) fn url(&self) -> String {
        format!("{}://{}", self.name, self.address)
    }

    /// CPU time of all its threads so far, in ns.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn cpu_ns(&self) -> io::Result<u64> {
        threads_ns(self.child.id(), |_| true)
    }

    /// A connection to it, where it is Redis.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn resp(&self) -> io::Result<Resp> {
        Resp::connect(self.address)
    }

    /// How often it was asked to do each of these (`INFO commandstats`).
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn calls(&self, command: &str) -> io::Result<u64> {
        let text = self.resp()?.ask(&[b"INFO", b"commandstats"])?.text();
        let start = format!("cmdstat_{command}:calls=");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        let calls = line.and_then(|rest| rest.split(',').next());
        Ok(calls.and_then(|calls| calls.parse().ok()).unwrap_or(0))
    }
}

/// A port that nobody listens at now.
fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

impl Drop for MeasuredBroker {
    fn drop(&mut self) {
        // Fails only if it ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
