//! Delivery from logs, in whole clusters of shards in one thread, from a seed: readers stall, break
//! off and come back at any point, and what each was sent is compared with what was published.
//! `shardcast-seeds` says which seeds are run.

mod application;
mod client;
mod run;
mod truth;

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

fn run(seed: u64, printing: Printing) -> Tally {
    run::run(seed, printing == Printing::On)
}

#[test]
fn everybody_is_sent_what_the_log_says() {
    SEEDS.run(run);
}

#[test]
fn a_seed_repeats_itself() {
    SEEDS.repeat(0..5, run);
}
