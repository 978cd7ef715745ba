//! When connections arrived that have not opened yet: what the time of a handshake is counted from.
//!
//! Invariant: a connection stands here from its accept until it opens, or is closed. Written where
//! connections are accepted, answered, opened and released.

use crate::driver::boundary::Millis;
use crate::types::shrink::shrink_map;
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// By slot.
#[derive(Debug, Default)]
pub(crate) struct ArrivalTimes(HashMap<u32, Millis, RandomState>);

impl ArrivalTimes {
    /// A connection was accepted, or a request of it was answered: the next may open it.
    pub(crate) fn begin(&mut self, slot: u32, now: Millis) {
        self.0.insert(slot, now);
    }

    /// The connection opens: for how long it was waited for.
    pub(crate) fn open(&mut self, slot: u32, now: Millis) -> Option<Millis> {
        let begun = self.0.remove(&slot)?;
        Some(now.saturating_sub(begun))
    }

    /// The connection is gone.
    #[inline]
    pub(crate) fn forget(&mut self, slot: u32) {
        if !self.0.is_empty() {
            self.0.remove(&slot);
        }
    }

    /// Keeps no more than there is.
    pub(crate) fn release_memory(&mut self) {
        shrink_map(&mut self.0);
    }
}
