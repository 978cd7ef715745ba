//! What happens too often for a line each: told in sums. Run by the control plane.

use crate::audit::event::AuditEvent;
use crate::limits::tally::{LimitName, LimitOutcome, Tally};
use shardcast_engine::{Counter, ShardCounters};
use std::sync::Arc;
use std::time::Duration;

/// Tells at most so often.
const EVERY: Duration = Duration::from_secs(10);

/// What is told in sums, and how much of it was told.
pub(crate) struct Sums {
    limited: Arc<Tally>,
    counters: Vec<Arc<ShardCounters>>,
    told_limited: Vec<u64>,
    told_refused: [u64; REFUSALS.len()],
}

/// A sum over the shards, and what it is called.
type RefusalSum = (&'static str, fn(&ShardCounters) -> &Counter);

/// Refusals, by the counters of the shards.
const REFUSALS: [RefusalSum; 5] = [
    ("address", |shard| &shard.arrivals_refused),
    ("proxy", |shard| &shard.proxies_refused),
    ("upgrade", |shard| &shard.upgrades_refused),
    ("full", |shard| &shard.refused_full),
    ("tls", |shard| &shard.tls_handshakes_failed),
];

impl Sums {
    pub(crate) fn new(limited: Arc<Tally>, counters: Vec<Arc<ShardCounters>>) -> Sums {
        Sums {
            limited,
            counters,
            told_limited: vec![0; LimitName::ALL.len() * LimitOutcome::ALL.len()],
            told_refused: [0; REFUSALS.len()],
        }
    }

    /// Tells for ever.
    pub(crate) async fn tell(mut self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.tell_once();
        }
    }

    fn tell_once(&mut self) {
        let pairs = LimitName::ALL.into_iter();
        let pairs = pairs.flat_map(|limit| LimitOutcome::ALL.map(|outcome| (limit, outcome)));
        for ((limit, outcome), told) in pairs.zip(&mut self.told_limited) {
            let now = self.limited.get(limit, outcome);
            let count = now - std::mem::replace(told, now);
            let (limit, outcome) = (limit.as_str(), outcome.as_str());
            if count > 0 {
                let event = AuditEvent::Limited {
                    limit,
                    outcome,
                    count,
                };
                event.emit();
            }
        }
        for ((reason, counter), told) in REFUSALS.into_iter().zip(&mut self.told_refused) {
            let now = self.counters.iter().map(|shard| counter(shard).get()).sum();
            let count = now - std::mem::replace(told, now);
            if count > 0 {
                AuditEvent::ClientsRefused { reason, count }.emit();
            }
        }
    }
}
