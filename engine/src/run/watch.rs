//! Shards that do not get on: in one tick for longer than a tick may take, or asleep although they
//! were woken, as a thread is that the kernel or a debugger holds. Looked at from another thread,
//! now and then. A shard that has nothing to do is woken for that, once in [`Watch::STUCK_AFTER`].

use crate::activity::TickPhase;
use crate::counters::ShardCounters;
use crate::run::handle::Handle;
use crate::run::running::Running;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A look at all shards, now and then.
#[derive(Debug)]
pub struct Watch {
    shards: Vec<WatchedShard>,
    engine: Handle,
}

#[derive(Debug)]
struct WatchedShard {
    counters: Arc<ShardCounters>,
    /// The tick that it was seen in last, and since when; where it waits for the kernel, since it
    /// was woken.
    tick: u64,
    since: Instant,
    /// It was woken in this tick.
    is_woken: bool,
    is_told: bool,
}

/// A shard that has been in one tick for longer than [`Watch::STUCK_AFTER`], or has not ticked for
/// so long since it was woken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckShard {
    /// Which.
    pub shard: usize,
    /// For how long it was seen in that tick.
    pub stuck: Duration,
    /// What it is doing; [`TickPhase::Waiting`]: its thread sleeps, or is held, and does not wake.
    pub doing: TickPhase,
    /// The slot of the connection that this is about, if it is about one.
    pub slot: Option<u32>,
}

impl Watch {
    /// Longer than any tick takes: 5 seconds.
    pub const STUCK_AFTER: Duration = Duration::from_secs(5);

    /// Of an engine that runs, from now on.
    pub fn new(running: &Running) -> Watch {
        Watch {
            shards: WatchedShard::of(running.counters(), Instant::now()),
            engine: running.handle(),
        }
    }

    /// Shards that are stuck and were not at the last look; [`ShardCounters::stuck_ms`] says of all
    /// for how long they are. To be called about once a second.
    pub fn look(&mut self) -> Vec<StuckShard> {
        let wake = |shard| self.engine.wake(shard);
        look_at(&mut self.shards, Instant::now(), wake)
    }
}

fn look_at(
    shards: &mut [WatchedShard],
    now: Instant,
    mut wake: impl FnMut(usize),
) -> Vec<StuckShard> {
    let shards = shards.iter_mut().enumerate();
    let stuck = shards.filter_map(|(shard, watched)| {
        if watched.has_slept_long(now) {
            wake(shard);
        }
        watched.look(shard, now)
    });
    stuck.collect()
}

impl WatchedShard {
    fn of(counters: &[Arc<ShardCounters>], now: Instant) -> Vec<WatchedShard> {
        let shards = counters.iter().map(|counters| WatchedShard {
            counters: counters.clone(),
            tick: counters.activity.ticks.get(),
            since: now,
            is_woken: false,
            is_told: false,
        });
        shards.collect()
    }

    /// Whether it waits for the kernel, and is to be woken: whoever is well ticks then. From here
    /// on it is late.
    fn has_slept_long(&mut self, now: Instant) -> bool {
        let activity = &self.counters.activity;
        let (tick, doing) = (activity.ticks.get(), activity.phase());
        if tick != self.tick {
            (self.tick, self.since) = (tick, now);
            self.is_woken = false;
        }
        let waited = now.saturating_duration_since(self.since);
        let sleeps = doing == TickPhase::Waiting && !self.is_woken;
        let is_long = sleeps && waited >= Watch::STUCK_AFTER;
        if is_long {
            self.since = now;
            self.is_woken = true;
        }
        is_long
    }

    fn look(&mut self, shard: usize, now: Instant) -> Option<StuckShard> {
        let activity = &self.counters.activity;
        let doing = activity.phase();
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

    /// The shards that are woken and those that are stuck.
    fn look(shards: &mut [WatchedShard], now: Instant) -> (Vec<usize>, Vec<StuckShard>) {
        let mut woken = Vec::new();
        let stuck = look_at(shards, now, |shard| woken.push(shard));
        (woken, stuck)
    }

    #[test]
    fn who_stays_in_one_tick_is_stuck_until_it_gets_on() {
        let counters: Vec<_> = (0..2).map(|_| Arc::new(ShardCounters::default())).collect();
        let start = Instant::now();
        let second = |n| start + Duration::from_secs(n);
        let mut shards = WatchedShard::of(&counters, start);
        let [idle, busy] = [&counters[0].activity, &counters[1].activity];
        idle.begin_tick();
        idle.enter(TickPhase::Waiting);
        busy.begin_tick();
        busy.enter(TickPhase::Reading);
        busy.about(7);
        assert_eq!(look(&mut shards, second(1)), (vec![], vec![]));
        assert_eq!(look(&mut shards, second(5)), (vec![], vec![]));
        let stuck = StuckShard {
            shard: 1,
            stuck: Duration::from_secs(5),
            doing: TickPhase::Reading,
            slot: Some(7),
        };
        // The other one has waited for the kernel all the time: does it wake?
        assert_eq!(look(&mut shards, second(6)), (vec![0], vec![stuck]));
        idle.begin_tick();
        idle.enter(TickPhase::Waiting);
        assert_eq!(look(&mut shards, second(9)), (vec![], vec![]), "once");
        assert_eq!(counters[1].stuck_ms.get(), 8_000);
        busy.begin_tick();
        assert_eq!(look(&mut shards, second(10)), (vec![], vec![]));
        let stuck_ms = counters.iter().map(|counters| counters.stuck_ms.get());
        assert_eq!(stuck_ms.sum::<u64>(), 0);
    }

    #[test]
    fn who_does_not_wake_is_stuck_too() {
        let counters = [Arc::new(ShardCounters::default())];
        let start = Instant::now();
        let second = |n| start + Duration::from_secs(n);
        let mut shards = WatchedShard::of(&counters, start);
        let activity = &counters[0].activity;
        activity.begin_tick();
        activity.enter(TickPhase::Waiting);
        assert_eq!(look(&mut shards, second(1)), (vec![], vec![]));
        assert_eq!(look(&mut shards, second(6)), (vec![0], vec![]));
        assert_eq!(look(&mut shards, second(10)), (vec![], vec![]));
        let stuck = StuckShard {
            shard: 0,
            stuck: Duration::from_secs(5),
            doing: TickPhase::Waiting,
            slot: None,
        };
        assert_eq!(look(&mut shards, second(11)), (vec![], vec![stuck]));
        assert_eq!(counters[0].stuck_ms.get(), 5_000);
        activity.begin_tick();
        activity.enter(TickPhase::Waiting);
        assert_eq!(look(&mut shards, second(12)), (vec![], vec![]));
        assert_eq!(counters[0].stuck_ms.get(), 0);
        assert_eq!(look(&mut shards, second(17)), (vec![0], vec![]));
    }
}
