//! What the server says, and what the core makes of it.
//!
//! Invariant: whatever the server says, nothing panics; what cannot be read is counted.

use super::Core;
use crate::delivered;
use crate::encoding::{Body, read};
use crate::end::End;
use crate::entry::{Entry, Purpose, Resend};
use crate::error::{Error, ErrorKind};
use crate::inbox::{Heard, Reading};
use crate::message::{AuthAnswer, Item, Notice, WelcomeAnswer};
use crate::refreshing::Refreshing;
use crate::room::Call;
use crate::rooms::After;
use crate::sink::Pushed;
use crate::state::StateEvent;
use crate::token::TokenIn;
use rand::RngExt;
use shardcast_protocol::close::CloseCode;
use shardcast_protocol::dialect::{ServerMessage, Unread};
use shardcast_protocol::frame::OpCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Core {
    pub(super) fn frame(
        &mut self,
        now: Instant,
        turn: u64,
        heard: Heard<'_>,
        token: Option<&str>,
    ) -> Reading {
        match heard {
            Heard::Text(text) => match ServerMessage::read_json(text) {
                Ok(message) => self.message(now, &message, Unread::Json(text), token),
                Err(_) => self.counts.unreadable += 1,
            },
            Heard::Binary(bytes) => match ServerMessage::read_pack(bytes) {
                Ok(message) => self.message(now, &message, Unread::Pack(bytes), token),
                Err(_) => self.counts.unreadable += 1,
            },
            Heard::Ping(payload) => self.outbox.control(OpCode::Pong, payload),
            Heard::Pong(payload) => {
                if let Some(trip) = self.link.pong(now, payload) {
                    self.counts.rtt.record(trip);
                }
            }
            Heard::Close(code, reason) => {
                self.lost(now, End::closed(code, reason));
                // The answer to a close has its code (RFC 6455 §5.5.1).
                self.outbox
                    .close(CloseCode::new(code).unwrap_or(CloseCode::NORMAL));
            }
        }
        match self.link.turn() == turn {
            true => Reading::GoesOn,
            false => Reading::Ends,
        }
    }

    fn message(
        &mut self,
        now: Instant,
        message: &ServerMessage<'_>,
        whole: Unread<'_>,
        token: Option<&str>,
    ) {
        self.counts.messages_received += 1;
        match message.kind {
            b"message" | b"event" => self.published(message),
            b"welcome" if !self.link.is_up() => self.welcomed(now, whole, token),
            _ if let Some(id) = message.id => self.answered(now, id, message, whole),
            b"presence" | b"missed" => self.told(message, whole),
            b"expiring" => self.expiring(now, whole),
            b"closing" => {
                if let Ok(notice) = read::<Notice>(whole) {
                    self.requests.hold();
                    self.link.draining(now, notice.reconnect_ms);
                    self.enter(StateEvent::Drained);
                }
            }
            _ => {}
        }
    }

    /// What the server says about a room.
    fn told(&mut self, message: &ServerMessage<'_>, whole: Unread<'_>) {
        let item = match message.kind {
            b"missed" => read(whole).map(Item::Missed),
            _ => read(whole).map(|event| Item::Presence(Box::new(event))),
        };
        match (item, &message.room) {
            (Ok(item), Some(room)) => self.rooms.heard(room, |_| item, &mut self.calls),
            (Err(_), _) => self.counts.unreadable += 1,
            (Ok(_), None) => {}
        }
    }

    fn published(&mut self, message: &ServerMessage<'_>) {
        let (encoding, scratch) = (self.options.encoding, &mut self.scratch);
        if let Some(room) = message.room.as_deref() {
            let item = |name: &Arc<str>| {
                let name = Some(Arc::clone(name));
                Item::Message(delivered::message(message, name, encoding, scratch))
            };
            return self.rooms.heard(room, item, &mut self.calls);
        }
        let item = Item::Message(delivered::message(message, None, encoding, scratch));
        let mut at = 0;
        while let Some(ear) = self.direct.get(at) {
            match ear.sink.push(item.clone()) {
                Pushed::Failed => self
                    .calls
                    .push(Call::Drop(Box::new(self.direct.remove(at)))),
                Pushed::GoesOn => at += 1,
            }
        }
    }

    fn welcomed(&mut self, now: Instant, whole: Unread<'_>, token: Option<&str>) {
        let Ok(welcome) = read::<WelcomeAnswer>(whole) else {
            self.counts.unreadable += 1;
            return;
        };
        self.counts.connections += 1;
        self.link.welcomed(now, welcome.heartbeat_ms);
        self.connection = Some(welcome.connection);
        let bytes_max = match welcome.max_message_bytes {
            0 => usize::MAX,
            bytes => bytes,
        };
        self.requests.attach(bytes_max);
        self.enter(StateEvent::Welcomed);
        let Some(token) = token else {
            return self.begin(now, None);
        };
        let mut body;
        if self.link.token_in() == Some(TokenIn::Message) {
            body = Body::new(self.options.encoding, "auth");
            body.text("token", token);
        } else {
            body = Body::new(self.options.encoding, "status");
        }
        let timeout = self.options.request_timeout;
        self.requests
            .control(body, Purpose::Authenticate, now, timeout);
    }

    /// The session stands: rooms first, then what waits.
    fn begin(&mut self, now: Instant, user: Option<Box<str>>) {
        self.signed_in = user.is_some();
        self.is_settled = true;
        self.user = user;
        if self.signed_in {
            self.enter(StateEvent::Accepted);
        }
        if self.rooms.connected(now, self.requests.bytes_max()) {
            self.enter(StateEvent::Rejoining);
        }
        self.requests.ready();
    }

    fn expiring(&mut self, now: Instant, whole: Unread<'_>) {
        let notice = read::<Notice>(whole);
        if let (Ok(notice), Some(_), Refreshing::No) =
            (notice, &self.options.token, self.refreshing)
        {
            let until = now + Duration::from_millis(notice.in_ms.min(3_600_000));
            self.refreshing = Refreshing::Wanted { at: now, until };
        }
    }

    fn answered(&mut self, now: Instant, id: u64, message: &ServerMessage<'_>, whole: Unread<'_>) {
        self.link.answered(now);
        let Some(entry) = self.requests.take(id) else {
            return;
        };
        let error = (message.kind == b"error").then(|| delivered::error(whole));
        match entry.purpose {
            Purpose::User(..) => self.answered_user(now, entry, message, whole, error),
            Purpose::Rooms(batch) => {
                let after = match error {
                    None => {
                        let answers = delivered::joins(message, whole);
                        let learned = self.rooms.granted(*batch, answers, &mut self.calls);
                        for (room, takes) in learned {
                            self.requests.keyed.learn(&room, takes);
                        }
                        After::Nothing
                    }
                    Some(error) => {
                        let random = self.random();
                        self.rooms
                            .refused(now, *batch, &error, random, &mut self.calls)
                    }
                };
                self.after_rooms(now, after);
            }
            Purpose::Authenticate => match error {
                None => {
                    self.link.accepted();
                    let answer = read::<AuthAnswer>(whole);
                    self.begin(now, answer.unwrap_or_default().user);
                }
                Some(error) => self.token_refused(now, error),
            },
            Purpose::Refresh => match error {
                None => self.refreshing = Refreshing::No,
                Some(_) => self.refresh_failed(now),
            },
        }
    }

    fn token_refused(&mut self, now: Instant, error: Error) {
        if error.is_retryable() {
            return self.abandon(now, error);
        }
        let random = self.random();
        let outcome = self.link.token_refused(now, error, random);
        self.after_loss(outcome, true);
    }

    fn after_rooms(&mut self, now: Instant, after: After) {
        if after == After::Confused {
            let message = "it is not known in which rooms the server has this client";
            return self.abandon(now, Error::new(ErrorKind::ConnectionLost, message));
        }
        self.rooms.reconcile(now, self.requests.bytes_max());
        if !self.rooms.is_busy() {
            self.enter(match self.signed_in {
                true => StateEvent::RejoinedAsUser,
                false => StateEvent::Rejoined,
            });
        }
    }

    fn answered_user(
        &mut self,
        now: Instant,
        mut entry: Entry,
        message: &ServerMessage<'_>,
        whole: Unread<'_>,
        error: Option<Error>,
    ) {
        let Some(error) = error else {
            if entry.key.is_some() {
                delivered::learn(&entry, message, &mut self.requests.keyed);
            }
            self.budget.deposit();
            let answer = delivered::answer(self.options.encoding, &mut entry, message, whole);
            return entry.settle(Ok(answer));
        };
        if delivered::takes_no_key(&mut entry, &error, &mut self.requests.keyed) {
            return self.requests.again(entry);
        }
        let is_harmless = entry.resend == Resend::Yes || error.code() == "rate_limited";
        if error.is_retryable()
            && is_harmless
            && entry.retries > 0
            && self.budget.withdraw().is_some()
        {
            self.counts.retries += 1;
            let tries = self.options.retries.saturating_sub(entry.retries);
            let backoff = self.options.reconnect.delay(tries, self.rng.random());
            entry.retries -= 1;
            let at = now + error.retry_after().unwrap_or(backoff);
            return self.requests.later(at, entry);
        }
        entry.settle(Err(error));
    }
}
