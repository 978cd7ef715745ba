//! One run: a server started alone on its core, the load generator on the other, one report.
//! Whatever was started is gone when the run ends. Called by `compare`.

use crate::child::Child;
use crate::command;
use crate::load::Load;
use crate::namespace::Namespace;
use crate::prepare::Places;
use crate::server::{Server, Storm, Threads};
use crate::storm::{self, Connects};
use crate::work::Work;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

/// Listening ports, below any range that connecting sockets are given ports from
/// (`ip_local_port_range`).
const PORTS: Range<u16> = 9_500..9_700;
/// A server takes its port and the one above.
const PORTS_PER_RUN: u16 = 2;
/// What a run may take beside its measured time: ramp-up of all connections, waiting for
/// stragglers.
const LOAD_TIME_MAX: Duration = Duration::from_secs(120);
/// Of what programs complain about.
const LOG_LINES_MAX: usize = 10;

/// Makes runs, one at a time.
#[derive(Debug)]
pub struct Runner {
    places: Places,
    namespace: Option<Namespace>,
    /// The next one to try. Each run takes another: those of the last minutes are still held by
    /// closed connections.
    port: u16,
    /// The load generator's report of the run at hand.
    report: PathBuf,
    /// What the programs of the run at hand complain about.
    log: PathBuf,
}

impl Runner {
    /// In a namespace, or on loopback as it is. Files of its runs are in the system's temporary
    /// folder.
    pub fn new(places: Places, namespace: Option<Namespace>) -> Runner {
        let id = std::process::id();
        let file =
            |ending: &str| std::env::temp_dir().join(format!("shardcast-bench-{id}.{ending}"));
        let offset = id as u16 % (PORTS.len() as u16 / PORTS_PER_RUN) * PORTS_PER_RUN;
        Runner {
            places,
            namespace,
            port: PORTS.start + offset,
            report: file("json"),
            log: file("log"),
        }
    }

    /// Starts the server, loads it, stops it.
    ///
    /// # Errors
    /// A program is missing, fails, says something else than a report, or takes too long; with what
    /// it complained about.
    pub fn run(&mut self, server: Server, work: &Work, seconds: u32) -> io::Result<Load> {
        // The load generator appends; what an interrupted run may have left is no report of this
        // one.
        let _ = fs::remove_file(&self.report);
        let complaints = File::create(&self.log)?;
        let result = self.run_logged(server, work, seconds, &complaints);
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        // Absent if nothing got so far as to write them.
        let _ = fs::remove_file(&self.report);
        let _ = fs::remove_file(&self.log);
        result.map_err(|error| io::Error::other(format!("{error}\n{}", beginning(&log))))
    }

    fn run_logged(
        &mut self,
        server: Server,
        work: &Work,
        seconds: u32,
        complaints: &File,
    ) -> io::Result<Load> {
        let port = self.free_port()?;
        if server.arguments.contains(&"{store}") && self.places.store().exists() {
            fs::remove_dir_all(self.places.store())?;
        }
        let command = command::server(&self.places, server, port)?;
        let mut started = self.start(command, complaints)?;
        started.wait_until_listening(port)?;
        let mut command = command::load(&self.places, work, server, seconds);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let url = format!("{}://{address}{}", server.scheme, server.path);
        let pid = started.id().to_string();
        command.extend(["--url", &url, "--server-pid", &pid, "--json"].map(OsString::from));
        command.push(self.report.clone().into_os_string());
        let within = LOAD_TIME_MAX + Duration::from_secs(u64::from(seconds));
        let storm = match server.storm {
            Storm::None => None,
            Storm::Of(header) => Some(Connects::start(address, header)),
        };
        let before = shards_cpu_us(started.id());
        let status = self.start(command, complaints)?.wait(within)?;
        let shards_us = shards_cpu_us(started.id()).saturating_sub(before) as f64;
        let stormed_per_s = storm.as_ref().map(Connects::per_s);
        drop(storm);
        let text = fs::read_to_string(&self.report).unwrap_or_default();
        let mut load: Load = serde_json::from_str(&text).map_err(|error| {
            io::Error::other(format!(
                "the load generator ended with {status}, report: {error}"
            ))
        })?;
        if let Some(per_s) = stormed_per_s {
            let least = storm::SHARE_MIN * f64::from(storm::CONNECTS_PER_SECOND);
            load.count_storm(per_s, least);
        }
        if server.threads == Threads::Shards {
            let messages = (load.rate_per_s * load.duration_s).max(1.0);
            load.server.cpu_us_per_message = Some(shards_us / messages);
        }
        Ok(load)
    }

    fn start(&self, command: Vec<OsString>, complaints: &File) -> io::Result<Child> {
        let mut inside = self.namespace.as_ref().map_or(Vec::new(), Namespace::enter);
        inside.extend(command);
        Child::start(&inside, self.places.target.as_os_str(), complaints)
    }

    fn free_port(&mut self) -> io::Result<u16> {
        for _ in PORTS.step_by(usize::from(PORTS_PER_RUN)) {
            let port = self.port;
            let next = port + PORTS_PER_RUN;
            self.port = if next < PORTS.end { next } else { PORTS.start };
            let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
            if (port..next).all(is_free) {
                return Ok(port);
            }
        }
        Err(io::Error::other(format!("no free port in {PORTS:?}")))
    }
}

/// CPU time of a process's shards, user and system, in µs. 0 where the kernel does not tell.
fn shards_cpu_us(process: u32) -> u64 {
    /// Of `/proc` (`sysconf(_SC_CLK_TCK)`, 100 a second on every Linux).
    const TICK_US: u64 = 10_000;
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let stats = threads
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
            ticks_of_shard(&stat)
        });
    TICK_US * stats.sum::<u64>()
}

/// User and system time of a thread, if it is a shard's (proc_pid_stat(5)).
fn ticks_of_shard(stat: &str) -> Option<u64> {
    let (before, after) = stat.rsplit_once(") ")?;
    let (_, name) = before.split_once('(')?;
    let mut fields = after.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    name.starts_with("shard")
        .then(|| Some(ticks()? + ticks()?))?
}

/// The first complaints name the cause; the rest often says so again for each connection.
fn beginning(log: &str) -> String {
    let lines: Vec<&str> = log.lines().take(LOG_LINES_MAX).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_of_shards_is_told_from_that_of_others() {
        let stat = |name: &str| format!("7 ({name}) S 1 7 7 0 -1 4194368 1 0 0 0 30 12 0 0 20 0 3");
        assert_eq!(ticks_of_shard(&stat("shard-0")), Some(42));
        assert_eq!(ticks_of_shard(&stat("shard (1) x")), Some(42));
        assert_eq!(ticks_of_shard(&stat("tokio-rt-worker")), None);
        assert_eq!(ticks_of_shard("7"), None);
        assert_eq!(shards_cpu_us(std::process::id()), 0);
    }
    use crate::catalogue::find;
    use crate::server::RAW;

    fn runner() -> Runner {
        let places = Places {
            repository: "no-such-repository".into(),
            target: "no-such-folder".into(),
            floor: None,
            against: None,
        };
        Runner::new(places, None)
    }

    #[test]
    fn a_server_that_does_not_start_is_an_error_of_the_run() {
        let mut runner = runner();
        let work = find("echo-100").expect("a work");
        let error = runner
            .run(RAW, work, 1)
            .expect_err("nothing to run")
            .to_string();
        assert!(
            error.starts_with("the server ended with exit status: 127\n"),
            "{error}"
        );
        assert!(
            error.contains("no-such-folder/release/raw-server"),
            "{error}"
        );
        assert!(!runner.log.exists());
    }

    #[test]
    fn each_run_has_other_ports() {
        let mut runner = runner();
        let first = runner.free_port().expect("one of a hundred");
        let second = runner.free_port().expect("another");
        assert!(first.abs_diff(second) >= PORTS_PER_RUN);
        runner.port = PORTS.end - PORTS_PER_RUN;
        runner.free_port().expect("one of a hundred");
        assert!(PORTS.contains(&runner.port));
    }
}
