//! Complete clusters of shards in one thread, from a seed: a faulty network, virtual time, scripted
//! clients, and checks of what they saw.
//!
//! `SHARDCAST_SIM_SEED=n` runs one seed and prints what happens; `SHARDCAST_SIM_SEEDS=n` changes
//! how many are run.

mod application;
mod client;
mod log;
mod order;
mod run;
mod setting;
mod temper;
mod words;

use run::Tally;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds that once failed, each with what it found. To add one: `(seed, "what was wrong")`, in the
/// commit that repairs it. A change of the simulation itself may make a seed mean something else;
/// it stays all the same.
const REGRESSIONS: &[(u64, &str)] = &[
    (369, "a report counted what was short of others' goodbyes"),
    (
        462,
        "a report's home counted whom it could not say the message, and who had closed",
    ),
    (
        2100,
        "the check: a connection opened while a message to everyone was under way",
    ),
];

const SEEDS: u64 = 1000;

/// Seeds with one and with two shards, and much said in the first room.
const CROWDS: &[u64] = &[6, 1];

/// What must have happened at least once over all seeds.
const HAPPENINGS: &[&str] = &[
    "deflated_messages",
    "inflated_messages",
    "refused_bombs",
    "upgrades",
    "upgrades_refused",
    "tls_handshakes",
    "refused_full",
    "refused_waiting",
    "admissions_deferred",
    "admission",
    "abandoned",
    "deliveries",
    "publishes",
    "sends_short",
    "dropped_closing",
    "closed_slow",
    "closed_protocol",
    "closed_budget",
    "handshake",
    "header",
    "frame",
    "message",
    "pong",
    "close",
    "panics",
    "parked",
    "joins",
    "leaves",
    "reports",
    "reports_with_queued",
    "refused_asks",
    "dropped_untranslatable",
    "full",
    "void_leaves",
    "identities",
    "user_messages",
    "lists",
    "tolds",
    "outside_answers",
];

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

fn check(seed: u64) -> Tally {
    let _culprit = Culprit(seed);
    run::run(seed, false)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok();
    text.map(|text| text.parse().expect("a number"))
}

/// Each run is one thread's; the runs share the cores.
fn check_all(seeds: Range<u64>) -> Tally {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut sum = Tally::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return sum;
            }
            add(&mut sum, check(seed));
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
            let tally = check_all(0..seeds);
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

/// Fan-outs that take several turns, with members who come, go and speak meanwhile.
#[test]
fn a_crowd_is_served_in_chunks() {
    for seed in CROWDS {
        let _culprit = Culprit(*seed);
        let tally = run::run_crowd(*seed);
        assert!(tally["deliveries"] > 100_000, "{tally:?}");
    }
}

/// Without this no failure could be looked at twice.
#[test]
fn a_seed_repeats_itself() {
    for seed in 1000..1010 {
        assert_eq!(check(seed), check(seed), "seed {seed}");
    }
}
