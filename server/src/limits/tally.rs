//! What limits have done: one counter for each limit and outcome, for all shards.
//!
//! Written where a limit is reached, which is off the way of what passes; read by the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// A limit, as its key is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LimitName {
    ConnectionsPerAddress,
    ConnectionsPerUser,
    ConnectsPerSecond,
    MessagesPerSecond,
    BytesPerSecond,
    MessagesPerSecondPerUser,
    BytesPerSecondPerUser,
    MessagesPerSecondPerRoom,
    BytesPerSecondPerRoom,
    JoinsPerSecond,
    FanoutPerSecond,
    RequestsInFlight,
}

impl LimitName {
    pub(crate) const ALL: [LimitName; 12] = [
        LimitName::ConnectionsPerAddress,
        LimitName::ConnectionsPerUser,
        LimitName::ConnectsPerSecond,
        LimitName::MessagesPerSecond,
        LimitName::BytesPerSecond,
        LimitName::MessagesPerSecondPerUser,
        LimitName::BytesPerSecondPerUser,
        LimitName::MessagesPerSecondPerRoom,
        LimitName::BytesPerSecondPerRoom,
        LimitName::JoinsPerSecond,
        LimitName::FanoutPerSecond,
        LimitName::RequestsInFlight,
    ];

    /// The key without its section.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            LimitName::ConnectionsPerAddress => "connections_per_address",
            LimitName::ConnectionsPerUser => "connections_per_user",
            LimitName::ConnectsPerSecond => "connects_per_second",
            LimitName::MessagesPerSecond => "messages_per_second",
            LimitName::BytesPerSecond => "bytes_per_second",
            LimitName::MessagesPerSecondPerUser => "messages_per_second_per_user",
            LimitName::BytesPerSecondPerUser => "bytes_per_second_per_user",
            LimitName::MessagesPerSecondPerRoom => "messages_per_second_per_room",
            LimitName::BytesPerSecondPerRoom => "bytes_per_second_per_room",
            LimitName::JoinsPerSecond => "joins_per_second",
            LimitName::FanoutPerSecond => "fanout_per_second",
            LimitName::RequestsInFlight => "requests_in_flight",
        }
    }
}

/// What became of what was too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LimitOutcome {
    Refused,
    Delayed,
    Disconnected,
    /// It passed: limits are only tried.
    DryRun,
}

impl LimitOutcome {
    pub(crate) const ALL: [LimitOutcome; 4] = [
        LimitOutcome::Refused,
        LimitOutcome::Delayed,
        LimitOutcome::Disconnected,
        LimitOutcome::DryRun,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            LimitOutcome::Refused => "refused",
            LimitOutcome::Delayed => "delayed",
            LimitOutcome::Disconnected => "disconnected",
            LimitOutcome::DryRun => "dry_run",
        }
    }
}

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Tally([[AtomicU64; LimitOutcome::ALL.len()]; LimitName::ALL.len()]);

impl Tally {
    pub(crate) fn count(&self, limit: LimitName, outcome: LimitOutcome) {
        self.0[limit as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, limit: LimitName, outcome: LimitOutcome) -> u64 {
        self.0[limit as usize][outcome as usize].load(Ordering::Relaxed)
    }
}
