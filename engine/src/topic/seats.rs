//! The connections of each user that this shard is home to, in the order in which they became the
//! user's, where one more takes the place of the oldest.
//!
//! Invariant: a connection stands here from its join on until it leaves, or until another takes its
//! place; no user has more than the rule lets it have. Used by `topic/admitting.rs`, and empty
//! under every other rule.

use crate::types::shrink::shrink_map;
use crate::types::ticket::Address;
use foldhash::quality::RandomState;
use hashlink::LinkedHashSet;
use std::collections::HashMap;
use std::sync::Arc;

/// Connections by user.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    users: HashMap<Arc<str>, LinkedHashSet<Address, RandomState>, RandomState>,
}

impl Seats {
    /// A connection has become the user's. The one whose place it takes, if there were as many as
    /// may be.
    pub(crate) fn take(
        &mut self,
        user: &Arc<str>,
        who: Address,
        connections_max: u32,
    ) -> Option<Address> {
        let seats = self.users.entry(user.clone()).or_default();
        seats.insert(who);
        let is_full = seats.len() > connections_max as usize;
        is_full.then(|| seats.pop_front()).flatten()
    }

    /// A connection is the user's no more.
    pub(crate) fn leave(&mut self, user: &str, who: Address) {
        let Some(seats) = self.users.get_mut(user) else {
            return;
        };
        seats.remove(&who);
        if seats.is_empty() {
            self.users.remove(user);
        }
    }

    /// A shard has lost its connections.
    pub(crate) fn lose_shard(&mut self, shard: u16) {
        self.users.retain(|_, seats| {
            seats.retain(|who| who.shard != shard);
            !seats.is_empty()
        });
    }

    /// Nobody stands here.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Keeps no more than there is.
    pub(crate) fn release_memory(&mut self) {
        shrink_map(&mut self.users);
    }

    /// Panics unless each user has as many members at its home as it has seats, or more: those that
    /// were replaced are members until they have closed.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn check(&self, members: impl Fn(&str) -> u32) {
        for (user, seats) in &self.users {
            assert!(!seats.is_empty(), "{user}: nobody");
            assert!(seats.len() <= members(user) as usize, "{user}: a ghost");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ticket::Ticket;

    fn address(slot: u32) -> Address {
        let generation = 1;
        let ticket = Ticket { slot, generation };
        Address { shard: 0, ticket }
    }

    #[test]
    fn the_oldest_goes() {
        let (ann, mut seats) = (Arc::from("ann"), Seats::default());
        assert_eq!(seats.take(&ann, address(1), 2), None);
        assert_eq!(seats.take(&ann, address(2), 2), None);
        assert_eq!(seats.take(&ann, address(3), 2), Some(address(1)));
        // It leaves when it has closed: nobody's place is free by that.
        seats.leave("ann", address(1));
        assert_eq!(seats.take(&ann, address(4), 2), Some(address(2)));
        seats.leave("ann", address(3));
        assert_eq!(seats.take(&ann, address(5), 2), None);
        seats.leave("ann", address(4));
        seats.leave("ann", address(5));
        seats.leave("bob", address(5));
        assert!(seats.is_empty());
    }
}
