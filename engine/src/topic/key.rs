//! Topics: what connections can be members of. Rooms and users share joins, leaves, homes and
//! batches, and a connection that closes leaves both in one step. No name of the one kind is ever
//! taken for one of the other.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// What can be listed: the members of a room, or the connections of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic<'a> {
    /// The members of one room.
    Room(&'a str),
    /// The connections of one user.
    User(&'a str),
}

/// Longest name of a user, in bytes.
pub const USER_BYTES_MAX: usize = 255;

impl<'a> Topic<'a> {
    pub(crate) fn kind(self) -> TopicKind {
        match self {
            Topic::Room(_) => TopicKind::Room,
            Topic::User(_) => TopicKind::User,
        }
    }

    pub(crate) fn to_name(self) -> TopicName {
        match self {
            Topic::Room(name) => TopicName::Room(name.into()),
            Topic::User(name) => TopicName::User(name.into()),
        }
    }

    /// The name alone, of the room or of the user.
    #[must_use]
    pub fn name(self) -> &'a str {
        match self {
            Topic::Room(name) | Topic::User(name) => name,
        }
    }
}

/// The kinds of topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TopicKind {
    Room,
    User,
}

/// A topic's key, shared by every table and message that bears it: its kind and its name, in one
/// word.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TopicKey(Arc<Named>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Named {
    kind: TopicKind,
    /// Shared by itself, too: tables of one kind and answers know topics by it.
    name: Arc<str>,
}

impl TopicKey {
    /// The name is not checked: a topic with one that nobody can have has no members.
    pub(crate) fn new(topic: Topic<'_>) -> TopicKey {
        TopicKey(Arc::new(Named {
            kind: topic.kind(),
            name: topic.name().into(),
        }))
    }

    pub(crate) fn topic(&self) -> Topic<'_> {
        match self.0.kind {
            TopicKind::Room => Topic::Room(&self.0.name),
            TopicKind::User => Topic::User(&self.0.name),
        }
    }

    pub(crate) fn kind(&self) -> TopicKind {
        self.0.kind
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.0.name
    }
}

const _: () = assert!(size_of::<Option<TopicKey>>() == 8);

/// One of these for each kind of topics.
#[derive(Debug, Default)]
pub(crate) struct PerKind<T> {
    rooms: T,
    users: T,
}

impl<T> PerKind<T> {
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        [&self.rooms, &self.users].into_iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        [&mut self.rooms, &mut self.users].into_iter()
    }
}

impl<T> Index<TopicKind> for PerKind<T> {
    type Output = T;

    fn index(&self, kind: TopicKind) -> &T {
        match kind {
            TopicKind::Room => &self.rooms,
            TopicKind::User => &self.users,
        }
    }
}

impl<T> IndexMut<TopicKind> for PerKind<T> {
    fn index_mut(&mut self, kind: TopicKind) -> &mut T {
        match kind {
            TopicKind::Room => &mut self.rooms,
            TopicKind::User => &mut self.users,
        }
    }
}

/// A topic by its name, for other threads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TopicName {
    /// A room.
    Room(Arc<str>),
    /// The connections of a user.
    User(Arc<str>),
}

impl TopicName {
    pub(crate) fn of(key: &TopicKey) -> TopicName {
        match key.kind() {
            TopicKind::Room => TopicName::Room(key.name().clone()),
            TopicKind::User => TopicName::User(key.name().clone()),
        }
    }

    /// The same, borrowed.
    pub fn topic(&self) -> Topic<'_> {
        match self {
            TopicName::Room(name) => Topic::Room(name),
            TopicName::User(name) => Topic::User(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_room_is_taken_for_a_user() {
        let names = ["a", "", "\u{1}a", "a\u{1}"];
        let topics = || {
            names
                .iter()
                .flat_map(|name| [Topic::Room(name), Topic::User(name)])
        };
        for one in topics() {
            for other in topics() {
                let (key, other_key) = (TopicKey::new(one), TopicKey::new(other));
                assert_eq!(key == other_key, one == other, "{one:?} {other:?}");
            }
            assert_eq!(TopicKey::new(one).topic(), one);
        }
    }
}
