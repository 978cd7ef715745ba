//! Ending an engine kindly: nobody comes in any more, everybody is told and leaves, and then the shards stop.

use crate::driver::{SocketFile, StopAccept};
use crate::letter::Command;
use crate::running::Running;
use std::time::{Duration, Instant};

impl Running {
    /// Stops accepting and closes its listeners ([`StopAccept::Release`]), calls `draining` for every connection (paced), flushes, closes
    /// with 1001. Blocks until every connection is gone or `within` is over, then stops the shards. True when all were gone in time.
    pub fn drain(self, within: Duration) -> bool {
        self.drain_and(StopAccept::Release, within)
    }

    /// As [`Running::drain`], with a choice of what becomes of the listeners.
    pub fn drain_and(mut self, listeners: StopAccept, within: Duration) -> bool {
        /// How often the counters are looked at.
        const LOOK: Duration = Duration::from_millis(5);
        let deadline = Instant::now() + within;
        let files = self.files.drain(..);
        match listeners {
            StopAccept::Release => drop(files),
            StopAccept::HandOver => files.for_each(SocketFile::keep),
        }
        let mut told = vec![false; self.shards.len()];
        loop {
            for (door, told) in self.shards.iter().zip(&mut told) {
                *told = *told || door.send(Command::Drain { listeners }).is_ok();
            }
            let drained = told.iter().all(|told| *told)
                && self
                    .counters
                    .iter()
                    .all(|counters| counters.drained.get() == 1);
            if drained || Instant::now() >= deadline {
                return drained;
            }
            std::thread::park_timeout(LOOK);
        }
    }
}
