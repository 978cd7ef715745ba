//! What a process counts of its sessions, over all shards: touched where a connection ends or one
//! goes on, and by nobody while there are no sessions. Read by the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counts of all shards together.
#[derive(Debug, Default)]
pub struct SessionCounts {
    waiting: AtomicU64,
    bytes: AtomicU64,
    resumed: AtomicU64,
    refused: AtomicU64,
    expired: AtomicU64,
    evicted: AtomicU64,
}

/// A count, and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionCount {
    /// Its name; members of a family share it.
    pub name: &'static str,
    /// What tells a member of a family from the others: key and value.
    pub label: Option<(&'static str, &'static str)>,
    /// What it counts; the same for a complete family.
    pub help: &'static str,
    /// It goes up and down.
    pub is_gauge: bool,
    /// Just now.
    pub value: u64,
}

/// Why a session ended before its client came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    /// Its time was over.
    Expired,
    /// Others took its place.
    Evicted,
}

impl SessionCounts {
    /// One session more waits, with so many bytes.
    pub(crate) fn keep(&self, bytes: usize) {
        add(&self.waiting, 1);
        add(&self.bytes, bytes as u64);
    }

    /// One waits no more.
    pub(crate) fn release(&self, bytes: usize) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn resumed(&self) {
        add(&self.resumed, 1);
    }

    pub(crate) fn refused(&self) {
        add(&self.refused, 1);
    }

    pub(crate) fn ended(&self, end: SessionEnd) {
        match end {
            SessionEnd::Expired => add(&self.expired, 1),
            SessionEnd::Evicted => add(&self.evicted, 1),
        }
    }

    /// Every count, members of a family one after the other.
    pub fn each(&self) -> [SessionCount; 6] {
        const LOST: &str = "Sessions that ended before their clients came back, by reason.";
        let count = |name, help, value: &AtomicU64| SessionCount {
            name,
            label: None,
            help,
            is_gauge: false,
            value: value.load(Ordering::Relaxed),
        };
        let gauge = |name, help, value| SessionCount {
            is_gauge: true,
            ..count(name, help, value)
        };
        let lost = |reason, value| SessionCount {
            label: Some(("reason", reason)),
            ..count("sessions_lost", LOST, value)
        };
        [
            gauge(
                "sessions_waiting",
                "Sessions without a connection, which wait for their clients.",
                &self.waiting,
            ),
            gauge("session_bytes", "What these hold, in bytes.", &self.bytes),
            count(
                "sessions_resumed",
                "Connections that went on with a session.",
                &self.resumed,
            ),
            count(
                "sessions_refused",
                "Requests to go on with a session that there was not, any more or at all.",
                &self.refused,
            ),
            lost("expired", &self.expired),
            lost("evicted", &self.evicted),
        ]
    }
}

fn add(count: &AtomicU64, by: u64) {
    count.fetch_add(by, Ordering::Relaxed);
}
