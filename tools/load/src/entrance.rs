//! Connections on their way in during a run: connect, upgrade, join if asked, one verified echo;
//! all within their patience. Invariant: an index is outside, on its way by one attempt, or inside.
//! Called by `churn` and `storm`.

use crate::dialect::{Dialect, Incoming, Role};
use crate::errors::Errors;
use crate::latencies::Latencies;
use crate::message::{Kind, Stamp};
use crate::sockets::Sockets;
use crate::tally::{Arrival, Faults, Tally};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

/// A worker's entrance.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// Number of the first connection in the whole run.
    first: u32,
    /// `None`: nobody joins.
    rooms: Option<u32>,
    patience: Duration,
    visits: Vec<Visit>,
    /// Of attempts, in the order in which they began: patience is the same for all.
    deadlines: VecDeque<Deadline>,
    under_way: usize,
    unsubscribed: usize,
    tally: Tally,
}

/// A connection's present attempt.
#[derive(Clone, Copy, Debug)]
struct Visit {
    stage: EntranceStage,
    /// Attempts begun.
    attempt: u32,
    /// Echoes sent, by all attempts.
    sent: u64,
}

/// How far in. Times are when the attempt was meant to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EntranceStage {
    Outside,
    Connecting {
        intended_ns: u64,
    },
    Joining {
        intended_ns: u64,
    },
    Proving {
        intended_ns: u64,
    },
    /// Before the run: joins, and proves nothing.
    Subscribing,
    Inside,
}

#[derive(Debug)]
struct Deadline {
    at_ns: u64,
    index: usize,
    attempt: u32,
}

/// Who came and went during a run, of one worker or of all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Turnover {
    /// To open: in churn from the intended time, in a storm from the attempt's own begin.
    pub(crate) connect: Latencies,
    /// In a storm: from the cut to the first echo's answer.
    pub(crate) back: Latencies,
    /// Connects begun.
    pub(crate) attempts: u64,
    /// Connects that came as far as the echo's answer.
    pub(crate) entered: u64,
    /// After a failure.
    pub(crate) retries: u64,
    /// Connects that waited for others to end.
    pub(crate) waited: u64,
    /// Close handshakes that were completed.
    pub(crate) left: u64,
    /// Resets.
    pub(crate) reset: u64,
    /// Broke after they had come in, or stayed from the beginning; each is a failure, too.
    pub(crate) broken: u64,
    /// Not inside when the run ended.
    pub(crate) missing: u64,
    pub(crate) failures: Errors,
}

impl Turnover {
    /// Nobody.
    pub(crate) fn new() -> Turnover {
        Turnover {
            connect: Latencies::new(),
            back: Latencies::new(),
            attempts: 0,
            entered: 0,
            retries: 0,
            waited: 0,
            left: 0,
            reset: 0,
            broken: 0,
            missing: 0,
            failures: Errors::default(),
        }
    }

    /// Another worker's, too.
    pub(crate) fn merge(&mut self, other: &Turnover) {
        self.connect.merge(&other.connect);
        self.back.merge(&other.back);
        self.attempts += other.attempts;
        self.entered += other.entered;
        self.retries += other.retries;
        self.waited += other.waited;
        self.left += other.left;
        self.reset += other.reset;
        self.broken += other.broken;
        self.missing += other.missing;
        self.failures.merge(&other.failures);
    }
}

impl Entrance {
    /// For `slots` connections from number `first`, of which the first `inside` connect before the
    /// run.
    pub(crate) fn new(
        (first, slots, inside): (u32, usize, usize),
        rooms: Option<u32>,
        patience: Duration,
    ) -> Entrance {
        let visit = |index| Visit {
            stage: if index < inside {
                EntranceStage::Inside
            } else {
                EntranceStage::Outside
            },
            attempt: 0,
            sent: 0,
        };
        Entrance {
            first,
            rooms,
            patience,
            visits: (0..slots).map(visit).collect(),
            deadlines: VecDeque::new(),
            under_way: 0,
            unsubscribed: 0,
            tally: Tally::new(slots),
        }
    }

    /// Before the run: whoever is inside joins.
    pub(crate) fn subscribe(&mut self, dialect: &Dialect, sockets: &mut Sockets) {
        let Some(rooms) = self.rooms else { return };
        let mut out = Vec::new();
        for index in 0..self.visits.len() {
            if self.visits[index].stage == EntranceStage::Inside {
                self.visits[index].stage = EntranceStage::Subscribing;
                self.unsubscribed += 1;
                let number = self.number(index);
                out.clear();
                dialect.append_subscribe(&mut out, index, number, number % rooms);
                sockets.send(index, &out);
            }
        }
    }

    /// Whether everyone who subscribed before the run was taken in.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.unsubscribed == 0
    }

    /// Begins an attempt that was meant to begin at `intended_ns`.
    ///
    /// # Errors
    /// It failed at once, in words; the connection is outside.
    pub(crate) fn enter(
        &mut self,
        index: usize,
        (intended_ns, now_ns): (u64, u64),
        dialect: &Dialect,
        sockets: &mut Sockets,
    ) -> Result<(), String> {
        let (number, path) = (self.number(index), dialect.path(self.role(index)));
        let visit = &mut self.visits[index];
        assert_eq!(visit.stage, EntranceStage::Outside, "one attempt at a time");
        visit.attempt = visit.attempt.wrapping_add(1);
        sockets.connect(index, number, &path)?;
        visit.stage = EntranceStage::Connecting { intended_ns };
        self.under_way += 1;
        self.deadlines.push_back(Deadline {
            at_ns: now_ns + self.patience.as_nanos() as u64,
            index,
            attempt: visit.attempt,
        });
        Ok(())
    }

    /// The connection is open: it joins, or sends its echo. Returns when the attempt was meant to
    /// begin.
    pub(crate) fn opened(
        &mut self,
        index: usize,
        dialect: &Dialect,
        out: &mut Vec<u8>,
    ) -> Option<u64> {
        let EntranceStage::Connecting { intended_ns } = self.visits[index].stage else {
            return None;
        };
        if let Some(rooms) = self.rooms {
            let number = self.number(index);
            dialect.append_subscribe(out, index, number, number % rooms);
            self.visits[index].stage = EntranceStage::Joining { intended_ns };
        } else {
            self.prove(index, intended_ns, dialect, out);
        }
        Some(intended_ns)
    }

    fn prove(&mut self, index: usize, intended_ns: u64, dialect: &Dialect, out: &mut Vec<u8>) {
        let sender = self.number(index);
        let visit = &mut self.visits[index];
        let stamp = Stamp {
            kind: Kind::Echo,
            sender,
            room: 0,
            sequence: visit.sent,
            intended_ns,
        };
        visit.sent += 1;
        visit.stage = EntranceStage::Proving { intended_ns };
        dialect.append_echo(out, &stamp);
    }

    /// Something came that is no delivery. When it is what lets the connection in: returns when its
    /// attempt was meant to begin.
    pub(crate) fn receive(
        &mut self,
        index: usize,
        incoming: &Incoming,
        dialect: &Dialect,
        out: &mut Vec<u8>,
    ) -> Option<u64> {
        match incoming {
            Incoming::Echo(Stamp {
                kind: Kind::Barrier,
                ..
            })
            | Incoming::Joined => {
                match self.visits[index].stage {
                    EntranceStage::Joining { intended_ns } => {
                        self.prove(index, intended_ns, dialect, out)
                    }
                    EntranceStage::Subscribing => {
                        self.visits[index].stage = EntranceStage::Inside;
                        self.unsubscribed -= 1;
                    }
                    EntranceStage::Outside
                    | EntranceStage::Connecting { .. }
                    | EntranceStage::Proving { .. }
                    | EntranceStage::Inside => {}
                }
                None
            }
            Incoming::Echo(stamp) => self.echoed(index, stamp),
            Incoming::Delivery(_) | Incoming::Corrupted => {
                self.tally.corrupted();
                None
            }
            Incoming::Welcome | Incoming::Other | Incoming::Refused(_) => None,
        }
    }

    fn echoed(&mut self, index: usize, stamp: &Stamp) -> Option<u64> {
        let sender = self.number(index);
        let visit = &mut self.visits[index];
        if stamp.sender != sender || stamp.sequence >= visit.sent {
            self.tally.corrupted();
            return None;
        }
        if self.tally.arrive(index, stamp.sequence) == Arrival::Repeated {
            return None;
        }
        let EntranceStage::Proving { intended_ns } = visit.stage else {
            return None;
        };
        (stamp.sequence + 1 == visit.sent).then(|| {
            visit.stage = EntranceStage::Inside;
            self.under_way -= 1;
            intended_ns
        })
    }

    /// The connection ended. Returns in which stage, in words that follow the reason.
    pub(crate) fn ended(&mut self, index: usize) -> &'static str {
        match self.turn_out(index) {
            EntranceStage::Outside => "while leaving",
            EntranceStage::Connecting { .. } => "while connecting",
            EntranceStage::Joining { .. } | EntranceStage::Subscribing => "while joining",
            EntranceStage::Proving { .. } => "before its first echo",
            EntranceStage::Inside => "while it stayed",
        }
    }

    /// The next attempt that lasts too long, and the failure in words; the connection is to be
    /// reset.
    pub(crate) fn expire(&mut self, now_ns: u64) -> Option<(usize, String)> {
        loop {
            let Deadline {
                at_ns,
                index,
                attempt,
            } = *self.deadlines.front()?;
            if self.is_under_way(index, attempt) {
                if at_ns > now_ns {
                    return None;
                }
                let words = format!("{} within {:?}", self.lacking(index), self.patience);
                self.turn_out(index);
                return Some((index, words));
            }
            self.deadlines.pop_front();
        }
    }

    /// When `expire` is to be called again.
    pub(crate) fn next_expiry_ns(&self) -> u64 {
        self.deadlines.front().map_or(u64::MAX, |next| next.at_ns)
    }

    /// Every attempt under way has failed, for this reason, in words; nothing is reset.
    pub(crate) fn give_up(&mut self, when: &str, failures: &mut Errors) {
        for index in 0..self.visits.len() {
            if self.is_under_way(index, self.visits[index].attempt) {
                failures.count(format!("{} {when}", self.lacking(index)));
                self.turn_out(index);
            }
        }
    }

    /// The connection is outside from now on.
    pub(crate) fn put_out(&mut self, index: usize) {
        self.turn_out(index);
    }

    /// Returns how far it was.
    fn turn_out(&mut self, index: usize) -> EntranceStage {
        let stage = std::mem::replace(&mut self.visits[index].stage, EntranceStage::Outside);
        match stage {
            EntranceStage::Connecting { .. }
            | EntranceStage::Joining { .. }
            | EntranceStage::Proving { .. } => {
                self.under_way -= 1;
            }
            EntranceStage::Subscribing => self.unsubscribed -= 1,
            EntranceStage::Outside | EntranceStage::Inside => {}
        }
        stage
    }

    fn lacking(&self, index: usize) -> &'static str {
        match self.visits[index].stage {
            EntranceStage::Joining { .. } | EntranceStage::Subscribing => "not joined",
            EntranceStage::Proving { .. } => "no echo",
            EntranceStage::Outside | EntranceStage::Connecting { .. } | EntranceStage::Inside => {
                "not open"
            }
        }
    }

    fn is_under_way(&self, index: usize, attempt: u32) -> bool {
        let visit = &self.visits[index];
        match visit.stage {
            EntranceStage::Connecting { .. }
            | EntranceStage::Joining { .. }
            | EntranceStage::Proving { .. } => visit.attempt == attempt,
            EntranceStage::Outside | EntranceStage::Subscribing | EntranceStage::Inside => false,
        }
    }

    /// Whether the connection is inside.
    pub(crate) fn is_inside(&self, index: usize) -> bool {
        self.visits[index].stage == EntranceStage::Inside
    }

    /// Whether the connection is outside; a close handshake may be under way.
    pub(crate) fn is_outside(&self, index: usize) -> bool {
        self.visits[index].stage == EntranceStage::Outside
    }

    /// Number of the connection's present attempt; 0: the one before the run.
    pub(crate) fn attempt(&self, index: usize) -> u32 {
        self.visits[index].attempt
    }

    /// Attempts under way.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way
    }

    /// What a connection is there for: all echo, whether they join a room besides or not.
    pub(crate) fn role(&self, index: usize) -> Role {
        Role::Echoer {
            number: self.number(index),
        }
    }

    /// Number in the whole run.
    pub(crate) fn number(&self, index: usize) -> u32 {
        self.first + index as u32
    }

    /// Echoes sent, echoes answered, and what was wrong with the answers.
    pub(crate) fn finish(self) -> (u64, u64, Faults) {
        let visits = self.visits;
        let answered = self.tally.arrived();
        let faults = self.tally.settle(|index| visits[index].sent);
        (
            visits.iter().map(|visit| visit.sent).sum(),
            answered,
            faults,
        )
    }
}
