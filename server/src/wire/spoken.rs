//! Which dialects clients speak here now: what is published must fit in each of them.

use shardcast_protocol::dialect::Dialect;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many open connections speak each dialect. Shards share it: it is read with every publish,
/// and written once when a connection opens and once when it ends.
#[derive(Debug, Default)]
pub(crate) struct Spoken([AtomicU32; Dialect::ALL.len()]);

impl Spoken {
    /// A client that speaks it has come. It has joined nothing yet.
    pub(crate) fn add(&self, dialect: Dialect) {
        self.0[usize::from(dialect.index())].fetch_add(1, Ordering::Relaxed);
    }

    /// It is gone, and in no room any more.
    pub(crate) fn remove(&self, dialect: Dialect) {
        self.0[usize::from(dialect.index())].fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn has(&self, dialect: Dialect) -> bool {
        self.0[usize::from(dialect.index())].load(Ordering::Relaxed) > 0
    }
}
