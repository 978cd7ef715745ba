//! What the parent and its workers say to each other, one JSON object a line. The first line to a worker is its `Share`.

use crate::meter::{Latencies, Meter};
use crate::plan::Plan;
use crate::tally::Faults;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A worker's part of the plan.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Share {
    pub(crate) plan: Plan,
    /// Number of the worker's first connection.
    pub(crate) first: u32,
    /// Its connections, publishers not counted.
    pub(crate) count: u32,
    /// Whether the publishers are here.
    pub(crate) publishes: bool,
}

/// Parent to worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Connect all; answered by `Connected`.
    Connect,
    /// Subscribe or join; answered by `Subscribed`.
    Subscribe,
    /// Publish probes until told to run, and wait for them; answered by `Probed`.
    Probe,
    /// Send from `start_ns` to the window's end; answered by `Stopped`.
    Run {
        /// CLOCK_MONOTONIC.
        start_ns: u64,
        /// Where measuring begins.
        window_start_ns: u64,
        /// Where sending and measuring end.
        window_end_ns: u64,
    },
    /// Wait for what is under way; answered by `Finished`.
    Drain {
        /// Messages by each publisher.
        published: Vec<u64>,
        /// CLOCK_MONOTONIC.
        until_ns: u64,
    },
}

/// Worker to parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// With the times from connect to open.
    Connected(Latencies),
    /// All.
    Subscribed,
    /// Every subscriber got a probe of every publisher.
    Probed,
    /// With the messages by each publisher, if they are here.
    Stopped(Vec<u64>),
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
    /// Kinds of errors and how often.
    pub(crate) errors: BTreeMap<String, u64>,
}
