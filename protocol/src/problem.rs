//! What can be wrong with a request: one table of codes for all dialects, written out in `docs/errors.md`.

use std::borrow::Cow;

/// Why a request was refused. A refused message leaves the connection open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The message is not JSON. The answer bears no `id`, for there is none to trust.
    BadJson,
    /// The message is JSON, but not a request: a missing, mistyped, contradictory or duplicate key.
    BadRequest,
    /// Nobody handles this `type`.
    UnknownType,
    /// The connection has not proved who it is.
    Unauthorized,
    /// The connection may not do this; also answered for what does not exist when the difference is secret.
    Forbidden,
    /// The connection is not in the room.
    NotJoined,
    /// What the request would deliver is larger than a message may be.
    TooLarge,
    /// Too much at a time; `retry_after_ms` says when to try again.
    RateLimited,
    /// The handler took too long. Whether it took effect is unknown.
    Timeout,
    /// The handler failed. Whether it took effect is unknown.
    HandlerFailed,
    /// The connection would be in more rooms than it may be, or the request names more.
    RoomLimit,
    /// What the request needs is not there now.
    Unavailable,
}

impl Code {
    /// Every code.
    pub const ALL: [Code; 12] = [
        Code::BadJson,
        Code::BadRequest,
        Code::UnknownType,
        Code::Unauthorized,
        Code::Forbidden,
        Code::NotJoined,
        Code::TooLarge,
        Code::RateLimited,
        Code::Timeout,
        Code::HandlerFailed,
        Code::RoomLimit,
        Code::Unavailable,
    ];

    /// The code on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::BadJson => "bad_json",
            Code::BadRequest => "bad_request",
            Code::UnknownType => "unknown_type",
            Code::Unauthorized => "unauthorized",
            Code::Forbidden => "forbidden",
            Code::NotJoined => "not_joined",
            Code::TooLarge => "too_large",
            Code::RateLimited => "rate_limited",
            Code::Timeout => "timeout",
            Code::HandlerFailed => "handler_failed",
            Code::RoomLimit => "room_limit",
            Code::Unavailable => "unavailable",
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(self) -> bool {
        match self {
            Code::RateLimited | Code::Timeout | Code::Unavailable => true,
            Code::BadJson
            | Code::BadRequest
            | Code::UnknownType
            | Code::Unauthorized
            | Code::Forbidden
            | Code::NotJoined
            | Code::TooLarge
            | Code::HandlerFailed
            | Code::RoomLimit => false,
        }
    }
}

/// A refusal in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What a program acts upon.
    pub code: Code,
    /// What a person reads.
    pub message: Cow<'static, str>,
    /// When to try again; only with [`Code::RateLimited`].
    pub retry_after_ms: Option<u32>,
}

impl Problem {
    /// A problem of any code but [`Code::RateLimited`].
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Problem {
        Problem {
            code,
            message: message.into(),
            retry_after_ms: None,
        }
    }

    /// Too much at a time.
    pub fn rate_limited(message: impl Into<Cow<'static, str>>, retry_after_ms: u32) -> Problem {
        Problem {
            code: Code::RateLimited,
            message: message.into(),
            retry_after_ms: Some(retry_after_ms),
        }
    }
}
