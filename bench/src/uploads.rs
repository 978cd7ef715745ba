//! What large messages cost that are answered with a few bytes, and what a server keeps of them
//! while many are on their way. On the raw protocol: a publish without subscribers is the upload,
//! the echo behind it the answer. Called by the binary.

use crate::caller::{Caller, ReceiveBuffer};
use crate::figures::Figures;
use crate::prepare::Places;
use crate::server::{RAW, Server};
use crate::subject::Subject;
use std::io::{self, Write};

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uploads {
    /// Clients, who upload in turns, then all at once.
    pub(crate) clients: usize,
    /// Of one message; the raw protocol's servers take 1 MiB.
    pub(crate) bytes: usize,
    /// Uploads in turns.
    pub(crate) messages: usize,
    /// How often, each time with a fresh server.
    pub(crate) rounds: u32,
}

/// Does it on our engine and on peers, in turns.
///
/// # Errors
/// A server ends, refuses or is stuck.
pub(crate) fn uploads(plan: Uploads, places: &Places, peers: &[Server]) -> io::Result<Figures> {
    let mut figures = Figures::default();
    let cpu = |server: &Server| format!("{}: ns of CPU a KiB", server.name);
    for number in 1..=plan.rounds {
        for server in [RAW].iter().chain(peers) {
            let (ns, kept) = round(plan, *server, places)?;
            let kib = (plan.messages * plan.bytes) as f64 / 1024.0;
            figures.add(cpu(server), number, ns as f64 / kib);
            let name = format!("{}: bytes kept ÷ bytes on their way", server.name);
            figures.add(
                name,
                number,
                kept as f64 / (plan.clients * plan.bytes) as f64,
            );
        }
    }
    for peer in peers {
        figures.compare(cpu(&RAW), cpu(peer));
    }
    Ok(figures)
}

/// CPU time in ns of the uploads in turns; memory that it keeps for those at once.
fn round(plan: Uploads, server: Server, places: &Places) -> io::Result<(u64, u64)> {
    let subject = Subject::start(places, server, &[])?;
    let connect =
        |count| Caller::connect_many(count, subject.address(), server.path, ReceiveBuffer::Usual);
    let mut clients = connect(plan.clients)?;
    let mut upload = vec![b'x'; plan.bytes];
    upload[0] = b'P';
    let begun = subject.cpu_ns()?;
    for number in 0..plan.messages {
        let client = &mut clients[number % plan.clients];
        client.say(upload.clone())?;
        client.say(b"answer".to_vec())?;
        client.hear()?;
    }
    let cpu_ns = subject.cpu_ns()? - begun;
    let before = subject.memory_bytes()?;
    let frame = masked(&upload);
    for client in &mut clients {
        // All but the last byte.
        client.stream().write_all(&frame[..frame.len() - 1])?;
    }
    // What a server answers to the last client it has read of everybody before.
    let mut last = connect(1)?.remove(0);
    last.say(b"answer".to_vec())?;
    last.hear()?;
    let kept = subject.memory_bytes()?.saturating_sub(before);
    Ok((cpu_ns, kept))
}

/// A binary message as a client writes it (RFC 6455 §5.2), with a mask of zeros.
fn masked(data: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82, 0xff];
    frame.extend_from_slice(&(data.len() as u64).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(data);
    frame
}
