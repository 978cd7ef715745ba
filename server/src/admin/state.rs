//! What operators may look at and do: whether the server is ready, its counters, and the calls that
//! act on clients. Written by the control plane, used by the admin port.

use crate::admin::api::AdminApi;
use crate::admin::centrifugo::CentrifugoApi;
use crate::admin::guard::Guard;
use crate::admin::metrics::Metrics;
use crate::admin::tls::AdminTls;
use std::sync::atomic::{AtomicBool, Ordering};

/// The state behind the admin port.
#[derive(Debug)]
pub(crate) struct AdminState {
    metrics: Metrics,
    draining: AtomicBool,
    pub(crate) guard: Guard,
    /// `None`: there is no server to act on.
    pub(crate) api: Option<AdminApi>,
    /// `None`: the port speaks without TLS.
    pub(crate) tls: Option<AdminTls>,
    /// The server API of Centrifugo, where its protocol is spoken.
    pub(crate) centrifugo: Option<CentrifugoApi>,
}

impl AdminState {
    /// The state of a ready server.
    pub(crate) fn new(
        metrics: Metrics,
        guard: Guard,
        api: Option<AdminApi>,
        tls: Option<AdminTls>,
        centrifugo: Option<CentrifugoApi>,
    ) -> AdminState {
        AdminState {
            metrics,
            draining: AtomicBool::new(false),
            guard,
            api,
            tls,
            centrifugo,
        }
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
