//! What publishing by the admin API costs: as many publishes in one batch, and through one client's
//! WebSocket. Called by the binary.

use crate::caller::{Caller, ReceiveBuffer};
use crate::figures::Figures;
use crate::operator::Operator;
use crate::prepare::Places;
use crate::product::NATIVE;
use crate::subject::Subject;
use std::io;

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batches {
    /// Publishes of a batch: 10,000 at most.
    pub(crate) publishes: usize,
    /// How often, each time with a fresh server.
    pub(crate) rounds: u32,
}

/// Rooms that are published to in turns, each with a member.
const ROOMS: usize = 100;
/// Publishes of the client that are not answered.
const WINDOW: usize = 64;

const BATCH: &str = "in a batch of /api/batch: µs of CPU a publish";
const WEBSOCKET: &str = "through a WebSocket: µs of CPU a publish";

/// Does it.
///
/// # Errors
/// The server ends, refuses or is stuck.
pub(crate) fn batches(plan: Batches, places: &Places) -> io::Result<Figures> {
    let mut figures = Figures::default();
    figures.compare(BATCH, WEBSOCKET);
    figures.must_compared(BATCH, 1.5);
    for number in 1..=plan.rounds {
        let (batch, websocket) = round(plan, places)?;
        for (name, ns) in [(BATCH, batch), (WEBSOCKET, websocket)] {
            figures.add(name, number, ns as f64 / plan.publishes as f64 / 1e3);
        }
    }
    Ok(figures)
}

/// CPU time in ns of both. The members are the same; each publish is reported, as the API's are.
fn round(plan: Batches, places: &Places) -> io::Result<(u64, u64)> {
    let server = Subject::start(places, NATIVE, &[])?;
    let connect = || Caller::connect(server.address(), NATIVE.path, ReceiveBuffer::Usual);
    let (mut member, mut publisher) = (connect()?, connect()?);
    for room in 0..ROOMS {
        member.say(format!(
            r#"{{"type":"join_room","id":{room},"room":"r{room}"}}"#
        ))?;
        member.hear_of("joined")?;
    }
    let data = r#"{"text":"what is published, of about sixty-four bytes in all"}"#;
    let requests = (0..plan.publishes).map(|number| {
        let room = number % ROOMS;
        format!(r#"{{"publish":{{"room":"r{room}","data":{data}}}}}"#)
    });
    let requests: Vec<String> = requests.collect();
    let batch = format!(r#"{{"requests":[{}]}}"#, requests.join(","));
    let operator = Operator::new(server.admin());
    let begun = server.cpu_ns()?;
    let answer = operator.post("/api/batch", &batch)?;
    for _ in 0..plan.publishes {
        member.hear_of("event")?;
    }
    let of_batch = server.cpu_ns()? - begun;
    let answer = String::from_utf8_lossy(&answer);
    let done = answer.matches(r#""status":200"#).count();
    if done != plan.publishes {
        return Err(io::Error::other(format!("{done} of a batch are done")));
    }
    let begun = server.cpu_ns()?;
    for number in 0..plan.publishes + WINDOW {
        if number >= WINDOW {
            publisher.hear_of("ack")?;
            member.hear_of("message")?;
        }
        if number < plan.publishes {
            let room = number % ROOMS;
            publisher.say(format!(
                r#"{{"type":"broadcast","id":{number},"room":"r{room}","report":true,"data":{data}}}"#
            ))?;
        }
    }
    Ok((of_batch, server.cpu_ns()? - begun))
}
