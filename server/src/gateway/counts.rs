//! What is counted of a gateway, for the process. Clones are the same counters.

use crate::gateway::options::EventKind;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// See above.
#[derive(Clone, Debug)]
pub(crate) struct GatewayCounts {
    calls: Family<[(&'static str, &'static str); 2], Counter>,
    latency: Histogram,
    pub(crate) retries: Counter,
    pub(crate) waiting: Gauge,
    pub(crate) under_way: Gauge,
    /// 0 closed, 1 probed, 2 open.
    pub(crate) breaker: Gauge,
    /// 1: there is a connection to the backend's socket.
    pub(crate) connected: Gauge,
    pub(crate) connects: Counter,
    /// Frames of a backend that answer nothing that waits.
    pub(crate) unmatched: Counter,
    notices: Family<[(&'static str, &'static str); 1], Counter>,
    pub(crate) notices_waiting: Gauge,
    commands: Family<[(&'static str, &'static str); 2], Counter>,
}

/// What became of an event that the backend decides about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallOutcome {
    Accepted,
    Rejected,
    /// The backend was not there, and `when_down` is `open`.
    LetThrough,
    Unavailable,
    Timeout,
    /// The backend's answer says nothing that can be done.
    Failed,
    /// The client was gone before there was an answer.
    Abandoned,
}

impl CallOutcome {
    pub(crate) const ALL: [CallOutcome; 7] = [
        CallOutcome::Accepted,
        CallOutcome::Rejected,
        CallOutcome::LetThrough,
        CallOutcome::Unavailable,
        CallOutcome::Timeout,
        CallOutcome::Failed,
        CallOutcome::Abandoned,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            CallOutcome::Accepted => "accepted",
            CallOutcome::Rejected => "rejected",
            CallOutcome::LetThrough => "let_through",
            CallOutcome::Unavailable => "unavailable",
            CallOutcome::Timeout => "timeout",
            CallOutcome::Failed => "failed",
            CallOutcome::Abandoned => "abandoned",
        }
    }
}

/// What became of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoticeOutcome {
    Delivered,
    /// It stands in the file of dead letters.
    Dead,
    /// Nobody has it.
    Lost,
}

impl NoticeOutcome {
    pub(crate) const ALL: [NoticeOutcome; 3] = [
        NoticeOutcome::Delivered,
        NoticeOutcome::Dead,
        NoticeOutcome::Lost,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            NoticeOutcome::Delivered => "delivered",
            NoticeOutcome::Dead => "dead",
            NoticeOutcome::Lost => "lost",
        }
    }
}

impl GatewayCounts {
    /// Counters that start at 0, those of `kinds` of events by every outcome.
    pub(crate) fn new(kinds: impl Iterator<Item = EventKind>) -> GatewayCounts {
        // From a round trip within the host to the longest timeout.
        let buckets = [
            0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
            10.0, 60.0,
        ];
        let counts = GatewayCounts {
            calls: Family::default(),
            latency: Histogram::new(buckets),
            retries: Counter::default(),
            waiting: Gauge::default(),
            under_way: Gauge::default(),
            breaker: Gauge::default(),
            connected: Gauge::default(),
            connects: Counter::default(),
            unmatched: Counter::default(),
            notices: Family::default(),
            notices_waiting: Gauge::default(),
            commands: Family::default(),
        };
        for kind in kinds.filter(|kind| kind.is_decided()) {
            for outcome in CallOutcome::ALL {
                drop(counts.calls.get_or_create(&labels(kind, outcome)));
            }
        }
        for outcome in NoticeOutcome::ALL {
            counts.noticed(outcome, 0);
        }
        counts
    }

    /// A call has ended.
    pub(crate) fn called(&self, kind: EventKind, outcome: CallOutcome) {
        self.calls.get_or_create(&labels(kind, outcome)).inc();
    }

    /// The backend took so long to answer an event.
    pub(crate) fn answered_after(&self, time: Duration) {
        self.latency.observe(time.as_secs_f64());
    }

    /// So many notices ended so.
    pub(crate) fn noticed(&self, outcome: NoticeOutcome, count: u64) {
        let counter = self.notices.get_or_create(&[("outcome", outcome.as_str())]);
        counter.inc_by(count);
    }

    /// A command of the backend was done, or failed.
    pub(crate) fn commanded(&self, command: &'static str, outcome: &'static str) {
        let labels = [("command", command), ("outcome", outcome)];
        self.commands.get_or_create(&labels).inc();
    }

    /// Adds the counters to those that operators see.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Events that the backend decides about, by what became of them";
        registry.register("shardcast_gateway_calls", help, self.calls.clone());
        let help = "Events that were sent once more";
        registry.register("shardcast_gateway_retries", help, self.retries.clone());
        let help = "Events that wait because gateway.in_flight are under way";
        registry.register("shardcast_gateway_waiting", help, self.waiting.clone());
        let help = "Events that the backend has not answered";
        registry.register("shardcast_gateway_under_way", help, self.under_way.clone());
        let help = "Whether the backend is asked: 0 it is, 1 by one call as a trial, 2 it is not";
        registry.register(
            "shardcast_gateway_breaker_state",
            help,
            self.breaker.clone(),
        );
        let help = "1 while there is a connection to the backend's socket";
        registry.register("shardcast_gateway_connected", help, self.connected.clone());
        let help = "Connections to the backend that were made";
        registry.register("shardcast_gateway_connects", help, self.connects.clone());
        let help = "Frames of the backend that answer nothing that waits";
        registry.register("shardcast_gateway_unmatched", help, self.unmatched.clone());
        let help = "Notices for the backend, by what became of them; dead: they stand in the file of dead letters";
        registry.register("shardcast_gateway_notices", help, self.notices.clone());
        let help = "Notices that were not sent yet";
        registry.register(
            "shardcast_gateway_notices_waiting",
            help,
            self.notices_waiting.clone(),
        );
        let help = "Commands of the backend, by what became of them";
        registry.register("shardcast_gateway_commands", help, self.commands.clone());
        registry.register_with_unit(
            "shardcast_gateway_latency",
            "From an event that is sent to its answer",
            Unit::Seconds,
            self.latency.clone(),
        );
    }
}

fn labels(kind: EventKind, outcome: CallOutcome) -> [(&'static str, &'static str); 2] {
    [("event", kind.as_str()), ("outcome", outcome.as_str())]
}
