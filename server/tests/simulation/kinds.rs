//! The types of requests that clients ask for, and all that each may be answered. The application
//! and the clients agree on this table.

/// One type.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) at: Place,
    /// `ok`, or the codes of errors.
    pub(crate) outcomes: &'static [&'static str],
}

/// Who handles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The server itself.
    BuiltIn,
    Shard,
    Background,
    /// On the shard, in the background or nobody, as the run goes on.
    Changing,
}

const fn kind(name: &'static str, at: Place, outcomes: &'static [&'static str]) -> Kind {
    Kind { name, at, outcomes }
}

use Place::{Background, BuiltIn, Changing, Shard};

/// A background handler may be one too many besides: only then it may be answered `rate_limited`,
/// if that does not stand here.
pub(crate) const KINDS: &[Kind] = &[
    kind("ping", BuiltIn, &["ok"]),
    kind("echo", BuiltIn, &["ok"]),
    kind("rooms", BuiltIn, &["ok"]),
    kind("status", BuiltIn, &["ok"]),
    kind("presence", BuiltIn, &["ok", "rate_limited"]),
    kind("join_room", BuiltIn, &["ok", "room_limit", "rate_limited"]),
    kind("join_room", BuiltIn, &["ok", "room_limit", "rate_limited"]),
    kind("leave_room", BuiltIn, &["ok", "not_joined", "rate_limited"]),
    kind("publish", BuiltIn, &["ok", "rate_limited"]),
    kind("publish", BuiltIn, &["ok", "rate_limited"]),
    kind("nobodys", Shard, &["unknown_type"]),
    kind("s.echo", Shard, &["ok"]),
    kind("s.early", Shard, &["ok"]),
    kind("s.early_fail", Shard, &["ok"]),
    kind("s.early_panic", Shard, &["ok"]),
    kind("s.fail", Shard, &["forbidden"]),
    kind("s.error", Shard, &["handler_failed"]),
    kind("s.panic", Shard, &["handler_failed"]),
    kind("s.invalid", Shard, &["invalid_data"]),
    kind("s.join", Shard, &["ok", "room_limit", "rate_limited"]),
    kind("s.leave", Shard, &["ok", "not_joined", "rate_limited"]),
    kind("s.emit", Shard, &["ok"]),
    kind("s.identify", Shard, &["ok", "rate_limited"]),
    kind("s.user", Shard, &["ok", "unauthorized"]),
    kind("s.close", Shard, &["ok"]),
    kind("m.pass", Shard, &["ok"]),
    kind("m.answer", Shard, &["ok"]),
    kind("m.refuse", Shard, &["forbidden"]),
    kind("m.panic", Shard, &["handler_failed"]),
    kind("b.now", Background, &["ok"]),
    kind("b.late", Background, &["ok"]),
    kind("b.hang", Background, &["timeout"]),
    kind("b.fail", Background, &["forbidden"]),
    kind("b.panic", Background, &["handler_failed"]),
    kind("b.panic_at_once", Background, &["handler_failed"]),
    kind(
        "b.join",
        Background,
        &["ok", "room_limit", "rate_limited", "timeout"],
    ),
    kind("b.emit", Background, &["ok", "timeout"]),
    kind("b.shard", Background, &["ok", "timeout"]),
    kind("b.shard_panic", Background, &["handler_failed", "timeout"]),
    kind("b.members", Background, &["ok", "timeout"]),
    kind("b.call", Background, &["ok", "handler_failed", "timeout"]),
    kind("b.close", Background, &["ok", "timeout"]),
    kind("swap", Changing, &["ok", "unknown_type"]),
    kind("swap", Changing, &["ok", "unknown_type"]),
];

/// Calls of one background handler that a connection may have under way.
pub(crate) const AT_ONCE: u16 = 4;
/// After so long a background handler is answered for.
pub(crate) const TIMEOUT_MS: u64 = 40;
/// No handler that ends waits so long by itself.
pub(crate) const LATE_MS_MAX: u64 = 30;
/// Rooms that the witness is in: as many as a connection may be.
pub(crate) const ROOMS: usize = 3;
/// Rooms that clients join and publish to, besides those of `b.join`.
pub(crate) const ROOMS_ALL: usize = 5;
