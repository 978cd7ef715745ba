//! Which rooms a connection is in, asked to join, or asked to leave.

use crate::topic::key::TopicKind;
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// A connection's stake among the subscribers of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// Index of the subscribers.
    pub(crate) subscribers: u32,
    /// See [`Membership::place`].
    position: u32,
    /// What the connection asked for last: true is in.
    wanted: bool,
    /// Joins and leaves whose answer from the home shard is outstanding.
    pub(crate) in_flight: u8,
    /// The kind of the topic. A user is the one that the connection is, or was.
    pub(crate) kind: TopicKind,
}

/// Where a connection stands among the subscribers of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberPlace {
    /// Not (yet, or any more) among them.
    Outside,
    /// Among the members that are sent what is published; an index.
    Member(usize),
    /// Among those that read the log; an index.
    Behind(usize),
}

impl Membership {
    const OUTSIDE: u32 = u32::MAX;
    /// Set where the connection reads the log. No shard has as many connections as this.
    const BEHIND: u32 = 1 << 31;

    /// What a connection asked for that stands nowhere yet.
    pub(crate) fn asked(subscribers: u32, kind: TopicKind) -> Membership {
        Membership {
            subscribers,
            position: Membership::OUTSIDE,
            wanted: true,
            in_flight: 1,
            kind,
        }
    }

    /// The connection asked last to be in.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Where the connection stands.
    pub(crate) fn place(&self) -> MemberPlace {
        match self.position {
            Membership::OUTSIDE => MemberPlace::Outside,
            behind if behind & Membership::BEHIND != 0 => {
                MemberPlace::Behind((behind & !Membership::BEHIND) as usize)
            }
            member => MemberPlace::Member(member as usize),
        }
    }

    pub(crate) fn set_place(&mut self, place: MemberPlace) {
        self.position = match place {
            MemberPlace::Outside => Membership::OUTSIDE,
            MemberPlace::Member(index) => index as u32,
            MemberPlace::Behind(index) => index as u32 | Membership::BEHIND,
        };
    }
}

/// A connection's memberships. One room costs no allocation, and finding one of thousands no more
/// than finding one of a few.
#[derive(Debug, Default)]
pub(crate) enum Memberships {
    #[default]
    None,
    One(Membership),
    // Boxed, so that the enum has 16 bytes; a connection in several rooms pays one more
    // indirection.
    Many(Box<Several>),
}

const _: () = assert!(size_of::<Memberships>() == 16);

/// What a connection asks of a topic's home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    In,
    Out,
}

impl Memberships {
    /// All, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Membership> {
        let (one, several) = match self {
            Memberships::None => (None, None),
            Memberships::One(one) => (Some(one), None),
            Memberships::Many(several) => (None, Some(several)),
        };
        let several = several.into_iter().flat_map(|several| several.iter());
        one.into_iter().chain(several)
    }

    /// Whether the connection is, and was, nowhere a member.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Memberships::None)
    }

    /// How many there are of a kind, and how many of them are wanted (the others are being left).
    pub(crate) fn counts(&self, kind: TopicKind) -> (usize, usize) {
        match self {
            Memberships::None => (0, 0),
            Memberships::One(one) if one.kind == kind => (1, usize::from(one.wanted)),
            Memberships::One(_) => (0, 0),
            Memberships::Many(several) => several.counts(kind),
        }
    }

    /// Those that are wanted.
    pub(crate) fn wanted(&self, kind: TopicKind) -> impl Iterator<Item = &Membership> {
        let (one, several) = match self {
            Memberships::None => (None, &[][..]),
            Memberships::One(one) => (Some(one).filter(|one| one.kind == kind), &[][..]),
            Memberships::Many(several) => (None, several.of(kind)),
        };
        let all = one.into_iter().chain(several);
        all.filter(|membership| membership.wanted)
    }

    pub(crate) fn find(&mut self, subscribers: u32) -> Option<&mut Membership> {
        match self {
            Memberships::None => None,
            Memberships::One(one) => (one.subscribers == subscribers).then_some(one),
            Memberships::Many(several) => several.find(subscribers),
        }
    }

    /// The connection asks for something else than before, or once more. `None`: as many answers
    /// are outstanding as can be counted, or it has no such membership.
    pub(crate) fn ask(&mut self, subscribers: u32, wish: Wish) -> Option<()> {
        let membership = self.find(subscribers)?;
        membership.in_flight = membership.in_flight.checked_add(1)?;
        let was = std::mem::replace(&mut membership.wanted, wish == Wish::In);
        let kind = membership.kind;
        if let (Memberships::Many(several), TopicKind::Room) = (self, kind) {
            several.rooms_wanted += usize::from(wish == Wish::In);
            several.rooms_wanted -= usize::from(was);
        }
        Some(())
    }

    pub(crate) fn insert(&mut self, membership: Membership) {
        match self {
            Memberships::None => *self = Memberships::One(membership),
            Memberships::One(one) => {
                let mut several = Box::<Several>::default();
                several.insert(*one);
                several.insert(membership);
                *self = Memberships::Many(several);
            }
            Memberships::Many(several) => several.insert(membership),
        }
    }

    pub(crate) fn remove(&mut self, subscribers: u32) {
        match self {
            Memberships::None => {}
            Memberships::One(one) => {
                if one.subscribers == subscribers {
                    *self = Memberships::None;
                }
            }
            Memberships::Many(several) => {
                several.remove(subscribers);
                if let Some(one) = several.only() {
                    *self = Memberships::One(one);
                }
            }
        }
    }
}

/// Two memberships and more.
#[derive(Debug, Default)]
pub(crate) struct Several {
    /// The one that the connection is, and those that it is leaving: a few.
    users: Vec<Membership>,
    rooms: Vec<Membership>,
    rooms_wanted: usize,
    /// By subscribers, where a room stands; empty while there are few enough to be looked through.
    places: HashMap<u32, u32, RandomState>,
}

impl Several {
    /// Rooms up to which looking through them is as quick as a table.
    const SEARCHED_MAX: usize = 32;

    fn iter(&self) -> impl Iterator<Item = &Membership> {
        self.users.iter().chain(&self.rooms)
    }

    fn of(&self, kind: TopicKind) -> &[Membership] {
        match kind {
            TopicKind::Room => &self.rooms,
            TopicKind::User => &self.users,
        }
    }

    fn counts(&self, kind: TopicKind) -> (usize, usize) {
        match kind {
            TopicKind::Room => (self.rooms.len(), self.rooms_wanted),
            TopicKind::User => {
                let wanted = self.users.iter().filter(|user| user.wanted);
                (self.users.len(), wanted.count())
            }
        }
    }

    /// The only one that is left.
    fn only(&self) -> Option<Membership> {
        let mut all = self.iter();
        all.next().copied().filter(|_| all.next().is_none())
    }

    /// Where a room stands.
    fn place(&self, subscribers: u32) -> Option<usize> {
        match self.places.is_empty() {
            true => position(&self.rooms, subscribers),
            false => self.places.get(&subscribers).map(|&place| place as usize),
        }
    }

    fn find(&mut self, subscribers: u32) -> Option<&mut Membership> {
        if let Some(at) = position(&self.users, subscribers) {
            return Some(&mut self.users[at]);
        }
        let place = self.place(subscribers)?;
        Some(&mut self.rooms[place])
    }

    fn insert(&mut self, membership: Membership) {
        if membership.kind == TopicKind::User {
            self.users.push(membership);
            return;
        }
        self.rooms_wanted += usize::from(membership.wanted);
        self.rooms.push(membership);
        let place = self.rooms.len() - 1;
        if !self.places.is_empty() {
            self.places.insert(membership.subscribers, place as u32);
        } else if place >= Self::SEARCHED_MAX {
            let placed = self.rooms.iter().zip(0..);
            self.places = placed
                .map(|(room, place)| (room.subscribers, place))
                .collect();
        }
    }

    fn remove(&mut self, subscribers: u32) {
        if let Some(at) = position(&self.users, subscribers) {
            self.users.remove(at);
            return;
        }
        let Some(place) = self.place(subscribers) else {
            return;
        };
        let removed = self.rooms.swap_remove(place);
        self.rooms_wanted -= usize::from(removed.wanted);
        if self.places.is_empty() {
            return;
        }
        self.places.remove(&subscribers);
        if let Some(moved) = self.rooms.get(place) {
            self.places.insert(moved.subscribers, place as u32);
        }
        if self.rooms.len() <= Self::SEARCHED_MAX / 2 {
            self.places = HashMap::default();
            self.rooms.shrink_to_fit();
        }
    }
}

fn position(memberships: &[Membership], subscribers: u32) -> Option<usize> {
    let mut all = memberships.iter();
    all.position(|membership| membership.subscribers == subscribers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership(subscribers: u32) -> Membership {
        Membership::asked(subscribers, TopicKind::Room)
    }

    #[test]
    fn a_place_is_what_it_was_set_to() {
        let mut membership = membership(1);
        assert_eq!(membership.place(), MemberPlace::Outside);
        for place in [
            MemberPlace::Member(0),
            MemberPlace::Behind(0),
            MemberPlace::Member(7_000_000),
            MemberPlace::Behind(7_000_000),
            MemberPlace::Outside,
        ] {
            membership.set_place(place);
            assert_eq!(membership.place(), place);
        }
    }

    /// Over seeds, with a few rooms and with many.
    #[test]
    fn agrees_with_a_list() {
        for (seed, subscribers_max) in [(3, 4), (4, 40), (5, 300), (6, 40), (7, 300)] {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut memberships = Memberships::default();
            let mut oracle: Vec<(u32, TopicKind, bool)> = Vec::new();
            for _ in 0..4_000 {
                let subscribers = random.u32(0..subscribers_max);
                let kind = match subscribers % 50 {
                    0 => TopicKind::User,
                    _ => TopicKind::Room,
                };
                let known = oracle.iter().position(|(other, ..)| *other == subscribers);
                let found = memberships.find(subscribers).map(|found| found.kind);
                assert_eq!(found, known.map(|_| kind));
                match (known, random.u8(..3)) {
                    (None, _) => {
                        memberships.insert(Membership::asked(subscribers, kind));
                        oracle.push((subscribers, kind, true));
                    }
                    (Some(at), 0) => {
                        memberships.remove(subscribers);
                        oracle.remove(at);
                    }
                    (Some(at), wish) => {
                        let wish = if wish == 1 { Wish::In } else { Wish::Out };
                        assert_eq!(memberships.ask(subscribers, wish), Some(()));
                        let asked = memberships.find(subscribers).unwrap();
                        asked.in_flight -= 1;
                        oracle[at].2 = wish == Wish::In;
                    }
                }
                for kind in [TopicKind::Room, TopicKind::User] {
                    let of_kind = oracle.iter().filter(|(_, other, _)| *other == kind);
                    let wanted = of_kind.clone().filter(|(.., wanted)| *wanted);
                    let (total, wanted) = (of_kind.count(), wanted.count());
                    assert_eq!(memberships.counts(kind), (total, wanted));
                    assert_eq!(memberships.wanted(kind).count(), wanted);
                }
                let all = memberships.iter().map(|found| found.subscribers);
                let (mut all, mut expected): (Vec<u32>, Vec<u32>) = (
                    all.collect(),
                    oracle
                        .iter()
                        .map(|(subscribers, ..)| *subscribers)
                        .collect(),
                );
                all.sort_unstable();
                expected.sort_unstable();
                assert_eq!(all, expected);
            }
        }
    }

    #[test]
    fn outstanding_answers_are_counted_up_to_what_a_byte_holds() {
        let mut memberships = Memberships::default();
        memberships.insert(membership(1));
        assert_eq!(memberships.ask(2, Wish::In), None);
        for _ in 1..u8::MAX {
            assert_eq!(memberships.ask(1, Wish::Out), Some(()));
        }
        assert_eq!(memberships.ask(1, Wish::In), None);
        assert!(!memberships.find(1).unwrap().is_wanted());
    }
}
