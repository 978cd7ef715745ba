//! The keys of sections `[admin]`, `[audit]` and `[log]`, part of the table of keys.

use super::key::{Key, ValueKind};
use std::time::Duration;

const PATH_RULE: &str =
    "none or the path of a file, without quotes, backslashes and control characters";

pub(super) const ADDRESS: Key = Key {
    name: "server.admin",
    flag: Some("--admin"),
    what: "Where operators connect: health, readiness, metrics, the admin API and its pages. Port 0 picks a free port.",
    kind: ValueKind::Other(
        "an IP address and a port, such as 127.0.0.1:8001 or [::1]:8001",
        |settings| &mut settings.admin,
    ),
};
pub(super) const TOKEN_FILE: Key = Key {
    name: "admin.token_file",
    flag: None,
    what: "File with the operators' token: 32 to 512 visible ASCII characters on a line, and on a second one the former token while both count. Then the admin port asks for it (Authorization: Bearer), but for /health and /ready, and may be reachable from other hosts. SIGHUP reads it again.",
    kind: ValueKind::Other(PATH_RULE, |settings| &mut settings.operators.token_file),
};

pub(super) const TOKEN_ENV: Key = Key {
    name: "admin.token_env",
    flag: None,
    what: "Environment variable with that token, in place of a file.",
    kind: ValueKind::Other(
        "none or the name of an environment variable that does not begin with SHARDCAST_",
        |settings| &mut settings.operators.token_env,
    ),
};

pub(super) const CERTIFICATE: Key = Key {
    name: "admin.certificate",
    flag: None,
    what: "Certificate chain in PEM with which the admin port speaks TLS, and nothing else. SIGHUP reads it again.",
    kind: ValueKind::Other(PATH_RULE, |settings| &mut settings.operators.certificate),
};

pub(super) const KEY: Key = Key {
    name: "admin.key",
    flag: None,
    what: "Its private key in PEM.",
    kind: ValueKind::Other(PATH_RULE, |settings| &mut settings.operators.key),
};

pub(super) const CLIENT_CA: Key = Key {
    name: "admin.client_ca",
    flag: None,
    what: "Certificates in PEM of whoever issues those of operators. Who shows one of theirs needs no token, and the port may be reachable from other hosts; who shows none needs the token, but for /health and /ready.",
    kind: ValueKind::Other(PATH_RULE, |settings| &mut settings.operators.client_ca),
};

pub(super) const STATE_FILE: Key = Key {
    name: "admin.state_file",
    flag: None,
    what: "File in which bans and revoked tokens outlive a restart; its folder must be writable. The server does not start with one that it cannot read. With none they end with the process.",
    kind: ValueKind::Other(PATH_RULE, |settings| &mut settings.operators.state_file),
};

pub(super) const BAN_AFTER: Key = Key {
    name: "access.ban_after",
    flag: None,
    what: "Refusals of one address (IPv6: of one /64) within a minute after which it is banned: those answered 401, 403 and 429. none bans nobody by itself.",
    kind: ValueKind::SomeCount(1..=100_000, |settings| &mut settings.ban_after),
};

pub(super) const BAN_FOR: Key = Key {
    name: "access.ban_for",
    flag: None,
    what: "How long such a ban lasts.",
    kind: ValueKind::Time(
        Duration::from_secs(1)..=Duration::from_secs(365 * 86_400),
        |settings| &mut settings.ban_for,
    ),
};

pub(super) const AUDIT_FILE: Key = Key {
    name: "audit.file",
    flag: None,
    what: "Audit log, one JSON object a line: refusals, bans, limits that were reached, calls of operators, what was read again. SIGHUP opens it again.",
    kind: ValueKind::Other(PATH_RULE, |settings| &mut settings.audit_file),
};

pub(super) const AUDIT_BYTES: Key = Key {
    name: "audit.max_bytes",
    flag: None,
    what: "A file that would become larger is renamed (.1, .2 …) and begun anew.",
    kind: ValueKind::Size(64 << 10..=1 << 40, |settings| &mut settings.audit_bytes_max),
};

pub(super) const AUDIT_KEPT: Key = Key {
    name: "audit.files",
    flag: None,
    what: "Renamed files that are kept; the oldest goes.",
    kind: ValueKind::Count(0..=1_000, |settings| &mut settings.audit_files),
};
pub(super) const LOG_LEVEL: Key = Key {
    name: "log.level",
    flag: None,
    what: "Least severe event that is logged. Logs go to standard error.",
    kind: ValueKind::Other("error, warn, info, debug or trace", |settings| {
        &mut settings.log_level
    }),
};
pub(super) const LOG_FORMAT: Key = Key {
    name: "log.format",
    flag: None,
    what: "How a log line is written: text for people, json for collectors.",
    kind: ValueKind::Other("text or json", |settings| &mut settings.log_format),
};
