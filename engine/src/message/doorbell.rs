//! Sleep and wake between shards: who may sleep, and who must ring.
//!
//! A shard that is about to sleep announces it, looks into its lanes once more, and only then
//! sleeps. A sender puts its message into the lane first and looks for the announcement afterwards.
//! Both sides put a sequentially consistent fence between their store and their load, so at least
//! one of them sees the other: no message waits for a shard that sleeps unrung. Checked by loom in
//! `tests/doorbell_loom.rs`.

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// One per shard, shared by all who write to it.
#[derive(Debug)]
pub(crate) struct Doorbell {
    asleep: AtomicBool,
}

impl Doorbell {
    pub(crate) fn new() -> Doorbell {
        Doorbell {
            asleep: AtomicBool::new(false),
        }
    }

    /// The owner is about to sleep: it must look into its lanes after this call, and stay awake if
    /// anything is there.
    pub(crate) fn announce(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The owner is awake.
    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Called by a sender after its message is in the lane. True: the caller, and nobody else, must
    /// wake the owner.
    pub(crate) fn knock(&self) -> bool {
        fence(Ordering::SeqCst);
        self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed)
    }
}
