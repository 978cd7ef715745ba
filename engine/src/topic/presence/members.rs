//! The members of one topic in the order of their keys, in as few bytes as they take: most are
//! connections of nobody that show nothing, and there may be 100,000 of them.
//!
//! Invariant: connections come before users, and what a member shows is allocated only if it shows
//! something. Used by `topic/presence/roster.rs`.

use crate::types::presence::{OwnedData, PresenceKey};
use crate::types::sorted_chunks::SortedChunks;
use crate::types::ticket::Address;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Every member of one topic.
#[derive(Debug, Default)]
pub(crate) struct Members {
    connections: SortedChunks<Address, RosterMember>,
    users: BTreeMap<Arc<str>, RosterMember>,
}

/// One of them.
#[derive(Debug, Default)]
pub(crate) struct RosterMember {
    about: Option<Box<About>>,
    /// Connections that stand for it.
    pub(crate) connections: u32,
    /// It is no user, and may be away all the same: its session outlives its connection.
    pub(crate) has_session: bool,
    pub(crate) is_away: bool,
}

/// Who a member is, and what it shows.
#[derive(Clone, Debug, Default)]
struct About {
    user: Option<Arc<str>>,
    data: Option<Arc<OwnedData>>,
}

impl RosterMember {
    /// Entries in the tables, with their slack: of a member, of what is known about it, and of the
    /// connection of a user.
    const ENTRY_BYTES: usize = 64;
    const ABOUT_BYTES: usize = 48;
    const USER_BYTES: usize = 128;

    pub(crate) fn new(user: Option<Arc<str>>, data: Option<Arc<OwnedData>>) -> RosterMember {
        let is_known = user.is_some() || data.is_some();
        RosterMember {
            about: is_known.then(|| Box::new(About { user, data })),
            ..RosterMember::default()
        }
    }

    pub(crate) fn user(&self) -> Option<&Arc<str>> {
        self.about.as_ref()?.user.as_ref()
    }

    pub(crate) fn data(&self) -> Option<&Arc<OwnedData>> {
        self.about.as_ref()?.data.as_ref()
    }

    /// It shows something else from now on.
    pub(crate) fn show(&mut self, data: Arc<OwnedData>) {
        self.about.get_or_insert_default().data = Some(data);
    }

    /// About what it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let about = self.about.as_ref().map_or(0, |about| {
            let user = about.user.as_ref().map_or(0, |_| Self::USER_BYTES);
            let data = about.data.as_ref();
            Self::ABOUT_BYTES + user + data.map_or(0, |data| data.data().bytes().len())
        });
        Self::ENTRY_BYTES + about
    }
}

impl Members {
    pub(crate) fn len(&self) -> usize {
        self.connections.len() + self.users.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn contains(&self, key: &PresenceKey) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn get(&self, key: &PresenceKey) -> Option<&RosterMember> {
        match key {
            PresenceKey::Connection(who) => self.connections.get(who),
            PresenceKey::User(user) => self.users.get(user),
            PresenceKey::Elsewhere(_) => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: &PresenceKey) -> Option<&mut RosterMember> {
        match key {
            PresenceKey::Connection(who) => self.connections.get_mut(who),
            PresenceKey::User(user) => self.users.get_mut(user),
            PresenceKey::Elsewhere(_) => None,
        }
    }

    pub(crate) fn insert(&mut self, key: &PresenceKey, member: RosterMember) {
        match key {
            PresenceKey::Connection(who) => self.connections.insert(*who, member),
            PresenceKey::User(user) => self.users.insert(user.clone(), member),
            // Members of other processes stand beside (`elsewhere`).
            PresenceKey::Elsewhere(_) => None,
        };
    }

    pub(crate) fn remove(&mut self, key: &PresenceKey) -> Option<RosterMember> {
        match key {
            PresenceKey::Connection(who) => self.connections.remove(who),
            PresenceKey::User(user) => self.users.remove(user),
            PresenceKey::Elsewhere(_) => None,
        }
    }

    /// Those behind a key, or all of them, in their order.
    pub(crate) fn behind(
        &self,
        after: Option<&PresenceKey>,
    ) -> impl Iterator<Item = (PresenceKey, &RosterMember)> {
        let (connections, users) = match after {
            None => (Bound::Unbounded, Bound::Unbounded),
            Some(PresenceKey::Connection(who)) => (Bound::Excluded(*who), Bound::Unbounded),
            // All connections come before the first user.
            Some(PresenceKey::User(user)) => (self.no_connections(), Bound::Excluded(user.clone())),
            // And all users before those of other processes.
            Some(PresenceKey::Elsewhere(_)) => {
                let last = self.users.last_key_value();
                let no_users =
                    last.map_or(Bound::Unbounded, |(user, _)| Bound::Excluded(user.clone()));
                (self.no_connections(), no_users)
            }
        };
        let connections = self.connections.range_from(connections);
        let connections = connections.map(|(who, member)| (PresenceKey::Connection(*who), member));
        let users = self.users.range((users, Bound::Unbounded));
        let users = users.map(|(user, member)| (PresenceKey::User(user.clone()), member));
        connections.chain(users)
    }

    /// Where a range of connections begins that has none.
    fn no_connections(&self) -> Bound<Address> {
        let last = self.connections.last_key();
        last.map_or(Bound::Unbounded, Bound::Excluded)
    }

    /// All of them.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn each(&self) -> impl Iterator<Item = (PresenceKey, &RosterMember)> {
        self.behind(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ticket::Ticket;

    fn connection(slot: u32) -> PresenceKey {
        let ticket = Ticket {
            slot,
            generation: 1,
        };
        PresenceKey::Connection(Address { shard: 0, ticket })
    }

    fn user(name: &str) -> PresenceKey {
        PresenceKey::User(name.into())
    }

    #[test]
    fn pages_go_on_behind_any_key_whether_it_is_there_or_not() {
        let mut members = Members::default();
        let keys = [connection(1), connection(3), user("ann"), user("eve")];
        for key in &keys {
            members.insert(key, RosterMember::default());
        }
        let behind = |after: Option<&PresenceKey>| -> Vec<PresenceKey> {
            members.behind(after).map(|(key, _)| key).collect()
        };
        assert_eq!(behind(None), keys);
        assert_eq!(behind(Some(&connection(1))), keys[1..]);
        assert_eq!(behind(Some(&connection(2))), keys[1..]);
        assert_eq!(behind(Some(&connection(9))), keys[2..]);
        assert_eq!(behind(Some(&user("aaa"))), keys[2..]);
        assert_eq!(behind(Some(&user("ann"))), keys[3..]);
        assert_eq!(behind(Some(&user("zoe"))), []);
        assert_eq!(behind(Some(&PresenceKey::Elsewhere("0-1-2@a".into()))), []);
        let only_users = [user("ann"), user("eve")];
        members.remove(&keys[0]);
        members.remove(&keys[1]);
        let behind: Vec<_> = members
            .behind(Some(&user("aaa")))
            .map(|(key, _)| key)
            .collect();
        assert_eq!(behind, only_users);
    }

    #[test]
    fn a_member_that_shows_nothing_is_two_words() {
        assert!(size_of::<RosterMember>() <= 16);
    }
}
