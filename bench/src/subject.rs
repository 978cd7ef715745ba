//! A server under measurement by our own clients instead of the load generator's: started alone on
//! its cores, asked what it has cost so far. Gone when dropped. Called by `recovery`, `stalled`,
//! `joins`, `deltas`, `uploads`, `backends`, `batches`, `scraped` and `observed`.

use crate::child::Child;
use crate::command;
use crate::prepare::Places;
use crate::server::Server;
use crate::threads::threads_ns;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below any range that connecting sockets are given ports from, and beside those of `run` and
/// `scale`. Each server takes its port and the one above, and another one than the server before:
/// the kernel may still be closing the rings of that one, and its listeners with them.
const PORTS: Range<u16> = 9_200..9_400;
const PORTS_PER_SERVER: u16 = 2;
static SERVERS: AtomicU16 = AtomicU16::new(0);

/// A started server.
#[derive(Debug)]
pub(crate) struct Subject {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Subject {
    /// Starts it, with more of its command line.
    ///
    /// # Errors
    /// It does not start; with what it complained about.
    pub(crate) fn start(places: &Places, server: Server, more: &[&str]) -> io::Result<Subject> {
        let port = next_port();
        let log = format!("shardcast-bench-{}-{port}.log", std::process::id());
        let log = std::env::temp_dir().join(log);
        let mut words = command::server(places, server, port)?;
        words.extend(more.iter().map(OsString::from));
        let child = Child::start(&words, places.target.as_os_str(), &File::create(&log)?)?;
        let mut subject = Subject { child, port, log };
        match subject.child.wait_until_listening(port) {
            Ok(()) => Ok(subject),
            Err(error) => {
                let complaints = fs::read_to_string(&subject.log).unwrap_or_default();
                Err(io::Error::other(format!("{error}\n{complaints}")))
            }
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Where operators connect, if it is the product.
    pub(crate) fn admin(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port + 1))
    }

    /// CPU time of all its threads so far, user and system, in ns.
    ///
    /// # Errors
    /// The kernel keeps no such figure (`CONFIG_SCHEDSTATS`, since Linux 2.6).
    pub(crate) fn cpu_ns(&self) -> io::Result<u64> {
        threads_ns(self.child.id(), |_| true)
    }

    /// The same of its shards' threads.
    ///
    /// # Errors
    /// Alike.
    pub(crate) fn shards_ns(&self) -> io::Result<u64> {
        threads_ns(self.child.id(), |name| name.starts_with("shard"))
    }

    /// Resident memory that is its own, in bytes: `RssAnon` of proc_pid_status(5).
    ///
    /// # Errors
    /// The server has ended.
    pub(crate) fn memory_bytes(&self) -> io::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.map(|kib| kib << 10)
            .ok_or_else(|| io::Error::other("the server has ended"))
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

fn next_port() -> u16 {
    let number = SERVERS.fetch_add(PORTS_PER_SERVER, Ordering::Relaxed);
    let offset = std::process::id() as u16;
    let places = PORTS.len() as u16 / PORTS_PER_SERVER;
    PORTS.start
        + offset
            .wrapping_mul(8)
            .wrapping_add(number / PORTS_PER_SERVER)
            % places
            * PORTS_PER_SERVER
}

impl Drop for Subject {
    fn drop(&mut self) {
        // What it complained about was told if it mattered.
        let _ = fs::remove_file(&self.log);
    }
}
