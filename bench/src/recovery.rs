//! What it costs to hear what one has missed: many clients that come to a room and ask for what it
//! keeps, beside the same messages delivered live to as many, one by one. Called by the binary.

use crate::caller::{Caller, ReceiveBuffer};
use crate::figures::Figures;
use crate::prepare::Places;
use crate::product::NATIVE;
use crate::subject::Subject;
use std::io;

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recovery {
    /// Clients who listen, and as many who come back.
    pub(crate) clients: usize,
    /// Messages that each hears.
    pub(crate) messages: usize,
    /// How often, each time with a fresh server.
    pub(crate) rounds: u32,
}

/// As a chat's.
const PAYLOAD_BYTES: usize = 100;

const LIVE: &str = "delivered live, one by one, µs of CPU a message";
const RECOVERED: &str = "recovered, the join included, µs of CPU a message";

/// Does it.
///
/// # Errors
/// The server ends, refuses or is stuck, or a message is missing.
pub(crate) fn recovery(plan: Recovery, places: &Places) -> io::Result<Figures> {
    let mut figures = Figures::default();
    figures.compare(RECOVERED, LIVE);
    for number in 1..=plan.rounds {
        let history = format!("rooms.history={}", plan.messages);
        let server = Subject::start(places, NATIVE, &["--set", &history])?;
        let (live, recovered) = round(plan, &server)?;
        let each = (plan.clients * plan.messages) as f64 * 1e3;
        figures.add(LIVE, number, live as f64 / each);
        figures.add(RECOVERED, number, recovered as f64 / each);
    }
    Ok(figures)
}

/// CPU time in ns of all live deliveries, and of all recovered ones with the joins that ask for
/// them.
fn round(plan: Recovery, server: &Subject) -> io::Result<(u64, u64)> {
    let connect =
        |count| Caller::connect_many(count, server.address(), NATIVE.path, ReceiveBuffer::Usual);
    let mut publisher = connect(1)?.remove(0);
    let mut listeners = connect(plan.clients)?;
    for listener in &mut listeners {
        listener.say(r#"{"type":"join_room","id":1,"room":"r"}"#)?;
        listener.hear_of("joined")?;
    }
    let begun = server.cpu_ns()?;
    let data = "x".repeat(PAYLOAD_BYTES);
    for id in 0..plan.messages {
        // A report comes when everybody has it, so nothing is merged.
        publisher.say(format!(
            r#"{{"type":"broadcast","id":{id},"room":"r","data":"{data}","report":true}}"#
        ))?;
        publisher.hear_of("ack")?;
    }
    hear_all(&mut listeners, plan.messages)?;
    let live = server.cpu_ns()? - begun;
    drop(listeners);
    let mut returning = connect(plan.clients)?;
    for client in &mut returning {
        client.hear_of("welcome")?;
    }
    let begun = server.cpu_ns()?;
    for client in &mut returning {
        // An empty epoch is any.
        client.say(r#"{"type":"join_room","id":1,"room":"r","since":{"epoch":"","offset":0}}"#)?;
    }
    hear_all(&mut returning, plan.messages)?;
    Ok((live, server.cpu_ns()? - begun))
}

fn hear_all(clients: &mut [Caller], messages: usize) -> io::Result<()> {
    for client in clients {
        for _ in 0..messages {
            client.hear_of("message")?;
        }
    }
    Ok(())
}
