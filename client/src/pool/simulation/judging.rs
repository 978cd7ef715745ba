//! What must hold of a pool at the end of its day.

use super::{CONNECTIONS, DAY, Happening, PoolDay, ROOMS};
use crate::core::simulation::{Heard, check_ends, judge_receipts};
use crate::encoding::Encoding;
use crate::policy::PoolPolicy;
use std::cmp::Reverse;
use std::time::{Duration, Instant};

impl PoolDay {
    /// The faults are over: whatever is missing comes, and each room says something at last.
    fn recover(&mut self, end: Instant) {
        for party in &mut self.parties {
            party.down_until = self.start;
            party.server.refuse_joins(0);
        }
        self.events.retain(|Reverse((_, _, event))| {
            !matches!(
                event,
                Happening::Others | Happening::Own | Happening::Fault | Happening::Noon
            )
        });
        while self.step(end + Duration::from_secs(300)) {}
        (0..ROOMS).for_each(|room| self.publish_elsewhere(room));
        while self.step(end + Duration::from_secs(600)) {}
    }
}

fn check(seed: u64, encoding: Encoding, policy: PoolPolicy) {
    let mut day = PoolDay::new(seed, encoding, policy);
    day.subscribe();
    for event in [Happening::Others, Happening::Own, Happening::Fault] {
        day.after(Duration::from_secs(1), event);
    }
    day.after(DAY / 2, Happening::Noon);
    let end = day.start + DAY;
    while day.step(end) {}
    day.recover(end);
    assert_eq!(day.pool.healthy(), CONNECTIONS, "seed {seed}");
    let ended = day.parties.iter().filter(|party| party.has_ended);
    assert_eq!(ended.count(), 1, "seed {seed}");
    let log = day.log.lock().expect("not poisoned");
    let (answered, failed) = judge_receipts(day.published.drain(..), &log);
    let heard = day.heard.lock().expect("not poisoned");
    assert_eq!(heard.len(), ROOMS);
    check_ends(&heard, &log, seed);
    let sum = |of: fn(&Heard) -> u64| heard.values().map(of).sum::<u64>();
    let (messages, losses) = (sum(|heard| heard.messages), sum(|heard| heard.losses));
    assert!(
        day.faults.iter().all(|count| *count > 20),
        "{:?}",
        day.faults
    );
    assert!(sum(|heard| heard.recoveries) > 500);
    assert!(messages > 50_000 && losses > 0, "{messages} {losses}");
    assert!(
        answered > 40_000 && failed < answered / 20,
        "{answered} {failed}"
    );
}

#[test]
fn a_day_of_faults_with_a_pool_in_json() {
    check(11, Encoding::Json, PoolPolicy::RoundRobin);
    check(12, Encoding::Json, PoolPolicy::ConsistentHash);
}

#[test]
fn a_day_of_faults_with_a_pool_in_messagepack() {
    check(13, Encoding::MessagePack, PoolPolicy::LeastLoaded);
}
