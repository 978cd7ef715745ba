//! A day of faults in virtual time: one core, and a server that is plainly right, with a network
//! between them that delays, stalls, cuts and refuses, all by a seed.
//!
//! What is checked: a subscriber hears every room's log without repeat, and every gap is told; a
//! publish that is answered has its place in the log, and none is there twice.

pub(crate) mod server;

use super::{Agreed, Core};
use crate::encoding::{Body, Encoding};
use crate::end::End;
use crate::entry::{Answer, Entry, KeyOrigin, PublishKey, Purpose, Resend, Wants};
use crate::error::{Error, ErrorKind};
use crate::link::Step;
use crate::message::{Item, Loss, Lost, Receipt};
use crate::options::{Adaptive, Options};
use crate::room::Call;
use crate::state::State;
use crate::subscription::SubscribeOptions;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use server::{Answered, Server};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const DAY: Duration = Duration::from_secs(24 * 3_600);
const ROOMS: usize = 12;
/// Between two publishes of others, and of the client itself.
const PACE: Duration = Duration::from_secs(2);

/// What happens at some time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// Bytes of the connection with this number arrive.
    ToServer(u64, Vec<u8>),
    ToClient(u64, Vec<u8>),
    /// A connect has its outcome.
    Connected(u64),
    Refused(u64),
    /// The network or the server cuts a connection.
    Cut(u64),
    /// Somebody publishes.
    Others,
    Own,
    Fault,
}

/// What one room's subscriber has heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Which epoch, and the last offset; none: what comes next may begin anywhere.
    pub(crate) at: Option<(String, u64)>,
    pub(crate) messages: u64,
    pub(crate) losses: u64,
    pub(crate) recoveries: u64,
}

/// What settles a publish.
type Settling = oneshot::Receiver<Result<Answer, Error>>;

struct World {
    start: Instant,
    now: Instant,
    core: Core,
    server: Server,
    rng: StdRng,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    queued: u64,
    /// Connections so far; the last is the one that lives.
    connections: u64,
    is_connected: bool,
    connecting: Option<u64>,
    /// Nothing arrives any more on this connection, in either direction.
    stalled: bool,
    /// Connects fail until then.
    down_until: Instant,
    published: u64,
    receipts: Vec<(u64, usize, Settling)>,
    heard: Arc<Mutex<BTreeMap<usize, Heard>>>,
    log: Arc<Mutex<server::Logs>>,
    faults: [u64; 7],
}

impl World {
    fn new(seed: u64, encoding: Encoding, adaptive: Adaptive) -> World {
        let start = Instant::now();
        let options = Options {
            encoding,
            adaptive,
            ..Options::default()
        };
        let mut core = Core::new(options, 2, 0, start, seed);
        core.link.start(start);
        let log: Arc<Mutex<server::Logs>> = Arc::default();
        World {
            start,
            now: start,
            core,
            server: Server::new(Arc::clone(&log), encoding),
            rng: StdRng::seed_from_u64(seed ^ 0xfa17),
            events: BinaryHeap::new(),
            queued: 0,
            connections: 0,
            is_connected: false,
            connecting: None,
            stalled: false,
            down_until: start,
            published: 0,
            receipts: Vec::new(),
            heard: Arc::default(),
            log,
            faults: [0; 7],
        }
    }

    fn subscribe(&mut self) {
        for room in 0..ROOMS {
            let (heard, log) = (Arc::clone(&self.heard), Arc::clone(&self.log));
            let handler = move |item: &Item| {
                let mut heard = heard.lock().expect("not poisoned");
                hear(heard.entry(room).or_default(), room, item, &log);
            };
            let id = self.core.new_id();
            let (ear, _sink) = SubscribeOptions::default().into_ear(id, Some(Arc::new(handler)));
            self.core
                .subscribe(&format!("room-{room}"), ear)
                .map_err(Error::from)
                .expect("it is open");
        }
    }

    fn at(&mut self, delay: Duration, event: Event) {
        self.queued += 1;
        let time = self.now + delay;
        self.events.push(Reverse((time, self.queued, event)));
    }

    fn latency(&mut self) -> Duration {
        Duration::from_micros(self.rng.random_range(200..80_000))
    }

    /// Everything that can be done at this time.
    fn settle(&mut self) {
        self.core.turn(self.now);
        match self.core.step(self.now) {
            Step::Connect(..) if self.connecting != Some(self.core.link.turn()) => {
                self.connecting = Some(self.core.link.turn());
                self.is_connected = false;
                let turn = self.core.link.turn();
                let delay = self.latency();
                match self.now < self.down_until || self.rng.random_ratio(1, 20) {
                    true => self.at(delay, Event::Refused(turn)),
                    false => self.at(delay, Event::Connected(turn)),
                }
            }
            Step::Token(_) => panic!("there is no provider"),
            Step::Wait(_) | Step::Connect(..) | Step::Serve | Step::Ended => {}
        }
        if self.is_connected && Some(self.core.link.turn()) != self.connecting {
            // The core has given it up.
            self.is_connected = false;
            self.server.disconnected();
        }
        let mut sent = Vec::new();
        self.core.outbox.take(&mut sent);
        if self.is_connected && !sent.is_empty() && !self.stalled {
            let (delay, connection) = (self.latency(), self.connections);
            self.at(delay, Event::ToServer(connection, sent));
        }
        for call in self.core.take_calls() {
            if let Call::Handler(handler, item) = call {
                handler(&item);
            }
        }
    }

    /// Goes on to the next thing that happens, if it happens before the end.
    fn step(&mut self, end: Instant) -> bool {
        let deadline = self.core.deadline();
        let event = self.events.peek().map(|Reverse((at, ..))| *at);
        let Some(next) = deadline
            .into_iter()
            .chain(event)
            .min()
            .filter(|next| *next <= end)
        else {
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

    fn happen(&mut self, event: Event) {
        let lives = |world: &World, connection| {
            world.is_connected && connection == world.connections && !world.stalled
        };
        match event {
            Event::ToServer(connection, bytes) if lives(self, connection) => {
                let answered = self.server.hear(bytes, &mut self.rng);
                self.say(answered);
            }
            Event::ToClient(connection, mut bytes) if lives(self, connection) => {
                self.core.receive(self.now, &mut bytes, None);
            }
            Event::ToServer(..) | Event::ToClient(..) => {}
            Event::Refused(turn) if turn == self.core.link.turn() => {
                let error = Error::new(ErrorKind::Connect, "refused");
                self.core.lost(self.now, End::abnormal(Some(error)));
            }
            Event::Connected(turn) if turn == self.core.link.turn() => {
                self.connections += 1;
                self.is_connected = true;
                self.stalled = false;
                self.core.opened(self.now, Agreed::default());
                let welcome = self.server.connected();
                self.say(welcome);
            }
            Event::Refused(_) | Event::Connected(_) => {}
            Event::Cut(connection) if self.is_connected && connection == self.connections => {
                self.cut();
            }
            Event::Cut(_) => {}
            Event::Others => {
                let room = self.rng.random_range(0..ROOMS);
                self.publish_elsewhere(room);
                self.at(PACE, Event::Others);
            }
            Event::Own => {
                self.publish();
                self.at(PACE, Event::Own);
            }
            Event::Fault => self.fault(),
        }
    }

    fn say(&mut self, answered: Answered) {
        if !answered.bytes.is_empty() {
            let (delay, connection) = (self.latency(), self.connections);
            // In order: a delay is never shorter than that of what is under way.
            let last = self.events.iter().filter_map(|Reverse((at, _, event))| {
                matches!(event, Event::ToClient(..)).then_some(*at)
            });
            let after = last
                .max()
                .map_or(Duration::ZERO, |at| at.saturating_duration_since(self.now));
            self.at(
                delay.max(after),
                Event::ToClient(connection, answered.bytes),
            );
        }
        if answered.closes {
            let connection = self.connections;
            self.at(Duration::from_secs(1), Event::Cut(connection));
        }
    }

    fn cut(&mut self) {
        self.is_connected = false;
        self.server.disconnected();
        self.core.lost(self.now, End::abnormal(None));
    }

    /// Somebody else publishes.
    fn publish_elsewhere(&mut self, room: usize) {
        let mut log = self.log.lock().expect("not poisoned");
        log.append(room, 0, None);
        drop(log);
        let said = self.server.tell();
        self.say(said);
    }

    fn publish(&mut self) {
        self.published += 1;
        let room = self.rng.random_range(0..ROOMS);
        let name = format!("room-{room}");
        let mut body = Body::new(self.core.options.encoding, "publish");
        body.text("room", &name);
        body.put("data", &self.published).expect("a number");
        let (reply, receiver) = oneshot::channel();
        let timeout = Duration::from_secs(120);
        let ticket = self.core.new_id();
        let key = self.core.requests.keyed.new_key();
        let asked = self.core.ask(Entry {
            body,
            purpose: Purpose::User(reply, Wants::Message),
            key: Some(PublishKey {
                room: Arc::from(name),
                key: Some(key),
                origin: KeyOrigin::Automatic,
            }),
            resend: Resend::No,
            timeout,
            retries: 0,
            ticket,
            since: self.now,
        });
        asked.expect("there is room");
        self.receipts.push((self.published, room, receiver));
    }

    fn fault(&mut self) {
        let kind = self.rng.random_range(0..self.faults.len());
        self.faults[kind] += 1;
        let away = Duration::from_secs(self.rng.random_range(1..120));
        match kind {
            0 if self.is_connected => self.cut(),
            1 => self.stalled = true,
            2 if self.is_connected => {
                let code =
                    [1000, 1008, 1011, 1012, 1013, 3000, 4100, 4199][self.rng.random_range(0..8)];
                let said = self.server.close(code);
                self.say(said);
            }
            3 => {
                self.down_until = self.now + away;
                if self.is_connected {
                    self.cut();
                }
            }
            4 => {
                self.log.lock().expect("not poisoned").restart();
                if self.is_connected {
                    self.cut();
                }
            }
            5 if self.is_connected => {
                let said = self.server.drain(away);
                self.say(said);
            }
            _ => self.server.refuse_joins(3),
        }
        let pause = Duration::from_secs(self.rng.random_range(5..400));
        if self.now + pause < self.start + DAY {
            self.at(pause, Event::Fault);
        }
    }
}

/// What the answers to these publishes said is what the logs have: how many were answered, and how
/// many failed.
pub(crate) fn judge_receipts(
    receipts: impl IntoIterator<Item = (u64, usize, Settling)>,
    log: &server::Logs,
) -> (u64, u64) {
    let (mut answered, mut failed) = (0, 0);
    for (number, room, mut receiver) in receipts {
        let Ok(answer) = receiver.try_recv() else {
            panic!("a publish is not settled");
        };
        let Ok(answer) = answer else {
            failed += 1;
            continue;
        };
        answered += 1;
        let receipt: Receipt = answer.read().expect("a receipt");
        let place = receipt.epoch.zip(receipt.offset);
        let (epoch, offset) = place.expect("it keeps history");
        assert_eq!(log.get(&epoch, room, offset), Some(number));
    }
    log.assert_once();
    (answered, failed)
}

/// Each room was heard to the end of its log.
pub(crate) fn check_ends(heard: &BTreeMap<usize, Heard>, log: &server::Logs, seed: u64) {
    for (room, heard) in heard {
        let (epoch, last) = heard.at.clone().expect("it has heard something");
        assert_eq!(
            (&*epoch, last),
            (log.newest(), log.last(*room)),
            "seed {seed}: to the end"
        );
    }
}

/// One item of a room: contiguous, unless a gap was told.
pub(crate) fn hear(heard: &mut Heard, room: usize, item: &Item, log: &Mutex<server::Logs>) {
    match item {
        Item::Joined(joined) => {
            let position = joined.position.clone().expect("it keeps history");
            heard.at = Some((position.epoch.into(), position.offset));
        }
        Item::Recovered(_) => heard.recoveries += 1,
        Item::Lost(Lost { why }) => {
            assert!(!matches!(why, Loss::Buffer(_)), "handlers have no buffer");
            heard.losses += 1;
            heard.at = None;
        }
        Item::Message(message) => {
            let offset = message.offset().expect("history");
            let number: u64 = message.read().expect("a number");
            let log = log.lock().expect("not poisoned");
            let epoch = match heard.at.take() {
                Some((epoch, last)) => {
                    assert_eq!(offset, last + 1, "no silent gap, no repeat");
                    epoch
                }
                // Behind a gap that was told it is in the newest log.
                None => log.newest().to_owned(),
            };
            assert_eq!(log.get(&epoch, room, offset), Some(number));
            heard.messages += 1;
            heard.at = Some((epoch, offset));
        }
        Item::Presence(_) | Item::Missed(_) => {}
    }
}

fn check(seed: u64, encoding: Encoding, adaptive: Adaptive) {
    let mut world = World::new(seed, encoding, adaptive);
    world.subscribe();
    for event in [Event::Others, Event::Own, Event::Fault] {
        world.at(Duration::from_secs(1), event);
    }
    let end = world.start + DAY;
    while world.step(end) {}
    // The faults are over: whatever is missing comes.
    world.down_until = world.start;
    world.server.refuse_joins(0);
    world.events.retain(|Reverse((_, _, event))| {
        !matches!(event, Event::Others | Event::Own | Event::Fault)
    });
    while world.step(end + Duration::from_secs(300)) {}
    for room in 0..ROOMS {
        world.publish_elsewhere(room);
    }
    while world.step(end + Duration::from_secs(600)) {}
    assert_eq!(world.core.state(), State::Connected, "seed {seed}");
    let log = world.log.lock().expect("not poisoned");
    let (answered, failed) = judge_receipts(world.receipts.drain(..), &log);
    let heard = world.heard.lock().expect("not poisoned");
    check_ends(&heard, &log, seed);
    let sum = |of: fn(&Heard) -> u64| heard.values().map(of).sum::<u64>();
    let (messages, losses) = (sum(|heard| heard.messages), sum(|heard| heard.losses));
    let counts = &world.core.counts;
    assert!(
        world.faults.iter().all(|count| *count > 20),
        "{:?}",
        world.faults
    );
    assert!(counts.disconnects > 100 && sum(|heard| heard.recoveries) > 500);
    assert!(messages > 50_000 && losses > 0, "{messages} {losses}");
    assert!(
        answered > 40_000 && failed < answered / 20,
        "{answered} {failed}"
    );
}

#[test]
fn a_day_of_faults_in_json() {
    check(1, Encoding::Json, Adaptive::Off);
    check(2, Encoding::Json, Adaptive::On);
}

#[test]
fn a_day_of_faults_in_messagepack() {
    check(3, Encoding::MessagePack, Adaptive::On);
}
