//! The rooms of a session that goes on, and what came of each.
//!
//! Invariant: every room of the session is in it, as one that the connection is in or as one that
//! it is not; what it does not get of a room is said, with the reason. Made by `rooms/rejoin.rs`,
//! put together by what waits for homes, told by the dispatch and the service.

use crate::wire::connection_id::ConnectionId;
use crate::wire::failure::problem_of_room;
use crate::wire::position::recovery_of;
use shardcast_engine::{Address, JoinedLog, RoomError};
use shardcast_protocol::dialect::{Code, LossReason, Problem, Recovery};
use std::sync::Arc;

/// The rooms of a session, joined as far as they are.
#[derive(Debug)]
pub(crate) struct Resuming {
    /// The connection that the session had.
    pub(crate) before: Address,
    pub(crate) rooms: Vec<ResumingRoom>,
}

/// One room.
#[derive(Debug)]
pub(crate) struct ResumingRoom {
    pub(crate) room: Arc<str>,
    pub(crate) claim: Claim,
    pub(crate) place: ResumedPlace,
}

/// What the client wants of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// To go on from the place that it named.
    Since,
    /// What is said from now on, for this reason.
    Nothing(LossReason),
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum ResumedPlace {
    /// The room's home has not answered.
    Asked,
    /// The connection is in it, and this is in its log.
    Member(Option<JoinedLog>),
    /// It is not in it.
    Refused(Problem),
}

impl Resuming {
    /// The home has answered for one of the rooms, by its number.
    pub(crate) fn take(&mut self, place: usize, answer: Result<Option<JoinedLog>, RoomError>) {
        self.rooms[place].place = match answer {
            Ok(log) => ResumedPlace::Member(log),
            Err(error) => ResumedPlace::Refused(problem_of_room(error)),
        };
    }

    /// What an application is told.
    pub(crate) fn told(&self) -> Resumed {
        Resumed {
            previous: ConnectionId(self.before),
            rooms: self.rooms.iter().map(ResumingRoom::told).collect(),
        }
    }
}

impl ResumingRoom {
    /// Whether what the client missed of it follows.
    ///
    /// # Errors
    /// The connection is not in the room.
    pub(crate) fn recovery(&self) -> Result<Recovery, Code> {
        let log = match &self.place {
            ResumedPlace::Member(log) => log,
            ResumedPlace::Refused(problem) => return Err(problem.code),
            ResumedPlace::Asked => return Err(Code::Unavailable),
        };
        Ok(match (self.claim, log.and_then(|log| log.recovery)) {
            (Claim::Nothing(reason), _) => Recovery::Lost(reason),
            (Claim::Since, Some(recovery)) => recovery_of(recovery),
            // It was in the room before, so what it missed does not follow.
            (Claim::Since, None) => Recovery::Lost(LossReason::JoinedBefore),
        })
    }

    fn told(&self) -> ResumedRoom {
        ResumedRoom {
            room: self.room.clone(),
            outcome: match self.recovery() {
                Ok(Recovery::Recovered) => ResumedOutcome::Recovered,
                Ok(Recovery::Lost(reason)) => ResumedOutcome::Joined(reason),
                Err(code) => ResumedOutcome::Refused(code),
            },
        }
    }
}

/// A session that went on, as an application hears of it ([`crate::App::on_resumed`]).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resumed {
    /// The connection that the session had.
    pub previous: ConnectionId,
    /// The rooms that it was in, in no order.
    pub rooms: Vec<ResumedRoom>,
}

/// A room of a session that went on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResumedRoom {
    /// Its name.
    pub room: Arc<str>,
    /// What came of it.
    pub outcome: ResumedOutcome,
}

/// What came of a room of a session that went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResumedOutcome {
    /// The connection is in it, and is sent everything since the place that its client named.
    Recovered,
    /// It is in it, and is sent what is said from now on: what was said meanwhile it is not, for
    /// this reason.
    Joined(LossReason),
    /// It is not in it.
    Refused(Code),
}
