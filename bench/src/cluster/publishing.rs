//! CPU of the bridge: one node publishes at a rate to rooms whose members are at the other nodes,
//! beside the same node without a cluster. Part of the work.

use crate::caller::Caller;
use crate::cluster::broker::{BrokerName, MeasuredBroker};
use crate::cluster::flood::{Numbered, flood, flooded, hear_numbers, joined, put};
use crate::cluster::nodes::{ALWAYS_HEARD, MeasuredNode, NodeCost, join};
use crate::cluster::work::ClusterWork;
use crate::figures::Figures;
use crate::prepare::Places;
use std::io;
use std::slice;
use std::time::Duration;

/// As a chat's.
const PAYLOAD_BYTES: usize = 100;
/// Rooms that are published to in turns.
const ROOMS: usize = 64;
/// What the bridge may cost, in µs a publish.
const GOAL: f64 = 3.0;
/// What the last message of each room says.
const LAST: &str = "the last one";

pub(super) fn publishing(
    work: &ClusterWork,
    broker: BrokerName,
    places: &Places,
    (figures, round): (&mut Figures, u32),
) -> io::Result<()> {
    for per_second in &work.per_second {
        let time = Duration::from_secs(work.seconds.into());
        let alone = format!("{per_second} publishes/s without a cluster, µs of CPU a publish");
        let without = match figures.value(&alone, round) {
            Some(without) => without,
            None => {
                let node = MeasuredNode::alone(places, &[])?;
                let without = publish(&node, Vec::new(), *per_second, time)?;
                let without = without.cost.process as f64 / without.count / 1e3;
                figures.add(alone.as_str(), round, without);
                without
            }
        };
        let running = MeasuredBroker::start(broker)?;
        let nodes = MeasuredNode::cluster(places, &running, &[])?;
        let mut listeners = Vec::new();
        for node in &nodes[1..] {
            listeners.push(listener(node)?);
        }
        let others = || nodes[1..].iter().map(MeasuredNode::cost).collect();
        let before: io::Result<Vec<NodeCost>> = others();
        let said = publish(&nodes[0], listeners, *per_second, time)?;
        let after: io::Result<Vec<NodeCost>> = others();
        let heard: u64 = after?
            .iter()
            .zip(before?)
            .map(|(a, b)| a.since(b).bridge)
            .sum();
        let mut add = |what: &str, value: f64, goal: Option<f64>| {
            let name = format!("{per_second} publishes/s with {broker}: {what}");
            figures.add(name.as_str(), round, value);
            if let Some(goal) = goal {
                figures.must(&name, goal);
            }
        };
        let us = |ns: u64| ns as f64 / said.count / 1e3;
        add(
            "the bridge of who publishes, µs a publish",
            us(said.cost.bridge),
            Some(GOAL),
        );
        add(
            "its process − that without a cluster, µs a publish",
            us(said.cost.process) - without,
            Some(GOAL),
        );
        let each = us(heard) / (nodes.len() - 1) as f64;
        add(
            "the bridge of a node that hears it, µs a message",
            each,
            Some(GOAL),
        );
        add("reached, publishes a second", said.rate, None);
        add("messages lost", said.lost as f64, Some(0.0));
        add("messages repeated", said.repeated as f64, Some(0.0));
    }
    Ok(())
}

/// Somebody at this node who is in all rooms, once the broker knows.
fn listener(node: &MeasuredNode) -> io::Result<Caller> {
    let mut listener = node.client()?;
    for room in 0..ROOMS {
        join(&mut listener, &room.to_string())?;
    }
    node.wait_for("cluster_subscribes_total", ALWAYS_HEARD + ROOMS as u64)?;
    Ok(listener)
}

/// What came of it.
struct Published {
    /// Of the node that was published at.
    cost: NodeCost,
    count: f64,
    /// Publishes in a second.
    rate: f64,
    /// Not heard by one of the listeners.
    lost: usize,
    /// Heard by one of them again.
    repeated: usize,
}

fn publish(
    node: &MeasuredNode,
    listeners: Vec<Caller>,
    per_second: u32,
    time: Duration,
) -> io::Result<Published> {
    let mut publisher = node.client()?;
    publisher.hear_of("welcome")?;
    let said = flooded(per_second, time);
    let hearing = listeners.into_iter();
    let hearing: Vec<_> = hearing
        .map(|listener| hear_numbers(listener, said, LAST, ROOMS))
        .collect();
    let (numbered, before) = (Numbered::new(PAYLOAD_BYTES), node.cost()?);
    let message = |number: usize, out: &mut Vec<u8>| {
        let (room, data) = (number % ROOMS, numbered.data(number));
        put(
            out,
            &format!(r#"{{"type":"broadcast","room":"{room}","data":"{data}"}}"#),
        );
    };
    let (count, rate) = flood(
        slice::from_mut(publisher.stream()),
        per_second,
        time,
        message,
    )?;
    for room in 0..ROOMS {
        publisher.say(format!(
            r#"{{"type":"broadcast","id":1,"room":"{room}","data":"{LAST}","report":true}}"#
        ))?;
        publisher.hear_of("ack")?;
    }
    let (mut lost, mut repeated) = (0, 0);
    for listener in hearing {
        let heard = joined(listener)?;
        lost += heard.lost();
        repeated += heard.repeated();
    }
    Ok(Published {
        cost: node.cost()?.since(before),
        count: count as f64,
        rate,
        lost,
        repeated,
    })
}
