//! How busy a shard was, and how far it is with giving memory back. Kept by the shard, read by
//! `quiet`.

use crate::driver::boundary::Millis;

/// How busy the shard was, and how far it is with giving back.
#[derive(Debug, Default)]
pub(super) struct Idleness {
    /// Ticks, completions and transmits since the last look.
    pub(super) moved: u64,
    /// When to look again.
    pub(super) look_at: Millis,
    /// Looks on end that found the shard quiet.
    pub(super) quiet_looks: u32,
    pub(super) stage: QuietStage,
    /// The most that connections held when it was looked, since memory was given back.
    pub(super) buffered_bytes_peak: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum QuietStage {
    /// Nothing is kept that was not kept when the shard was quiet.
    #[default]
    Calm,
    /// Much moved, and the shard counts as busy.
    Busy,
    /// Pages from this one on may be without a connection.
    Sweeping { page: usize },
    /// Its memory went back, except what busy shards had of it and will free.
    Alone,
}

/// A look finds a shard quiet up to so much movement a second, and a quarter of its connections on
/// top: heartbeats are no work.
pub(super) const MOVED_MAX: u64 = 64;

impl Idleness {
    /// Something was done, or came.
    #[inline]
    pub(super) fn moved(&mut self, times: usize) {
        self.moved += times as u64;
    }

    /// When the shard must look at itself though nothing comes; at once while it gives pages back.
    pub(super) fn next_look(&self) -> Option<Millis> {
        match self.stage {
            QuietStage::Calm if self.moved <= MOVED_MAX => None,
            QuietStage::Calm | QuietStage::Busy | QuietStage::Alone => Some(self.look_at),
            QuietStage::Sweeping { .. } => Some(0),
        }
    }
}
