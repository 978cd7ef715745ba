//! The load of round trips. Invariant (closed loop): exactly so many messages of a connection are
//! unanswered as was asked for. Called by `worker`.

use crate::control::Outcome;
use crate::dialect::{Dialect, Incoming, Role};
use crate::errors::{Agreed, Errors};
use crate::message::{Kind, Stamp};
use crate::meter::Meter;
use crate::pace::{Pace, Schedule};
use crate::sockets::{Phase, Sockets};
use crate::tally::{Arrival, Tally};

/// Round trips on all connections of a worker.
#[derive(Debug)]
pub(crate) struct EchoLoad {
    /// Number of the first connection in the whole run.
    first: u32,
    /// Messages sent, by connection.
    sent: Vec<u64>,
    tally: Tally,
    pace: Pace,
    /// This worker's part of all connections.
    part: f64,
    /// Open loop, while running.
    schedule: Option<Schedule>,
    /// Closed loop: connections that have not begun.
    unbegun: std::ops::Range<usize>,
    pub(crate) meter: Meter,
    scratch: Vec<u8>,
}

/// Messages sent in one turn before answers are read.
const SENDS_PER_TICK_MAX: usize = 256;

impl EchoLoad {
    /// `count` connections of `total`, numbered from `first`.
    pub(crate) fn new(first: u32, count: u32, total: u32, pace: Pace) -> EchoLoad {
        EchoLoad {
            first,
            sent: vec![0; count as usize],
            tally: Tally::new(count as usize),
            pace,
            part: f64::from(count) / f64::from(total),
            schedule: None,
            unbegun: 0..0,
            meter: Meter::new(),
            scratch: Vec::new(),
        }
    }

    /// What a connection is there for.
    pub(crate) fn role(&self, index: usize) -> Role {
        Role::Echoer {
            number: self.first + index as u32,
        }
    }

    /// Sends from `start_ns` to the end of the window.
    pub(crate) fn run(&mut self, start_ns: u64, window_start_ns: u64, window_end_ns: u64) {
        self.meter.open(window_start_ns, window_end_ns);
        match self.pace {
            Pace::Rate { per_s, .. } => {
                self.schedule = Some(Schedule::new(start_ns, window_end_ns, per_s * self.part));
            }
            Pace::Closed(_) => self.unbegun = 0..self.sent.len(),
            Pace::Once | Pace::Silent => {}
        }
    }

    /// Sends what is due. Returns when it wants to be called again.
    pub(crate) fn tick(&mut self, now_ns: u64, dialect: &Dialect, sockets: &mut Sockets) -> u64 {
        let mut deadline_ns = self.meter.tick(now_ns);
        if let Pace::Closed(in_flight) = self.pace {
            let mut out = std::mem::take(&mut self.scratch);
            for _ in 0..SENDS_PER_TICK_MAX {
                let Some(index) = self.unbegun.next() else {
                    break;
                };
                out.clear();
                (0..in_flight).for_each(|_| self.append(index, now_ns, dialect, &mut out));
                sockets.send(index, &out);
            }
            self.scratch = out;
            if !self.unbegun.is_empty() {
                deadline_ns = now_ns;
            }
        }
        deadline_ns.min(self.send_due(now_ns, dialect, sockets))
    }

    fn send_due(&mut self, now_ns: u64, dialect: &Dialect, sockets: &mut Sockets) -> u64 {
        let Some(mut schedule) = self.schedule else {
            return u64::MAX;
        };
        let mut out = std::mem::take(&mut self.scratch);
        for _ in 0..SENDS_PER_TICK_MAX {
            let Some((number, intended_ns)) = schedule.take(now_ns) else {
                break;
            };
            let index = (number % self.sent.len() as u64) as usize;
            out.clear();
            self.append(index, intended_ns, dialect, &mut out);
            self.meter
                .record_lateness(crate::clock::now_ns(), intended_ns);
            sockets.send(index, &out);
        }
        self.scratch = out;
        self.schedule = Some(schedule);
        schedule.next_ns().unwrap_or(u64::MAX)
    }

    fn append(&mut self, index: usize, intended_ns: u64, dialect: &Dialect, out: &mut Vec<u8>) {
        let sender = self.first + index as u32;
        let stamp = Stamp {
            kind: Kind::Echo,
            sender,
            room: 0,
            sequence: self.sent[index],
            intended_ns,
        };
        dialect.append_echo(out, &stamp);
        self.sent[index] += 1;
        self.meter.sent(1);
    }

    /// An answer came; in a closed loop the next message is appended to `out`.
    pub(crate) fn receive(
        &mut self,
        index: usize,
        incoming: &Incoming,
        now_ns: u64,
        dialect: &Dialect,
        out: &mut Vec<u8>,
    ) {
        let stamp = match incoming {
            Incoming::Echo(stamp) if stamp.kind == Kind::Echo => stamp,
            Incoming::Other | Incoming::Welcome | Incoming::Refused(_) => return,
            Incoming::Echo(_) | Incoming::Delivery(_) | Incoming::Joined | Incoming::Corrupted => {
                return self.tally.corrupted();
            }
        };
        if stamp.sender != self.first + index as u32 || stamp.sequence >= self.sent[index] {
            return self.tally.corrupted();
        }
        if self.tally.arrive(index, stamp.sequence) == Arrival::Repeated {
            return;
        }
        self.meter.arrived(now_ns, stamp.intended_ns);
        if let Pace::Closed(in_flight) = self.pace
            && now_ns < self.meter.window_end_ns()
        {
            while self.sent[index] - self.tally.next(index) < u64::from(in_flight) {
                self.append(index, now_ns, dialect, out);
            }
        }
    }

    /// Sends nothing more.
    pub(crate) fn stop(&mut self) {
        self.meter.close();
        self.schedule = None;
        self.unbegun = 0..0;
    }

    /// Whether every connection that lives has all its answers.
    pub(crate) fn is_settled(&self, sockets: &Sockets) -> bool {
        self.sent.iter().enumerate().all(|(index, &sent)| {
            self.tally.next(index) >= sent || sockets.phase(index) == Phase::Closed
        })
    }

    /// The account.
    pub(crate) fn finish(self) -> Outcome {
        let sent: u64 = self.sent.iter().sum();
        Outcome {
            meter: self.meter,
            sent,
            received: self.tally.arrived(),
            expected: sent,
            faults: self.tally.settle(|index| self.sent[index]),
            orders: Vec::new(),
            errors: Errors::default(),
            agreed: Agreed::default(),
            traffic: None,
            stall: None,
            turnover: None,
        }
    }
}
