//! How many files the process and the host may have open, and how much memory may be locked.

use super::driver::ChosenDriver;
use super::finding::{Finding, HostSetting};
use super::needs::HostNeeds;
use super::tree::HostTree;

/// Descriptors that are no connections: of the process, listeners and rings.
const OTHER_FILES: u64 = 1_000;
/// What the trial at start and the queues of rings lock, in KiB, and each ring.
const LOCKED_KIB: u64 = 1_024;
const LOCKED_KIB_PER_RING: u64 = 136;
/// Bit of `CAP_IPC_LOCK` (`capabilities(7)`), which no limit binds.
const IPC_LOCK: u32 = 14;

pub(super) fn findings(tree: &HostTree, needs: &HostNeeds, chosen: &ChosenDriver) -> Vec<Finding> {
    let wanted = open_files_wanted(needs, chosen);
    vec![
        open_files(tree, wanted, chosen),
        at_least(
            tree,
            "fs.nr_open",
            wanted,
            "the limit on open files of a process cannot be raised above it",
        ),
        at_least(
            tree,
            "fs.file-max",
            needs.connections_max as u64 + OTHER_FILES,
            "sockets in a ring's table count as files of the host",
        ),
        locked_memory(tree, needs),
    ]
}

/// A connection is a file of the process under epoll; with io_uring a ring holds as many as files
/// may be open, and one ring a shard is the cheapest.
fn open_files_wanted(needs: &HostNeeds, chosen: &ChosenDriver) -> u64 {
    let connections = needs.connections_max as u64;
    let shared = match chosen.name {
        Some("portable") => 1,
        _ => needs.shards.max(1) as u64,
    };
    connections.div_ceil(shared) + OTHER_FILES
}

fn open_files(tree: &HostTree, wanted: u64, chosen: &ChosenDriver) -> Finding {
    let why = match chosen.name {
        Some("portable") => {
            "each connection is an open file; connects beyond them are answered 503"
        }
        _ => "one ring a shard: further rings cost 4 to 9 % on echo",
    };
    let setting = HostSetting::new("ulimit -Hn", wanted.to_string(), why);
    match tree.limit("Max open files") {
        Some((_, None)) => setting.ok("unlimited"),
        Some((_, Some(hard))) if hard >= wanted => setting.ok(hard.to_string()),
        Some((_, Some(hard))) => setting.warns(
            hard.to_string(),
            format!("LimitNOFILE={wanted} in the unit, docker run --ulimit nofile={wanted}, or ulimit -n {wanted} as root"),
        ),
        None => setting.unknown("no proc/self/limits"),
    }
}

/// A sysctl of one number.
pub(super) fn at_least(
    tree: &HostTree,
    name: &'static str,
    wanted: u64,
    why: &'static str,
) -> Finding {
    let setting = HostSetting::new(name, format!("{wanted} or more"), why);
    let Some(found) = tree.sysctl(name) else {
        return setting.unknown("not to be seen from here");
    };
    match found.parse::<u64>() {
        Ok(value) if value >= wanted => setting.ok(found),
        Ok(_) => setting.warns(found, format!("sysctl -w {name}={wanted}")),
        Err(_) => setting.unknown(found),
    }
}

fn locked_memory(tree: &HostTree, needs: &HostNeeds) -> Finding {
    let wanted = LOCKED_KIB + LOCKED_KIB_PER_RING * 2 * needs.shards as u64;
    let setting = HostSetting::new(
        "ulimit -l",
        format!("{wanted} KiB or more"),
        "some kernels (6.16 and 6.18 were seen to) count rings against it, for all processes of a user together",
    );
    let capabilities = tree.status("CapEff");
    let mask = capabilities.and_then(|mask| u64::from_str_radix(&mask, 16).ok());
    let namespace = tree.read("proc/self/uid_map").unwrap_or_default();
    let is_outermost = namespace.split_whitespace().eq(["0", "0", "4294967295"]);
    if is_outermost && mask.is_some_and(|mask| mask >> IPC_LOCK & 1 == 1) {
        return setting.ok("no limit binds this user (CAP_IPC_LOCK)");
    }
    match tree.limit("Max locked memory") {
        Some((None, _)) => setting.ok("unlimited"),
        Some((Some(bytes), _)) if bytes >> 10 >= wanted => setting.ok(format!("{} KiB", bytes >> 10)),
        Some((Some(bytes), _)) => setting.warns(
            format!("{} KiB", bytes >> 10),
            "LimitMEMLOCK=infinity in the unit, docker run --ulimit memlock=-1, or ulimit -l unlimited as root",
        ),
        None => setting.unknown("no proc/self/limits"),
    }
}
