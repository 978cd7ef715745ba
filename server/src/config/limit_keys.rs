//! The keys of section `[limits]` that are rates and counts of clients, part of the table of keys.
//! Those of a client are keys of `[roles.NAME]`, too.

use super::key::{Key, ValueKind};
use super::settings::Settings;
use crate::limits::gcra::Rate;
use std::ops::RangeInclusive;

/// Where an optional number stands in the settings.
type NumberPlace = fn(&mut Settings) -> &mut Option<usize>;

const fn count(name: &'static str, what: &'static str, place: NumberPlace) -> Key {
    Key {
        name,
        flag: None,
        what,
        kind: ValueKind::SomeCount(COUNTS, place),
    }
}

const fn size(name: &'static str, what: &'static str, place: NumberPlace) -> Key {
    Key {
        name,
        flag: None,
        what,
        kind: ValueKind::SomeSize(SIZES, place),
    }
}

/// Whether a key is one of `[roles.NAME]`, too: what one client may do.
pub(super) fn is_of_clients(key: &Key) -> bool {
    OF_CLIENTS.contains(&key.parts().1) && key.parts().0 == "limits"
}

const OF_CLIENTS: [&str; 15] = [
    "connections_per_user",
    "messages_per_second",
    "messages_per_second_burst",
    "bytes_per_second",
    "bytes_per_second_burst",
    "messages_per_second_per_user",
    "messages_per_second_per_user_burst",
    "bytes_per_second_per_user",
    "bytes_per_second_per_user_burst",
    "joins_per_second",
    "joins_per_second_burst",
    "fanout_per_second",
    "fanout_per_second_burst",
    "requests_in_flight",
    "on_exceed",
];

const COUNTS: RangeInclusive<usize> = 1..=1_000_000_000;
const SIZES: RangeInclusive<usize> = 1..=Rate::MAX as usize;

pub(super) const MEMORY: Key = Key {
    name: "limits.memory",
    flag: None,
    what: "Memory for all that grows with use: connections, what clients have not read or not finished, rooms' histories, presence, sessions. auto is three quarters of what the process's cgroup allows or the host has. Above three quarters of it, until less than five eighths are taken, whoever connects is answered 503, publishes to the rooms that take most are refused, and the slowest readers are closed.",
    kind: ValueKind::Other("auto or a size from 64MiB to 65536GiB", |settings| {
        &mut settings.memory
    }),
};

pub(super) const CONNECTIONS_PER_USER: Key = count(
    "limits.connections_per_user",
    "Connections of one user at a time; one more is answered 429, and a connection that would become this user's is answered rate_limited.",
    |settings| &mut settings.limits.everybody.connections_per_user,
);

pub(super) const MESSAGES_PER_SECOND: Key = count(
    "limits.messages_per_second",
    "Requests of one connection; each of a batch counts.",
    |settings| &mut settings.limits.everybody.messages.per_second,
);

pub(super) const MESSAGES_PER_SECOND_BURST: Key =
    count("limits.messages_per_second_burst", BURST, |settings| {
        &mut settings.limits.everybody.messages.burst
    });

pub(super) const BYTES_PER_SECOND: Key = size(
    "limits.bytes_per_second",
    "Bytes of one connection's messages.",
    |settings| &mut settings.limits.everybody.bytes.per_second,
);

pub(super) const BYTES_PER_SECOND_BURST: Key = size(
    "limits.bytes_per_second_burst",
    "Bytes at once; none is what a second gives. A larger message passes when nothing was said for long enough.",
    |settings| &mut settings.limits.everybody.bytes.burst,
);

pub(super) const MESSAGES_PER_SECOND_PER_USER: Key = count(
    "limits.messages_per_second_per_user",
    "Requests of one user, by all its connections on all shards.",
    |settings| &mut settings.limits.everybody.user_messages.per_second,
);

pub(super) const MESSAGES_PER_SECOND_PER_USER_BURST: Key = count(
    "limits.messages_per_second_per_user_burst",
    BURST,
    |settings| &mut settings.limits.everybody.user_messages.burst,
);

pub(super) const BYTES_PER_SECOND_PER_USER: Key = size(
    "limits.bytes_per_second_per_user",
    "Bytes of one user's messages, by all its connections on all shards.",
    |settings| &mut settings.limits.everybody.user_bytes.per_second,
);

pub(super) const BYTES_PER_SECOND_PER_USER_BURST: Key = size(
    "limits.bytes_per_second_per_user_burst",
    BURST,
    |settings| &mut settings.limits.everybody.user_bytes.burst,
);

pub(super) const JOINS_PER_SECOND: Key = count(
    "limits.joins_per_second",
    "Rooms that one connection joins. Leaving is never refused.",
    |settings| &mut settings.limits.everybody.joins.per_second,
);

pub(super) const JOINS_PER_SECOND_BURST: Key =
    count("limits.joins_per_second_burst", BURST, |settings| {
        &mut settings.limits.everybody.joins.burst
    });

pub(super) const FANOUT_PER_SECOND: Key = count(
    "limits.fanout_per_second",
    "Deliveries that the publishes of one user cause, or of one connection that is nobody's. Each publish counts with the members that the room has on the publisher's shard, times the shards.",
    |settings| &mut settings.limits.everybody.fanout.per_second,
);

pub(super) const FANOUT_PER_SECOND_BURST: Key = count(
    "limits.fanout_per_second_burst",
    "Deliveries at once; none is what a second gives. A publish to more members passes when nothing was published for long enough.",
    |settings| &mut settings.limits.everybody.fanout.burst,
);

pub(super) const REQUESTS_IN_FLIGHT: Key = count(
    "limits.requests_in_flight",
    "Requests of one connection that wait for an answer; one more is refused, whatever on_exceed says.",
    |settings| &mut settings.limits.everybody.requests_in_flight,
);

pub(super) const ON_EXCEED: Key = Key {
    name: "limits.on_exceed",
    flag: None,
    what: "What becomes of what is too much: refuse answers rate_limited, and with retry_after_ms when it would pass; delay does it, and does not read the connection until it is paid for, so TCP slows the client; disconnect closes the connection with the code of rate_limited. Connects are refused.",
    kind: ValueKind::Other("refuse, delay or disconnect", |settings| {
        &mut settings.limits.everybody.on_exceed
    }),
};

pub(super) const CONNECTIONS_PER_ADDRESS: Key = count(
    "limits.connections_per_address",
    "Connections of one address at a time (IPv6: of one /64); one more is answered 429. Peers over Unix sockets have no address.",
    |settings| &mut settings.limits.connections_per_address,
);

pub(super) const CONNECTS_PER_SECOND: Key = count(
    "limits.connects_per_second",
    "Connects of one address (IPv6: of one /64); more are answered 429 with Retry-After.",
    |settings| &mut settings.limits.connects.per_second,
);

pub(super) const CONNECTS_PER_SECOND_BURST: Key =
    count("limits.connects_per_second_burst", BURST, |settings| {
        &mut settings.limits.connects.burst
    });

pub(super) const MESSAGES_PER_SECOND_PER_ROOM: Key = count(
    "limits.messages_per_second_per_room",
    "Messages that clients publish to one room, all together.",
    |settings| &mut settings.limits.room_messages.per_second,
);

pub(super) const MESSAGES_PER_SECOND_PER_ROOM_BURST: Key = count(
    "limits.messages_per_second_per_room_burst",
    BURST,
    |settings| &mut settings.limits.room_messages.burst,
);

pub(super) const BYTES_PER_SECOND_PER_ROOM: Key = size(
    "limits.bytes_per_second_per_room",
    "Bytes of what clients publish to one room, all together.",
    |settings| &mut settings.limits.room_bytes.per_second,
);

pub(super) const BYTES_PER_SECOND_PER_ROOM_BURST: Key = size(
    "limits.bytes_per_second_per_room_burst",
    BURST,
    |settings| &mut settings.limits.room_bytes.burst,
);

pub(super) const DRY_RUN: Key = Key {
    name: "limits.dry_run",
    flag: None,
    what: "Tries these rates and counts: what they would refuse passes, and is counted (shardcast_limited_total).",
    kind: ValueKind::Other("true or false", |settings| &mut settings.limits.dry_run),
};

const BURST: &str = "How much of it at once; none is what a second gives.";
