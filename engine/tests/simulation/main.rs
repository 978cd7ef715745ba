//! Complete clusters of shards in one thread, from a seed: a faulty network, virtual time, scripted
//! clients, and checks of what they saw.
//! `shardcast-seeds` says which seeds are run.

mod application;
mod client;
mod log;
mod order;
mod run;
mod setting;
mod temper;
mod words;

use shardcast_seeds::{Printing, Seeds, Tally};

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

/// Seeds with one and with two shards, and much said in the first room.
const CROWDS: &[u64] = &[6, 1];

const SEEDS: Seeds = Seeds {
    again: "cargo test -p shardcast-engine --test simulation seeds",
    count: 1000,
    happenings: &[
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
    ],
    least: 1,
};

fn run(seed: u64, printing: Printing) -> Tally {
    run::run(seed, printing == Printing::On)
}

#[test]
fn seeds() {
    SEEDS.run(run);
}

#[test]
fn seeds_that_once_failed() {
    SEEDS.run_again(REGRESSIONS, run);
}

/// Fan-outs that take several turns, with members who come, go and speak meanwhile.
#[test]
fn a_crowd_is_served_in_chunks() {
    for seed in CROWDS {
        let tally = SEEDS.check(*seed, |seed, _| run::run_crowd(seed));
        assert!(tally["deliveries"] > 100_000, "{tally:?}");
    }
}

/// Without this no failure could be looked at twice.
#[test]
fn a_seed_repeats_itself() {
    SEEDS.repeat(1000..1010, run);
}
