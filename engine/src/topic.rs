//! Topics: what connections can be members of. Rooms and users share one space of names, so that they share joins, leaves, homes, batches
//! and the departure of who closes.
//!
//! Invariant: a room's name never begins with [`USER_MARK`], and a user's key always does.

use crate::letter::RoomName;

/// What can be listed: the members of a room, or the connections of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic<'a> {
    /// The members of one room.
    Room(&'a str),
    /// The connections of one user.
    User(&'a str),
}

/// Longest name of a user, in bytes.
pub const USER_BYTES_MAX: usize = 255;

/// The first character of a user's key. No room's name may begin with it.
pub(crate) const USER_MARK: char = '\u{1}';

/// Where a user's connections are members. The name is not checked: a user with one that nobody can have has no connections.
pub(crate) fn user_key(name: &str) -> RoomName {
    let mut key = String::with_capacity(USER_MARK.len_utf8() + name.len());
    key.push(USER_MARK);
    key.push_str(name);
    key.into()
}

/// The user whose key this is; `None`: it is a room.
pub(crate) fn user_of(key: &str) -> Option<&str> {
    key.strip_prefix(USER_MARK)
}

/// The key of a topic that was named by another thread. Nobody can be in a room whose name is not allowed.
pub(crate) fn key_of(topic: Topic<'_>) -> RoomName {
    match topic {
        Topic::Room(name) if user_of(name).is_some() => NOBODY.into(),
        Topic::Room(name) => name.into(),
        Topic::User(name) => user_key(name),
    }
}

/// The name of a room that nobody can join.
const NOBODY: &str = "";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_room_is_taken_for_a_user() {
        assert_eq!(&*key_of(Topic::Room("a")), "a");
        assert_eq!(user_of(&key_of(Topic::User("a"))), Some("a"));
        let disguised = user_key("a");
        assert_eq!(user_of(&key_of(Topic::Room(&disguised))), None);
    }
}
