//! The cores: whether there are enough, how their clocks run, which memory is near, and what time
//! is read from.

use super::finding::{Finding, HostSetting};
use super::needs::HostNeeds;
use super::tree::{HostTree, list};

const CPUS: &str = "sys/devices/system/cpu";
const NODES: &str = "sys/devices/system/node";
const CLOCK: &str = "sys/devices/system/clocksource/clocksource0";

pub(super) fn findings(tree: &HostTree, needs: &HostNeeds) -> Vec<Finding> {
    vec![
        enough(tree, needs),
        governor(tree),
        nodes(tree, needs),
        clock(tree),
    ]
}

/// The cores that this process may use.
fn allowed(tree: &HostTree) -> Option<Vec<usize>> {
    list(&tree.status("Cpus_allowed_list")?)
}

fn enough(tree: &HostTree, needs: &HostNeeds) -> Finding {
    let shards = needs.shards;
    let setting = HostSetting::new(
        "cores",
        format!("{shards}, one for each shard"),
        "two shards on one core share what both are short of",
    );
    match allowed(tree) {
        None => setting.unknown("no Cpus_allowed_list in proc/self/status"),
        Some(cores) if cores.len() >= shards => setting.ok(cores.len().to_string()),
        Some(cores) => setting.warns(
            cores.len().to_string(),
            format!("shardcast --shards {}", cores.len().max(1)),
        ),
    }
}

fn governor(tree: &HostTree) -> Finding {
    let setting = HostSetting::new(
        "scaling_governor",
        "performance",
        "a core that wakes slowly adds to the latency of a quiet server",
    );
    let cpus = tree.names(CPUS).into_iter().filter(|name| {
        let number = name.strip_prefix("cpu").unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    let mut found: Vec<String> = cpus
        .filter_map(|cpu| tree.read(&format!("{CPUS}/{cpu}/cpufreq/scaling_governor")))
        .collect();
    found.sort();
    found.dedup();
    match found.as_slice() {
        [] => setting.unknown("no cpufreq, as on virtual machines"),
        [only] if only == "performance" => setting.ok(only.clone()),
        several => setting.warns(
            several.join(", "),
            "cpupower frequency-set --governor performance",
        ),
    }
}

fn nodes(tree: &HostTree, needs: &HostNeeds) -> Finding {
    let setting = HostSetting::new(
        "NUMA nodes",
        "1 for all shards",
        "a broadcast crosses the interconnect once for each shard on another node",
    );
    let Some(online) = tree.read(&format!("{NODES}/online")) else {
        return setting.unknown("no sys/devices/system/node/online");
    };
    let Some(nodes) = list(&online) else {
        return setting.unknown(online);
    };
    let of_node = |node: &usize| {
        let text = tree.read(&format!("{NODES}/node{node}/cpulist"))?;
        Some((*node, list(&text)?))
    };
    let nodes: Vec<(usize, Vec<usize>)> = nodes.iter().filter_map(of_node).collect();
    let used = needs.cores.clone().or_else(|| allowed(tree));
    let used = used.unwrap_or_default();
    let taken: Vec<&(usize, Vec<usize>)> = nodes
        .iter()
        .filter(|(_, cores)| used.is_empty() || used.iter().any(|core| cores.contains(core)))
        .collect();
    match taken.as_slice() {
        [] => setting.unknown(format!("nodes {online}, whose cores cannot be seen")),
        [_] => setting.ok(format!("shards on 1 of {}", nodes.len())),
        [(first, _), ..] => setting.warns(
            format!("shards on {} of {}", taken.len(), nodes.len()),
            format!(
                "numactl --cpunodebind={first} --membind={first} shardcast serve, one process for each node"
            ),
        ),
    }
}

fn clock(tree: &HostTree) -> Finding {
    const FAST: [&str; 5] = [
        "tsc",
        "kvm-clock",
        "hyperv_clocksource_tsc_page",
        "arch_sys_counter",
        "riscv_clocksource",
    ];
    let setting = HostSetting::new(
        "clock source",
        FAST.join(", "),
        "time is read once in every turn of a shard; other sources take a system call and a device",
    );
    let Some(found) = tree.read(&format!("{CLOCK}/current_clocksource")) else {
        return setting.unknown("no clocksource0");
    };
    if FAST.contains(&found.as_str()) {
        return setting.ok(found);
    }
    let available = tree.read(&format!("{CLOCK}/available_clocksource"));
    let available = available.unwrap_or_default();
    let better = available
        .split_whitespace()
        .find(|name| FAST.contains(name));
    let mend = match better {
        Some(better) => format!("echo {better} > /{CLOCK}/current_clocksource"),
        None => "boot with tsc=reliable if the hardware has a stable one (dmesg | grep -i tsc)"
            .to_owned(),
    };
    setting.warns(found, mend)
}
