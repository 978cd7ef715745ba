//! How a backend is reached, what it decides, and what a server does without it. Made from the
//! configuration; nothing is opened here.

use crate::gateway::live::GatewayRules;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Section `[gateway]`, read to the end.
#[derive(Clone, Debug)]
pub(crate) struct GatewayOptions {
    pub(crate) place: BackendPlace,
    /// What is exchanged while the server runs.
    pub(crate) rules: GatewayRules,
    pub(crate) events: EventSet,
    /// For one event with all its attempts.
    pub(crate) timeout: Duration,
    /// Events under way.
    pub(crate) in_flight: usize,
    /// Events that wait to be under way; as many notices.
    pub(crate) queue: usize,
    /// Notices of one event.
    pub(crate) batch: usize,
    pub(crate) dead_letters: Option<DeadLetterFile>,
}

/// Where notices go that cannot be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadLetterFile {
    pub(crate) path: PathBuf,
    pub(crate) bytes_max: u64,
}

/// Where the backend is.
#[derive(Clone, Debug)]
pub(crate) enum BackendPlace {
    /// Webhooks, where the rules say.
    Url,
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// What a backend is asked, or told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum EventKind {
    Connect,
    Refresh,
    Join,
    Publish,
    Rpc,
    Leave,
    Disconnect,
    Occupied,
    Vacated,
}

impl EventKind {
    pub(crate) const ALL: [EventKind; 9] = [
        EventKind::Connect,
        EventKind::Refresh,
        EventKind::Join,
        EventKind::Publish,
        EventKind::Rpc,
        EventKind::Leave,
        EventKind::Disconnect,
        EventKind::Occupied,
        EventKind::Vacated,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            EventKind::Connect => "connect",
            EventKind::Refresh => "refresh",
            EventKind::Join => "join",
            EventKind::Publish => "publish",
            EventKind::Rpc => "rpc",
            EventKind::Leave => "leave",
            EventKind::Disconnect => "disconnect",
            EventKind::Occupied => "occupied",
            EventKind::Vacated => "vacated",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<EventKind> {
        EventKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }

    /// Whether something waits for what the backend says.
    pub(crate) fn is_decided(self) -> bool {
        match self {
            EventKind::Connect
            | EventKind::Refresh
            | EventKind::Join
            | EventKind::Publish
            | EventKind::Rpc => true,
            EventKind::Leave | EventKind::Disconnect | EventKind::Occupied | EventKind::Vacated => {
                false
            }
        }
    }

    /// Whether asking twice does no more than asking once.
    pub(crate) fn is_idempotent(self) -> bool {
        match self {
            EventKind::Connect | EventKind::Refresh | EventKind::Join => true,
            // A notice has an id by which the backend knows it again.
            EventKind::Leave | EventKind::Disconnect | EventKind::Occupied | EventKind::Vacated => {
                true
            }
            EventKind::Publish | EventKind::Rpc => false,
        }
    }
}

/// The events that a backend gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventSet(u16);

impl EventSet {
    pub(crate) fn of(kinds: impl IntoIterator<Item = EventKind>) -> EventSet {
        let bits = kinds.into_iter().map(|kind| 1 << kind as u16);
        EventSet(bits.fold(0, |set, bit| set | bit))
    }

    pub(crate) fn has(self, kind: EventKind) -> bool {
        self.0 & (1 << kind as u16) != 0
    }

    pub(crate) fn kinds(self) -> impl Iterator<Item = EventKind> {
        EventKind::ALL
            .into_iter()
            .filter(move |kind| self.has(*kind))
    }
}

impl Default for EventSet {
    /// All that is decided but `refresh`, which a backend has to know.
    fn default() -> EventSet {
        EventSet::of([
            EventKind::Connect,
            EventKind::Join,
            EventKind::Publish,
            EventKind::Rpc,
        ])
    }
}

impl GatewayOptions {
    /// Whether the backend is asked, or told, of this.
    pub(crate) fn has(&self, kind: EventKind) -> bool {
        self.events.has(kind)
    }
}
