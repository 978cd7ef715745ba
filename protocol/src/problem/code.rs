//! The table of error codes: what each is called in every dialect, and what it means.

use crate::close::CloseCode;

/// Why a request was refused. A refused message leaves the connection open, unless the server says
/// that it closes it for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The message is not JSON. The answer bears no `id`, for there is none to trust.
    BadJson,
    /// The message is no request: a missing, mistyped, contradictory or duplicate key, or no
    /// MessagePack at all.
    BadRequest,
    /// Nobody handles this `type`.
    UnknownType,
    /// The connection has not proved who it is.
    Unauthorized,
    /// The connection may not do this; also answered for what does not exist when the difference is
    /// secret.
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
    /// The token that said who the connection is has expired.
    TokenExpired,
    /// There is no session to go on with: another connection has it, its time is over, or there
    /// never was one.
    NoSession,
}

/// A row of the table.
struct Row {
    code: Code,
    name: &'static str,
    json_rpc: i16,
    close_code: CloseCode,
    meaning: &'static str,
}

impl Code {
    /// Every code.
    pub const ALL: [Code; 17] = [
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
        Code::TokenExpired,
        Code::NoSession,
    ];

    /// The code on the wire.
    pub fn as_str(self) -> &'static str {
        self.row().name
    }

    /// The code that is written so.
    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.as_str() == name)
    }

    /// The error's number in JSON-RPC: -32768 to -32600 are the specification's, -32099 to -32000
    /// ours. A problem may be more exact, see [`super::Problem::json_rpc`].
    pub fn json_rpc(self) -> i32 {
        self.row().json_rpc.into()
    }

    /// What a connection is closed with when the server ends it for this: 4000 to 4099 when
    /// connecting again would not help, 4100 to 4199 when it may, after a while.
    pub fn close_code(self) -> CloseCode {
        self.row().close_code
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(self) -> bool {
        match self {
            Code::RateLimited | Code::Timeout | Code::Unavailable | Code::RoomFull => true,
            Code::BadJson
            | Code::BadRequest
            | Code::UnknownType
            | Code::Unauthorized
            | Code::Forbidden
            | Code::NotJoined
            | Code::TooLarge
            | Code::HandlerFailed
            | Code::RoomLimit
            | Code::UnknownNamespace
            | Code::InvalidData
            | Code::TokenExpired
            | Code::NoSession => false,
        }
    }

    /// What it means, in a sentence without its full stop, in Markdown.
    pub fn meaning(self) -> &'static str {
        self.row().meaning
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

/// In the order of the codes.
const TABLE: [Row; Code::ALL.len()] = [
    row(
        Code::BadJson,
        "bad_json",
        -32700,
        4000,
        "the message is not valid JSON, or it nests too deep; the answer bears no `id`",
    ),
    row(
        Code::BadRequest,
        "bad_request",
        -32602,
        4001,
        "the message is no request: not an object, a missing, mistyped, contradictory or duplicate key, an `id` that is too long \
                 (then without `id`), a bad room name, text where the dialect is binary or binary where it is text, or no valid MessagePack",
    ),
    row(
        Code::UnknownType,
        "unknown_type",
        -32601,
        4002,
        "nobody handles this `type`, or, in JSON-RPC, this method",
    ),
    row(
        Code::Unauthorized,
        "unauthorized",
        -32001,
        4003,
        "the connection has not proved who it is",
    ),
    row(
        Code::Forbidden,
        "forbidden",
        -32002,
        4004,
        "the connection may not do this; also answered for what does not exist when the difference is secret",
    ),
    row(
        Code::NotJoined,
        "not_joined",
        -32003,
        4005,
        "the connection is not in the room that it wants to leave or to use",
    ),
    row(
        Code::TooLarge,
        "too_large",
        -32004,
        4006,
        "the message would exceed the sender's `max_message_bytes` on delivery, its envelope included",
    ),
    row(
        Code::RateLimited,
        "rate_limited",
        -32005,
        4100,
        "too much at a time; `retry_after_ms` says when to try again",
    ),
    row(
        Code::Timeout,
        "timeout",
        -32006,
        4101,
        "the request took too long; whether it took effect is unknown",
    ),
    row(
        Code::HandlerFailed,
        "handler_failed",
        -32603,
        4102,
        "the server failed while it handled the request; whether it took effect is unknown",
    ),
    row(
        Code::RoomLimit,
        "room_limit",
        -32007,
        4007,
        "the connection would be in more rooms than it may be, or the request names more than that",
    ),
    row(
        Code::Unavailable,
        "unavailable",
        -32008,
        4103,
        "what the request needs is not there now",
    ),
    row(
        Code::UnknownNamespace,
        "unknown_namespace",
        -32009,
        4008,
        "no namespace is configured for the room's name",
    ),
    row(
        Code::RoomFull,
        "room_full",
        -32010,
        4104,
        "the room has as many members as it may have",
    ),
    row(
        Code::InvalidData,
        "invalid_data",
        -32602,
        4009,
        "`data` is not what the handler of this `type` takes; `field` names what is wrong in it",
    ),
    row(
        Code::TokenExpired,
        "token_expired",
        -32011,
        4105,
        "the token that said who the connection is has expired; with a new one the client may connect again",
    ),
    row(
        Code::NoSession,
        "no_session",
        -32012,
        4010,
        "there is no session to go on with: another connection has it, its time is over, or there never was one",
    ),
];

const fn row(
    code: Code,
    name: &'static str,
    json_rpc: i16,
    close_code: u16,
    meaning: &'static str,
) -> Row {
    let close_code = CloseCode::new(close_code).expect("4000 to 4999 may be sent");
    Row {
        code,
        name,
        json_rpc,
        close_code,
        meaning,
    }
}

const _: () = {
    let mut index = 0;
    while index < TABLE.len() {
        assert!(TABLE[index].code as usize == index && Code::ALL[index] as usize == index);
        index += 1;
    }
};
