//! The keys of section `[sessions]`.

use super::key::{Key, ValueKind};
use shardcast_engine::SameUser;

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
    what: "Connections that one user may have at a time, in the whole process. none is 1 for replace and reject, and any number for allow.",
    kind: ValueKind::SomeCount(1..=SameUser::CONNECTIONS_MAX as usize, |settings| {
        &mut settings.sessions.per_user_max
    }),
};
