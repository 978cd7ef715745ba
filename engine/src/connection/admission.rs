//! What all shards of a process share: how many connections they may have, and a few counts of
//! theirs.
//!
//! Invariant: touched once per connect and once per close, and when a shard becomes busy or quiet;
//! never for a message, but for a look at [`Congestion`]; and once
//! a tick where a shard holds more or less memory than before. Used by `core`.

use crate::connection::pressure::MemoryPressure;
use crate::topic::congestion::Congestion;
use crate::topic::greed::GreedMarks;
use crate::topic::key::Topic;
use crate::types::encoding::EncodingsPresent;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The process's connection limit, how many of its connections take shared compressed frames, how
/// many have each encoding, and how many shards are busy: the one thing that shards share, touched
/// once per connect and once per close.
#[derive(Clone, Debug)]
pub struct ProcessCounts {
    admitted: Arc<AtomicUsize>,
    sharers: Arc<AtomicUsize>,
    /// Shards that have not been quiet since they were busy.
    busy: Arc<AtomicUsize>,
    pub(crate) encodings: EncodingsPresent,
    pub(crate) congestion: Congestion,
    /// What all shards hold.
    pub(crate) memory: MemoryPressure,
    /// Topics that take most of it while it is short.
    pub(crate) greed: GreedMarks,
    max: usize,
}

/// Whether memory is short, and who takes most of it then: for other threads.
#[derive(Clone, Debug)]
pub(crate) struct Shortage {
    memory: MemoryPressure,
    greed: GreedMarks,
    congestion: Congestion,
}

impl Shortage {
    /// Memory is never short.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn none() -> Shortage {
        ProcessCounts::new(0).shortage(0)
    }

    /// What is published to a topic is refused; `None`: to everyone.
    pub(crate) fn refuses(&self, topic: Option<Topic<'_>>) -> bool {
        self.memory.is_short() && self.greed.has(self.congestion.bucket(topic))
    }
}

impl ProcessCounts {
    /// At most `max` connections, and as much memory as they take: for shards that are run by
    /// themselves.
    pub fn new(max: usize) -> ProcessCounts {
        ProcessCounts::within_memory(max, 1 << 60, 0)
    }

    /// At most `max` connections. Their memory is short once shards hold three quarters of
    /// `bytes_max`, of which `fixed_bytes` are taken whatever happens.
    pub fn within_memory(max: usize, bytes_max: u64, fixed_bytes: u64) -> ProcessCounts {
        ProcessCounts {
            admitted: Arc::default(),
            sharers: Arc::default(),
            busy: Arc::default(),
            encodings: EncodingsPresent::default(),
            congestion: Congestion::new(),
            memory: MemoryPressure::new(bytes_max, fixed_bytes),
            greed: GreedMarks::new(),
            max,
        }
    }

    /// What other threads see of memory that is short; `seed`: the process's.
    pub(crate) fn shortage(&self, seed: u64) -> Shortage {
        Shortage {
            memory: self.memory.clone(),
            greed: self.greed.clone(),
            congestion: self.congestion.seeded(seed),
        }
    }

    pub(crate) fn enter(&self) -> bool {
        let admitted = self.admitted.fetch_add(1, Ordering::Relaxed) < self.max;
        if !admitted {
            self.leave();
        }
        admitted
    }

    /// Connections that count.
    #[cfg(test)]
    pub(crate) fn admitted(&self) -> usize {
        self.admitted.load(Ordering::Relaxed)
    }

    pub(crate) fn leave(&self) {
        self.admitted.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn count_sharer(&self) {
        self.sharers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn discount_sharer(&self) {
        self.sharers.fetch_sub(1, Ordering::Relaxed);
    }

    /// This shard is busy; touched at most once in a few seconds.
    pub(crate) fn count_busy(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn discount_busy(&self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    /// Some shard is busy.
    pub(crate) fn has_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// Only a hint: who has just come or gone gets plain frames, which everybody takes.
    pub(crate) fn has_sharers(&self) -> bool {
        self.sharers.load(Ordering::Relaxed) > 0
    }
}
