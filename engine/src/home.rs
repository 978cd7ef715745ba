//! Topics that this shard is home to: how many members of which form each shard has, and nothing else about them. The home gives every
//! publish its place in the order.
//!
//! Invariant: a pair of form and shard stands in a topic's interest exactly while it has members, and a topic here exactly while it has some.

use crate::core::shrink_map;
use crate::letter::{Join, RoomName};
use crate::topic;
use crate::{Address, Form};
use foldhash::quality::RandomState;
use std::collections::HashMap;

/// Home topics. One costs its name, 8 bytes for each form and shard with members, and a table entry; it exists while it has members.
#[derive(Debug, Default)]
pub(crate) struct Homes {
    topics: HashMap<RoomName, Home, RandomState>,
    /// Of the topics, those of users.
    users: usize,
    /// Refused joins that the connection's shard does not know of yet. Bounded by the letters under way: each is one of them.
    refusals: HashMap<(RoomName, Address), Refusals, RandomState>,
}

#[derive(Debug, Default)]
struct Home {
    /// Ordered by form, then by shard.
    interest: Vec<Interest>,
    members: u32,
}

/// The members of one form on one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) form: Form,
    pub(crate) shard: u16,
    /// At least one.
    pub(crate) members: u32,
}

/// One connection's refused joins of one room.
#[derive(Clone, Copy, Debug, Default)]
struct Refusals {
    /// Its shard takes it for a member that was counted: the leave or departure that comes next takes nothing back.
    mistaken: bool,
    /// Refusals that its shard has not noted.
    unnoted: u32,
}

/// What became of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Welcome {
    /// `counted`: it became a member now.
    Member { members: u32, counted: bool },
    /// The room is full.
    Full,
}

impl Homes {
    /// Keeps no more than the topics there are need.
    pub(crate) fn release_memory(&mut self) {
        shrink_map(&mut self.topics);
        shrink_map(&mut self.refusals);
    }

    /// Rooms with members.
    pub(crate) fn rooms(&self) -> usize {
        self.topics.len() - self.users
    }

    /// Users with connections.
    pub(crate) fn users(&self) -> usize {
        self.users
    }

    /// Members of a topic on all shards.
    pub(crate) fn members(&self, room: &str) -> u32 {
        self.topics.get(room).map_or(0, |home| home.members)
    }

    /// A connection becomes a member, unless it only asks, or the room is full.
    pub(crate) fn join(&mut self, join: &Join) -> Welcome {
        let counted = self.settle(&join.room, join.who) || join.counted;
        if !counted {
            let members = self.members(&join.room);
            return Welcome::Member { members, counted };
        }
        let members = match self.topics.get_mut(&join.room) {
            Some(home) if home.members < join.members_max => {
                home.count(join.form, join.who.shard);
                home.members
            }
            None if join.members_max > 0 => {
                self.users += usize::from(topic::user_of(&join.room).is_some());
                let home = self.topics.entry(join.room.clone()).or_default();
                home.count(join.form, join.who.shard);
                home.members
            }
            Some(_) | None => {
                self.refuse(join.room.clone(), join.who);
                return Welcome::Full;
            }
        };
        Welcome::Member { members, counted }
    }

    fn refuse(&mut self, room: RoomName, who: Address) {
        let refusals = self.refusals.entry((room, who)).or_default();
        refusals.mistaken = true;
        refusals.unnoted += 1;
    }

    /// A connection is no member any more. The members that are left; `None`: it was none.
    pub(crate) fn leave(&mut self, room: &RoomName, form: Form, who: Address) -> Option<u32> {
        if self.settle(room, who) {
            return None;
        }
        let home = self.topics.get_mut(room);
        let home = home.expect("every leave follows its join");
        home.discount(form, who.shard);
        let members = home.members;
        if members == 0 {
            self.topics.remove(room);
            self.users -= usize::from(topic::user_of(room).is_some());
        }
        Some(members)
    }

    /// The connection's shard knows of one more refusal.
    pub(crate) fn noted(&mut self, room: RoomName, who: Address) {
        let key = (room, who);
        let refusals = self.refusals.get_mut(&key);
        let refusals = refusals.expect("a refusal is noted once");
        refusals.unnoted -= 1;
        if refusals.unnoted == 0 {
            self.refusals.remove(&key);
        }
    }

    /// The connection's shard said something of it that it can only say since it took it for a member, or did not take it for one any
    /// more. True: it was mistaken.
    fn settle(&mut self, room: &RoomName, who: Address) -> bool {
        if self.refusals.is_empty() {
            return false;
        }
        let refusals = self.refusals.get_mut(&(room.clone(), who));
        refusals.is_some_and(|refusals| std::mem::take(&mut refusals.mistaken))
    }

    /// Who has members of a topic: ordered by form, then by shard.
    pub(crate) fn interest(&self, room: &str) -> &[Interest] {
        self.topics.get(room).map_or(&[], |home| &home.interest)
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.refusals.is_empty() && self.users == 0
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn has_refusals(&self) -> bool {
        !self.refusals.is_empty()
    }

    /// Every topic with members, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&RoomName, &[Interest], u32)> {
        let topics = self.topics.iter();
        topics.map(|(name, home)| (name, &home.interest[..], home.members))
    }
}

impl Home {
    fn find(&self, form: Form, shard: u16) -> Result<usize, usize> {
        self.interest
            .binary_search_by_key(&(form, shard), |pair| (pair.form, pair.shard))
    }

    fn count(&mut self, form: Form, shard: u16) {
        match self.find(form, shard) {
            Ok(at) => self.interest[at].members += 1,
            Err(at) => {
                let members = 1;
                let pair = Interest {
                    form,
                    shard,
                    members,
                };
                self.interest.insert(at, pair);
            }
        }
        self.members += 1;
    }

    fn discount(&mut self, form: Form, shard: u16) {
        let at = self.find(form, shard);
        let at = at.expect("whoever leaves is counted");
        self.interest[at].members -= 1;
        self.members -= 1;
        if self.interest[at].members == 0 {
            self.interest.remove(at);
        }
    }
}

const _: () = assert!(size_of::<Interest>() == 8);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ticket;

    const OTHER: Form = Form::new(3);

    fn address(shard: u16) -> Address {
        let (slot, generation) = (7, 1);
        let ticket = Ticket { slot, generation };
        Address { shard, ticket }
    }

    fn join(room: &str, form: Form, shard: u16, counted: bool, members_max: u32) -> Join {
        Join {
            room: room.into(),
            who: address(shard),
            form,
            tag: None,
            counted,
            members_max,
        }
    }

    fn interest(homes: &Homes, room: &str) -> Vec<(usize, u16, u32)> {
        let pairs = homes.interest(room).iter();
        pairs
            .map(|pair| (pair.form.index(), pair.shard, pair.members))
            .collect()
    }

    fn member(members: u32, counted: bool) -> Welcome {
        Welcome::Member { members, counted }
    }

    #[test]
    fn a_room_lives_from_first_join_to_last_leave() {
        let mut homes = Homes::default();
        let room: RoomName = "r".into();
        let ask = |shard, counted| join("r", Form::FIRST, shard, counted, u32::MAX);
        assert_eq!(homes.join(&ask(2, false)), member(0, false));
        assert_eq!(homes.join(&ask(2, true)), member(1, true));
        assert_eq!(homes.join(&ask(0, true)), member(2, true));
        assert_eq!(homes.join(&ask(0, false)), member(2, false));
        let other = join("r", OTHER, 1, true, u32::MAX);
        assert_eq!(homes.join(&other), member(3, true));
        assert_eq!(homes.join(&ask(2, true)), member(4, true));
        assert_eq!(
            interest(&homes, "r"),
            [(0, 0, 1), (0, 2, 2), (3, 1, 1)],
            "by form, then by shard"
        );
        homes.leave(&room, Form::FIRST, address(2));
        homes.leave(&room, Form::FIRST, address(2));
        homes.leave(&room, Form::FIRST, address(0));
        assert_eq!(interest(&homes, "r"), [(3, 1, 1)]);
        homes.leave(&room, OTHER, address(1));
        assert!(homes.is_empty() && homes.interest("r").is_empty());
    }

    #[test]
    fn users_are_not_rooms() {
        let mut homes = Homes::default();
        let key = topic::user_key("ann");
        for key in [&*key, "ann"] {
            homes.join(&join(key, Form::FIRST, 0, true, u32::MAX));
        }
        assert_eq!((homes.rooms(), homes.users()), (1, 1));
        homes.leave(&key, Form::FIRST, address(0));
        assert_eq!((homes.rooms(), homes.users()), (1, 0));
    }

    /// What a connection's shard may say before it knows that a join was refused takes nothing from the counts, and what it says
    /// afterwards does.
    #[test]
    fn a_refusal_is_remembered_until_it_is_known() {
        let room: RoomName = "r".into();
        let limited = |shard, counted| join("r", Form::FIRST, shard, counted, 1);
        let full = || {
            let mut homes = Homes::default();
            assert_eq!(homes.join(&limited(0, true)), member(1, true));
            assert_eq!(
                homes.join(&limited(0, false)),
                member(1, false),
                "no newcomer"
            );
            assert_eq!(homes.join(&limited(1, true)), Welcome::Full);
            homes
        };
        // It leaves, or closes, at once.
        let mut homes = full();
        homes.leave(&room, Form::FIRST, address(1));
        homes.noted(room.clone(), address(1));
        assert_eq!(interest(&homes, "r"), [(0, 0, 1)]);
        // It asks again as a member, which it is not, and is refused again; then there is room.
        let mut homes = full();
        assert_eq!(homes.join(&limited(1, false)), Welcome::Full);
        homes.noted(room.clone(), address(1));
        homes.leave(&room, Form::FIRST, address(0));
        assert_eq!(homes.join(&limited(1, false)), member(1, true));
        homes.noted(room.clone(), address(1));
        homes.leave(&room, Form::FIRST, address(1));
        assert!(homes.is_empty());
        // It knows, and asks as a stranger before that is noted.
        let mut homes = full();
        let unlimited = join("r", Form::FIRST, 1, true, u32::MAX);
        assert_eq!(homes.join(&unlimited), member(2, true));
        homes.noted(room.clone(), address(1));
        homes.leave(&room, Form::FIRST, address(1));
        homes.leave(&room, Form::FIRST, address(0));
        assert!(homes.is_empty());
    }
}
