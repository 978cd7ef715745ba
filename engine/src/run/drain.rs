//! Ending an engine kindly: nobody comes in any more, everybody is told and leaves, and then the
//! shards stop.

use crate::driver::boundary::StopAccept;
use crate::driver::listen::SocketFile;
use crate::events;
use crate::events::EventKind;
use crate::message::command::Command;
use crate::run::running::Running;
use std::time::{Duration, Instant};

impl Running {
    /// Stops accepting and closes its listeners ([`StopAccept::Release`]), calls `draining` for
    /// every connection (paced), flushes, closes with 1001. Blocks until every connection is gone
    /// or `within` is over, then stops the shards. True when all were gone in time.
    pub fn drain(self, within: Duration) -> bool {
        self.drain_and(StopAccept::Release, within)
    }

    /// As [`Running::drain`], with a choice of what becomes of the listeners.
    pub fn drain_and(mut self, listeners: StopAccept, within: Duration) -> bool {
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
