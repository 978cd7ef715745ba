//! The keys of section `[rooms]`, which are the options of every `[namespaces.NAME]`, too.
//!
//! A namespace is read and shown as if it were section `[rooms]` of settings of its own.

use super::key::{Key, ValueKind};
use crate::namespace::{AckOptions, History, NameRules, Namespace, PresenceOptions, RoomMap};
use std::time::Duration;

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
pub(super) const OWNED_BY: Key = Key {
    name: "rooms.owned_by",
    flag: None,
    what: "Whose the rooms are, by their names behind prefix and colon: nobody's, the user's who is called so (name), or the users' who are listed with commas between (list), or so behind a # (hash: without one it is nobody's). To others a room is closed whatever the keys above say, unless a token grants it.",
    kind: ValueKind::Other("nobody, name, list or hash", |settings| {
        &mut settings.rooms.owners
    }),
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
pub(super) const HISTORY: Key = Key {
    name: "rooms.history",
    flag: None,
    what: "Publications that a room keeps, for clients that ask for them or come back (since); the oldest go first. none keeps nothing: no epochs, offsets and keys.",
    kind: ValueKind::SomeCount(
        *History::PUBLICATIONS.start() as usize..=*History::PUBLICATIONS.end() as usize,
        |settings| &mut settings.rooms.history,
    ),
};
pub(super) const HISTORY_BYTES: Key = Key {
    name: "rooms.history_bytes",
    flag: None,
    what: "Bytes that they may have, as they are delivered. At least max_message_bytes and 1KiB more.",
    kind: ValueKind::Size(History::BYTES, |settings| &mut settings.rooms.history_bytes),
};
pub(super) const HISTORY_TTL: Key = Key {
    name: "rooms.history_ttl",
    flag: None,
    what: "How long a publication is kept.",
    kind: ValueKind::Time(History::AGE, |settings| &mut settings.rooms.history_ttl),
};
pub(super) const HISTORY_READ: Key = Key {
    name: "rooms.history_read",
    flag: None,
    what: "Who may read what a room keeps, and recover from it: of those who are in the room or may join it.",
    kind: ValueKind::Who(|settings| &mut settings.rooms.history_read),
};
pub(super) const LAST: Key = Key {
    name: "rooms.last",
    flag: None,
    what: "What a client that joins is sent at once: none, the newest publication, or the newest of each conflation key. Takes history.",
    kind: ValueKind::Other("none, newest or newest_by_key", |settings| {
        &mut settings.rooms.last
    }),
};
pub(super) const IDEMPOTENCY: Key = Key {
    name: "rooms.idempotency",
    flag: None,
    what: "How long a publish with the key of an earlier one is not published again, but answered as that was. none takes no keys.",
    kind: ValueKind::SomeTime(History::IDEMPOTENCY, |settings| {
        &mut settings.rooms.idempotency
    }),
};
pub(super) const EPOCH_TTL: Key = Key {
    name: "rooms.epoch_ttl",
    flag: None,
    what: "How long a room that has nothing left keeps its epoch, so that clients that missed nothing learn so. limits.logs bounds how many rooms do.",
    kind: ValueKind::Time(History::AGE, |settings| &mut settings.rooms.epoch_ttl),
};
pub(super) const SLOW_READER: Key = Key {
    name: "rooms.slow_reader",
    flag: None,
    what: "What becomes of a client that reads more slowly than the room speaks: disconnect closes it (1008), drop_oldest and drop_newest leave messages out, conflate leaves out all but the newest of each conflation key, catch_up lets it go on from where it is for as long as the room keeps what it missed.",
    kind: ValueKind::Other(
        "disconnect, drop_oldest, drop_newest, conflate or catch_up",
        |settings| &mut settings.rooms.slow_reader,
    ),
};

pub(super) const ORDER: Key = Key {
    name: "rooms.order",
    flag: None,
    what: "Who orders what is published to a room, where there are several nodes: fast, each node for itself, which delivers at once; or broker, the cluster's broker for all of them, so that every node has one order, the same offsets and the same history (docs/scale-out.md). broker takes history, and cluster.broker.",
    kind: ValueKind::Other("fast or broker", |settings| &mut settings.rooms.order),
};
pub(super) const ACKS: Key = Key {
    name: "rooms.acks",
    flag: None,
    what: "Whether the members of a room acknowledge what they are sent (ack): what one has not acknowledged in time it is sent again, as long as the room keeps it. Takes history, and that slow_reader is disconnect or catch_up and last none or newest.",
    kind: ValueKind::Other("true or false", |settings| &mut settings.rooms.acks),
};
pub(super) const ACK_TIMEOUT: Key = Key {
    name: "rooms.ack_timeout",
    flag: None,
    what: "How long a member has to acknowledge a message; it may have an eighth more.",
    kind: ValueKind::Time(AckOptions::TIMEOUT, |settings| {
        &mut settings.rooms.ack_timeout
    }),
};
pub(super) const ACK_ATTEMPTS: Key = Key {
    name: "rooms.ack_attempts",
    flag: None,
    what: "How often a message is sent again. After that the member is told that it missed it (unacknowledged).",
    kind: ValueKind::Count(
        *AckOptions::ATTEMPTS.start() as usize..=*AckOptions::ATTEMPTS.end() as usize,
        |settings| &mut settings.rooms.ack_attempts,
    ),
};
pub(super) const PRESENCE_EVENTS: Key = Key {
    name: "rooms.presence_events",
    flag: None,
    what: "Whether the members of a room are told of each other: who joins, leaves, is away and comes back, with what each shows of itself.",
    kind: ValueKind::Other("true or false", |settings| {
        &mut settings.rooms.presence_events
    }),
};
pub(super) const PRESENCE_GRACE: Key = Key {
    name: "rooms.presence_grace",
    flag: None,
    what: "How long a user whose connection was lost is away before it has left. Who is no user and has no session leaves at once.",
    kind: ValueKind::Time(Duration::ZERO..=PresenceOptions::GRACE_MAX, |settings| {
        &mut settings.rooms.presence_grace
    }),
};
pub(super) const PRESENCE_EVENTS_MAX_MEMBERS: Key = Key {
    name: "rooms.presence_events_max_members",
    flag: None,
    what: "Members up to which a room tells of each. A larger one says how many they are, once a second at most.",
    kind: ValueKind::Count(
        *PresenceOptions::EVENTS_MEMBERS.start() as usize
            ..=*PresenceOptions::EVENTS_MEMBERS.end() as usize,
        |settings| &mut settings.rooms.presence_events_members_max,
    ),
};
pub(super) const PRESENCE_OF: Key = Key {
    name: "rooms.presence_of",
    flag: None,
    what: "What a member is: each of the connections, or each of the users with all its connections. Takes presence_events.",
    kind: ValueKind::Other("connections or users", |settings| {
        &mut settings.rooms.presence_of
    }),
};
pub(super) const DELTAS: Key = Key {
    name: "rooms.deltas",
    flag: None,
    what: "Whether clients of the Centrifuge protocol that ask for deltas are sent them; false sends them every publication as a whole.",
    kind: ValueKind::Other("true or false", |settings| &mut settings.rooms.deltas),
};
pub(super) const TAG_FILTERS: Key = Key {
    name: "rooms.tag_filters",
    flag: None,
    what: "Whether clients of the Centrifuge protocol may have a filter of publications by their tags; false answers such a subscription with error 107.",
    kind: ValueKind::Other("true or false", |settings| &mut settings.rooms.tag_filters),
};
pub(super) const MAP: Key = Key {
    name: "rooms.map",
    flag: None,
    what: "Whether a room is a map: it holds the newest publication of each conflation key until the key is removed, clients of the Centrifuge protocol subscribe to that state, and what is published has a key. Takes history, order fast, and that slow_reader leaves no key out: disconnect, conflate or catch_up.",
    kind: ValueKind::Other("true or false", |settings| &mut settings.rooms.map),
};
pub(super) const MAP_KEYS: Key = Key {
    name: "rooms.map_keys",
    flag: None,
    what: "Keys that a map may have; publishing one more is answered room_full (106 in the Centrifuge protocol).",
    kind: ValueKind::Count(
        *RoomMap::KEYS.start() as usize..=*RoomMap::KEYS.end() as usize,
        |settings| &mut settings.rooms.map_keys,
    ),
};
pub(super) const MAP_BYTES: Key = Key {
    name: "rooms.map_bytes",
    flag: None,
    what: "Bytes that they may have: names, data, and 192 for each; what would be more is answered likewise. All maps of a shard may have half of its share of limits.log_bytes.",
    kind: ValueKind::Size(RoomMap::BYTES, |settings| &mut settings.rooms.map_bytes),
};
pub(super) const MAP_KEY_TTL: Key = Key {
    name: "rooms.map_key_ttl",
    flag: None,
    what: "How long a key of a map stays that is not published again; then it is removed, and members are told. none: until it is removed.",
    kind: ValueKind::SomeTime(RoomMap::KEY_TTL, |settings| &mut settings.rooms.map_key_ttl),
};
pub(super) const MAP_CLIENT_KEY: Key = Key {
    name: "rooms.map_client_key",
    flag: None,
    what: "Under which key of a map a client publishes, and which it removes: any that it says, its connection's id, or its user's name, whatever it says.",
    kind: ValueKind::Other("any, connection or user", |settings| {
        &mut settings.rooms.map_client_key
    }),
};
pub(super) const MAP_REMOVE_LEFT: Key = Key {
    name: "rooms.map_remove_left",
    flag: None,
    what: "Whether the key of a connection is removed when it leaves the room, or ends. Takes map_client_key connection.",
    kind: ValueKind::Other("true or false", |settings| {
        &mut settings.rooms.map_remove_left
    }),
};
pub(super) const MAP_RECOVERY: Key = Key {
    name: "rooms.map_recovery",
    flag: None,
    what: "What a client of the Centrifuge protocol that comes back to a map is sent: what has changed meanwhile, as far as history has it; or the state, all of it.",
    kind: ValueKind::Other("changes or state", |settings| {
        &mut settings.rooms.map_recovery
    }),
};
pub(super) const MAP_OF: Key = Key {
    name: "rooms.map_of",
    flag: None,
    what: "What keys of a map are of: of what is published, or of the connections or users that are in other rooms (presence_connections, presence_users), which the server alone publishes. Takes map, and that map_key_ttl is none where it is not published.",
    kind: ValueKind::Other("published, connections or users", |settings| {
        &mut settings.rooms.map_of
    }),
};
pub(super) const CONNECTIONS_MAP: Key = Key {
    name: "rooms.presence_connections",
    flag: None,
    what: "What the map of the connections that are in a room is called, before the room's name: with clients: that of game:1 is clients:game:1. Its namespace has map_of connections.",
    kind: ValueKind::Other(PREFIX_RULE, |settings| {
        &mut settings.rooms.presence_connections
    }),
};
pub(super) const USERS_MAP: Key = Key {
    name: "rooms.presence_users",
    flag: None,
    what: "The same of the users that are in a room, each with all its connections. Its namespace has map_of users.",
    kind: ValueKind::Other(PREFIX_RULE, |settings| &mut settings.rooms.presence_users),
};

const PREFIX_RULE: &str =
    "none, or 1 to 64 visible ASCII characters without quotes and backslashes";
