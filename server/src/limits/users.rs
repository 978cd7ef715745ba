//! What each user may do with all its connections together: how many they are, and rates that the
//! shards charge to one number.
//!
//! Invariant: while a user has connections, they hold the same [`UserUse`], so its rates are exact
//! over all shards but for the difference of their clocks, which is a tick. Whoever leaves and
//! comes back within the memory of its rates finds them as they were. When the table is full of
//! such users, others share one [`UserUse`] until there is a place: together they have what one
//! may.

use crate::limits::table::{Keep, StripedTable};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The users that are connected, and those that are remembered.
#[derive(Debug)]
pub(super) struct UserTable {
    users: StripedTable<Arc<str>, Arc<UserUse>>,
    others: Arc<UserUse>,
}

/// What a user has used, by all its connections.
#[derive(Debug, Default)]
pub(super) struct UserUse {
    connections: AtomicU32,
    pub(super) messages: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) fanout: AtomicU64,
}

impl UserUse {
    fn is_idle(&self, now: u64) -> bool {
        let rates = [&self.messages, &self.bytes, &self.fanout];
        let full = rates
            .iter()
            .all(|full_at| full_at.load(Ordering::Relaxed) <= now);
        self.connections.load(Ordering::Relaxed) == 0 && full
    }
}

impl UserTable {
    /// For a server with at most so many connections; as many users more are remembered.
    pub(super) fn new(connections_max: usize) -> UserTable {
        UserTable {
            users: StripedTable::new(2 * connections_max),
            others: Arc::default(),
        }
    }

    /// Counts a connection of the user, if it has less than `max`.
    pub(super) fn enter(&self, user: &str, max: u32, now: u64) -> Option<Arc<UserUse>> {
        let enter = |used: &mut Arc<UserUse>| {
            // Under the lock of the stripe, as every change of this count.
            let before = used.connections.load(Ordering::Relaxed);
            (before < max).then(|| {
                used.connections.store(before + 1, Ordering::Relaxed);
                used.clone()
            })
        };
        let is_idle = |used: &Arc<UserUse>| used.is_idle(now);
        match self.users.enter(user.into(), Arc::default, is_idle, enter) {
            Some(entered) => entered,
            None => {
                let counts = &self.others.connections;
                let more = |count: u32| (count < max).then_some(count + 1);
                counts
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
                    .is_ok()
                    .then(|| self.others.clone())
            }
        }
    }

    /// A connection that was counted is gone, or another user's now.
    pub(super) fn leave(&self, user: &str, used: &Arc<UserUse>, now: u64) {
        if Arc::ptr_eq(used, &self.others) {
            self.others.connections.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let left = self.users.change(user, |used| {
            used.connections.fetch_sub(1, Ordering::Relaxed);
            let idle = used.is_idle(now);
            (if idle { Keep::No } else { Keep::Yes }, ())
        });
        debug_assert!(left.is_some(), "who is counted has an entry");
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.users.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::gcra::Rate;

    #[test]
    fn a_user_has_one_use_from_all_shards() {
        let table = UserTable::new(1_000);
        let first = table.enter("ann", 2, 0).expect("two may");
        let second = table.enter("ann", 2, 0).expect("two may");
        assert!(Arc::ptr_eq(&first, &second));
        assert!(table.enter("ann", 2, 0).is_none());
        let other = table.enter("bob", 2, 0).expect("two may");
        assert!(!Arc::ptr_eq(&first, &other));
        table.leave("ann", &first, 0);
        assert!(table.enter("ann", 2, 0).is_some());
        table.leave("ann", &first, 0);
        table.leave("ann", &first, 0);
        table.leave("bob", &other, 0);
        assert_eq!(table.count(), 0);
    }

    #[test]
    fn who_comes_back_finds_its_rates_as_they_were() {
        let table = UserTable::new(1_000);
        let rate = Rate::new(1, 1).expect("in range");
        let before = table.enter("ann", 9, 0).expect("nine may");
        assert!(rate.take_shared(&before.messages, 0, 1).is_ok());
        table.leave("ann", &before, 0);
        let after = table.enter("ann", 9, 0).expect("nine may");
        assert!(rate.take_shared(&after.messages, 0, 1).is_err());
        table.leave("ann", &after, 1_000_000_000);
        assert_eq!(table.count(), 0, "the rate has forgotten");
    }

    #[test]
    fn users_without_a_place_share_what_one_may() {
        let table = UserTable::new(0);
        let first = table.enter("ann", 2, 0).expect("two may");
        let second = table.enter("bob", 2, 0).expect("two may");
        assert!(table.enter("cid", 2, 0).is_none());
        table.leave("ann", &first, 0);
        assert!(table.enter("cid", 2, 0).is_some());
        table.leave("bob", &second, 0);
        assert_eq!(table.count(), 0);
    }
}
