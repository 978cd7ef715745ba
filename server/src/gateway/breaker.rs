//! A circuit breaker: after so many failures on end nobody asks the backend for a while, then one
//! does, and its outcome decides.
//!
//! Invariant: while it is open or probed, at most one call is under way that it has let through
//! since. Pure: time comes in with the calls.

use std::time::{Duration, Instant};

/// See above.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: BreakerState,
    /// Times that it has opened since it last was closed.
    opened: u32,
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
        }
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.state
    }

    /// Whether a call may be made now; it is told with [`Breaker::ended`] how it went.
    pub(crate) fn lets_through(&mut self, now: Instant) -> bool {
        match self.state {
            BreakerState::Closed { .. } => true,
            BreakerState::Open { until } if until <= now => {
                self.state = BreakerState::Probed;
                true
            }
            BreakerState::Open { .. } | BreakerState::Probed => false,
        }
    }

    /// A call has ended.
    pub(crate) fn ended(&mut self, end: CallEnd, now: Instant) {
        match (self.state, end) {
            (_, CallEnd::Answered) => *self = Breaker::new(),
            (BreakerState::Closed { failures }, CallEnd::Failed) => {
                let failures = failures + 1;
                match failures < Breaker::FAILURES_MAX {
                    true => self.state = BreakerState::Closed { failures },
                    false => self.open(now),
                }
            }
            // Of the probe nothing is known: another one goes.
            (BreakerState::Probed, CallEnd::Failed | CallEnd::Abandoned) => self.open(now),
            (BreakerState::Closed { .. }, CallEnd::Abandoned)
            | (BreakerState::Open { .. }, CallEnd::Failed | CallEnd::Abandoned) => {}
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

    #[test]
    fn it_opens_probes_and_closes() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut breaker = Breaker::new();
        for _ in 1..Breaker::FAILURES_MAX {
            assert!(breaker.lets_through(start));
            breaker.ended(CallEnd::Failed, start);
        }
        breaker.ended(CallEnd::Abandoned, start);
        assert!(breaker.lets_through(start), "one less than it takes");
        breaker.ended(CallEnd::Failed, start);
        assert!(!breaker.lets_through(at(499)));
        assert!(breaker.lets_through(at(500)) && !breaker.lets_through(at(500)));
        breaker.ended(CallEnd::Failed, at(500));
        assert!(!breaker.lets_through(at(1_499)));
        assert!(breaker.lets_through(at(1_500)));
        breaker.ended(CallEnd::Answered, at(1_500));
        assert_eq!(breaker.state(), BreakerState::Closed { failures: 0 });
        for _ in 0..Breaker::FAILURES_MAX {
            breaker.ended(CallEnd::Failed, at(2_000));
        }
        assert!(breaker.lets_through(at(2_500)), "as short as at first");
    }

    #[test]
    fn it_is_never_open_for_longer_than_the_most() {
        let mut now = Instant::now();
        let mut breaker = Breaker::new();
        for _ in 0..Breaker::FAILURES_MAX {
            breaker.ended(CallEnd::Failed, now);
        }
        for _ in 0..100 {
            now += Breaker::OPEN_MAX;
            assert!(breaker.lets_through(now));
            breaker.ended(CallEnd::Abandoned, now);
        }
    }

    #[test]
    fn a_success_among_failures_begins_the_count_anew() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        for _ in 0..10 {
            for _ in 1..Breaker::FAILURES_MAX {
                breaker.ended(CallEnd::Failed, now);
            }
            breaker.ended(CallEnd::Answered, now);
        }
        assert!(breaker.lets_through(now));
    }
}
