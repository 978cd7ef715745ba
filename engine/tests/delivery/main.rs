//! Delivery from logs, in whole clusters of shards in one thread, from a seed: readers stall, break
//! off and come back at any point, and what each was sent is compared with what was published.
//! `shardcast-seeds` says which seeds are run.

mod application;
mod client;
mod run;
mod sequencer;
mod truth;

use run::Order;
use shardcast_seeds::{Printing, Seeds, Tally};

const SEEDS: Seeds = Seeds {
    again: "cargo test -p shardcast-engine --test delivery",
    count: 1_000,
    happenings: &[
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
        "acknowledged",
        "redelivered",
        "heard_again",
        "missed_unacknowledged",
        "offline_queued",
        "waited",
        "lost",
        "whispers_complete",
        "deltas",
        "sifted",
    ],
    least: 1,
};

/// Rooms that are ordered from outside, by a sequence that they share.
const SKIPPING: Seeds = Seeds {
    again: "cargo test -p shardcast-engine --test delivery offsets_that_skip",
    count: 300,
    happenings: &[
        "given_place",
        "skipped",
        "recovered",
        "recovered_with_skips",
        "lost_trimmed_by_size",
        "missed_dropped",
        "missed_conflated",
        "fell_behind",
        "caught_up",
        "duplicates",
        "histories",
        "acknowledged",
        "redelivered",
        "missed_unacknowledged",
        "deltas",
        "sifted",
    ],
    least: 1,
};

fn run(seed: u64, printing: Printing) -> Tally {
    run::run(seed, Order::Home, printing == Printing::On)
}

fn run_skipping(seed: u64, printing: Printing) -> Tally {
    run::run(seed, Order::Outside, printing == Printing::On)
}

#[test]
fn everybody_is_sent_what_the_log_says() {
    SEEDS.run(run);
}

#[test]
fn offsets_that_skip_are_no_losses() {
    SKIPPING.run(run_skipping);
}

#[test]
fn a_seed_repeats_itself() {
    SEEDS.repeat(0..5, run);
    SKIPPING.repeat(0..5, run_skipping);
}
