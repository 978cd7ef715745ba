//! What rooms are configured to be: the values of section `[rooms]`, and of every
//! `[namespaces.NAME]`.

use super::value::{ConfigValue, OwnSize};
use crate::namespace::{
    AckOptions, Characters, ClientKey, ControlPolicy, History, MapOf, MapRecovery, NameRules,
    Namespace, Newcomers, Owners, PresenceMaps, PresenceOf, PresenceOptions, Roles, RoomMap,
    RoomOrder, SlowReader, Who,
};
use std::time::Duration;

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
    /// Publications that are kept; `None`: none, and the following says nothing.
    pub(super) history: Option<usize>,
    pub(super) history_bytes: usize,
    pub(super) history_ttl: Duration,
    pub(super) history_read: Who,
    pub(super) owners: Owners,
    pub(super) last: Newcomers,
    pub(super) idempotency: Option<Duration>,
    pub(super) epoch_ttl: Duration,
    pub(super) slow_reader: SlowReader,
    pub(super) order: RoomOrder,
    /// Whether members acknowledge; if not, the following two say nothing.
    pub(super) acks: bool,
    pub(super) ack_timeout: Duration,
    pub(super) ack_attempts: usize,
    /// Whether members are told of each other; if not, the following says nothing.
    pub(super) presence_events: bool,
    pub(super) presence_grace: Duration,
    pub(super) presence_events_members_max: usize,
    pub(super) presence_of: PresenceOf,
    pub(super) deltas: bool,
    pub(super) tag_filters: bool,
    /// Whether a room is a map; if not, the following seven say nothing.
    pub(super) map: bool,
    pub(super) map_keys: usize,
    pub(super) map_bytes: usize,
    pub(super) map_key_ttl: Option<Duration>,
    pub(super) map_client_key: ClientKey,
    pub(super) map_remove_left: bool,
    pub(super) map_recovery: MapRecovery,
    pub(super) map_of: MapOf,
    pub(super) presence_connections: Option<String>,
    pub(super) presence_users: Option<String>,
}

impl Default for Rooms {
    fn default() -> Rooms {
        let Namespace {
            join,
            publish,
            presence,
            history_read,
            owners,
            history: _,
            map,
            slow_reader,
            presence_events,
            presence_maps,
            echo,
            members_max,
            names,
            control_characters,
            secret,
            deltas,
            tag_filters,
        } = Namespace::default();
        let history = History::default();
        let members = PresenceOptions::default();
        let keys = RoomMap::default();
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
            history: None,
            history_bytes: history.bytes_max,
            history_ttl: history.ttl,
            history_read,
            owners,
            last: history.last,
            idempotency: history.idempotency,
            epoch_ttl: history.epoch_ttl,
            slow_reader,
            order: history.order,
            acks: history.acks.is_some(),
            ack_timeout: AckOptions::default().timeout,
            ack_attempts: AckOptions::default().attempts_max as usize,
            presence_events: presence_events.is_some(),
            presence_grace: members.grace,
            presence_events_members_max: members.events_members_max as usize,
            presence_of: members.of,
            deltas,
            tag_filters,
            map: map.is_some(),
            map_keys: keys.keys_max as usize,
            map_bytes: keys.bytes_max,
            map_key_ttl: keys.key_ttl,
            map_client_key: keys.client_key,
            map_remove_left: keys.remove_left,
            map_recovery: keys.recovery,
            map_of: keys.of,
            presence_connections: presence_maps.connections,
            presence_users: presence_maps.users,
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
            history_read: self.history_read.clone(),
            owners: self.owners,
            history: self.history.map(|publications| self.history(publications)),
            slow_reader: self.slow_reader,
            presence_events: self.presence_events.then(|| self.members()),
            deltas: self.deltas,
            tag_filters: self.tag_filters,
            map: self.map.then(|| self.map()),
            presence_maps: PresenceMaps {
                connections: self.presence_connections.clone(),
                users: self.presence_users.clone(),
            },
        }
    }

    /// The same in everything but what rooms keep, and how they know their members: that is as
    /// `old` has it.
    pub(super) fn keeping_as(&self, old: &Rooms) -> Rooms {
        Rooms {
            history: old.history,
            history_bytes: old.history_bytes,
            history_ttl: old.history_ttl,
            last: old.last,
            idempotency: old.idempotency,
            epoch_ttl: old.epoch_ttl,
            slow_reader: old.slow_reader,
            order: old.order,
            acks: old.acks,
            ack_timeout: old.ack_timeout,
            ack_attempts: old.ack_attempts,
            presence_events: old.presence_events,
            presence_grace: old.presence_grace,
            presence_events_members_max: old.presence_events_members_max,
            presence_of: old.presence_of,
            map: old.map,
            map_keys: old.map_keys,
            map_bytes: old.map_bytes,
            map_key_ttl: old.map_key_ttl,
            map_client_key: old.map_client_key,
            map_remove_left: old.map_remove_left,
            map_recovery: old.map_recovery,
            map_of: old.map_of,
            ..self.clone()
        }
    }

    /// The key's range keeps the keys few.
    fn map(&self) -> RoomMap {
        RoomMap {
            keys_max: u32::try_from(self.map_keys).unwrap_or(u32::MAX),
            bytes_max: self.map_bytes,
            key_ttl: self.map_key_ttl,
            client_key: self.map_client_key,
            remove_left: self.map_remove_left,
            of: self.map_of,
            recovery: self.map_recovery,
        }
    }

    /// The key's range keeps the members few.
    fn members(&self) -> PresenceOptions {
        let events_members_max = self.presence_events_members_max;
        PresenceOptions {
            of: self.presence_of,
            grace: self.presence_grace,
            events_members_max: u32::try_from(events_members_max).unwrap_or(u32::MAX),
        }
    }

    /// The key's range keeps the publications few.
    fn history(&self, publications: usize) -> History {
        History {
            publications_max: u32::try_from(publications).unwrap_or(u32::MAX),
            bytes_max: self.history_bytes,
            ttl: self.history_ttl,
            epoch_ttl: self.epoch_ttl,
            idempotency: self.idempotency,
            last: self.last,
            acks: self.acks.then(|| AckOptions {
                timeout: self.ack_timeout,
                attempts_max: u32::try_from(self.ack_attempts).unwrap_or(u32::MAX),
            }),
            order: self.order,
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

impl ConfigValue for Owners {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            NOBODY => Owners::Nobody,
            "name" => Owners::Name,
            "list" => Owners::List,
            "hash" => Owners::ListBehindHash,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            Owners::Nobody => NOBODY.to_owned(),
            Owners::Name => "name".to_owned(),
            Owners::List => "list".to_owned(),
            Owners::ListBehindHash => "hash".to_owned(),
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

impl ConfigValue for Newcomers {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "none" => Newcomers::Nothing,
            "newest" => Newcomers::Newest,
            "newest_by_key" => Newcomers::NewestByKey,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            Newcomers::Nothing => "none".to_owned(),
            Newcomers::Newest => "newest".to_owned(),
            Newcomers::NewestByKey => "newest_by_key".to_owned(),
        }
    }
}

impl ConfigValue for SlowReader {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "disconnect" => SlowReader::Disconnect,
            "drop_oldest" => SlowReader::DropOldest,
            "drop_newest" => SlowReader::DropNewest,
            "conflate" => SlowReader::Conflate,
            "catch_up" => SlowReader::CatchUp,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            SlowReader::Disconnect => "disconnect".to_owned(),
            SlowReader::DropOldest => "drop_oldest".to_owned(),
            SlowReader::DropNewest => "drop_newest".to_owned(),
            SlowReader::Conflate => "conflate".to_owned(),
            SlowReader::CatchUp => "catch_up".to_owned(),
        }
    }
}

impl ConfigValue for ClientKey {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "any" => ClientKey::Any,
            "connection" => ClientKey::Connection,
            "user" => ClientKey::User,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            ClientKey::Any => "any".to_owned(),
            ClientKey::Connection => "connection".to_owned(),
            ClientKey::User => "user".to_owned(),
        }
    }
}

impl ConfigValue for MapOf {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "published" => MapOf::Published,
            "connections" => MapOf::Connections,
            "users" => MapOf::Users,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            MapOf::Published => "published".to_owned(),
            MapOf::Connections => "connections".to_owned(),
            MapOf::Users => "users".to_owned(),
        }
    }
}

impl ConfigValue for MapRecovery {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "changes" => MapRecovery::Changes,
            "state" => MapRecovery::State,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            MapRecovery::Changes => "changes".to_owned(),
            MapRecovery::State => "state".to_owned(),
        }
    }
}

impl ConfigValue for RoomOrder {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "fast" => RoomOrder::Fast,
            "broker" => RoomOrder::Broker,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            RoomOrder::Fast => "fast".to_owned(),
            RoomOrder::Broker => "broker".to_owned(),
        }
    }
}

impl ConfigValue for PresenceOf {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "connections" => PresenceOf::Connections,
            "users" => PresenceOf::Users,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            PresenceOf::Connections => "connections".to_owned(),
            PresenceOf::Users => "users".to_owned(),
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
