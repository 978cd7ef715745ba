//! Topics that this shard is home to: how many members of which encoding each shard has, and
//! nothing else about them. The home gives every publish its place in the order.
//!
//! Invariant: a pair of encoding and shard stands in a topic's interest exactly while it has
//! members, and a topic here exactly while it has some.

use crate::message::request::Join;
#[cfg(any(test, feature = "sim"))]
use crate::topic::key::TopicName;
use crate::topic::key::{PerKind, Topic, TopicKey, TopicKind};
use crate::types::encoding::EncodingId;
use crate::types::few::Few;
use crate::types::shrink::shrink_map;
use crate::types::ticket::Address;
use foldhash::quality::RandomState;
use std::collections::HashMap;
use std::sync::Arc;

/// Home topics. One costs its name and a table entry; where it has members of several encodings or
/// on several shards, 8 bytes for each. It exists while it has members.
#[derive(Debug, Default)]
pub(crate) struct Homes {
    /// By kind and name.
    topics: PerKind<HashMap<Arc<str>, Home, RandomState>>,
    /// Refused joins that the connection's shard does not know of yet. Bounded by the messages
    /// under way: each is one of them.
    refusals: HashMap<(TopicKey, Address), Refusals, RandomState>,
}

#[derive(Debug, Default)]
struct Home {
    /// Ordered by encoding, then by shard.
    interest: Few<Interest>,
    members: u32,
}

/// The members of one encoding on one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) encoding: EncodingId,
    pub(crate) shard: u16,
    /// At least one.
    pub(crate) members: u32,
}

/// One connection's refused joins of one room.
#[derive(Clone, Copy, Debug, Default)]
struct Refusals {
    /// Its shard takes the connection for a member, which the home did not count: the leave that
    /// comes next, of this room or of all, takes nothing from the count.
    assumed_member: bool,
    /// Refusals that its shard has not acknowledged.
    unacked: u32,
}

/// What became of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinOutcome {
    /// `counted`: it became a member now.
    Member { members: u32, counted: bool },
    /// The room is full.
    Full,
}

impl Homes {
    /// Keeps no more than the topics there are need.
    pub(crate) fn release_memory(&mut self) {
        self.topics.iter_mut().for_each(shrink_map);
        shrink_map(&mut self.refusals);
    }

    /// Rooms with members.
    pub(crate) fn rooms(&self) -> usize {
        self.topics[TopicKind::Room].len()
    }

    /// Users with connections.
    pub(crate) fn users(&self) -> usize {
        self.topics[TopicKind::User].len()
    }

    /// Members of a topic on all shards.
    pub(crate) fn members(&self, topic: Topic<'_>) -> u32 {
        self.find(topic).map_or(0, |home| home.members)
    }

    fn find(&self, topic: Topic<'_>) -> Option<&Home> {
        self.topics[topic.kind()].get(topic.name())
    }

    /// A connection becomes a member, unless it only asks, or the room is full.
    pub(crate) fn join(&mut self, join: &Join) -> JoinOutcome {
        let counted = self.reconcile(&join.topic, join.who) || join.counted;
        if !counted {
            let members = self.members(join.topic.topic());
            return JoinOutcome::Member { members, counted };
        }
        let topics = &mut self.topics[join.topic.kind()];
        let members = match topics.get_mut(join.topic.name()) {
            Some(home) if home.members < join.members_max => {
                home.count(join.encoding, join.who.shard);
                home.members
            }
            None if join.members_max > 0 => {
                let home = topics.entry(join.topic.name().clone()).or_default();
                home.count(join.encoding, join.who.shard);
                home.members
            }
            Some(_) | None => {
                self.refuse(join.topic.clone(), join.who);
                return JoinOutcome::Full;
            }
        };
        JoinOutcome::Member { members, counted }
    }

    /// A connection does not become a member. `false`: it is one, and only asks.
    pub(crate) fn refuse_join(&mut self, join: &Join) -> bool {
        let counted = self.reconcile(&join.topic, join.who) || join.counted;
        if counted {
            self.refuse(join.topic.clone(), join.who);
        }
        counted
    }

    fn refuse(&mut self, topic: TopicKey, who: Address) {
        let refusals = self.refusals.entry((topic, who)).or_default();
        refusals.assumed_member = true;
        refusals.unacked += 1;
    }

    /// A connection is no member any more. The members that are left; `None`: it was none.
    pub(crate) fn leave(
        &mut self,
        topic: &TopicKey,
        encoding: EncodingId,
        who: Address,
    ) -> Option<u32> {
        if self.reconcile(topic, who) {
            return None;
        }
        let topics = &mut self.topics[topic.kind()];
        let home = topics.get_mut(topic.name());
        let home = home.expect("every leave follows its join");
        home.discount(encoding, who.shard);
        let members = home.members;
        if members == 0 {
            topics.remove(topic.name());
        }
        Some(members)
    }

    /// A shard has lost its members: the topics that had some there, with the members that are
    /// left.
    pub(crate) fn lose_shard(&mut self, shard: u16) -> Vec<(TopicKey, u32)> {
        self.refusals.retain(|(_, who), _| who.shard != shard);
        let mut lost = Vec::new();
        for kind in [TopicKind::Room, TopicKind::User] {
            self.topics[kind].retain(|name, home| {
                if home.lose_shard(shard) > 0 {
                    let topic = match kind {
                        TopicKind::Room => Topic::Room(name),
                        TopicKind::User => Topic::User(name),
                    };
                    lost.push((TopicKey::new(topic), home.members));
                }
                home.members > 0
            });
        }
        lost
    }

    /// The connection's shard knows of one more refusal.
    pub(crate) fn refusal_acked(&mut self, topic: TopicKey, who: Address) {
        let key = (topic, who);
        // A home that began anew knows of none.
        let Some(refusals) = self.refusals.get_mut(&key) else {
            return;
        };
        refusals.unacked -= 1;
        if refusals.unacked == 0 {
            self.refusals.remove(&key);
        }
    }

    /// Returns whether the connection's shard still believed that a refused join had succeeded. The
    /// leave that it sends must then not be counted, and a join counts as a new one.
    fn reconcile(&mut self, topic: &TopicKey, who: Address) -> bool {
        if self.refusals.is_empty() {
            return false;
        }
        let refusals = self.refusals.get_mut(&(topic.clone(), who));
        refusals.is_some_and(|refusals| std::mem::take(&mut refusals.assumed_member))
    }

    /// Who has members of a topic: ordered by encoding, then by shard.
    pub(crate) fn interest(&self, topic: Topic<'_>) -> &[Interest] {
        self.find(topic).map_or(&[], |home| &home.interest)
    }

    /// Whether members of a topic are sent deltas.
    pub(crate) fn has_deltas(&self, topic: Topic<'_>) -> bool {
        let mut pairs = self.interest(topic).iter().rev();
        let last = pairs.find(|pair| !pair.encoding.has_filter());
        last.is_some_and(|pair| pair.encoding.has_deltas())
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn is_empty(&self) -> bool {
        self.topics.iter().all(HashMap::is_empty) && self.refusals.is_empty()
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn has_refusals(&self) -> bool {
        !self.refusals.is_empty()
    }

    /// The topics with their members, in no order.
    pub(crate) fn by_name(&self) -> impl Iterator<Item = (Topic<'_>, u32)> {
        let rooms = self.topics[TopicKind::Room].iter();
        let rooms = rooms.map(|(name, home)| (Topic::Room(name), home.members));
        let users = self.topics[TopicKind::User].iter();
        rooms.chain(users.map(|(name, home)| (Topic::User(name), home.members)))
    }

    /// Every topic with members, in no order.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TopicName, &[Interest], u32)> {
        let rooms = self.topics[TopicKind::Room].iter();
        let rooms = rooms.map(|(name, home)| (TopicName::Room(name.clone()), home));
        let users = self.topics[TopicKind::User].iter();
        let users = users.map(|(name, home)| (TopicName::User(name.clone()), home));
        let topics = rooms.chain(users);
        topics.map(|(topic, home)| (topic, &home.interest[..], home.members))
    }
}

impl Home {
    fn find(&self, encoding: EncodingId, shard: u16) -> Result<usize, usize> {
        self.interest
            .binary_search_by_key(&(encoding, shard), |pair| (pair.encoding, pair.shard))
    }

    fn count(&mut self, encoding: EncodingId, shard: u16) {
        match self.find(encoding, shard) {
            Ok(at) => self.interest[at].members += 1,
            Err(at) => {
                let members = 1;
                let pair = Interest {
                    encoding,
                    shard,
                    members,
                };
                self.interest.insert(at, pair);
            }
        }
        self.members += 1;
    }

    /// Takes out what a shard had: so many members.
    fn lose_shard(&mut self, shard: u16) -> u32 {
        let mut lost = 0;
        for at in (0..self.interest.len()).rev() {
            if self.interest[at].shard == shard {
                lost += self.interest[at].members;
                self.interest.remove(at);
            }
        }
        self.members -= lost;
        lost
    }

    fn discount(&mut self, encoding: EncodingId, shard: u16) {
        let at = self.find(encoding, shard);
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
    use crate::types::history::JoinAcks;
    use crate::types::ticket::Ticket;

    const OTHER: EncodingId = EncodingId::new(3);

    fn address(shard: u16) -> Address {
        let (slot, generation) = (7, 1);
        let ticket = Ticket { slot, generation };
        Address { shard, ticket }
    }

    fn join(
        topic: Topic<'_>,
        encoding: EncodingId,
        shard: u16,
        counted: bool,
        members_max: u32,
    ) -> Join {
        Join {
            log: None,
            since: None,
            presence: None,
            acks: JoinAcks::Never,
            topic: TopicKey::new(topic),
            who: address(shard),
            encoding,
            tag: None,
            counted,
            members_max,
        }
    }

    const ROOM: Topic<'_> = Topic::Room("r");

    fn interest(homes: &Homes, room: Topic<'_>) -> Vec<(usize, u16, u32)> {
        let pairs = homes.interest(room).iter();
        pairs
            .map(|pair| (pair.encoding.index(), pair.shard, pair.members))
            .collect()
    }

    fn member(members: u32, counted: bool) -> JoinOutcome {
        JoinOutcome::Member { members, counted }
    }

    #[test]
    fn a_room_lives_from_first_join_to_last_leave() {
        let mut homes = Homes::default();
        let room = TopicKey::new(ROOM);
        let ask = |shard, counted| join(ROOM, EncodingId::FIRST, shard, counted, u32::MAX);
        assert_eq!(homes.join(&ask(2, false)), member(0, false));
        assert_eq!(homes.join(&ask(2, true)), member(1, true));
        assert_eq!(homes.join(&ask(0, true)), member(2, true));
        assert_eq!(homes.join(&ask(0, false)), member(2, false));
        let other = join(ROOM, OTHER, 1, true, u32::MAX);
        assert_eq!(homes.join(&other), member(3, true));
        assert_eq!(homes.join(&ask(2, true)), member(4, true));
        assert_eq!(
            interest(&homes, ROOM),
            [(0, 0, 1), (0, 2, 2), (3, 1, 1)],
            "by encoding, then by shard"
        );
        homes.leave(&room, EncodingId::FIRST, address(2));
        homes.leave(&room, EncodingId::FIRST, address(2));
        homes.leave(&room, EncodingId::FIRST, address(0));
        assert_eq!(interest(&homes, ROOM), [(3, 1, 1)]);
        homes.leave(&room, OTHER, address(1));
        assert!(homes.is_empty() && homes.interest(ROOM).is_empty());
    }

    #[test]
    fn users_are_not_rooms() {
        let mut homes = Homes::default();
        let user = Topic::User("ann");
        for topic in [user, Topic::Room("ann")] {
            homes.join(&join(topic, EncodingId::FIRST, 0, true, u32::MAX));
        }
        assert_eq!((homes.rooms(), homes.users()), (1, 1));
        homes.leave(&TopicKey::new(user), EncodingId::FIRST, address(0));
        assert_eq!((homes.rooms(), homes.users()), (1, 0));
    }

    /// What a connection's shard may say before it knows that a join was refused takes nothing from
    /// the counts, and what it says afterwards does.
    #[test]
    fn a_refusal_is_remembered_until_it_is_known() {
        let room = TopicKey::new(ROOM);
        let limited = |shard, counted| join(ROOM, EncodingId::FIRST, shard, counted, 1);
        let full = || {
            let mut homes = Homes::default();
            assert_eq!(homes.join(&limited(0, true)), member(1, true));
            assert_eq!(
                homes.join(&limited(0, false)),
                member(1, false),
                "no newcomer"
            );
            assert_eq!(homes.join(&limited(1, true)), JoinOutcome::Full);
            homes
        };
        // It leaves, or closes, at once.
        let mut homes = full();
        homes.leave(&room, EncodingId::FIRST, address(1));
        homes.refusal_acked(room.clone(), address(1));
        assert_eq!(interest(&homes, ROOM), [(0, 0, 1)]);
        // It asks again as a member, which it is not, and is refused again; then there is room.
        let mut homes = full();
        assert_eq!(homes.join(&limited(1, false)), JoinOutcome::Full);
        homes.refusal_acked(room.clone(), address(1));
        homes.leave(&room, EncodingId::FIRST, address(0));
        assert_eq!(homes.join(&limited(1, false)), member(1, true));
        homes.refusal_acked(room.clone(), address(1));
        homes.leave(&room, EncodingId::FIRST, address(1));
        assert!(homes.is_empty());
        // It knows, and asks as a stranger before its acknowledgement has come.
        let mut homes = full();
        let unlimited = join(ROOM, EncodingId::FIRST, 1, true, u32::MAX);
        assert_eq!(homes.join(&unlimited), member(2, true));
        homes.refusal_acked(room.clone(), address(1));
        homes.leave(&room, EncodingId::FIRST, address(1));
        homes.leave(&room, EncodingId::FIRST, address(0));
        assert!(homes.is_empty());
    }
}
