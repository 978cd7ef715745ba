//! Handlers in whole clusters of simulated shards, from a seed: they panic, fail, hang, answer late
//! or after their client has left, come and go while clients of all dialects ask; the network is
//! faulty, and time passes only when the test says so.
//!
//! `SHARDCAST_SIM_SEED=n` runs one seed and prints what happens; `SHARDCAST_SIM_SEEDS=n` changes
//! how many are run.

mod application;
mod client;
mod kinds;
mod run;
mod words;

use run::Tally;
use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds that once failed, each with what it found. To add one: `(seed, "what was wrong")`, in the
/// commit that repairs it. A change of the simulation itself may make a seed mean something else;
/// it stays all the same.
const REGRESSIONS: &[(u64, &str)] = &[
    (
        3,
        "the rest of a batch was heard after its connection was closed",
    ),
    (
        4356,
        "the check: a message was under way to the witness of an order",
    ),
];

const SEEDS: u64 = 300;

/// What must have happened at least once over all seeds.
const HAPPENINGS: &[&str] = &[
    "asked",
    "answered",
    "silent",
    "batches",
    "calls_answered",
    "room_messages",
    "panics",
    "gone_unanswered",
    "admissions_deferred",
    "refused",
    "broken",
    "ok",
    "forbidden",
    "handler_failed",
    "invalid_data",
    "not_joined",
    "rate_limited",
    "room_limit",
    "timeout",
    "unauthorized",
    "unknown_type",
];

/// Says how to run a failing seed again.
struct Culprit(u64);

impl Drop for Culprit {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!(
                "SEED={seed}: again with SHARDCAST_SIM_SEED={seed} cargo test -p shardcast --test simulation seeds"
            );
        }
    }
}

fn check(seed: u64) -> (Tally, u64) {
    let _culprit = Culprit(seed);
    run::run(seed, false)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok();
    text.map(|text| text.parse().expect("a number"))
}

/// Each run is one thread's; the runs share the cores.
fn check_all(seeds: u64) -> Tally {
    let next = AtomicU64::new(0);
    let work = || {
        let mut sum = Tally::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return sum;
            }
            add(&mut sum, check(seed).0);
        }
    };
    let mut sum = Tally::new();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
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

fn add(sum: &mut Tally, tally: Tally) {
    for (name, count) in tally {
        *sum.entry(name).or_default() += count;
    }
}

#[test]
fn seeds() {
    match number("SHARDCAST_SIM_SEED") {
        Some(seed) => {
            let _culprit = Culprit(seed);
            eprintln!("{:?}", run::run(seed, true));
        }
        None => {
            let seeds = number("SHARDCAST_SIM_SEEDS").unwrap_or(SEEDS);
            let tally = check_all(seeds);
            eprintln!("{seeds} seeds: {tally:?}");
            // A simulation in which nothing goes wrong proves nothing.
            let missing = HAPPENINGS
                .iter()
                .filter(|name| tally.get(*name).is_none_or(|count| *count == 0));
            let missing: Vec<_> = missing.filter(|_| seeds >= SEEDS).collect();
            assert!(missing.is_empty(), "never happened: {missing:?}");
        }
    }
}

#[test]
fn seeds_that_once_failed() {
    const { assert!(!REGRESSIONS.is_empty()) };
    for (seed, _) in REGRESSIONS {
        check(*seed);
    }
}

/// Without this no failure could be looked at twice.
#[test]
fn a_seed_repeats_itself() {
    for seed in 1000..1010 {
        assert_eq!(check(seed), check(seed), "seed {seed}");
    }
}
