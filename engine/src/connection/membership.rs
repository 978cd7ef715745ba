//! Which rooms a connection is in, asked to join, or asked to leave.

use crate::topic::key::TopicKind;

/// A connection's stake among the subscribers of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// Index of the subscribers.
    pub(crate) subscribers: u32,
    /// See [`Membership::place`].
    position: u32,
    /// What the connection asked for last: true is in.
    pub(crate) wanted: bool,
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

/// A connection's memberships. One room costs no allocation.
#[derive(Debug, Default)]
pub(crate) enum Memberships {
    #[default]
    None,
    One(Membership),
    // A boxed Vec keeps the enum at 16 bytes; a connection in several rooms pays one more
    // indirection.
    #[allow(clippy::box_collection)]
    Many(Box<Vec<Membership>>),
}

const _: () = assert!(size_of::<Memberships>() == 16);

impl Memberships {
    pub(crate) fn as_slice(&self) -> &[Membership] {
        match self {
            Memberships::None => &[],
            Memberships::One(one) => std::slice::from_ref(one),
            Memberships::Many(many) => many,
        }
    }

    /// Whether the connection is, and was, nowhere a member.
    pub(crate) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// How many there are of a kind, and how many of them are wanted (the others are being left).
    pub(crate) fn counts(&self, kind: TopicKind) -> (usize, usize) {
        let all = self.as_slice();
        let all = all.iter().filter(|membership| membership.kind == kind);
        (
            all.clone().count(),
            all.filter(|membership| membership.wanted).count(),
        )
    }

    /// Those that are wanted.
    pub(crate) fn wanted(&self, kind: TopicKind) -> impl Iterator<Item = &Membership> {
        let all = self.as_slice().iter();
        all.filter(move |membership| membership.wanted && membership.kind == kind)
    }

    pub(crate) fn find(&mut self, subscribers: u32) -> Option<&mut Membership> {
        match self {
            Memberships::None => None,
            Memberships::One(one) => (one.subscribers == subscribers).then_some(one),
            Memberships::Many(many) => many
                .iter_mut()
                .find(|membership| membership.subscribers == subscribers),
        }
    }

    pub(crate) fn insert(&mut self, membership: Membership) {
        match self {
            Memberships::None => *self = Memberships::One(membership),
            Memberships::One(one) => *self = Memberships::Many(Box::new(vec![*one, membership])),
            Memberships::Many(many) => many.push(membership),
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
            Memberships::Many(many) => {
                many.retain(|membership| membership.subscribers != subscribers);
                match many.as_slice() {
                    [] => *self = Memberships::None,
                    [one] => *self = Memberships::One(*one),
                    _ => {}
                }
            }
        }
    }
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

    #[test]
    fn agrees_with_a_list() {
        let mut random = fastrand::Rng::with_seed(3);
        let (mut memberships, mut oracle) = (Memberships::default(), Vec::new());
        for _ in 0..2_000 {
            let subscribers = random.u32(0..4);
            if oracle.contains(&subscribers) {
                assert_eq!(
                    memberships.find(subscribers).map(|found| found.subscribers),
                    Some(subscribers)
                );
                memberships.remove(subscribers);
                oracle.retain(|other| *other != subscribers);
            } else {
                assert_eq!(memberships.find(subscribers), None);
                memberships.insert(membership(subscribers));
                oracle.push(subscribers);
            }
            let subscriber_lists: Vec<u32> = memberships
                .as_slice()
                .iter()
                .map(|found| found.subscribers)
                .collect();
            assert_eq!(subscriber_lists, oracle);
        }
    }
}
