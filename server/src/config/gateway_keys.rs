//! The keys of section `[gateway]`.

use super::key::{Key, ValueKind};
use std::time::Duration;

const PATH_RULE: &str =
    "none or the path of a file, without quotes, backslashes and control characters";

pub(super) const URL: Key = Key {
    name: "gateway.url",
    flag: None,
    what: "Where the application answers webhooks: each event is a POST of JSON there. https, or http on this host (elsewhere only with server.insecure).",
    kind: ValueKind::Other(
        "none or a URL of at most 1024 characters, without quotes, backslashes and control characters",
        |settings| &mut settings.gateway.url,
    ),
};
pub(super) const SOCKET: Key = Key {
    name: "gateway.socket",
    flag: None,
    what: "Where the application listens for the stream of Protobuf messages (proto/gateway.proto), in place of a URL. An address of another host only with server.insecure, for the stream is not encrypted.",
    kind: ValueKind::Other(
        "none, unix:PATH with up to 107 bytes of path, or an IP address and a port",
        |settings| &mut settings.gateway.socket,
    ),
};
pub(super) const SECRET_FILE: Key = Key {
    name: "gateway.secret_file",
    flag: None,
    what: "File with the secret, 16 bytes at least, that what is sent to the application is signed with (HMAC-SHA256).",
    kind: ValueKind::Other(PATH_RULE, |settings| {
        &mut settings.gateway.secret.secret_file
    }),
};
pub(super) const SECRET_ENV: Key = Key {
    name: "gateway.secret_env",
    flag: None,
    what: "Environment variable with that secret, in place of a file.",
    kind: ValueKind::Other(
        "none or the name of an environment variable that does not begin with SHARDCAST_",
        |settings| &mut settings.gateway.secret.secret_variable,
    ),
};
pub(super) const AUTHORITIES: Key = Key {
    name: "gateway.authorities",
    flag: None,
    what: "Certificates in PEM that the application's server is trusted by, instead of those that the host trusts.",
    kind: ValueKind::Other(PATH_RULE, |settings| &mut settings.gateway.authorities),
};
pub(super) const EVENTS: Key = Key {
    name: "gateway.events",
    flag: None,
    what: "What the application decides (connect, refresh, join, publish, rpc) and is told of (leave, disconnect, occupied and vacated: a room has its first member, or none any more).",
    kind: ValueKind::Other(
        "one or more of connect, refresh, join, publish, rpc, leave, disconnect, occupied and vacated, separated by commas",
        |settings| &mut settings.gateway.events,
    ),
};
pub(super) const WHEN_DOWN: Key = Key {
    name: "gateway.when_down",
    flag: None,
    what: "What becomes of a decision that the application does not make, because it is not there or takes too long: closed refuses it (unavailable, timeout), open accepts it. An rpc is refused in any case, and a token that has expired stays so.",
    kind: ValueKind::Other("open or closed", |settings| &mut settings.gateway.when_down),
};
pub(super) const TIMEOUT: Key = Key {
    name: "gateway.timeout",
    flag: None,
    what: "How long a decision may take, further attempts included.",
    kind: ValueKind::Time(
        Duration::from_millis(50)..=Duration::from_secs(60),
        |settings| &mut settings.gateway.timeout,
    ),
};
pub(super) const IN_FLIGHT: Key = Key {
    name: "gateway.in_flight",
    flag: None,
    what: "Events that the application works on at a time; with a URL as many connections at most.",
    kind: ValueKind::Count(1..=65_536, |settings| &mut settings.gateway.in_flight),
};
pub(super) const QUEUE: Key = Key {
    name: "gateway.queue",
    flag: None,
    what: "Events that wait besides; one more is answered as if the application were down. As many notices (leave, disconnect, occupied, vacated); one more is lost, and counted.",
    kind: ValueKind::Count(0..=1_048_576, |settings| &mut settings.gateway.queue),
};
pub(super) const RETRIES: Key = Key {
    name: "gateway.retries",
    flag: None,
    what: "Further attempts within the timeout, after 50 ms and more: of connect, refresh and join, and of whatever the application cannot have seen.",
    kind: ValueKind::Count(0..=10, |settings| &mut settings.gateway.retries),
};
pub(super) const BATCH: Key = Key {
    name: "gateway.batch",
    flag: None,
    what: "Notices that go to the application in one event, at most.",
    kind: ValueKind::Count(1..=1_000, |settings| &mut settings.gateway.batch),
};
pub(super) const DEAD_LETTERS: Key = Key {
    name: "gateway.dead_letters",
    flag: None,
    what: "File for notices that the application did not take within 30 s, one JSON object a line; replay-dead-letters sends them again. none loses them.",
    kind: ValueKind::Other(PATH_RULE, |settings| &mut settings.gateway.dead_letters),
};
pub(super) const DEAD_LETTER_BYTES: Key = Key {
    name: "gateway.dead_letter_bytes",
    flag: None,
    what: "Largest such file; beyond it notices are lost, and counted.",
    kind: ValueKind::Size(64 << 10..=1 << 32, |settings| {
        &mut settings.gateway.dead_letter_bytes
    }),
};
