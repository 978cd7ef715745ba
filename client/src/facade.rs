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
    queued: usize,
}

/// What it is to be told.
#[derive(Debug)]
pub(crate) struct News {
    messages: [u64; 2],
    bytes: [u64; 2],
    connections: u64,
    disconnects: u64,
    retries: u64,
    /// Requests that wait: before, and now.
    queued: (usize, usize),
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
            queued: (
                std::mem::replace(&mut self.queued, counts.queued),
                counts.queued,
            ),
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
        // Of all clients of the process together.
        let queued = metrics::gauge!("shardcast_client_queued");
        match self.queued {
            (before, now) if before < now => queued.increment((now - before) as f64),
            (before, now) => queued.decrement((before - now) as f64),
        }
        if let Some(rtt) = self.rtt {
            metrics::histogram!("shardcast_client_rtt_seconds").record(rtt.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Told;
    use crate::counts::Snapshot;
    use metrics::{
        Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString,
        Unit,
    };
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    /// Keeps what it is told by name and labels.
    #[derive(Debug, Default)]
    struct Kept {
        numbers: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
        histogram: Arc<Values>,
    }

    #[derive(Debug, Default)]
    struct Values(Mutex<Vec<f64>>);

    impl HistogramFn for Values {
        fn record(&self, value: f64) {
            self.0.lock().expect("not poisoned").push(value);
        }
    }

    impl Kept {
        fn number(&self, key: &Key) -> Arc<AtomicU64> {
            let labels = key.labels().map(|label| label.value());
            let name = [key.name()].into_iter().chain(labels);
            let name = name.collect::<Vec<_>>().join(" ");
            let mut numbers = self.numbers.lock().expect("not poisoned");
            Arc::clone(numbers.entry(name).or_default())
        }
    }

    impl Recorder for Kept {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.number(key))
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.number(key))
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(Arc::clone(&self.histogram))
        }
    }

    fn counts(of_each: u64, queued: usize) -> Snapshot {
        Snapshot {
            messages_sent: of_each,
            messages_received: 2 * of_each,
            bytes_sent: 3 * of_each,
            bytes_received: 4 * of_each,
            connections: 5 * of_each,
            disconnects: 6 * of_each,
            retries: 7 * of_each,
            queued,
            ..Snapshot::default()
        }
    }

    #[test]
    fn clients_of_a_process_add_up() {
        let kept = Kept::default();
        let (mut one, mut other) = (Told::default(), Told::default());
        metrics::with_local_recorder(&kept, || {
            one.news(&counts(1, 5), None).tell();
            other
                .news(&counts(10, 3), Some(Duration::from_millis(250)))
                .tell();
            one.news(&counts(2, 1), None).tell();
        });
        let numbers = kept.numbers.lock().expect("not poisoned");
        let read: BTreeMap<&str, u64> = numbers
            .iter()
            .map(|(name, value)| (name.as_str(), value.load(Ordering::Relaxed)))
            .collect();
        let expected = [
            ("shardcast_client_bytes_total received", 48),
            ("shardcast_client_bytes_total sent", 36),
            ("shardcast_client_connections_total", 60),
            ("shardcast_client_disconnects_total", 72),
            ("shardcast_client_messages_total received", 24),
            ("shardcast_client_messages_total sent", 12),
            // Gauges are kept as the bits of a float: 1 + 3.
            ("shardcast_client_queued", 4.0_f64.to_bits()),
            ("shardcast_client_retries_total", 84),
        ];
        assert_eq!(read, BTreeMap::from(expected));
        let seconds = kept.histogram.0.lock().expect("not poisoned");
        assert_eq!(*seconds, [0.25]);
    }
}
