//! The load of a storm, as those who are cut off make it: all lose their connection at one time and
//! come back, as fast as they may. Invariant: each is inside, on its way, waiting for its turn to
//! try (again), or lost for good after it was back. Called by `load`.

use crate::control::Outcome;
use crate::dialect::{Dialect, Incoming, Role};
use crate::entrance::{Entrance, Turnover};
use crate::errors::Agreed;
use crate::message::{Kind, Stamp};
use crate::meter::Meter;
use crate::motion::StormPlan;
use crate::plan::Share;
use crate::sockets::Sockets;
use crate::tally::Faults;
use std::collections::VecDeque;

/// Those of a worker who are cut off.
#[derive(Debug)]
pub(crate) struct Storm {
    plan: StormPlan,
    cut: usize,
    /// Connects under way at once, of this worker.
    connecting: usize,
    entrance: Entrance,
    storm_ns: u64,
    /// Next to be cut, and next to try for the first time.
    next_cut: usize,
    next_try: usize,
    /// When who tries again, earliest first: the pause is always the same.
    retries: VecDeque<(u64, usize)>,
    deliveries: Deliveries,
    back: usize,
    back_ns: u64,
    turnover: Turnover,
    pub(crate) meter: Meter,
}

/// Before a failed attempt is repeated.
const RETRY_NS: u64 = 100_000_000;
/// Resets, and connects, in one turn before anything is read.
const CUTS_PER_TICK_MAX: usize = 1024;
const CONNECTS_PER_TICK_MAX: usize = 32;

impl Storm {
    /// For a worker's share.
    pub(crate) fn new(share: &Share, plan: StormPlan) -> Storm {
        let cut = share.count as usize;
        let rooms = share.plan.subscribes.then_some(share.plan.rooms);
        let part = f64::from(share.count) / f64::from(plan.cut);
        Storm {
            plan,
            cut,
            connecting: ((f64::from(plan.connecting) * part) as usize).max(1),
            entrance: Entrance::new((share.first, cut, cut), rooms, plan.patience),
            storm_ns: u64::MAX,
            next_cut: 0,
            next_try: 0,
            retries: VecDeque::new(),
            deliveries: Deliveries::new(share, cut),
            back: 0,
            back_ns: 0,
            turnover: Turnover::new(),
            meter: Meter::new(),
        }
    }

    /// What a connection is there for.
    pub(crate) fn role(&self, index: usize) -> Role {
        self.entrance.role(index)
    }

    /// Joins whoever must.
    pub(crate) fn subscribe(&mut self, dialect: &Dialect, sockets: &mut Sockets) {
        self.entrance.subscribe(dialect, sockets);
    }

    /// Whether all have.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.entrance.is_subscribed()
    }

    /// The storm comes within the window.
    pub(crate) fn run(&mut self, window_start_ns: u64, window_end_ns: u64) {
        self.meter.open(window_start_ns, window_end_ns);
        self.storm_ns = window_start_ns + self.plan.at.as_nanos() as u64;
    }

    /// Does what is due. Returns when it wants to be called again.
    pub(crate) fn tick(&mut self, now_ns: u64, dialect: &Dialect, sockets: &mut Sockets) -> u64 {
        let meter_ns = self.meter.tick(now_ns);
        if now_ns < self.storm_ns {
            return meter_ns.min(self.storm_ns);
        }
        while self.next_cut < self.cut {
            let index = self.next_cut;
            self.entrance.put_out(index);
            if !self.plan.recovers {
                self.deliveries.forget(index);
            }
            sockets.reset(index);
            self.turnover.reset += 1;
            self.next_cut += 1;
            if self.next_cut.is_multiple_of(CUTS_PER_TICK_MAX) {
                return now_ns;
            }
        }
        while let Some((index, words)) = self.entrance.expire(now_ns) {
            sockets.reset(index);
            self.failed(index, words, now_ns);
        }
        let try_ns = self.come_back(now_ns, dialect, sockets);
        meter_ns.min(try_ns).min(self.entrance.next_expiry_ns())
    }

    fn come_back(&mut self, now_ns: u64, dialect: &Dialect, sockets: &mut Sockets) -> u64 {
        for _ in 0..CONNECTS_PER_TICK_MAX {
            if self.entrance.under_way() >= self.connecting {
                // The end of an attempt wakes us.
                return u64::MAX;
            }
            let index = match self.retries.front() {
                Some(&(due_ns, index)) if due_ns <= now_ns => {
                    self.retries.pop_front();
                    self.turnover.retries += 1;
                    index
                }
                _ if self.next_try < self.cut && self.first_try_ns(self.next_try) <= now_ns => {
                    self.next_try += 1;
                    self.next_try - 1
                }
                _ => return self.next_try_ns(),
            };
            self.turnover.attempts += 1;
            let began_ns = crate::clock::now_ns();
            let times = (began_ns, began_ns);
            if let Err(words) = self.entrance.enter(index, times, dialect, sockets) {
                self.failed(index, words, now_ns);
            }
        }
        now_ns
    }

    /// When the connection is meant to try for the first time.
    fn first_try_ns(&self, index: usize) -> u64 {
        let spread_ns = self.plan.spread.as_nanos() as f64;
        let away_ns = self.plan.away.as_nanos() as u64;
        self.storm_ns + away_ns + (spread_ns * index as f64 / self.cut as f64) as u64
    }

    fn next_try_ns(&self) -> u64 {
        let retry_ns = self.retries.front().map_or(u64::MAX, |&(due_ns, _)| due_ns);
        let first = (self.next_try < self.cut).then(|| self.first_try_ns(self.next_try));
        retry_ns.min(first.unwrap_or(u64::MAX))
    }

    fn failed(&mut self, index: usize, words: String, now_ns: u64) {
        self.turnover.failures.count(words);
        self.retries.push_back((now_ns + RETRY_NS, index));
    }

    /// A connection that came back is open.
    pub(crate) fn opened(
        &mut self,
        index: usize,
        now_ns: u64,
        dialect: &Dialect,
        out: &mut Vec<u8>,
    ) {
        if let Some(began_ns) = self.entrance.opened(index, dialect, out) {
            self.turnover
                .connect
                .record(now_ns.saturating_sub(began_ns));
        }
    }

    /// Something came on a connection; what answers it at once is appended to `out`.
    pub(crate) fn receive(
        &mut self,
        index: usize,
        incoming: &Incoming,
        now_ns: u64,
        dialect: &Dialect,
        out: &mut Vec<u8>,
    ) {
        if let Incoming::Delivery(stamp) = incoming {
            if self.deliveries.deliver(index, stamp) {
                self.meter.received(now_ns);
            }
            return;
        }
        if self
            .entrance
            .receive(index, incoming, dialect, out)
            .is_some()
        {
            self.turnover.entered += 1;
            self.turnover
                .back
                .record(now_ns.saturating_sub(self.storm_ns));
            self.back += 1;
            self.back_ns = now_ns;
        }
    }

    /// A connection ended by itself.
    pub(crate) fn ended(&mut self, index: usize, reason: String, now_ns: u64) {
        if self.entrance.is_outside(index) {
            return;
        }
        let inside = self.entrance.is_inside(index);
        let words = format!("{reason}, {}", self.entrance.ended(index));
        if inside {
            self.turnover.broken += 1;
            self.turnover.failures.count(words);
        } else {
            self.failed(index, words, now_ns);
        }
    }

    /// Until now.
    pub(crate) fn failures(&self) -> u64 {
        self.turnover.failures.total()
    }

    /// Nobody tries any more. Returns when all were back: `u64::MAX` if they were not.
    pub(crate) fn stop(&mut self) -> u64 {
        self.meter.close();
        self.entrance
            .give_up("when the run ended", &mut self.turnover.failures);
        self.retries.clear();
        // Before the storm nobody waits for a turn.
        for _ in self.next_try..self.next_cut {
            let words = "no turn to come back before the run ended";
            self.turnover.failures.count(words.into());
        }
        if self.back == self.cut {
            self.back_ns
        } else {
            u64::MAX
        }
    }

    /// The account.
    pub(crate) fn finish(mut self) -> Outcome {
        let inside = (0..self.cut).filter(|&index| self.entrance.is_inside(index));
        self.turnover.missing = (self.cut - inside.count()) as u64;
        let (_, _, echoes) = self.entrance.finish();
        let Deliveries { received, lost, .. } = self.deliveries;
        Outcome {
            meter: self.meter,
            sent: 0,
            received,
            expected: received + lost,
            faults: Faults {
                // An echo that did not come is a failed attempt.
                lost,
                duplicated: echoes.duplicated + self.deliveries.repeated,
                out_of_order: echoes.out_of_order,
                corrupted: echoes.corrupted + self.deliveries.misplaced,
            },
            orders: Vec::new(),
            agreed: Agreed::default(),
            traffic: None,
            errors: self.turnover.failures.clone(),
            turnover: Some(self.turnover),
            stall: None,
        }
    }
}

/// What the publisher's messages were to those who are cut off: from the first that comes after a
/// join they have no hole.
#[derive(Debug)]
struct Deliveries {
    first: u32,
    rooms: u32,
    publishers: u32,
    /// Sequence that comes next; `None`: any.
    next: Vec<Option<u64>>,
    received: u64,
    lost: u64,
    /// Again, or after a later one.
    repeated: u64,
    misplaced: u64,
}

impl Deliveries {
    fn new(share: &Share, count: usize) -> Deliveries {
        Deliveries {
            first: share.first,
            rooms: share.plan.rooms,
            publishers: share.plan.publishers,
            next: vec![None; count],
            received: 0,
            lost: 0,
            repeated: 0,
            misplaced: 0,
        }
    }

    fn forget(&mut self, index: usize) {
        self.next[index] = None;
    }

    /// Whether it is a message of the publisher, for the first time.
    fn deliver(&mut self, index: usize, stamp: &Stamp) -> bool {
        let room = (self.first + index as u32) % self.rooms;
        if stamp.sender >= self.publishers || stamp.room != room {
            self.misplaced += 1;
            return false;
        }
        if stamp.kind == Kind::Probe {
            return false;
        }
        let next = self.next[index].unwrap_or(stamp.sequence);
        if stamp.sequence < next {
            self.repeated += 1;
            return false;
        }
        self.lost += stamp.sequence - next;
        self.received += 1;
        self.next[index] = Some(stamp.sequence + 1);
        true
    }
}
