//! Clients that a package manager brings: installed into the cargo target folder, exactly as their
//! lock files under `tests/clients` say, when a test first needs them or a lock file has changed.
//!
//! Invariant: one test at a time installs of a sort. What cannot be had fails the test with the
//! name of the package that is missing; nothing is skipped.

use shardcast_patience::Program;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// npm `ws`: the script, ready to start.
pub(crate) fn node() -> Command {
    node_script("npm", "client.js")
}

/// A script of a folder with a lock file of npm, ready to start.
pub(crate) fn node_script(lock_folder: &str, script: &str) -> Command {
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folder(lock_folder);
    let lock = source(lock_folder).join("package-lock.json");
    if !is_current(&folder, &lock) {
        for name in ["package.json", "package-lock.json"] {
            fs::copy(source(lock_folder).join(name), folder.join(name)).expect("a writable folder");
        }
        let npm = "npm ci --ignore-scripts --no-audit --no-fund --loglevel=error";
        install(
            "npm",
            Command::new("sh").args(["-c", npm]).current_dir(&folder),
        );
        keep(&folder, &lock);
    }
    drop(one);
    need("node", "nodejs", &["--version"]);
    let mut node = Command::new("node");
    node.arg(source(lock_folder).join(script));
    node.env("NODE_PATH", folder.join("node_modules"));
    node
}

/// The text of a file of a module that a folder's lock file names: what a page includes.
pub(crate) fn node_module(lock_folder: &str, file: &str) -> String {
    drop(node_script(lock_folder, ""));
    let file = folder(lock_folder).join("node_modules").join(file);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The same for the Node of the lock file, which is younger than Debian's.
pub(crate) fn new_node_script(lock_folder: &str, script: &str) -> Command {
    let system = node_script(lock_folder, script);
    let machine = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "x64",
    };
    let modules = folder(lock_folder).join("node_modules");
    let mut node = Command::new(modules.join(format!("node-linux-{machine}/bin/node")));
    node.args(system.get_args()).env("NODE_PATH", modules);
    node
}

/// Our own client for browsers, built and packed as its users do it: the folder with its `dist`.
pub(crate) fn client_js() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build_client_js).clone()
}

fn build_client_js() -> PathBuf {
    need("node", "nodejs", &["--version"]);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = folder("client-js");
    let client = root.join("client/js");
    for name in ["src", "test"] {
        // What was renamed meanwhile is not there any more.
        let _not_there_yet = fs::remove_dir_all(client.join(name));
    }
    for name in [
        "client/js",
        "client/js/src",
        "client/js/test",
        "client/js/test/support",
        "docs",
    ] {
        let (from, to) = (repository.join(name), root.join(name));
        fs::create_dir_all(&to).expect("a writable target folder");
        for file in fs::read_dir(from)
            .expect("a folder of the repository")
            .flatten()
        {
            if file.path().is_file() {
                fs::copy(file.path(), to.join(file.file_name())).expect("a writable folder");
            }
        }
    }
    for license in ["LICENSE-APACHE", "LICENSE-MIT"] {
        fs::copy(repository.join(license), root.join(license)).expect("a writable folder");
    }
    let lock = repository.join("client/js/package-lock.json");
    if !is_current(&client, &lock) {
        let npm = "npm ci --ignore-scripts --no-audit --no-fund --loglevel=error";
        install(
            "npm",
            Command::new("sh").args(["-c", npm]).current_dir(&client),
        );
        keep(&client, &lock);
    }
    for script in ["npm run --silent check", "npm pack --silent"] {
        let mut command = Command::new("sh");
        let command = command.args(["-c", script]).current_dir(&client);
        let ended = Program::start(command).end_within(Duration::from_secs(120));
        assert_eq!(
            ended.code,
            Some(0),
            "{script}: {}{}",
            ended.printed,
            ended.errors
        );
    }
    client
}

/// PyPI `websockets`: the script, ready to start.
pub(crate) fn python() -> Command {
    python_script("python", "client.py")
}

/// A script of a folder with a lock file of PyPI, ready to start.
pub(crate) fn python_script(lock_folder: &str, script: &str) -> Command {
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folder(lock_folder);
    let lock = source(lock_folder).join("requirements.txt");
    if !is_current(&folder, &lock) {
        need("python3", "python3-venv", &["-c", "import venv, ensurepip"]);
        let mut venv = Command::new("python3");
        install(
            "python3-venv",
            venv.args(["-m", "venv", "--clear"]).arg(&folder),
        );
        let mut pip = Command::new(folder.join("bin/pip"));
        let pip = pip.args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--require-hashes",
            "-r",
        ]);
        install(
            "a package of tests/clients/*/requirements.txt",
            pip.arg(&lock),
        );
        keep(&folder, &lock);
    }
    drop(one);
    let mut python = Command::new(folder.join("bin/python"));
    python.arg(source(lock_folder).join(script));
    python
}

/// A program that answers to these arguments with success.
///
/// # Panics
/// There is none; the message names the Debian package.
#[track_caller]
pub(crate) fn need(program: &str, package: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).output();
    let works = done.is_ok_and(|output| output.status.success());
    assert!(
        works,
        "this test needs {program}: apt-get install {package} (tests/run does it)"
    );
}

/// A file of the repository.
fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("clients")
        .join(name)
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("clients")
        .join(name);
    fs::create_dir_all(&folder).expect("a writable target folder");
    folder
}

/// The copy of the lock file that was installed last.
const INSTALLED: &str = "installed.lock";

fn is_current(folder: &Path, lock: &Path) -> bool {
    let wanted = fs::read(lock).expect("a file of the repository");
    fs::read(folder.join(INSTALLED)).is_ok_and(|installed| installed == wanted)
}

fn keep(folder: &Path, lock: &Path) {
    fs::copy(lock, folder.join(INSTALLED)).expect("a writable folder");
}

#[track_caller]
fn install(package: &str, command: &mut Command) {
    /// Of a package manager, with a slow registry.
    const PATIENCE: Duration = Duration::from_secs(300);
    let ended = Program::start(command).end_within(PATIENCE);
    assert_eq!(
        ended.code,
        Some(0),
        "{package} cannot be installed ({command:?}; tests/run installs its manager): {}{}",
        ended.printed,
        ended.errors
    );
}
