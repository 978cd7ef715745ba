//! What can be wrong with a request: one table of codes for all dialects, written out in `docs/errors.md` by `cargo run -p
//! shardcast-protocol --example errors`. Called by the dialects and by the server.

use crate::close::CloseCode;
use std::borrow::Cow;

/// Why a request was refused. A refused message leaves the connection open, unless the server says that it closes it for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The message is not JSON. The answer bears no `id`, for there is none to trust.
    BadJson,
    /// The message is no request: a missing, mistyped, contradictory or duplicate key, or no MessagePack at all.
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
    /// No namespace is configured for the room's name.
    UnknownNamespace,
    /// The room has as many members as it may have.
    RoomFull,
    /// `data` is not what the handler of this `type` takes; `field` says where.
    InvalidData,
}

/// A row of the table.
struct Row {
    name: &'static str,
    json_rpc: i16,
    close_code: u16,
    retryable: bool,
    meaning: &'static str,
}

impl Code {
    /// Every code.
    pub const ALL: [Code; 15] = [
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
        Code::UnknownNamespace,
        Code::RoomFull,
        Code::InvalidData,
    ];

    /// The code on the wire.
    pub fn as_str(self) -> &'static str {
        self.row().name
    }

    /// The code that is written so.
    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.as_str() == name)
    }

    /// The error's number in JSON-RPC: -32768 to -32600 are the specification's, -32099 to -32000 ours. A problem may be
    /// more exact, see [`Problem::json_rpc`].
    pub fn json_rpc(self) -> i32 {
        self.row().json_rpc.into()
    }

    /// What a connection is closed with when the server ends it for this: 4000 to 4099 when connecting again would not help,
    /// 4100 to 4199 when it may, after a while.
    pub fn close_code(self) -> CloseCode {
        CloseCode::new(self.row().close_code).expect("a test looks at each")
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(self) -> bool {
        self.row().retryable
    }

    /// What it means, in a sentence without its full stop, in Markdown.
    pub fn meaning(self) -> &'static str {
        self.row().meaning
    }

    fn row(self) -> Row {
        let row = |name, json_rpc, close_code, retryable, meaning| Row {
            name,
            json_rpc,
            close_code,
            retryable,
            meaning,
        };
        match self {
            Code::BadJson => row(
                "bad_json",
                -32700,
                4000,
                false,
                "the message is not valid JSON, or it nests too deep; the answer bears no `id`",
            ),
            Code::BadRequest => row(
                "bad_request",
                -32602,
                4001,
                false,
                "the message is no request: not an object, a missing, mistyped, contradictory or duplicate key, an `id` that is too long \
                 (then without `id`), a bad room name, text where the dialect is binary or binary where it is text, or no valid MessagePack",
            ),
            Code::UnknownType => row(
                "unknown_type",
                -32601,
                4002,
                false,
                "nobody handles this `type`, or, in JSON-RPC, this method",
            ),
            Code::Unauthorized => row(
                "unauthorized",
                -32001,
                4003,
                false,
                "the connection has not proved who it is",
            ),
            Code::Forbidden => row(
                "forbidden",
                -32002,
                4004,
                false,
                "the connection may not do this; also answered for what does not exist when the difference is secret",
            ),
            Code::NotJoined => row(
                "not_joined",
                -32003,
                4005,
                false,
                "the connection is not in the room that it wants to leave or to use",
            ),
            Code::TooLarge => row(
                "too_large",
                -32004,
                4006,
                false,
                "the message would exceed the sender's `max_message_bytes` on delivery, its envelope included",
            ),
            Code::RateLimited => row(
                "rate_limited",
                -32005,
                4100,
                true,
                "too much at a time; `retry_after_ms` says when to try again",
            ),
            Code::Timeout => row(
                "timeout",
                -32006,
                4101,
                true,
                "the request took too long; whether it took effect is unknown",
            ),
            Code::HandlerFailed => row(
                "handler_failed",
                -32603,
                4102,
                false,
                "the server failed while it handled the request; whether it took effect is unknown",
            ),
            Code::RoomLimit => row(
                "room_limit",
                -32007,
                4007,
                false,
                "the connection would be in more rooms than it may be, or the request names more than that",
            ),
            Code::Unavailable => row(
                "unavailable",
                -32008,
                4103,
                true,
                "what the request needs is not there now",
            ),
            Code::UnknownNamespace => row(
                "unknown_namespace",
                -32009,
                4008,
                false,
                "no namespace is configured for the room's name",
            ),
            Code::RoomFull => row(
                "room_full",
                -32010,
                4104,
                true,
                "the room has as many members as it may have",
            ),
            Code::InvalidData => row(
                "invalid_data",
                -32602,
                4009,
                false,
                "`data` is not what the handler of this `type` takes; `field` names what is wrong in it",
            ),
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
    /// Path of the offending field: `data.price`, `data.items[3].name`.
    pub field: Option<Cow<'static, str>>,
    /// JSON-RPC tells what is no request from a request whose params are wrong; nobody else does.
    invalid_request: bool,
}

impl Problem {
    /// A problem of any code but [`Code::RateLimited`].
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Problem {
        Problem {
            code,
            message: message.into(),
            retry_after_ms: None,
            field: None,
            invalid_request: false,
        }
    }

    /// Too much at a time.
    pub fn rate_limited(message: impl Into<Cow<'static, str>>, retry_after_ms: u32) -> Problem {
        Problem {
            retry_after_ms: Some(retry_after_ms),
            ..Problem::new(Code::RateLimited, message)
        }
    }

    /// Says which field it is about.
    #[must_use]
    pub fn at_field(self, path: impl Into<Cow<'static, str>>) -> Problem {
        Problem {
            field: Some(path.into()),
            ..self
        }
    }

    /// [`Code::BadRequest`] for a message that is no JSON-RPC request object.
    pub(crate) fn invalid_request(message: impl Into<Cow<'static, str>>) -> Problem {
        Problem {
            invalid_request: true,
            ..Problem::new(Code::BadRequest, message)
        }
    }

    /// The error's number in JSON-RPC: its code's, but -32600 when the message is no request object at all.
    pub fn json_rpc(&self) -> i32 {
        if self.invalid_request {
            INVALID_REQUEST
        } else {
            self.code.json_rpc()
        }
    }
}

/// JSON-RPC 2.0 §5.1: "The JSON sent is not a valid Request object."
const INVALID_REQUEST: i32 = -32600;
