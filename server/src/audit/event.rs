//! The events of the audit log, each with its fields, written with the target `audit`.
//!
//! Invariant: no event bears a token, a secret, or data of a message. Names that a client chose are
//! shortened to [`AuditEvent::NAME_BYTES_MAX`] bytes. Made where the thing happens.

use shardcast_engine::Peer;
use tracing::info;

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AuditEvent<'a> {
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
    /// The keys of tokens were read again.
    KeysReplaced { keys: usize },
}

impl AuditEvent<'_> {
    /// Longest name that is written.
    const NAME_BYTES_MAX: usize = 256;

    /// Writes the event.
    pub(crate) fn emit(self) {
        match self {
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
