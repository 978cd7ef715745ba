//! Handlers in whole clusters of simulated shards, from a seed: they panic, fail, hang, answer late
//! or after their client has left, come and go while clients of all dialects ask; the network is
//! faulty, and time passes only when the test says so.
//! `shardcast-seeds` says which seeds are run.

mod application;
mod client;
mod kinds;
mod run;
mod words;

use shardcast_seeds::{Printing, Seeds, Tally};

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

const SEEDS: Seeds = Seeds {
    again: "cargo test -p shardcast --test simulation seeds",
    count: 300,
    happenings: &[
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
    ],
    least: 1,
};

fn run(seed: u64, printing: Printing) -> (Tally, u64) {
    run::run(seed, printing == Printing::On)
}

#[test]
fn seeds() {
    SEEDS.run(|seed, printing| run(seed, printing).0);
}

#[test]
fn seeds_that_once_failed() {
    SEEDS.run_again(REGRESSIONS, run);
}

/// Without this no failure could be looked at twice.
#[test]
fn a_seed_repeats_itself() {
    SEEDS.repeat(1000..1010, run);
}
