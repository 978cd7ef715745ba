//! What coming and going costs: a few clients join as many rooms as each may be in, and leave them,
//! on two shards. Called by the binary.

use crate::caller::{Caller, ReceiveBuffer};
use crate::figures::Figures;
use crate::prepare::Places;
use crate::product::NATIVE;
use crate::server::{Program, Server};
use crate::subject::Subject;
use std::io;

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joins {
    /// Clients, one after the other.
    pub(crate) clients: usize,
    /// Rooms of each, nobody else's.
    pub(crate) rooms: usize,
    /// How often, each time with a fresh server.
    pub(crate) rounds: u32,
}

/// Requests under way.
const WINDOW: usize = 32;

/// Our server on two shards; the limits of today's and of earlier builds allow so many rooms.
const SUBJECT: Server = Server {
    name: "shardcast",
    arguments: &[
        "serve", "--shards", "2", "--listen", "{listen}", "--admin", "{next}",
    ],
    cores: "0,1",
    ..NATIVE
};

/// Another build of it.
const BEFORE: Server = Server {
    name: "shardcast before",
    program: Program::Against,
    ..SUBJECT
};

/// Does it on our server, in turns with another build of it where `places` has one.
///
/// # Errors
/// A server ends, refuses or is stuck.
pub(crate) fn joins(plan: Joins, places: &Places) -> io::Result<Figures> {
    let mut figures = Figures::default();
    let servers = [SUBJECT, BEFORE];
    let servers = &servers[..1 + usize::from(places.against.is_some())];
    for number in 1..=plan.rounds {
        for server in servers {
            let (joined, left) = round(plan, *server, places)?;
            for (what, ns) in [("join", joined), ("leave", left)] {
                let us = ns as f64 / (plan.clients * plan.rooms) as f64 / 1e3;
                figures.add(format!("{}: µs of CPU a {what}", server.name), number, us);
            }
        }
    }
    if servers.len() > 1 {
        for what in ["join", "leave"] {
            let name = |server: Server| format!("{}: µs of CPU a {what}", server.name);
            figures.compare(name(SUBJECT), name(BEFORE));
        }
    }
    Ok(figures)
}

/// CPU time in ns of all joins, and of all leaves.
fn round(plan: Joins, server: Server, places: &Places) -> io::Result<(u64, u64)> {
    let rooms = format!("limits.max_rooms_per_connection={}", plan.rooms);
    let subject = Subject::start(places, server, &["--set", &rooms])?;
    let (mut joined, mut left) = (0, 0);
    for client in 0..plan.clients {
        let address = subject.address();
        let mut caller = Caller::connect(address, server.path, ReceiveBuffer::Usual)?;
        for (request, answer, ns) in [
            ("join_room", "joined", &mut joined),
            ("leave_room", "left", &mut left),
        ] {
            let begun = subject.cpu_ns()?;
            ask_for_all(&mut caller, plan.rooms, answer, |room| {
                format!(r#"{{"type":"{request}","id":{room},"room":"{client}-{room}"}}"#)
            })?;
            *ns += subject.cpu_ns()? - begun;
        }
    }
    Ok((joined, left))
}

/// Requests, a window of them at once.
fn ask_for_all(
    caller: &mut Caller,
    count: usize,
    answer: &str,
    request: impl Fn(usize) -> String,
) -> io::Result<()> {
    for number in 0..count + WINDOW {
        if number < count {
            caller.say(request(number))?;
        }
        if number >= WINDOW {
            caller.hear_of(answer)?;
        }
    }
    Ok(())
}
