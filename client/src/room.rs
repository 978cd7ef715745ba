//! One room: its subscriptions, what of it was heard, and whether the server has this client as a
//! member.
//!
//! Invariant: no message is handed on twice, and none is left out without an item that says so.
//! Made by the rooms.

use crate::error::Error;
use crate::message::{Item, JoinAnswer, Joined, Loss, Lost, Position, Recovered};
use crate::sink::{Pushed, Sink};
use crate::token::TokenProvider;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// A function that hears a room's items, one at a time.
pub(crate) type Handler = Arc<dyn Fn(&Item) + Send + Sync>;

/// What the server knows of a room's membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    /// No member.
    Out,
    /// Asked and not answered.
    Joining,
    In,
    /// Asked and not answered.
    Leaving,
}

/// One subscription, as its room has it.
pub(crate) struct Ear {
    pub(crate) id: u64,
    pub(crate) sink: Arc<Sink>,
    pub(crate) handler: Option<Handler>,
    /// Has heard that it is joined.
    pub(crate) active: bool,
    pub(crate) wishes: Wishes,
}

/// How a room is to be joined for a subscription.
#[derive(Clone, Default)]
pub(crate) struct Wishes {
    pub(crate) since: Option<Position>,
    pub(crate) presence: Option<Arc<serde_json::Value>>,
    pub(crate) token: Option<TokenProvider>,
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ear")
            .field("id", &self.id)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

/// What is done once the core is not locked any more, for it is the user's code.
pub(crate) enum Call {
    /// Called with an item.
    Handler(Handler, Item),
    /// Dropped, with whatever it has captured.
    Drop(Box<Ear>),
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call::Handler(_, item) => f.debug_tuple("Handler").field(item).finish(),
            Call::Drop(ear) => f.debug_tuple("Drop").field(ear).finish(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: Arc<str>,
    pub(crate) ears: Vec<Ear>,
    pub(crate) membership: Membership,
    /// Items that came while the join was not answered.
    pub(crate) early: Vec<Item>,
    /// Too many came: the room is left and joined by itself, from the position of before.
    pub(crate) overflowed: bool,
    /// It is not asked for before; none: at once.
    pub(crate) not_before: Option<Instant>,
    /// Joins that were refused for now, one after the other.
    pub(crate) refusals: u32,
    /// Rooms that its next join names at the most: fewer where many at a time were too many.
    pub(crate) together: usize,
    /// What the server is told to recover from.
    pub(crate) asked: Option<Position>,
    /// Its place was refused: it is joined without.
    pub(crate) anew: bool,
    epoch: Option<Box<str>>,
    /// The last message that was handed on, 0: none under this epoch.
    seen: u64,
    /// Where the room was at the first join.
    base: u64,
    members: u64,
    /// It was joined for these subscriptions before.
    pub(crate) known: bool,
}

impl Room {
    pub(crate) fn new(name: Arc<str>) -> Room {
        Room {
            name,
            ears: Vec::new(),
            membership: Membership::Out,
            early: Vec::new(),
            overflowed: false,
            not_before: None,
            refusals: 0,
            together: usize::MAX,
            asked: None,
            anew: false,
            epoch: None,
            seen: 0,
            base: 0,
            members: 0,
            known: false,
        }
    }

    /// Of what was heard; of what the first subscription has, before.
    pub(crate) fn position(&self) -> Option<Position> {
        match &self.epoch {
            Some(_) => self.reached(),
            None => self.wishes().since,
        }
    }

    fn reached(&self) -> Option<Position> {
        let epoch = self.epoch.clone()?;
        let offset = if self.seen > 0 { self.seen } else { self.base };
        Some(Position { epoch, offset })
    }

    /// Those of the first subscription that says something.
    pub(crate) fn wishes(&self) -> Wishes {
        let mut wishes = Wishes::default();
        for ear in &self.ears {
            let Wishes {
                since,
                presence,
                token,
            } = &ear.wishes;
            if !self.known && wishes.since.is_none() {
                wishes.since.clone_from(since);
            }
            if wishes.presence.is_none() {
                wishes.presence.clone_from(presence);
            }
            if wishes.token.is_none() {
                wishes.token.clone_from(token);
            }
        }
        wishes
    }

    pub(crate) fn add(&mut self, ear: Ear, calls: &mut Vec<Call>) {
        self.ears.push(ear);
        if self.membership == Membership::In && !self.overflowed {
            self.greet(calls);
        }
    }

    /// Takes a subscription that heard the same room by another connection, and has a gap here.
    pub(crate) fn adopt(&mut self, ear: Ear, calls: &mut Vec<Call>) {
        let (id, heard_before) = (ear.id, ear.active);
        self.add(ear, calls);
        if heard_before {
            let why = Loss::NoHistory;
            self.tell(id, &Item::Lost(Lost { why }), calls);
        }
    }

    pub(crate) fn remove(&mut self, id: u64, calls: &mut Vec<Call>) {
        if let Some(at) = self.ears.iter().position(|ear| ear.id == id) {
            let ear = self.ears.remove(at);
            ear.sink.end(None);
            calls.push(Call::Drop(Box::new(ear)));
        }
    }

    /// Nobody hears it, and it is left: it begins anew the next time.
    pub(crate) fn forget(&mut self) {
        self.epoch = None;
        (self.seen, self.base) = (0, 0);
        self.known = false;
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self) {
        self.membership = Membership::Out;
        self.early = Vec::new();
        self.overflowed = false;
        self.not_before = None;
        self.refusals = 0;
        self.together = usize::MAX;
    }

    /// The server has this client as a member.
    pub(crate) fn joined(&mut self, answer: &JoinAnswer, calls: &mut Vec<Call>) {
        self.membership = Membership::In;
        self.refusals = 0;
        self.together = usize::MAX;
        self.members = answer.members;
        let asked = self.asked.take();
        let again = self.known || self.anew || asked.is_some();
        let news = again.then(|| self.change(answer, asked.as_ref()));
        match (&news, asked) {
            (Some(Item::Recovered(_)), Some(asked)) => {
                self.epoch = Some(answer.epoch.clone().unwrap_or(asked.epoch));
                self.seen = asked.offset;
            }
            _ => {
                self.epoch.clone_from(&answer.epoch);
                self.seen = 0;
                self.base = answer.offset.unwrap_or(0);
            }
        }
        self.known = true;
        self.anew = false;
        // Who has come since hears of no gap: it begins here.
        let hears = |ear: &Ear| ear.active || ear.wishes.since.is_some();
        let heard: Vec<u64> = self
            .ears
            .iter()
            .filter(|ear| hears(ear))
            .map(|ear| ear.id)
            .collect();
        self.greet(calls);
        if let Some(news) = news {
            for id in heard {
                self.tell(id, &news, calls);
            }
        }
        for item in std::mem::take(&mut self.early) {
            self.hear(item, calls);
        }
    }

    /// What a join after another says of the time in between.
    fn change(&self, answer: &JoinAnswer, asked: Option<&Position>) -> Item {
        match asked {
            Some(asked) if answer.recovered == Some(true) => Item::Recovered(Recovered {
                missed: self.missed(asked.offset, answer.offset.unwrap_or(0)),
                members: answer.members,
            }),
            _ => Item::Lost(Lost {
                why: Loss::of_reason(answer.reason.as_deref()),
            }),
        }
    }

    /// Messages behind `since` up to `last`: those that came before the answer are counted, and
    /// behind them each place may have one.
    fn missed(&self, since: u64, last: u64) -> u64 {
        let (mut count, mut reached) = (0, since);
        for item in &self.early {
            if let Item::Message(message) = item
                && let Some(offset) = message.offset
                && offset > reached
                && offset <= last
            {
                count += 1;
                reached = offset;
            }
        }
        count + last.saturating_sub(reached)
    }

    /// A message, an event, or what the server says about them.
    pub(crate) fn hear(&mut self, item: Item, calls: &mut Vec<Call>) {
        match &item {
            Item::Message(message) => {
                if let Some(offset) = message.offset {
                    if offset <= self.seen {
                        return;
                    }
                    self.seen = offset;
                }
            }
            Item::Presence(event) => self.members = event.members.unwrap_or(self.members),
            _ => {}
        }
        match &mut self.ears[..] {
            [only] => {
                if only.active && push(only, item, calls) == Pushed::Failed {
                    calls.extend(self.ears.pop().map(|ear| Call::Drop(Box::new(ear))));
                }
            }
            _ => self.hear_all(&item, calls),
        }
    }

    fn hear_all(&mut self, item: &Item, calls: &mut Vec<Call>) {
        let ids: Vec<u64> = self
            .ears
            .iter()
            .filter(|ear| ear.active)
            .map(|ear| ear.id)
            .collect();
        for id in ids {
            self.tell(id, item, calls);
        }
    }

    /// It cannot be joined, or the client has ended: so do all its subscriptions.
    pub(crate) fn end(&mut self, error: Option<&Error>, calls: &mut Vec<Call>) {
        for ear in self.ears.drain(..) {
            ear.sink.end(error.cloned());
            calls.push(Call::Drop(Box::new(ear)));
        }
    }

    /// Tells newcomers that they are joined.
    fn greet(&mut self, calls: &mut Vec<Call>) {
        let joined = Joined {
            members: self.members,
            position: self.reached(),
        };
        for ear in self.ears.iter_mut().filter(|ear| !ear.active) {
            ear.active = true;
            ear.sink.joined(&joined);
            let _first_of_all = push(ear, Item::Joined(joined.clone()), calls);
        }
    }

    fn tell(&mut self, id: u64, item: &Item, calls: &mut Vec<Call>) {
        let found = self.ears.iter().position(|ear| ear.id == id);
        if let Some(at) = found
            && push(&self.ears[at], item.clone(), calls) == Pushed::Failed
        {
            calls.push(Call::Drop(Box::new(self.ears.remove(at))));
        }
    }
}

fn push(ear: &Ear, item: Item, calls: &mut Vec<Call>) -> Pushed {
    match &ear.handler {
        None => ear.sink.push(item),
        Some(handler) => {
            calls.push(Call::Handler(Arc::clone(handler), item));
            Pushed::GoesOn
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ear, Membership, Room};
    use crate::message::{Item, JoinAnswer, Message, Origin, Received, Recovered};
    use crate::subscription::SubscribeOptions;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    fn message(offset: u64) -> Item {
        Item::Message(Message {
            room: None,
            held: Received::Json(Arc::from("1")),
            sender_bytes: 0,
            origin: Origin::Connection,
            offset: Some(offset),
            extras: None,
        })
    }

    fn answer(offset: u64, recovered: Option<bool>) -> JoinAnswer {
        JoinAnswer {
            members: 1,
            epoch: Some("k3".into()),
            offset: Some(offset),
            recovered,
            ..JoinAnswer::default()
        }
    }

    /// What the subscription of a room hears that was at 10, and is joined again at 20 after these
    /// offsets have come.
    fn check(early: &[u64], missed: u64, follows: &[u64]) {
        let mut room = Room::new(Arc::from("chat:a"));
        let mut calls = Vec::new();
        let (ear, sink): (Ear, _) = SubscribeOptions::default().into_ear(1, None);
        room.add(ear, &mut calls);
        room.joined(&answer(10, None), &mut calls);
        room.disconnected();
        room.membership = Membership::Joining;
        room.asked = room.position();
        room.early = early.iter().copied().map(message).collect();
        room.joined(&answer(20, Some(true)), &mut calls);
        let mut heard = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(item)) = sink.poll_next(&mut cx) {
            match item.expect("it goes on") {
                Item::Recovered(recovered) => {
                    assert_eq!(recovered, Recovered { missed, members: 1 }, "{early:?}");
                    assert!(heard.is_empty(), "{early:?}");
                }
                Item::Message(message) => heard.extend(message.offset),
                _ => {}
            }
        }
        assert_eq!(heard, follows, "{early:?}");
    }

    #[test]
    fn what_came_before_the_answer_is_counted_and_what_comes_is_bounded() {
        check(&[], 10, &[]);
        // Offsets skip: three messages, and one place behind them.
        check(&[12, 15, 19], 4, &[12, 15, 19]);
        // All of it has come, and one that is new.
        check(&[12, 15, 20, 23], 3, &[12, 15, 20, 23]);
        // What was heard before is no part of it.
        check(&[9, 10, 11], 10, &[11]);
        check(&[23], 10, &[23]);
    }
}
