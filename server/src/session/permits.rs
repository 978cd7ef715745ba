//! Permits for futures that run elsewhere, counted on their shard. Used for background handlers and
//! for deferred admissions.
//!
//! Invariant: a permit is taken until its future is dropped and the shard has its outcome, so a
//! runtime that does not run its futures holds no more of them than the shard permits.

use std::sync::Arc;

/// One shard's permits. The caller knows how many there may be.
#[derive(Debug, Default)]
pub(crate) struct Permits(Arc<()>);

/// A taken permit.
#[derive(Debug)]
pub(crate) struct Permit {
    _counted: Arc<()>,
}

impl Permits {
    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }

    pub(crate) fn take(&self) -> Permit {
        Permit {
            _counted: self.0.clone(),
        }
    }
}
