//! `shardcast serve` in a process of its own, as users run it: a configuration file in, the ready line, metrics and the log out.
//!
//! Invariant: the process ends and its configuration file goes when this is dropped. Used by the tests of clients and of attacks.

use crate::PATIENCE;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A running server.
#[derive(Debug)]
pub struct Served {
    program: Child,
    ready: String,
    log: Arc<Mutex<String>>,
    /// Fills `log`.
    logging: Option<JoinHandle<()>>,
    configuration: PathBuf,
}

/// What of the log is kept: an attack that makes the server log without end would be a finding.
const LOG_BYTES_MAX: usize = 16 << 20;

impl Served {
    /// Starts the program (`env!("CARGO_BIN_EXE_served")`) with this configuration (TOML), and waits until it is ready.
    ///
    /// # Panics
    /// It does not become ready; the message holds what it wrote.
    #[track_caller]
    pub fn start(program: &str, toml: &str) -> Served {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("shardcast-served-{}-{number}.toml", std::process::id());
        let configuration = std::env::temp_dir().join(name);
        fs::write(&configuration, toml).expect("a temporary file");
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SHARDCAST_") {
                command.env_remove(name);
            }
        }
        let mut program = command
            .args(["serve", "--config"])
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (output, errors) = (program.stdout.take(), program.stderr.take());
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        let logging = std::thread::spawn(move || {
            for line in BufReader::new(errors.expect("it is piped")).lines() {
                let (Ok(line), mut kept) = (line, kept.lock().expect("no thread panics")) else {
                    continue;
                };
                if kept.len() < LOG_BYTES_MAX {
                    *kept += &line;
                    kept.push('\n');
                }
            }
        });
        let mut ready = String::new();
        BufReader::new(output.expect("it is piped"))
            .read_line(&mut ready)
            .expect("text");
        let served = Served {
            program,
            ready,
            log,
            logging: Some(logging),
            configuration,
        };
        assert!(
            served.ready.contains(" ready: "),
            "not ready: {toml}\n{}",
            served.log()
        );
        served
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
        let mut socket = TcpStream::connect(self.told("http://")).expect("the admin port accepts");
        socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
        write!(socket, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
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
        let start = format!("shardcast_{name}{{");
        let (_, text) = self.ask("/metrics");
        let values: Vec<u64> = text
            .lines()
            .filter(|line| line.starts_with(&start))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse().ok())
            .collect();
        assert!(!values.is_empty(), "no {start} in {text}");
        values.iter().sum()
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
        // Behind the name, which may hold anything: state is the first field, utime the 12th, stime the 13th.
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
        self.log.lock().expect("no thread panics").clone()
    }

    /// Tells it to drain.
    pub fn terminate(&self) {
        let kill = ["-c", &format!("kill -TERM {}", self.id())];
        let sent = Command::new("sh").args(kill).status().expect("a shell");
        assert!(sent.success(), "the server lives");
    }

    /// Waits for the end, which the caller has brought about: its exit code and everything that it has logged.
    pub fn end(mut self) -> (Option<i32>, String) {
        let status = self.program.wait().expect("a child");
        let logging = self.logging.take().expect("only here and in drop");
        logging.join().expect("it does not panic");
        (status.code(), self.log())
    }
}

/// The unit of CPU times in `/proc`, which is 10 ms on every Linux that we know (USER_HZ).
pub const CPU_STEP: Duration = Duration::from_millis(10);

impl Drop for Served {
    fn drop(&mut self) {
        let _already_ended = self.program.kill();
        let _already_waited = self.program.wait();
        let _nobody_minds = fs::remove_file(&self.configuration);
    }
}
