//! What the parent and its workers write to each other, one JSON object a line. The first line to a
//! worker is its `Share`.

use crate::deflate::Traffic;
use crate::entrance::Turnover;
use crate::errors::{Agreed, Errors};
use crate::interval::Interval;
use crate::latencies::Latencies;
use crate::meter::Meter;
use crate::stall::StallFindings;
use crate::tally::Faults;
use serde::{Deserialize, Serialize};
use std::io::Write;

/// Parent to worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum WorkerCommand {
    /// Connect all; answered by `Connected`.
    Connect,
    /// Subscribe or join; answered by `Subscribed`.
    Subscribe,
    /// Publish probes until the command to run, and wait for them; answered by `Probed`.
    Probe,
    /// Only stay connected until the command to run, and report; not answered.
    Hold {
        /// CLOCK_MONOTONIC.
        start_ns: u64,
        /// Where intervals end, among others.
        end_ns: u64,
    },
    /// Send from `start_ns` to the window's end; answered by `Stopped`.
    Run {
        /// CLOCK_MONOTONIC.
        start_ns: u64,
        /// Where measuring begins.
        window_start_ns: u64,
        /// Where sending and measuring end.
        window_end_ns: u64,
    },
    /// End the window now, or the drain; the answers are those of `Run` and `Drain`. Ignored at
    /// other times.
    Stop,
    /// Wait for what is under way; answered by `Finished`.
    Drain {
        /// Messages by each talker of the whole run.
        published: Vec<u64>,
        /// When all that a storm cut off were back, CLOCK_MONOTONIC; `u64::MAX`: never, 0: there
        /// was none.
        calm_ns: u64,
        /// CLOCK_MONOTONIC.
        until_ns: u64,
    },
}

/// Worker to parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// Connections open so far; no answer, comes while it connects.
    Opened(u64),
    /// What happened in an interval; no answer, comes while it holds, runs and drains.
    Interval(Box<Interval>),
    /// With the times from connect to open.
    Connected(Latencies),
    /// All.
    Subscribed,
    /// Every subscriber got a probe of every publisher.
    Probed,
    /// All that was to be sent was.
    Stopped {
        /// Messages by each talker of the worker.
        published: Vec<u64>,
        /// When all of the worker's that a storm cut off were back: see `WorkerCommand::Drain`.
        calm_ns: u64,
    },
    /// The end.
    Finished(Box<Outcome>),
    /// It could not go on, and why.
    Failed(String),
}

/// What a worker measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) meter: Meter,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) expected: u64,
    pub(crate) faults: Faults,
    /// (room, hash of the order in which messages arrived, subscribers that saw this order)
    pub(crate) orders: Vec<(u32, u64, u64)>,
    pub(crate) errors: Errors,
    /// What TLS agreed on.
    pub(crate) agreed: Agreed,
    /// Where messages may be compressed.
    pub(crate) traffic: Option<Traffic>,
    /// Where some were meant to stall.
    pub(crate) stall: Option<StallFindings>,
    /// Of a worker whose connections come and go.
    pub(crate) turnover: Option<Turnover>,
}

/// Lines from the parent, on standard input.
#[derive(Debug, Default)]
pub(crate) struct Input(Vec<u8>);

impl Input {
    /// Blocks if nothing is there; `false` at the end.
    pub(crate) fn read(&mut self) -> Result<bool, String> {
        let mut bytes = [0; 16 * 1024];
        let count =
            rustix::io::retry_on_intr(|| rustix::io::read(rustix::stdio::stdin(), &mut bytes))
                .map_err(|error| format!("standard input: {error}"))?;
        self.0.extend_from_slice(&bytes[..count]);
        Ok(count > 0)
    }

    /// The next line, if it is complete.
    pub(crate) fn line(&mut self) -> Option<String> {
        let end = self.0.iter().position(|&byte| byte == b'\n')?;
        let line: Vec<u8> = self.0.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).into_owned())
    }
}

/// Writes a worker's event to the parent.
pub(crate) fn send(event: &Event) -> Result<(), String> {
    let line = serde_json::to_string(event).map_err(|error| error.to_string())?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")
        .and_then(|()| output.flush())
        .map_err(|error| format!("standard output: {error}"))
}
