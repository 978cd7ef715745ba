//! The worker processes and the conversation with them. Invariant: none outlives the crew. Called
//! by `conduct`.

use crate::clock::now_ns;
use crate::control::{Event, WorkerCommand};
use crate::plan::Share;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// The workers of a run.
#[derive(Debug)]
pub(crate) struct Crew {
    members: Vec<Member>,
    events: Receiver<Received>,
}

#[derive(Debug)]
struct Member {
    child: Child,
    input: ChildStdin,
    is_alive: bool,
}

/// An event of one worker.
#[derive(Debug)]
pub(crate) struct Received {
    /// Its place among the shares.
    pub(crate) from: usize,
    /// `Err`: it failed or died, and why; its last event.
    pub(crate) event: Result<Event, String>,
}

/// Events that wait to be taken; beyond, workers wait before they write more.
const EVENTS_MAX: usize = 256;

impl Crew {
    /// Starts a worker for each share: this program again.
    ///
    /// # Errors
    /// A worker could not be started.
    pub(crate) fn start(shares: &[Share]) -> Result<Crew, String> {
        let program =
            std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
        let (sender, events) = sync_channel(EVENTS_MAX);
        let mut crew = Crew {
            members: Vec::new(),
            events,
        };
        for (from, share) in shares.iter().enumerate() {
            let mut child = std::process::Command::new(&program)
                .arg("worker")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                // A terminal's interrupt is for the parent, which then ends the run in good order.
                .process_group(0)
                .spawn()
                .map_err(|error| format!("starting a worker: {error}"))?;
            let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
                return Err("a worker without pipes".into());
            };
            let sender = sender.clone();
            std::thread::spawn(move || listen(from, BufReader::new(output), &sender));
            crew.members.push(Member {
                child,
                input,
                is_alive: true,
            });
            crew.members[from].send(&to_line(share)?);
        }
        Ok(crew)
    }

    /// Sends a command to every worker that lives.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub(crate) fn send(&mut self, command: &WorkerCommand) -> Result<(), String> {
        let line = to_line(command)?;
        self.members
            .iter_mut()
            .filter(|member| member.is_alive)
            .for_each(|member| member.send(&line));
        Ok(())
    }

    /// The next event of any worker, if one comes until `until_ns`.
    pub(crate) fn receive(&mut self, until_ns: u64) -> Option<Received> {
        let wait = Duration::from_nanos(until_ns.saturating_sub(now_ns()));
        let received = self.events.recv_timeout(wait).ok()?;
        self.members[received.from].is_alive &= received.event.is_ok();
        Some(received)
    }

    /// Workers that have not failed, by their places.
    pub(crate) fn living(&self) -> impl Iterator<Item = usize> {
        let members = self.members.iter().enumerate();
        members.filter_map(|(place, member)| member.is_alive.then_some(place))
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for member in &mut self.members {
            // Already ended is as good.
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }
}

impl Member {
    /// A worker that failed takes nothing any more: its last event has the reason.
    fn send(&mut self, line: &str) {
        let _ = self
            .input
            .write_all(line.as_bytes())
            .and_then(|()| self.input.flush());
    }
}

/// Passes on a worker's events, until it ends or nobody takes them.
fn listen(from: usize, mut output: BufReader<ChildStdout>, sender: &SyncSender<Received>) {
    loop {
        let mut line = String::new();
        let event = match output.read_line(&mut line) {
            Ok(0) => Err("a worker died".into()),
            Ok(_) => match serde_json::from_str(&line) {
                Ok(Event::Failed(reason)) => Err(reason),
                Ok(event) => Ok(event),
                Err(error) => Err(format!("a worker wrote something unknown: {error}")),
            },
            Err(error) => Err(format!("reading from a worker: {error}")),
        };
        let is_last = event.is_err();
        if sender.send(Received { from, event }).is_err() || is_last {
            return;
        }
    }
}

fn to_line(value: &impl serde::Serialize) -> Result<String, String> {
    serde_json::to_string(value)
        .map(|line| line + "\n")
        .map_err(|error| error.to_string())
}
