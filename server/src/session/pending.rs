//! A request that waits for other shards: its tags, the answers that have come, and its requester.
//! Generic over the continuation of code of the application. Kept by the session.

use crate::session::call::OwnedCall;
use crate::session::resuming::Resuming;
use shardcast_engine::{
    Answer, History, JoinedLog, Listing, Position, PresencePage, Publish, Repeat, Report,
    RoomError, Tag,
};
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
    Published(Publishing),
    Listed {
        room: Arc<str>,
        /// How many members are to be named.
        limit: Option<u32>,
        listing: Listing,
    },
    /// A part of what a room keeps.
    Read {
        room: Arc<str>,
        /// `None` until the room's home has answered.
        history: Option<History>,
    },
    /// Some members of a room that knows them one by one.
    Present {
        room: Arc<str>,
        /// How many are to be named.
        limit: u32,
        page: PresencePage,
    },
    /// The rooms of a session that goes on.
    Resumed(Resuming),
}

impl Outcome {
    /// Whether the connection may be in other rooms than before.
    pub(crate) fn changes_rooms(&self) -> bool {
        matches!(
            self,
            Outcome::Joined(_) | Outcome::Left { .. } | Outcome::Resumed(_)
        )
    }
}

/// Publishes of one request.
#[derive(Debug)]
pub(crate) struct Publishing {
    pub(crate) awaited: Awaited,
    pub(crate) places: AwaitedPlaces,
    /// All together, and the place of one alone.
    pub(crate) sum: Report,
}

/// What is awaited of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// Its place: the home of its room answers.
    Place,
    /// What became of its copies, on all shards.
    Counts,
    /// The same, and who has acknowledged it.
    Acks,
}

impl Awaited {
    /// The publish, answered under this tag.
    pub(crate) fn of(self, publish: Publish, tag: Tag) -> Publish {
        match self {
            Awaited::Place => publish.receipt(tag),
            Awaited::Counts | Awaited::Acks => publish.report(tag),
        }
    }
}

/// Whose places are told.
#[derive(Debug)]
pub(crate) enum AwaitedPlaces {
    Nowhere,
    /// That of the one publish.
    Room,
    /// Those of some rooms of several, by tag from the first on.
    Rooms(Vec<PublishedRoom>),
}

/// A room that was published to.
#[derive(Debug)]
pub(crate) struct PublishedRoom {
    pub(crate) room: Arc<str>,
    /// `None` until its home has answered.
    pub(crate) position: Option<Position>,
    pub(crate) repeat: Repeat,
}

impl PublishedRoom {
    pub(crate) fn new(room: &str) -> PublishedRoom {
        PublishedRoom {
            room: room.into(),
            position: None,
            repeat: Repeat::First,
        }
    }
}

impl Publishing {
    fn add(&mut self, place: usize, report: Report) {
        let Publishing { sum, places, .. } = self;
        for (sum, count) in [
            (&mut sum.delivered, report.delivered),
            (&mut sum.queued, report.queued),
            (&mut sum.dropped, report.dropped),
            (&mut sum.conflated, report.conflated),
            (&mut sum.catching_up, report.catching_up),
            (&mut sum.acknowledged, report.acknowledged),
        ] {
            *sum = sum.saturating_add(count);
        }
        // Of several rooms one that could not be published to is told.
        sum.position = report.position;
        if !matches!(sum.repeat, Repeat::Unavailable | Repeat::MapFull) {
            sum.repeat = report.repeat;
        }
        if let AwaitedPlaces::Rooms(rooms) = places
            && let Some(room) = rooms.get_mut(place)
        {
            (room.position, room.repeat) = (report.position, report.repeat);
        }
    }
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
    /// Where the room's log was at the join, if the room keeps one, and what became of the wish to
    /// have what was missed.
    pub log: Option<JoinedLog>,
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

    /// Publishes that are answered under the tags from `first` on: one for each room whose place is
    /// told, and one for all others.
    pub(crate) fn publish(
        requester: Requester<C>,
        first: Tag,
        publishes: u32,
        awaited: Awaited,
        places: AwaitedPlaces,
    ) -> Pending<C> {
        let tags = match &places {
            AwaitedPlaces::Nowhere | AwaitedPlaces::Room => 1,
            AwaitedPlaces::Rooms(rooms) => rooms.len() as u32 + 1,
        };
        let outcome = Outcome::Published(Publishing {
            awaited,
            places,
            sum: Report::default(),
        });
        Pending::new(requester, first, tags, publishes, outcome)
    }

    /// A part of what a room keeps.
    pub(crate) fn read(requester: Requester<C>, tag: Tag, room: Arc<str>) -> Pending<C> {
        let history = None;
        let outcome = Outcome::Read { room, history };
        Pending::new(requester, tag, 1, 1, outcome)
    }

    /// Some members of a room that knows them one by one.
    pub(crate) fn present(
        requester: Requester<C>,
        tag: Tag,
        room: Arc<str>,
        limit: u32,
    ) -> Pending<C> {
        let outcome = Outcome::Present {
            room,
            limit,
            page: PresencePage::default(),
        };
        Pending::new(requester, tag, 1, 1, outcome)
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

    /// The rooms of a session, of which so many homes are to answer.
    pub(crate) fn resume(
        requester: Requester<C>,
        first: Tag,
        missing: u32,
        resuming: Resuming,
    ) -> Pending<C> {
        let tags = resuming.rooms.len() as u32;
        Pending::new(requester, first, tags, missing, Outcome::Resumed(resuming))
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

    /// Whether nothing but the place of a publish is awaited.
    pub(crate) fn is_receipt(&self) -> bool {
        matches!(&self.outcome, Outcome::Published(publishing) if publishing.awaited == Awaited::Place)
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
            (Outcome::Joined(joining), Answer::Joined { members, log, .. }) => {
                let room = &mut joining.rooms[place];
                (room.members, room.log) = (members, log);
            }
            (Outcome::Joined(joining), Answer::Refused { error, .. }) => {
                joining.refused.get_or_insert(error);
                // The refused room is not one of those that are left again.
                joining.rooms[place].was_in = true;
            }
            (Outcome::Resumed(resuming), Answer::Joined { log, .. }) => {
                resuming.take(place, Ok(log));
            }
            (Outcome::Resumed(resuming), Answer::Refused { error, .. }) => {
                resuming.take(place, Err(error));
            }
            (Outcome::Left { .. }, Answer::Left { .. }) => {}
            (Outcome::Published(publishing), Answer::Reported(report)) => {
                publishing.add(place, report);
            }
            (Outcome::Listed { listing, .. }, Answer::Listed(found)) => *listing = found,
            (Outcome::Read { history, .. }, Answer::History(found)) => *history = Some(found),
            (Outcome::Present { page, .. }, Answer::Present(found)) => *page = found,
            (
                Outcome::Joined(_)
                | Outcome::Left { .. }
                | Outcome::Published(_)
                | Outcome::Listed { .. }
                | Outcome::Read { .. }
                | Outcome::Present { .. }
                | Outcome::Resumed(_),
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
