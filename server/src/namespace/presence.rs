//! How the rooms of a namespace know their members, and what this takes of the engine.
//!
//! Invariant: namespaces that know them alike share a class, so the engine has as few as there are
//! different ones. Built with the table of namespaces; named by joins.

use shardcast_engine::{PresenceClass, PresenceOptions};

/// The class of these options, which are added if there are none like them.
pub(super) fn class(options: PresenceOptions, all: &mut Vec<PresenceOptions>) -> PresenceClass {
    let index = all.iter().position(|other| *other == options);
    let index = index.unwrap_or_else(|| {
        all.push(options);
        all.len() - 1
    });
    PresenceClass::new(index.try_into().expect("as few as there are namespaces"))
}

/// The first field that is out of range, and what it must be.
pub(super) fn check(options: &PresenceOptions) -> Result<(), (&'static str, &'static str)> {
    if options.grace > PresenceOptions::GRACE_MAX {
        return Err(("grace", "up to 1 h"));
    }
    if !PresenceOptions::EVENTS_MEMBERS.contains(&options.events_members_max) {
        return Err(("events_members_max", "up to 1000000"));
    }
    Ok(())
}
