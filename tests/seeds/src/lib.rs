//! Simulations by seed: which seeds are run, on which threads, what must have happened over all of
//! them, and how a failing one is run again.
//!
//! Invariant: a seed that fails is named before its panic goes on. `SHARDCAST_SIM_SEED=n` runs one
//! seed and prints what happens; `SHARDCAST_SIM_SEEDS=n` changes how many are run. Used by the
//! simulations of the engine and the server.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// How often each thing has happened.
pub type Tally = BTreeMap<&'static str, u64>;

/// Whether a run prints what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Printing {
    /// It does not.
    Off,
    /// It does.
    On,
}

/// A simulation that is run by seed.
#[derive(Debug)]
pub struct Seeds {
    /// The command behind the variable that runs one seed again, from `cargo` on.
    pub again: &'static str,
    /// Seeds of a full run, from 0 on.
    pub count: u64,
    /// What must have happened over all seeds of a full run, and how often at least: a simulation
    /// in which nothing goes wrong proves nothing.
    pub happenings: &'static [&'static str],
    /// The least count of each of these.
    pub least: u64,
}

impl Seeds {
    /// Runs one seed; if it fails, prints how to run it again.
    pub fn check<R>(&self, seed: u64, run: impl FnOnce(u64, Printing) -> R) -> R {
        let _culprit = Culprit {
            again: self.again,
            seed,
        };
        run(seed, Printing::Off)
    }

    /// Runs the seed that the environment names, or as many as it says, else all of them.
    ///
    /// # Panics
    /// A run fails, or something has not happened often enough.
    pub fn run(&self, run: impl Fn(u64, Printing) -> Tally + Sync) {
        if let Some(seed) = number("SHARDCAST_SIM_SEED") {
            eprintln!("{:?}", self.check(seed, |seed, _| run(seed, Printing::On)));
            return;
        }
        let count = number("SHARDCAST_SIM_SEEDS").unwrap_or(self.count);
        let tally = self.run_all(count, &run);
        eprintln!("{count} seeds: {tally:?}");
        if count >= self.count {
            let missing = missing(&tally, self.happenings, self.least);
            assert!(missing.is_empty(), "not often enough: {missing:?}");
        }
    }

    /// Each run is one thread's; the runs share the cores.
    fn run_all(&self, count: u64, run: &(impl Fn(u64, Printing) -> Tally + Sync)) -> Tally {
        let next = AtomicU64::new(0);
        let work = || {
            let mut sum = Tally::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= count {
                    return sum;
                }
                add(&mut sum, self.check(seed, run));
            }
        };
        let mut sum = Tally::new();
        let workers = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                match worker.join() {
                    Ok(tally) => add(&mut sum, tally),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
        sum
    }

    /// Runs seeds that once failed, each with what it found.
    ///
    /// # Panics
    /// A run fails, or there is no seed.
    pub fn run_again<R>(&self, regressions: &[(u64, &str)], run: impl Fn(u64, Printing) -> R) {
        assert!(!regressions.is_empty(), "nothing to run");
        for (seed, _) in regressions {
            self.check(*seed, &run);
        }
    }

    /// Runs some seeds twice: without the same outcome no failure could be looked at again.
    ///
    /// # Panics
    /// Two runs of one seed differ.
    pub fn repeat<R: Debug + PartialEq>(
        &self,
        seeds: impl IntoIterator<Item = u64>,
        run: impl Fn(u64, Printing) -> R,
    ) {
        for seed in seeds {
            let (first, second) = (self.check(seed, &run), self.check(seed, &run));
            assert_eq!(first, second, "seed {seed}");
        }
    }
}

/// Adds what has happened to a sum.
pub fn add(sum: &mut Tally, tally: Tally) {
    for (name, count) in tally {
        *sum.entry(name).or_default() += count;
    }
}

fn missing(tally: &Tally, happenings: &[&'static str], least: u64) -> Vec<&'static str> {
    let often = |name: &&'static str| tally.get(*name).is_some_and(|count| *count >= least);
    happenings
        .iter()
        .copied()
        .filter(|name| !often(name))
        .collect()
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok();
    text.map(|text| text.parse().expect("a number"))
}

/// Says how to run a failing seed again.
struct Culprit {
    again: &'static str,
    seed: u64,
}

impl Drop for Culprit {
    fn drop(&mut self) {
        if thread::panicking() {
            let Culprit { again, seed } = self;
            eprintln!("SEED={seed}: again with SHARDCAST_SIM_SEED={seed} {again}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDS: Seeds = Seeds {
        again: "cargo test -p shardcast-seeds",
        count: 50,
        happenings: &["odd", "even"],
        least: 25,
    };

    fn tally_of(seed: u64) -> Tally {
        Tally::from([(
            if seed.is_multiple_of(2) {
                "even"
            } else {
                "odd"
            },
            1,
        )])
    }

    #[test]
    fn every_seed_is_run_once() {
        let sum = SEEDS.run_all(50, &|seed, _| tally_of(seed));
        assert_eq!(sum, Tally::from([("even", 25), ("odd", 25)]));
        assert_eq!(SEEDS.run_all(0, &|seed, _| tally_of(seed)), Tally::new());
    }

    #[test]
    fn what_is_missing_is_named() {
        let tally = Tally::from([("often", 3), ("rare", 2)]);
        let named = missing(&tally, &["often", "rare", "never"], 3);
        assert_eq!(named, ["rare", "never"]);
    }

    #[test]
    #[should_panic(expected = "seed 7")]
    fn runs_that_differ_fail() {
        let runs = AtomicU64::new(0);
        SEEDS.repeat([7], |_, _| runs.fetch_add(1, Ordering::Relaxed));
    }

    #[test]
    #[should_panic(expected = "as it was")]
    fn a_run_that_fails_fails_the_test() {
        SEEDS.run_again(&[(3, "it was wrong")], |seed, _| {
            assert_ne!(seed, 3, "as it was")
        });
    }
}
