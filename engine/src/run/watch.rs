//! Shards that do not get on: in one tick for longer than a tick may take. Looked at from another
//! thread, now and then; a shard that waits for the kernel is not stuck.

use crate::activity::TickPhase;
use crate::counters::ShardCounters;
use crate::run::running::Running;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A look at all shards, now and then.
#[derive(Debug)]
pub struct Watch {
    shards: Vec<WatchedShard>,
}

#[derive(Debug)]
struct WatchedShard {
    counters: Arc<ShardCounters>,
    /// The tick that it was seen in last, and since when.
    tick: u64,
    since: Instant,
    is_told: bool,
}

/// A shard that has been in one tick for longer than [`Watch::STUCK_AFTER`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckShard {
    /// Which.
    pub shard: usize,
    /// For how long it was seen in that tick.
    pub stuck: Duration,
    /// What it is doing.
    pub doing: TickPhase,
    /// The slot of the connection that this is about, if it is about one.
    pub slot: Option<u32>,
}

impl Watch {
    /// Longer than any tick takes: 5 seconds.
    pub const STUCK_AFTER: Duration = Duration::from_secs(5);

    /// Of an engine that runs, from now on.
    pub fn new(running: &Running) -> Watch {
        Watch::of(running.counters(), Instant::now())
    }

    fn of(counters: &[Arc<ShardCounters>], now: Instant) -> Watch {
        let shards = counters.iter().map(|counters| WatchedShard {
            counters: counters.clone(),
            tick: counters.activity.ticks.get(),
            since: now,
            is_told: false,
        });
        Watch {
            shards: shards.collect(),
        }
    }

    /// Shards that are stuck and were not at the last look; [`ShardCounters::stuck_ms`] says of all
    /// for how long they are. To be called about once a second.
    pub fn look(&mut self) -> Vec<StuckShard> {
        self.look_at(Instant::now())
    }

    fn look_at(&mut self, now: Instant) -> Vec<StuckShard> {
        let shards = self.shards.iter_mut().enumerate();
        let stuck = shards.filter_map(|(shard, watched)| watched.look(shard, now));
        stuck.collect()
    }
}

impl WatchedShard {
    fn look(&mut self, shard: usize, now: Instant) -> Option<StuckShard> {
        let activity = &self.counters.activity;
        let (tick, doing) = (activity.ticks.get(), activity.phase());
        if tick != self.tick || doing == TickPhase::Waiting {
            (self.tick, self.since) = (tick, now);
        }
        let stuck = now.saturating_duration_since(self.since);
        if stuck < Watch::STUCK_AFTER {
            if std::mem::take(&mut self.is_told) {
                self.counters.stuck_ms.set(0);
                tracing::warn!(shard, "the shard gets on again");
            }
            return None;
        }
        let stuck_ms = u64::try_from(stuck.as_millis()).unwrap_or(u64::MAX);
        self.counters.stuck_ms.set(stuck_ms);
        if std::mem::replace(&mut self.is_told, true) {
            return None;
        }
        let slot = activity.slot();
        tracing::error!(shard, ?stuck, %doing, slot, "a shard is stuck");
        Some(StuckShard {
            shard,
            stuck,
            doing,
            slot,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stays_in_one_tick_is_stuck_until_it_gets_on() {
        let counters: Vec<_> = (0..2).map(|_| Arc::new(ShardCounters::default())).collect();
        let start = Instant::now();
        let second = |n| start + Duration::from_secs(n);
        let mut watch = Watch::of(&counters, start);
        let [idle, busy] = [&counters[0].activity, &counters[1].activity];
        idle.begin_tick();
        idle.enter(TickPhase::Waiting);
        busy.begin_tick();
        busy.enter(TickPhase::Reading);
        busy.about(7);
        assert_eq!(watch.look_at(second(1)), []);
        assert_eq!(watch.look_at(second(5)), []);
        let stuck = StuckShard {
            shard: 1,
            stuck: Duration::from_secs(5),
            doing: TickPhase::Reading,
            slot: Some(7),
        };
        assert_eq!(watch.look_at(second(6)), [stuck]);
        assert_eq!(watch.look_at(second(9)), [], "once");
        assert_eq!(counters[1].stuck_ms.get(), 8_000);
        busy.begin_tick();
        assert_eq!(watch.look_at(second(10)), []);
        let stuck_ms = counters.iter().map(|counters| counters.stuck_ms.get());
        assert_eq!(stuck_ms.sum::<u64>(), 0);
        // The other has waited for the kernel all the time.
        assert_eq!(watch.look_at(second(14)), []);
    }
}
