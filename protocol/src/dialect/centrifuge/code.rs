//! The numbers of the Centrifuge protocol: errors of commands, why a connection ends, why a
//! subscription does. Clients act upon them.
//!
//! Invariant: a client comes back after a disconnect unless its code is 3500 to 3999 or 4500 to
//! 4999, and one of them asks for a reason that is not empty and no JSON. Written by `reply` and
//! `push`; the server closes with them.

use crate::close::CloseCode;
use crate::json::Raw;
use crate::problem::Code;

/// Errors that no [`Code`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Something failed here; the same may succeed later.
    Internal,
    /// The token is none of this server's, or not this client's.
    Unauthorized,
    /// The connection is in the channel, or on its way in.
    AlreadySubscribed,
    /// The server does not do this.
    NotAvailable,
    /// The token was good once.
    TokenExpired,
    /// What the client has missed is not there any more.
    UnrecoverablePosition,
}

impl Refusal {
    /// Every one.
    pub const ALL: [Refusal; 6] = [
        Refusal::Internal,
        Refusal::Unauthorized,
        Refusal::AlreadySubscribed,
        Refusal::NotAvailable,
        Refusal::TokenExpired,
        Refusal::UnrecoverablePosition,
    ];

    /// What clients are told.
    pub fn text(self) -> &'static str {
        self.error().1
    }

    /// Number, text, and whether the same may succeed later.
    pub(super) fn error(self) -> (u32, &'static str, Retry) {
        match self {
            Refusal::Internal => (100, "internal server error", Retry::Later),
            Refusal::Unauthorized => (101, "unauthorized", Retry::No),
            Refusal::AlreadySubscribed => (105, "already subscribed", Retry::No),
            Refusal::NotAvailable => (108, "not available", Retry::No),
            Refusal::TokenExpired => (109, "token expired", Retry::No),
            Refusal::UnrecoverablePosition => (112, "unrecoverable position", Retry::No),
        }
    }
}

/// Whether a client may ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    No,
    /// SDKs do it by themselves.
    Later,
}

/// The number of a problem of the vocabulary that all dialects share. `docs/centrifuge.md` has the
/// table.
pub fn error_number(code: Code) -> u32 {
    match code {
        Code::Timeout | Code::HandlerFailed | Code::Unavailable => 100,
        Code::Unauthorized => 101,
        Code::UnknownNamespace => 102,
        Code::Forbidden => 103,
        Code::TooLarge | Code::RoomLimit | Code::RoomFull => 106,
        Code::BadJson
        | Code::BadRequest
        | Code::NotJoined
        | Code::InvalidData
        | Code::NoSession => 107,
        Code::UnknownType => 108,
        Code::TokenExpired => 109,
        Code::RateLimited => 111,
    }
}

/// Whether SDKs are told to ask again: as often as that may help, and always for what the protocol
/// calls internal.
pub(super) fn retry_of(code: Code) -> Retry {
    match code {
        _ if code.is_retryable() || error_number(code) == 100 => Retry::Later,
        _ => Retry::No,
    }
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Disconnect {
    code: u16,
    reason: &'static str,
}

impl Disconnect {
    /// 3000
    pub const CONNECTION_CLOSED: Disconnect = disconnect(3000, "connection closed");
    /// 3001
    pub const SHUTDOWN: Disconnect = disconnect(3001, "shutdown");
    /// 3004
    pub const SERVER_ERROR: Disconnect = disconnect(3004, "internal server error");
    /// 3005
    pub const EXPIRED: Disconnect = disconnect(3005, "connection expired");
    /// 3008
    pub const SLOW: Disconnect = disconnect(3008, "slow");
    /// 3010
    pub const INSUFFICIENT_STATE: Disconnect = disconnect(3010, "insufficient state");
    /// 3011
    pub const FORCE_RECONNECT: Disconnect = disconnect(3011, "force reconnect");
    /// 3012
    pub const NO_PONG: Disconnect = disconnect(3012, "no pong");
    /// 3013
    pub const TOO_MANY_REQUESTS: Disconnect = disconnect(3013, "too many requests");
    /// 3500
    pub const INVALID_TOKEN: Disconnect = disconnect(3500, "invalid token");
    /// 3501
    pub const BAD_REQUEST: Disconnect = disconnect(3501, "bad request");
    /// 3502
    pub const STALE: Disconnect = disconnect(3502, "stale");
    /// 3503
    pub const FORCE_DISCONNECT: Disconnect = disconnect(3503, "force disconnect");
    /// 3504
    pub const CONNECTION_LIMIT: Disconnect = disconnect(3504, "connection limit");
    /// 3505
    pub const CHANNEL_LIMIT: Disconnect = disconnect(3505, "channel limit");
    /// 3507
    pub const PERMISSION_DENIED: Disconnect = disconnect(3507, "permission denied");
    /// 3508
    pub const NOT_AVAILABLE: Disconnect = disconnect(3508, "not available");

    /// What the close frame bears.
    pub fn code(self) -> CloseCode {
        CloseCode::new(self.code).expect("3000 to 3999 may be sent")
    }

    /// What it says.
    pub const fn reason(self) -> &'static str {
        self.reason
    }

    /// Whether clients stay away after this code.
    pub fn is_terminal(code: CloseCode) -> bool {
        matches!(code.get(), 3500..=3999 | 4500..=4999)
    }

    /// Whether a client takes this text for a plain reason. One that is empty makes SDKs of
    /// JavaScript come back after any code, and what is JSON they read as an instruction.
    pub fn is_plain(reason: &str) -> bool {
        !reason.is_empty() && Raw::parse(reason).is_none()
    }
}

const fn disconnect(code: u16, reason: &'static str) -> Disconnect {
    Disconnect { code, reason }
}

/// Why a subscription ends that the client has not ended: it subscribes again after 2500 and above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unsubscribed {
    /// The application wants it so.
    ByServer,
    /// The client must be sent something that is gone.
    InsufficientState,
    /// What permitted it is over.
    Expired,
}

impl Unsubscribed {
    /// Every reason.
    pub const ALL: [Unsubscribed; 3] = [
        Unsubscribed::ByServer,
        Unsubscribed::InsufficientState,
        Unsubscribed::Expired,
    ];

    pub(super) const fn code(self) -> u32 {
        match self {
            Unsubscribed::ByServer => 2000,
            Unsubscribed::InsufficientState => 2500,
            Unsubscribed::Expired => 2501,
        }
    }

    pub(super) const fn reason(self) -> &'static str {
        match self {
            Unsubscribed::ByServer => "server unsubscribe",
            Unsubscribed::InsufficientState => "insufficient state",
            Unsubscribed::Expired => "subscription expired",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_terminal_has_a_plain_reason() {
        for (code, is_terminal) in [
            (1000, false),
            (1009, false),
            (3000, false),
            (3499, false),
            (3500, true),
            (3999, true),
            (4000, false),
            (4499, false),
            (4500, true),
            (4999, true),
        ] {
            let code = CloseCode::new(code).unwrap();
            assert_eq!(Disconnect::is_terminal(code), is_terminal, "{code}");
        }
        for (reason, is_plain) in [
            ("", false),
            ("bad request", true),
            ("null", false),
            ("12", false),
            (r#"{"reason":"x","reconnect":true}"#, false),
            (r#""text""#, false),
            ("{", true),
        ] {
            assert_eq!(Disconnect::is_plain(reason), is_plain, "{reason}");
        }
    }
}
