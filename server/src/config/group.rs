//! Tables of the file that the user names: classes of rooms, keys and sets of keys of tokens. Each
//! kind of them is a group with keys of its own.
//!
//! Invariant: a group's tables stand in the file alone; flags and variables have no words for their
//! names. Named by what was given, by the check and by the pages.

use super::auth_keys;
use super::key::Key;
use super::keys::KEYS;
use super::limit_keys;
use crate::auth::options::Auth;
use crate::limits::rules::RateLimits;
use crate::namespace::{Namespace, Namespaces, Roles};

/// One kind of named table.
pub(super) struct Group {
    /// What stands before the name: `namespaces`, or `auth.keys`.
    pub(super) path: &'static str,
    /// One of its tables, for a sentence.
    pub(super) what: &'static str,
    /// Several of them.
    pub(super) plural: &'static str,
    /// How one begins in a file.
    pub(super) example: &'static str,
    /// How many there may be.
    pub(super) count_max: usize,
    /// How one may be called: the test, and the rule in words.
    pub(super) is_name: fn(&str) -> bool,
    pub(super) name_rule: &'static str,
    /// All keys among which those of the group are.
    all_keys: &'static [Key],
    /// Their section there.
    section: &'static str,
    /// Whether a key of that section is one of the group's.
    has: fn(&Key) -> bool,
}

/// Classes of rooms. Their options are those of `[rooms]`.
pub(super) static NAMESPACES: Group = Group {
    path: "namespaces",
    what: "namespace",
    plural: "namespaces",
    example: "[namespaces.chat]",
    count_max: Namespaces::COUNT_MAX,
    is_name: Namespace::is_prefix,
    name_rule: "must be called by 1 to 64 characters of A-Z, a-z, 0-9, _ and -",
    all_keys: KEYS,
    section: "rooms",
    has: |_| true,
};

/// Keys that check tokens.
pub(super) static TOKEN_KEYS: Group = Group {
    path: "auth.keys",
    what: "key",
    plural: "keys of tokens",
    example: "[auth.keys.main]",
    count_max: Auth::KEYS_MAX,
    is_name: Namespace::is_prefix,
    name_rule: "must be called by 1 to 64 characters of A-Z, a-z, 0-9, _ and -",
    all_keys: auth_keys::OF_KEYS,
    section: "key",
    has: |_| true,
};

/// Limits of clients in a role: what `[limits]` says of one client.
pub(super) static ROLES: Group = Group {
    path: "roles",
    what: "role",
    plural: "roles",
    example: "[roles.bot]",
    count_max: RateLimits::ROLES_MAX,
    is_name: |name| Roles::new([name]).is_some(),
    name_rule: "must be called by 1 to 64 characters of A-Z, a-z, 0-9 and _.:/-",
    all_keys: KEYS,
    section: "limits",
    has: limit_keys::is_of_clients,
};

/// Sets of such keys that somebody else keeps.
pub(super) static KEY_SETS: Group = Group {
    path: "auth.jwks",
    what: "set of keys",
    plural: "sets of keys",
    example: "[auth.jwks.main]",
    count_max: Auth::SETS_MAX,
    is_name: Namespace::is_prefix,
    name_rule: "must be called by 1 to 64 characters of A-Z, a-z, 0-9, _ and -",
    all_keys: auth_keys::OF_SETS,
    section: "set",
    has: |_| true,
};

/// Every group.
pub(super) static GROUPS: [&Group; 4] = [&NAMESPACES, &TOKEN_KEYS, &KEY_SETS, &ROLES];

impl Group {
    /// The group of this path.
    pub(super) fn at(path: &str) -> Option<&'static Group> {
        GROUPS.into_iter().find(|group| group.path == path)
    }

    /// The group of a key of one of its tables, as a flag or a variable would name it.
    pub(super) fn of_key(name: &str) -> Option<&'static Group> {
        GROUPS.into_iter().find(|group| {
            let rest = name.strip_prefix(group.path);
            rest.is_some_and(|rest| rest.starts_with('.'))
        })
    }

    /// Its keys.
    pub(super) fn keys(&self) -> impl DoubleEndedIterator<Item = &'static Key> {
        let (section, has) = (self.section, self.has);
        let keys = self.all_keys.iter();
        keys.filter(move |key| key.parts().0 == section && has(key))
    }

    /// Its key of this name.
    pub(super) fn key(&self, option: &str) -> Option<&'static Key> {
        self.keys().find(|key| key.parts().1 == option)
    }

    /// A key of one of its tables, in full.
    pub(super) fn option(&self, table: &str, key: &Key) -> String {
        format!("{}.{table}.{}", self.path, key.parts().1)
    }
}
