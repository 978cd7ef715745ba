//! The load of coming and going: by the clock one connection comes, echoes once and stays, and the
//! one that has stayed longest leaves. Invariant: as many are inside or on their way as in the
//! beginning, less those that failed since the last came. Called by `load`.

use crate::control::Outcome;
use crate::dialect::{Dialect, Incoming, Role};
use crate::entrance::{Entrance, Turnover};
use crate::errors::Agreed;
use crate::meter::Meter;
use crate::motion::ChurnPlan;
use crate::pace::Schedule;
use crate::plan::Share;
use crate::sockets::{Phase, Sockets};
use std::collections::VecDeque;

/// Connects in one turn before anything is read.
const CYCLES_PER_TICK_MAX: usize = 32;

/// Coming and going on a worker's connections.
#[derive(Debug)]
pub(crate) struct Churn {
    plan: ChurnPlan,
    /// This worker's part of all connections.
    part: f64,
    /// Connections to hold.
    held: usize,
    entrance: Entrance,
    /// Who may be inside, longest first; who broke meanwhile has another attempt or none.
    inside: VecDeque<(usize, u32)>,
    /// How many really are.
    staying: usize,
    /// Without a socket.
    free: VecDeque<usize>,
    /// Whose close handshake is under way, or was.
    leaving: VecDeque<Farewell>,
    leavers: usize,
    cycles: u64,
    /// Whether the next connect is late because none was free.
    starved: bool,
    schedule: Option<Schedule>,
    turnover: Turnover,
    pub(crate) meter: Meter,
}

#[derive(Debug)]
struct Farewell {
    until_ns: u64,
    index: usize,
    attempt: u32,
}

impl Churn {
    /// For a worker's share.
    pub(crate) fn new(share: &Share, plan: ChurnPlan) -> Churn {
        let held = share.count as usize;
        let slots = held + share.spare as usize;
        let rooms = share.plan.subscribes.then_some(share.plan.rooms);
        Churn {
            plan,
            part: f64::from(share.count) / f64::from(share.plan.connections),
            held,
            entrance: Entrance::new((share.first, slots, held), rooms, plan.patience),
            inside: (0..held).map(|index| (index, 0)).collect(),
            staying: held,
            free: (held..slots).collect(),
            leaving: VecDeque::new(),
            leavers: 0,
            cycles: 0,
            starved: false,
            schedule: None,
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

    /// Comes and goes from `start_ns` to the end of the window.
    pub(crate) fn run(&mut self, start_ns: u64, window_start_ns: u64, window_end_ns: u64) {
        self.meter.open(window_start_ns, window_end_ns);
        self.schedule = Some(Schedule::new(
            start_ns,
            window_end_ns,
            self.plan.per_s * self.part,
        ));
    }

    /// Does what is due. Returns when it wants to be called again.
    pub(crate) fn tick(&mut self, now_ns: u64, dialect: &Dialect, sockets: &mut Sockets) -> u64 {
        let meter_ns = self.meter.tick(now_ns);
        self.expire(now_ns, sockets);
        let cycle_ns = self.come_and_go(now_ns, dialect, sockets);
        let farewell_ns = self
            .leaving
            .front()
            .map_or(u64::MAX, |farewell| farewell.until_ns);
        let expiry_ns = self.entrance.next_expiry_ns();
        meter_ns.min(cycle_ns).min(farewell_ns).min(expiry_ns)
    }

    fn expire(&mut self, now_ns: u64, sockets: &mut Sockets) {
        while let Some((index, words)) = self.entrance.expire(now_ns) {
            sockets.reset(index);
            self.free.push_back(index);
            self.turnover.failures.count(words);
        }
        while let Some(farewell) = self.leaving.front() {
            let (index, attempt) = (farewell.index, farewell.attempt);
            if self.is_leaving(index, attempt, sockets) {
                if farewell.until_ns > now_ns {
                    return;
                }
                let words = unfinished(sockets.phase(index));
                let patience = self.plan.patience;
                self.turnover
                    .failures
                    .count(format!("{words} within {patience:?}"));
                sockets.reset(index);
                self.leavers -= 1;
                self.free.push_back(index);
            }
            self.leaving.pop_front();
        }
    }

    fn is_leaving(&self, index: usize, attempt: u32, sockets: &Sockets) -> bool {
        let leaving = matches!(sockets.phase(index), Phase::Leaving | Phase::Left);
        leaving && self.entrance.attempt(index) == attempt
    }

    fn come_and_go(&mut self, now_ns: u64, dialect: &Dialect, sockets: &mut Sockets) -> u64 {
        let Some(mut schedule) = self.schedule else {
            return u64::MAX;
        };
        for _ in 0..CYCLES_PER_TICK_MAX {
            if self.free.is_empty() && schedule.next_ns().is_some_and(|next| next <= now_ns) {
                // The end of another connection wakes us.
                self.starved = true;
                self.schedule = Some(schedule);
                return u64::MAX;
            }
            let Some((_, intended_ns)) = schedule.take(now_ns) else {
                break;
            };
            while self.staying + self.entrance.under_way() >= self.held && self.staying > 0 {
                self.part_with_longest(now_ns, sockets);
            }
            self.come(intended_ns, dialect, sockets);
        }
        self.schedule = Some(schedule);
        schedule.next_ns().unwrap_or(u64::MAX)
    }

    fn part_with_longest(&mut self, now_ns: u64, sockets: &mut Sockets) {
        while let Some((index, attempt)) = self.inside.pop_front() {
            let present = self.entrance.is_inside(index) && self.entrance.attempt(index) == attempt;
            if !present {
                continue;
            }
            self.entrance.put_out(index);
            self.staying -= 1;
            let resets = |cycles: u64| (cycles as f64 * self.plan.reset_share) as u64;
            let by_reset = resets(self.cycles + 1) > resets(self.cycles);
            self.cycles += 1;
            if by_reset {
                sockets.reset(index);
                self.turnover.reset += 1;
                self.free.push_back(index);
            } else {
                sockets.leave(index);
                self.leavers += 1;
                self.leaving.push_back(Farewell {
                    until_ns: now_ns + self.plan.patience.as_nanos() as u64,
                    index,
                    attempt,
                });
            }
            return;
        }
    }

    fn come(&mut self, intended_ns: u64, dialect: &Dialect, sockets: &mut Sockets) {
        let Some(index) = self.free.pop_front() else {
            return;
        };
        let now_ns = crate::clock::now_ns();
        self.turnover.attempts += 1;
        self.meter.sent(1);
        if std::mem::take(&mut self.starved) {
            // The server, not we, made it late.
            self.turnover.waited += 1;
        } else {
            self.meter.record_lateness(now_ns, intended_ns);
        }
        let times = (intended_ns, now_ns);
        if let Err(words) = self.entrance.enter(index, times, dialect, sockets) {
            self.turnover.failures.count(words);
            self.free.push_back(index);
        }
    }

    /// A connection that came is open.
    pub(crate) fn opened(
        &mut self,
        index: usize,
        now_ns: u64,
        dialect: &Dialect,
        out: &mut Vec<u8>,
    ) {
        if let Some(intended_ns) = self.entrance.opened(index, dialect, out)
            && self.meter.contains(intended_ns)
        {
            self.turnover
                .connect
                .record(now_ns.saturating_sub(intended_ns));
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
        if let Some(intended_ns) = self.entrance.receive(index, incoming, dialect, out) {
            self.turnover.entered += 1;
            self.staying += 1;
            self.inside.push_back((index, self.entrance.attempt(index)));
            self.meter.arrived(now_ns, intended_ns);
        }
    }

    /// A connection ended, by itself or after a close handshake.
    pub(crate) fn ended(&mut self, index: usize, reason: Option<String>) {
        let inside = self.entrance.is_inside(index);
        self.staying -= usize::from(inside);
        self.turnover.broken += u64::from(inside);
        self.leavers -= usize::from(self.entrance.is_outside(index));
        let way = self.entrance.ended(index);
        self.free.push_back(index);
        match reason {
            Some(reason) => self.turnover.failures.count(format!("{reason}, {way}")),
            None => self.turnover.left += 1,
        }
    }

    /// Until now.
    pub(crate) fn failures(&self) -> u64 {
        self.turnover.failures.total()
    }

    /// Nobody comes or goes any more.
    pub(crate) fn stop(&mut self) {
        self.meter.close();
        self.schedule = None;
    }

    /// Whether nobody is on the way in or out.
    pub(crate) fn is_settled(&self) -> bool {
        self.entrance.under_way() == 0 && self.leavers == 0
    }

    /// The account.
    pub(crate) fn finish(mut self) -> Outcome {
        let when = "when the run ended";
        self.entrance.give_up(when, &mut self.turnover.failures);
        for _ in 0..self.leavers {
            let words = format!("a close handshake was not finished {when}");
            self.turnover.failures.count(words);
        }
        self.turnover.missing = (self.held as u64).saturating_sub(self.staying as u64);
        let (sent, received, faults) = self.entrance.finish();
        Outcome {
            meter: self.meter,
            sent,
            received,
            expected: sent,
            faults,
            orders: Vec::new(),
            agreed: Agreed::default(),
            traffic: None,
            errors: self.turnover.failures.clone(),
            turnover: Some(self.turnover),
            stall: None,
        }
    }
}

fn unfinished(phase: Phase) -> &'static str {
    if phase == Phase::Left {
        "not hung up after the close handshake"
    } else {
        "the close was not answered"
    }
}
