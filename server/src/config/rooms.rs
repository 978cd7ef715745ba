//! What rooms are configured to be: the values of section `[rooms]`, and of every
//! `[namespaces.NAME]`.

use super::value::{ConfigValue, OwnSize};
use crate::namespace::{Characters, ControlPolicy, NameRules, Namespace, Roles, Who};

/// One namespace as it is configured. Whether it is possible depends on its name and on the limits
/// of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rooms {
    pub(super) join: Who,
    pub(super) publish: Who,
    pub(super) presence: Who,
    pub(super) echo: bool,
    pub(super) members_max: usize,
    pub(super) name_bytes_max: OwnSize,
    pub(super) characters: Characters,
    pub(super) control_characters: ControlPolicy,
    pub(super) secret: bool,
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
            name_bytes_max: OwnSize::Same,
            characters: names.characters,
            control_characters,
            secret,
        }
    }
}

impl Rooms {
    /// The namespace, where names of rooms have at most so many bytes. The key's range keeps the
    /// members few.
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
}

impl ConfigValue for Who {
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

impl ConfigValue for Characters {
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

impl ConfigValue for ControlPolicy {
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

/// The rule for a value of type [`Who`].
pub(super) const WHO_RULE: &str = "anyone, users, nobody or a list of 1 to 32 roles, such as [moderator,member], each another word of 1 to 64 characters of A-Z, a-z, 0-9 and _.:/-";
const _: () = assert!(
    Roles::COUNT_MAX == 32 && *Roles::NAME_BYTES.end() == 64,
    "the rules name these limits"
);

const ANYONE: &str = "anyone";
const USERS: &str = "users";
const NOBODY: &str = "nobody";
