//! The end of a client, and what passes from one member of a pool to another.
//!
//! Invariant: whoever subscribes or asks hears of the end once, unless the pool goes on for it
//! with another member.

use super::{AtEnd, Core};
use crate::entry::{Entry, Resend};
use crate::error::{Error, ErrorKind};
use crate::requests::Refusal;
use crate::room::{Call, Room};
use crate::state::{State, StateEvent};
use shardcast_protocol::close::CloseCode;
use std::time::Instant;

impl Core {
    /// Ends it, once what waits is answered or this time has come.
    pub(crate) fn close(&mut self, until: Option<Instant>) {
        if self.state == State::Closed {
            return;
        }
        match until {
            Some(until) if self.requests.pending() > 0 => {
                self.requests.refuse(Error::closed());
                self.closing = Some(until);
                self.enter(StateEvent::Drained);
            }
            _ => self.end(None),
        }
    }

    pub(super) fn end(&mut self, error: Option<Error>) {
        if self.state == State::Closed {
            return;
        }
        if self.link.is_up() && error.is_none() {
            self.outbox.close(CloseCode::NORMAL);
        }
        self.is_settled = false;
        self.link.close();
        self.end_error.clone_from(&error);
        self.connection = None;
        self.enter(StateEvent::Ended);
        for ear in self.direct.drain(..) {
            ear.sink.end(error.clone());
            self.calls.push(Call::Drop(Box::new(ear)));
        }
        match self.at_end {
            AtEnd::Settle => self.wind_up(),
            AtEnd::HandOver => {
                self.rooms.disconnected();
                self.requests.detach(Resend::Yes);
            }
        }
    }

    /// A client of a pool, which takes what it has when it ends.
    pub(crate) fn belongs_to_pool(&mut self) {
        self.at_end = AtEnd::HandOver;
    }

    /// Ends it with its pool, of which nobody takes what it has.
    pub(crate) fn close_with_pool(&mut self, until: Option<Instant>) {
        self.at_end = AtEnd::Settle;
        match self.state {
            State::Closed => self.wind_up(),
            _ => self.close(until),
        }
    }

    /// Ends all subscriptions and requests that a client has behind its end, with its reason.
    pub(crate) fn wind_up(&mut self) {
        let error = self.end_error.clone();
        self.rooms.close(error.as_ref(), &mut self.calls);
        self.requests.close(&error.unwrap_or_else(Error::closed));
    }

    /// What waits and all rooms, for another connection to go on with.
    pub(crate) fn hand_over(&mut self) -> (Vec<Room>, Vec<Entry>) {
        (self.rooms.take_all(), self.requests.take_waiting())
    }

    /// Goes on with what another connection had.
    pub(crate) fn take_over(&mut self, rooms: Vec<Room>, entries: Vec<Entry>) {
        for room in rooms {
            self.rooms.adopt(room, &mut self.calls);
        }
        for entry in entries {
            match self.requests.ask(entry) {
                Ok(()) => {}
                Err(Refusal::Failed(entry, error)) => entry.settle(Err(error)),
                Err(Refusal::Full(entry)) => {
                    let message = "as many requests wait as may";
                    entry.settle(Err(Error::new(ErrorKind::QueueFull, message)));
                }
            }
        }
    }
}
