//! What operators may look at: whether the server is ready, and its counters. Written by the
//! control plane, read by the admin port.

use crate::admin::metrics::Metrics;
use crate::auth::counts::TokenCounts;
use crate::limits::tally::Tally;
use crate::session::counts::SessionCounts;
use crate::session::refusals::RefusalCounts;
use shardcast_engine::ShardCounters;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The state behind the admin port.
#[derive(Debug)]
pub(crate) struct AdminState {
    metrics: Metrics,
    draining: AtomicBool,
}

impl AdminState {
    /// The state of a ready server.
    pub(crate) fn new(
        counters: Vec<Arc<ShardCounters>>,
        limited: Arc<Tally>,
        sessions: Arc<SessionCounts>,
    ) -> AdminState {
        AdminState {
            metrics: Metrics::new(counters, limited, sessions),
            draining: AtomicBool::new(false),
        }
    }

    /// The same with the counters of refusals.
    pub(crate) fn with_refusals(mut self, counts: &RefusalCounts) -> AdminState {
        self.metrics.add_refusals(counts);
        self
    }

    /// The same with the counters of tokens.
    pub(crate) fn with_tokens(mut self, counts: &TokenCounts) -> AdminState {
        self.metrics.add_tokens(counts);
        self
    }

    /// From now on the server takes no more clients.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether new clients are welcome.
    pub(crate) fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    /// Counters and the like.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}
