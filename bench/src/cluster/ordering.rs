//! Rate and CPU of rooms that the broker orders: one node publishes as fast as it is answered, two
//! hear it; with Redis beside a plain client that has the broker run the same script. Part of the
//! work.

use crate::cluster::broker::{BrokerName, MeasuredBroker};
use crate::cluster::flood::{Numbered, hear_numbers, joined};
use crate::cluster::nodes::{ALWAYS_HEARD, MeasuredNode, join};
use crate::cluster::resp::Resp;
use crate::cluster::work::ClusterWork;
use crate::figures::Figures;
use crate::prepare::Places;
use std::io;
use std::time::Instant;

/// As a chat's.
const PAYLOAD_BYTES: usize = 100;
/// Rooms that are published to in turns.
const ROOMS: usize = 64;
/// Publishes without an answer yet; a plain client sends as many at once.
const WINDOW: usize = 256;
/// Of a message besides its payload: what an envelope of ours has behind its place.
const ENVELOPE_BYTES: usize = 60;
/// What the last message of each room says.
const LAST: &str = "the last one";

pub(super) fn ordering(
    work: &ClusterWork,
    broker: BrokerName,
    places: &Places,
    (figures, round): (&mut Figures, u32),
) -> io::Result<()> {
    let running = MeasuredBroker::start(broker)?;
    let settings = ["--set", "rooms.history=1000", "--set", "rooms.order=broker"];
    let nodes = MeasuredNode::cluster(places, &running, &settings)?;
    let script = match broker {
        BrokerName::Redis => Some(script_of(&running, &nodes[0])?),
        BrokerName::Nats => None,
    };
    let mut hearing = Vec::new();
    for node in &nodes[1..] {
        let mut listener = node.client()?;
        for room in 0..ROOMS {
            join(&mut listener, &room.to_string())?;
        }
        node.wait_for("cluster_subscribes_total", ALWAYS_HEARD + ROOMS as u64)?;
        hearing.push(hear_numbers(listener, work.ordered, LAST, ROOMS));
    }
    let (costs, of_broker) = (cost_of(&nodes)?, running.cpu_ns()?);
    let begun = Instant::now();
    publish(&nodes[0], work.ordered)?;
    let rate = work.ordered as f64 / begun.elapsed().as_secs_f64();
    let (mut lost, mut repeated) = (0, 0);
    for listener in hearing {
        let heard = joined(listener)?;
        lost += heard.lost();
        repeated += heard.repeated();
    }
    let us = |ns: u64| ns as f64 / work.ordered as f64 / 1e3;
    let [all, bridges] = [0, 1].map(|which| costs[which]);
    let after = cost_of(&nodes)?;
    let name = |what: &str| format!("ordered rooms with {broker}: {what}");
    let at_node = name("messages a second");
    figures.add(at_node.as_str(), round, rate);
    let of_all = us(after[0] - all);
    figures.add(name("three nodes, µs of CPU a message"), round, of_all);
    figures.add(
        name("their bridges, µs of CPU a message"),
        round,
        us(after[1] - bridges),
    );
    let cost = us(running.cpu_ns()? - of_broker);
    figures.add(name("the broker, µs of CPU a message"), round, cost);
    for (what, count) in [("messages lost", lost), ("messages repeated", repeated)] {
        figures.add(name(what), round, count as f64);
        figures.must(&name(what), 0.0);
    }
    drop(nodes);
    let Some(script) = script else { return Ok(()) };
    let by_client = name("the same script by a plain client, messages a second");
    let of_broker = running.cpu_ns()?;
    let begun = Instant::now();
    append(&running, &script, work.ordered)?;
    let rate = work.ordered as f64 / begun.elapsed().as_secs_f64();
    figures.add(by_client.as_str(), round, rate);
    let cost = us(running.cpu_ns()? - of_broker);
    figures.add(
        name("the broker by itself, µs of CPU a message"),
        round,
        cost,
    );
    figures.compare(at_node, by_client);
    Ok(())
}

/// Of all nodes so far, in ns: their processes, their bridges.
fn cost_of(nodes: &[MeasuredNode]) -> io::Result<[u64; 2]> {
    let mut sum = [0; 2];
    for node in nodes {
        let cost = node.cost()?;
        sum = [sum[0] + cost.process, sum[1] + cost.bridge];
    }
    Ok(sum)
}

fn publish(node: &MeasuredNode, count: usize) -> io::Result<()> {
    let mut publisher = node.client()?;
    publisher.hear_of("welcome")?;
    let numbered = Numbered::new(PAYLOAD_BYTES);
    for number in 0..count + ROOMS + WINDOW {
        if number < count + ROOMS {
            let room = number % ROOMS;
            let data = match number < count {
                true => numbered.data(number),
                false => LAST.to_owned(),
            };
            publisher.say(format!(
                r#"{{"type":"broadcast","id":{number},"room":"{room}","data":"{data}"}}"#
            ))?;
        }
        if number >= WINDOW {
            publisher.hear_of("ack")?;
        }
    }
    Ok(())
}

/// By which digest the broker knows the script that gives messages their places: what it shows of
/// one message's way (`MONITOR`).
fn script_of(broker: &MeasuredBroker, node: &MeasuredNode) -> io::Result<String> {
    let mut monitor = broker.resp()?;
    monitor.ask(&[b"MONITOR"])?;
    let mut publisher = node.client()?;
    publisher.say(r#"{"type":"broadcast","id":1,"room":"trial","data":1}"#)?;
    publisher.hear_of("ack")?;
    loop {
        let line = monitor.hear()?.text();
        let mut words = line.split('"').skip(1).step_by(2);
        // The other script, which opens a log, has two keys.
        if let (Some("EVALSHA"), Some(digest), Some("3")) =
            (words.next(), words.next(), words.next())
        {
            return Ok(digest.to_owned());
        }
    }
}

/// The same messages by a plain client, as many at once as a node has under way.
fn append(broker: &MeasuredBroker, script: &str, count: usize) -> io::Result<()> {
    let mut plain: Resp = broker.resp()?;
    let tail = vec![b'x'; ENVELOPE_BYTES + PAYLOAD_BYTES];
    let keys: Vec<[String; 3]> = (0..ROOMS)
        .map(|room| ["log", "place", "r"].map(|what| format!("plain:{what}:{room}")))
        .collect();
    for begin in (0..count).step_by(WINDOW) {
        let end = (begin + WINDOW).min(count);
        for number in begin..end {
            let [log, place, channel] = &keys[number % ROOMS];
            let (log, place) = (log.as_bytes(), place.as_bytes());
            let (ttl, epoch_ttl): (&[u8], &[u8]) = (b"300000", b"3600000");
            plain.say(&[
                b"EVALSHA",
                script.as_bytes(),
                b"3",
                log,
                place,
                log,
                b"\x01\x01",
                &tail,
                channel.as_bytes(),
                b"7",
                b"1000",
                ttl,
                epoch_ttl,
                b"0",
            ]);
        }
        plain.flush()?;
        for _ in begin..end {
            plain.hear()?;
        }
    }
    Ok(())
}
