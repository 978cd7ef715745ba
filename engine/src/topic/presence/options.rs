//! What presence an engine keeps, by class, and how it is asked for. Part of the configuration.

use crate::types::config_error::{ConfigError, within};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Which of [`crate::Config::presence`] a topic keeps: an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PresenceClass(u16);

impl PresenceClass {
    /// Classes of presence that an engine may have.
    pub const COUNT_MAX: usize = 1_024;

    /// The class with this index in [`crate::Config::presence`].
    ///
    /// # Panics
    /// If the index is not below [`PresenceClass::COUNT_MAX`].
    pub const fn new(index: u16) -> PresenceClass {
        assert!(
            (index as usize) < PresenceClass::COUNT_MAX,
            "there are 1,024 classes of presence"
        );
        PresenceClass(index)
    }

    /// Its index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How the home of one class of topics knows their members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PresenceOptions {
    /// What a member is.
    pub of: PresenceOf,
    /// How long a member whose connection was lost is away before it has left. Only who is a user
    /// can come back, so only a user is away. Default 30 s, up to 1 hour; zero: nobody is away.
    pub grace: Duration,
    /// Members of a topic up to which each change is an event. With more, events say how many there
    /// are, at most one a second. Default 200, range [`PresenceOptions::EVENTS_MEMBERS`].
    pub events_members_max: u32,
}

/// What counts as a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PresenceOf {
    /// Each connection.
    #[default]
    Connections,
    /// Each user, with the first of its connections until the last; a connection that is no user's
    /// by itself.
    Users,
}

impl Default for PresenceOptions {
    fn default() -> PresenceOptions {
        PresenceOptions {
            of: PresenceOf::Connections,
            grace: Duration::from_secs(30),
            events_members_max: 200,
        }
    }
}

impl PresenceOptions {
    /// What [`PresenceOptions::events_members_max`] may be.
    pub const EVENTS_MEMBERS: RangeInclusive<u32> = 0..=1_000_000;
    /// The longest [`PresenceOptions::grace`].
    pub const GRACE_MAX: Duration = Duration::from_secs(3_600);

    /// Checks the ranges.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let (members, rule) = (self.events_members_max, "up to 1,000,000");
        within("events_members_max", members, Self::EVENTS_MEMBERS, rule)?;
        let grace = self.grace.as_millis();
        within("grace", grace, 0..=Self::GRACE_MAX.as_millis(), "up to 1 h")
    }
}
