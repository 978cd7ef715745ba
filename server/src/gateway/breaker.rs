//! A circuit breaker: after so many failures on end nobody asks the backend for a while, then one
//! does, and its outcome decides.
//!
//! Invariant: while it is open or probed, at most one call is under way that it has let through
//! since, and only that one decides; an answer to any call closes it. Pure: time comes in with the
//! calls.

use std::time::{Duration, Instant};

/// See above.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: BreakerState,
    /// Times that it has opened since it last was closed.
    opened: u32,
    /// Probes that were ever let through.
    probes: u64,
}

/// A call that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Pass {
    /// `None`: nothing was in doubt.
    probe: Option<u64>,
}

/// What the breaker does, as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BreakerState {
    /// Everybody may ask; so many have failed on end.
    Closed { failures: u32 },
    /// Nobody may until then.
    Open { until: Instant },
    /// One asks.
    Probed,
}

/// What a call told the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallEnd {
    /// The backend has answered, whatever it said.
    Answered,
    /// It has not.
    Failed,
    /// Nobody waited for the end.
    Abandoned,
}

impl Breaker {
    /// Failures on end that open it.
    pub(crate) const FAILURES_MAX: u32 = 20;
    /// How long it is open at first; doubled each time that the probe fails.
    const OPEN_MIN: Duration = Duration::from_millis(500);
    const OPEN_MAX: Duration = Duration::from_secs(15);

    pub(crate) fn new() -> Breaker {
        Breaker {
            state: BreakerState::Closed { failures: 0 },
            opened: 0,
            probes: 0,
        }
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.state
    }

    /// Lets a call through, if one may be made now; [`Breaker::ended`] is told how it went.
    pub(crate) fn lets_through(&mut self, now: Instant) -> Option<Pass> {
        match self.state {
            BreakerState::Closed { .. } => Some(Pass { probe: None }),
            BreakerState::Open { until } if until <= now => {
                self.state = BreakerState::Probed;
                self.probes += 1;
                let probe = Some(self.probes);
                Some(Pass { probe })
            }
            BreakerState::Open { .. } | BreakerState::Probed => None,
        }
    }

    /// A call has ended.
    pub(crate) fn ended(&mut self, pass: Pass, end: CallEnd, now: Instant) {
        let is_probe = pass.probe == Some(self.probes);
        match (self.state, end) {
            (_, CallEnd::Answered) => {
                (self.state, self.opened) = (BreakerState::Closed { failures: 0 }, 0);
            }
            (BreakerState::Closed { failures }, CallEnd::Failed) => {
                let failures = failures + 1;
                match failures < Breaker::FAILURES_MAX {
                    true => self.state = BreakerState::Closed { failures },
                    false => self.open(now),
                }
            }
            (BreakerState::Probed, CallEnd::Failed) if is_probe => self.open(now),
            // Of the probe nothing is known: another one goes, at once.
            (BreakerState::Probed, CallEnd::Abandoned) if is_probe => {
                self.state = BreakerState::Open { until: now };
            }
            (BreakerState::Closed { .. }, CallEnd::Abandoned)
            | (
                BreakerState::Open { .. } | BreakerState::Probed,
                CallEnd::Failed | CallEnd::Abandoned,
            ) => {}
        }
    }

    fn open(&mut self, now: Instant) {
        let open = Breaker::OPEN_MIN * (1 << self.opened.min(8));
        self.opened += 1;
        let until = now + open.min(Breaker::OPEN_MAX);
        self.state = BreakerState::Open { until };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDINARY: Pass = Pass { probe: None };

    /// A breaker that has just opened.
    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new();
        for _ in 0..Breaker::FAILURES_MAX {
            breaker.ended(ORDINARY, CallEnd::Failed, now);
        }
        breaker
    }

    #[test]
    fn it_opens_probes_and_closes() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut breaker = Breaker::new();
        for _ in 1..Breaker::FAILURES_MAX {
            let pass = breaker.lets_through(start).expect("closed");
            breaker.ended(pass, CallEnd::Failed, start);
        }
        breaker.ended(ORDINARY, CallEnd::Abandoned, start);
        let pass = breaker.lets_through(start).expect("one less than it takes");
        breaker.ended(pass, CallEnd::Failed, start);
        assert_eq!(breaker.lets_through(at(499)), None);
        let probe = breaker.lets_through(at(500)).expect("its time has come");
        assert_eq!(breaker.lets_through(at(500)), None, "one at a time");
        breaker.ended(probe, CallEnd::Failed, at(500));
        assert_eq!(breaker.lets_through(at(1_499)), None);
        let probe = breaker.lets_through(at(1_500)).expect("its time has come");
        breaker.ended(probe, CallEnd::Answered, at(1_500));
        assert_eq!(breaker.state(), BreakerState::Closed { failures: 0 });
        for _ in 0..Breaker::FAILURES_MAX {
            breaker.ended(ORDINARY, CallEnd::Failed, at(2_000));
        }
        assert!(
            breaker.lets_through(at(2_500)).is_some(),
            "as short as at first"
        );
    }

    #[test]
    fn it_is_never_open_for_longer_than_the_most() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for _ in 0..100 {
            now += Breaker::OPEN_MAX;
            let probe = breaker.lets_through(now).expect("its time has come");
            breaker.ended(probe, CallEnd::Failed, now);
        }
    }

    #[test]
    fn a_probe_that_nobody_waits_for_is_followed_by_another_at_once() {
        let start = Instant::now();
        let mut breaker = opened(start);
        let now = start + Duration::from_millis(500);
        for _ in 0..100 {
            let probe = breaker.lets_through(now).expect("the last says nothing");
            assert_eq!(breaker.lets_through(now), None, "one at a time");
            breaker.ended(probe, CallEnd::Abandoned, now);
        }
        let probe = breaker.lets_through(now).expect("the last says nothing");
        breaker.ended(probe, CallEnd::Failed, now);
        let later = now + Duration::from_millis(1_000);
        assert!(breaker.lets_through(later).is_some(), "doubled once");
    }

    #[test]
    fn calls_from_before_say_nothing_of_the_probe() {
        let start = Instant::now();
        let mut breaker = opened(start);
        let now = start + Duration::from_millis(500);
        let probe = breaker.lets_through(now).expect("its time has come");
        breaker.ended(ORDINARY, CallEnd::Failed, now);
        breaker.ended(ORDINARY, CallEnd::Abandoned, now);
        assert_eq!(breaker.lets_through(now), None, "it is still under way");
        breaker.ended(probe, CallEnd::Abandoned, now);
        let next = breaker.lets_through(now).expect("the last says nothing");
        breaker.ended(probe, CallEnd::Failed, now);
        assert_eq!(breaker.state(), BreakerState::Probed, "another one decides");
        breaker.ended(next, CallEnd::Answered, now);
        assert_eq!(breaker.state(), BreakerState::Closed { failures: 0 });
    }

    #[test]
    fn a_success_among_failures_begins_the_count_anew() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        for _ in 0..10 {
            for _ in 1..Breaker::FAILURES_MAX {
                breaker.ended(ORDINARY, CallEnd::Failed, now);
            }
            breaker.ended(ORDINARY, CallEnd::Answered, now);
        }
        assert!(breaker.lets_through(now).is_some());
    }
}
