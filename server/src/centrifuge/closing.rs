//! Close codes by dialect: what a close frame says to a client, whoever closes and why. Native
//! clients hear the codes of `docs/errors.md`; to SDKs of the Centrifuge protocol those would mean
//! something else (4000 to 4499: come back for ever), so each has its own there.
//!
//! Invariant: a code after which an SDK stays away has a reason that is not empty and no JSON.
//! Called by the engine for every close frame but the answer to a client's.

use shardcast_engine::CloseReason;
use shardcast_engine::Deadline;
use shardcast_engine::protocol::close::{CloseCode, ProtocolError};
use shardcast_protocol::dialect::centrifuge::Disconnect;
use shardcast_protocol::dialect::{Code, Dialect};

/// What a client of this dialect is told, where the engine or the application says `code` and
/// `text`.
pub(crate) fn closing(
    dialect: Dialect,
    reason: CloseReason,
    code: CloseCode,
    text: &str,
) -> (CloseCode, &str) {
    match dialect {
        Dialect::NativeJson | Dialect::JsonRpc | Dialect::MessagePack => (code, text),
        Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => {
            let disconnect = disconnect_of(reason, code);
            let code = disconnect.map_or(code, Disconnect::code);
            let other = disconnect.map_or(PLAIN, Disconnect::reason);
            (code, plain(text, other))
        }
    }
}

/// The text, or another one that SDKs take for a plain reason.
fn plain<'t>(text: &'t str, other: &'static str) -> &'t str {
    match Disconnect::is_plain(text) {
        true => text,
        false => other,
    }
}

const PLAIN: &str = "closed";

/// What a connection of the protocol ends for. `None`: for what its code says.
fn disconnect_of(reason: CloseReason, code: CloseCode) -> Option<Disconnect> {
    Some(match reason {
        CloseReason::Protocol(error) => of_protocol(error),
        CloseReason::Application(_) => return of_application(code),
        CloseReason::SlowReader => Disconnect::SLOW,
        CloseReason::TimedOut(deadline) => of_deadline(deadline),
        CloseReason::OverBudget => Disconnect::TOO_MANY_REQUESTS,
        CloseReason::Draining => Disconnect::SHUTDOWN,
        // The client closes, or nothing is said to it.
        CloseReason::Peer(_) | CloseReason::Lost => return None,
    })
}

/// Whoever breaks the protocol, or sends what is too large, would do it again. (1009 by itself
/// keeps some SDKs away and not others.)
fn of_protocol(_: ProtocolError) -> Disconnect {
    Disconnect::BAD_REQUEST
}

fn of_deadline(deadline: Deadline) -> Disconnect {
    match deadline {
        Deadline::Pong | Deadline::Idle => Disconnect::NO_PONG,
        Deadline::Frame | Deadline::Message | Deadline::Progress => Disconnect::SLOW,
        Deadline::Handshake | Deadline::Header | Deadline::Admission | Deadline::Close => {
            Disconnect::CONNECTION_CLOSED
        }
    }
}

/// An application closes with codes of its own (4200 and above), of the protocol (3000 to 3999), of
/// RFC 6455, or with those of [`Code`].
fn of_application(code: CloseCode) -> Option<Disconnect> {
    let problem = Code::ALL
        .into_iter()
        .find(|problem| problem.close_code() == code);
    Some(match (problem, code.get()) {
        (Some(problem), _) => of_problem(problem),
        // The application is done with the client.
        (None, 1000 | 1008) => Disconnect::FORCE_DISCONNECT,
        (None, 1001 | 1012) => Disconnect::SHUTDOWN,
        (None, 1002 | 1003 | 1007 | 1009 | 1010) => Disconnect::BAD_REQUEST,
        (None, 1011) => Disconnect::SERVER_ERROR,
        (None, 1013) => Disconnect::TOO_MANY_REQUESTS,
        (None, 1014) => Disconnect::CONNECTION_CLOSED,
        (None, 4000..=4099) => Disconnect::FORCE_DISCONNECT,
        (None, 4100..=4199) => Disconnect::FORCE_RECONNECT,
        (None, _) => return None,
    })
}

fn of_problem(problem: Code) -> Disconnect {
    match problem {
        Code::BadJson
        | Code::BadRequest
        | Code::NotJoined
        | Code::NoSession
        | Code::TooLarge
        | Code::UnknownNamespace
        | Code::InvalidData => Disconnect::BAD_REQUEST,
        Code::UnknownType => Disconnect::NOT_AVAILABLE,
        Code::Unauthorized => Disconnect::INVALID_TOKEN,
        Code::Forbidden => Disconnect::PERMISSION_DENIED,
        Code::RoomLimit => Disconnect::CHANNEL_LIMIT,
        Code::RateLimited => Disconnect::TOO_MANY_REQUESTS,
        Code::HandlerFailed => Disconnect::SERVER_ERROR,
        Code::TokenExpired => Disconnect::EXPIRED,
        Code::Timeout | Code::Unavailable | Code::RoomFull => Disconnect::FORCE_RECONNECT,
    }
}

#[cfg(test)]
mod tests;
