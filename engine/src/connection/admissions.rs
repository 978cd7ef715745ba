//! Whom a shard lets in: how many of its connections count against the process's limit, and how
//! many wait for a deferred admission.
//!
//! Invariant: a connection counts exactly while it has the flag `ADMITTED`, and waits exactly while
//! its phase is `Authenticating`. Called by the request phase, and where connections open and end.

use crate::connection::admission::ProcessCounts;
use crate::connection::phase::Phase;
use crate::connection::slot::{Connection, Flags};

/// One shard's part of who is let in.
#[derive(Debug)]
pub(crate) struct Admissions {
    /// What all shards count together.
    pub(crate) process: ProcessCounts,
    /// Connections of this shard that count there.
    admitted: usize,
    /// Connections that wait for a deferred admission.
    deferred: usize,
    deferred_max: usize,
}

impl Admissions {
    pub(crate) fn new(process: ProcessCounts, deferred_max: usize) -> Admissions {
        Admissions {
            process,
            admitted: 0,
            deferred: 0,
            deferred_max,
        }
    }

    /// Counts an upgraded connection against the process's limit, and against what this shard has
    /// `room` for; false when one is reached.
    pub(crate) fn admit(&mut self, connection: &mut Connection, room: usize) -> bool {
        let admitted = self.admitted < room && self.process.enter();
        if admitted {
            self.admitted += 1;
            connection.flags.set(Flags::ADMITTED);
        }
        admitted
    }

    /// A connection is gone.
    pub(crate) fn leave(&mut self, flags: Flags) {
        if flags.has(Flags::ADMITTED) {
            self.admitted -= 1;
            self.process.leave();
        }
    }

    /// The shard ends: none of its connections counts any more.
    pub(crate) fn give_back(&mut self) {
        for _ in 0..std::mem::take(&mut self.admitted) {
            self.process.leave();
        }
    }

    /// Whether one more connection may wait for a deferred admission.
    pub(crate) fn may_defer(&self) -> bool {
        self.deferred < self.deferred_max
    }

    /// A connection waits from here on.
    pub(crate) fn begin_wait(&mut self) {
        self.deferred += 1;
    }

    /// A connection leaves this phase: perhaps it waited.
    pub(crate) fn leave_phase(&mut self, before: Phase) {
        self.deferred -= usize::from(before == Phase::Authenticating);
    }

    /// Connections that wait for a deferred admission.
    pub(crate) fn deferred(&self) -> usize {
        self.deferred
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn check(&self, admitted: usize, deferred: usize) {
        assert_eq!(self.admitted, admitted, "who counts");
        assert_eq!(self.deferred, deferred, "who waits for an admission");
        assert!(deferred <= self.deferred_max);
    }
}
