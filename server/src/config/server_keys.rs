//! The keys of section `[server]` that say how a server stops, part of the table of keys.

use super::key::{Key, ValueKind};
use std::time::Duration;

pub(super) const LAME_DUCK: Key = Key {
    name: "server.lame_duck",
    flag: None,
    what: "How long a server that was told to stop serves new clients yet, while /ready says 503 so that balancers send them elsewhere. Longer than a balancer takes to notice.",
    kind: ValueKind::Time(Duration::ZERO..=Duration::from_secs(3_600), |settings| {
        &mut settings.lame_duck
    }),
};

pub(super) const DRAIN_RATE: Key = Key {
    name: "server.drain_rate",
    flag: None,
    what: "Connections that a stopping server closes each second, over all shards, so that their clients do not all come to its neighbours at once; more where half of drain_timeout would not suffice for all.",
    kind: ValueKind::Count(1..=1_000_000, |settings| &mut settings.drain_rate),
};

pub(super) const DRAIN_TIMEOUT: Key = Key {
    name: "server.drain_timeout",
    flag: None,
    what: "How long a stopping server gives its clients to take what is queued for them and to leave.",
    kind: ValueKind::Time(
        Duration::from_millis(100)..=Duration::from_secs(3_600),
        |settings| &mut settings.drain_timeout,
    ),
};
