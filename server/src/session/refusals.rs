//! How often clients were refused what they asked for in rooms.

use crate::auth::grants::RoomAction;
use crate::namespace::Denied;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counters by `action` and `code`. Clones are the same counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct RefusalCounts(Family<[(&'static str, &'static str); 2], Counter>);

impl RefusalCounts {
    /// Counts one refusal.
    pub(crate) fn count(&self, action: RoomAction, denied: Denied) {
        let labels = [("action", action.name()), ("code", denied.code())];
        self.0.get_or_create(&labels).inc();
    }

    /// Adds the counters to those that operators see.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Requests of clients that were refused because they may not do that, by what they asked for and by the code of the answer";
        registry.register("shardcast_refusals", help, self.0.clone());
    }
}
