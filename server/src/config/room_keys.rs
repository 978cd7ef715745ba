//! The keys of section `[rooms]`, which are the options of every `[namespaces.NAME]`, too.
//!
//! A namespace is read and shown as if it were section `[rooms]` of settings of its own.

use super::key::{Key, ValueKind};
use crate::namespace::{NameRules, Namespace};

pub(super) const JOIN: Key = Key {
    name: "rooms.join",
    flag: None,
    what: "Who may join. This section is about rooms of the default namespace; [namespaces.NAME] says the same of others.",
    kind: ValueKind::Who(|settings| &mut settings.rooms.join),
};
pub(super) const PUBLISH: Key = Key {
    name: "rooms.publish",
    flag: None,
    what: "Who may publish to a room, whether in it or not.",
    kind: ValueKind::Who(|settings| &mut settings.rooms.publish),
};
pub(super) const PRESENCE: Key = Key {
    name: "rooms.presence",
    flag: None,
    what: "Who may see the members of a room.",
    kind: ValueKind::Who(|settings| &mut settings.rooms.presence),
};
pub(super) const ECHO: Key = Key {
    name: "rooms.echo",
    flag: None,
    what: "Whether a message comes back to its sender when the request does not say.",
    kind: ValueKind::Other("true or false", |settings| &mut settings.rooms.echo),
};
pub(super) const MAX_MEMBERS: Key = Key {
    name: "rooms.max_members",
    flag: None,
    what: "Members that one room may have; one more is answered room_full.",
    kind: ValueKind::Count(
        *Namespace::MEMBERS.start() as usize..=*Namespace::MEMBERS.end() as usize,
        |settings| &mut settings.rooms.members_max,
    ),
};
pub(super) const MAX_NAME_BYTES: Key = Key {
    name: "rooms.max_name_bytes",
    flag: None,
    what: "Longest name of a room, prefix and colon included; same is limits.max_room_name_bytes. A longer one is answered bad_request.",
    kind: ValueKind::OwnSize(NameRules::BYTES, |settings| {
        &mut settings.rooms.name_bytes_max
    }),
};
pub(super) const NAME_CHARACTERS: Key = Key {
    name: "rooms.name_characters",
    flag: None,
    what: "What names consist of, behind prefix and colon: any but control characters, ascii (printable), or alphanumeric (A-Z, a-z, 0-9, _, . and -).",
    kind: ValueKind::Other("any, ascii or alphanumeric", |settings| {
        &mut settings.rooms.characters
    }),
};
pub(super) const CONTROL_CHARACTERS: Key = Key {
    name: "rooms.control_characters",
    flag: None,
    what: "What happens to control characters in what is published: allow delivers them, strip leaves them out, reject answers bad_request.",
    kind: ValueKind::Other("allow, strip or reject", |settings| {
        &mut settings.rooms.control_characters
    }),
};
pub(super) const SECRET: Key = Key {
    name: "rooms.secret",
    flag: None,
    what: "Answers every refusal with the same forbidden, so that nobody can tell what does not exist from what is not allowed.",
    kind: ValueKind::Other("true or false", |settings| &mut settings.rooms.secret),
};
