//! What all shards hold of the process's memory, and whether that is too much.
//!
//! Invariant: `used` is the sum of what the shards have reported last, and of what was fixed at the
//! start. Between the two waters memory is short or not as it was before: what is refused for it
//! stays refused until there is room again. Written by each shard at the end of a tick in which its
//! part has changed by more than [`MemoryPressure::STEP_BYTES`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The process's memory, shared by its shards.
#[derive(Clone, Debug)]
pub(crate) struct MemoryPressure(Arc<Levels>);

#[derive(Debug)]
struct Levels {
    bytes_max: u64,
    used: AtomicU64,
    is_short: AtomicBool,
}

impl MemoryPressure {
    /// What a shard's part may have changed by without being reported.
    pub(crate) const STEP_BYTES: u64 = 64 << 10;

    /// `fixed_bytes` are taken whatever happens.
    pub(crate) fn new(bytes_max: u64, fixed_bytes: u64) -> MemoryPressure {
        let pressure = MemoryPressure(Arc::new(Levels {
            bytes_max,
            used: AtomicU64::new(0),
            is_short: AtomicBool::new(false),
        }));
        pressure.report(0, fixed_bytes);
        pressure
    }

    pub(crate) fn bytes_max(&self) -> u64 {
        self.0.bytes_max
    }

    /// Above this memory is short: the last quarter is for what nobody accounts for, and for what
    /// comes before the shards have acted.
    pub(crate) fn high_water(&self) -> u64 {
        self.0.bytes_max / 4 * 3
    }

    /// Below this it is not any more.
    pub(crate) fn low_water(&self) -> u64 {
        self.0.bytes_max / 8 * 5
    }

    /// Bytes that the shards hold.
    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// New connections, and what is published to the greediest topics, are refused.
    #[inline]
    pub(crate) fn is_short(&self) -> bool {
        self.0.is_short.load(Ordering::Relaxed)
    }

    /// A shard holds `now` instead of what it reported before.
    pub(crate) fn report(&self, before: u64, now: u64) {
        let change = now.wrapping_sub(before);
        let used = self.0.used.fetch_add(change, Ordering::Relaxed);
        let used = used.wrapping_add(change);
        if used > self.high_water() {
            self.0.is_short.store(true, Ordering::Relaxed);
        } else if used < self.low_water() {
            self.0.is_short.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_short_from_the_high_water_to_the_low_one() {
        let pressure = MemoryPressure::new(800, 100);
        let (high, low) = (pressure.high_water(), pressure.low_water());
        assert_eq!((high, low), (600, 500));
        let mut held = 0;
        for (now, is_short) in [
            (500, false),
            (501, true),
            (450, true),
            (400, true),
            (399, false),
            (500, false),
            (700, true),
            (0, false),
        ] {
            pressure.report(held, now);
            held = now;
            assert_eq!(pressure.used(), now + 100);
            assert_eq!(pressure.is_short(), is_short, "{now}");
        }
    }
}
