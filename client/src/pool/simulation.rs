//! A day of faults in virtual time for a pool: three connections, two of which are used, and a
//! server that is plainly right, with a network between them that delays, stalls, cuts and refuses,
//! all by a seed. One connection is ended for good at noon.
//!
//! What is checked: a subscriber hears every room's log without repeat, and every gap is told; a
//! publish that is answered has its place in the log, and none is there twice.

mod judging;

use super::placing::PoolShared;
use crate::client::Client;
use crate::core::simulation::server::{Answered, Logs, Server};
use crate::core::simulation::{Heard, hear};
use crate::core::{Agreed, Core};
use crate::encoding::{Body, Encoding};
use crate::end::End;
use crate::entry::{Answer, Entry, KeyOrigin, PublishKey, Purpose, Resend, Wants};
use crate::error::{Error, ErrorKind};
use crate::link::Step;
use crate::message::Item;
use crate::options::{Options, Proxy};
use crate::policy::{Chooser, PoolPolicy};
use crate::room::Call;
use crate::shared::{Shared, now};
use crate::state::State;
use crate::subscription::{SubscribeOptions, Subscription};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const DAY: Duration = Duration::from_secs(24 * 3_600);
const ROOMS: usize = 12;
const MEMBERS: usize = 3;
const CONNECTIONS: usize = 2;
/// Between two publishes of others, and of the pool itself.
const PACE: Duration = Duration::from_secs(2);

/// What happens at some time, to the member with the first number.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// Bytes of the connection with this number arrive.
    ToServer(usize, u64, Vec<u8>),
    ToClient(usize, u64, Vec<u8>),
    /// The connect of this turn has its outcome.
    Connected(usize, u64),
    Refused(usize, u64),
    /// The network or the server cuts a connection.
    Cut(usize, u64),
    /// The member of this turn has answered the supervisor.
    Healthy(usize, u64),
    Others,
    Own,
    Fault,
    /// One is ended for good.
    Noon,
}

/// One member, its network, and the server's end of its connection.
struct Party {
    server: Server,
    /// Connections so far; the last is the one that lives.
    connections: u64,
    is_connected: bool,
    connecting: Option<u64>,
    /// Nothing arrives any more on this connection, in either direction.
    stalled: bool,
    /// Connects fail until then.
    down_until: Instant,
    /// When the last bytes arrive, up and down.
    arrivals: [Instant; 2],
    /// As the supervisor knows it.
    is_up: bool,
    has_ended: bool,
}

/// What settles a publish, its number and its room.
type Published = (u64, usize, oneshot::Receiver<Result<Answer, Error>>);

struct PoolDay {
    start: Instant,
    now: Instant,
    encoding: Encoding,
    pool: Arc<PoolShared>,
    parties: Vec<Party>,
    rng: StdRng,
    events: BinaryHeap<Reverse<(Instant, u64, Happening)>>,
    queued: u64,
    published: Vec<Published>,
    subscriptions: Vec<Subscription>,
    heard: Arc<Mutex<BTreeMap<usize, Heard>>>,
    log: Arc<Mutex<Logs>>,
    faults: [u64; 8],
}

impl PoolDay {
    fn new(seed: u64, encoding: Encoding, policy: PoolPolicy) -> PoolDay {
        let start = now();
        let options = Options {
            encoding,
            proxy: Proxy::None,
            ..Options::default()
        };
        let addresses = ["ws://a.test/ws", "ws://b.test/ws"].map(str::to_owned);
        let settled = Arc::new(options.settle(&addresses).expect("good options"));
        let log: Arc<Mutex<Logs>> = Arc::default();
        let member = |first: usize| {
            let shared = Shared::seeded(Arc::clone(&settled), first, seed << 8 | first as u64);
            shared.lock().link.start(start);
            Client::undriven(Arc::new(shared))
        };
        let party = |_| Party {
            server: Server::new(Arc::clone(&log), encoding),
            connections: 0,
            is_connected: false,
            connecting: None,
            stalled: false,
            down_until: start,
            arrivals: [start; 2],
            is_up: false,
            has_ended: false,
        };
        let chooser = Chooser::new(policy, StdRng::seed_from_u64(seed));
        let members = (0..MEMBERS).map(member).collect();
        PoolDay {
            start,
            now: start,
            encoding,
            pool: Arc::new(PoolShared::new(members, CONNECTIONS, chooser)),
            parties: (0..MEMBERS).map(party).collect(),
            rng: StdRng::seed_from_u64(seed ^ 0xfa17),
            events: BinaryHeap::new(),
            queued: 0,
            published: Vec::new(),
            subscriptions: Vec::new(),
            heard: Arc::default(),
            log,
            faults: [0; 8],
        }
    }

    fn core(&self, member: usize) -> MutexGuard<'_, Core> {
        self.pool.members()[member].shared().lock()
    }

    fn subscribe(&mut self) {
        for room in 0..ROOMS {
            let (heard, log) = (Arc::clone(&self.heard), Arc::clone(&self.log));
            let handler = move |item: &Item| {
                let mut heard = heard.lock().expect("not poisoned");
                hear(heard.entry(room).or_default(), room, item, &log);
            };
            let name = format!("room-{room}");
            let options = SubscribeOptions::default();
            let subscription = self.pool.hear(&name, options, Some(Arc::new(handler)));
            self.subscriptions.push(subscription.expect("it is open"));
        }
    }

    fn at(&mut self, time: Instant, event: Happening) {
        self.queued += 1;
        self.events.push(Reverse((time, self.queued, event)));
    }

    fn after(&mut self, delay: Duration, event: Happening) {
        self.at(self.now + delay, event);
    }

    fn latency(&mut self) -> Duration {
        Duration::from_micros(self.rng.random_range(200..80_000))
    }

    /// When bytes arrive that leave now: not before those that left earlier.
    fn arrival(&mut self, member: usize, way: usize) -> Instant {
        let latency = self.latency();
        let last = &mut self.parties[member].arrivals[way];
        *last = (self.now + latency).max(*last);
        *last
    }

    /// Everything that can be done at this time.
    fn settle(&mut self) {
        (0..MEMBERS).for_each(|member| self.drive(member));
        (0..MEMBERS).for_each(|member| self.watch(member));
        // What the pool has moved.
        (0..MEMBERS).for_each(|member| self.drive(member));
    }

    /// Does what the driver of a member does.
    fn drive(&mut self, member: usize) {
        let (step, turn) = {
            let mut core = self.core(member);
            core.turn(self.now);
            (core.step(self.now), core.link.turn())
        };
        if matches!(step, Step::Connect(..)) && self.parties[member].connecting != Some(turn) {
            self.parties[member].connecting = Some(turn);
            self.parties[member].is_connected = false;
            let is_down = self.now < self.parties[member].down_until;
            let delay = self.latency();
            match is_down || self.rng.random_ratio(1, 20) {
                true => self.after(delay, Happening::Refused(member, turn)),
                false => self.after(delay, Happening::Connected(member, turn)),
            }
        }
        let party = &mut self.parties[member];
        if party.is_connected && Some(turn) != party.connecting {
            // The core has given it up.
            party.is_connected = false;
            party.server.disconnected();
        }
        let (arrives, connection) = (party.is_connected && !party.stalled, party.connections);
        let mut sent = Vec::new();
        self.core(member).outbox.take(&mut sent);
        if arrives && !sent.is_empty() {
            let time = self.arrival(member, 0);
            self.at(time, Happening::ToServer(member, connection, sent));
        }
        let calls = self.core(member).take_calls();
        for call in calls {
            if let Call::Handler(handler, item) = call {
                handler(&item);
            }
        }
    }

    /// Does what the supervisor of the pool does.
    fn watch(&mut self, member: usize) {
        let (state, turn) = {
            let core = self.core(member);
            (core.state(), core.link.turn())
        };
        let party = &mut self.parties[member];
        if state == State::Closed {
            party.is_up = false;
            if !std::mem::replace(&mut party.has_ended, true) {
                self.pool.ended(member);
            }
            return;
        }
        let is_up = matches!(
            state,
            State::Connected | State::Authenticated | State::Recovering
        );
        if std::mem::replace(&mut party.is_up, is_up) != is_up {
            match is_up {
                true => {
                    let delay = 2 * self.latency();
                    self.after(delay, Happening::Healthy(member, turn));
                }
                false => self.pool.went(member),
            }
        }
    }

    /// Goes on to the next thing that happens, if it happens before the end.
    fn step(&mut self, end: Instant) -> bool {
        let deadlines = (0..MEMBERS).filter_map(|member| self.core(member).deadline());
        let deadline = deadlines.min();
        let event = self.events.peek().map(|Reverse((at, ..))| *at);
        let next = deadline.into_iter().chain(event).min();
        let Some(next) = next.filter(|next| *next <= end) else {
            return false;
        };
        self.now = self.now.max(next);
        if event.is_some_and(|at| at <= self.now)
            && let Some(Reverse((_, _, event))) = self.events.pop()
        {
            self.happen(event);
        }
        self.settle();
        true
    }

    /// Whether bytes of this connection arrive.
    fn lives(&self, member: usize, connection: u64) -> bool {
        let party = &self.parties[member];
        party.is_connected && connection == party.connections && !party.stalled
    }

    fn happen(&mut self, event: Happening) {
        match event {
            Happening::ToServer(member, connection, bytes) if self.lives(member, connection) => {
                let server = &mut self.parties[member].server;
                let answered = server.hear(bytes, &mut self.rng);
                self.say(member, answered);
                self.tell();
            }
            Happening::ToClient(member, connection, mut bytes)
                if self.lives(member, connection) =>
            {
                self.core(member).receive(self.now, &mut bytes, None);
            }
            Happening::Refused(member, turn) if turn == self.core(member).link.turn() => {
                let error = Error::new(ErrorKind::Connect, "refused");
                let end = End::abnormal(Some(error));
                self.core(member).lost(self.now, end);
            }
            Happening::Connected(member, turn) if turn == self.core(member).link.turn() => {
                self.core(member).opened(self.now, Agreed::default());
                let party = &mut self.parties[member];
                party.connections += 1;
                (party.is_connected, party.stalled) = (true, false);
                let welcome = party.server.connected();
                self.say(member, welcome);
            }
            Happening::Cut(member, connection)
                if self.parties[member].connections == connection =>
            {
                self.cut(member);
            }
            Happening::Healthy(member, turn)
                if self.parties[member].is_up && turn == self.core(member).link.turn() =>
            {
                self.pool.came(member);
            }
            Happening::ToServer(..)
            | Happening::ToClient(..)
            | Happening::Refused(..)
            | Happening::Connected(..)
            | Happening::Cut(..)
            | Happening::Healthy(..) => {}
            Happening::Others => {
                let room = self.rng.random_range(0..ROOMS);
                self.publish_elsewhere(room);
                self.after(PACE, Happening::Others);
            }
            Happening::Own => {
                self.publish();
                self.after(PACE, Happening::Own);
            }
            Happening::Fault => {
                self.fault();
                let pause = Duration::from_secs(self.rng.random_range(5..200));
                self.after(pause, Happening::Fault);
            }
            Happening::Noon => self.end_one(),
        }
    }

    /// Ends a connection for good, unless one has ended: what says so may be lost on its way.
    fn end_one(&mut self) {
        if self.parties.iter().any(|party| party.has_ended) {
            return;
        }
        let mut parties = self.parties.iter();
        let hears = |party: &Party| party.is_connected && !party.stalled;
        if let Some(member) = parties.position(hears) {
            let said = self.parties[member].server.close(4021);
            self.say(member, said);
        }
        self.after(Duration::from_secs(10), Happening::Noon);
    }

    fn say(&mut self, member: usize, answered: Answered) {
        let connection = self.parties[member].connections;
        if !answered.bytes.is_empty() {
            let time = self.arrival(member, 1);
            self.at(
                time,
                Happening::ToClient(member, connection, answered.bytes),
            );
        }
        if answered.closes {
            let soon = Duration::from_secs(1);
            self.after(soon, Happening::Cut(member, connection));
        }
    }

    /// The server tells all that are in rooms what is new there.
    fn tell(&mut self) {
        for member in 0..MEMBERS {
            let said = self.parties[member].server.tell();
            self.say(member, said);
        }
    }

    fn cut(&mut self, member: usize) {
        let party = &mut self.parties[member];
        if !std::mem::take(&mut party.is_connected) {
            return;
        }
        party.server.disconnected();
        self.core(member).lost(self.now, End::abnormal(None));
    }

    /// Somebody else publishes.
    fn publish_elsewhere(&mut self, room: usize) {
        let mut log = self.log.lock().expect("not poisoned");
        log.append(room, 0, None);
        drop(log);
        self.tell();
    }

    fn publish(&mut self) {
        let room = self.rng.random_range(0..ROOMS);
        let (number, name) = (self.published.len() as u64 + 1, format!("room-{room}"));
        let mut body = Body::new(self.encoding, "publish");
        body.text("room", &name);
        body.put("data", &number).expect("a number");
        let (reply, receiver) = oneshot::channel();
        let mut core = self.pool.choose(Some(&name)).lock();
        let (ticket, key) = (core.new_id(), core.requests.keyed.new_key());
        let asked = core.ask(Entry {
            body,
            purpose: Purpose::User(reply, Wants::Message),
            key: Some(PublishKey {
                room: Arc::from(name),
                key: Some(key),
                origin: KeyOrigin::Automatic,
            }),
            resend: Resend::No,
            timeout: Duration::from_secs(120),
            retries: 0,
            ticket,
            since: self.now,
        });
        drop(core);
        asked.expect("there is room");
        self.published.push((number, room, receiver));
    }

    fn fault(&mut self) {
        let kind = self.rng.random_range(0..self.faults.len());
        self.faults[kind] += 1;
        let member = self.rng.random_range(0..MEMBERS);
        let away = Duration::from_secs(self.rng.random_range(1..120));
        let is_connected = self.parties[member].is_connected;
        match kind {
            0 => self.cut(member),
            1 => self.parties[member].stalled = true,
            2 if is_connected => {
                const CODES: [u16; 8] = [1000, 1008, 1011, 1012, 1013, 3000, 4100, 4199];
                let code = CODES[self.rng.random_range(0..CODES.len())];
                let said = self.parties[member].server.close(code);
                self.say(member, said);
            }
            3 => {
                self.parties[member].down_until = self.now + away;
                self.cut(member);
            }
            4 => {
                self.log.lock().expect("not poisoned").restart();
                (0..MEMBERS).for_each(|member| self.cut(member));
            }
            5 if is_connected => {
                let said = self.parties[member].server.drain(away);
                self.say(member, said);
            }
            // A check of its health fails, though it is connected, and a later one does not.
            6 if self.parties[member].is_up => {
                self.pool.went(member);
                let turn = self.core(member).link.turn();
                self.after(Duration::from_secs(5), Happening::Healthy(member, turn));
            }
            _ => self.parties[member].server.refuse_joins(3),
        }
    }
}
