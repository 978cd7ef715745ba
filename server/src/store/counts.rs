//! What a store has done, for operators. Written by its thread, read by anybody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The counts of one store.
#[derive(Debug, Default)]
pub(crate) struct StoreCounts {
    restored_logs: AtomicU64,
    restored_publications: AtomicU64,
    records: AtomicU64,
    writes: AtomicU64,
    write_micros: AtomicU64,
    failures: AtomicU64,
    is_failing: AtomicU64,
    set_aside: AtomicU64,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreCount {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) kind: StoreCountKind,
    pub(crate) value: u64,
}

/// How a count moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreCountKind {
    Count,
    Gauge,
}

impl StoreCounts {
    pub(super) fn restored(&self, logs: u64, publications: u64) {
        self.restored_logs.store(logs, Ordering::Relaxed);
        self.restored_publications
            .store(publications, Ordering::Relaxed);
    }

    pub(super) fn written(&self, records: u64, took: Duration) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.writes.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.write_micros.fetch_add(micros, Ordering::Relaxed);
        self.is_failing.store(0, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.is_failing.store(1, Ordering::Relaxed);
    }

    pub(super) fn set_aside(&self) {
        self.set_aside.fetch_add(1, Ordering::Relaxed);
    }

    /// All of them.
    pub(crate) fn each(&self) -> [StoreCount; 8] {
        let count = |name, help, kind, value: &AtomicU64| StoreCount {
            name,
            help,
            kind,
            value: value.load(Ordering::Relaxed),
        };
        use StoreCountKind::{Count, Gauge};
        [
            count(
                "store_restored_logs",
                "Rooms and users of whom something was stored when the process began.",
                Gauge,
                &self.restored_logs,
            ),
            count(
                "store_restored_publications",
                "Publications that were stored then.",
                Gauge,
                &self.restored_publications,
            ),
            count(
                "store_records",
                "What the store has brought to the disk: publications, and what became of them.",
                Count,
                &self.records,
            ),
            count(
                "store_writes",
                "Writes that reached the disk, each with all that had come since the one before.",
                Count,
                &self.writes,
            ),
            count(
                "store_write_micros",
                "What these took together, in microseconds.",
                Count,
                &self.write_micros,
            ),
            count(
                "store_failures",
                "Writes that the disk refused; each is tried again.",
                Count,
                &self.failures,
            ),
            count(
                "store_failing",
                "1 while the disk refuses what is written.",
                Gauge,
                &self.is_failing,
            ),
            count(
                "store_set_aside",
                "Damaged files that were set aside.",
                Count,
                &self.set_aside,
            ),
        ]
    }
}
