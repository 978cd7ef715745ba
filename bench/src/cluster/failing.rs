//! Clients of a node that dies: they come back to the other nodes with the positions that they had,
//! and what they missed is read from the broker's logs, once for each room and node however many
//! clients ask. Part of the work.

use crate::caller::Caller;
use crate::cluster::broker::{BrokerName, MeasuredBroker};
use crate::cluster::nodes::{ALWAYS_HEARD, MeasuredNode, join};
use crate::cluster::work::ClusterWork;
use crate::figures::Figures;
use crate::prepare::Places;
use std::io;

/// Rooms that the clients are spread over.
const ROOMS: usize = 100;
/// Messages of each room that are missed.
const MISSED: usize = 10;

pub(super) fn failing(
    work: &ClusterWork,
    broker: BrokerName,
    places: &Places,
    (figures, round): (&mut Figures, u32),
) -> io::Result<()> {
    let running = MeasuredBroker::start(broker)?;
    let settings = ["--set", "rooms.history=100", "--set", "rooms.order=broker"];
    let mut nodes = MeasuredNode::cluster(places, &running, &settings)?;
    let dying = nodes.remove(0);
    let rooms = ROOMS.min(work.clients);
    let mut clients = dying.clients(work.clients)?;
    let mut epochs = vec![String::new(); rooms];
    for (number, client) in clients.iter_mut().enumerate() {
        let answer = join(client, &(number % rooms).to_string())?;
        epochs[number % rooms] = epoch_of(&answer)?;
    }
    dying.wait_for("cluster_subscribes_total", ALWAYS_HEARD + rooms as u64)?;
    drop(dying);
    drop(clients);
    // Published at a node without members of the rooms.
    let mut publisher = nodes[0].client()?;
    for number in 0..rooms * MISSED {
        let room = number % rooms;
        publisher.say(format!(
            r#"{{"type":"broadcast","id":{number},"room":"{room}","data":{number}}}"#
        ))?;
        publisher.hear_of("ack")?;
    }
    let (opened, looked) = (running.calls("evalsha")?, running.calls("exec")?);
    let before = cost_ns(&nodes)?;
    come_back(work.clients, &nodes, &epochs)?;
    let us = (cost_ns(&nodes)? - before) as f64 / work.clients as f64 / 1e3;
    let logs = (rooms * nodes.len()) as f64;
    let name = |what: &str| format!("a node of {} clients dies, {broker}: {what}", work.clients);
    let opened = (running.calls("evalsha")? - opened) as f64 / logs;
    figures.add(name("reads of a log by a node"), round, opened);
    figures.must(&name("reads of a log by a node"), 1.0);
    let looked = (running.calls("exec")? - looked) as f64 / logs;
    figures.add(name("later looks at a log by a node"), round, looked);
    figures.add(name("the others, µs of CPU a client"), round, us);
    Ok(())
}

fn cost_ns(nodes: &[MeasuredNode]) -> io::Result<u64> {
    let costs = nodes.iter().map(|node| Ok(node.cost()?.process));
    costs.sum()
}

/// All clients, at the other nodes in turns; each hears what it missed.
fn come_back(count: usize, nodes: &[MeasuredNode], epochs: &[String]) -> io::Result<()> {
    let mut clients = Vec::<Caller>::with_capacity(count);
    for number in 0..count {
        // Each room's come to all of them.
        let node = number / epochs.len() % nodes.len();
        clients.push(nodes[node].client()?);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let room = number % epochs.len();
        let epoch = &epochs[room];
        client.say(format!(
            r#"{{"type":"join_room","id":1,"room":"{room}","since":{{"epoch":"{epoch}","offset":0}}}}"#
        ))?;
    }
    for client in &mut clients {
        let answer = client.hear_of("joined")?;
        if !answer.contains(r#""recovered":true"#) {
            return Err(io::Error::other(format!("not recovered: {answer}")));
        }
        for _ in 0..MISSED {
            client.hear_of("message")?;
        }
    }
    Ok(())
}

/// Of the log that a room has.
fn epoch_of(joined: &str) -> io::Result<String> {
    let epoch = joined.split(r#""epoch":""#).nth(1);
    let epoch = epoch.and_then(|rest| rest.split('"').next());
    epoch
        .map(str::to_owned)
        .ok_or_else(|| io::Error::other(format!("no position: {joined}")))
}
