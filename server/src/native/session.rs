//! A connection's native session: when it opened, and the requests whose answers have not come yet.
//!
//! Invariant: every request waits for at least one answer, and at most [`REQUESTS_MAX`] wait; the list exists only while
//! something waits, so that an idle session is two words. Kept by the engine in the connection's slot; called by `Native`.

use shardcast_engine::{Answer, Tag};
use shardcast_protocol::native::answer::{self, Counts};
use shardcast_protocol::native::{Raw, RawBox};
use std::num::NonZeroU64;
use std::sync::Arc;

/// Requests of one connection that may wait for the engine. One more is refused with `rate_limited`.
pub(super) const REQUESTS_MAX: usize = 64;

/// The native application's state of one connection.
#[derive(Debug)]
pub struct Session {
    /// Engine time when the connection opened, plus one: never zero, so that `Option<Session>` costs nothing more.
    opened_ms_plus_1: NonZeroU64,
    /// `None` while nothing waits.
    waiting: Option<Box<Waiting>>,
}

// Every slot of the slab has one.
const _: () = assert!(size_of::<Option<Session>>() <= 16);

#[derive(Debug)]
struct Waiting {
    requests: Vec<Request>,
}

impl Session {
    pub(super) fn new(opened_ms: u64) -> Session {
        Session {
            opened_ms_plus_1: NonZeroU64::MIN.saturating_add(opened_ms),
            waiting: None,
        }
    }

    pub(super) fn opened_ms(&self) -> u64 {
        self.opened_ms_plus_1.get() - 1
    }

    /// Whether one more request may wait.
    pub(super) fn has_space(&self) -> bool {
        self.waiting
            .as_ref()
            .is_none_or(|waiting| waiting.requests.len() < REQUESTS_MAX)
    }

    /// Remembers a request until the last answer to it has come. There is space.
    pub(super) fn wait(&mut self, request: Request) {
        assert!(request.missing > 0 && self.has_space());
        self.waiting
            .get_or_insert_with(|| {
                Box::new(Waiting {
                    requests: Vec::new(),
                })
            })
            .requests
            .push(request);
    }

    /// Takes one answer and returns the request if nothing is missing any more. An answer that nobody waits for, such as
    /// one to a request that was given up halfway, is dropped.
    pub(super) fn settle(&mut self, tag: Tag, answer: Answer) -> Option<Request> {
        let requests = &mut self.waiting.as_mut()?.requests;
        let index = requests
            .iter()
            .position(|request| request.place(tag).is_some())?;
        requests[index].take(tag, answer);
        if requests[index].missing > 0 {
            return None;
        }
        let done = requests.remove(index);
        if requests.is_empty() {
            self.waiting = None;
        }
        Some(done)
    }
}

/// Whether a request named `room` or `rooms`; its answer does the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Room,
    Rooms,
}

/// A request under way. Its tags are consecutive, one per room that is joined or left.
#[derive(Debug)]
pub(super) struct Request {
    id: Option<RawBox>,
    first: Tag,
    tags: u32,
    /// Answers that have not come, 1 or more while it waits.
    missing: u32,
    outcome: Outcome,
}

/// What the answers have said so far. Rooms stand in the order asked.
#[derive(Debug)]
enum Outcome {
    Joined {
        form: Form,
        rooms: Box<[Option<Joined>]>,
    },
    Left {
        form: Form,
        rooms: Box<[Option<Arc<str>>]>,
    },
    Reported {
        counts: Counts,
    },
}

#[derive(Debug)]
struct Joined {
    room: Arc<str>,
    members: u32,
}

impl Request {
    /// Rooms joined under the tags from `first` on.
    pub(super) fn join(id: Option<Raw<'_>>, first: Tag, form: Form, rooms: u32) -> Request {
        let outcome = Outcome::Joined {
            form,
            rooms: (0..rooms).map(|_| None).collect(),
        };
        Request::new(id, first, rooms, rooms, outcome)
    }

    /// Rooms left under the tags from `first` on.
    pub(super) fn leave(id: Option<Raw<'_>>, first: Tag, form: Form, rooms: u32) -> Request {
        let outcome = Outcome::Left {
            form,
            rooms: (0..rooms).map(|_| None).collect(),
        };
        Request::new(id, first, rooms, rooms, outcome)
    }

    /// Publishes that all report under `tag`.
    pub(super) fn report(id: Option<Raw<'_>>, tag: Tag, publishes: u32) -> Request {
        let counts = Counts {
            delivered: 0,
            queued: 0,
            dropped: 0,
        };
        Request::new(id, tag, 1, publishes, Outcome::Reported { counts })
    }

    fn new(id: Option<Raw<'_>>, first: Tag, tags: u32, missing: u32, outcome: Outcome) -> Request {
        Request {
            id: id.map(Raw::to_boxed),
            first,
            tags,
            missing,
            outcome,
        }
    }

    /// Which of its tags this is. Tags wrap around.
    fn place(&self, tag: Tag) -> Option<usize> {
        let place = tag.0.wrapping_sub(self.first.0);
        (place < self.tags).then_some(place as usize)
    }

    fn take(&mut self, tag: Tag, answer: Answer) {
        let Some(place) = self.place(tag) else { return };
        match (&mut self.outcome, answer) {
            (Outcome::Joined { rooms, .. }, Answer::Joined { room, members }) => {
                rooms[place] = Some(Joined { room, members });
            }
            (Outcome::Left { rooms, .. }, Answer::Left { room }) => rooms[place] = Some(room),
            (Outcome::Reported { counts }, Answer::Reported(report)) => {
                counts.delivered = counts.delivered.saturating_add(report.delivered);
                counts.queued = counts.queued.saturating_add(report.queued);
                counts.dropped = counts.dropped.saturating_add(report.dropped);
            }
            (Outcome::Joined { .. } | Outcome::Left { .. } | Outcome::Reported { .. }, answer) => {
                unreachable!("{answer:?} answers another request")
            }
        }
        self.missing -= 1;
    }

    /// Appends the client's answer. Nothing is missing.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let id = self.id.as_ref().map(RawBox::as_raw);
        match &self.outcome {
            Outcome::Joined { form, rooms } => {
                let rooms = rooms
                    .iter()
                    .flatten()
                    .map(|joined| (&*joined.room, joined.members));
                match form {
                    Form::Rooms => answer::joined_rooms(out, id, rooms),
                    Form::Room => {
                        for (room, members) in rooms {
                            answer::joined(out, id, room, members);
                        }
                    }
                }
            }
            Outcome::Left { form, rooms } => {
                let rooms = rooms.iter().flatten().map(|room| &**room);
                match form {
                    Form::Rooms => answer::left_rooms(out, id, rooms),
                    Form::Room => {
                        for room in rooms {
                            answer::left(out, id, room);
                        }
                    }
                }
            }
            Outcome::Reported { counts } => answer::ack_report(out, id, *counts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, REQUESTS_MAX, Request, Session};
    use shardcast_engine::{Answer, Report, Tag};
    use shardcast_protocol::native::Raw;

    fn joined(room: &str, members: u32) -> Answer {
        Answer::Joined {
            room: room.into(),
            members,
        }
    }

    fn left(room: &str) -> Answer {
        Answer::Left { room: room.into() }
    }

    /// Settles one answer; what the client is told, if that was the last.
    fn settle(session: &mut Session, tag: u32, answer: Answer) -> Option<String> {
        let mut out = Vec::new();
        session.settle(Tag(tag), answer)?.write(&mut out);
        Some(String::from_utf8(out).unwrap())
    }

    fn check(session: &mut Session, tag: u32, answer: Answer, expected: Option<&str>) {
        assert_eq!(settle(session, tag, answer).as_deref(), expected);
    }

    #[test]
    fn one_room_is_answered_by_its_answer() {
        let mut session = Session::new(7);
        assert_eq!(session.opened_ms(), 7);
        session.wait(Request::join(Raw::parse("1"), Tag(5), Form::Room, 1));
        session.wait(Request::leave(None, Tag(6), Form::Room, 1));
        check(
            &mut session,
            6,
            left("b"),
            Some(r#"{"type":"left","room":"b"}"#),
        );
        check(
            &mut session,
            5,
            joined("a", 3),
            Some(r#"{"type":"joined","id":1,"room":"a","members":3}"#),
        );
        assert!(session.waiting.is_none());
    }

    #[test]
    fn several_rooms_are_answered_once_in_the_order_asked() {
        let mut session = Session::new(0);
        // Across the wrap-around of tags.
        session.wait(Request::join(
            Raw::parse("\"j\""),
            Tag(u32::MAX),
            Form::Rooms,
            3,
        ));
        session.wait(Request::leave(Raw::parse("2"), Tag(2), Form::Rooms, 2));
        check(&mut session, 1, joined("c", 3), None);
        check(&mut session, 3, left("e"), None);
        check(&mut session, u32::MAX, joined("a", 1), None);
        check(
            &mut session,
            2,
            left("d"),
            Some(r#"{"type":"left","id":2,"rooms":["d","e"]}"#),
        );
        let expected = r#"{"type":"joined","id":"j","rooms":[{"room":"a","members":1},{"room":"b","members":2},{"room":"c","members":3}]}"#;
        check(&mut session, 0, joined("b", 2), Some(expected));
        assert!(session.waiting.is_none());
    }

    #[test]
    fn a_request_for_rooms_is_answered_with_rooms_even_for_one() {
        let mut session = Session::new(0);
        session.wait(Request::join(None, Tag(1), Form::Rooms, 1));
        check(
            &mut session,
            1,
            joined("a", 1),
            Some(r#"{"type":"joined","rooms":[{"room":"a","members":1}]}"#),
        );
    }

    #[test]
    fn reports_are_summed() {
        let mut session = Session::new(0);
        session.wait(Request::report(Raw::parse("9"), Tag(1), 2));
        check(
            &mut session,
            1,
            Answer::Reported(Report {
                delivered: 10,
                queued: 1,
                dropped: u32::MAX,
            }),
            None,
        );
        check(
            &mut session,
            1,
            Answer::Reported(Report {
                delivered: 5,
                queued: 0,
                dropped: 1,
            }),
            Some(r#"{"type":"ack","id":9,"delivered":15,"queued":1,"dropped":4294967295}"#),
        );
    }

    #[test]
    fn an_answer_nobody_waits_for_is_dropped() {
        let mut session = Session::new(0);
        check(&mut session, 1, left("a"), None);
        session.wait(Request::join(None, Tag(2), Form::Room, 1));
        check(&mut session, 1, left("a"), None);
        check(&mut session, 3, left("a"), None);
        check(
            &mut session,
            2,
            joined("a", 1),
            Some(r#"{"type":"joined","room":"a","members":1}"#),
        );
        check(&mut session, 2, joined("a", 1), None);
    }

    #[test]
    fn the_list_is_bounded() {
        let mut session = Session::new(u64::MAX);
        for tag in 0..REQUESTS_MAX as u32 {
            assert!(session.has_space());
            session.wait(Request::join(None, Tag(tag), Form::Room, 1));
        }
        assert!(!session.has_space());
        assert!(settle(&mut session, 3, joined("a", 1)).is_some());
        assert!(session.has_space());
    }
}
