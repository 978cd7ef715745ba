//! The works, and what is counted.

use crate::Outcome;
use crate::usage::cpu;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    Ours,
    Adaptive,
    Tungstenite,
}

impl Client {
    pub(crate) const ALL: [Client; 3] = [Client::Ours, Client::Adaptive, Client::Tungstenite];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Client::Ours => "ours",
            Client::Adaptive => "adaptive",
            Client::Tungstenite => "tungstenite",
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Requests over one connection, 64 at a time, with typed data both ways.
    RoundTrip,
    /// 10,000 subscriptions over 10 connections, which hear 100,000 messages a second.
    Subscriptions,
    /// Connections that are in one room and hear nothing.
    Idle,
}

/// Requests at a time.
pub(crate) const DEPTH: usize = 64;
/// Connections of [`Work::Subscriptions`], each in as many rooms.
pub(crate) const CONNECTIONS: usize = 10;
pub(crate) const ROOMS: usize = 1_000;
/// Publishes, each of which every connection hears.
const PUBLISHES_PER_SECOND: usize = 10_000;
/// Connections of [`Work::Idle`].
pub(crate) const IDLE: usize = 400;

/// What both send and receive.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Order {
    pub(crate) number: u64,
    pub(crate) item: String,
    pub(crate) price: f64,
    pub(crate) tags: Vec<String>,
}

impl Order {
    pub(crate) fn numbered(number: u64) -> Order {
        Order {
            number,
            item: "a thing with a name".to_owned(),
            price: 17.25,
            tags: vec!["new".to_owned(), "blue".to_owned()],
        }
    }
}

/// What one run counted.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Figure {
    pub(crate) messages: u64,
    pub(crate) cpu_ns: u64,
    pub(crate) bytes: u64,
    pub(crate) connections: u64,
}

impl Figure {
    /// Microseconds of CPU per message, or KiB per connection.
    pub(crate) fn value(&self, work: Work) -> f64 {
        match work {
            Work::RoundTrip | Work::Subscriptions => {
                self.cpu_ns as f64 / 1e3 / self.messages.max(1) as f64
            }
            Work::Idle => self.bytes as f64 / 1024.0 / self.connections.max(1) as f64,
        }
    }
}

impl Work {
    pub(crate) const ALL: [Work; 3] = [Work::RoundTrip, Work::Subscriptions, Work::Idle];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Work::RoundTrip => "round-trip",
            Work::Subscriptions => "subscriptions",
            Work::Idle => "idle",
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Work::RoundTrip | Work::Subscriptions => "µs",
            Work::Idle => "KiB",
        }
    }

    /// How much of what the other one takes ours may take.
    pub(crate) fn goal(self) -> f64 {
        match self {
            Work::RoundTrip | Work::Subscriptions => 0.8,
            Work::Idle => 0.5,
        }
    }

    /// Publishes that somebody else is to make meanwhile, and to how many rooms.
    pub(crate) fn publishes(self, scale: usize) -> Option<(usize, usize)> {
        (self == Work::Subscriptions).then_some((PUBLISHES_PER_SECOND / scale, ROOMS / scale))
    }
}

/// Counts of a span of time.
pub(crate) type Counted = (u64, u64, u64);

/// CPU time that something takes, and what it counts meanwhile.
pub(crate) async fn measured(
    time: Duration,
    connections: usize,
    count: impl Fn() -> u64,
) -> Outcome<Counted> {
    // The first moments are those of growing buffers.
    tokio::time::sleep(time / 4).await;
    let (before, counted) = (cpu()?, count());
    tokio::time::sleep(time).await;
    let (after, total) = (cpu()?, count());
    let cpu_ns = u64::try_from((after - before).as_nanos())?;
    Ok((total - counted, cpu_ns, connections as u64))
}
