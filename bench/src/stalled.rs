//! What readers cost that do not read: members of a room with small receive buffers, who take
//! nothing more while a publisher goes on by the clock. Called by the binary.

use crate::caller::{Caller, ReceiveBuffer};
use crate::figures::Figures;
use crate::prepare::Places;
use crate::product::NATIVE;
use crate::server::Server;
use crate::subject::Subject;
use std::io;
use std::time::{Duration, Instant};

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stalled {
    /// Who does not read.
    pub(crate) readers: usize,
    /// Publishes a second.
    pub(crate) per_s: u32,
    /// How long.
    pub(crate) time: Duration,
    /// How often, each time with a fresh server.
    pub(crate) rounds: u32,
}

/// As a chat's.
const PAYLOAD_BYTES: usize = 100;
/// Of those who do not read; the kernel doubles it (socket(7)).
const RECEIVE_BYTES: usize = 4 << 10;

/// What memory may come to for all the readers together, as a multiple of what it was before they
/// stopped and of what the room keeps.
const GROWTH_MAX: f64 = 1.10;

/// Does it on our server with readers that catch up and on a peer, with and without the readers.
///
/// # Errors
/// A server ends, refuses or is stuck.
pub(crate) fn stalled(plan: Stalled, places: &Places, peers: &[Server]) -> io::Result<Figures> {
    let mut figures = Figures::default();
    for number in 1..=plan.rounds {
        for server in [NATIVE].iter().chain(peers) {
            let alone = measure(&mut figures, number, plan, 0, *server, places)?;
            let stalled = measure(&mut figures, number, plan, plan.readers, *server, places)?;
            // What the room keeps is what it grows by without them.
            let kept = alone.after.saturating_sub(alone.before);
            let name = |what: &str| format!("{}, {} readers: {what}", server.name, plan.readers);
            let expected = stalled.before + kept;
            let each = stalled.after.saturating_sub(expected) as f64 / plan.readers.max(1) as f64;
            figures.add(name(EXPECTED), number, mib(expected));
            figures.add(name(EACH), number, each);
            figures.compare(name(AFTER), name(EXPECTED));
            if server.key == NATIVE.key {
                figures.must_compared(&name(AFTER), GROWTH_MAX);
            }
        }
    }
    Ok(figures)
}

const BEFORE: &str = "MiB when all are there";
const AFTER: &str = "MiB at the end";
const EXPECTED: &str = "MiB when all are there, and what the room grows by without them";
const EACH: &str = "bytes that each costs once it reads nothing";

/// Memory of a server's process, in bytes.
#[derive(Clone, Copy)]
struct Memory {
    /// Before the first publish.
    before: u64,
    /// After the last.
    after: u64,
}

/// One round, with its rows.
fn measure(
    figures: &mut Figures,
    number: u32,
    plan: Stalled,
    readers: usize,
    server: Server,
    places: &Places,
) -> io::Result<Memory> {
    let memory = round(plan, readers, server, places)?;
    let name = |what: &str| format!("{}, {readers} readers: {what}", server.name);
    figures.add(name(BEFORE), number, mib(memory.before));
    figures.add(name(AFTER), number, mib(memory.after));
    Ok(memory)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// With one member who reads.
fn round(plan: Stalled, readers: usize, server: Server, places: &Places) -> io::Result<Memory> {
    let more: &[&str] = match server.protocol {
        "native" => &[
            "--set",
            "rooms.history=1000",
            "--set",
            "rooms.slow_reader=catch_up",
        ],
        _ => &[],
    };
    let subject = Subject::start(places, server, more)?;
    let connect =
        |count, buffer| Caller::connect_many(count, subject.address(), server.path, buffer);
    let mut publisher = connect(1, ReceiveBuffer::Usual)?.remove(0);
    let mut reading = connect(1, ReceiveBuffer::Usual)?.remove(0);
    let mut stalled = connect(readers, ReceiveBuffer::Bytes(RECEIVE_BYTES))?;
    for member in stalled.iter_mut().chain([&mut reading]) {
        join(member, server)?;
    }
    let before = subject.memory_bytes()?;
    let listener = std::thread::spawn(move || while reading.hear().is_ok() {});
    let begun = Instant::now();
    let data = "x".repeat(PAYLOAD_BYTES);
    let publishes = (plan.time.as_secs_f64() * f64::from(plan.per_s)) as u32;
    for number in 0..publishes {
        let due = begun + Duration::from_secs(1) * number / plan.per_s;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        publish(&mut publisher, server, number, &data)?;
    }
    let after = subject.memory_bytes()?;
    drop(subject);
    listener
        .join()
        .map_err(|_| io::Error::other("the member who reads panicked"))?;
    Ok(Memory { before, after })
}

fn join(member: &mut Caller, server: Server) -> io::Result<()> {
    if server.protocol == "native" {
        member.say(r#"{"type":"join_room","id":1,"room":"r"}"#)?;
        return member.hear_of("joined").map(drop);
    }
    member.say(b"S".to_vec())?;
    // What comes back tells that the subscription was read.
    member.say(b"echo".to_vec())?;
    member.hear().map(drop)
}

fn publish(publisher: &mut Caller, server: Server, number: u32, data: &str) -> io::Result<()> {
    if server.protocol == "native" {
        publisher.say(format!(
            r#"{{"type":"broadcast","id":{number},"room":"r","data":"{data}"}}"#
        ))?;
        return publisher.hear_of("ack").map(drop);
    }
    publisher.say(format!("P{data}").into_bytes())
}
