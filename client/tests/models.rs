//! Backoff, breaker and budget against models that are plainly right, over histories that nobody
//! would write by hand.

use proptest::prelude::*;
use shardcast_client::{Backoff, Breaker, BreakerOptions, BreakerState, Budget, BudgetOptions};
use std::time::{Duration, Instant};

fn backoffs() -> impl Strategy<Value = Backoff> {
    (1_u64..5_000, 0_u64..10_000, 0_u64..100_000).prop_map(|(min, base, max)| {
        let millis = Duration::from_millis;
        Backoff {
            min: millis(min),
            base: millis(min + base),
            max: millis(min + base + max),
        }
    })
}

/// What happens to a breaker.
#[derive(Clone, Copy, Debug)]
enum Act {
    Try,
    Succeed,
    Fail,
    Withdraw,
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => Just(Act::Try),
        2 => Just(Act::Succeed),
        3 => Just(Act::Fail),
        1 => Just(Act::Withdraw),
        3 => (1_u64..30_000).prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 1..200)
}

/// A breaker in the obvious words.
#[derive(Debug, Default)]
struct Model {
    failures: u32,
    /// Milliseconds until which it is open; none: it is closed or half-open.
    open_until: Option<u64>,
    is_half_open: bool,
    successes: u32,
    probes: u32,
}

impl Model {
    fn state(&self, now: u64) -> BreakerState {
        match self.open_until {
            Some(until) if now < until => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
            None if self.is_half_open => BreakerState::HalfOpen,
            None => BreakerState::Closed,
        }
    }

    /// Whether a try is let through.
    fn passes(&mut self, now: u64) -> bool {
        match self.state(now) {
            BreakerState::Closed => true,
            BreakerState::Open => false,
            BreakerState::HalfOpen => {
                if self.open_until.take().is_some() {
                    self.is_half_open = true;
                    (self.successes, self.probes) = (0, 0);
                }
                let is_first = self.probes == 0;
                self.probes = 1;
                is_first
            }
        }
    }

    fn succeed(&mut self, probes: u32) {
        if self.is_half_open {
            self.probes = 0;
            self.successes += 1;
            if self.successes >= probes {
                *self = Model::default();
            }
        } else if self.open_until.is_none() {
            self.failures = 0;
        }
    }

    fn fail(&mut self, now: u64, failures: u32) {
        let is_closed = !self.is_half_open && self.open_until.is_none();
        self.failures += u32::from(is_closed);
        if self.is_half_open || is_closed && self.failures >= failures {
            *self = Model {
                open_until: Some(now + 10_000),
                ..Model::default()
            };
        }
    }
}

proptest! {
    #[test]
    fn a_delay_lies_between_its_bounds(
        backoff in backoffs(),
        attempt in any::<u32>(),
        random in 0.0_f64..1.0,
    ) {
        let delay = backoff.delay(attempt, random);
        let doubled = backoff.base.as_secs_f64() * 2_f64.powi(attempt.min(1_000) as i32);
        let ceiling = backoff.max.as_secs_f64().min(doubled).max(backoff.min.as_secs_f64());
        prop_assert!(delay >= backoff.min && delay <= backoff.max);
        prop_assert!(delay.as_secs_f64() <= ceiling + 1e-6);
        // Full jitter: the whole range, and no more.
        let expected = backoff.min.as_secs_f64() + random * (ceiling - backoff.min.as_secs_f64());
        prop_assert!((delay.as_secs_f64() - expected).abs() < 1e-6, "{delay:?} {expected}");
    }

    #[test]
    fn a_breaker_does_what_its_model_does(acts in acts(), failures in 1_u32..6, probes in 1_u32..4) {
        let start = Instant::now();
        let rest = Duration::from_secs(10);
        let options = BreakerOptions {
            failures,
            // All rests are equally long, so that the model knows them.
            rest: Backoff { min: rest, base: rest, max: rest },
            probes,
        };
        let mut breaker = Breaker::new(options);
        let mut model = Model::default();
        let mut now = 0;
        let at = |ms: u64| start + Duration::from_millis(ms);
        for act in acts {
            match act {
                Act::Wait(ms) => now += ms,
                Act::Try => {
                    let passes = model.passes(now);
                    prop_assert_eq!(breaker.try_pass(at(now)).is_ok(), passes);
                }
                Act::Succeed => {
                    breaker.succeeded();
                    model.succeed(probes);
                }
                Act::Fail => {
                    breaker.failed(at(now), 0.5);
                    model.fail(now, failures);
                }
                Act::Withdraw => {
                    breaker.withdrawn();
                    model.probes = 0;
                }
            }
            prop_assert_eq!(breaker.state(at(now)), model.state(now), "{:?}", model);
            if let BreakerState::Open = model.state(now) {
                prop_assert_eq!(breaker.opens_at(at(now)), model.open_until.map(at));
            }
        }
    }

    #[test]
    fn a_budget_pays_for_no_more_than_its_share(
        history in prop::collection::vec(any::<bool>(), 1..2_000),
        burst in 1_u32..20,
        percent in 0_u32..=100,
    ) {
        let mut budget = Budget::new(BudgetOptions {
            burst,
            share: f64::from(percent) / 100.0,
        });
        let (mut deposits, mut retries) = (0_u64, 0_u64);
        for succeeded in history {
            if succeeded {
                budget.deposit();
                deposits += 1;
            } else if budget.withdraw().is_some() {
                retries += 1;
            }
            let earned = deposits * u64::from(percent) / 100;
            prop_assert!(retries <= u64::from(burst) + earned);
            prop_assert!(budget.retries() <= u64::from(burst));
        }
    }

    #[test]
    fn a_budget_that_was_emptied_is_earned_back(burst in 1_u32..20) {
        let mut budget = Budget::new(BudgetOptions { burst, share: 0.1 });
        for _ in 0..burst {
            prop_assert!(budget.withdraw().is_some());
        }
        prop_assert!(budget.withdraw().is_none());
        (0..9).for_each(|_| budget.deposit());
        prop_assert!(budget.withdraw().is_none());
        budget.deposit();
        prop_assert!(budget.withdraw().is_some());
    }
}
