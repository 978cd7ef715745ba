//! How much memory a process may have on this host: what its cgroup allows, or what the host has.
//! Read once, for the default of a configuration.

use std::fs;

/// Where nobody says how much there is.
const UNKNOWN_BYTES: u64 = 2 << 30;

/// The least of the host's memory and of the limits of the process's cgroups (version 2), in bytes.
pub(crate) fn bytes() -> u64 {
    let host = fs::read_to_string("/proc/meminfo").ok();
    let host = host.and_then(|text| total(&text));
    let group = fs::read_to_string("/proc/self/cgroup").ok();
    let group = group.and_then(|text| group_limit(&text));
    host.into_iter().chain(group).min().unwrap_or(UNKNOWN_BYTES)
}

/// `MemTotal` of `/proc/meminfo` (proc_meminfo(5)).
fn total(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes = line.trim().strip_suffix("kB")?.trim();
    kibibytes.parse::<u64>().ok()?.checked_mul(1024)
}

/// The lowest `memory.max` from the process's cgroup up to the root. `None`: there is no limit.
fn group_limit(text: &str) -> Option<u64> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mut limits = Vec::new();
    let mut path = Some(path.trim_end());
    while let Some(group) = path {
        let limit = fs::read_to_string(format!("/sys/fs/cgroup/{group}/memory.max")).ok();
        limits.extend(limit.and_then(|text| text.trim().parse::<u64>().ok()));
        path = match (group.is_empty(), group.rsplit_once('/')) {
            (true, _) => None,
            (false, Some((parent, _))) => Some(parent),
            (false, None) => Some(""),
        };
    }
    limits.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_in_bytes() {
        for (text, expected) in [
            ("MemTotal:       16384 kB\nMemFree: 1 kB\n", Some(16 << 20)),
            ("MemFree: 1 kB\nMemTotal: 7 kB\n", Some(7 << 10)),
            ("MemTotal: many kB\n", None),
            ("MemTotal: 7\n", None),
            ("", None),
        ] {
            assert_eq!(total(text), expected, "{text}");
        }
    }

    #[test]
    fn some_memory_is_found_here() {
        assert!(bytes() >= 1 << 20);
        assert_eq!(group_limit("1:name=systemd:/\n"), None);
    }
}
