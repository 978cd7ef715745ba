//! Namespaces: which class a room belongs to by its name, and what that class permits to whom.
//!
//! Invariant: a room that [`Namespaces::find`] accepts obeys the limits of its namespace, and no
//! answer about a secret namespace reveals whether it exists. Built once, from code or from the
//! configuration; a look-up takes no lock and allocates nothing.

mod allowed;
mod denied;
mod exchange;
pub(crate) mod history;
mod map;
mod names;
mod owners;
mod presence;
mod presence_maps;
pub(crate) mod resolved;
mod who;

pub use denied::Denied;
pub use history::{History, RoomOrder};
pub use map::{ClientKey, MapOf, MapRecovery, PresenceMaps, RoomMap};
pub use names::{Characters, NameRules};
pub use owners::Owners;
pub use shardcast_engine::{AckOptions, Newcomers, PresenceOf, PresenceOptions, SlowReader};
pub use shardcast_protocol::dialect::ControlPolicy;
pub use who::{Caller, Roles, Who};

use history::Log;
use shardcast_engine::{LogClass, LogOptions, PresenceClass};
use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Every namespace of a server. Cloning is cheap: the clones share one table.
///
/// The room `chat:lobby` is in the namespace `chat`, named by what stands before the first colon; a
/// room without a colon is in the default namespace. As long as no namespace has a name, every room
/// is in the default one, with a colon or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespaces(Arc<NamespaceTable>);

#[derive(Debug, PartialEq, Eq)]
struct NamespaceTable {
    /// The namespace of rooms without a prefix.
    default: Class,
    named: HashMap<Box<str>, Class>,
    /// A namespace that permits nothing to anybody, for all rooms that must look as if they did not
    /// exist. It exists as soon as one namespace is secret: a different answer for unknown
    /// namespaces would reveal the secret one.
    void: Option<Class>,
    /// Whether joining or leaving a room of some namespace changes a map.
    changes_maps: bool,
    kept: Kept,
}

/// What rooms keep: each once, however many namespaces have the like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kept {
    /// By [`LogClass`].
    logs: Vec<Log>,
    /// By [`PresenceClass`].
    presence: Vec<PresenceOptions>,
}

/// A namespace with the classes of what its rooms keep.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Class {
    pub(crate) namespace: Namespace,
    /// Names of its rooms have a prefix and a colon.
    pub(crate) has_prefix: bool,
    pub(crate) log: Option<LogClass>,
    pub(crate) presence: Option<PresenceClass>,
}

impl Class {
    fn new(namespace: Namespace, prefix: Option<&str>, kept: &mut Kept) -> Class {
        let log = Log::of(namespace.history, namespace.slow_reader, namespace.map);
        Class {
            has_prefix: prefix.is_some(),
            log: log.map(|log| log.class(&mut kept.logs)),
            presence: (namespace.presence_events)
                .map(|options| presence::class(options, &mut kept.presence)),
            namespace,
        }
    }
}

/// What may be done in the rooms of one class, by whom. `Namespace::default()` lets everybody do
/// everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Who may join.
    pub join: Who,
    /// Who may publish to a room, as a member or not.
    pub publish: Who,
    /// Who may see the members of a room.
    pub presence: Who,
    /// Who may read what a room keeps, and recover from it: of those who are in it or may join it.
    pub history_read: Who,
    /// Whose the rooms are: nobody else may join them, publish to them, see their members or read
    /// what they keep, whatever the rules say, unless a token grants it.
    pub owners: Owners,
    /// What a room keeps; `None`: nothing.
    pub history: Option<History>,
    /// Whether a room is a map; `None`: it is not.
    pub map: Option<RoomMap>,
    /// What becomes of a member that reads more slowly than the room speaks. Everything but
    /// [`SlowReader::Disconnect`] makes a room keep a little also where it has no history.
    pub slow_reader: SlowReader,
    /// How a room tells its members of each other; `None`: it does not. With it, members may show
    /// data of theirs, and events say who comes and goes, to all members of the room.
    pub presence_events: Option<PresenceOptions>,
    /// Maps that hold who is in a room of this namespace.
    pub presence_maps: PresenceMaps,
    /// Whether a message comes back to its sender, unless the request says otherwise.
    pub echo: bool,
    /// Members that a room may have, within [`Namespace::MEMBERS`]. One more is refused.
    pub members_max: u32,
    /// What rooms may be called.
    pub names: NameRules,
    /// What happens to control characters in what is published.
    pub control_characters: ControlPolicy,
    /// Whether every refusal is the same, so that a client cannot distinguish what does not exist
    /// from what is not allowed.
    pub secret: bool,
    /// Whether clients that ask for them are sent deltas instead of whole publications.
    pub deltas: bool,
    /// Whether clients may have a filter of publications by their tags.
    pub tag_filters: bool,
}

impl Default for Namespace {
    fn default() -> Namespace {
        Namespace {
            join: Who::Anyone,
            publish: Who::Anyone,
            presence: Who::Anyone,
            history_read: Who::Anyone,
            owners: Owners::Nobody,
            history: None,
            map: None,
            slow_reader: SlowReader::Disconnect,
            presence_events: None,
            presence_maps: PresenceMaps::default(),
            echo: true,
            members_max: Namespace::MEMBERS_MAX_DEFAULT,
            names: NameRules::default(),
            control_characters: ControlPolicy::Allow,
            secret: false,
            deltas: true,
            tag_filters: true,
        }
    }
}

impl Namespace {
    /// Members that a room may have.
    pub const MEMBERS: RangeInclusive<u32> = 1..=10_000_000;
    /// Members that a room may have by default.
    pub const MEMBERS_MAX_DEFAULT: u32 = 1_000_000;
    /// Bytes of a namespace's name, each of `A-Z a-z 0-9 _ -`.
    pub const PREFIX_BYTES: RangeInclusive<usize> = 1..=64;

    /// Whether a namespace may be called so.
    pub fn is_prefix(name: &str) -> bool {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        Namespace::PREFIX_BYTES.contains(&name.len()) && name.bytes().all(fits)
    }

    /// The namespace that permits nothing.
    fn void() -> Namespace {
        Namespace {
            join: Who::Nobody,
            publish: Who::Nobody,
            presence: Who::Nobody,
            history_read: Who::Nobody,
            secret: true,
            ..Namespace::default()
        }
    }
}

/// How who asks for what a room keeps stands to the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In it, by whoever's doing.
    Member,
    /// Not in it.
    Stranger,
}

impl Namespaces {
    /// Namespaces that one server may have, beside the default one.
    pub const COUNT_MAX: usize = 1_000;

    /// The default namespace, and others by their names.
    ///
    /// # Errors
    /// The first namespace that breaks a rule.
    pub fn new<N: Into<String>>(
        default: Namespace,
        named: impl IntoIterator<Item = (N, Namespace)>,
    ) -> Result<Namespaces, NamespaceError> {
        check("", &default)?;
        let mut kept = Kept::default();
        let mut table = NamespaceTable {
            changes_maps: default.changes_maps(),
            void: None,
            named: HashMap::new(),
            default: Class::new(default, None, &mut kept),
            kept: Kept::default(),
        };
        for (name, namespace) in named {
            let name: String = name.into();
            if !Namespace::is_prefix(&name) {
                return Err(NamespaceError::Prefix(name));
            }
            check(&name, &namespace)?;
            if table.named.len() == Namespaces::COUNT_MAX {
                return Err(NamespaceError::TooMany);
            }
            if table.named.contains_key(&*name) {
                return Err(NamespaceError::Repeated(name));
            }
            table.changes_maps |= namespace.changes_maps();
            let class = Class::new(namespace, Some(&name), &mut kept);
            table.named.insert(name.into(), class);
        }
        let is_secret = |class: &Class| class.namespace.secret;
        let secret = is_secret(&table.default) || table.named.values().any(is_secret);
        table.void = secret.then(|| Class::new(Namespace::void(), None, &mut kept));
        table.kept = kept;
        let namespaces = Namespaces(Arc::new(table));
        namespaces.check_presence_maps()?;
        Ok(namespaces)
    }

    /// The default namespace alone: all rooms are in it.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn only(default: Namespace) -> Result<Namespaces, NamespaceError> {
        Namespaces::new(default, std::iter::empty::<(String, Namespace)>())
    }

    /// The namespace of a room, whose name obeys its rules.
    ///
    /// Secrecy: once a namespace is secret, an unknown one, and a name that breaks the rules of a
    /// secret one, are found in a namespace that lets nobody do anything. They are then refused
    /// where a known one refuses, with the same error, after the same work: one hash of the prefix,
    /// one pass over the name, one comparison of the caller. What is left is that of at most
    /// [`Roles::COUNT_MAX`] names of roles in memory, far below what a network lets a client
    /// measure.
    ///
    /// # Errors
    /// [`Denied::BadName`], or [`Denied::UnknownNamespace`] where no namespace is secret.
    pub fn find(&self, room: &str) -> Result<&Namespace, Denied> {
        self.class(room).map(|class| &class.namespace)
    }

    /// The same with the class of the room's log.
    pub(crate) fn class(&self, room: &str) -> Result<&Class, Denied> {
        self.class_or(room, self.0.void.as_ref())
    }

    /// The same, where this class stands for what is not to be told; `None`: all is told.
    fn class_or<'n>(&'n self, room: &str, void: Option<&'n Class>) -> Result<&'n Class, Denied> {
        let NamespaceTable { default, named, .. } = &*self.0;
        let prefixed = if named.is_empty() {
            None
        } else {
            room.split_once(':')
        };
        let (class, own) = match prefixed {
            Some((prefix, own)) => {
                // A prefix that is too long for a namespace is not hashed.
                let known = *Namespace::PREFIX_BYTES.end() >= prefix.len();
                let found = known.then(|| named.get(prefix)).flatten();
                let found = found.or(void);
                (found.ok_or(Denied::UnknownNamespace)?, own)
            }
            None => (default, room),
        };
        let NameRules {
            bytes_max,
            characters,
        } = class.namespace.names;
        if room.len() <= bytes_max && !own.is_empty() && characters.include(own) {
            return Ok(class);
        }
        void.filter(|_| class.namespace.secret)
            .ok_or(Denied::BadName(characters))
    }

    /// What rooms keep, as the engine is told ([`shardcast_engine::Config::logs`]), where no
    /// message is larger.
    pub fn logs(&self, message_bytes_max: usize) -> Vec<LogOptions> {
        let logs = self.0.kept.logs.iter();
        logs.map(|log| log.options(message_bytes_max)).collect()
    }

    /// How rooms know their members, as the engine is told
    /// ([`shardcast_engine::Config::presence`]).
    pub fn presence(&self) -> Vec<PresenceOptions> {
        self.0.kept.presence.clone()
    }

    /// Whether rooms of some namespace are ordered by the broker of a cluster.
    pub(crate) fn takes_a_broker(&self) -> bool {
        let NamespaceTable { default, named, .. } = &*self.0;
        let mut all = std::iter::once(default).chain(named.values());
        all.any(|class| {
            let history = class.namespace.history.as_ref();
            history.is_some_and(|history| history.order == RoomOrder::Broker)
        })
    }

    /// The namespace of rooms without a prefix.
    pub fn default_namespace(&self) -> &Namespace {
        &self.0.default.namespace
    }

    /// The namespace of this name. For operators and code that sets up handlers, not for clients:
    /// it keeps no secrets.
    pub fn get(&self, name: &str) -> Option<&Namespace> {
        self.0.named.get(name).map(|class| &class.namespace)
    }
}

impl Default for Namespaces {
    /// The default namespace alone, in which everybody may do everything.
    fn default() -> Namespaces {
        Namespaces::only(Namespace::default()).expect("the defaults obey their limits")
    }
}

/// What holds for a namespace of this name; the default one has none.
fn check(name: &str, namespace: &Namespace) -> Result<(), NamespaceError> {
    if !Namespace::MEMBERS.contains(&namespace.members_max) {
        return Err(NamespaceError::Members(name.to_owned()));
    }
    let least = NameRules::bytes_least(name);
    if !(least..=*NameRules::BYTES.end()).contains(&namespace.names.bytes_max) {
        return Err(NamespaceError::NameBytes(name.to_owned()));
    }
    let history = namespace.history.as_ref();
    let history = history.map_or(Ok(()), |history| history.check(namespace.slow_reader));
    history.map_err(|(field, rule)| NamespaceError::History(name.to_owned(), field, rule))?;
    if let Some(map) = &namespace.map {
        let history = namespace.history.as_ref();
        let is_possible = history.is_some_and(|history| history.order == RoomOrder::Fast)
            && RoomMap::has_all_changes(namespace.slow_reader);
        let possible = is_possible.then_some(()).ok_or(("", MAP_RULE));
        let checked = possible.and_then(|()| map.check());
        checked.map_err(|(field, rule)| NamespaceError::Map(name.to_owned(), field, rule))?;
    }
    let presence = namespace.presence_events.as_ref();
    let presence = presence.map_or(Ok(()), presence::check);
    presence.map_err(|(field, rule)| NamespaceError::Presence(name.to_owned(), field, rule))
}

const MAP_RULE: &str = "none without history of the order fast, and where slow readers miss keys";

/// Why there can be no such namespaces. The name of the default namespace is empty here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceError {
    /// The name is not 1 to 64 of `A-Z a-z 0-9 _ -`.
    Prefix(String),
    /// Two have this name.
    Repeated(String),
    /// More than [`Namespaces::COUNT_MAX`].
    TooMany,
    /// `members_max` is outside [`Namespace::MEMBERS`].
    Members(String),
    /// `names.bytes_max` leaves no room for a name behind the prefix, or is more than an engine
    /// takes.
    NameBytes(String),
    /// A field of `history` is out of its range: which, and what it must be.
    History(String, &'static str, &'static str),
    /// `map`, or a field of it, is out of its range, likewise.
    Map(String, &'static str, &'static str),
    /// A field of `presence_events` is out of its range, likewise.
    Presence(String, &'static str, &'static str),
    /// A field of `presence_maps` leads to no such namespace, likewise.
    PresenceMap(String, &'static str, &'static str),
}

impl fmt::Display for NamespaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NamespaceError::Prefix(name) => write!(
                f,
                "namespace {name:?} must be called by {} to {} characters of A-Z, a-z, 0-9, _ and -",
                Namespace::PREFIX_BYTES.start(),
                Namespace::PREFIX_BYTES.end()
            ),
            NamespaceError::Repeated(name) => write!(f, "there are two namespaces {name:?}"),
            NamespaceError::TooMany => write!(
                f,
                "a server may have {} namespaces beside the default one",
                Namespaces::COUNT_MAX
            ),
            NamespaceError::Members(name) => write!(
                f,
                "members_max of {} must be from {} to {}",
                called(name),
                Namespace::MEMBERS.start(),
                Namespace::MEMBERS.end()
            ),
            NamespaceError::NameBytes(name) => write!(
                f,
                "names.bytes_max of {} must be from {} to {}",
                called(name),
                NameRules::bytes_least(name),
                NameRules::BYTES.end()
            ),
            NamespaceError::History(name, field, rule) => {
                write!(f, "history.{field} of {} must be {rule}", called(name))
            }
            NamespaceError::Map(name, "", rule) => {
                write!(f, "map of {} must be {rule}", called(name))
            }
            NamespaceError::Map(name, field, rule) => {
                write!(f, "map.{field} of {} must be {rule}", called(name))
            }
            NamespaceError::Presence(name, field, rule) => {
                let of = called(name);
                write!(f, "presence_events.{field} of {of} must be {rule}")
            }
            NamespaceError::PresenceMap(name, field, rule) => {
                let of = called(name);
                write!(f, "presence_maps.{field} of {of} must be {rule}")
            }
        }
    }
}

impl std::error::Error for NamespaceError {}

fn called(name: &str) -> String {
    match name {
        "" => "the default namespace".to_owned(),
        name => format!("namespace {name:?}"),
    }
}

#[cfg(test)]
mod tests;
