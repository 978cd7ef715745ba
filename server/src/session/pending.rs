//! A request that waits for other shards: its tags, the answers that have come, and its requester.
//! Generic over the continuation of code of the application. Kept by the session.

use crate::session::call::OwnedCall;
use shardcast_engine::{Answer, Listing, Report, RoomError, Tag};
use std::sync::Arc;

/// A request under way. Its tags are consecutive, one per room that is joined or left.
#[derive(Debug)]
pub(crate) struct Pending<C> {
    pub(crate) requester: Requester<C>,
    first: Tag,
    tags: u32,
    /// Answers that have not come, 1 or more while it waits.
    missing: u32,
    outcome: Outcome,
}

/// Who gets the outcome.
#[derive(Debug)]
pub(crate) enum Requester<C> {
    /// A client's request.
    Client(OwnedCall),
    /// Code of the application, with its continuation: called on the shard with the outcome, or
    /// dropped without a call when the connection goes before.
    Code(C),
}

/// The sum of the answers. Rooms stand in the order asked.
#[derive(Debug)]
pub(crate) enum Outcome {
    Joined(Joining),
    Left {
        shape: Shape,
        rooms: Vec<Arc<str>>,
    },
    Reported(Report),
    Listed {
        room: Arc<str>,
        /// How many members are to be named.
        limit: Option<u32>,
        listing: Listing,
    },
}

/// Whether a request named `room` or `rooms`; its answer does the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Room,
    Rooms,
}

/// Rooms joined so far.
#[derive(Debug)]
pub(crate) struct Joining {
    pub(crate) shape: Shape,
    pub(crate) rooms: Vec<JoinedRoom>,
    /// The first refusal: then the others are left again, as far as the connection was not in them
    /// before.
    pub(crate) refused: Option<RoomError>,
}

/// One room that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinedRoom {
    /// Its name.
    pub room: Arc<str>,
    /// The connection was in the room, or on its way in, before the request.
    pub was_in: bool,
    /// Members on all shards at the join, this connection included.
    pub members: u32,
}

impl<C> Pending<C> {
    /// Rooms joined under the tags from `first` on: their names, and whether the connection was in
    /// them before.
    pub(crate) fn join(
        requester: Requester<C>,
        first: Tag,
        shape: Shape,
        rooms: Vec<JoinedRoom>,
    ) -> Pending<C> {
        let count = rooms.len() as u32;
        let joining = Joining {
            shape,
            rooms,
            refused: None,
        };
        Pending::new(requester, first, count, count, Outcome::Joined(joining))
    }

    /// Rooms left under the tags from `first` on.
    pub(crate) fn leave(
        requester: Requester<C>,
        first: Tag,
        shape: Shape,
        rooms: Vec<Arc<str>>,
    ) -> Pending<C> {
        let count = rooms.len() as u32;
        Pending::new(
            requester,
            first,
            count,
            count,
            Outcome::Left { shape, rooms },
        )
    }

    /// Publishes that all report under `tag`.
    pub(crate) fn report(requester: Requester<C>, tag: Tag, publishes: u32) -> Pending<C> {
        Pending::new(
            requester,
            tag,
            1,
            publishes,
            Outcome::Reported(Report::default()),
        )
    }

    /// A list of the members of a room.
    pub(crate) fn list(
        requester: Requester<C>,
        tag: Tag,
        room: Arc<str>,
        limit: Option<u32>,
    ) -> Pending<C> {
        let outcome = Outcome::Listed {
            room,
            limit,
            listing: Listing::default(),
        };
        Pending::new(requester, tag, 1, 1, outcome)
    }

    fn new(
        requester: Requester<C>,
        first: Tag,
        tags: u32,
        missing: u32,
        outcome: Outcome,
    ) -> Pending<C> {
        assert!(missing > 0, "a request that waits for nothing");
        Pending {
            requester,
            first,
            tags,
            missing,
            outcome,
        }
    }

    /// Which of its tags this is. Tags wrap around.
    pub(crate) fn place(&self, tag: Tag) -> Option<usize> {
        let place = tag.0.wrapping_sub(self.first.0);
        (place < self.tags).then_some(place as usize)
    }

    /// Takes an answer; true when it was the last.
    pub(crate) fn take(&mut self, tag: Tag, answer: Answer) -> bool {
        let Some(place) = self.place(tag) else {
            return false;
        };
        match (&mut self.outcome, answer) {
            (Outcome::Joined(joining), Answer::Joined { members, .. }) => {
                joining.rooms[place].members = members;
            }
            (Outcome::Joined(joining), Answer::Refused { error, .. }) => {
                joining.refused.get_or_insert(error);
                // The refused room is not one of those that are left again.
                joining.rooms[place].was_in = true;
            }
            (Outcome::Left { .. }, Answer::Left { .. }) => {}
            (Outcome::Reported(sum), Answer::Reported(report)) => {
                sum.delivered = sum.delivered.saturating_add(report.delivered);
                sum.queued = sum.queued.saturating_add(report.queued);
                sum.dropped = sum.dropped.saturating_add(report.dropped);
            }
            (Outcome::Listed { listing, .. }, Answer::Listed(found)) => *listing = found,
            (
                Outcome::Joined(_)
                | Outcome::Left { .. }
                | Outcome::Reported(_)
                | Outcome::Listed { .. },
                answer,
            ) => unreachable!("{answer:?} answers another request"),
        }
        self.missing -= 1;
        self.missing == 0
    }

    /// The requester and the outcome. No answer is missing.
    pub(crate) fn into_parts(self) -> (Requester<C>, Outcome) {
        assert_eq!(self.missing, 0);
        (self.requester, self.outcome)
    }
}
