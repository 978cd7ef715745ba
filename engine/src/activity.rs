//! What a shard is doing just now: written by the shard, a store for each part of a tick, and read
//! by whoever watches it.

use crate::counter::Counter;
use crate::reading::Reading;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a shard is doing.
#[derive(Debug, Default)]
pub struct Activity {
    /// Ticks that were begun.
    pub ticks: Counter,
    /// The phase in the lowest byte; above, one more than the slot of the connection that it is
    /// about, or 0.
    at: AtomicU64,
}

/// A phase, and the connection that it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActivityWord(u64);

/// The parts of a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum TickPhase {
    /// Hands over what leaves at the end of a tick, and waits for the kernel.
    #[default]
    Waiting,
    /// Gives memory back that a quiet shard does not need.
    Resting,
    /// Reads what has come, and has the application handle it.
    Reading,
    /// Goes on with TLS handshakes.
    ShakingHands,
    /// Obeys other threads.
    Commands,
    /// Goes on with parked connections and those that read logs.
    Unparking,
    /// Orders what is asked of topics that it is home to.
    Ordering,
    /// Takes what homes deliver.
    Delivering,
    /// Sends batches to their members.
    FanningOut,
    /// Meets deadlines.
    Deadlines,
    /// Closes connections of a drain, and tells of those that have ended.
    Ending,
    /// Counts, and asks the application what it holds.
    Weighing,
    /// Hands over to the kernel what leaves in the middle of a tick.
    Turning,
    /// Has panicked, and begins anew.
    Restarting,
}

impl TickPhase {
    /// All, each where its number says.
    const ALL: [TickPhase; 14] = [
        TickPhase::Waiting,
        TickPhase::Resting,
        TickPhase::Reading,
        TickPhase::ShakingHands,
        TickPhase::Commands,
        TickPhase::Unparking,
        TickPhase::Ordering,
        TickPhase::Delivering,
        TickPhase::FanningOut,
        TickPhase::Deadlines,
        TickPhase::Ending,
        TickPhase::Weighing,
        TickPhase::Turning,
        TickPhase::Restarting,
    ];
}

/// As logs name it.
impl fmt::Display for TickPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TickPhase::Waiting => "waiting",
            TickPhase::Resting => "giving memory back",
            TickPhase::Reading => "reading what clients said",
            TickPhase::ShakingHands => "handshakes of TLS",
            TickPhase::Commands => "commands of other threads",
            TickPhase::Unparking => "parked connections",
            TickPhase::Ordering => "requests of topics",
            TickPhase::Delivering => "deliveries",
            TickPhase::FanningOut => "fan-outs",
            TickPhase::Deadlines => "deadlines",
            TickPhase::Ending => "connections that end",
            TickPhase::Weighing => "counting what is held",
            TickPhase::Turning => "handing over to the kernel",
            TickPhase::Restarting => "restarting",
        })
    }
}

impl Activity {
    /// A tick begins.
    #[inline]
    pub(crate) fn begin_tick(&self) {
        self.ticks.add(1);
        self.enter(TickPhase::Resting);
    }

    /// A part of the tick begins.
    #[inline]
    pub(crate) fn enter(&self, phase: TickPhase) {
        self.at.store(phase as u64, Ordering::Relaxed);
    }

    /// What the shard does from here on is about the connection in this slot.
    #[inline]
    pub(crate) fn about(&self, slot: u32) {
        let phase = self.at.load(Ordering::Relaxed) & 0xff;
        let slot = (u64::from(slot) + 1) << 8;
        self.at.store(phase | slot, Ordering::Relaxed);
    }

    /// What it does just now, to be gone on with after something else.
    #[inline]
    pub(crate) fn word(&self) -> ActivityWord {
        ActivityWord(self.at.load(Ordering::Relaxed))
    }

    /// Goes on with what it did before.
    #[inline]
    pub(crate) fn return_to(&self, before: ActivityWord) {
        self.at.store(before.0, Ordering::Relaxed);
    }

    /// What it does just now.
    pub fn phase(&self) -> TickPhase {
        let phase = self.at.load(Ordering::Relaxed) & 0xff;
        let known = TickPhase::ALL.get(phase as usize);
        known.copied().unwrap_or_default()
    }

    /// The slot of the connection that this is about, if it is about one.
    pub fn slot(&self) -> Option<u32> {
        let slot = self.at.load(Ordering::Relaxed) >> 8;
        u32::try_from(slot.checked_sub(1)?).ok()
    }

    /// Nothing that is measured: for the declaration of counters.
    pub(crate) fn each<'a>(&'a self, _: impl FnMut(Reading<'a>)) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_read_as_it_was_entered() {
        let activity = Activity::default();
        assert_eq!(
            (activity.phase(), activity.slot()),
            (TickPhase::Waiting, None)
        );
        for (number, phase) in TickPhase::ALL.into_iter().enumerate() {
            assert_eq!(phase as usize, number);
            activity.enter(phase);
            assert_eq!((activity.phase(), activity.slot()), (phase, None));
            activity.about(u32::MAX);
            activity.about(0);
            assert_eq!((activity.phase(), activity.slot()), (phase, Some(0)));
        }
        activity.about(u32::MAX);
        assert_eq!(activity.slot(), Some(u32::MAX));
        let before = activity.word();
        activity.enter(TickPhase::Turning);
        activity.return_to(before);
        assert_eq!(
            (activity.phase(), activity.slot()),
            (TickPhase::Restarting, Some(u32::MAX))
        );
    }
}
