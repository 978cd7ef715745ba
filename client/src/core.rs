//! The client without I/O and clock: what comes in and what time it is goes in, what is to be done
//! and sent comes out.
//!
//! Invariant: `state` follows the table of `state.rs`; after the end nothing of it is left but its
//! state. Owned by the shared part of a client under one lock; the driver and the simulation call
//! it.

mod ending;
mod hearing;
#[cfg(test)]
pub(crate) mod simulation;
mod tokens;

use crate::breaker::Budget;
use crate::counts::Snapshot;
use crate::delivered::Scratch;
use crate::encoding::Encoding;
use crate::end::End;
use crate::entry::{Entry, Purpose, Resend};
use crate::error::{Error, ErrorKind};
use crate::inbox::Inbox;
use crate::keyed::KeyedRooms;
use crate::link::{Due, Link, Outcome, Step};
use crate::message::Position;
use crate::options::{Adaptive, Options};
use crate::outbox::{Deflating, Outbox};
use crate::refreshing::Refreshing;
use crate::requests::{Refusal, Requests};
use crate::room::{Call, Ear};
use crate::rooms::Rooms;
use crate::state::{State, StateEvent, Status, next};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use shardcast_protocol::frame::OpCode;
use std::time::{Duration, Instant};

/// Adaptive batches wait for this part of a round trip at most.
const ADAPTIVE_BATCH_SHARE: u32 = 64;

/// Bits of the ids that each member of a pool has for itself: what moves to another keeps its id.
pub(crate) const ID_BITS: u32 = 40;

/// A subscription that a client takes no more, to be dropped while nothing is locked.
pub(crate) struct Unheard(pub(crate) Ear);

impl From<Unheard> for Error {
    fn from(Unheard(ear): Unheard) -> Error {
        drop(ear);
        Error::closed()
    }
}

/// What a connection agreed on when it was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Agreed {
    pub(crate) deflating: Deflating,
    pub(crate) inflating: crate::inbox::Inflating,
}

#[derive(Debug)]
pub(crate) struct Core {
    options: Options,
    state: State,
    pub(crate) link: Link,
    pub(crate) requests: Requests,
    pub(crate) rooms: Rooms,
    pub(crate) outbox: Outbox,
    inbox: Inbox,
    /// Who hears what is for this client's user or for everyone, all as streams.
    direct: Vec<Ear>,
    budget: Budget,
    rng: StdRng,
    calls: Vec<Call>,
    scratch: Scratch,
    signed_in: bool,
    is_settled: bool,
    refreshing: Refreshing,
    connection: Option<Box<str>>,
    user: Option<Box<str>>,
    /// `close` waits for answers until then.
    closing: Option<Instant>,
    pub(crate) counts: Snapshot,
    rated: Rated,
    next_id: u64,
    end_error: Option<Error>,
    at_end: AtEnd,
    #[cfg(feature = "metrics")]
    told: crate::facade::Told,
}

/// What becomes of subscriptions and requests at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtEnd {
    /// They end with it.
    Settle,
    /// They wait for the pool.
    HandOver,
}

/// What the last snapshot had, for rates.
#[derive(Debug)]
struct Rated {
    at: Instant,
    sent: u64,
    received: u64,
}

impl Core {
    pub(crate) fn new(
        options: Options,
        endpoints: usize,
        first: usize,
        now: Instant,
        seed: u64,
    ) -> Core {
        let mut rng = StdRng::seed_from_u64(seed);
        let opcode = match options.encoding {
            Encoding::Json => OpCode::Text,
            Encoding::MessagePack => OpCode::Binary,
        };
        let keyed = KeyedRooms::new(&mut rng);
        Core {
            state: State::Connecting,
            link: Link::new(&options, endpoints, first, now),
            requests: Requests::new(options.queue, keyed),
            rooms: Rooms::new(options.reconnect, options.encoding),
            outbox: Outbox::new(opcode, StdRng::from_rng(&mut rng)),
            inbox: Inbox::new(options.message_bytes_max),
            direct: Vec::new(),
            budget: Budget::new(options.budget),
            rng,
            calls: Vec::new(),
            scratch: Scratch::default(),
            signed_in: false,
            is_settled: false,
            refreshing: Refreshing::No,
            connection: None,
            user: None,
            closing: None,
            counts: Snapshot::default(),
            rated: Rated {
                at: now,
                sent: 0,
                received: 0,
            },
            next_id: (first as u64) << ID_BITS,
            end_error: None,
            at_end: AtEnd::Settle,
            #[cfg(feature = "metrics")]
            told: crate::facade::Told::default(),
            options,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn status(&self) -> Status {
        Status {
            state: self.state,
            is_settled: self.is_settled,
            attempt: self.link.attempt(),
            error: match self.state {
                State::Closed => self.end_error.clone(),
                _ => self.link.last_error.clone(),
            },
        }
    }

    pub(crate) fn connection(&self) -> Option<&str> {
        self.connection.as_deref()
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Different for each subscription and each request.
    pub(crate) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn random(&mut self) -> f64 {
        self.rng.random()
    }

    fn enter(&mut self, event: StateEvent) {
        self.state = next(self.state, event);
    }

    /// What is to be called now that the core is not locked any more.
    pub(crate) fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    /// Has room for calls again.
    pub(crate) fn give_back(&mut self, calls: Vec<Call>) {
        if self.calls.capacity() == 0 {
            self.calls = calls;
        }
    }

    // What the user does.

    pub(crate) fn subscribe(&mut self, room: &str, ear: Ear) -> Result<(), Unheard> {
        if self.state == State::Closed {
            return Err(Unheard(ear));
        }
        self.rooms.subscribe(room, ear, &mut self.calls);
        Ok(())
    }

    pub(crate) fn subscribe_direct(&mut self, mut ear: Ear) -> Result<(), Unheard> {
        if self.state == State::Closed {
            return Err(Unheard(ear));
        }
        ear.active = true;
        self.direct.push(ear);
        Ok(())
    }

    pub(crate) fn unsubscribe(&mut self, room: Option<&str>, id: u64) {
        match room {
            Some(room) => self.rooms.unsubscribe(room, id, &mut self.calls),
            None => {
                if let Some(at) = self.direct.iter().position(|ear| ear.id == id) {
                    let ear = self.direct.remove(at);
                    ear.sink.end(None);
                    self.calls.push(Call::Drop(Box::new(ear)));
                }
            }
        }
    }

    /// Wherever it is; whether there was one with this id.
    pub(crate) fn unsubscribe_by_id(&mut self, id: u64) -> bool {
        let room = self.rooms.room_of(id);
        let is_direct = self.direct.iter().any(|ear| ear.id == id);
        self.unsubscribe(room.as_deref(), id);
        is_direct || room.is_some()
    }

    pub(crate) fn position(&self, room: &str) -> Option<Position> {
        self.rooms.position(room)
    }

    pub(crate) fn ask(&mut self, entry: Entry) -> Result<(), Refusal> {
        self.requests.ask(entry)
    }

    // What the driver does.

    pub(crate) fn step(&mut self, now: Instant) -> Step {
        self.link.step(now)
    }

    pub(crate) fn token(&mut self, now: Instant, token: Result<(), Error>) {
        match token {
            Ok(()) => self.link.token_ready(now),
            Err(error) => {
                let random = self.random();
                self.link.token_failed(now, error, random);
            }
        }
    }

    /// The transport stands.
    pub(crate) fn opened(&mut self, now: Instant, agreed: Agreed) {
        self.outbox.clear();
        self.inbox.clear();
        self.outbox.deflating = agreed.deflating;
        self.inbox.inflating = agreed.inflating;
        self.link.opened(now);
    }

    /// The transport of this turn is gone, or could not be made.
    pub(crate) fn lost(&mut self, now: Instant, end: End) {
        let random = self.random();
        let was_up = self.link.is_up();
        let outcome = self.link.lost(now, end, random);
        self.after_loss(outcome, was_up);
    }

    fn after_loss(&mut self, outcome: Outcome, was_up: bool) {
        match outcome {
            Outcome::Stale => {}
            Outcome::Again(_) if self.closing.is_some() => self.end(None),
            Outcome::Again(again) => {
                if was_up {
                    self.counts.disconnects += 1;
                    self.disconnected(again);
                } else {
                    self.counts.connect_failures += 1;
                }
            }
            Outcome::Ended(error) => self.end(Some(error)),
        }
    }

    fn disconnected(&mut self, again: Resend) {
        self.connection = None;
        self.signed_in = false;
        self.is_settled = false;
        self.refreshing = Refreshing::No;
        self.rooms.disconnected();
        self.requests.detach(again);
        self.outbox.clear();
        self.inbox.clear();
        self.enter(StateEvent::Lost);
    }

    /// Gives this connection up.
    fn abandon(&mut self, now: Instant, error: Error) {
        self.lost(now, End::abnormal(Some(error)));
    }

    /// When it is to be looked at again at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let batch = match self.outbox.has_room() && self.link.is_up() {
            true => self
                .requests
                .batch_due(self.batch_delay(), self.options.batch.bytes),
            false => None,
        };
        let refresh = match self.refreshing {
            Refreshing::Wanted { at, .. } => Some(at),
            Refreshing::No | Refreshing::UnderWay { .. } => None,
        };
        [
            self.link.deadline(),
            self.requests.deadline(),
            self.rooms.deadline(),
            self.closing,
            batch.filter(|_| !self.batch_delay().is_zero()),
            refresh,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn batch_delay(&self) -> Duration {
        let most = self.options.batch.delay;
        match (self.options.adaptive, self.link.trip.smoothed()) {
            (Adaptive::On, Some(trip)) => most.min(trip / ADAPTIVE_BATCH_SHARE),
            (Adaptive::On, None) => Duration::ZERO,
            (Adaptive::Off, _) => most,
        }
    }

    /// Looks at the time, and fills the outbox with what may be sent.
    pub(crate) fn turn(&mut self, now: Instant) {
        match self.link.due(now) {
            Due::Nothing => {}
            Due::Ping(number) => self.outbox.control(OpCode::Ping, &number.to_be_bytes()),
            Due::Dead => {
                let error = self.link.overdue(now);
                self.abandon(now, error);
            }
        }
        let late = self.requests.expire(now);
        if late
            .iter()
            .any(|purpose| !matches!(purpose, Purpose::Refresh))
        {
            let message = "the server did not answer what the client itself had asked";
            self.abandon(now, Error::new(ErrorKind::Timeout, message));
        } else if !late.is_empty() {
            self.refresh_failed(now);
        }
        if let Some(until) = self.closing
            && (until <= now || self.requests.pending() == 0)
        {
            self.end(None);
        }
        self.refill(now);
    }

    /// Fills the outbox with what may be sent.
    pub(crate) fn refill(&mut self, now: Instant) {
        if self.link.is_up() {
            self.send(now);
        }
    }

    fn send(&mut self, now: Instant) {
        self.rooms.reconcile(now, self.requests.bytes_max());
        while self.requests.control_has_room() {
            let Some((body, batch)) = self.rooms.next_request() else {
                break;
            };
            let timeout = self.options.request_timeout;
            self.requests
                .control(body, Purpose::Rooms(Box::new(batch)), now, timeout);
        }
        self.requests.send_control(&mut self.outbox);
        let due = self
            .requests
            .batch_due(self.batch_delay(), self.options.batch.bytes);
        if due.is_some_and(|due| due <= now) {
            self.requests.send_waiting(&mut self.outbox);
        }
    }

    /// Takes bytes as they come.
    pub(crate) fn receive(&mut self, now: Instant, bytes: &mut [u8], token: Option<&str>) {
        self.counts.bytes_received += bytes.len() as u64;
        self.link.alive(now);
        let turn = self.link.turn();
        let mut inbox = std::mem::replace(&mut self.inbox, Inbox::new(0));
        let fed = inbox.feed(bytes, |heard| self.frame(now, turn, heard, token));
        if self.link.turn() == turn {
            self.inbox = inbox;
        } else {
            self.inbox = Inbox::new(self.options.message_bytes_max);
        }
        if let Err(broken) = fed {
            let code = broken.close_code();
            self.abandon(now, Error::caused(ErrorKind::ConnectionLost, broken));
            self.outbox.close(code);
        }
    }

    /// Counts what others count, and what waits.
    fn gather(&mut self) {
        let counts = &mut self.counts;
        counts.messages_sent = self.outbox.messages;
        counts.bytes_sent = self.outbox.bytes_sent;
        counts.queued = self.requests.queued();
        counts.queued_bytes = self.requests.queued_bytes();
        counts.pending = self.requests.pending();
        counts.rooms = self.rooms.len();
        counts.smoothed_rtt = self.link.trip.smoothed();
    }

    /// What is new for the `metrics` facade.
    #[cfg(feature = "metrics")]
    pub(crate) fn news(&mut self) -> crate::facade::News {
        self.gather();
        let rtt = self.link.trip.take_fresh();
        self.told.news(&self.counts, rtt)
    }

    pub(crate) fn snapshot(&mut self, now: Instant) -> Snapshot {
        self.gather();
        let counts = &mut self.counts;
        let seconds = now.saturating_duration_since(self.rated.at).as_secs_f64();
        if seconds > 0.0 {
            let rate = |now: u64, before: u64| (now - before) as f64 / seconds;
            counts.sent_per_second = rate(counts.messages_sent, self.rated.sent);
            counts.received_per_second = rate(counts.messages_received, self.rated.received);
            self.rated = Rated {
                at: now,
                sent: counts.messages_sent,
                received: counts.messages_received,
            };
        }
        counts.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::Core;
    use crate::options::{Adaptive, BatchOptions, Options};
    use std::time::{Duration, Instant};

    #[test]
    fn adaptation_shortens_batches_and_never_prolongs_them() {
        let ms = Duration::from_millis;
        let delay = |adaptive, trip: Option<Duration>| {
            let options = Options {
                adaptive,
                batch: BatchOptions {
                    delay: ms(20),
                    ..BatchOptions::default()
                },
                ..Options::default()
            };
            let mut core = Core::new(options, 1, 0, Instant::now(), 1);
            if let Some(trip) = trip {
                core.link.trip.record(trip);
            }
            core.batch_delay()
        };
        for trip in [None, Some(ms(64)), Some(ms(60_000))] {
            assert_eq!(delay(Adaptive::Off, trip), ms(20));
        }
        assert_eq!(delay(Adaptive::On, None), Duration::ZERO);
        assert_eq!(delay(Adaptive::On, Some(ms(64))), ms(1));
        assert_eq!(delay(Adaptive::On, Some(ms(60_000))), ms(20));
    }
}
