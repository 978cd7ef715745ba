//! The worker processes and the conversation with them. Invariant: none outlives the crew. Called by `conduct`.

use crate::control::{Command, Event, Share};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// The workers of a run.
#[derive(Debug)]
pub(crate) struct Crew(Vec<Member>);

#[derive(Debug)]
struct Member {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Crew {
    /// Starts a worker for each share: this program again.
    pub(crate) fn start(shares: &[Share]) -> Result<Crew, String> {
        let program =
            std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
        let mut crew = Crew(Vec::new());
        for share in shares {
            let mut child = std::process::Command::new(&program)
                .arg("worker")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .map_err(|error| format!("starting a worker: {error}"))?;
            let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
                return Err("a worker without pipes".into());
            };
            let mut member = Member {
                child,
                input,
                output: BufReader::new(output),
            };
            let told = member.tell(&to_line(share)?);
            crew.0.push(member);
            told?;
        }
        Ok(crew)
    }

    /// Says it to every worker.
    pub(crate) fn tell(&mut self, command: &Command) -> Result<(), String> {
        let line = to_line(command)?;
        self.0.iter_mut().try_for_each(|member| member.tell(&line))
    }

    /// One event of each worker, in the order of their shares. Workers bound their own time.
    ///
    /// # Errors
    /// A worker failed or died; the text says why.
    pub(crate) fn hear(&mut self) -> Result<Vec<Event>, String> {
        self.0.iter_mut().map(Member::hear).collect()
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for member in &mut self.0 {
            // Already ended is as good.
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }
}

impl Member {
    fn tell(&mut self, line: &str) -> Result<(), String> {
        let told = self
            .input
            .write_all(line.as_bytes())
            .and_then(|()| self.input.flush());
        // A worker that failed says why on its way out.
        told.or_else(|error| self.hear().and(Err(format!("telling a worker: {error}"))))
    }

    fn hear(&mut self) -> Result<Event, String> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(0) => Err("a worker died".into()),
            Ok(_) => match serde_json::from_str(&line) {
                Ok(Event::Failed(reason)) => Err(reason),
                Ok(event) => Ok(event),
                Err(error) => Err(format!("a worker said something unknown: {error}")),
            },
            Err(error) => Err(format!("hearing a worker: {error}")),
        }
    }
}

fn to_line(value: &impl serde::Serialize) -> Result<String, String> {
    serde_json::to_string(value)
        .map(|line| line + "\n")
        .map_err(|error| error.to_string())
}
