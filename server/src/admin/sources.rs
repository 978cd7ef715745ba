//! What the control plane needs of an application, taken before that starts: where it counts, and
//! who is refused.

use crate::access::bans::Bans;
use crate::access::origin::Origins;
use crate::access::proxies::Proxies;
use crate::admin::kept::{Keeper, NotKept, Refusing};
use crate::admin::metrics::Metrics;
use crate::api::app::App;
use crate::api::server::Server;
use crate::auth::gate::TokenGate;
use crate::broker::counts::BridgeCounts;
use crate::config::Settings;
use crate::limits::tally::Tally;
use crate::log::Audit;
use crate::session::refusals::RefusalCounts;
use crate::store::counts::StoreCounts;
use crate::traces::prepare::Traces;
use crate::versions::Versions;
use std::sync::Arc;

/// Of one application.
pub(crate) struct AppSources {
    pub(crate) gate: Option<Arc<TokenGate>>,
    refusals: RefusalCounts,
    pub(crate) limited: Arc<Tally>,
    pub(crate) bans: Arc<Bans>,
    stored: Option<Arc<StoreCounts>>,
    bridged: Option<Arc<BridgeCounts>>,
    /// What a reload exchanges.
    pub(crate) live: (Arc<Versions<Origins>>, Arc<Versions<Proxies>>),
}

impl AppSources {
    pub(crate) fn new(app: &App) -> AppSources {
        AppSources {
            gate: app.gate().cloned(),
            refusals: app.refusals().clone(),
            limited: app.tally(),
            bans: app.bans(),
            stored: app.stored(),
            bridged: app.cluster_view().map(|view| view.counts.clone()),
            live: (app.live_origins(), app.live_proxies()),
        }
    }

    /// Takes in the bans and revocations that outlived the process before, and keeps them.
    ///
    /// # Errors
    /// Their file cannot be used.
    pub(crate) fn keeper(&self, settings: &Settings) -> Result<Option<Keeper>, NotKept> {
        let Some(path) = settings.operators().state_file() else {
            return Ok(None);
        };
        let revocations = self.gate.as_ref().map(|gate| gate.revocations().clone());
        let bans = self.bans.clone();
        Keeper::start(path.to_owned(), Refusing { bans, revocations }).map(Some)
    }

    /// All that is measured of it, and of the server that it becomes.
    pub(crate) fn metrics(
        &self,
        server: &Server,
        audit: &Audit,
        traces: Option<&Traces>,
    ) -> Metrics {
        let (sessions, audited) = (server.handle().session_counts(), audit.counts.clone());
        let counters = server.counters().to_vec();
        let mut metrics = Metrics::new(counters, self.limited.clone(), sessions, audited);
        metrics.add_refusals(&self.refusals);
        metrics.add_latencies(server.handle().shared.latencies.clone());
        metrics.add_store(self.stored.clone());
        metrics.add_cluster(self.bridged.clone());
        metrics.add_driver(server.engine().driver());
        metrics.add_traces(traces.map(|traces| &traces.counts));
        if let Some(gate) = &self.gate {
            metrics.add_tokens(gate.counts());
        }
        metrics
    }
}
