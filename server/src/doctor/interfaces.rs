//! Network cards: how many receive queues each has, and which cores their interrupts go to.

use super::finding::{Finding, HostSetting};
use super::needs::HostNeeds;
use super::tree::{HostTree, list};
use std::collections::BTreeSet;

const NET: &str = "sys/class/net";

/// Two findings for each card that is up and has hardware behind it.
pub(super) fn findings(tree: &HostTree, needs: &HostNeeds) -> Vec<Finding> {
    let is_card = |name: &String| {
        let folder = format!("{NET}/{name}");
        let state = tree.read(&format!("{folder}/operstate"));
        tree.exists(&format!("{folder}/device")) && state.as_deref() != Some("down")
    };
    let cards: Vec<String> = tree.names(NET).into_iter().filter(is_card).collect();
    if cards.is_empty() {
        let setting = HostSetting::new(
            "network cards",
            "a receive queue for each shard",
            "receiving takes a third of the CPU of a small message",
        );
        return vec![setting.unknown("none to be seen, as in containers")];
    }
    let both = |card: &String| [queues(tree, needs, card), interrupts(tree, needs, card)];
    cards.iter().flat_map(both).collect()
}

fn receive_queues(tree: &HostTree, card: &str) -> Vec<String> {
    let queues = tree.names(&format!("{NET}/{card}/queues")).into_iter();
    queues.filter(|name| name.starts_with("rx-")).collect()
}

fn queues(tree: &HostTree, needs: &HostNeeds, card: &str) -> Finding {
    let shards = needs.shards;
    let setting = HostSetting::new(
        format!("{card} receive queues"),
        format!("{shards}, or receive packet steering"),
        "one queue keeps one core busy with receiving, whatever the shards do",
    );
    let queues = receive_queues(tree, card);
    let steers = |queue: &String| {
        let mask = tree.read(&format!("{NET}/{card}/queues/{queue}/rps_cpus"));
        mask.is_some_and(|mask| {
            mask.bytes()
                .any(|byte| byte.is_ascii_hexdigit() && byte != b'0')
        })
    };
    match queues.len() {
        0 => setting.unknown(format!("no {NET}/{card}/queues")),
        count if count >= shards => setting.ok(count.to_string()),
        count if queues.iter().all(steers) => setting.ok(format!("{count}, with steering")),
        count => {
            let mask = u128::MAX >> (128 - shards.clamp(1, 32));
            setting.warns(
                count.to_string(),
                format!(
                    "ethtool -L {card} combined {shards}; where the card has fewer: echo {mask:x} > /{NET}/{card}/queues/rx-0/rps_cpus"
                ),
            )
        }
    }
}

/// A card's interrupts. Those of a virtual one (virtio) are its carrier's, the device above it.
fn numbers_of(tree: &HostTree, card: &str) -> Vec<String> {
    let own = tree.names(&format!("{NET}/{card}/device/msi_irqs"));
    match own.is_empty() {
        true => tree.names(&format!("{NET}/{card}/device/../msi_irqs")),
        false => own,
    }
}

/// Where the interrupts of a card's queues are handled. A card with one queue has one core, which
/// `queues` judges.
fn interrupts(tree: &HostTree, needs: &HostNeeds, card: &str) -> Finding {
    let setting = HostSetting::new(
        format!("{card} interrupts"),
        "spread over cores",
        "all on one core make that core's shard the slowest",
    );
    let numbers = numbers_of(tree, card);
    let core_of = |number: &String| {
        let folder = format!("proc/irq/{number}");
        let effective = tree.read(&format!("{folder}/effective_affinity_list"));
        let text = effective
            .filter(|text| !text.is_empty())
            .or_else(|| tree.read(&format!("{folder}/smp_affinity_list")))?;
        Some((number.clone(), list(&text)?))
    };
    let placed: Vec<(String, Vec<usize>)> = numbers.iter().filter_map(core_of).collect();
    let used: BTreeSet<usize> = placed.iter().flat_map(|(_, cores)| cores.clone()).collect();
    let several = needs.shards > 1 && receive_queues(tree, card).len() > 1 && placed.len() > 1;
    match (placed.last(), used.first()) {
        (None, _) | (_, None) => setting.unknown("its interrupts cannot be seen"),
        (Some((number, _)), Some(core)) if several && used.len() == 1 => setting.warns(
            format!("{} on core {core}", placed.len()),
            format!("systemctl start irqbalance, or for each: echo CORE > /proc/irq/{number}/smp_affinity_list"),
        ),
        _ => setting.ok(format!("{} on {} cores", placed.len(), used.len())),
    }
}
