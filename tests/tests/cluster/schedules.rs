//! Faults by seed: which, on whom, for how long and in which order. Fast rooms keep each
//! publisher's order and are heard again behind all of it.

use crate::broker::Kind;
use crate::cluster::{Cluster, Fault, NODES};
use crate::crowd::Crowd;
use crate::scene::run;
use shardcast_seeds::{Printing, Seeds, Tally};
use std::time::Duration;

const SCHEDULES: Seeds = Seeds {
    again: "cargo test -p shardcast-tests --test cluster schedules",
    count: 30,
    happenings: &[
        "node killed",
        "node deployed",
        "node frozen",
        "broker killed",
        "broker frozen",
        "link silent",
        "link pulled",
        "link cut",
        "link flapping",
        "link slow",
    ],
    least: 2,
};

/// Faults of one schedule.
const FAULTS: u32 = 4;

/// One of ten faults.
pub(crate) fn fault(random: &mut fastrand::Rng, which: u64) -> Fault {
    let node = random.usize(..NODES);
    let span = Duration::from_millis(random.u64(20..400));
    match which {
        0 => Fault::KillNode(node),
        1 => Fault::Deploy(node),
        2 => Fault::KillBroker(span),
        3 => Fault::FreezeBroker(span),
        4 => Fault::Silence(node, span),
        5 => Fault::Pull(node, span),
        6 => Fault::Cut(node, span),
        7 => Fault::Flap(node, random.u32(2..6)),
        8 => Fault::FreezeNode(node, span),
        _ => Fault::Slow(node, Duration::from_millis(random.u64(1..80)), span),
    }
}

fn schedule(seed: u64, printing: Printing) -> Tally {
    // Even seeds run over one broker, odd ones over the other.
    let kind = [Kind::Nats, Kind::Redis][(seed % 2) as usize];
    let mut tally = Tally::new();
    if !kind.is_here() {
        return tally;
    }
    let mut random = fastrand::Rng::with_seed(seed);
    run(async {
        let mut cluster = Cluster::start(kind, NODES);
        let mut crowd = Crowd::gather(&cluster.urls(), "plain:seeded").await;
        crowd.converge().await;
        crowd.speak();
        for _ in 0..FAULTS {
            let which = random.u64(..10);
            let fault = fault(&mut random, which);
            if printing == Printing::On {
                eprintln!("{kind:?}: {fault:?}");
            }
            *tally.entry(fault.name()).or_default() += 1;
            cluster.suffer(fault).await;
        }
        crowd.judge().await;
    });
    tally
}

#[test]
fn schedules() {
    SCHEDULES.run(schedule);
}
