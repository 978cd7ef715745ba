//! Many connections in one process: a `shardcast` on all cores holds them in rooms, speaks the
//! native dialect, and sends one broadcast to each room and one to everyone; each must arrive once.
//! Called by the binary.

use crate::child::Child;
use crate::host::Host;
use crate::load::Load;
use crate::prepare::Places;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Below any range that connecting sockets are given ports from.
const PORT: u16 = 9_400;
/// Connections above the number asked for: publishers, and those that a shard keeps for refusing.
const SPARE_CONNECTIONS: u32 = 10_000;
/// Kernel memory of both ends and the load generator's share, in KiB a connection: without so much
/// the host would begin to kill.
const HOST_KIB_PER_CONNECTION: u64 = 14;
/// Connects a second that a run is given time for.
const CONNECTS_PER_S_MIN: u64 = 2_000;
/// Besides connecting.
const TIME_MAX: Duration = Duration::from_secs(600);

/// What to hold.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Connections.
    pub connections: u32,
    /// Rooms that they are spread over.
    pub rooms: u32,
    /// Shards of the server.
    pub shards: u16,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct ScaleOutcome {
    /// Circumstances.
    #[serde(flatten)]
    pub host: Host,
    /// Shards of the server.
    pub shards: u16,
    /// What the load generator wrote.
    pub load: Load,
}

/// Starts the server, fills it, broadcasts, and looks at what it cost.
///
/// # Errors
/// The host has too little memory; a program fails or takes too long, with what it complained
/// about; or the network lost something.
pub fn scale(scale: Scale, places: &Places, host: Host) -> io::Result<ScaleOutcome> {
    let needed = u64::from(scale.connections) * HOST_KIB_PER_CONNECTION;
    let available = available_kib().unwrap_or(u64::MAX);
    if available < needed {
        return Err(io::Error::other(format!(
            "{} connections with both ends on this host need about {} MiB, available are {}",
            scale.connections,
            needed >> 10,
            available >> 10,
        )));
    }
    let folder = Folder::new()?;
    let result = run(scale, places, host, &folder.0);
    let complaints = fs::read_to_string(folder.0.join("log")).unwrap_or_default();
    result.map_err(|error| io::Error::other(format!("{error}\n{complaints}")))
}

fn run(scale: Scale, places: &Places, host: Host, folder: &Path) -> io::Result<ScaleOutcome> {
    let (log, report) = (File::create(folder.join("log"))?, folder.join("report"));
    let target = places.target.as_os_str();
    let mut server = Child::start(&server_command(scale, places), target, &log)?;
    server.wait_until_listening(PORT)?;
    let mut command = load_command(scale, places);
    command.extend(["--server-pid", &server.id().to_string(), "--json"].map(OsString::from));
    command.push(report.clone().into_os_string());
    let connecting = u64::from(scale.connections) / CONNECTS_PER_S_MIN;
    let within = TIME_MAX + Duration::from_secs(connecting);
    let status = Child::start(&command, target, &log)?.wait(within)?;
    let text = fs::read_to_string(&report).unwrap_or_default();
    let mut load: Load = serde_json::from_str(&text).map_err(|error| {
        io::Error::other(format!(
            "the load generator ended with {status}, report: {error}"
        ))
    })?;
    load.slim();
    Ok(ScaleOutcome {
        host,
        shards: scale.shards,
        load,
    })
}

/// Heartbeats stay on, but rarer: a million pongs in 25 s would measure the load generator's core.
fn server_command(scale: Scale, places: &Places) -> Vec<OsString> {
    let (listen, admin) = (
        format!("127.0.0.1:{PORT}"),
        format!("127.0.0.1:{}", PORT + 1),
    );
    let connections = format!(
        "limits.max_connections={}",
        u64::from(scale.connections) + u64::from(SPARE_CONNECTIONS)
    );
    let shards = scale.shards.to_string();
    let arguments = [
        "serve",
        "--listen",
        &listen,
        "--admin",
        &admin,
        "--shards",
        &shards,
        "--set",
        &connections,
        "--set",
        "timeouts.handshake=60s",
        "--set",
        "timeouts.heartbeat=5m",
        "--set",
        "timeouts.pong=2m",
        "--set",
        "timeouts.idle=30m",
    ];
    let program = places.own("shardcast").into_os_string();
    std::iter::once(program)
        .chain(arguments.map(OsString::from))
        .collect()
}

fn load_command(scale: Scale, places: &Places) -> Vec<OsString> {
    let url = format!("ws://127.0.0.1:{PORT}/ws");
    let (connections, rooms) = (scale.connections.to_string(), scale.rooms.to_string());
    let arguments = [
        "idle",
        "--protocol",
        "native",
        "--url",
        &url,
        "--connections",
        &connections,
        "--rooms",
        &rooms,
        "--hold",
        "2s",
        "--broadcast-once",
        "--drain",
        "5m",
    ];
    let program = places.own("shardcast-load").into_os_string();
    std::iter::once(program)
        .chain(arguments.map(OsString::from))
        .collect()
}

fn available_kib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse().ok()
}

impl ScaleOutcome {
    /// Everything that was sent arrived once, in order, undamaged.
    pub fn is_whole(&self) -> bool {
        self.load.faults() == 0
            && !self.load.partial
            && self.received() == self.expected()
            && self.expected() > 0
    }

    /// For people, one line per figure.
    pub fn to_text(&self) -> String {
        let (connections, connect) = (self.load.connections, &self.load.connect);
        let figure = |value: Option<f64>| {
            value.map_or("not measured".to_owned(), |value| format!("{value:.1}"))
        };
        let kernel = self.kernel_bytes_per_connection();
        format!(
            "{connections} connections in {} rooms, {} shards, commit {}, Linux {}, {}\n\
             connecting      {} a second, server CPU {} µs each\n\
             server process  {} bytes a connection\n\
             kernel          {} bytes a connection, both ends together\n\
             broadcasts      {} of {} messages received\n",
            self.load.rooms.unwrap_or(1),
            self.shards,
            self.host.commit,
            self.host.kernel,
            self.host.date,
            figure(
                connect
                    .rest
                    .get("per_s")
                    .and_then(serde_json::Value::as_f64)
            ),
            figure(connect.server_cpu_us),
            figure(self.load.server.bytes_per_connection),
            figure(kernel),
            self.received(),
            self.expected(),
        )
    }

    fn received(&self) -> u64 {
        self.number("received")
    }

    fn expected(&self) -> u64 {
        self.number("expected")
    }

    fn number(&self, name: &str) -> u64 {
        self.load
            .rest
            .get(name)
            .and_then(serde_json::Value::as_u64)
            .unwrap_or(0)
    }

    fn kernel_bytes_per_connection(&self) -> Option<f64> {
        let kib = |name: &str| self.load.server.rest.get(name)?.as_f64();
        let grown = kib("kernel_kib_after")? - kib("kernel_kib_before")?;
        Some(grown * 1024.0 / self.load.connections.max(1) as f64)
    }
}

/// Removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Folder> {
        let path = std::env::temp_dir().join(format!("shardcast-scale-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A temporary folder that stays is no failure of the run.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(received: u64, lost: u64) -> ScaleOutcome {
        let load = serde_json::json!({
            "scenario": "idle", "connections": 1000, "rooms": 10, "sent": 11, "received": received, "expected": 2000, "lost": lost,
            "connect": {"per_s": 12_345.6, "server_cpu_us": 10.0},
            "server": {"bytes_per_connection": 164.2, "kernel_kib_before": 100, "kernel_kib_after": 9_865},
        });
        ScaleOutcome {
            host: Host {
                date: "2026-01-02T03:04:05Z".into(),
                commit: "abc".into(),
                kernel: "6.18".into(),
                processor: String::new(),
                cores: 2,
            },
            shards: 2,
            load: serde_json::from_value(load).expect("a report"),
        }
    }

    #[test]
    fn an_outcome_is_whole_when_everything_arrived() {
        assert!(outcome(2000, 0).is_whole());
        assert!(!outcome(1999, 1).is_whole());
        assert!(!outcome(1999, 0).is_whole());
    }

    #[test]
    fn process_and_kernel_stand_apart() {
        let text = outcome(2000, 0).to_text();
        for line in [
            "1000 connections in 10 rooms, 2 shards, commit abc, Linux 6.18, 2026-01-02T03:04:05Z\n",
            "connecting      12345.6 a second, server CPU 10.0 µs each\n",
            "server process  164.2 bytes a connection\n",
            "kernel          9999.4 bytes a connection, both ends together\n",
            "broadcasts      2000 of 2000 messages received\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn a_host_without_the_memory_is_told_so() {
        let places = Places {
            repository: "no-such-repository".into(),
            target: "no-such-folder".into(),
            floor: None,
            against: None,
        };
        let much = Scale {
            connections: u32::MAX,
            rooms: 1,
            shards: 1,
        };
        let error = scale(much, &places, outcome(0, 0).host)
            .expect_err("no host has it")
            .to_string();
        assert!(error.contains("need about 58720255 MiB"), "{error}");
    }
}
