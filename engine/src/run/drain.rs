//! Ending an engine kindly: nobody comes in any more, everybody is told and leaves, and then the
//! shards stop.

use crate::driver::boundary::StopAccept;
use crate::driver::listen::SocketFile;
use crate::events;
use crate::events::EventKind;
use crate::message::command::Command;
use crate::run::running::Running;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

impl Running {
    /// Stops accepting and closes its listeners ([`StopAccept::Release`]), calls `draining` for
    /// every connection (paced), flushes, closes with 1001. Blocks until every connection is gone
    /// or `within` is over, then stops the shards. True when all were gone in time.
    pub fn drain(self, within: Duration) -> bool {
        self.drain_and(StopAccept::Release, within)
    }

    /// As [`Running::drain`], closing so many connections each second, over all shards; more where
    /// half of `within` would not suffice for all that a shard has when this is called.
    pub fn drain_paced(self, per_second: u32, within: Duration) -> bool {
        let pace = self.pace(per_second, within);
        self.drain_at(StopAccept::Release, pace, within)
    }

    /// As [`Running::drain`], with a choice of what becomes of the listeners.
    pub fn drain_and(self, listeners: StopAccept, within: Duration) -> bool {
        self.drain_at(listeners, NonZeroU32::MAX, within)
    }

    /// Of each shard: its share, or what the shard with most connections needs.
    fn pace(&self, per_second: u32, within: Duration) -> NonZeroU32 {
        let most = self.counters.iter().map(|shard| shard.connections.get());
        let most = most.max().unwrap_or_default();
        let half_ms = u64::try_from(within.as_millis() / 2).unwrap_or(u64::MAX);
        let needed = most.saturating_mul(1_000).div_ceil(half_ms.max(1));
        let share = u64::from(per_second).div_ceil(self.shards.len() as u64);
        let pace = u32::try_from(needed.max(share)).unwrap_or(u32::MAX);
        NonZeroU32::new(pace).unwrap_or(NonZeroU32::MIN)
    }

    fn drain_at(mut self, listeners: StopAccept, pace: NonZeroU32, within: Duration) -> bool {
        /// Between two attempts to tell a shard whose queue of commands is full.
        const AGAIN: Duration = Duration::from_millis(5);
        let deadline = Instant::now() + within;
        let files = self.files.drain(..);
        match listeners {
            StopAccept::Release => drop(files),
            StopAccept::HandOver => files.for_each(SocketFile::keep),
        }
        // Each shard has one thing to say, and there is room for all of them.
        let (subscriber, drained) = events::subscription(&[EventKind::Drained], self.shards.len());
        let mut unsent: Vec<usize> = (0..self.shards.len()).collect();
        let mut waiting = self.shards.len();
        while waiting > 0 {
            unsent.retain(|shard| {
                let subscriber = subscriber.clone();
                let drain = Command::Drain {
                    listeners,
                    pace,
                    subscriber,
                };
                self.shards[*shard].send(drain).is_err()
            });
            let left = deadline.saturating_duration_since(Instant::now());
            let patience = if unsent.is_empty() {
                left
            } else {
                left.min(AGAIN)
            };
            match drained.recv_within(patience) {
                Some(_) => waiting -= 1,
                None if Instant::now() >= deadline => return false,
                None => {}
            }
        }
        true
    }
}
