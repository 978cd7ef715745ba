//! What all shards of a process share: how many connections they may have, and a few counts of
//! theirs.
//!
//! Invariant: touched once per connect and once per close, and when a shard becomes busy or quiet;
//! never for a message, but for a look at [`Congestion`]. Used by `core`.

use crate::topic::congestion::Congestion;
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
    max: usize,
}

impl ProcessCounts {
    /// At most `max` connections.
    pub fn new(max: usize) -> ProcessCounts {
        ProcessCounts {
            admitted: Arc::default(),
            sharers: Arc::default(),
            busy: Arc::default(),
            encodings: EncodingsPresent::default(),
            congestion: Congestion::new(),
            max,
        }
    }

    pub(crate) fn enter(&self) -> bool {
        let admitted = self.admitted.fetch_add(1, Ordering::Relaxed) < self.max;
        if !admitted {
            self.leave();
        }
        admitted
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
