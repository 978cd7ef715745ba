//! The events of the audit log, each with its fields, written with the target `audit`.
//!
//! Invariant: no event bears a token, a secret, or data of a message. Names that a client chose are
//! shortened to [`AuditEvent::NAME_BYTES_MAX`] bytes. Made where the thing happens.

use shardcast_engine::Peer;
use tracing::info;

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AuditEvent<'a> {
    /// Somebody is banned.
    Banned {
        whom: &'a str,
        /// `operator`, or `refusals`.
        by: &'static str,
    },
    /// A request to the admin port was refused by its guard.
    AdminRefused { path: &'a str, status: u16 },
    /// An operator's call, with what it was asked with.
    AdminCalled {
        call: &'static str,
        body: &'a str,
        status: u16,
    },
    /// Something was read again.
    Reloaded {
        what: &'static str,
        result: &'static str,
    },
    /// So many clients were refused by an address, since the last such event.
    ClientsRefused { reason: &'static str, count: u64 },
    /// A limit was reached so often since the last such event.
    Limited {
        limit: &'static str,
        outcome: &'static str,
        count: u64,
    },
    /// A token was refused.
    TokenRefused {
        peer: Peer,
        /// Where the token was.
        source: &'static str,
        /// The rule that it breaks ([`crate::TokenFault::code`]).
        fault: &'static str,
        /// Who the connection was so far.
        user: Option<&'a str>,
    },
    /// A client was refused what it asked for in a room.
    Refused {
        peer: Peer,
        user: Option<&'a str>,
        action: &'static str,
        /// Empty: what it asked for is about none.
        room: &'a str,
        code: &'static str,
    },
    /// A connection was closed because its token has expired.
    TokenExpired { peer: Peer, user: Option<&'a str> },
    /// A connection was closed because its token has been revoked.
    TokenRevoked { peer: Peer, user: Option<&'a str> },
    /// The keys of tokens were read again.
    KeysReplaced { keys: usize },
}

impl AuditEvent<'_> {
    /// Longest name that is written.
    const NAME_BYTES_MAX: usize = 256;
    /// Most that is written of what a call was asked with, whose texts are shortened before: more
    /// are only escapes.
    const BODY_BYTES_MAX: usize = 4 << 10;

    /// Writes the event.
    pub(crate) fn emit(self) {
        match self {
            AuditEvent::Banned { whom, by } => {
                info!(target: TARGET, event = "banned", whom = shortened(whom), by);
            }
            AuditEvent::AdminRefused { path, status } => {
                info!(target: TARGET, event = "admin_refused", path = shortened(path), status);
            }
            AuditEvent::AdminCalled { call, body, status } => {
                let body = &body[..body.floor_char_boundary(AuditEvent::BODY_BYTES_MAX)];
                info!(target: TARGET, event = "admin_called", call, body, status);
            }
            AuditEvent::Reloaded { what, result } => {
                info!(target: TARGET, event = "reloaded", what, result);
            }
            AuditEvent::ClientsRefused { reason, count } => {
                info!(target: TARGET, event = "clients_refused", reason, count);
            }
            AuditEvent::Limited {
                limit,
                outcome,
                count,
            } => {
                info!(target: TARGET, event = "limited", limit, outcome, count);
            }
            AuditEvent::TokenRefused {
                peer,
                source,
                fault,
                user,
            } => {
                info!(target: TARGET, event = "token_refused", %peer, source, fault, user = user.map(shortened));
            }
            AuditEvent::Refused {
                peer,
                user,
                action,
                room,
                code,
            } => {
                let room = shortened(room);
                info!(target: TARGET, event = "refused", %peer, user = user.map(shortened), action, room, code);
            }
            AuditEvent::TokenExpired { peer, user } => {
                info!(target: TARGET, event = "token_expired", %peer, user = user.map(shortened));
            }
            AuditEvent::TokenRevoked { peer, user } => {
                info!(target: TARGET, event = "token_revoked", %peer, user = user.map(shortened));
            }
            AuditEvent::KeysReplaced { keys } => {
                info!(target: TARGET, event = "keys_replaced", keys);
            }
        }
    }
}

/// What the events are called apart by from lines of the log.
pub(crate) const TARGET: &str = "audit";

fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(AuditEvent::NAME_BYTES_MAX)]
}
