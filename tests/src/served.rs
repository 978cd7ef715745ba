//! `shardcast serve` in a process of its own, as users run it: a configuration file in, the ready
//! line, metrics and the log out.
//!
//! Invariant: the process ends and its configuration file goes when this is dropped. Used by the
//! tests of clients and of attacks.

use crate::{PATIENCE, driver};
use shardcast_patience::Program;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A running server.
#[derive(Debug)]
pub struct Served {
    program: Program,
    ready: String,
    /// Goes with the server.
    configuration: Configuration,
}

/// A configuration file, which goes when this is dropped.
#[derive(Debug)]
struct Configuration(PathBuf);

impl Configuration {
    fn write(toml: &str) -> Configuration {
        static WRITTEN: AtomicU32 = AtomicU32::new(0);
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let name = format!("shardcast-served-{}-{number}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, toml).expect("a temporary file");
        Configuration(path)
    }
}

impl Drop for Configuration {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_file(&self.0);
    }
}

impl Served {
    /// Starts the program (`env!("CARGO_BIN_EXE_served")`) with this configuration (TOML), and
    /// waits until it is ready.
    ///
    /// # Panics
    /// It does not become ready; the message holds what it wrote.
    #[track_caller]
    pub fn start(program: &str, toml: &str) -> Served {
        Served::start_by(Command::new(program), toml)
    }

    /// The same by a command that becomes the program, or runs it elsewhere; its arguments follow.
    ///
    /// # Panics
    /// It does not become ready; the message holds what it wrote.
    #[track_caller]
    pub fn start_by(mut command: Command, toml: &str) -> Served {
        let configuration = Configuration::write(toml);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SHARDCAST_") {
                command.env_remove(name);
            }
        }
        command.env("SHARDCAST_SERVER_DRIVER", driver().to_string());
        command.args(["serve", "--config"]).arg(&configuration.0);
        let mut program = Program::start(&mut command);
        let ready = program.line().unwrap_or_default();
        if !ready.contains(" ready: ") {
            panic!("not ready: {toml}\n{}", program.end().errors);
        }
        Served {
            program,
            ready,
            configuration,
        }
    }

    /// Where clients connect: the first listener of this scheme, `ws` or `wss`.
    ///
    /// # Panics
    /// There is none.
    #[track_caller]
    pub fn address(&self, scheme: &str) -> SocketAddr {
        self.told(&format!("{scheme}://"))
    }

    /// The address that the ready line tells behind these words.
    #[track_caller]
    fn told(&self, before: &str) -> SocketAddr {
        let mut words = self.ready.split([' ', ',', '\n']);
        let word = words.find_map(|word| word.strip_prefix(before));
        let address = word.and_then(|word| word.split('/').next());
        address
            .and_then(|address| address.parse().ok())
            .unwrap_or_else(|| panic!("no {before} in {:?}", self.ready))
    }

    /// A path of the admin port: status and body.
    #[track_caller]
    pub fn ask(&self, path: &str) -> (u16, String) {
        self.exchange(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    /// A call of the admin port with a body in JSON: status and body.
    #[track_caller]
    pub fn call(&self, path: &str, json: &str) -> (u16, String) {
        self.call_with(path, "", json)
    }

    /// The same with more header lines, each with its end.
    #[track_caller]
    pub fn call_with(&self, path: &str, lines: &str, json: &str) -> (u16, String) {
        let length = json.len();
        self.exchange(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{lines}\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{json}"
        ))
    }

    #[track_caller]
    fn exchange(&self, request: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(self.told("http://")).expect("the admin port accepts");
        socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
        socket.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("HTTP");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    /// The sum over the shards of a metric, named as in `/metrics` without `shardcast_`.
    ///
    /// # Panics
    /// There is no such metric.
    #[track_caller]
    pub fn metric(&self, name: &str) -> u64 {
        // With labels, of which all are added up, or without.
        let name = format!("shardcast_{name}");
        let is_its = |rest: &str| rest.starts_with(['{', ' ']);
        let (_, text) = self.ask("/metrics");
        let values: Vec<u64> = text
            .lines()
            .filter(|line| line.strip_prefix(&name).is_some_and(is_its))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse().ok())
            .collect();
        assert!(!values.is_empty(), "no {name} in {text}");
        values.iter().sum()
    }

    /// What it has written to standard error so far.
    pub fn errors(&self) -> String {
        self.program.errors()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    /// Memory that the kernel holds for it, in bytes (VmRSS).
    pub fn resident_bytes(&self) -> u64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kib.expect("proc(5)") << 10
    }

    /// CPU time of all its threads so far, user and system, to [`CPU_STEP`].
    pub fn cpu(&self) -> Duration {
        let stat = self.read("stat");
        // Behind the name, which may hold anything: state is the first field, utime the 12th, stime
        // the 13th.
        let (_, fields) = stat.rsplit_once(") ").expect("proc(5)");
        let ticks = fields.split(' ').skip(11).take(2);
        let ticks: u32 = ticks.filter_map(|field| field.parse::<u32>().ok()).sum();
        CPU_STEP * ticks
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.id())).expect("the server lives")
    }

    /// What it has logged up to now.
    pub fn log(&self) -> String {
        self.program.errors()
    }

    /// Tells it to drain.
    pub fn terminate(&self) {
        self.program.signal("TERM");
    }

    /// Stops the process where it stands: its connections stay, and it says nothing.
    pub fn freeze(&self) {
        self.program.signal("STOP");
    }

    /// It goes on.
    pub fn thaw(&self) {
        self.program.signal("CONT");
    }

    /// Tells it to read its files again.
    pub fn hang_up(&self) {
        self.program.signal("HUP");
    }

    /// Gives it another configuration file, which it reads when it is told to.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn reconfigure(&self, toml: &str) {
        fs::write(&self.configuration.0, toml).expect("a temporary file");
    }

    /// Waits for the end, which the caller has brought about: its exit code and everything that it
    /// has logged.
    #[track_caller]
    pub fn end(self) -> (Option<i32>, String) {
        let ended = self.program.end();
        (ended.code, ended.errors)
    }
}

/// The unit of CPU times in `/proc`, which is 10 ms on every Linux that we know (USER_HZ).
pub const CPU_STEP: Duration = Duration::from_millis(10);
