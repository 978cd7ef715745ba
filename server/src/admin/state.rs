//! What operators may look at and do: whether the server is ready, its counters, and the calls that
//! act on clients. Written by the control plane, used by the admin port.

use crate::admin::api::AdminApi;
use crate::admin::centrifugo::CentrifugoApi;
use crate::admin::guard::Guard;
use crate::admin::lifecycle::Lifecycle;
use crate::admin::metrics::Metrics;
use crate::admin::pages::Pages;
use crate::admin::tls::AdminTls;
use std::sync::Arc;

/// The state behind the admin port.
#[derive(Debug)]
pub(crate) struct AdminState {
    metrics: Metrics,
    lifecycle: Arc<Lifecycle>,
    pub(crate) guard: Guard,
    /// `None`: there is no server to act on.
    pub(crate) api: Option<AdminApi>,
    /// `None`: the port speaks without TLS.
    pub(crate) tls: Option<AdminTls>,
    /// The server API of Centrifugo, where its protocol is spoken.
    pub(crate) centrifugo: Option<CentrifugoApi>,
    pub(crate) pages: Pages,
}

impl AdminState {
    /// The state of a server in this stage of its life.
    pub(crate) fn new(
        metrics: Metrics,
        lifecycle: Arc<Lifecycle>,
        guard: Guard,
        api: Option<AdminApi>,
        tls: Option<AdminTls>,
        centrifugo: Option<CentrifugoApi>,
    ) -> AdminState {
        AdminState {
            metrics,
            lifecycle,
            guard,
            api,
            tls,
            centrifugo,
            pages: Pages::default(),
        }
    }

    /// With pages that know where clients connect.
    #[must_use]
    pub(crate) fn with_pages(self, pages: Pages) -> AdminState {
        AdminState { pages, ..self }
    }

    /// Whether new clients are welcome, or have been told to stay away.
    pub(crate) fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// Counters and the like.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}
