//! What it costs to have a backend answer: calls of clients by a Unix socket, by webhooks, and
//! answered by the server itself. Called by the binary.

use crate::backend::{SocketBackend, answer_posts};
use crate::caller::{Caller, ReceiveBuffer};
use crate::figures::Figures;
use crate::prepare::Places;
use crate::product::NATIVE;
use crate::subject::Subject;
use std::io;

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backends {
    /// Clients that call.
    pub(crate) clients: usize,
    /// Round trips of all of them.
    pub(crate) calls: usize,
    /// How often, each time with fresh servers, in turns.
    pub(crate) rounds: u32,
}

/// Calls of one client that are not answered.
const WINDOW: usize = 16;

const SOCKET: &str = "a call, answered on a Unix socket: µs of CPU";
const WEBHOOK: &str = "a call, answered by a webhook: µs of CPU";
const ECHO: &str = "an echo of the server's own: µs of CPU";

/// Does it.
///
/// # Errors
/// The server ends, refuses or is stuck.
pub(crate) fn backends(plan: Backends, places: &Places) -> io::Result<Figures> {
    let mut figures = Figures::default();
    figures.compare(WEBHOOK, SOCKET);
    figures.compare(SOCKET, ECHO);
    figures.must_compared(SOCKET, 2.5);
    let socket = SocketBackend::start()?;
    let on_socket = format!("gateway.socket=unix:{}", socket.path().display());
    let by_webhook = format!("gateway.url=http://{}/", answer_posts("{}")?);
    for number in 1..=plan.rounds {
        for (name, place, kind, answer) in [
            (SOCKET, &on_socket, "ask", "result"),
            (WEBHOOK, &by_webhook, "ask", "result"),
            (ECHO, &on_socket, "echo", "echo"),
        ] {
            let settings = ["--set", place, "--set", "gateway.events=rpc"];
            let server = Subject::start(places, NATIVE, &settings)?;
            let ns = round(plan, &server, kind, answer)?;
            figures.add(name, number, ns as f64 / plan.calls as f64 / 1e3);
        }
    }
    Ok(figures)
}

/// CPU time in ns of all round trips.
fn round(plan: Backends, server: &Subject, kind: &str, answer: &str) -> io::Result<u64> {
    let address = server.address();
    let mut clients =
        Caller::connect_many(plan.clients, address, NATIVE.path, ReceiveBuffer::Usual)?;
    let ask = |client: &mut Caller, number: usize| {
        client.say(format!(
            r#"{{"type":"{kind}","id":{number},"data":{{"number":{number},"text":"sixty-four bytes or so of what clients say"}}}}"#
        ))
    };
    // The connection to the backend is made, and the first of everything.
    for client in &mut clients {
        ask(client, 0)?;
        client.hear_of(answer)?;
    }
    let begun = server.cpu_ns()?;
    let turns = plan.calls / plan.clients;
    for number in 0..turns + WINDOW {
        for client in &mut clients {
            if number < turns {
                ask(client, number)?;
            }
            if number >= WINDOW {
                client.hear_of(answer)?;
            }
        }
    }
    Ok(server.cpu_ns()? - begun)
}
