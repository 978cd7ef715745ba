//! Members that stop reading for a while, what became of them, and what the others felt. Invariant:
//! a staller reads until its stall begins and again when it ends, which is never after the sending
//! does. Called by `fanout`.

use crate::latencies::Latencies;
use crate::sockets::Sockets;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Who stalls and when.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Stall {
    /// Of all members, above 0 and below 1.
    pub(crate) share: f64,
    /// From the beginning of the window.
    pub(crate) after: Duration,
    /// `None`: until the sending ends.
    pub(crate) length: Option<Duration>,
}

impl Stall {
    /// How many of so many members stall.
    pub(crate) fn count(self, members: u32) -> u32 {
        (f64::from(members) * self.share) as u32
    }

    /// Whether a member stalls, by its number in the whole run: stallers are spread evenly.
    fn strikes(self, number: u32) -> bool {
        self.count(number + 1) > self.count(number)
    }
}

/// The stallers of one worker.
#[derive(Debug)]
pub(crate) struct Stalls {
    stall: Stall,
    stallers: BTreeMap<usize, Staller>,
    moment: Moment,
    begin_ns: u64,
    end_ns: u64,
    felt: Felt,
}

#[derive(Clone, Copy, Debug, Default)]
struct Staller {
    /// Different messages.
    received: u64,
    end: StallEnd,
}

#[derive(Clone, Copy, Debug, Default)]
enum StallEnd {
    #[default]
    None,
    /// The server said so, with this code.
    Announced(u16),
    /// It has ended, with or without a code.
    Over(Option<u16>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Before,
    During,
    After,
}

/// Latencies by the time at which a message was meant to leave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Felt {
    /// Of the others, until the stall.
    pub(crate) before: Latencies,
    /// Of the others, in the stall.
    pub(crate) during: Latencies,
    /// Of the others, when the stallers read again.
    pub(crate) after: Latencies,
    /// Of the stallers.
    pub(crate) stallers: Latencies,
}

/// What became of the stallers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StallFindings {
    pub(crate) stalled: u64,
    /// Closed by the server since they stalled, by the code of its close frame; `none`: without
    /// one.
    pub(crate) closed: BTreeMap<String, u64>,
    /// Stayed and got everything.
    pub(crate) caught_up: u64,
    /// Messages that those did not get who stayed.
    pub(crate) lost: u64,
    /// Messages that those did not get who were closed.
    pub(crate) missed: u64,
    pub(crate) felt: Felt,
}

impl Stalls {
    /// Of `members` members, numbered from `first` in the whole run.
    pub(crate) fn new(stall: Stall, first: u32, members: usize) -> Stalls {
        Stalls {
            stallers: (0..members)
                .filter(|&member| stall.strikes(first + member as u32))
                .map(|member| (member, Staller::default()))
                .collect(),
            stall,
            moment: Moment::Before,
            begin_ns: u64::MAX,
            end_ns: u64::MAX,
            felt: Felt::new(),
        }
    }

    /// The stallers' receive buffers are small, so that a stall is soon the server's concern.
    pub(crate) fn prepare(&self, sockets: &mut Sockets) {
        self.stallers
            .keys()
            .for_each(|&member| sockets.narrow(member));
    }

    /// The window is known.
    pub(crate) fn run(&mut self, window_start_ns: u64) {
        let ns = |duration: Duration| duration.as_nanos() as u64;
        self.begin_ns = window_start_ns + ns(self.stall.after);
        self.end_ns = self
            .stall
            .length
            .map_or(u64::MAX, |length| self.begin_ns + ns(length));
    }

    /// Begins and ends the stall. Returns when it wants to be called again.
    pub(crate) fn tick(&mut self, now_ns: u64, window_end_ns: u64, sockets: &mut Sockets) -> u64 {
        self.end_ns = self.end_ns.min(window_end_ns);
        if self.moment == Moment::Before && now_ns >= self.begin_ns.min(self.end_ns) {
            self.moment = Moment::During;
            self.stallers
                .keys()
                .for_each(|&member| sockets.pause(member));
        }
        if self.moment == Moment::During && now_ns >= self.end_ns {
            self.moment = Moment::After;
            self.stallers
                .keys()
                .for_each(|&member| sockets.resume(member));
        }
        match self.moment {
            Moment::Before => self.begin_ns.min(self.end_ns),
            Moment::During => self.end_ns,
            Moment::After => u64::MAX,
        }
    }

    /// A new message came to a member. Returns whether it is a staller.
    pub(crate) fn received(&mut self, member: usize) -> bool {
        let staller = self.stallers.get_mut(&member);
        staller.map(|staller| staller.received += 1).is_some()
    }

    /// The same message was meant for the window.
    pub(crate) fn felt(&mut self, member: usize, now_ns: u64, intended_ns: u64) {
        let felt = &mut self.felt;
        let latencies = if self.stallers.contains_key(&member) {
            &mut felt.stallers
        } else if intended_ns < self.begin_ns {
            &mut felt.before
        } else if intended_ns < self.end_ns {
            &mut felt.during
        } else {
            &mut felt.after
        };
        latencies.record(now_ns.saturating_sub(intended_ns));
    }

    /// The server said that it closes a connection.
    pub(crate) fn closing(&mut self, member: usize, code: u16) {
        if let Some(staller) = self.stallers.get_mut(&member) {
            staller.end = StallEnd::Announced(code);
        }
    }

    /// A connection ended. Returns whether its stall explains it.
    pub(crate) fn ended(&mut self, member: usize) -> bool {
        let stalled = self.moment != Moment::Before;
        let Some(staller) = self.stallers.get_mut(&member).filter(|_| stalled) else {
            return false;
        };
        staller.end = StallEnd::Over(match staller.end {
            StallEnd::None => None,
            StallEnd::Announced(code) => Some(code),
            StallEnd::Over(code) => code,
        });
        true
    }

    /// Whether the server closed it since it stalled.
    pub(crate) fn is_closed(&self, member: usize) -> bool {
        let staller = self.stallers.get(&member);
        staller.is_some_and(|staller| matches!(staller.end, StallEnd::Over(_)))
    }

    /// The account, given what each staller should have got.
    pub(crate) fn settle(self, expected: impl Fn(usize) -> u64) -> StallFindings {
        let mut findings = StallFindings {
            stalled: self.stallers.len() as u64,
            closed: BTreeMap::new(),
            caught_up: 0,
            lost: 0,
            missed: 0,
            felt: self.felt,
        };
        for (member, staller) in self.stallers {
            let lacking = expected(member).saturating_sub(staller.received);
            match staller.end {
                StallEnd::Over(code) => {
                    let code = code.map_or("none".to_owned(), |code| code.to_string());
                    *findings.closed.entry(code).or_default() += 1;
                    findings.missed += lacking;
                }
                StallEnd::None | StallEnd::Announced(_) => {
                    findings.caught_up += u64::from(lacking == 0);
                    findings.lost += lacking;
                }
            }
        }
        findings
    }
}

impl Felt {
    fn new() -> Felt {
        Felt {
            before: Latencies::new(),
            during: Latencies::new(),
            after: Latencies::new(),
            stallers: Latencies::new(),
        }
    }

    /// Of the others, all together.
    pub(crate) fn others(&self) -> Latencies {
        let mut others = self.before.clone();
        others.merge(&self.during);
        others.merge(&self.after);
        others
    }
}

impl StallFindings {
    /// Another worker's, too.
    pub(crate) fn merge(&mut self, other: &StallFindings) {
        self.stalled += other.stalled;
        self.caught_up += other.caught_up;
        self.lost += other.lost;
        self.missed += other.missed;
        for (code, count) in &other.closed {
            *self.closed.entry(code.clone()).or_default() += count;
        }
        self.felt.before.merge(&other.felt.before);
        self.felt.during.merge(&other.felt.during);
        self.felt.after.merge(&other.felt.after);
        self.felt.stallers.merge(&other.felt.stallers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stall(share: f64) -> Stall {
        Stall {
            share,
            after: Duration::ZERO,
            length: None,
        }
    }

    #[test]
    fn stallers_are_spread_evenly_whatever_the_workers() {
        for (share, members, expected) in [(0.1, 100, 10), (0.5, 7, 3), (0.3, 10, 3), (0.9, 10, 9)]
        {
            let stall = stall(share);
            assert_eq!(stall.count(members), expected);
            let all = (0..members).filter(|&number| stall.strikes(number));
            assert_eq!(all.count() as u32, expected, "{share} of {members}");
            let cut = members / 3;
            let parts = [(0, cut), (cut, members - cut)];
            let parts = parts.map(|(first, count)| Stalls::new(stall, first, count as usize));
            let found: usize = parts.iter().map(|stalls| stalls.stallers.len()).sum();
            assert_eq!(found as u32, expected, "{share} of {members}");
        }
    }

    #[test]
    fn what_became_of_a_staller_is_told_apart() {
        let mut stalls = Stalls::new(stall(0.5), 0, 8);
        let members: Vec<usize> = stalls.stallers.keys().copied().collect();
        assert_eq!(members, [1, 3, 5, 7]);
        assert!(!stalls.ended(1), "before the stall it is an error");
        stalls.moment = Moment::During;
        stalls.closing(1, 1008);
        assert!(!stalls.is_closed(1));
        assert!(stalls.ended(1) && stalls.ended(3) && !stalls.ended(2));
        assert!(stalls.is_closed(1) && stalls.is_closed(3) && !stalls.is_closed(5));
        for member in [1, 5, 5, 7, 2] {
            assert_eq!(stalls.received(member), member % 2 == 1);
        }
        let findings = stalls.settle(|_| 2);
        let closed = [("1008".to_owned(), 1), ("none".to_owned(), 1)];
        assert_eq!(findings.closed, BTreeMap::from(closed));
        assert_eq!((findings.stalled, findings.caught_up), (4, 1));
        assert_eq!((findings.lost, findings.missed), (1, 3));
    }
}
