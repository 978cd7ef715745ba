//! Rooms that come and go: clients join and leave new ones at a rate, at a node of a cluster and at
//! one that knows no others. What must not grow is memory. Part of the work.

use crate::cluster::broker::{BrokerName, MeasuredBroker};
use crate::cluster::flood::{flood, hear_until, joined, put};
use crate::cluster::nodes::{ALWAYS_HEARD, MeasuredNode, NodeCost};
use crate::cluster::work::ClusterWork;
use crate::figures::Figures;
use crate::prepare::Places;
use std::io::{self, Write};
use std::time::Duration;

/// Clients, one for each room that there is at a time. A connection may have 64 requests
/// unanswered: so many clients keep below that while the machine stands still for 100 ms.
const CLIENTS: usize = 40;
/// What memory may grow by while as many rooms come and go as before, in MiB: allocators round.
const GROWTH_GOAL: f64 = 1.0;
/// The room that each client leaves last.
const LAST: &str = "\"last\"";

pub(super) fn turnover(
    work: &ClusterWork,
    broker: BrokerName,
    places: &Places,
    (figures, round): (&mut Figures, u32),
) -> io::Result<()> {
    let rooms = work.rooms;
    let cpu = |who: &str| format!("{rooms} rooms/s, {who}: µs of CPU a room joined and left");
    let alone = cpu("one node");
    if figures.value(&alone, round).is_none() {
        let node = MeasuredNode::alone(places, &[])?;
        let coming = come_and_go(work, &node)?;
        figures.add(alone.as_str(), round, coming.process_us);
    }
    let running = MeasuredBroker::start(broker)?;
    let nodes = MeasuredNode::cluster(places, &running, &[])?;
    let coming = come_and_go(work, &nodes[0])?;
    let who = format!("a node with {broker}");
    figures.add(cpu(&who), round, coming.process_us);
    figures.add(
        cpu(&format!("its bridge with {broker}")),
        round,
        coming.bridge_us,
    );
    figures.compare(cpu(&who), alone);
    let name = format!("{rooms} rooms/s, {who}: MiB more after twice as many rooms");
    figures.add(name.as_str(), round, coming.growth_mib);
    figures.must(&name, GROWTH_GOAL);
    let name = format!("{rooms} rooms/s, {who}: reached, rooms a second");
    figures.add(name, round, coming.rate);
    Ok(())
}

/// What it came to.
struct ComingAndGoing {
    process_us: f64,
    bridge_us: f64,
    /// Of memory, from the end of the first half to the end of the second.
    growth_mib: f64,
    rate: f64,
}

/// Two halves, each with as many rooms as the other, and all of them new.
fn come_and_go(work: &ClusterWork, node: &MeasuredNode) -> io::Result<ComingAndGoing> {
    let half = Duration::from_secs(work.seconds.into()) * 2;
    let (mut memory, mut rates, mut rooms) = (Vec::new(), Vec::new(), 0);
    let mut cost = NodeCost::default();
    for name in ["first", "second"] {
        let before = node.cost()?;
        let mut clients = node.clients(CLIENTS)?;
        let streams = clients.iter_mut().map(|client| client.stream().try_clone());
        let mut to = streams.collect::<io::Result<Vec<_>>>()?;
        let hearing = clients.into_iter();
        let hearing: Vec<_> = hearing
            .map(|client| hear_until(client, "left", LAST, 1))
            .collect();
        let next = |number: usize, out: &mut Vec<u8>| join_and_leave(out, name, number);
        let (count, rate) = flood(&mut to, work.rooms, half, next)?;
        let mut out = Vec::new();
        put(&mut out, r#"{"type":"join_room","id":1,"room":"last"}"#);
        put(&mut out, r#"{"type":"leave_room","id":2,"room":"last"}"#);
        for to in &mut to {
            to.write_all(&out)?;
        }
        // The clients go with the rooms that they are in still, and then what lingers.
        let clients = hearing.into_iter().map(joined);
        let clients = clients.collect::<io::Result<Vec<_>>>()?;
        cost = cost.and(node.cost()?.since(before));
        drop((clients, to));
        node.wait_until("cluster_subjects", |subjects| subjects <= ALWAYS_HEARD)?;
        memory.push(node.memory_bytes()?);
        rates.push(rate);
        rooms += count;
    }
    let NodeCost { process, bridge } = cost;
    let us = |ns: u64| ns as f64 / rooms as f64 / 1e3;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    Ok(ComingAndGoing {
        process_us: us(process),
        bridge_us: us(bridge),
        growth_mib: mib(memory[1]) - mib(memory[0]),
        rate: rates.into_iter().fold(f64::INFINITY, f64::min),
    })
}

/// The next room is joined, and the one left that the same client has joined before.
fn join_and_leave(out: &mut Vec<u8>, name: &str, number: usize) {
    put(
        out,
        &format!(r#"{{"type":"join_room","id":1,"room":"{name}-{number}"}}"#),
    );
    if let Some(before) = number.checked_sub(CLIENTS) {
        put(
            out,
            &format!(r#"{{"type":"leave_room","id":2,"room":"{name}-{before}"}}"#),
        );
    }
}
