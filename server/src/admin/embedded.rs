//! The metrics of a server that is embedded in another program: what the admin port would show of
//! it, for that program to show.

use crate::admin::metrics::Metrics;
use crate::api::server::Server;

/// What is measured of a server. Made once; each reading is of the moment.
#[derive(Debug)]
pub struct ServerMetrics(Metrics);

impl ServerMetrics {
    /// The media type of [`ServerMetrics::text`].
    pub const CONTENT_TYPE: &str = Metrics::CONTENT_TYPE;

    /// One reading, as OpenMetrics text: what `GET /metrics` of `shardcast serve` has, but for
    /// what only that has (its admin port, its audit log, what its reloads have come to, its
    /// store, gateway and cluster).
    pub fn text(&self) -> String {
        self.0.text()
    }

    /// The same in the Protobuf of Prometheus, with native histograms.
    pub fn protobuf(&self) -> Vec<u8> {
        self.0.protobuf()
    }
}

impl Server {
    /// What is measured of the server, for a program that shows it itself.
    pub fn metrics(&self) -> ServerMetrics {
        let handle = self.handle();
        let shared = &handle.shared;
        let limiter = shared.limiter.as_ref();
        let limited = limiter.map(|limiter| limiter.tally.clone());
        let mut metrics = Metrics::new(
            self.counters().to_vec(),
            limited.unwrap_or_default(),
            handle.session_counts(),
            Default::default(),
        );
        metrics.add_refusals(&shared.refusals);
        metrics.add_latencies(shared.latencies.clone());
        metrics.add_driver(self.engine().driver());
        if let Some(gate) = &shared.gate {
            metrics.add_tokens(gate.counts());
        }
        ServerMetrics(metrics)
    }
}
