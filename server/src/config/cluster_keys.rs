//! The keys of section `[cluster]`.

use super::key::{Key, ValueKind};
use crate::broker::Cluster;

pub(super) const BROKER: Key = Key {
    name: "cluster.broker",
    flag: None,
    what: "By which broker nodes exchange what is published, so that a room spans all of them (docs/scale-out.md); none is a node by itself.",
    kind: ValueKind::Other("none, redis or nats", |settings| {
        &mut settings.cluster.broker
    }),
};

pub(super) const URL: Key = Key {
    name: "cluster.url",
    flag: None,
    what: "The broker's servers, of which the first that answers (of Redis, as a primary) is used: redis://HOST:PORT or nats://HOST:PORT, or for TLS rediss://HOST:PORT or tls://HOST:PORT. A password does not stand here.",
    kind: ValueKind::Other("none, or up to 16 URLs, separated by commas", |settings| {
        &mut settings.cluster.urls
    }),
};

pub(super) const SENTINEL: Key = Key {
    name: "cluster.sentinel",
    flag: None,
    what: "Redis: what Sentinel calls the primary, where the servers of cluster.url are sentinels: they are asked where it is. none: they are Redis itself.",
    kind: ValueKind::Other(WORD_RULE, |settings| &mut settings.cluster.sentinel),
};

pub(super) const ROOM_PARTITIONS: Key = Key {
    name: "cluster.room_partitions",
    flag: None,
    what: "Into how many addresses at the broker all fast rooms are put, the same at all nodes: for hundreds of thousands of rooms that come and go. A node then hears all that is published to the partitions that its rooms are in, and lets go of what is for others. none: each room has its own.",
    kind: ValueKind::SomeCount(1..=Cluster::ROOM_PARTITIONS_MAX as usize, |settings| {
        &mut settings.cluster.room_partitions
    }),
};

pub(super) const NODE: Key = Key {
    name: "cluster.node",
    flag: None,
    what: "What this node is called, unlike all others; others see it behind the ids of its connections. auto chooses a name at each start.",
    kind: ValueKind::Other(
        "auto, or 1 to 64 characters of A-Z, a-z, 0-9, _ and -",
        |settings| &mut settings.cluster.node,
    ),
};

pub(super) const PREFIX: Key = Key {
    name: "cluster.prefix",
    flag: None,
    what: "What names at the broker begin with. Clusters with different prefixes may share a broker.",
    kind: ValueKind::Other("1 to 64 characters of A-Z, a-z, 0-9, _ and -", |settings| {
        &mut settings.cluster.prefix
    }),
};

pub(super) const USER: Key = Key {
    name: "cluster.user",
    flag: None,
    what: "As which user the node comes to the broker.",
    kind: ValueKind::Other(WORD_RULE, |settings| &mut settings.cluster.user),
};

pub(super) const PASSWORD_FILE: Key = Key {
    name: "cluster.password_file",
    flag: None,
    what: "The file with the password.",
    kind: ValueKind::Other(PATH_RULE, |settings| &mut settings.cluster.password_file),
};

pub(super) const PASSWORD_ENV: Key = Key {
    name: "cluster.password_env",
    flag: None,
    what: "The environment variable that has the password instead.",
    kind: ValueKind::Other(VARIABLE_RULE, |settings| &mut settings.cluster.password_env),
};

pub(super) const CREDENTIALS_FILE: Key = Key {
    name: "cluster.credentials_file",
    flag: None,
    what: "NATS: the file with the JWT of a user and the seed of its key, as nsc writes it.",
    kind: ValueKind::Other(PATH_RULE, |settings| &mut settings.cluster.credentials_file),
};

pub(super) const TLS_CA: Key = Key {
    name: "cluster.tls_ca",
    flag: None,
    what: "The file with the certificates (PEM) of who may have issued the broker's; none trusts whom the host trusts.",
    kind: ValueKind::Other(PATH_RULE, |settings| &mut settings.cluster.tls_ca),
};

pub(super) const TLS_CERTIFICATE: Key = Key {
    name: "cluster.tls_certificate",
    flag: None,
    what: "The file with the certificate (PEM) that the node shows the broker. Takes tls_key.",
    kind: ValueKind::Other(PATH_RULE, |settings| &mut settings.cluster.tls_certificate),
};

pub(super) const TLS_KEY: Key = Key {
    name: "cluster.tls_key",
    flag: None,
    what: "The file with its private key (PEM).",
    kind: ValueKind::Other(PATH_RULE, |settings| &mut settings.cluster.tls_key),
};

pub(super) const PRESENCE_LEASE: Key = Key {
    name: "cluster.presence_lease",
    flag: None,
    what: "How long another node that says nothing more is believed to be there. Each says four times in it that it is.",
    kind: ValueKind::Time(Cluster::LEASE, |settings| {
        &mut settings.cluster.presence_lease
    }),
};

pub(super) const LINGER: Key = Key {
    name: "cluster.linger",
    flag: None,
    what: "How long the node goes on hearing a room or a user from the broker after the last member has gone, so that who comes and goes costs the broker nothing.",
    kind: ValueKind::Time(Cluster::LINGER, |settings| &mut settings.cluster.linger),
};

pub(super) const QUEUE_MESSAGES: Key = Key {
    name: "cluster.queue_messages",
    flag: None,
    what: "Messages that may wait for the broker, and as many for the shards; further ones are dropped and counted.",
    kind: ValueKind::Count(
        *Cluster::QUEUE.start()..=*Cluster::QUEUE.end(),
        |settings| &mut settings.cluster.queue_messages,
    ),
};

pub(super) const QUEUE_BYTES: Key = Key {
    name: "cluster.queue_bytes",
    flag: None,
    what: "What these may hold in each direction.",
    kind: ValueKind::Size(Cluster::QUEUE_BYTES, |settings| {
        &mut settings.cluster.queue_bytes
    }),
};

pub(super) const STREAMS: Key = Key {
    name: "cluster.streams",
    flag: None,
    what: "With NATS: streams of JetStream that ordered rooms are spread over, for each number of publications and time that rooms keep. All nodes must have the same; to change it, stop them all and delete the streams (docs/scale-out.md).",
    kind: ValueKind::Count(
        *Cluster::STREAMS.start()..=*Cluster::STREAMS.end(),
        |settings| &mut settings.cluster.streams,
    ),
};

pub(super) const SESSIONS: Key = Key {
    name: "cluster.sessions",
    flag: None,
    what: "Where sessions are that outlive their connections (sessions.resume): node keeps them at the node of the connection, for clients that come back to it; with broker the broker has copies, and a client goes on at any node, when its own has died, too (docs/scale-out.md). All nodes must have the same, and the same sessions.resume.",
    kind: ValueKind::Other("node or broker", |settings| &mut settings.cluster.sessions),
};

const WORD_RULE: &str = "none or a text without quotes, backslashes and control characters";
const PATH_RULE: &str = "none or a path without quotes, backslashes and control characters, such as /etc/shardcast/broker.pem";
const VARIABLE_RULE: &str =
    "none or the name of an environment variable that does not begin with SHARDCAST_";
