//! The Debian package: made by `deploy/package` from the program that was built, then installed,
//! run, updated, removed and purged in a tree of its own, with the real tools; the tree of an
//! image, and the image in a container; and what the program brings for shells and `man`.

use serde_json::Value;
use shardcast_patience::{PATIENCE, Program, leave_out, say_left_out};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_shardcast");
/// A package of a debug build is large, and the machine may be busy.
const PACKING: Duration = Duration::from_secs(300);

/// A folder that goes when the value is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("shardcast-packaging-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a temporary folder");
        Folder(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_dir_all(&self.0);
    }
}

/// Runs a command that has to succeed.
#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("it can be started");
    let (printed, errors) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    assert!(status.success(), "{command:?}: {printed}{errors}");
    printed.into_owned()
}

fn has(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok()
}

fn root() -> PathBuf {
    let server = Path::new(env!("CARGO_MANIFEST_DIR"));
    server.parent().expect("the workspace").to_path_buf()
}

/// The build's folder, with tools that `.ci/run` put there.
fn built() -> PathBuf {
    let folder = Path::new(PROGRAM).parent().expect("a folder");
    folder.to_path_buf()
}

/// One at a time: the completions and pages that go into a package stand in the build's folder.
static MAKING: Mutex<()> = Mutex::new(());

/// Makes the package. `None`: what it takes is not here.
fn package(into: &Path) -> Option<PathBuf> {
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let tools = built()
        .parent()
        .expect("the target folder")
        .join("tools/bin");
    let path = format!(
        "{}:{}",
        tools.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let mut tool = Command::new("cargo");
    let there = tool.args(["deb", "--version"]).env("PATH", &path).output();
    if !there.is_ok_and(|output| output.status.success()) {
        leave_out("cargo-deb, which makes the Debian package");
        return None;
    }
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !has("dpkg") || !has("dpkg-shlibdeps") || !is_root {
        leave_out("root with dpkg and dpkg-dev, which makes and installs the package");
        return None;
    }
    let mut command = Command::new(root().join("deploy/package"));
    command
        .args(["--profile", "dev", "--fast", "--output"])
        .arg(into);
    command.env("PATH", &path);
    command.env(
        "CARGO_TARGET_DIR",
        built().parent().expect("the target folder"),
    );
    let made = Program::start(&mut command).end_within(PACKING);
    assert_eq!(made.code, Some(0), "{}{}", made.printed, made.errors);
    let mut files = fs::read_dir(into).expect("the folder").flatten();
    let found = files.find(|file| file.path().extension().is_some_and(|end| end == "deb"));
    Some(found.expect("a package").path())
}

/// The same package as a later version, as an update has it.
fn later(package: &Path, folder: &Folder) -> PathBuf {
    let (tree, later) = (folder.path("later"), folder.path("later.deb"));
    succeeds(Command::new("dpkg-deb").arg("-R").arg(package).arg(&tree));
    let control = tree.join("DEBIAN/control");
    let text = fs::read_to_string(&control).expect("a control file");
    let version = text.lines().find(|line| line.starts_with("Version: "));
    let text = text.replace(version.expect("a version"), "Version: 99.0.0-1");
    fs::write(&control, text).expect("a control file");
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "-Zgzip", "-z1", "-b"]);
    succeeds(build.arg(&tree).arg(&later));
    later
}

/// A tree that packages are installed in, with a database and users of its own.
struct Tree(Folder);

impl Tree {
    fn new() -> Tree {
        let tree = Tree(Folder::new("tree"));
        for folder in [
            "etc",
            "var/lib/dpkg/info",
            "var/lib/dpkg/updates",
            "var/lib/dpkg/triggers",
        ] {
            fs::create_dir_all(tree.path(folder)).expect("a folder");
        }
        for (file, text) in [
            ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"),
            ("etc/group", "root:x:0:\n"),
            ("var/lib/dpkg/status", ""),
            ("var/lib/dpkg/available", ""),
        ] {
            fs::write(tree.path(file), text).expect("a file");
        }
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// dpkg on this tree alone. Packages that it depends on are the host's.
    #[track_caller]
    fn dpkg(&self, arguments: &[&str], package: &Path) {
        let mut command = Command::new("dpkg");
        command.arg("--root").arg(&self.0.0);
        command.args([
            "--force-script-chrootless",
            "--force-depends",
            "--force-not-root",
        ]);
        succeeds(command.args(arguments).arg(package));
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    fn users(&self) -> String {
        fs::read_to_string(self.path("etc/passwd")).expect("users")
    }

    /// Serves with the configuration that the package brought.
    #[track_caller]
    fn serves(&self) {
        let mut command = Command::new(self.path("usr/bin/shardcast"));
        command
            .arg("serve")
            .arg("--config")
            .arg(self.path(CONFIGURATION));
        serves(command, " driver ");
    }
}

/// Starts, says so, lets a client in and drains.
#[track_caller]
fn serves(mut command: Command, driver: &str) {
    command.args([
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--shards",
        "1",
    ]);
    let mut program = Program::start(&mut command);
    let ready = program.line().unwrap_or_default();
    assert!(ready.contains(driver), "{ready}{}", program.errors());
    let address = ready
        .split("ws://")
        .nth(1)
        .and_then(|rest| rest.split('/').next());
    let mut client = TcpStream::connect(address.expect("an address")).expect("it listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(upgrade.as_bytes()).expect("it reads");
    let mut status = [0; 12];
    client.read_exact(&mut status).expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 101");
    drop(client);
    program.signal("TERM");
    assert_eq!(program.end().code, Some(0));
}

const CONFIGURATION: &str = "etc/shardcast/shardcast.toml";

#[test]
fn the_package_is_installed_run_updated_removed_and_purged() {
    let folder = Folder::new("package");
    let output = folder.path("made");
    fs::create_dir_all(&output).expect("a folder");
    let Some(package) = package(&output) else {
        return;
    };
    let tree = Tree::new();
    tree.dpkg(&["-i"], &package);
    for file in [
        "usr/bin/shardcast",
        "usr/lib/systemd/system/shardcast.service",
        "usr/share/man/man1/shardcast.1",
        "usr/share/man/man1/shardcast-doctor.1",
        "usr/share/bash-completion/completions/shardcast",
        "usr/share/zsh/vendor-completions/_shardcast",
        "usr/share/fish/vendor_completions.d/shardcast.fish",
        "usr/share/doc/shardcast/operations.md",
        "usr/share/doc/shardcast/copyright",
    ] {
        assert!(tree.has(file) || tree.has(&format!("{file}.gz")), "{file}");
    }
    assert!(tree.users().contains("\nshardcast:"), "{}", tree.users());
    let secret = fs::metadata(tree.path("etc/shardcast")).expect("a folder");
    assert_eq!(secret.permissions().mode() & 0o777, 0o750);
    let groups = fs::read_to_string(tree.path("etc/group")).expect("groups");
    let group = groups.lines().find(|line| line.starts_with("shardcast:"));
    let group = group
        .and_then(|line| line.split(':').nth(2))
        .expect("a group");
    assert_eq!(secret.gid().to_string(), group);
    tree.serves();

    // What the operator wrote outlives the update.
    let changed = "[log]\nlevel = \"warn\" # ours\n";
    fs::write(tree.path(CONFIGURATION), changed).expect("a file");
    tree.dpkg(&["-i"], &later(&package, &folder));
    let kept = fs::read_to_string(tree.path(CONFIGURATION)).expect("a file");
    assert_eq!(kept, changed);
    tree.serves();

    fs::create_dir_all(tree.path("var/lib/shardcast")).expect("a folder");
    tree.dpkg(&["-r"], Path::new("shardcast"));
    assert!(!tree.has("usr/bin/shardcast"));
    assert!(tree.has(CONFIGURATION) && tree.has("var/lib/shardcast"));
    assert!(tree.users().contains("shardcast"), "{}", tree.users());
    tree.dpkg(&["-P"], Path::new("shardcast"));
    for gone in [
        "etc/shardcast",
        "var/lib/shardcast",
        "usr/share/doc/shardcast",
    ] {
        assert!(!tree.has(gone), "{gone}");
    }
    assert!(!tree.users().contains("shardcast"), "{}", tree.users());
}

/// The system calls that `deploy/seccomp.json` permits, as numbers of this machine, without these;
/// behind the slash those that are answered as if there were no such call.
fn profile(without: &[&str]) -> String {
    let path = root().join("deploy/seccomp.json");
    let text = fs::read_to_string(path).expect("the profile");
    let profile: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let names = |action: &str| {
        let rules = profile["syscalls"].as_array().expect("rules").iter();
        let rules = rules.filter(|rule| rule["action"] == action);
        let names = rules.flat_map(|rule| rule["names"].as_array().expect("names"));
        let names = names
            .filter_map(Value::as_str)
            .filter(|name| !without.contains(name));
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut compiler = Command::new("cc");
    let arguments = [
        "-E",
        "-dM",
        "-include",
        "sys/syscall.h",
        "-x",
        "c",
        "/dev/null",
    ];
    let defined = succeeds(compiler.args(arguments));
    let number = |name: &String| {
        let line = format!("#define __NR_{name} ");
        let mut found = defined.lines().filter_map(|text| text.strip_prefix(&line));
        found.next().map(|number| number.trim().to_owned())
    };
    let numbers = |names: Vec<String>| {
        let numbers: Vec<String> = names.iter().filter_map(number).collect();
        numbers.join(",")
    };
    // To get into the tree in the first place.
    let allowed = [names("SCMP_ACT_ALLOW"), vec!["chroot".to_owned()]].concat();
    format!("{}/{}", numbers(allowed), numbers(names("SCMP_ACT_ERRNO")))
}

/// What an image holds serves by itself, as nobody, under the profile on io_uring, and without its
/// three calls, as containers' default profiles are, on epoll. The image of it does in a container.
#[test]
fn the_image_and_its_tree_serve_under_seccomp() {
    let folder = Folder::new("image");
    let output = folder.path("made");
    fs::create_dir_all(&output).expect("a folder");
    let Some(package) = package(&output) else {
        return;
    };
    let tree = folder.path("rootfs");
    succeeds(
        Command::new(root().join("deploy/rootfs"))
            .arg(&package)
            .arg(&tree),
    );
    let filter = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/allowed.py");
    let calls = ["io_uring_setup", "io_uring_enter", "io_uring_register"];
    for (without, driver) in [(&[][..], " driver uring,"), (&calls, " driver portable,")] {
        let mut command = Command::new("python3");
        command.arg(&filter).arg(profile(without));
        command
            .args(["chroot", "--userspec=65532:65532"])
            .arg(&tree);
        command.args([
            "/usr/bin/shardcast",
            "serve",
            "--config",
            "/etc/shardcast/shardcast.toml",
        ]);
        serves(command, driver);
    }
    serves_in_containers(&folder, &tree);
}

/// An image and its containers in a store of their own, which end with the value.
struct Containers<'f>(&'f Folder);

impl Containers<'_> {
    /// Debian 12's crun takes no host that has both generations of control groups, runc does.
    fn podman(&self) -> Command {
        let mut podman = Command::new("podman");
        podman.arg("--root").arg(self.0.path("store"));
        podman.arg("--runroot").arg(self.0.path("runs"));
        podman.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
        podman.args(["--events-backend", "none", "--runtime", "runc"]);
        podman
    }

    /// Limits are those that any host grants: podman would raise them to its own.
    fn run(&self, options: &[&str]) -> Command {
        let mut run = self.podman();
        run.args(["run", "--rm", "--network", "host"]);
        run.args([
            "--ulimit",
            "nofile=4096:4096",
            "--ulimit",
            "nproc=4096:4096",
        ]);
        run.args(options).arg("shardcast");
        run
    }
}

impl Drop for Containers<'_> {
    fn drop(&mut self) {
        let mut remove = self.podman();
        remove.args(["rm", "--all", "--force", "--time", "0"]);
        let _all_are_gone = remove.output();
    }
}

/// The Containerfile's image by a real runtime: under the runtime's own profile, and under ours.
fn serves_in_containers(folder: &Folder, tree: &Path) {
    if !has("podman") {
        leave_out("podman, which runs the image in a container");
        return;
    }
    let containers = Containers(folder);
    let mut build = containers.podman();
    build.args(["build", "--quiet", "--tag", "shardcast", "--file"]);
    build.arg(root().join("deploy/Containerfile")).arg(tree);
    succeeds(&mut build);
    // The tree has served outside of one.
    let probe = containers.run(&[]).arg("--version").output();
    let probe = probe.expect("it can be started");
    if !probe.status.success() {
        let why = String::from_utf8_lossy(&probe.stderr);
        say_left_out(&format!("containers, which this machine refuses: {why}"));
        return;
    }
    // Those of Docker and containerd refuse io_uring; older ones of podman do not.
    let own = fs::read_to_string("/usr/share/containers/seccomp.json").unwrap_or_default();
    let driver = match own.contains("io_uring_setup") {
        true => " driver uring,",
        false => " driver portable,",
    };
    let ours = root().join("deploy/seccomp.json");
    let ours = format!("seccomp={}", ours.display());
    for (options, driver) in [
        (&[][..], driver),
        (&["--security-opt", &ours], " driver uring,"),
    ] {
        let mut command = containers.run(options);
        command.args(["serve", "--config", "/etc/shardcast/shardcast.toml"]);
        serves(command, driver);
    }
}

/// The program says of itself what the files say: nothing is kept twice.
#[test]
fn shells_complete_what_the_command_line_has() {
    let completions = |shell: &str| succeeds(Command::new(PROGRAM).args(["completions", shell]));
    for shell in ["zsh", "fish"] {
        let script = completions(shell);
        for word in ["serve", "doctor", "check-config", "json", "listen"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    // bash itself says what it would complete.
    let folder = Folder::new("completions");
    let script = folder.path("shardcast.bash");
    fs::write(&script, completions("bash")).expect("a file");
    for (line, expected) in [
        ("shardcast doc", "doctor"),
        ("shardcast doctor --js", "--json"),
        ("shardcast serve --lis", "--listen"),
    ] {
        let mut bash = Command::new("bash");
        bash.args(["-c", COMPLETE, "bash"]).arg(&script).arg(line);
        assert_eq!(succeeds(&mut bash).trim(), expected, "{line}");
    }
}

/// Completes the words of a line, as an interactive shell does.
const COMPLETE: &str = r#"
source "$1"
read -ra COMP_WORDS <<<"$2"
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_shardcast shardcast "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"#;

#[test]
fn every_command_has_a_manual_page() {
    let folder = Folder::new("man");
    succeeds(Command::new(PROGRAM).arg("man-pages").arg(&folder.0));
    let help = succeeds(Command::new(PROGRAM).arg("--help"));
    let (_, commands) = help.split_once("Commands:\n").expect("commands");
    let commands = commands.lines().take_while(|line| line.starts_with("  "));
    let commands = commands.filter(|line| !line.starts_with("   "));
    let mut count = 0;
    for name in commands.filter_map(|line| line.split_whitespace().next()) {
        if name == "help" {
            continue;
        }
        count += 1;
        let page = fs::read_to_string(folder.path(&format!("shardcast-{name}.1")));
        assert!(page.is_ok_and(|page| page.contains(".SH NAME")), "{name}");
    }
    assert!(count >= 10, "{help}");
    let missing = Command::new(PROGRAM)
        .args(["man-pages", "/nowhere/at/all"])
        .output();
    assert_eq!(missing.expect("it runs").status.code(), Some(1));
}
