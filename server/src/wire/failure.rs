//! Why a handler failed. A problem is sent to the client. Any other error is the server's own: it
//! is logged here, and the client gets `handler_failed` and nothing of the error.

use shardcast_engine::{PublishError, Refused, RoomError};
use shardcast_protocol::dialect::{Code, Problem};
use std::error::Error;
use std::fmt;

/// What a handler returns instead of an answer. `?` makes one of a [`Problem`] and of every
/// [`std::error::Error`].
#[derive(Debug)]
pub struct Failure(Box<dyn Error + Send + Sync>);

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure(Box::new(error))
    }
}

impl Failure {
    /// The problem that a client gets, for code that answers others than clients (a route of a web
    /// application). `None`: clients get nothing of the error, which [`fmt::Display`] shows.
    pub fn problem(&self) -> Option<Problem> {
        problem_in(&*self.0).or_else(|| self.0.downcast_ref::<Problem>().cloned())
    }

    /// Whether it is that a connection is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.is::<Gone>()
    }

    /// The problem that the client gets. An error that is not for clients is logged with the type
    /// of the request.
    pub(crate) fn into_problem(self, kind: &str) -> Problem {
        let error = self.0;
        if let Some(problem) = problem_in(&*error) {
            return problem;
        }
        match error.downcast::<Problem>() {
            Ok(problem) => *problem,
            Err(error) => {
                tracing::warn!(kind, %error, "a handler failed");
                Problem::new(Code::HandlerFailed, HANDLER_FAILED)
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The connection is gone, or goes, or the server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection is gone")]
pub struct Gone;

/// The text for the client of a handler that failed or panicked.
pub(crate) const HANDLER_FAILED: &str = "the server failed while it handled this request";

/// The problem of an error of the engine.
fn problem_in(error: &(dyn Error + Send + Sync + 'static)) -> Option<Problem> {
    let room = error
        .downcast_ref::<RoomError>()
        .map(|error| problem_of_room(*error));
    let publish = || {
        error
            .downcast_ref::<PublishError>()
            .map(|error| problem_of_publish(*error))
    };
    let refused = || {
        error
            .downcast_ref::<Refused>()
            .map(|refused| match refused {
                Refused::Busy | Refused::Stopped => {
                    Problem::new(Code::Unavailable, "the server is busy or stops")
                }
                Refused::Memory => Problem::new(Code::Unavailable, MEMORY_SHORT),
            })
    };
    room.or_else(publish).or_else(refused)
}

pub(crate) fn problem_of_room(error: RoomError) -> Problem {
    match error {
        RoomError::TooMany => Problem::new(
            Code::RoomLimit,
            "the connection would be in more rooms than it may be",
        ),
        RoomError::NotJoined => Problem::new(Code::NotJoined, "the connection is not in this room"),
        RoomError::BadName => Problem::new(Code::BadRequest, BAD_NAME),
        RoomError::Busy => Problem::rate_limited(
            "too many joins and leaves of this room under way",
            RETRY_AFTER_MS,
        ),
        RoomError::Full => Problem::new(
            Code::RoomFull,
            "the room has as many members as it may have",
        ),
        RoomError::Unavailable => unavailable(NO_ORDER),
        RoomError::DataTooLong => Problem::new(Code::BadRequest, SHOWN_TOO_LONG),
    }
}

pub(crate) fn problem_of_publish(error: PublishError) -> Problem {
    match error {
        PublishError::BadName => Problem::new(Code::BadRequest, BAD_NAME),
        PublishError::KeyTooLong => Problem::new(Code::BadRequest, "a key is too long"),
        PublishError::TooManyReports => {
            Problem::rate_limited("too many reported broadcasts under way", RETRY_AFTER_MS)
        }
        PublishError::Memory => Problem::new(Code::Unavailable, MEMORY_SHORT),
        PublishError::Busy => {
            Problem::rate_limited("too much waits for other shards", RETRY_AFTER_MS)
        }
    }
}

/// Where the broker orders a room, and cannot be reached.
pub(crate) const NO_ORDER: &str =
    "the broker that orders this room cannot be reached; try again later";
/// What presence shows of a member.
pub(crate) const SHOWN_TOO_LONG: &str = "what presence shows of a member has at most 1 KiB";
const _: () = assert!(shardcast_engine::OwnedData::BYTES_MAX == 1 << 10);
pub(crate) const BAD_NAME: &str = "a room's name is empty, too long or has control characters";
const MEMORY_SHORT: &str = "memory is short, and this room takes most of it; try again later";
pub(crate) const BAD_USER: &str = "a user's name is empty or too long";

/// The problem of a connection of which too much waits already.
pub(crate) fn too_many_waiting() -> Problem {
    Problem::rate_limited(TOO_MANY_WAITING, RETRY_AFTER_MS)
}

const TOO_MANY_WAITING: &str = "too many requests of this connection wait for their answers";

/// A map takes no more.
pub(crate) fn map_full() -> Problem {
    Problem::new(Code::RoomFull, MAP_FULL)
}

const MAP_FULL: &str = "the map, or all maps of the shard together, have no room for it";

/// A problem of the server itself.
pub(crate) fn unavailable(message: &'static str) -> Problem {
    Problem::new(Code::Unavailable, message)
}

/// A queue that is full has room again within a few ticks.
pub(crate) const RETRY_AFTER_MS: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_hear_problems_and_nothing_else() {
        let heard = |failure: Failure| {
            let told = failure.problem();
            let problem = failure.into_problem("t");
            let is_ours = problem.code == Code::HandlerFailed;
            assert_eq!(told, (!is_ours).then(|| problem.clone()));
            (problem.code, problem.message.into_owned())
        };
        let forbidden = Problem::new(Code::Forbidden, "not yours");
        assert_eq!(
            heard(forbidden.into()),
            (Code::Forbidden, "not yours".to_owned())
        );
        assert_eq!(heard(RoomError::TooMany.into()).0, Code::RoomLimit);
        for limited in [PublishError::TooManyReports, PublishError::Busy] {
            assert_eq!(heard(limited.into()).0, Code::RateLimited);
        }
        let secret = std::io::Error::other("/etc/secret is missing");
        assert_eq!(
            heard(secret.into()),
            (Code::HandlerFailed, HANDLER_FAILED.to_owned())
        );
    }
}
