//! The members of one topic, one by one, and what a change of them is for the others. It knows no
//! clock: whoever is away is told from an earlier time by a number.
//!
//! Invariant: each connection that has joined stands for one member, and a member is here exactly
//! while a connection stands for it. Used by `topic/presence/presences.rs`.

use crate::topic::presence::members::{Members, RosterMember};
use crate::topic::presence::options::{PresenceClass, PresenceOf};
use crate::types::account::{Account, Hold};
use crate::types::presence::{
    Continuity, OwnedData, PresenceKey, PresencePage, PresenceQuery, PresenceState, PresentMember,
};
use crate::types::presence_event::PresenceEvent;
use crate::types::ticket::Address;
use std::collections::HashMap;
use std::sync::Arc;

/// The members of one topic.
#[derive(Debug)]
pub(crate) struct Roster {
    pub(crate) class: PresenceClass,
    of: PresenceOf,
    members: Members,
    /// Since when members are away that are, as numbers.
    absences: HashMap<PresenceKey, u64>,
    /// Which member each connection stands for, where that is not the connection itself.
    users: HashMap<Address, Arc<str>>,
    /// Connections that are away, by their users.
    away: HashMap<Arc<str>, Vec<Address>>,
    /// The memory of all of them.
    hold: Hold,
    bytes: usize,
}

/// What a change is for the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) event: PresenceEvent,
    pub(crate) key: PresenceKey,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) data: Option<Arc<OwnedData>>,
    /// The connection that the member had, and has no more.
    pub(crate) was: Option<Address>,
    /// Whether the change ends an absence by a return.
    pub(crate) was_away: bool,
}

/// A connection that joins.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) who: Address,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) data: Option<Arc<OwnedData>>,
    pub(crate) continuity: Continuity,
}

/// Why a connection is no member any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    /// It asked to leave, or there is no time to come back in.
    Left,
    /// It was lost. The number tells this time from others.
    Lost(u64),
    /// It was closed, and its session with it: whoever is no user has left.
    Closed(u64),
}

impl Roster {
    pub(crate) fn new(class: PresenceClass, of: PresenceOf, account: &Account) -> Roster {
        Roster {
            class,
            of,
            members: Members::default(),
            absences: HashMap::new(),
            users: HashMap::new(),
            away: HashMap::new(),
            hold: account.hold(0),
            bytes: 0,
        }
    }

    /// A member takes so many bytes, and took so many before.
    fn weigh(&mut self, bytes: usize, before: usize) {
        self.bytes = self.bytes + bytes - before;
        self.hold.resize(self.bytes);
    }

    fn insert(&mut self, key: &PresenceKey, member: RosterMember) {
        self.weigh(member.bytes(), 0);
        self.members.insert(key, member);
    }

    fn remove(&mut self, key: &PresenceKey) -> Option<RosterMember> {
        let member = self.members.remove(key)?;
        if member.is_away {
            self.absences.remove(key);
        }
        self.weigh(0, member.bytes());
        Some(member)
    }

    pub(crate) fn of(&self) -> PresenceOf {
        self.of
    }

    /// Whether a member is there. `None`: there is no such member.
    pub(crate) fn state(&self, key: &PresenceKey) -> Option<PresenceState> {
        self.members.get(key).map(state_of)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn members(&self) -> u32 {
        self.members.len() as u32
    }

    /// The connections of a shard that stand for somebody.
    pub(crate) fn connections_of(&self, shard: u16) -> impl Iterator<Item = Address> {
        let members = self.members.behind(None);
        let present = members.filter_map(|(key, member)| match key {
            PresenceKey::Connection(who) if !member.is_away => Some(who),
            PresenceKey::Connection(_) | PresenceKey::User(_) | PresenceKey::Elsewhere(_) => None,
        });
        let all = present.chain(self.users.keys().copied());
        all.filter(move |who| who.shard == shard)
    }

    /// A connection has joined, which stands for nobody yet.
    pub(crate) fn join(&mut self, newcomer: Newcomer) -> Option<Change> {
        let Newcomer {
            who,
            user,
            data,
            continuity,
        } = newcomer;
        if let (PresenceOf::Users, Some(user)) = (self.of, &user) {
            return self.join_as_user(who, user.clone(), data);
        }
        let before = match continuity {
            Continuity::Resumed(before) => self.take_over(before, user.as_ref()),
            Continuity::None | Continuity::Session => None,
        };
        let before = before.or_else(|| Some((self.take_away(user.as_ref()?)?, true)));
        let key = PresenceKey::Connection(who);
        let mut member = RosterMember::new(user.clone(), data.clone());
        member.connections = 1;
        member.has_session = continuity != Continuity::None;
        self.insert(&key, member);
        Some(Change {
            event: match before {
                Some(_) => PresenceEvent::Back,
                None => PresenceEvent::Join,
            },
            key,
            user,
            data,
            was: before.map(|(before, _)| before),
            was_away: before.is_some_and(|(_, was_away)| was_away),
        })
    }

    /// The member that this connection is, or was until it was lost, if it is the same user's: it
    /// stands for it no more. With whether it was away.
    fn take_over(&mut self, before: Address, user: Option<&Arc<str>>) -> Option<(Address, bool)> {
        let key = PresenceKey::Connection(before);
        let member = self.members.get(&key)?;
        if member.user() != user {
            return None;
        }
        let was_away = member.is_away;
        self.remove(&key);
        if let (true, Some(user)) = (was_away, user) {
            self.forget_away(user, before);
        }
        Some((before, was_away))
    }

    /// A connection of the user's is not away any more.
    fn forget_away(&mut self, user: &Arc<str>, who: Address) {
        if let Some(away) = self.away.get_mut(user) {
            away.retain(|other| *other != who);
            if away.is_empty() {
                self.away.remove(user);
            }
        }
    }

    /// A connection of the user's that is away, which is the one that comes back.
    fn take_away(&mut self, user: &Arc<str>) -> Option<Address> {
        let away = self.away.get_mut(user)?;
        let before = away.pop();
        if away.is_empty() {
            self.away.remove(user);
        }
        self.remove(&PresenceKey::Connection(before?));
        before
    }

    fn join_as_user(
        &mut self,
        who: Address,
        user: Arc<str>,
        data: Option<Arc<OwnedData>>,
    ) -> Option<Change> {
        let key = PresenceKey::User(user.clone());
        self.users.insert(who, user.clone());
        let is_new = !self.members.contains(&key);
        if is_new {
            self.insert(&key, RosterMember::new(Some(user.clone()), None));
        }
        let member = self.members.get_mut(&key)?;
        member.connections += 1;
        let was_away = std::mem::take(&mut member.is_away);
        let before = member.bytes();
        if let Some(data) = data {
            member.show(data);
        }
        let (bytes, data) = (member.bytes(), member.data().cloned());
        self.weigh(bytes, before);
        if was_away {
            self.absences.remove(&key);
        }
        let event = match (is_new, was_away) {
            (true, _) => PresenceEvent::Join,
            (false, true) => PresenceEvent::Back,
            (false, false) => return None,
        };
        Some(Change {
            event,
            key,
            user: Some(user),
            data,
            was: None,
            was_away,
        })
    }

    /// A connection stands for a member no more, if it did.
    pub(crate) fn part(&mut self, who: Address, parting: Parting) -> Option<Change> {
        let key = match self.users.remove(&who) {
            Some(user) => PresenceKey::User(user),
            None => PresenceKey::Connection(who),
        };
        let member = self.members.get_mut(&key)?;
        if member.is_away {
            return None;
        }
        member.connections -= 1;
        if member.connections > 0 {
            return None;
        }
        let (user, data) = (member.user().cloned(), member.data().cloned());
        let away = match parting {
            Parting::Lost(number) if user.is_some() || member.has_session => Some(number),
            Parting::Closed(number) if user.is_some() => Some(number),
            Parting::Lost(_) | Parting::Closed(_) | Parting::Left => None,
        };
        member.is_away = away.is_some();
        let event = match away {
            Some(number) => {
                self.absences.insert(key.clone(), number);
                PresenceEvent::Away
            }
            None => {
                self.remove(&key);
                PresenceEvent::Leave
            }
        };
        if let (Some(_), Some(user), PresenceKey::Connection(who)) = (away, &user, &key) {
            self.away.entry(user.clone()).or_default().push(*who);
        }
        Some(Change {
            event,
            key,
            user,
            data,
            was: None,
            was_away: false,
        })
    }

    /// The time in which a member could come back is over, if it is away since this number.
    pub(crate) fn give_up(&mut self, key: &PresenceKey, number: u64) -> Option<Change> {
        if self.absences.get(key) != Some(&number) {
            return None;
        }
        let member = self.remove(key)?;
        let (user, data) = (member.user().cloned(), member.data().cloned());
        if let (PresenceKey::Connection(who), Some(user)) = (key, &user) {
            self.forget_away(user, *who);
        }
        Some(Change {
            event: PresenceEvent::Leave,
            key: key.clone(),
            user,
            data,
            was: None,
            was_away: false,
        })
    }

    /// The first behind this one, in the order of their keys.
    pub(crate) fn behind(
        &self,
        after: Option<&PresenceKey>,
        limit: usize,
    ) -> Vec<(PresenceKey, PresentMember)> {
        let members = self.members.behind(after).take(limit);
        members.map(|at| (at.0.clone(), present(&at))).collect()
    }

    /// Some members, in the order of their keys.
    pub(crate) fn page(&self, query: &PresenceQuery) -> PresencePage {
        let limit = query.limit.min(PresenceQuery::LIMIT_MAX) as usize;
        let mut members = self.members.behind(query.after.as_ref());
        let page: Vec<_> = members.by_ref().take(limit).collect();
        let has_more = members.next().is_some();
        let last = page.last().map(|(key, _)| key.clone());
        PresencePage {
            members: self.members(),
            next: last.filter(|_| has_more),
            page: page.iter().map(present).collect(),
        }
    }

    /// Connections that stand for members.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn connections(&self) -> usize {
        let members = self.members.each();
        members.map(|(_, member)| member.connections as usize).sum()
    }

    /// Panics unless its tables agree.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn check(&self) {
        let (mut away, mut absent, mut bytes) = (0, 0, 0);
        for (key, member) in self.members.each() {
            assert_eq!(member.connections == 0, member.is_away, "{key:?}");
            let may_be_away = member.user().is_some() || member.has_session;
            assert!(!member.is_away || may_be_away, "{key:?}");
            assert_eq!(self.absences.contains_key(&key), member.is_away, "{key:?}");
            let is_connection = matches!(key, PresenceKey::Connection(_));
            let is_away = member.is_away && member.user().is_some();
            away += usize::from(is_away && is_connection);
            absent += usize::from(member.is_away);
            bytes += member.bytes();
        }
        assert_eq!(self.bytes, bytes);
        assert_eq!(self.absences.len(), absent);
        assert_eq!(self.away.values().map(Vec::len).sum::<usize>(), away);
        let users = self.members.each();
        let users = users.filter(|(key, _)| matches!(key, PresenceKey::User(_)));
        let users: usize = users.map(|(_, member)| member.connections as usize).sum();
        assert_eq!(self.users.len(), users);
    }
}

fn present((key, member): &(PresenceKey, &RosterMember)) -> PresentMember {
    PresentMember {
        connection: match key {
            PresenceKey::Connection(who) => Some(*who),
            PresenceKey::User(_) | PresenceKey::Elsewhere(_) => None,
        },
        elsewhere: None,
        user: member.user().cloned(),
        data: member.data().cloned(),
        state: state_of(member),
        here: Some(state_of(member)),
    }
}

fn state_of(member: &RosterMember) -> PresenceState {
    match member.is_away {
        false => PresenceState::Here,
        true => PresenceState::Away,
    }
}

#[cfg(test)]
mod tests;
