//! What is not set on this host as large or exact measurements want it: found, wanted, why. It only
//! reads. Shown by the binary before it measures, and by `shardcast-bench host`; `tuning.md` says
//! more about each setting.

use std::fs;
use std::path::Path;

/// A setting that could be better.
#[derive(Debug, PartialEq, Eq)]
pub struct Advice {
    /// Its name, as sysctl(8) or the shell knows it.
    pub setting: &'static str,
    /// What was found.
    pub found: String,
    /// What would be better.
    pub wanted: String,
    /// What it is good for.
    pub why: &'static str,
}

/// Connections that may wait to be accepted: what `raw-server` and `shardcast` ask for.
const BACKLOG: u64 = 65_535;
/// Kernel pages of TCP memory for a million connections with a little under way, 4 KiB each: both
/// ends on one host.
const TCP_PAGES: u64 = 1 << 20;
/// Open files of one process that make a second ring needless up to a million connections.
const OPEN_FILES: u64 = 1_048_576;
/// Files of the whole host: both ends of a million connections, and everything else.
const FILES_OF_HOST: u64 = 2_200_000;
/// Ports that a source address should have.
const PORTS: u64 = 50_000;
/// Time that the hypervisor gave to others, in percent of all: above this figures are noise.
const STOLEN_PERCENT: u64 = 2;

/// Looks below `root` (`/`): what is missing there is not judged.
pub fn advice(root: &Path) -> Vec<Advice> {
    let checks: [fn(&Path) -> Option<Advice>; 12] = [
        cores,
        kernel,
        io_uring,
        open_files,
        files_of_host,
        backlog,
        handshakes,
        ports,
        tcp_pages,
        governor,
        idle_states,
        stolen,
    ];
    checks.iter().filter_map(|check| check(root)).collect()
}

/// One line per advice.
pub fn to_text(advice: &[Advice]) -> String {
    advice
        .iter()
        .map(|one| {
            format!(
                "{}: {}, better {} ({})\n",
                one.setting, one.found, one.wanted, one.why
            )
        })
        .collect()
}

fn read(root: &Path, path: &str) -> Option<String> {
    let text = fs::read_to_string(root.join(path)).ok()?;
    Some(text.trim().to_owned())
}

fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

/// A sysctl of one number that should be at least `wanted`.
fn at_least(root: &Path, setting: &'static str, wanted: u64, why: &'static str) -> Option<Advice> {
    let found = read(root, &format!("proc/sys/{}", setting.replace('.', "/")))?;
    let value = *numbers(&found).first()?;
    (value < wanted).then(|| Advice {
        setting,
        found,
        wanted: wanted.to_string(),
        why,
    })
}

fn cores(root: &Path) -> Option<Advice> {
    let cpuinfo = read(root, "proc/cpuinfo")?;
    let cores = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    (cores < 2).then(|| Advice {
        setting: "cores",
        found: cores.to_string(),
        wanted: "2 or more".into(),
        why: "the server has one of its own, the load generator another",
    })
}

fn kernel(root: &Path) -> Option<Advice> {
    let release = read(root, "proc/sys/kernel/osrelease")?;
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let version: (u32, u32) = (parts.next()?.ok()?, parts.next()?.ok()?);
    (version < (6, 12)).then(|| Advice {
        setting: "kernel",
        found: release.clone(),
        wanted: "6.12 or newer".into(),
        why: "a busy shard waits for batches of completions (min_wait); 6.1 is the oldest that works",
    })
}

fn io_uring(root: &Path) -> Option<Advice> {
    let found = read(root, "proc/sys/kernel/io_uring_disabled")?;
    (found != "0").then(|| Advice {
        setting: "kernel.io_uring_disabled",
        found,
        wanted: "0".into(),
        why: "without io_uring the server does not start",
    })
}

fn open_files(root: &Path) -> Option<Advice> {
    let limits = read(root, "proc/self/limits")?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    let hard = *numbers(line).get(1)?;
    (hard < OPEN_FILES).then(|| Advice {
        setting: "ulimit -Hn",
        found: hard.to_string(),
        wanted: OPEN_FILES.to_string(),
        why: "a shard takes a further ring for as many connections each: 4-9 % on echo",
    })
}

fn files_of_host(root: &Path) -> Option<Advice> {
    at_least(
        root,
        "fs.file-max",
        FILES_OF_HOST,
        "both ends of a million connections on one host",
    )
}

fn backlog(root: &Path) -> Option<Advice> {
    let why = "connects that may wait when everybody comes back at once";
    at_least(root, "net.core.somaxconn", BACKLOG, why)
}

fn handshakes(root: &Path) -> Option<Advice> {
    let why = "TCP handshakes under way when everybody comes back at once, without SYN cookies";
    at_least(root, "net.ipv4.tcp_max_syn_backlog", BACKLOG, why)
}

fn ports(root: &Path) -> Option<Advice> {
    let found = read(root, "proc/sys/net/ipv4/ip_local_port_range")?;
    let [low, high] = numbers(&found)[..] else {
        return None;
    };
    (high.saturating_sub(low) < PORTS).then(|| Advice {
        setting: "net.ipv4.ip_local_port_range",
        found: format!("{low} {high}"),
        wanted: "10240 65535".into(),
        why: "connections of the load generator per source address; keep listening ports below",
    })
}

fn tcp_pages(root: &Path) -> Option<Advice> {
    let found = read(root, "proc/sys/net/ipv4/tcp_mem")?;
    let most = *numbers(&found).last()?;
    (most < TCP_PAGES).then(|| Advice {
        setting: "net.ipv4.tcp_mem",
        found: numbers(&found)
            .iter()
            .map(u64::to_string)
            .collect::<Vec<_>>()
            .join(" "),
        wanted: format!("… … {TCP_PAGES}"),
        why: "what is under way on a million connections; beyond it the kernel drops",
    })
}

fn governor(root: &Path) -> Option<Advice> {
    let found = read(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")?;
    (found != "performance").then(|| Advice {
        setting: "scaling_governor",
        found,
        wanted: "performance".into(),
        why: "a clock that changes makes CPU times incomparable",
    })
}

fn idle_states(root: &Path) -> Option<Advice> {
    let state = "sys/devices/system/cpu/cpu0/cpuidle/state2/disable";
    let found = read(root, state)?;
    (found == "0").then(|| Advice {
        setting: "cpuidle state2 and deeper",
        found: "enabled".into(),
        wanted: "disabled (cpupower idle-set -D 10)".into(),
        why: "waking from deep sleep adds tens of µs to the latency of a quiet server",
    })
}

fn stolen(root: &Path) -> Option<Advice> {
    let stat = read(root, "proc/stat")?;
    let times = numbers(stat.lines().next()?.strip_prefix("cpu")?);
    let (all, stolen) = (times.iter().take(8).sum::<u64>(), *times.get(7)?);
    let percent = stolen * 100 / all.max(1);
    (percent > STOLEN_PERCENT).then(|| Advice {
        setting: "stolen time",
        found: format!("{percent} % since boot"),
        wanted: format!("at most {STOLEN_PERCENT} %"),
        why: "the hypervisor runs others on these cores: trust ratios and CPU times only",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const LIMITS: &str = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 20000                files\n";

    fn check(files: &[(&str, &str)], expected: &[(&str, &str)]) {
        static CHECKS: AtomicU32 = AtomicU32::new(0);
        let number = CHECKS.fetch_add(1, Ordering::Relaxed);
        let name = format!("shardcast-advice-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let found = advice(&root);
        if root.exists() {
            fs::remove_dir_all(&root).expect("the folder goes");
        }
        let found: Vec<(&str, &str)> = found.iter().map(|one| (one.setting, &*one.found)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_host_that_says_nothing_is_not_judged() {
        check(&[], &[]);
    }

    #[test]
    fn each_setting_is_found_wanting() {
        check(
            &[
                ("proc/cpuinfo", "processor\t: 0\nmodel name\t: x\n"),
                ("proc/sys/kernel/osrelease", "6.11.3-1\n"),
                ("proc/sys/kernel/io_uring_disabled", "2\n"),
                ("proc/self/limits", LIMITS),
                ("proc/sys/fs/file-max", "100000\n"),
                ("proc/sys/net/core/somaxconn", "4096\n"),
                ("proc/sys/net/ipv4/tcp_max_syn_backlog", "512\n"),
                ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
                ("proc/sys/net/ipv4/tcp_mem", "1\t2\t3\n"),
                (
                    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
                    "powersave\n",
                ),
                ("sys/devices/system/cpu/cpu0/cpuidle/state2/disable", "0\n"),
                ("proc/stat", "cpu  10 0 10 70 0 0 0 10 0 0\ncpu0 1 1\n"),
            ],
            &[
                ("cores", "1"),
                ("kernel", "6.11.3-1"),
                ("kernel.io_uring_disabled", "2"),
                ("ulimit -Hn", "20000"),
                ("fs.file-max", "100000"),
                ("net.core.somaxconn", "4096"),
                ("net.ipv4.tcp_max_syn_backlog", "512"),
                ("net.ipv4.ip_local_port_range", "32768 60999"),
                ("net.ipv4.tcp_mem", "1 2 3"),
                ("scaling_governor", "powersave"),
                ("cpuidle state2 and deeper", "enabled"),
                ("stolen time", "10 % since boot"),
            ],
        );
    }

    #[test]
    fn a_host_that_is_set_gets_no_advice() {
        check(
            &[
                ("proc/cpuinfo", "processor\t: 0\nprocessor\t: 1\n"),
                ("proc/sys/kernel/osrelease", "6.12.0\n"),
                ("proc/sys/kernel/io_uring_disabled", "0\n"),
                ("proc/sys/fs/file-max", "9223372036854775807\n"),
                ("proc/sys/net/core/somaxconn", "65535\n"),
                ("proc/sys/net/ipv4/ip_local_port_range", "10240\t65535\n"),
                ("proc/stat", "cpu  10 0 10 80 0 0 0 0 0 0\n"),
            ],
            &[],
        );
    }
}
