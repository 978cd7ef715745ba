//! A circuit breaker, and a budget for retries: both keep a client from adding to the trouble of a
//! server that is in trouble.
//!
//! Invariant: an open breaker lets nothing through before its time, a half-open one lets through
//! one try at a time; a budget never pays for more retries than its share of successes and what it
//! began with. Neither reads a clock. Used by the link, the requests and the pool.

use crate::backoff::Backoff;
use crate::error::{Error, ErrorKind};
use std::time::{Duration, Instant};

/// When an endpoint is given a rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerOptions {
    /// Failures in a row that open it: 1 or more.
    pub failures: u32,
    /// How long it stays open: as a backoff, longer each time that a probe fails.
    pub rest: Backoff,
    /// Probes in a row that must succeed before it closes: 1 or more.
    pub probes: u32,
}

impl Default for BreakerOptions {
    fn default() -> BreakerOptions {
        BreakerOptions {
            failures: 5,
            rest: Backoff {
                min: Duration::from_secs(1),
                base: Duration::from_secs(5),
                max: Duration::from_secs(60),
            },
            probes: 1,
        }
    }
}

impl BreakerOptions {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.failures == 0 || self.probes == 0 {
            let message = "breaker: failures and probes are 1 or more";
            return Err(Error::new(ErrorKind::BadOption, message));
        }
        self.rest.check()
    }
}

/// What a breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// Nothing.
    Open,
    /// One try at a time, to see.
    HalfOpen,
}

/// The breaker of one endpoint.
#[derive(Clone, Debug)]
pub struct Breaker {
    options: BreakerOptions,
    circuit: Circuit,
    /// Openings since it was closed last.
    openings: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Circuit {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { successes: u32, probe: Probe },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Probe {
    None,
    UnderWay,
}

impl Breaker {
    /// Closed.
    pub fn new(options: BreakerOptions) -> Breaker {
        Breaker {
            options,
            circuit: Circuit::Closed { failures: 0 },
            openings: 0,
        }
    }

    /// What it lets through at this time.
    pub fn state(&self, now: Instant) -> BreakerState {
        match self.circuit {
            Circuit::Closed { .. } => BreakerState::Closed,
            Circuit::Open { until } if now < until => BreakerState::Open,
            Circuit::Open { .. } | Circuit::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// When a try may be made; not after `now`: at once. `None`: once the probe has ended.
    pub fn opens_at(&self, now: Instant) -> Option<Instant> {
        match self.circuit {
            Circuit::Closed { .. } => Some(now),
            Circuit::Open { until } => Some(until),
            Circuit::HalfOpen { probe, .. } => (probe == Probe::None).then_some(now),
        }
    }

    /// Asks for leave to try. Whoever gets it says how it ended, by [`Breaker::succeeded`],
    /// [`Breaker::failed`] or [`Breaker::withdrawn`].
    pub fn try_pass(&mut self, now: Instant) -> Result<(), BreakerOpen> {
        match &mut self.circuit {
            Circuit::Closed { .. } => Ok(()),
            Circuit::Open { until } if now < *until => Err(BreakerOpen),
            Circuit::Open { .. } => {
                self.circuit = Circuit::HalfOpen {
                    successes: 0,
                    probe: Probe::UnderWay,
                };
                Ok(())
            }
            Circuit::HalfOpen { probe, .. } => match probe {
                Probe::UnderWay => Err(BreakerOpen),
                Probe::None => {
                    *probe = Probe::UnderWay;
                    Ok(())
                }
            },
        }
    }

    /// A try that was let through succeeded.
    pub fn succeeded(&mut self) {
        match &mut self.circuit {
            Circuit::Closed { failures } => *failures = 0,
            Circuit::HalfOpen { successes, probe } => {
                *successes += 1;
                *probe = Probe::None;
                if *successes >= self.options.probes {
                    self.circuit = Circuit::Closed { failures: 0 };
                    self.openings = 0;
                }
            }
            // Of a try that began before it opened.
            Circuit::Open { .. } => {}
        }
    }

    /// A try that was let through failed. `random` is at least 0 and below 1.
    pub fn failed(&mut self, now: Instant, random: f64) {
        match &mut self.circuit {
            Circuit::Closed { failures } => {
                *failures += 1;
                if *failures >= self.options.failures {
                    self.open(now, random);
                }
            }
            Circuit::HalfOpen { .. } => self.open(now, random),
            Circuit::Open { .. } => {}
        }
    }

    /// A try that was let through was given up without an outcome.
    pub fn withdrawn(&mut self) {
        if let Circuit::HalfOpen { probe, .. } = &mut self.circuit {
            *probe = Probe::None;
        }
    }

    fn open(&mut self, now: Instant, random: f64) {
        let rest = self.options.rest.delay(self.openings, random);
        self.openings = self.openings.saturating_add(1);
        self.circuit = Circuit::Open { until: now + rest };
    }
}

/// The breaker lets nothing through now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the endpoint is given a rest")]
pub struct BreakerOpen;

/// How many retries a client may make, whatever fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetOptions {
    /// Retries that may be made before anything has succeeded, and the most that are saved up: at
    /// least 1.
    pub burst: u32,
    /// Retries that each success pays for: from 0 to 1.
    pub share: f64,
}

impl Default for BudgetOptions {
    fn default() -> BudgetOptions {
        BudgetOptions {
            burst: 10,
            share: 0.1,
        }
    }
}

impl BudgetOptions {
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.burst >= 1 && (0.0..=1.0).contains(&self.share) {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::BadOption,
                "budget: a burst of 1 or more, a share from 0 to 1",
            )),
        }
    }
}

/// What is left of the retries that a client may make.
#[derive(Clone, Debug)]
pub struct Budget {
    /// In thousandths of a retry.
    saved: u64,
    saved_max: u64,
    share: u64,
}

/// Thousandths that a retry costs.
const RETRY_COST: u64 = 1_000;

impl Budget {
    /// Full.
    pub fn new(options: BudgetOptions) -> Budget {
        let saved_max = u64::from(options.burst) * RETRY_COST;
        Budget {
            saved: saved_max,
            saved_max,
            share: (options.share * RETRY_COST as f64) as u64,
        }
    }

    /// Something succeeded at the first try.
    pub fn deposit(&mut self) {
        self.saved = (self.saved + self.share).min(self.saved_max);
    }

    /// Pays for one retry, if there is enough.
    pub fn withdraw(&mut self) -> Option<Paid> {
        self.saved = self.saved.checked_sub(RETRY_COST)?;
        Some(Paid(()))
    }

    /// Retries that could be made now.
    pub fn retries(&self) -> u64 {
        self.saved / RETRY_COST
    }
}

/// Leave to make one retry.
#[derive(Debug)]
#[must_use]
pub struct Paid(());
