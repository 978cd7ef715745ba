//! Rooms that go from one connection to another, with what was heard of them.
//!
//! Invariant: a room that moves says what it missed at its new place, also where it comes back to a
//! connection on which the server still has it. Used by the core for pools.

use super::Rooms;
use crate::room::{Call, Membership, Room};
use std::sync::Arc;

impl Rooms {
    /// Takes all rooms out, to be adopted by another connection: with what was heard of them.
    pub(crate) fn take_all(&mut self) -> Vec<Room> {
        let heard = self.rooms.values().filter(|room| !room.ears.is_empty());
        let names: Vec<Arc<str>> = heard.map(|room| Arc::clone(&room.name)).collect();
        names.iter().filter_map(|name| self.take(name)).collect()
    }

    /// Takes a room out that the other connection recovers from its log.
    pub(crate) fn take_recoverable(&mut self, name: &str) -> Option<Room> {
        let room = self.rooms.get(name)?;
        let recovers = room.membership == Membership::In && room.position().is_some();
        recovers.then(|| self.take(name)).flatten()
    }

    /// Takes a room out. Where the server has this client as a member, what stays is a room that
    /// nobody hears, which is left.
    fn take(&mut self, name: &str) -> Option<Room> {
        let mut taken = self.rooms.remove(name)?;
        self.early.release(&taken);
        if self.is_up && taken.membership != Membership::Out {
            let mut left = Room::new(Arc::clone(&taken.name));
            left.membership = taken.membership;
            self.dirty.push(Arc::clone(&left.name));
            self.rooms.insert(Arc::clone(&left.name), left);
        }
        taken.disconnected();
        Some(taken)
    }

    /// Goes on with a room of another connection.
    pub(crate) fn adopt(&mut self, mut room: Room, calls: &mut Vec<Call>) {
        self.dirty.push(Arc::clone(&room.name));
        let Some(known) = self.rooms.get_mut(&room.name) else {
            self.rooms.insert(Arc::clone(&room.name), room);
            return;
        };
        if known.ears.is_empty() {
            // The server is still to be told that nobody hears it here, or to answer that. What it
            // says until then is not for who comes back: the room is left, and joined again from
            // its own position.
            self.early.release(known);
            room.membership = known.membership;
            room.overflowed = known.membership != Membership::Out;
            *known = room;
            return;
        }
        for ear in room.ears.drain(..) {
            known.adopt(ear, calls);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::backoff::Backoff;
    use crate::encoding::Encoding;
    use crate::message::{Item, JoinAnswer};
    use crate::room::Room;
    use crate::rooms::{Asked, Rooms};
    use crate::sink::Sink;
    use crate::subscription::SubscribeOptions;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};
    use std::time::Instant;

    const BYTES_MAX: usize = 1 << 16;

    /// The rooms of one connection, and a server that grants everything and whose room is at 7
    /// behind the first join, and at 9 from then on.
    struct Side {
        rooms: Rooms,
        now: Instant,
        asked: Vec<&'static str>,
    }

    impl Side {
        fn connected() -> Side {
            let mut rooms = Rooms::new(Backoff::default(), Encoding::Json);
            let now = Instant::now();
            assert!(!rooms.connected(now, BYTES_MAX));
            Side {
                rooms,
                now,
                asked: Vec::new(),
            }
        }

        /// Everything that is asked is granted.
        fn settle(&mut self) {
            loop {
                self.rooms.reconcile(self.now, BYTES_MAX);
                let Some((_, batch)) = self.rooms.next_request() else {
                    return;
                };
                let since = self.rooms.rooms["a"].asked.clone();
                self.asked.push(match (batch.asked, &since) {
                    (Asked::Leave, _) => "leave",
                    (Asked::Join, None) => "join",
                    (Asked::Join, Some(_)) => "join since",
                });
                let answer = JoinAnswer {
                    room: "a".into(),
                    members: 1,
                    epoch: Some("k3".into()),
                    offset: Some(if since.is_some() { 9 } else { 7 }),
                    recovered: since.map(|_| true),
                    reason: None,
                };
                _ = self.rooms.granted(batch, vec![answer], &mut Vec::new());
            }
        }

        fn take(&mut self) -> Vec<Room> {
            self.rooms.take_all()
        }

        fn adopt(&mut self, rooms: Vec<Room>) {
            for room in rooms {
                self.rooms.adopt(room, &mut Vec::new());
            }
        }
    }

    fn subscribed(side: &mut Side, id: u64) -> Arc<Sink> {
        let (ear, sink) = SubscribeOptions::default().into_ear(id, None);
        side.rooms.subscribe("a", ear, &mut Vec::new());
        sink
    }

    fn heard(sink: &Sink) -> Vec<String> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut heard = Vec::new();
        while let Poll::Ready(Some(item)) = sink.poll_next(&mut cx) {
            heard.push(match item.expect("it goes on") {
                Item::Joined(_) => "joined".to_owned(),
                Item::Recovered(recovered) => format!("recovered {}", recovered.missed),
                Item::Lost(lost) => format!("lost {:?}", lost.why),
                other => format!("{other:?}"),
            });
        }
        heard
    }

    #[test]
    fn a_room_that_moves_says_what_it_missed() {
        let (mut one, mut other) = (Side::connected(), Side::connected());
        let sink = subscribed(&mut one, 1);
        one.settle();
        other.adopt(one.take());
        other.settle();
        one.settle();
        assert_eq!(heard(&sink), ["joined", "recovered 2"]);
        assert_eq!(
            (&one.asked[..], &other.asked[..]),
            (&["join", "leave"][..], &["join since"][..])
        );
        assert_eq!((one.rooms.len(), other.rooms.len()), (0, 1));
    }

    #[test]
    fn a_room_that_comes_back_before_it_was_left_says_what_it_missed() {
        for left in ["not asked", "asked"] {
            let (mut one, mut other) = (Side::connected(), Side::connected());
            let sink = subscribed(&mut one, 1);
            one.settle();
            other.adopt(one.take());
            let leaving = (left == "asked").then(|| {
                one.rooms.reconcile(one.now, BYTES_MAX);
                one.rooms.next_request().expect("it leaves").1
            });
            // The other connection is gone before it has joined.
            one.adopt(other.take());
            if let Some(leaving) = leaving {
                _ = one.rooms.granted(leaving, Vec::new(), &mut Vec::new());
            }
            one.settle();
            assert_eq!(heard(&sink), ["joined", "recovered 2"], "{left}");
            assert_eq!(one.asked.last(), Some(&"join since"), "{left}");
        }
    }

    #[test]
    fn a_room_that_meets_another_of_its_name_says_that_it_has_a_gap() {
        let (mut one, mut other) = (Side::connected(), Side::connected());
        let (moved, stayed) = (subscribed(&mut one, 1), subscribed(&mut other, 2));
        one.settle();
        other.settle();
        other.adopt(one.take());
        other.settle();
        assert_eq!(heard(&moved), ["joined", "lost NoHistory"]);
        assert_eq!(heard(&stayed), ["joined"]);
    }
}
