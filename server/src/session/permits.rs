//! Permits for futures that run elsewhere, counted on their shard. Used for background handlers and
//! for deferred admissions.
//!
//! Invariant: a permit is taken until its future is dropped and the shard has its outcome, so a
//! runtime that does not run its futures holds no more of them than the shard permits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One shard's permits. The caller knows how many there may be.
#[derive(Debug, Default)]
pub(crate) struct Permits(Arc<()>);

/// A taken permit.
#[derive(Debug)]
pub(crate) struct Permit {
    _counted: Arc<()>,
}

impl Permits {
    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }

    pub(crate) fn take(&self) -> Permit {
        Permit {
            _counted: self.0.clone(),
        }
    }
}

/// Bytes that a shard keeps of messages that wait.
#[derive(Debug, Default)]
pub(crate) struct HeldBytes(Arc<AtomicU64>);

/// Some of them, which count until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldPart {
    total: Arc<AtomicU64>,
    bytes: u64,
}

impl HeldBytes {
    pub(crate) fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn hold(&self, bytes: usize) -> HeldPart {
        let bytes = bytes as u64;
        self.0.fetch_add(bytes, Ordering::Relaxed);
        HeldPart {
            total: self.0.clone(),
            bytes,
        }
    }
}

impl Drop for HeldPart {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_counts_until_it_is_dropped() {
        let held = HeldBytes::default();
        let (first, second) = (held.hold(7), held.hold(5));
        assert_eq!(held.total(), 12);
        drop(first);
        assert_eq!(held.total(), 5);
        drop(second);
        assert_eq!(held.total(), 0);
    }
}
