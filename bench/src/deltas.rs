//! What deltas cost: publications of which little changes from one to the next, to many clients of
//! the Centrifuge protocol that ask for them, where the server sends deltas and where it does not.
//! Called by the binary.

use crate::caller::{Caller, ReceiveBuffer};
use crate::figures::Figures;
use crate::prepare::Places;
use crate::product::NATIVE;
use crate::subject::Subject;
use std::io;

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deltas {
    /// Clients who listen.
    pub(crate) clients: usize,
    /// Publications that each hears.
    pub(crate) messages: usize,
    /// How often, each time with fresh servers, in turns.
    pub(crate) rounds: u32,
}

/// Parts of a document, each of about so many bytes as the number says: 2 KiB in all, of which a
/// dozen change.
const PARTS: usize = 40;

const WITH: &str = "sent as deltas, µs of CPU a publication";
const WITHOUT: &str = "sent as a whole, µs of CPU a publication";
const BYTES_WITH: &str = "a publication as a delta, bytes that a client receives";
const BYTES_WITHOUT: &str = "a publication as a whole, bytes that a client receives";

/// Does it.
///
/// # Errors
/// The server ends, refuses or is stuck, or a publication is missing or not what it should be.
pub(crate) fn deltas(plan: Deltas, places: &Places) -> io::Result<Figures> {
    let mut figures = Figures::default();
    figures.compare(WITH, WITHOUT);
    figures.compare(BYTES_WITH, BYTES_WITHOUT);
    for number in 1..=plan.rounds {
        for (sent, setting, cpu, bytes) in [
            (Sent::Deltas, "rooms.deltas=true", WITH, BYTES_WITH),
            (Sent::Whole, "rooms.deltas=false", WITHOUT, BYTES_WITHOUT),
        ] {
            let server = Subject::start(places, NATIVE, &["--set", setting])?;
            let (cpu_ns, heard_bytes) = round(plan, &server, sent)?;
            let each = plan.messages as f64;
            figures.add(cpu, number, cpu_ns as f64 / each / 1e3);
            figures.add(bytes, number, heard_bytes as f64 / each);
        }
    }
    Ok(figures)
}

/// What clients are sent behind the first publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Deltas,
    Whole,
}

/// CPU time in ns of all deliveries, and the bytes that one client heard.
fn round(plan: Deltas, server: &Subject, sent: Sent) -> io::Result<(u64, usize)> {
    let connect =
        |count, path| Caller::connect_many(count, server.address(), path, ReceiveBuffer::Usual);
    let mut publisher = connect(1, NATIVE.path)?.remove(0);
    let mut listeners = connect(plan.clients, "/connection/websocket")?;
    for listener in &mut listeners {
        listener.say(r#"{"id":1,"connect":{}}"#)?;
        hear_of(listener, r#"{"id":1,"#)?;
        listener.say(r#"{"id":2,"subscribe":{"channel":"r","delta":"fossil"}}"#)?;
        hear_of(listener, r#"{"id":2,"subscribe""#)?;
    }
    publish(&mut publisher, 0)?;
    hear_all(&mut listeners, Sent::Whole)?;
    let begun = server.cpu_ns()?;
    let mut bytes = 0;
    for number in 1..=plan.messages {
        publish(&mut publisher, number)?;
        bytes += hear_all(&mut listeners, sent)?;
    }
    Ok((server.cpu_ns()? - begun, bytes))
}

fn publish(publisher: &mut Caller, number: usize) -> io::Result<()> {
    let part = |part| format!(r#"{{"row":{part},"value":"stays as it is"}}"#);
    let parts: Vec<String> = (0..PARTS).map(part).collect();
    let parts = parts.join(",");
    // A report comes when everybody has it, so nothing is merged.
    publisher.say(format!(
        r#"{{"type":"broadcast","id":{number},"room":"r","report":true,"data":{{"number":{number},"rows":[{parts}]}}}}"#
    ))?;
    publisher.hear_of("ack").map(|_| ())
}

/// Bytes that the first of them heard.
fn hear_all(listeners: &mut [Caller], sent: Sent) -> io::Result<usize> {
    let mut bytes = None;
    for listener in listeners {
        let heard = hear_of(listener, r#"{"push":{"channel":"r","pub":{"#)?;
        let is_delta = heard.contains(r#""delta":true"#);
        if is_delta != (sent == Sent::Deltas) {
            return Err(io::Error::other(format!("not {sent:?}: {heard}")));
        }
        bytes.get_or_insert(heard.len());
    }
    Ok(bytes.unwrap_or(0))
}

/// Reads on to a message that begins so, and returns it.
fn hear_of(listener: &mut Caller, start: &str) -> io::Result<String> {
    loop {
        let text = listener.hear()?.into_text();
        let text = text.map_err(|error| io::Error::other(error.to_string()))?;
        if text.starts_with(start) {
            return Ok(text.to_string());
        }
        if text.contains(r#""error":"#) {
            return Err(io::Error::other(text.to_string()));
        }
    }
}
