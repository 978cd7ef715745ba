//! What the process's control groups grant of cores and memory, in both versions: the tightest of
//! the group and those above it.

use super::finding::{Finding, HostSetting};
use super::needs::HostNeeds;
use super::tree::{HostTree, numbers};

const MOUNT: &str = "sys/fs/cgroup";
/// Groups above one another that are looked at.
const DEPTH_MAX: usize = 64;

pub(super) fn findings(tree: &HostTree, needs: &HostNeeds) -> Vec<Finding> {
    let groups = Groups::of(tree);
    vec![
        version(groups.as_ref()),
        cores(tree, groups.as_ref(), needs),
        memory(tree, groups.as_ref(), needs),
    ]
}

/// The groups of a process (`cgroups(7)`).
#[derive(Debug, PartialEq, Eq)]
enum Groups {
    /// One group for everything.
    Unified(String),
    /// A group for each controller: that of cores and that of memory.
    Split { cpu: String, memory: String },
}

impl Groups {
    fn of(tree: &HostTree) -> Option<Groups> {
        let text = tree.read("proc/self/cgroup")?;
        let of_controller = |wanted: &str| {
            text.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let (controllers, path) = (parts.next()?, parts.next()?);
                let is_it = controllers.split(',').any(|name| name == wanted);
                is_it.then(|| path.trim_matches('/').to_owned())
            })
        };
        match (of_controller("cpu"), of_controller("memory")) {
            (None, None) => of_controller("").map(Groups::Unified),
            (cpu, memory) => Some(Groups::Split {
                cpu: cpu.unwrap_or_default(),
                memory: memory.unwrap_or_default(),
            }),
        }
    }
}

/// The folders from a group up to its mount.
fn upwards(mount: &str, group: &str) -> Vec<String> {
    let mut folders = Vec::new();
    let mut rest = group;
    while folders.len() < DEPTH_MAX {
        folders.push(format!("{mount}/{rest}"));
        match (rest.is_empty(), rest.rsplit_once('/')) {
            (true, _) => break,
            (false, Some((above, _))) => rest = above,
            (false, None) => rest = "",
        }
    }
    folders
}

fn version(groups: Option<&Groups>) -> Finding {
    let setting = HostSetting::new(
        "cgroup version",
        "2",
        "the default of limits.memory looks at limits of version 2 only",
    );
    match groups {
        Some(Groups::Unified(_)) => setting.ok("2"),
        Some(Groups::Split { .. }) => setting.warns(
            "1",
            "boot with systemd.unified_cgroup_hierarchy=1, or set limits.memory yourself",
        ),
        None => setting.unknown("no proc/self/cgroup"),
    }
}

/// Thousandths of a core that may be used; `None`: no limit.
fn quota(tree: &HostTree, groups: &Groups) -> Option<u64> {
    let thousandths = |quota: u64, period: u64| quota.saturating_mul(1000).checked_div(period);
    match groups {
        Groups::Unified(group) => {
            let limits = upwards(MOUNT, group).into_iter().filter_map(|folder| {
                match numbers(&tree.read(&format!("{folder}/cpu.max"))?)[..] {
                    [quota, period] => thousandths(quota, period),
                    _ => None,
                }
            });
            limits.min()
        }
        Groups::Split { cpu, .. } => {
            // Both names are in use for the mount.
            let mounts = [format!("{MOUNT}/cpu,cpuacct"), format!("{MOUNT}/cpu")];
            let folders = mounts.iter().flat_map(|mount| upwards(mount, cpu));
            let limits = folders.filter_map(|folder| {
                let quota = tree.number(&format!("{folder}/cpu.cfs_quota_us"))?;
                thousandths(quota, tree.number(&format!("{folder}/cpu.cfs_period_us"))?)
            });
            limits.min()
        }
    }
}

fn cores(tree: &HostTree, groups: Option<&Groups>, needs: &HostNeeds) -> Finding {
    let shards = needs.shards as u64;
    let setting = HostSetting::new(
        "cgroup cpu",
        format!("{shards} cores or more"),
        "a shard that is throttled stands still for the rest of a period, mostly a tenth of a second",
    );
    let Some(groups) = groups else {
        return setting.unknown("no proc/self/cgroup");
    };
    match quota(tree, groups) {
        None => setting.ok("no limit"),
        Some(thousandths) => {
            let found = format!("{}.{:03} cores", thousandths / 1000, thousandths % 1000);
            match thousandths >= shards * 1000 {
                true => setting.ok(found),
                false => setting.warns(
                    found,
                    format!(
                        "systemctl set-property shardcast.service CPUQuota={}%, docker run --cpus {shards}, or shardcast --shards {}",
                        shards * 100,
                        (thousandths / 1000).max(1)
                    ),
                ),
            }
        }
    }
}

fn memory(tree: &HostTree, groups: Option<&Groups>, needs: &HostNeeds) -> Finding {
    let wanted = needs.memory_bytes_max;
    let setting = HostSetting::new(
        "cgroup memory",
        format!("limits.memory ({} MiB) or more", wanted >> 20),
        "beyond it the kernel kills the process, where limits.memory would have refused",
    );
    let Some(groups) = groups else {
        return setting.unknown("no proc/self/cgroup");
    };
    let (mount, group, file) = match groups {
        Groups::Unified(group) => (MOUNT.to_owned(), group, "memory.max"),
        Groups::Split { memory, .. } => {
            (format!("{MOUNT}/memory"), memory, "memory.limit_in_bytes")
        }
    };
    let limits = upwards(&mount, group).into_iter();
    let limit = limits.filter_map(|folder| tree.number(&format!("{folder}/{file}")));
    match limit.min() {
        // Version 1 has a number for no limit: the most whole pages.
        None => setting.ok("no limit"),
        Some(limit) if limit >= 1 << 60 => setting.ok("no limit"),
        Some(limit) if limit >= wanted => setting.ok(format!("{} MiB", limit >> 20)),
        Some(limit) => setting.warns(
            format!("{} MiB", limit >> 20),
            format!(
                "shardcast --set limits.memory={}MiB, or systemctl set-property shardcast.service MemoryMax={}M",
                (limit >> 20) / 4 * 3,
                wanted.div_ceil(1 << 20)
            ),
        ),
    }
}
