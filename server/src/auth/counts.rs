//! How many tokens were taken, and how many refused for which fault.

use crate::auth::fault::TokenFault;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counters of checks by their `result`: `accepted`, or the code of a fault. Clones are the same
/// counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenCounts(Family<[(&'static str, &'static str); 1], Counter>);

impl TokenCounts {
    /// Counts the outcome of one check.
    pub(crate) fn count(&self, outcome: Result<(), TokenFault>) {
        let result = outcome.map_or_else(TokenFault::code, |()| "accepted");
        self.0.get_or_create(&[("result", result)]).inc();
    }

    /// Adds the counters to those that operators see.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help =
            "Tokens that were checked, by what came of it; missing: none came, and one is required";
        registry.register("shardcast_tokens", help, self.0.clone());
    }
}
