//! A room that a request names, looked up and checked once. Whoever holds one need not check again.
//!
//! Invariant: [`Namespaces::resolve`] alone makes one, so its name obeys the rules of its namespace
//! and the engine's limit. Taken by joining, listing and publishing.

use crate::namespace::denied::Denied;
use crate::namespace::names::Characters;
use crate::namespace::{Class, History, Namespace, Namespaces, RoomMap, RoomOrder};
use crate::wire::publication::Added;
use shardcast_engine::{LogClass, PresenceClass};

/// A room with its namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResolvedRoom<'r> {
    name: &'r str,
    class: &'r Class,
}

impl Namespaces {
    /// The room of this name, whose name has at most so many bytes: the engine's limit.
    ///
    /// # Errors
    /// As [`Namespaces::find`], and [`Denied::BadName`] for a name that is too long for the engine.
    pub(crate) fn resolve<'r>(
        &'r self,
        name: &'r str,
        bytes_max: usize,
    ) -> Result<ResolvedRoom<'r>, Denied> {
        ResolvedRoom::of(name, bytes_max, self.class(name)?)
    }

    /// The same for operators, from whom no namespace is secret.
    ///
    /// # Errors
    /// As for [`Namespaces::resolve`] where no namespace is secret.
    pub(crate) fn resolve_for_operator<'r>(
        &'r self,
        name: &'r str,
        bytes_max: usize,
    ) -> Result<ResolvedRoom<'r>, Denied> {
        ResolvedRoom::of(name, bytes_max, self.class_or(name, None)?)
    }
}

impl<'r> ResolvedRoom<'r> {
    fn of(name: &'r str, bytes_max: usize, class: &'r Class) -> Result<ResolvedRoom<'r>, Denied> {
        if name.len() > bytes_max {
            return Err(Denied::BadName(Characters::Any));
        }
        Ok(ResolvedRoom { name, class })
    }

    pub(crate) fn name(&self) -> &'r str {
        self.name
    }

    /// The name without prefix and colon.
    pub(crate) fn own_name(&self) -> &'r str {
        match self.class.has_prefix {
            true => self.name.split_once(':').map_or(self.name, |(_, own)| own),
            false => self.name,
        }
    }

    pub(crate) fn namespace(&self) -> &'r Namespace {
        &self.class.namespace
    }

    /// What the room adds to its messages.
    pub(crate) fn added(&self) -> Added {
        match self.log() {
            Some(_) if self.takes_acks() => Added::OffsetAgain,
            Some(_) => Added::Offset,
            None => Added::Nothing,
        }
    }

    /// The log that the room keeps, for clients or for its slow readers.
    pub(crate) fn log(&self) -> Option<LogClass> {
        self.class.log
    }

    /// What the room keeps, where the broker orders it.
    pub(crate) fn ordered(&self) -> Option<&'r History> {
        self.history()
            .filter(|history| history.order == RoomOrder::Broker)
    }

    /// What clients may read of it, those who may.
    pub(crate) fn history(&self) -> Option<&'r History> {
        self.class.namespace.history.as_ref()
    }

    /// How it is a map, if it is one.
    pub(crate) fn map(&self) -> Option<&'r RoomMap> {
        self.class.namespace.map.as_ref()
    }

    /// Whether its members acknowledge what they are sent.
    pub(crate) fn takes_acks(&self) -> bool {
        self.history().is_some_and(|history| history.acks.is_some())
    }

    /// Whether a publish may have a key, by which it is known again.
    pub(crate) fn takes_keys(&self) -> bool {
        self.history()
            .is_some_and(|history| history.idempotency.is_some())
    }

    /// How the room knows its members one by one, if it does.
    pub(crate) fn presence(&self) -> Option<PresenceClass> {
        self.class.presence
    }
}

impl AsRef<str> for ResolvedRoom<'_> {
    fn as_ref(&self) -> &str {
        self.name
    }
}
