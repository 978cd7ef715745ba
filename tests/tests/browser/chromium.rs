//! A headless Chromium with a profile of its own, for one page.
//!
//! Invariant: when it is dropped, or the test's process ends in whatever way, the browser ends and
//! its profile goes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub(crate) struct Chromium {
    /// Runs [`KEEPER`].
    keeper: Child,
    /// What it has written on standard error.
    log: Arc<Mutex<String>>,
    /// Where it listens for an inspector, once it does.
    inspectors: Receiver<String>,
}

/// A shell, so that it outlives a test that is killed. Its standard input is the test's end of a
/// pipe.
const KEEPER: &str = r#"
    profile=$1
    shift
    timeout --kill-after=10 300 "$@" &
    read -r until_the_test_lets_go
    kill $!
    wait $!
    rm -rf "$profile"
"#;

/// Debian's name, and that of others.
const PROGRAMS: [&str; 2] = ["chromium", "chromium-browser"];

/// No sandbox, because root may not have one. The rest keeps the browser from doing anything but
/// show the page.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
];

impl Chromium {
    /// With these arguments after its own: the last one is the page's address.
    pub(crate) fn start(arguments: &[&str]) -> Chromium {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let program = installed();
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let profile =
            std::env::temp_dir().join(format!("shardcast-browser-{}-{number}", std::process::id()));
        fs::create_dir(&profile).expect("a new folder for the profile");
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(&profile)
            .arg(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .args(arguments)
            // Whatever it leaves outside its profile.
            .env("HOME", &profile)
            .env("TMPDIR", &profile)
            .env("XDG_CONFIG_HOME", &profile)
            .env("XDG_CACHE_HOME", &profile)
            // A group that the terminal does not interrupt, so that it can tidy up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let stderr = keeper.stderr.take().expect("it is piped");
        let log = Arc::new(Mutex::new(String::new()));
        let (listens, inspectors) = sync_channel(1);
        let kept = Arc::clone(&log);
        thread::spawn(move || keep(stderr, &kept, &listens));
        Chromium {
            keeper,
            log,
            inspectors,
        }
    }

    /// What it has written on standard error.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("no thread panics").clone()
    }

    /// The WebSocket address for an inspector of a browser that was started with a debugging port.
    pub(crate) fn inspector(&self) -> String {
        self.inspectors
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("no inspector for {PATIENCE:?}:\n{}", self.log()))
    }
}

/// A browser starts within seconds even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps what the browser writes, and hears where it listens.
fn keep(stderr: ChildStderr, log: &Mutex<String>, listens: &SyncSender<String>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if let Some(address) = line.strip_prefix("DevTools listening on ") {
            // Nobody may want to know.
            let _ = listens.try_send(address.to_owned());
        }
        let mut log = log.lock().expect("no thread panics");
        if log.len() < LOG_BYTES_MAX {
            *log += &line;
            log.push('\n');
        }
    }
}

/// The beginning tells what is wrong.
const LOG_BYTES_MAX: usize = 1 << 20;

impl Drop for Chromium {
    fn drop(&mut self) {
        // Closes the pipe first.
        let _ = self.keeper.wait();
    }
}

/// Where the browser is.
fn installed() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path);
    let found = folders.find_map(|folder| {
        PROGRAMS
            .map(|name| folder.join(name))
            .into_iter()
            .find(|file| file.is_file())
    });
    found.unwrap_or_else(|| {
        panic!("this test needs a browser, and no {} is on the PATH: apt-get install chromium (tests/run does it)", PROGRAMS.join(" or "))
    })
}
