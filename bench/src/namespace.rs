//! A network namespace of our own whose loopback delivers on the load generator's core, as a
//! network card's receive queue could. It exists as long as its holder, a `cat` on a pipe from us,
//! so it goes when we go, however we end. Made by the binary, entered by `run`.

use crate::server::LOAD_CPU;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// A namespace with its loopback up.
#[derive(Debug)]
pub struct Namespace(Child);

/// Of these the namespace gets the values that we have; a new one would begin with the kernel's.
const SETTINGS: [&str; 7] = [
    "net/core/somaxconn",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/tcp_max_syn_backlog",
    "net/ipv4/tcp_max_tw_buckets",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_wmem",
    "net/ipv4/tcp_tw_reuse",
];

/// Runs inside; $1 is the mask of cores, the rest are settings as PATH=VALUE. /sys shows the
/// network that it was mounted in, hence another one.
const SETUP: &str = r#"
set -e
mask=$1; shift
mount -t sysfs sysfs /sys
ip link set lo up
for setting; do echo "${setting#*=}" > "/proc/sys/${setting%%=*}" 2>/dev/null || true; done
echo "$mask" > /sys/class/net/lo/queues/rx-0/rps_cpus
cat /sys/class/net/lo/queues/rx-0/rps_cpus
exec cat
"#;

/// How long the setup may take. It takes milliseconds.
const SETUP_TIME_MAX: Duration = Duration::from_secs(10);

/// Programs that it takes, with the Debian package that has them.
const TOOLS: [(&str, &str); 3] = [
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("ip", "iproute2"),
];

impl Namespace {
    /// Makes it.
    ///
    /// # Errors
    /// We are not root, a tool is missing, or the kernel does not let us; in words for the user.
    pub fn new() -> io::Result<Namespace> {
        for (tool, package) in TOOLS {
            if Command::new(tool).arg("--help").output().is_err() {
                return Err(io::Error::other(format!(
                    "--netns needs `{tool}`: install {package}"
                )));
            }
        }
        let core: u32 = LOAD_CPU.parse().map_err(io::Error::other)?;
        let mask = 1_u64 << core;
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-c", SETUP, "sh"]);
        command.arg(format!("{mask:x}")).args(settings());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut namespace = Namespace(command.spawn()?);
        match namespace.mask_read_back() {
            Some(got) if got == mask => Ok(namespace),
            got => Err(namespace.refusal(got)),
        }
    }

    /// What runs a command inside, in the same process.
    pub fn enter(&self) -> Vec<OsString> {
        let net = format!("--net=/proc/{}/ns/net", self.0.id());
        vec!["nsenter".into(), net.into(), "--".into()]
    }

    fn mask_read_back(&mut self) -> Option<u64> {
        let output = self.0.stdout.take()?;
        let line = within_setup_time(|| {
            let mut line = String::new();
            let read = BufReader::new(output).read_line(&mut line);
            read.ok().map(|_| line)
        })?;
        // Groups of 32 cores are set apart by commas.
        u64::from_str_radix(&line.trim().replace(',', ""), 16).ok()
    }

    fn refusal(&mut self, got: Option<u64>) -> io::Error {
        // Ends it, if it still runs: a pipe without a writer.
        drop(self.0.stdin.take());
        let stderr = self.0.stderr.take();
        let complaints = stderr.and_then(|mut stderr| {
            within_setup_time(move || {
                let mut complaints = String::new();
                let read = stderr.read_to_string(&mut complaints);
                read.ok().map(|_| complaints)
            })
        });
        let complaints = complaints.unwrap_or_else(|| format!("nothing in {SETUP_TIME_MAX:?}"));
        let found = got.map_or(String::new(), |mask| format!("; rps_cpus reads {mask:x}"));
        io::Error::other(format!(
            "--netns needs root and a kernel with network namespaces and RPS: {}{found}",
            complaints.trim()
        ))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Fails only if it ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads on a thread of its own, which a program that hangs leaves behind. `None`: nothing came.
fn within_setup_time(read: impl FnOnce() -> Option<String> + Send + 'static) -> Option<String> {
    let (done, result) = sync_channel(1);
    std::thread::spawn(move || done.send(read()));
    result.recv_timeout(SETUP_TIME_MAX).ok().flatten()
}

fn settings() -> Vec<String> {
    let ours = |name: &&str| {
        let value = std::fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
        Some(format!("{name}={}", value.trim()))
    };
    SETTINGS.iter().filter_map(ours).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardcast_patience::Program;

    /// Root or not, one of the two holds.
    #[test]
    fn a_namespace_delivers_on_the_load_core_or_says_what_it_needs() {
        match Namespace::new() {
            Ok(namespace) => {
                let mut command = namespace.enter();
                command.extend(["cat", "/proc/net/dev"].map(OsString::from));
                let mut inside = Command::new(&command[0]);
                let output = Program::start(inside.args(&command[1..])).end().printed;
                // Two lines of heading, and loopback: nothing else is in there.
                let devices: Vec<&str> = output.lines().skip(2).collect();
                assert_eq!(devices.len(), 1, "{output}");
                assert!(devices[0].trim().starts_with("lo:"), "{output}");
            }
            Err(error) => assert!(error.to_string().starts_with("--netns needs "), "{error}"),
        }
    }
}
