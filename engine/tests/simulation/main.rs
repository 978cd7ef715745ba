//! Whole clusters of shards in one thread, from a seed: a faulty network, virtual time, scripted clients, and checks of what they saw.
//!
//! `SHARDCAST_SIM_SEED=n` runs one seed and prints what happens; `SHARDCAST_SIM_SEEDS=n` changes how many are run.

mod application;
mod client;
mod log;
mod order;
mod run;
mod temper;
mod words;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds that once failed, each with what it found. To add one: `(seed, "what was wrong")`, in the commit that repairs it.
/// A change of the simulation itself may make a seed mean something else; it stays all the same.
const REGRESSIONS: &[(u64, &str)] = &[];

const SEEDS: u64 = 300;

/// Says how to run a failing seed again.
struct Culprit(u64);

impl Drop for Culprit {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (seed, shards) = (self.0, run::shards_of(self.0));
            eprintln!(
                "SEED={seed} SHARDS={shards}: again with SHARDCAST_SIM_SEED={seed} cargo test -p shardcast-engine --test simulation seeds"
            );
        }
    }
}

fn check(seed: u64) -> (u64, u64) {
    let _culprit = Culprit(seed);
    run::run(seed, false)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().expect("a number"))
}

/// Each run is one thread's; the runs share the cores.
fn check_all(seeds: Range<u64>) {
    let next = AtomicU64::new(seeds.start);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    check(seed);
                }
            });
        }
    });
}

#[test]
fn seeds() {
    match number("SHARDCAST_SIM_SEED") {
        Some(seed) => {
            let _culprit = Culprit(seed);
            let (steps, ms) = run::run(seed, true);
            eprintln!("{steps} steps, {ms} ms");
        }
        None => check_all(0..number("SHARDCAST_SIM_SEEDS").unwrap_or(SEEDS)),
    }
}

#[test]
fn seeds_that_once_failed() {
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
