//! The load of one to many: subscribers, and in one worker the publishers.
//! Invariant: a publisher's k-th message goes to room k mod rooms, so that its number in the room is k / rooms. Called by `worker`.

use crate::control::{Errors, Outcome, Share};
use crate::dialect::{Dialect, EVERYONE, Incoming, Role};
use crate::message::{Kind, Stamp};
use crate::meter::Meter;
use crate::pace::{Pace, Schedule};
use crate::sockets::{Phase, Sockets};
use crate::tally::{Arrival, Tally, chain};
use std::collections::{BTreeMap, VecDeque};

/// Subscribers are the first connections of the worker; publishers follow.
#[derive(Debug)]
pub(crate) struct Fanout {
    subscribers: usize,
    /// Number of the first subscriber in the whole run.
    first: u32,
    /// Of the whole run.
    publishers: usize,
    publishes_here: bool,
    rooms: u32,
    /// Of one room, in this worker.
    members: Vec<u32>,
    joined: Vec<bool>,
    unjoined: usize,
    /// By subscriber and publisher.
    probed: Vec<bool>,
    unprobed: usize,
    /// By subscriber and publisher.
    tally: Tally,
    /// By subscriber: hash of the order of what it got.
    orders: Vec<u64>,
    /// By publisher (of the whole run, once draining).
    published: Vec<u64>,
    undelivered: Vec<Undelivered>,
    pace: Pace,
    /// Whether `Pace::Once` or the first messages of `Pace::Closed` are still to be sent.
    schedule: Option<Schedule>,
    running: bool,
    meter: Meter,
    scratch: Vec<u8>,
}

/// A publisher's messages that have not reached every local subscriber, oldest first.
#[derive(Debug, Default)]
struct Undelivered {
    /// Number of the oldest.
    first: u64,
    /// Subscribers that miss it.
    missing: VecDeque<u32>,
}

/// Publishes in one turn before anything is read.
const PUBLISHES_PER_TICK_MAX: u64 = 1024;
/// The publisher of `Pace::Once` whose one message goes to everyone; the other goes through the rooms.
const TO_EVERYONE: usize = 1;

impl Fanout {
    /// For a worker's share.
    pub(crate) fn new(share: &Share) -> Fanout {
        let plan = &share.plan;
        let subscribers = share.count as usize;
        let publishers = plan.publishers as usize;
        let mut members = vec![0; plan.rooms as usize];
        (share.first..share.first + share.count)
            .for_each(|number| members[(number % plan.rooms) as usize] += 1);
        Fanout {
            subscribers,
            first: share.first,
            publishers,
            publishes_here: share.publishes,
            rooms: plan.rooms,
            members,
            joined: vec![!plan.subscribes; subscribers],
            unjoined: if plan.subscribes { subscribers } else { 0 },
            probed: vec![false; subscribers * publishers],
            unprobed: subscribers * publishers,
            tally: Tally::new(subscribers * publishers),
            orders: vec![0; subscribers],
            published: vec![0; publishers],
            undelivered: (0..publishers).map(|_| Undelivered::default()).collect(),
            pace: plan.pace,
            schedule: None,
            running: false,
            meter: Meter::new(),
            scratch: Vec::new(),
        }
    }

    /// What a connection is there for.
    pub(crate) fn role(&self, index: usize) -> Role {
        if index < self.subscribers {
            Role::Subscriber {
                room: self.room(index),
            }
        } else {
            Role::Publisher
        }
    }

    /// Subscribes everyone who has not.
    pub(crate) fn subscribe(&mut self, dialect: &Dialect, sockets: &mut Sockets) {
        for index in (0..self.subscribers).filter(|&index| !self.joined[index]) {
            let room = self.room(index);
            self.scratch.clear();
            let number = self.first + index as u32;
            dialect.append_subscribe(&mut self.scratch, index, number, room);
            sockets.send(index, &self.scratch);
        }
    }

    /// Whether every subscriber's subscription was taken in.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.unjoined == 0
    }

    /// Sends a probe of every publisher to every room, if the publishers are here.
    pub(crate) fn probe(&mut self, dialect: &Dialect, sockets: &mut Sockets) {
        for publisher in (0..self.publishers).filter(|_| self.publishes_here) {
            self.scratch.clear();
            for room in 0..self.rooms {
                let stamp = Stamp {
                    kind: Kind::Probe,
                    sender: publisher as u32,
                    room,
                    sequence: 0,
                    intended_ns: 0,
                };
                dialect.append_publish(&mut self.scratch, &stamp);
            }
            sockets.send(self.subscribers + publisher, &self.scratch);
        }
    }

    /// Whether every subscriber got a probe of every publisher.
    pub(crate) fn is_probed(&self) -> bool {
        self.unprobed == 0
    }

    /// Sends from `start_ns` to the end of the window.
    pub(crate) fn run(&mut self, start_ns: u64, window_start_ns: u64, window_end_ns: u64) {
        self.meter.open(window_start_ns, window_end_ns);
        self.running = self.publishes_here;
        if let (Pace::Rate { per_s, burst }, true) = (self.pace, self.publishes_here) {
            self.schedule = Some(Schedule::new(
                start_ns,
                window_end_ns,
                per_s / f64::from(burst),
            ));
        }
    }

    /// Publishes what is due. Returns when it wants to be called again.
    pub(crate) fn tick(&mut self, now_ns: u64, dialect: &Dialect, sockets: &mut Sockets) -> u64 {
        let deadline_ns = self.meter.tick(now_ns);
        if !self.running {
            return deadline_ns;
        }
        match self.pace {
            Pace::Rate { burst, .. } => {
                deadline_ns.min(self.publish_due(now_ns, burst, dialect, sockets))
            }
            Pace::Closed(outstanding) if now_ns < self.meter.window_end_ns() => {
                let more = self.refill(now_ns, outstanding, dialect, sockets);
                if more { now_ns } else { deadline_ns }
            }
            Pace::Once => {
                self.publish(0, u64::from(self.rooms), now_ns, dialect, sockets);
                self.publish(TO_EVERYONE, 1, now_ns, dialect, sockets);
                self.running = false;
                deadline_ns
            }
            Pace::Closed(_) | Pace::Silent => deadline_ns,
        }
    }

    fn publish_due(
        &mut self,
        now_ns: u64,
        burst: u32,
        dialect: &Dialect,
        sockets: &mut Sockets,
    ) -> u64 {
        let Some(mut schedule) = self.schedule else {
            return u64::MAX;
        };
        for _ in 0..PUBLISHES_PER_TICK_MAX.div_ceil(u64::from(burst)) {
            let Some((number, intended_ns)) = schedule.take(now_ns) else {
                break;
            };
            let publisher = (number % self.publishers as u64) as usize;
            self.meter.departed(crate::clock::now_ns(), intended_ns);
            self.publish(publisher, u64::from(burst), intended_ns, dialect, sockets);
        }
        self.schedule = Some(schedule);
        schedule.next_ns().unwrap_or(u64::MAX)
    }

    /// Keeps `outstanding` publishes of each publisher under way. Returns whether there is more to send.
    fn refill(
        &mut self,
        now_ns: u64,
        outstanding: u32,
        dialect: &Dialect,
        sockets: &mut Sockets,
    ) -> bool {
        let mut more = false;
        for publisher in 0..self.publishers {
            let wanted = u64::from(outstanding)
                .saturating_sub(self.undelivered[publisher].missing.len() as u64);
            more |= wanted > PUBLISHES_PER_TICK_MAX;
            if wanted > 0 {
                self.publish(
                    publisher,
                    wanted.min(PUBLISHES_PER_TICK_MAX),
                    now_ns,
                    dialect,
                    sockets,
                );
            }
        }
        more
    }

    /// The publisher's next `count` messages, in one write.
    fn publish(
        &mut self,
        publisher: usize,
        count: u64,
        intended_ns: u64,
        dialect: &Dialect,
        sockets: &mut Sockets,
    ) {
        self.scratch.clear();
        let rooms = u64::from(self.rooms);
        for number in self.published[publisher]..self.published[publisher] + count {
            let room = if self.is_to_everyone(publisher) {
                EVERYONE
            } else {
                (number % rooms) as u32
            };
            let sequence = number / rooms;
            let stamp = Stamp {
                kind: Kind::Publish,
                sender: publisher as u32,
                room,
                sequence,
                intended_ns,
            };
            dialect.append_publish(&mut self.scratch, &stamp);
            if let Pace::Closed(_) = self.pace {
                self.undelivered[publisher]
                    .missing
                    .push_back(self.members[room as usize]);
            }
        }
        self.published[publisher] += count;
        self.undelivered[publisher].shed();
        sockets.send(self.subscribers + publisher, &self.scratch);
    }

    /// Something came on a connection.
    pub(crate) fn receive(&mut self, index: usize, incoming: &Incoming, now_ns: u64) {
        match incoming {
            Incoming::Delivery(stamp) => self.deliver(index, stamp, now_ns),
            Incoming::Echo(Stamp {
                kind: Kind::Barrier,
                ..
            })
            | Incoming::Joined => {
                if let Some(joined) = self.joined.get_mut(index)
                    && !std::mem::replace(joined, true)
                {
                    self.unjoined -= 1;
                }
            }
            Incoming::Echo(_) | Incoming::Corrupted => self.tally.corrupted(),
            Incoming::Welcome | Incoming::Other | Incoming::Refused(_) => {}
        }
    }

    fn deliver(&mut self, index: usize, stamp: &Stamp, now_ns: u64) {
        let publisher = stamp.sender as usize;
        let to_everyone = self.is_to_everyone(publisher) && stamp.room == EVERYONE;
        if index >= self.subscribers && to_everyone {
            return;
        }
        let expected = index < self.subscribers
            && publisher < self.publishers
            && (to_everyone || stamp.room == self.room(index));
        if !expected {
            return self.tally.corrupted();
        }
        let stream = index * self.publishers + publisher;
        if stamp.kind == Kind::Probe {
            self.unprobed -= usize::from(!std::mem::replace(&mut self.probed[stream], true));
            return;
        }
        let arrival = self.tally.arrive(stream, stamp.sequence);
        self.orders[index] = chain(self.orders[index], stamp.sender, stamp.sequence);
        let skipped = match arrival {
            Arrival::New { skipped } => skipped,
            Arrival::Late => 0,
            Arrival::Repeated => return,
        };
        self.meter.arrived(now_ns, stamp.intended_ns);
        if self.publishes_here && matches!(self.pace, Pace::Closed(_)) {
            // What was skipped is lost: it must not hold up the publisher. If it comes late, it was counted already.
            let from = if arrival == Arrival::Late {
                stamp.sequence + 1
            } else {
                stamp.sequence - skipped
            };
            for sequence in from..=stamp.sequence {
                let number = sequence * u64::from(self.rooms) + u64::from(stamp.room);
                self.undelivered[publisher].delivered(number);
            }
        }
    }

    fn room(&self, index: usize) -> u32 {
        (self.first + index as u32) % self.rooms
    }

    fn is_to_everyone(&self, publisher: usize) -> bool {
        self.pace == Pace::Once && publisher == TO_EVERYONE
    }

    /// Messages by each publisher, if they are here.
    pub(crate) fn stop(&mut self) -> Vec<u64> {
        self.meter.close();
        self.running = false;
        if self.publishes_here {
            self.published.clone()
        } else {
            Vec::new()
        }
    }

    /// From here on it is known how much everyone is to get.
    pub(crate) fn drain(&mut self, published: Vec<u64>) {
        assert_eq!(
            published.len(),
            self.publishers,
            "the parent passes on what the publishers' worker said"
        );
        self.published = published;
    }

    /// Whether every subscriber that lives has everything.
    pub(crate) fn is_settled(&self, sockets: &Sockets) -> bool {
        (0..self.subscribers)
            .filter(|&index| sockets.phase(index) != Phase::Closed)
            .all(|index| {
                (0..self.publishers)
                    .map(|publisher| index * self.publishers + publisher)
                    .all(|stream| self.tally.next(stream) >= self.owed(stream))
            })
    }

    /// Messages of a stream, once all are published.
    fn owed(&self, stream: usize) -> u64 {
        let (index, publisher) = (stream / self.publishers, stream % self.publishers);
        let published = self.published[publisher];
        if self.is_to_everyone(publisher) {
            return published;
        }
        let rooms = u64::from(self.rooms);
        (published + rooms - 1 - u64::from(self.room(index))) / rooms
    }

    /// The account.
    pub(crate) fn finish(self) -> Outcome {
        let owed: Vec<u64> = (0..self.subscribers * self.publishers)
            .map(|stream| self.owed(stream))
            .collect();
        let mut orders = BTreeMap::new();
        if self.pace != Pace::Once {
            for (index, hash) in self.orders.iter().enumerate() {
                *orders.entry((self.room(index), *hash)).or_default() += 1;
            }
        }
        Outcome {
            meter: self.meter,
            sent: if self.publishes_here {
                self.published.iter().sum()
            } else {
                0
            },
            received: self.tally.arrived(),
            expected: owed.iter().sum(),
            faults: self.tally.settle(|stream| owed[stream]),
            orders: orders
                .into_iter()
                .map(|((room, hash), count)| (room, hash, count))
                .collect(),
            errors: Errors::default(),
        }
    }
}

impl Undelivered {
    fn delivered(&mut self, number: u64) {
        let place = number
            .checked_sub(self.first)
            .and_then(|place| usize::try_from(place).ok());
        if let Some(missing) = place.and_then(|place| self.missing.get_mut(place)) {
            *missing = missing.saturating_sub(1);
        }
        self.shed();
    }

    /// Forgets what is delivered.
    fn shed(&mut self) {
        while self.missing.front() == Some(&0) {
            self.missing.pop_front();
            self.first += 1;
        }
    }
}
