//! What a scrape of `/metrics` costs shards with many connections and rooms: CPU time of their
//! threads while one goes on, and while nothing does for as long. Called by the binary.

use crate::caller::{Caller, ReceiveBuffer};
use crate::figures::Figures;
use crate::operator::Operator;
use crate::prepare::Places;
use crate::product::NATIVE;
use crate::subject::Subject;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scraped {
    /// Connections, which are idle. A process has an end of files for each here.
    pub(crate) connections: usize,
    /// Rooms, each with a member.
    pub(crate) rooms: usize,
    /// Scrapes.
    pub(crate) scrapes: u32,
}

/// Rooms of one connection.
const ROOMS_EACH: usize = 100;
/// Requests under way.
const WINDOW: usize = 32;
/// After the last request: what it left to do is done.
const SETTLES: Duration = Duration::from_secs(3);

const SHARDS: &str = "CPU of the shard while it is scraped, µs: no tick had more of it";
/// What a scrape may add to a tick.
const SHARDS_GOAL_US: f64 = 1_000.0;
const IDLE: &str = "CPU of the shard in as long a time without, µs";
const OTHERS: &str = "CPU of all other threads, µs";
const TOOK: &str = "a scrape takes, µs";
const BYTES: &str = "bytes of an answer";

/// Does it, on one shard.
///
/// # Errors
/// The server ends, refuses or is stuck.
pub(crate) fn scraped(plan: Scraped, places: &Places) -> io::Result<Figures> {
    let server = Subject::start(places, NATIVE, &[])?;
    let connect =
        |count| Caller::connect_many(count, server.address(), NATIVE.path, ReceiveBuffer::Usual);
    let mut clients = connect(plan.connections)?;
    let mut rooms = 0..plan.rooms;
    for client in &mut clients {
        join(client, rooms.by_ref().take(ROOMS_EACH).collect())?;
    }
    if !rooms.is_empty() {
        let few = "too few connections for so many rooms: one is in 100 at most";
        return Err(io::Error::other(few));
    }
    thread::sleep(SETTLES);
    let operator = Operator::new(server.admin());
    operator.get("/metrics")?;
    let mut figures = Figures::default();
    figures.must(SHARDS, SHARDS_GOAL_US);
    for number in 1..=plan.scrapes {
        let (shard, all, begun) = (server.shards_ns()?, server.cpu_ns()?, Instant::now());
        let body = operator.get("/metrics")?;
        let (took, shard_after, all_after) =
            (begun.elapsed(), server.shards_ns()?, server.cpu_ns()?);
        let shard = shard_after - shard;
        let others = (all_after - all).saturating_sub(shard);
        let us = |ns: u64| ns as f64 / 1e3;
        figures.add(SHARDS, number, us(shard));
        let quiet = server.shards_ns()?;
        thread::sleep(took);
        figures.add(IDLE, number, us(server.shards_ns()? - quiet));
        figures.add(OTHERS, number, us(others));
        figures.add(TOOK, number, took.as_secs_f64() * 1e6);
        figures.add(BYTES, number, body.len() as f64);
    }
    Ok(figures)
}

fn join(client: &mut Caller, rooms: Vec<usize>) -> io::Result<()> {
    for at in 0..rooms.len() + WINDOW {
        if let Some(room) = rooms.get(at) {
            client.say(format!(
                r#"{{"type":"join_room","id":{room},"room":"r{room}"}}"#
            ))?;
        }
        if at >= WINDOW && at - WINDOW < rooms.len() {
            client.hear_of("joined")?;
        }
    }
    Ok(())
}
