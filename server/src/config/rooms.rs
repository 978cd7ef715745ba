//! What rooms are configured to be: the keys of section `[rooms]`, which are the options of every `[namespaces.NAME]`, too.
//!
//! Each option has one [`Key`]. A namespace is read and shown as if it were section `[rooms]` of settings of its own.

use super::Settings;
use super::key::{Key, Kind};
use super::value::{Word, show_size, size};
use crate::namespace::{Characters, ControlPolicy, NameRules, Namespace, Roles, Who};

/// One namespace as it is configured. Only its name and the limits of the engine tell whether it can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rooms {
    join: Who,
    publish: Who,
    presence: Who,
    echo: bool,
    members_max: usize,
    pub(super) name_bytes_max: NameLimit,
    characters: Characters,
    control_characters: ControlPolicy,
    secret: bool,
}

impl Default for Rooms {
    fn default() -> Rooms {
        let Namespace {
            join,
            publish,
            presence,
            echo,
            members_max,
            names,
            control_characters,
            secret,
        } = Namespace::default();
        Rooms {
            join,
            publish,
            presence,
            echo,
            members_max: members_max as usize,
            name_bytes_max: NameLimit::Same,
            characters: names.characters,
            control_characters,
            secret,
        }
    }
}

impl Rooms {
    /// The namespace, where names of rooms have at most so many bytes. The key's range keeps the members few.
    pub(super) fn namespace(&self, name_bytes_max: usize) -> Namespace {
        Namespace {
            join: self.join.clone(),
            publish: self.publish.clone(),
            presence: self.presence.clone(),
            echo: self.echo,
            members_max: u32::try_from(self.members_max).unwrap_or(u32::MAX),
            names: NameRules {
                bytes_max: self.name_bytes_max.or(name_bytes_max),
                characters: self.characters,
            },
            control_characters: self.control_characters,
            secret: self.secret,
        }
    }

    /// Settings that differ from the defaults in section `[rooms]` alone, where keys find it.
    pub(super) fn into_settings(self) -> Settings {
        Settings {
            rooms: self,
            ..Settings::default()
        }
    }
}

/// Longest name in one namespace, where the engine has a limit for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameLimit {
    /// The engine's.
    Same,
    /// In bytes.
    Bytes(usize),
}

impl NameLimit {
    pub(super) fn or(self, other: usize) -> usize {
        match self {
            NameLimit::Same => other,
            NameLimit::Bytes(bytes) => bytes,
        }
    }
}

impl Word for NameLimit {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "same" => NameLimit::Same,
            bytes => {
                NameLimit::Bytes(size(bytes).filter(|bytes| NameRules::BYTES.contains(bytes))?)
            }
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            NameLimit::Same => "same".to_owned(),
            NameLimit::Bytes(bytes) => show_size(*bytes),
        }
    }
}

impl Word for Who {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            ANYONE => Who::Anyone,
            USERS => Who::Users,
            NOBODY => Who::Nobody,
            list => {
                let list = list.strip_prefix('[')?.strip_suffix(']')?;
                let roles = || list.split(',').map(str::trim);
                // In a list they are a mistake: no one role is everybody.
                if roles().any(|role| [ANYONE, USERS, NOBODY].contains(&role)) {
                    return None;
                }
                Who::Roles(Roles::new(roles())?)
            }
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            Who::Anyone => ANYONE.to_owned(),
            Who::Users => USERS.to_owned(),
            Who::Nobody => NOBODY.to_owned(),
            Who::Roles(roles) => format!("[{}]", roles.iter().collect::<Vec<_>>().join(",")),
        }
    }
}

impl Word for Characters {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "any" => Characters::Any,
            "ascii" => Characters::Ascii,
            "alphanumeric" => Characters::Alphanumeric,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            Characters::Any => "any".to_owned(),
            Characters::Ascii => "ascii".to_owned(),
            Characters::Alphanumeric => "alphanumeric".to_owned(),
        }
    }
}

impl Word for ControlPolicy {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "allow" => ControlPolicy::Allow,
            "strip" => ControlPolicy::Strip,
            "reject" => ControlPolicy::Reject,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            ControlPolicy::Allow => "allow".to_owned(),
            ControlPolicy::Strip => "strip".to_owned(),
            ControlPolicy::Reject => "reject".to_owned(),
        }
    }
}

pub(super) const JOIN: Key = Key {
    name: "rooms.join",
    flag: None,
    what: "Who may join. This section is about rooms of the default namespace; [namespaces.NAME] says the same of others.",
    kind: Kind::Who(|settings| &mut settings.rooms.join),
};
pub(super) const PUBLISH: Key = Key {
    name: "rooms.publish",
    flag: None,
    what: "Who may publish to a room, whether in it or not.",
    kind: Kind::Who(|settings| &mut settings.rooms.publish),
};
pub(super) const PRESENCE: Key = Key {
    name: "rooms.presence",
    flag: None,
    what: "Who may see the members of a room.",
    kind: Kind::Who(|settings| &mut settings.rooms.presence),
};
pub(super) const ECHO: Key = Key {
    name: "rooms.echo",
    flag: None,
    what: "Whether a message comes back to its sender when the request does not say.",
    kind: Kind::Word("true or false", |settings| &mut settings.rooms.echo),
};
pub(super) const MAX_MEMBERS: Key = Key {
    name: "rooms.max_members",
    flag: None,
    what: "Members that one room may have; one more is answered room_full.",
    kind: Kind::Count(
        *Namespace::MEMBERS.start() as usize..=*Namespace::MEMBERS.end() as usize,
        |settings| &mut settings.rooms.members_max,
    ),
};
pub(super) const MAX_NAME_BYTES: Key = Key {
    name: "rooms.max_name_bytes",
    flag: None,
    what: "Longest name of a room, prefix and colon included; same is limits.max_room_name_bytes. A longer one is answered bad_request.",
    kind: Kind::Word(
        "same, or bytes, or a number with KiB, MiB or GiB, from 1 to 4KiB",
        |settings| &mut settings.rooms.name_bytes_max,
    ),
};
pub(super) const NAME_CHARACTERS: Key = Key {
    name: "rooms.name_characters",
    flag: None,
    what: "What names consist of, behind prefix and colon: any but control characters, ascii (printable), or alphanumeric (A-Z, a-z, 0-9, _, . and -).",
    kind: Kind::Word("any, ascii or alphanumeric", |settings| {
        &mut settings.rooms.characters
    }),
};
pub(super) const CONTROL_CHARACTERS: Key = Key {
    name: "rooms.control_characters",
    flag: None,
    what: "What happens to control characters in what is published: allow delivers them, strip leaves them out, reject answers bad_request.",
    kind: Kind::Word("allow, strip or reject", |settings| {
        &mut settings.rooms.control_characters
    }),
};
pub(super) const SECRET: Key = Key {
    name: "rooms.secret",
    flag: None,
    what: "Answers every refusal with the same forbidden, so that nobody can tell what does not exist from what is not allowed.",
    kind: Kind::Word("true or false", |settings| &mut settings.rooms.secret),
};

/// What a value that says who must be.
pub(super) const WHO_RULE: &str = "anyone, users, nobody or a list of 1 to 32 roles, such as [moderator,member], each another word of 1 to 64 characters of A-Z, a-z, 0-9 and _.:/-";
const _: () = assert!(
    Roles::COUNT_MAX == 32
        && *Roles::NAME_BYTES.end() == 64
        && *NameRules::BYTES.end() == 4 << 10
        && *NameRules::BYTES.start() == 1,
    "the rules name these limits"
);

const ANYONE: &str = "anyone";
const USERS: &str = "users";
const NOBODY: &str = "nobody";
