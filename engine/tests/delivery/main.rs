//! Delivery from logs, in whole clusters of shards in one thread, from a seed: readers stall, break
//! off and come back at any point, and what each was sent is compared with what was published.
//!
//! `SHARDCAST_SIM_SEED=n` runs one seed and prints what happens; `SHARDCAST_SIM_SEEDS=n` changes
//! how many are run.

mod application;
mod client;
mod run;
mod truth;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

const SEEDS: u64 = 1_000;

/// What must have happened at least once over all seeds.
const HAPPENINGS: &[&str] = &[
    "recovered",
    "recovered_something",
    "lost_epoch_changed",
    "lost_trimmed_by_size",
    "lost_trimmed_by_age",
    "missed_dropped",
    "missed_conflated",
    "missed_trimmed_by_size",
    "fell_behind",
    "caught_up",
    "duplicates",
    "left_out",
    "unencodable",
    "histories",
    "reconnects",
    "presence_join",
    "presence_leave",
    "presence_away",
    "presence_back",
    "presence_counts",
    "closed_slow",
];

pub(crate) type Tally = BTreeMap<&'static str, u64>;

/// Says how to run a failing seed again.
struct Culprit(u64);

impl Drop for Culprit {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "again with SHARDCAST_SIM_SEED={} cargo test -p shardcast-engine --test delivery",
                self.0
            );
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok();
    text.map(|text| text.parse().expect("a number"))
}

fn check(seed: u64, traced: bool) -> Tally {
    let _culprit = Culprit(seed);
    run::run(seed, traced)
}

fn check_all(seeds: u64) -> Tally {
    let next = AtomicU64::new(0);
    let work = || {
        let mut sum = Tally::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return sum;
            }
            add(&mut sum, check(seed, false));
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut sum = Tally::new();
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
fn everybody_is_sent_what_the_log_says() {
    if let Some(seed) = number("SHARDCAST_SIM_SEED") {
        eprintln!("{:?}", check(seed, true));
        return;
    }
    let seeds = number("SHARDCAST_SIM_SEEDS").unwrap_or(SEEDS);
    let tally = check_all(seeds);
    eprintln!("{seeds} seeds: {tally:?}");
    let missing = HAPPENINGS
        .iter()
        .filter(|name| tally.get(*name).is_none_or(|count| *count == 0));
    let missing: Vec<_> = missing.filter(|_| seeds >= SEEDS).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
}

#[test]
fn a_seed_repeats_itself() {
    for seed in 0..5 {
        assert_eq!(check(seed, false), check(seed, false), "seed {seed}");
    }
}
