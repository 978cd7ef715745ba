//! What a publisher asks of its topic's log. It travels with the publication to the topic's home.

use crate::topic::log::options::LogClass;
use crate::types::ticket::Address;
use std::sync::Arc;
use std::time::Duration;

/// A publication goes into the log of its topic.
#[derive(Clone, Debug)]
pub(crate) struct Keep {
    /// The class of a log that does not exist yet.
    pub(crate) class: LogClass,
    /// A publication with a key that the log knows is not published again.
    pub(crate) key: Option<Box<str>>,
    /// Of several with one such key the newest counts.
    pub(crate) conflate: Option<Arc<str>>,
    /// What becomes of that key, where the log is a map.
    pub(crate) change: MapChange,
    /// Whether it may be set, likewise.
    pub(crate) rule: SetRule,
    /// Its place, where another one gives those ([`crate::LogOrder::Sequencer`]) and it has one.
    pub(crate) place: Option<Box<GivenPlace>>,
}

/// What a publication does to its conflation key in a map ([`crate::LogOptions::map`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MapChange {
    /// The map holds the publication.
    #[default]
    Set,
    /// The map holds none of this key any more.
    Remove,
    /// The map holds the publication as long as somebody holds its key: this one does from now on.
    Hold(Address),
    /// This one holds the key no longer: if nobody does any more, neither does the map.
    Release(Address),
}

/// Whether a publication may set its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SetRule {
    pub(crate) only: SetOnly,
    /// It counts only if the publication that the map has of the key is of a lower version. 0: it
    /// has none, and counts.
    pub(crate) version: u64,
}

/// Which keys a publication sets ([`crate::Publish::only`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetOnly {
    /// Any.
    #[default]
    Any,
    /// One that the map has not.
    New,
    /// One that the map has.
    Known,
}

/// A place that another one has given ([`crate::Handle::publish_sequenced`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenPlace {
    /// As [`crate::Position::epoch`].
    pub epoch: u64,
    /// As [`crate::Position::offset`]: it may skip some.
    pub offset: u64,
    /// The offset of the topic's publication before it; where the log begins with it, the one
    /// before [`crate::LogStep::Begin`]'s.
    pub previous: u64,
    /// How long the publication has had it: the log keeps it for so much less.
    pub age: Duration,
}

/// What becomes of a publication that asks for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// It is kept for whoever reads.
    Kept,
    /// There is nobody to whom it can go: it waits.
    Waits,
    /// It goes to those who are there, and is not kept.
    Passed,
    /// There is nobody to whom it can go, and as many topics as may have something that waits.
    Refused,
}
