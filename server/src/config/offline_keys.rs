//! The keys of section `[offline]`.

use super::key::{Key, ValueKind};
use crate::session::offline::OfflineOptions;

pub(super) const USERS: Key = Key {
    name: "limits.offline_users",
    flag: None,
    what: "Users of each shard for whom messages may wait (offline.messages); what is said to one more is dropped, and its report says so.",
    kind: ValueKind::Count(OfflineOptions::USERS, |settings| {
        &mut settings.offline.users_max
    }),
};
pub(super) const MESSAGES: Key = Key {
    name: "offline.messages",
    flag: None,
    what: "Messages that wait for a user who has no connection, until the next one has them; the oldest go first. none keeps nothing: what is said to nobody is lost.",
    kind: ValueKind::SomeCount(
        *OfflineOptions::MESSAGES.start() as usize..=*OfflineOptions::MESSAGES.end() as usize,
        |settings| &mut settings.offline.messages,
    ),
};
pub(super) const BYTES: Key = Key {
    name: "offline.bytes",
    flag: None,
    what: "Bytes that these may have for one user, 128 for each besides. At least max_message_bytes and 1KiB more. They count towards limits.log_bytes.",
    kind: ValueKind::Size(OfflineOptions::BYTES, |settings| {
        &mut settings.offline.bytes
    }),
};
pub(super) const TTL: Key = Key {
    name: "offline.ttl",
    flag: None,
    what: "How long a message waits.",
    kind: ValueKind::Time(OfflineOptions::AGE, |settings| &mut settings.offline.ttl),
};
