//! The keys of section `[sessions]`.

use super::key::{Key, ValueKind};
use crate::session::options::SessionOptions;
use shardcast_engine::SameUser;

pub(super) const WAITING: Key = Key {
    name: "limits.sessions",
    flag: None,
    what: "Sessions of each shard that wait for their clients (sessions.resume); of more, the one that has waited for longest ends.",
    kind: ValueKind::Count(SessionOptions::WAITING, |settings| {
        &mut settings.sessions.waiting_max
    }),
};
pub(super) const BYTES: Key = Key {
    name: "limits.session_bytes",
    flag: None,
    what: "Memory for these sessions, shared out evenly to the shards; beyond it those that have waited for longest end.",
    kind: ValueKind::Size(SessionOptions::BYTES, |settings| {
        &mut settings.sessions.bytes_max
    }),
};
pub(super) const RESUME: Key = Key {
    name: "sessions.resume",
    flag: None,
    what: "How long a session waits for its client after the connection was lost: a new connection that shows the token of its welcome (resume) goes on with its rooms, its identity and what was missed. none keeps nothing.",
    kind: ValueKind::SomeTime(SessionOptions::RESUME, |settings| {
        &mut settings.sessions.resume
    }),
};
pub(super) const SAME_USER: Key = Key {
    name: "sessions.same_user",
    flag: None,
    what: "What becomes of one connection more of a user that has as many as it may (max_per_user): replace closes the user's oldest with 4020, reject closes the new one with 4120, and so does allow, which takes any number unless max_per_user names one.",
    kind: ValueKind::Other("allow, replace or reject", |settings| {
        &mut settings.sessions.same_user
    }),
};
pub(super) const MAX_PER_USER: Key = Key {
    name: "sessions.max_per_user",
    flag: None,
    what: "Connections that one user may have at a time, in the whole process, or the whole cluster. none is 1 for replace and reject, and any number for allow.",
    kind: ValueKind::SomeCount(1..=SameUser::CONNECTIONS_MAX as usize, |settings| {
        &mut settings.sessions.per_user_max
    }),
};
