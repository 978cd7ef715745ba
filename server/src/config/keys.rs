//! The table of keys, in the order in which file, environment, `default-config`, `check-config` and
//! `docs/configuration.md` follow it.

use super::key::{Key, ValueKind};
use super::{
    access_keys, admin_keys, auth_keys, centrifuge_keys, cluster_keys, compression_keys,
    gateway_keys, limit_keys, offline_keys, persistence_keys, room_keys, server_keys, session_keys,
    trace_keys,
};
use shardcast_engine::{Config, Listener};
use shardcast_protocol::dialect::DEPTH_MAX;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The known key nearest to a name that is none, by edit distance to the whole name or to its last
/// part.
pub(super) fn nearest(name: &str) -> &'static Key {
    let now = RENAMED.iter().find(|(before, _)| *before == name);
    nearest_of(now.map_or(name, |(_, now)| now), KEYS.iter())
}

/// Keys that had another name: whoever says that one is told the name of today.
const RENAMED: [(&str, &str); 1] = [("cluster.partitions", "cluster.streams")];

/// Of the keys, the one nearest to a name.
pub(super) fn nearest_of(
    name: &str,
    keys: impl DoubleEndedIterator<Item = &'static Key>,
) -> &'static Key {
    let last = name.rsplit('.').next().unwrap_or(name);
    let likeness = |key: &Key| {
        let whole = strsim::normalized_damerau_levenshtein(name, key.name);
        whole.max(strsim::normalized_damerau_levenshtein(last, key.parts().1))
    };
    // Of several that are as near, the first.
    keys.rev()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .expect("there are keys")
}

/// Every key, section by section.
pub(super) static KEYS: &[Key] = &[
    Key {
        name: "server.listen",
        flag: Some("--listen"),
        what: "Where clients connect without TLS; none where all must use TLS. Port 0 picks a free port, which the ready line tells.",
        kind: ValueKind::Other(
            "none, an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000, unix:PATH with up to 107 bytes of path, or inherited:NAME",
            |settings| &mut settings.listen,
        ),
    },
    admin_keys::ADDRESS,
    Key {
        name: "server.shards",
        flag: Some("--shards"),
        what: "Threads that serve clients; auto is one per core that the server may use. Fewer leave cores to other programs.",
        kind: ValueKind::Other("auto or a whole number from 1 to 256", |settings| {
            &mut settings.shards
        }),
    },
    Key {
        name: "server.pin",
        flag: Some("--pin"),
        what: "Cores that the shards are pinned to: none leaves them to the scheduler, auto takes one core after the other, a list names them.",
        kind: ValueKind::Other(
            "none, auto or a list of different core numbers such as 0,2 or 4-7, each below 1024",
            |settings| &mut settings.engine.pinning,
        ),
    },
    Key {
        name: "server.driver",
        flag: Some("--driver"),
        what: "What carries the server's work to the kernel: uring is io_uring (Linux 6.1 or newer, where it is permitted), portable is epoll, which every host and every container has and which takes more CPU; auto is io_uring where a trial at start finds all that it takes, otherwise epoll, with a warning that says what is missing.",
        kind: ValueKind::Other("auto, uring or portable", |settings| {
            &mut settings.engine.driver
        }),
    },
    server_keys::LAME_DUCK,
    server_keys::DRAIN_RATE,
    server_keys::DRAIN_TIMEOUT,
    Key {
        name: "server.insecure",
        flag: Some("--insecure"),
        what: "Permits addresses that other hosts reach although nothing authenticates clients or operators.",
        kind: ValueKind::Other("true or false", |settings| &mut settings.insecure),
    },
    access_keys::ORIGINS,
    access_keys::TRUSTED_PROXIES,
    access_keys::PROXY_PROTOCOL,
    access_keys::ALLOW,
    access_keys::BLOCK,
    admin_keys::BAN_AFTER,
    admin_keys::BAN_FOR,
    admin_keys::TOKEN_FILE,
    admin_keys::TOKEN_ENV,
    admin_keys::CERTIFICATE,
    admin_keys::KEY,
    admin_keys::CLIENT_CA,
    admin_keys::STATE_FILE,
    auth_keys::TOKENS,
    auth_keys::SOURCES,
    auth_keys::ISSUER,
    auth_keys::AUDIENCE,
    auth_keys::LEEWAY,
    auth_keys::REQUIRE_EXP,
    auth_keys::MAX_TOKEN_BYTES,
    auth_keys::MESSAGE_TIMEOUT,
    auth_keys::EXPIRING,
    Key {
        name: "limits.max_connections",
        flag: None,
        what: "Connections in the whole process; one more is answered 503.",
        kind: ValueKind::Count(1..=10_000_000, |settings| {
            &mut settings.engine.connections_max
        }),
    },
    Key {
        name: "limits.max_message_bytes",
        flag: None,
        what: "Largest message that a client may send; a larger one closes its connection with 1009.",
        kind: ValueKind::Size(125..=64 << 20, |settings| &mut settings.message_bytes_max),
    },
    Key {
        name: "limits.max_head_bytes",
        flag: None,
        what: "Largest request head: cookies, tokens and what proxies add. A larger one is answered 431, or 414 if its request line alone is larger.",
        kind: ValueKind::Size(Config::HEAD_BYTES, |settings| {
            &mut settings.engine.head_bytes_max
        }),
    },
    Key {
        name: "limits.max_headers",
        flag: None,
        what: "Headers of a request; more are answered 431.",
        kind: ValueKind::Count(Config::HEADERS, |settings| &mut settings.engine.headers_max),
    },
    Key {
        name: "limits.max_depth",
        flag: None,
        what: "Arrays, objects and maps that a message may nest, its own included (in the native dialects at most 126); a deeper one is answered bad_json, in MessagePack bad_request.",
        kind: ValueKind::Count(1..=DEPTH_MAX as usize, |settings| &mut settings.depth_max),
    },
    Key {
        name: "limits.max_rooms_per_connection",
        flag: None,
        what: "Rooms that one connection may be in; joining one more is answered room_limit.",
        kind: ValueKind::Count(1..=16_384, |settings| {
            &mut settings.engine.rooms_per_connection_max
        }),
    },
    Key {
        name: "limits.max_room_name_bytes",
        flag: None,
        what: "Longest room name; a longer one is answered bad_request.",
        kind: ValueKind::Size(1..=4_096, |settings| {
            &mut settings.engine.room_name_bytes_max
        }),
    },
    Key {
        name: "limits.outbox_bytes",
        flag: None,
        what: "Bytes that may wait for one slow reader; more closes its connection with 1008. At least max_message_bytes and 1KiB more.",
        kind: ValueKind::Size(1_149..=1 << 30, |settings| {
            &mut settings.engine.outbox_bytes_max
        }),
    },
    Key {
        name: "limits.outbox_frames",
        flag: None,
        what: "Sends that may wait for one slow reader; more closes its connection with 1008.",
        kind: ValueKind::Count(16..=1_048_576, |settings| {
            &mut settings.engine.outbox_frames_max
        }),
    },
    Key {
        name: "limits.reassembly_bytes",
        flag: None,
        what: "Memory for unfinished messages of all clients, shared out evenly to the shards; asking for more closes a connection with 1013. At least 1MiB and twice max_message_bytes for each shard.",
        kind: ValueKind::Size(1 << 20..=1 << 40, |settings| {
            &mut settings.engine.reassembly_bytes_max
        }),
    },
    Key {
        name: "limits.logs",
        flag: None,
        what: "Rooms of each shard that have nothing left of their history and keep their epoch (epoch_ttl); of more, the one that has been empty for longest forgets it. Rooms that keep something do not count.",
        kind: ValueKind::Count(Config::LOGS, |settings| &mut settings.engine.logs_max),
    },
    Key {
        name: "limits.log_bytes",
        flag: None,
        what: "Memory for what all rooms keep, shared out evenly to the shards; beyond it the largest rooms lose their oldest messages. At least 1MiB for each shard, and in each shard's share the largest history_bytes.",
        kind: ValueKind::Size(1 << 20..=1 << 40, |settings| {
            &mut settings.engine.logs_bytes_max
        }),
    },
    limit_keys::MEMORY,
    limit_keys::CONNECTIONS_PER_ADDRESS,
    limit_keys::CONNECTIONS_PER_USER,
    limit_keys::CONNECTS_PER_SECOND,
    limit_keys::CONNECTS_PER_SECOND_BURST,
    limit_keys::MESSAGES_PER_SECOND,
    limit_keys::MESSAGES_PER_SECOND_BURST,
    limit_keys::BYTES_PER_SECOND,
    limit_keys::BYTES_PER_SECOND_BURST,
    limit_keys::MESSAGES_PER_SECOND_PER_USER,
    limit_keys::MESSAGES_PER_SECOND_PER_USER_BURST,
    limit_keys::BYTES_PER_SECOND_PER_USER,
    limit_keys::BYTES_PER_SECOND_PER_USER_BURST,
    limit_keys::MESSAGES_PER_SECOND_PER_ROOM,
    limit_keys::MESSAGES_PER_SECOND_PER_ROOM_BURST,
    limit_keys::BYTES_PER_SECOND_PER_ROOM,
    limit_keys::BYTES_PER_SECOND_PER_ROOM_BURST,
    limit_keys::JOINS_PER_SECOND,
    limit_keys::JOINS_PER_SECOND_BURST,
    limit_keys::FANOUT_PER_SECOND,
    limit_keys::FANOUT_PER_SECOND_BURST,
    limit_keys::REQUESTS_IN_FLIGHT,
    limit_keys::ON_EXCEED,
    limit_keys::DRY_RUN,
    session_keys::WAITING,
    session_keys::BYTES,
    offline_keys::USERS,
    room_keys::JOIN,
    room_keys::PUBLISH,
    room_keys::PRESENCE,
    room_keys::OWNED_BY,
    room_keys::ECHO,
    room_keys::MAX_MEMBERS,
    room_keys::MAX_NAME_BYTES,
    room_keys::NAME_CHARACTERS,
    room_keys::CONTROL_CHARACTERS,
    room_keys::SECRET,
    room_keys::HISTORY,
    room_keys::HISTORY_BYTES,
    room_keys::HISTORY_TTL,
    room_keys::HISTORY_READ,
    room_keys::LAST,
    room_keys::IDEMPOTENCY,
    room_keys::EPOCH_TTL,
    room_keys::SLOW_READER,
    room_keys::ORDER,
    room_keys::ACKS,
    room_keys::ACK_TIMEOUT,
    room_keys::ACK_ATTEMPTS,
    room_keys::PRESENCE_EVENTS,
    room_keys::PRESENCE_GRACE,
    room_keys::PRESENCE_EVENTS_MAX_MEMBERS,
    room_keys::PRESENCE_OF,
    room_keys::DELTAS,
    room_keys::TAG_FILTERS,
    room_keys::MAP,
    room_keys::MAP_KEYS,
    room_keys::MAP_BYTES,
    room_keys::MAP_KEY_TTL,
    room_keys::MAP_CLIENT_KEY,
    room_keys::MAP_REMOVE_LEFT,
    room_keys::MAP_RECOVERY,
    room_keys::MAP_OF,
    room_keys::CONNECTIONS_MAP,
    room_keys::USERS_MAP,
    session_keys::RESUME,
    session_keys::SAME_USER,
    session_keys::MAX_PER_USER,
    offline_keys::MESSAGES,
    offline_keys::BYTES,
    offline_keys::TTL,
    persistence_keys::PATH,
    persistence_keys::SYNC,
    cluster_keys::BROKER,
    cluster_keys::URL,
    cluster_keys::SENTINEL,
    cluster_keys::ROOM_PARTITIONS,
    cluster_keys::NODE,
    cluster_keys::PREFIX,
    cluster_keys::USER,
    cluster_keys::PASSWORD_FILE,
    cluster_keys::PASSWORD_ENV,
    cluster_keys::CREDENTIALS_FILE,
    cluster_keys::TLS_CA,
    cluster_keys::TLS_CERTIFICATE,
    cluster_keys::TLS_KEY,
    cluster_keys::PRESENCE_LEASE,
    cluster_keys::LINGER,
    cluster_keys::QUEUE_MESSAGES,
    cluster_keys::QUEUE_BYTES,
    cluster_keys::STREAMS,
    cluster_keys::SESSIONS,
    compression_keys::ENABLED,
    compression_keys::THRESHOLD,
    compression_keys::CONTEXT_TAKEOVER,
    compression_keys::WINDOWS,
    compression_keys::MAX_RATIO,
    Key {
        name: "timeouts.handshake",
        flag: None,
        what: "From the accepted socket to the end of the first request head.",
        kind: ValueKind::Time(TIMEOUT_RANGE, |settings| {
            &mut settings.engine.handshake_timeout
        }),
    },
    Key {
        name: "timeouts.header",
        flag: None,
        what: "From the first byte of a request head to its last; of the first request never more than what is left of handshake.",
        kind: ValueKind::Time(TIMEOUT_RANGE, |settings| {
            &mut settings.engine.header_timeout
        }),
    },
    Key {
        name: "timeouts.keep_alive",
        flag: None,
        what: "From an answer to the next request on a connection that is kept; Keep-Alive tells it to clients. Longer than proxies keep connections to a server, most often 60s.",
        kind: ValueKind::Time(TIMEOUT_RANGE, |settings| {
            &mut settings.engine.keep_alive_timeout
        }),
    },
    Key {
        name: "timeouts.frame",
        flag: None,
        what: "From the first byte of a frame to its last; after it the connection ends.",
        kind: ValueKind::Time(TIMEOUT_RANGE, |settings| &mut settings.engine.frame_timeout),
    },
    Key {
        name: "timeouts.message",
        flag: None,
        what: "From the first fragment of a message to its last, whatever comes between; after it the connection ends.",
        kind: ValueKind::Time(TIMEOUT_RANGE, |settings| {
            &mut settings.engine.message_timeout
        }),
    },
    Key {
        name: "timeouts.heartbeat",
        flag: None,
        what: "Silence of a client after which it is sent a ping.",
        kind: ValueKind::Time(TIMEOUT_RANGE, |settings| &mut settings.engine.heartbeat),
    },
    Key {
        name: "timeouts.pong",
        flag: None,
        what: "From the ping to any sign of life; after it the connection ends.",
        kind: ValueKind::Time(TIMEOUT_RANGE, |settings| &mut settings.engine.pong_timeout),
    },
    Key {
        name: "timeouts.progress",
        flag: None,
        what: "How long bytes that the server holds for a client may make no progress, whatever the client says meanwhile: after it the connection is closed with 1008. Progress is 128KiB of them, or all, taken by the kernel.",
        kind: ValueKind::Time(TIMEOUT_RANGE, |settings| {
            &mut settings.engine.progress_timeout
        }),
    },
    Key {
        name: "timeouts.idle",
        flag: None,
        what: "Silence that ends a connection whatever the heartbeat says. Longer than heartbeat.",
        kind: ValueKind::Time(IDLE_RANGE, |settings| &mut settings.engine.idle_timeout),
    },
    Key {
        name: "timeouts.close",
        flag: None,
        what: "From the server's close frame to the client's; after it the connection ends. A client that cannot be read any more (a broken or a late frame) gets 2s at most.",
        kind: ValueKind::Time(TIMEOUT_RANGE, |settings| &mut settings.engine.close_timeout),
    },
    Key {
        name: "tls.listen",
        flag: None,
        what: "Where clients connect with TLS (wss). Port 0 picks a free port, which the ready line tells.",
        kind: ValueKind::Other(
            "none, an IP address and a port, such as 127.0.0.1:8443 or [::1]:8443, unix:PATH with up to 107 bytes of path, or inherited:NAME",
            |settings| &mut settings.tls.listen,
        ),
    },
    Key {
        name: "tls.certificates",
        flag: None,
        what: "Certificate chains in PEM, the server's own certificate first in each. A client that names a server gets the first that bears the name, others the first of all. SIGHUP reads them again.",
        kind: ValueKind::Other(FILES_RULE, |settings| &mut settings.tls.certificates),
    },
    Key {
        name: "tls.keys",
        flag: None,
        what: "Private keys in PEM, one for each of certificates, in the same order. Only the server's user should be able to read them.",
        kind: ValueKind::Other(FILES_RULE, |settings| &mut settings.tls.keys),
    },
    Key {
        name: "tls.minimum",
        flag: None,
        what: "Oldest version of TLS that is spoken.",
        kind: ValueKind::Other("1.2 or 1.3", |settings| &mut settings.tls.minimum),
    },
    Key {
        name: "tls.client_certificates",
        flag: None,
        what: "Whether clients show certificates (mutual TLS): one that is shown must be valid, and with required nobody connects without.",
        kind: ValueKind::Other("none, optional or required", |settings| {
            &mut settings.tls.client_certificates
        }),
    },
    Key {
        name: "tls.client_ca",
        flag: None,
        what: "Certificates in PEM that client certificates must be issued by. SIGHUP reads them again.",
        kind: ValueKind::Other("none or the path of a file", |settings| {
            &mut settings.tls.client_ca
        }),
    },
    Key {
        name: "tls.max_message_bytes",
        flag: None,
        what: "Largest message of a client that connected with TLS; same is limits.max_message_bytes.",
        kind: ValueKind::OwnSize(Listener::MESSAGE_BYTES, |settings| {
            &mut settings.tls.message_bytes_max
        }),
    },
    Key {
        name: "fallback.enabled",
        flag: None,
        what: "Serves clients whose network lets no WebSocket through: event streams by GET and messages by POST, both on /sse; of the Centrifuge protocol on /connection/http_stream, /connection/sse and /emulation.",
        kind: ValueKind::Other("true or false", |settings| &mut settings.fallback),
    },
    admin_keys::AUDIT_FILE,
    admin_keys::AUDIT_BYTES,
    admin_keys::AUDIT_KEPT,
    Key {
        name: "centrifuge.enabled",
        flag: None,
        what: "Serves SDKs of the Centrifuge protocol on /connection/websocket.",
        kind: ValueKind::Other("true or false", |settings| &mut settings.centrifuge_enabled),
    },
    Key {
        name: "centrifuge.ping_interval",
        flag: None,
        what: "From one ping of the protocol to the next, whatever the client sends; SDKs are told it in whole seconds, rounded up. Never more than half of timeouts.idle.",
        kind: ValueKind::Time(PING_RANGE, |settings| {
            &mut settings.centrifuge.ping_interval
        }),
    },
    Key {
        name: "centrifuge.pong_timeout",
        flag: None,
        what: "From such a ping to any sign of life; after it the connection is closed with 3012.",
        kind: ValueKind::Time(TIMEOUT_RANGE, |settings| {
            &mut settings.centrifuge.pong_timeout
        }),
    },
    Key {
        name: "centrifuge.connect_timeout",
        flag: None,
        what: "From the open WebSocket to its first command, connect; after it the connection is closed with 3502.",
        kind: ValueKind::Time(TIMEOUT_RANGE, |settings| {
            &mut settings.centrifuge.connect_timeout
        }),
    },
    centrifuge_keys::PERSONAL_CHANNELS,
    centrifuge_keys::UNIDIRECTIONAL,
    gateway_keys::URL,
    gateway_keys::SOCKET,
    gateway_keys::SECRET_FILE,
    gateway_keys::SECRET_ENV,
    gateway_keys::AUTHORITIES,
    gateway_keys::EVENTS,
    gateway_keys::WHEN_DOWN,
    gateway_keys::TIMEOUT,
    gateway_keys::IN_FLIGHT,
    gateway_keys::QUEUE,
    gateway_keys::RETRIES,
    gateway_keys::BATCH,
    gateway_keys::DEAD_LETTERS,
    gateway_keys::DEAD_LETTER_BYTES,
    trace_keys::ENDPOINT,
    trace_keys::SAMPLE,
    trace_keys::CALLERS,
    trace_keys::SERVICE_NAME,
    trace_keys::HEADERS_FILE,
    trace_keys::AUTHORITIES,
    trace_keys::TIMEOUT,
    trace_keys::QUEUE,
    admin_keys::LOG_LEVEL,
    admin_keys::LOG_FORMAT,
];

const FILES_RULE: &str = "none or the paths of up to 64 files, separated by commas, without quotes, backslashes and control characters";

/// Deadlines of a connection: the engine's timer wheel is coarse, and a day of silence is no
/// connection.
const TIMEOUT_RANGE: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(86_400);
/// Clients are told whole seconds.
const PING_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
/// The idle timeout is looked at about every second.
const IDLE_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::Settings;

    #[test]
    fn names_are_unique_in_the_file_and_in_the_environment() {
        let mut names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        let mut variables: Vec<_> = KEYS.iter().map(Key::variable).collect();
        names.sort_unstable();
        names.dedup();
        variables.sort_unstable();
        variables.dedup();
        assert_eq!((names.len(), variables.len()), (KEYS.len(), KEYS.len()));
    }

    #[test]
    fn every_default_obeys_its_rule_and_reads_back() {
        for key in KEYS {
            let (defaults, mut read) = (Settings::default(), Settings::default());
            assert_eq!(
                key.read(&mut read, &key.show(&defaults)),
                Some(()),
                "{}",
                key.name
            );
            assert_eq!(read, defaults, "{}", key.name);
        }
    }

    #[test]
    fn nearest() {
        for (name, want) in [
            ("limits.max_conections", "limits.max_connections"),
            ("listen", "server.listen"),
            ("server.max_message_bytes", "limits.max_message_bytes"),
            ("timeout.heartbeats", "timeouts.heartbeat"),
            ("log.levle", "log.level"),
            ("serverlisten", "server.listen"),
            ("cluster.partitions", "cluster.streams"),
        ] {
            assert_eq!(super::nearest(name).name, want, "{name:?}");
        }
    }
}
