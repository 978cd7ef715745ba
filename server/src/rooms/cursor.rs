//! Where a page of members ends, as clients are told it and say it again: a text that they do not
//! interpret.
//!
//! Invariant: one text for each key, and a text that is none of ours is none of any key. Read and
//! written by the dispatch.

use crate::broker::Cluster;
use crate::session::identity::Identity;
use crate::wire::connection_id::ConnectionId;
use shardcast_engine::{PresenceKey, PresentMember};

/// By what a member is known.
pub(crate) fn key_of(member: &PresentMember) -> Option<PresenceKey> {
    match (member.connection, &member.elsewhere, &member.user) {
        (Some(connection), _, _) => Some(PresenceKey::Connection(connection)),
        (None, Some(name), _) => Some(PresenceKey::Elsewhere(name.clone())),
        (None, None, Some(user)) => Some(PresenceKey::User(user.clone())),
        (None, None, None) => None,
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
        PresenceKey::Elsewhere(name) => format!("{ELSEWHERE}{name}"),
    }
}

/// The key of a text. `None`: the text is none of ours.
pub(crate) fn key_of_cursor(text: &str) -> Option<PresenceKey> {
    if let Some(user) = text.strip_prefix(USER) {
        return Identity::is_name(user).then(|| PresenceKey::User(user.into()));
    }
    if let Some(name) = text.strip_prefix(ELSEWHERE) {
        return is_elsewhere(name).then(|| PresenceKey::Elsewhere(name.into()));
    }
    let id: ConnectionId = text.strip_prefix(CONNECTION)?.parse().ok()?;
    Some(PresenceKey::Connection(id.0))
}

const CONNECTION: char = 'c';
const USER: char = 'u';
const ELSEWHERE: char = 'e';

/// Whether a connection of another node may be called so: its id, `@` and the node's name.
pub(crate) fn is_elsewhere(name: &str) -> bool {
    name.split_once('@')
        .is_some_and(|(id, node)| id.parse::<ConnectionId>().is_ok() && Cluster::is_name(node))
}

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
            (
                PresenceKey::Elsewhere("0-1f-3@web_2".into()),
                "e0-1f-3@web_2",
            ),
        ] {
            let text = cursor_text(&key);
            assert_eq!(text, want);
            assert_eq!(key_of_cursor(&text), Some(key));
        }
        let longer = format!("u{longest}n");
        for text in [
            "",
            "c",
            "u",
            "x",
            "ann",
            "Uann",
            "c0-1",
            "c0-1-2-3",
            "c00-1-2",
            "c0-1-G",
            "0-1-2",
            "é",
            &longer,
            "e",
            "e0-1-2",
            "e0-1-2@",
            "e0-1@a",
            "e0-1-2@a b",
        ] {
            assert_eq!(key_of_cursor(text), None, "{text}");
        }
    }
}
