//! What is counted of traces, for the process. Clones are the same counters.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// See above.
#[derive(Clone, Debug)]
pub(crate) struct TraceCounts {
    spans: Family<[(&'static str, &'static str); 1], Counter>,
    exports: Family<[(&'static str, &'static str); 1], Counter>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpanOutcome {
    /// The collector has it.
    Sent,
    /// As many waited as may.
    Dropped,
    /// The collector did not take it in time.
    Lost,
    /// The collector said that it cannot use it.
    Rejected,
}

impl SpanOutcome {
    const ALL: [SpanOutcome; 4] = [
        SpanOutcome::Sent,
        SpanOutcome::Dropped,
        SpanOutcome::Lost,
        SpanOutcome::Rejected,
    ];

    fn as_str(self) -> &'static str {
        match self {
            SpanOutcome::Sent => "sent",
            SpanOutcome::Dropped => "dropped",
            SpanOutcome::Lost => "lost",
            SpanOutcome::Rejected => "rejected",
        }
    }
}

/// What became of a request to the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExportOutcome {
    Taken,
    /// It may work later.
    Failed,
    /// It never will.
    Refused,
}

impl ExportOutcome {
    const ALL: [ExportOutcome; 3] = [
        ExportOutcome::Taken,
        ExportOutcome::Failed,
        ExportOutcome::Refused,
    ];
}

impl ExportOutcome {
    fn as_str(self) -> &'static str {
        match self {
            ExportOutcome::Taken => "taken",
            ExportOutcome::Failed => "failed",
            ExportOutcome::Refused => "refused",
        }
    }
}

impl TraceCounts {
    pub(crate) fn new() -> TraceCounts {
        let counts = TraceCounts {
            spans: Family::default(),
            exports: Family::default(),
        };
        for outcome in SpanOutcome::ALL {
            counts.spans(outcome, 0);
        }
        for outcome in ExportOutcome::ALL {
            counts.exports(outcome).inc_by(0);
        }
        counts
    }

    pub(crate) fn spans(&self, outcome: SpanOutcome, count: u64) {
        let label = [("outcome", outcome.as_str())];
        self.spans.get_or_create(&label).inc_by(count);
    }

    pub(crate) fn exported(&self, outcome: ExportOutcome) {
        self.exports(outcome).inc();
    }

    fn exports(&self, outcome: ExportOutcome) -> Counter {
        let label = [("outcome", outcome.as_str())];
        self.exports.get_or_create(&label).clone()
    }

    #[cfg(test)]
    pub(crate) fn lost(&self) -> u64 {
        let label = [("outcome", SpanOutcome::Lost.as_str())];
        self.spans.get_or_create(&label).get()
    }

    #[cfg(test)]
    pub(crate) fn failed(&self) -> u64 {
        self.exports(ExportOutcome::Failed).get()
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "shardcast_trace_spans",
            "Steps of traces: sent; dropped (as many waited as may); lost (the collector did not take them in time); rejected (it cannot use them)",
            self.spans.clone(),
        );
        registry.register(
            "shardcast_trace_exports",
            "Requests to the collector of traces: taken; failed (tried again); refused",
            self.exports.clone(),
        );
    }
}
