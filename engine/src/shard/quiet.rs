//! When a shard is quiet after it was busy, and what follows: the memory of the peak goes back,
//! first its own, then the allocators'.
//!
//! A shard looks at itself once a second at most, and only when a tick comes anyway or memory may
//! be kept. Quiet is who moved little in three looks on end; a quiet shard gives pages of its
//! tables back a few a tick, and stops when work comes.

use super::idleness::QuietStage;
use crate::shard::idleness::MOVED_MAX;

use super::Shard;
use crate::application::Application;
use crate::confine::confine;
use crate::driver::boundary::{Driver, Millis};
use crate::types::quiet::Quiet;

/// Between two looks.
const LOOK_MS: Millis = 1_000;
/// Looks that must find the shard quiet, on end: bursts that come more often find their memory
/// where it was.
const QUIET_LOOKS: u32 = 3;
/// Bytes let go of that are worth giving back without a busy moment: a peak may come slowly.
const RELEASED_BYTES_MIN: u64 = 1 << 20;
/// Pages of 512 slots looked through per tick.
const PAGES_PER_TICK: usize = 32;

impl<A: Application, D: Driver> Shard<A, D> {
    /// Once a tick, before anything is pending: gives back what a peak left behind, if the shard is
    /// quiet.
    pub(super) fn rest(&mut self) {
        self.idleness.moved(1);
        if let QuietStage::Sweeping { page } = self.idleness.stage {
            self.sweep(page);
        } else if self.core.connections.now >= self.idleness.look_at {
            self.look_at_itself();
        }
    }

    fn moved_max(&self) -> u64 {
        MOVED_MAX + self.core.connections.slots.live() as u64 / 4
    }

    #[cold]
    fn look_at_itself(&mut self) {
        let (busy, held) = (
            self.idleness.moved > self.moved_max(),
            self.core.buffered_bytes(),
        );
        let idleness = &mut self.idleness;
        (idleness.moved, idleness.look_at) = (0, self.core.connections.now + LOOK_MS);
        idleness.buffered_bytes_peak = idleness.buffered_bytes_peak.max(held);
        idleness.quiet_looks = if busy { 0 } else { idleness.quiet_looks + 1 };
        let left_behind = idleness.buffered_bytes_peak >= held + RELEASED_BYTES_MIN;
        match idleness.stage {
            QuietStage::Calm | QuietStage::Alone if busy || left_behind => {
                idleness.stage = QuietStage::Busy;
                self.core.connections.admissions.process.count_busy();
            }
            QuietStage::Busy if idleness.quiet_looks >= QUIET_LOOKS => {
                idleness.stage = QuietStage::Sweeping { page: 0 };
            }
            QuietStage::Alone if !self.core.connections.admissions.process.has_busy() => {
                self.release()
            }
            QuietStage::Calm
            | QuietStage::Busy
            | QuietStage::Alone
            | QuietStage::Sweeping { .. } => {}
        }
    }

    /// Gives pages back in which nobody is.
    fn sweep(&mut self, page: usize) {
        if self.idleness.moved > self.moved_max() {
            (self.idleness.stage, self.idleness.quiet_looks) = (QuietStage::Busy, 0);
            return;
        }
        let end = self
            .core
            .connections
            .slots
            .pages()
            .min(page + PAGES_PER_TICK);
        for page in page..end {
            if self.core.release_page(page) {
                self.sessions.drop_page(page);
            }
        }
        self.idleness.stage = QuietStage::Sweeping { page: end };
        if end == self.core.connections.slots.pages() {
            self.core.connections.admissions.process.discount_busy();
            self.release();
        }
    }

    /// Gives back everything that is not in use.
    fn release(&mut self) {
        self.completions = Vec::new();
        self.short_sends = Vec::new();
        self.parked.shrink_to_fit();
        self.crowd.shrink();
        self.due.shrink_to_fit();
        self.woken.shrink_to_fit();
        self.core.release_memory();
        self.driver.release_memory();
        let quiet = match self.core.connections.admissions.process.has_busy() {
            true => Quiet::Shard,
            false => Quiet::Process,
        };
        let application = &mut self.application;
        if confine(|| application.quiet(quiet)).is_err() {
            self.core.count_panic(None);
        }
        self.idleness.buffered_bytes_peak = self.core.buffered_bytes();
        self.idleness.stage = match quiet {
            Quiet::Shard => QuietStage::Alone,
            Quiet::Process => QuietStage::Calm,
        };
    }
}
