//! CPU of a delivery: one room whose subscribers are spread over three nodes, beside the same room
//! at one node that knows no others. Part of the work.

use crate::caller::Caller;
use crate::cluster::broker::{BrokerName, MeasuredBroker};
use crate::cluster::nodes::{ALWAYS_HEARD, MeasuredNode, join};
use crate::cluster::work::ClusterWork;
use crate::figures::Figures;
use crate::prepare::Places;
use std::io;

/// As a chat's.
const PAYLOAD_BYTES: usize = 100;
/// Heard before anything counts.
const WARM_UP: usize = 5;

const ALONE: &str = "delivery at one node, µs of CPU";

pub(super) fn delivering(
    work: &ClusterWork,
    broker: BrokerName,
    places: &Places,
    (figures, round): (&mut Figures, u32),
) -> io::Result<()> {
    let name = format!("delivery over three nodes with {broker}, µs of CPU");
    let each = (work.subscribers * work.messages) as f64 * 1e3;
    if figures.value(ALONE, round).is_none() {
        let nodes = [MeasuredNode::alone(places, &[])?];
        figures.add(ALONE, round, cpu_ns(work, &nodes)? as f64 / each);
    }
    let running = MeasuredBroker::start(broker)?;
    let nodes = MeasuredNode::cluster(places, &running, &[])?;
    figures.add(name.as_str(), round, cpu_ns(work, &nodes)? as f64 / each);
    figures.compare(name.as_str(), ALONE);
    figures.must_compared(&name, 1.10);
    Ok(())
}

/// CPU time in ns of all nodes, for all messages.
fn cpu_ns(work: &ClusterWork, nodes: &[MeasuredNode]) -> io::Result<u64> {
    let mut publisher = nodes[0].client()?;
    let mut listeners = Vec::with_capacity(work.subscribers);
    for number in 0..work.subscribers {
        let mut listener = nodes[number % nodes.len()].client()?;
        join(&mut listener, "r")?;
        listeners.push(listener);
    }
    if nodes.len() > 1 {
        for node in nodes {
            node.wait_for("cluster_subscribes_total", ALWAYS_HEARD + 1)?;
        }
    }
    for number in 0..WARM_UP {
        publish(&mut publisher, &mut listeners, number)?;
    }
    let cost = || -> io::Result<u64> {
        let costs = nodes.iter().map(|node| Ok(node.cost()?.process));
        costs.sum()
    };
    let before = cost()?;
    for number in 0..work.messages {
        publish(&mut publisher, &mut listeners, number)?;
    }
    Ok(cost()? - before)
}

/// One message, and nothing else before everybody has it, so that nothing is merged.
fn publish(publisher: &mut Caller, listeners: &mut [Caller], number: usize) -> io::Result<()> {
    let data = "x".repeat(PAYLOAD_BYTES);
    publisher.say(format!(
        r#"{{"type":"broadcast","id":{number},"room":"r","data":"{data}"}}"#
    ))?;
    for listener in listeners {
        listener.hear_of("message")?;
    }
    Ok(())
}
