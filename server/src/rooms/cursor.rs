//! Where a page of members ends, as clients are told it and say it again: a text that they do not
//! interpret.
//!
//! Invariant: one text for each key, and a text that is none of ours is none of any key. Read and
//! written by the dispatch.

use crate::session::identity::Identity;
use crate::wire::connection_id::ConnectionId;
use shardcast_engine::{PresenceKey, PresentMember};

/// By what a member is known.
pub(crate) fn key_of(member: &PresentMember) -> Option<PresenceKey> {
    match (member.connection, &member.user) {
        (Some(connection), _) => Some(PresenceKey::Connection(connection)),
        (None, Some(user)) => Some(PresenceKey::User(user.clone())),
        (None, None) => None,
    }
}

/// The key's text: a letter for its kind, and the name.
pub(crate) fn cursor_text(key: &PresenceKey) -> String {
    match key {
        PresenceKey::Connection(address) => {
            let id = ConnectionId(*address).text();
            format!("{CONNECTION}{}", id.as_str())
        }
        PresenceKey::User(user) => format!("{USER}{user}"),
    }
}

/// The key of a text. `None`: the text is none of ours.
pub(crate) fn key_of_cursor(text: &str) -> Option<PresenceKey> {
    if let Some(user) = text.strip_prefix(USER) {
        return Identity::is_name(user).then(|| PresenceKey::User(user.into()));
    }
    let id: ConnectionId = text.strip_prefix(CONNECTION)?.parse().ok()?;
    Some(PresenceKey::Connection(id.0))
}

const CONNECTION: char = 'c';
const USER: char = 'u';

#[cfg(test)]
mod tests {
    use super::*;
    use shardcast_engine::{Address, Ticket};

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let address = |shard, slot, generation| Address {
            shard,
            ticket: Ticket { slot, generation },
        };
        let longest = "n".repeat(Identity::USER_BYTES_MAX);
        for (key, want) in [
            (PresenceKey::Connection(address(1, 31, 3)), "c1-1f-3"),
            (
                PresenceKey::Connection(address(255, u32::MAX, u32::MAX)),
                "cff-ffffffff-ffffffff",
            ),
            (PresenceKey::User("ann".into()), "uann"),
            (PresenceKey::User("c0-1-2".into()), "uc0-1-2"),
            (PresenceKey::User("größe 🦀".into()), "ugröße 🦀"),
            (
                PresenceKey::User(longest.as_str().into()),
                &*format!("u{longest}"),
            ),
        ] {
            let text = cursor_text(&key);
            assert_eq!(text, want);
            assert_eq!(key_of_cursor(&text), Some(key));
        }
        let longer = format!("u{longest}n");
        for text in [
            "", "c", "u", "x", "ann", "Uann", "c0-1", "c0-1-2-3", "c00-1-2", "c0-1-G", "0-1-2",
            "é", &longer,
        ] {
            assert_eq!(key_of_cursor(text), None, "{text}");
        }
    }
}
