//! The members of this shard that are sent deltas and have nothing yet to build them on: they are
//! sent the next publication as a whole, and the others what it changes.
//!
//! Invariant: whoever stands here is a member, and was not sent the newest publication that its
//! topic's members were sent. Bounded by the members. Used where members come, and where what is
//! published is collected for them.

use crate::types::shrink::shrink_map;
use crate::types::ticket::Ticket;
use foldhash::quality::RandomState;
use std::collections::{HashMap, HashSet};

/// Members without a base.
pub(crate) type BaselessMembers = HashSet<Ticket, RandomState>;

/// Those of one shard, by the index of their topic's subscribers.
#[derive(Debug, Default)]
pub(crate) struct Baseless(HashMap<u32, BaselessMembers, RandomState>);

impl Baseless {
    /// A member has not been sent what the next publication builds on.
    pub(crate) fn insert(&mut self, subscribers: u32, who: Ticket) {
        self.0.entry(subscribers).or_default().insert(who);
    }

    /// It is a member no more.
    #[inline]
    pub(crate) fn remove(&mut self, subscribers: u32, who: Ticket) {
        if !self.0.is_empty() {
            self.remove_known(subscribers, who);
        }
    }

    #[cold]
    fn remove_known(&mut self, subscribers: u32, who: Ticket) {
        if let Some(members) = self.0.get_mut(&subscribers) {
            members.remove(&who);
            if members.is_empty() {
                self.0.remove(&subscribers);
            }
        }
    }

    /// Whether a topic has some.
    pub(crate) fn has(&self, subscribers: u32) -> bool {
        self.0.contains_key(&subscribers)
    }

    /// They are sent something to build on.
    pub(crate) fn take(&mut self, subscribers: u32) -> Option<BaselessMembers> {
        self.0.remove(&subscribers)
    }

    /// Keeps no more than those there are need.
    pub(crate) fn release_memory(&mut self) {
        shrink_map(&mut self.0);
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Ticket)> {
        let all = self.0.iter();
        all.flat_map(|(subscribers, members)| members.iter().map(|who| (*subscribers, *who)))
    }
}
