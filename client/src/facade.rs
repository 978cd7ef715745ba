//! Counts through the `metrics` facade: what has changed since it was told last.
//!
//! Invariant: the recorder is called while no lock is held. Used by the driver, with the feature
//! `metrics`.

use crate::counts::Snapshot;
use std::time::Duration;

/// What the facade was told already.
#[derive(Debug, Default)]
pub(crate) struct Told {
    messages: [u64; 2],
    bytes: [u64; 2],
    connections: u64,
    disconnects: u64,
    retries: u64,
}

/// What it is to be told.
#[derive(Debug)]
pub(crate) struct News {
    messages: [u64; 2],
    bytes: [u64; 2],
    connections: u64,
    disconnects: u64,
    retries: u64,
    queued: usize,
    rtt: Option<Duration>,
}

const DIRECTIONS: [&str; 2] = ["sent", "received"];

impl Told {
    /// What is new in these counts; `rtt` is a round trip that was measured since.
    pub(crate) fn news(&mut self, counts: &Snapshot, rtt: Option<Duration>) -> News {
        let since = |told: &mut u64, now: u64| now - std::mem::replace(told, now);
        let [sent, received] = &mut self.messages;
        let [bytes_sent, bytes_received] = &mut self.bytes;
        News {
            messages: [
                since(sent, counts.messages_sent),
                since(received, counts.messages_received),
            ],
            bytes: [
                since(bytes_sent, counts.bytes_sent),
                since(bytes_received, counts.bytes_received),
            ],
            connections: since(&mut self.connections, counts.connections),
            disconnects: since(&mut self.disconnects, counts.disconnects),
            retries: since(&mut self.retries, counts.retries),
            queued: counts.queued,
            rtt,
        }
    }
}

impl News {
    /// Tells it.
    pub(crate) fn tell(self) {
        for (index, direction) in DIRECTIONS.into_iter().enumerate() {
            let labels = [("direction", direction)];
            metrics::counter!("shardcast_client_messages_total", &labels)
                .increment(self.messages[index]);
            metrics::counter!("shardcast_client_bytes_total", &labels).increment(self.bytes[index]);
        }
        metrics::counter!("shardcast_client_connections_total").increment(self.connections);
        metrics::counter!("shardcast_client_disconnects_total").increment(self.disconnects);
        metrics::counter!("shardcast_client_retries_total").increment(self.retries);
        metrics::gauge!("shardcast_client_queued").set(self.queued as f64);
        if let Some(rtt) = self.rtt {
            metrics::histogram!("shardcast_client_rtt_seconds").record(rtt.as_secs_f64());
        }
    }
}
