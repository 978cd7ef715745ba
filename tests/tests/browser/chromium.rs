//! A headless Chromium with a profile of its own, for one page.
//!
//! Invariant: when it is dropped, or the test's process ends in whatever way, the browser ends and its profile goes.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) struct Chromium {
    /// Runs [`KEEPER`].
    keeper: Child,
    profile: PathBuf,
}

/// A shell, so that it outlives a test that is killed. Its standard input is the test's end of a pipe.
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

/// No sandbox, because root may not have one. The rest keeps the browser from doing anything but show the page.
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
    /// Shows the page at this address.
    pub(crate) fn start(address: &str) -> Chromium {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let program = installed();
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let profile =
            std::env::temp_dir().join(format!("shardcast-browser-{}-{number}", std::process::id()));
        fs::create_dir(&profile).expect("a new folder for the profile");
        let log = File::create(profile.join(LOG)).expect("a new file in the profile");
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(&profile)
            .arg(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(address)
            // Whatever it leaves outside its profile.
            .env("HOME", &profile)
            .env("TMPDIR", &profile)
            .env("XDG_CONFIG_HOME", &profile)
            .env("XDG_CACHE_HOME", &profile)
            // A group that the terminal does not interrupt, so that it can tidy up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("a shell starts");
        Chromium { keeper, profile }
    }

    /// What it has written on standard error.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.profile.join(LOG)).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Closes the pipe first.
        let _ = self.keeper.wait();
    }
}

/// A file in the profile.
const LOG: &str = "stderr";

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
