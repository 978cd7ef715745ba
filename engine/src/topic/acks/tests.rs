//! Who is late, and when; whom a report waits for.

use super::*;
use crate::query::gather::{Queries, Requester};
use std::collections::BTreeMap;

const RULE: AckRule = AckRule {
    timeout_ms: 80,
    attempts_max: 2,
};

fn ticket(slot: u32) -> Ticket {
    Ticket {
        slot,
        generation: 1,
    }
}

fn late(acks: &mut Acks, now: Millis) -> Vec<u32> {
    let mut budget = usize::MAX;
    std::iter::from_fn(|| acks.next_late(now, &mut budget))
        .map(|who| who.slot)
        .collect()
}

#[test]
fn who_does_not_acknowledge_is_late_and_given_up_in_the_end() {
    let mut acks = Acks::new(RULE);
    for slot in 0..3 {
        acks.insert(ticket(slot), 4, 4, Jumps::default());
    }
    acks.reach(5, 1_000);
    acks.reach(6, 1_009);
    acks.reach(7, 1_020);
    let mut done = Vec::new();
    assert_eq!(acks.acknowledge(ticket(1), 7, &mut done), 3);
    assert_eq!(acks.acknowledge(ticket(2), 6, &mut done), 2);
    assert_eq!(acks.acknowledge(ticket(2), 5, &mut done), 0, "cumulative");
    assert_eq!(acks.next_due(), Some(1_090), "both of the first ten ms");
    assert_eq!(late(&mut acks, 1_089), [0u32; 0]);
    assert_eq!(late(&mut acks, 1_090), [0]);
    assert_eq!(late(&mut acks, 1_110), [0, 2]);
    assert_eq!(acks.late(ticket(0), 1_110), Some(Late::Again(5)));
    assert_eq!(acks.late(ticket(0), 1_110), Some(Late::Again(5)));
    assert_eq!(acks.late(ticket(0), 1_110), Some(Late::GivenUp(3)));
    // Every word of it makes the attempts new.
    assert_eq!(acks.late(ticket(2), 1_110), Some(Late::Again(7)));
    assert_eq!(acks.late(ticket(2), 1_110), Some(Late::Again(7)));
    assert_eq!(acks.acknowledge(ticket(2), 99, &mut done), 1);
    acks.reach(8, 2_000);
    assert_eq!(acks.late(ticket(2), 1_110), Some(Late::Again(8)));
    assert_eq!(acks.late(ticket(9), 1_110), None);
}

/// Members go while the others are looked at: whoever stays is met exactly once.
#[test]
fn a_look_meets_everybody_who_stays() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..500 {
        let mut acks = Acks::new(RULE);
        let mut there: Vec<u32> = (0..random.u32(1..20)).collect();
        for slot in &there {
            acks.insert(ticket(*slot), 0, 0, Jumps::default());
        }
        acks.reach(1, 0);
        let mut met = BTreeMap::new();
        loop {
            let mut budget = random.usize(0..3);
            let next = acks.next_late(1_000, &mut budget);
            if let Some(who) = next {
                *met.entry(who.slot).or_insert(0) += 1;
            } else if acks.look.is_none() {
                break;
            }
            if random.u32(0..3) == 0 && !there.is_empty() {
                let gone = there.swap_remove(random.usize(0..there.len()));
                acks.remove(ticket(gone), &mut Vec::new());
            }
            acks.check(|who| there.contains(&who.slot));
        }
        for slot in there {
            assert_eq!(met.remove(&slot), Some(1), "{slot}");
        }
        assert!(met.into_values().all(|times| times == 1));
    }
}

#[test]
fn a_report_waits_for_those_who_are_sent_it() {
    let mut queries = Queries::default();
    let mut outcome = || {
        let requester = Requester::Outside(Box::new(|_| {}));
        let nobody = Part::Report(Report::default());
        Outcome {
            key: queries.open(0, requester, nobody),
            parcels: 1,
            part: Part::Report(Report::default()),
        }
    };
    let mut acks = Acks::new(RULE);
    let mut done = Vec::new();
    for slot in 0..3 {
        acks.insert(ticket(slot), 0, 0, Jumps::default());
    }
    for offset in 1..=3 {
        acks.reach(offset, 0);
    }
    acks.wait(outcome(), 1, None, 0, &mut done);
    acks.wait(outcome(), 2, Some(ticket(0)), 0, &mut done);
    acks.wait(outcome(), 3, None, 5, &mut done);
    acks.acknowledge(ticket(1), 3, &mut done);
    assert!(done.is_empty());
    acks.acknowledge(ticket(2), 2, &mut done);
    let acknowledged = |done: &mut Vec<Outcome>| {
        let reports = done.drain(..).map(|outcome| match outcome.part {
            Part::Report(report) => report.acknowledged,
            _ => panic!("a report"),
        });
        reports.collect::<Vec<_>>()
    };
    assert_eq!(acknowledged(&mut done), [2], "the second needs no more");
    acks.remove(ticket(0), &mut done);
    assert_eq!(acknowledged(&mut done), [2], "the first waits for nobody");
    acks.expire_reports(84, &mut done);
    assert!(done.is_empty());
    acks.expire_reports(85, &mut done);
    assert_eq!(acknowledged(&mut done), [1]);
}

/// What is acknowledged by offsets that skip counts in publications.
#[test]
fn offsets_that_skip_are_counted_as_publications() {
    let mut acks = Acks::new(RULE);
    let mut jumps = Jumps::default();
    jumps.push(3, 10);
    jumps.push(4, 20);
    acks.insert(ticket(1), 4, 4, jumps.clone());
    let mut done = Vec::new();
    for (ordinal, offset) in [(5, 21), (6, 40), (7, 41), (8, 90)] {
        acks.jump(ordinal, offset);
        acks.reach(ordinal, 0);
    }
    assert_eq!(acks.acknowledge(ticket(1), 20, &mut done), 0, "it has that");
    assert_eq!(
        acks.acknowledge(ticket(1), 39, &mut done),
        1,
        "one is before it"
    );
    assert_eq!(acks.acknowledge(ticket(1), 41, &mut done), 2);
    assert_eq!(
        acks.acknowledge(ticket(1), u64::MAX, &mut done),
        1,
        "no more than there are"
    );
    // One that begins further back brings what it knows.
    let mut older = Acks::new(RULE);
    let mut recent = jumps.clone();
    recent.forget_before(4);
    older.insert(ticket(1), 4, 4, recent);
    older.insert(ticket(2), 2, 4, jumps);
    older.reach(4, 0);
    assert_eq!(older.acknowledge(ticket(2), 10, &mut done), 1);
    assert_eq!(older.acknowledge(ticket(2), 20, &mut done), 1);
    // Whoever never acknowledges costs no more than so many.
    for ordinal in 9..9 + 2 * Acks::JUMPS_MAX as u64 {
        older.jump(ordinal, 3 * ordinal + 100);
    }
    assert!(older.jumps.len() <= Acks::JUMPS_MAX);
}

/// A member that has joined with a part of the log acknowledges it, whether or not something
/// follows, and has its whole time for it.
#[test]
fn what_a_member_has_joined_with_is_acknowledged() {
    let mut acks = Acks::new(RULE);
    let mut done = Vec::new();
    acks.insert(ticket(1), 7, 7, Jumps::default());
    acks.reach(8, 1_000);
    acks.insert(ticket(2), 3, 8, Jumps::default());
    acks.caught_up(ticket(2), 1_080);
    assert_eq!(late(&mut acks, 1_090), [1], "the other has just come");
    assert_eq!(late(&mut acks, 1_169), [0u32; 0]);
    assert_eq!(late(&mut acks, 1_170), [1, 2]);
    assert_eq!(acks.late(ticket(2), 1_170), Some(Late::Again(4)));
    assert_eq!(acks.acknowledge(ticket(2), 8, &mut done), 5);
    // Nothing is published, before or after.
    let mut alone = Acks::new(RULE);
    alone.insert(ticket(1), 3, 6, Jumps::default());
    alone.caught_up(ticket(1), 500);
    assert_eq!(alone.next_due(), Some(590));
    assert_eq!(late(&mut alone, 590), [1]);
    assert_eq!(alone.acknowledge(ticket(1), 6, &mut done), 3);
    alone.caught_up(ticket(1), 600);
    assert_eq!(late(&mut alone, 700), [0u32; 0], "it has all");
    assert!(done.is_empty());
}

#[test]
fn whoever_acknowledges_no_more_has_no_deadline() {
    let (mut times, mut acks) = (AckTimes::default(), Acks::new(RULE));
    acks.insert(ticket(1), 0, 0, Jumps::default());
    acks.reach(1, 1_000);
    times.schedule(7, &mut acks, 0);
    assert_eq!(times.first_due(1_090), Some(7));
    times.forget(7, &acks);
    assert_eq!((times.first_due(1_090), times.next()), (None, None));
}
