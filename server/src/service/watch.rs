//! The watchdog: the service manager hears that the process is well only while every shard ticks
//! (`WATCHDOG_USEC`), and in any case how many clients there are. Runs on the control plane's
//! thread, which is watched so, too.

use super::notify::{NotifyMessage, NotifySocket};
use crate::admin::lifecycle::{Lifecycle, Stage};
use shardcast_engine::{Handle, Running, ShardCounters};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Whether each shard has ticked since it was asked last.
#[derive(Debug)]
struct ShardPulse {
    counters: Vec<Arc<ShardCounters>>,
    /// Ticks of each when it was asked last.
    ticks: Vec<u64>,
}

impl ShardPulse {
    fn new(counters: Vec<Arc<ShardCounters>>) -> ShardPulse {
        let ticks = counters.iter().map(|counters| ticks_of(counters));
        ShardPulse {
            ticks: ticks.collect(),
            counters,
        }
    }

    /// The shards that have not ticked since the last call. One that sleeps has to be woken in
    /// between.
    fn stuck(&mut self) -> Vec<usize> {
        let mut stuck = Vec::new();
        let shards = self.counters.iter().zip(&mut self.ticks).enumerate();
        for (shard, (counters, seen)) in shards {
            let ticks = ticks_of(counters);
            if std::mem::replace(seen, ticks) == ticks {
                stuck.push(shard);
            }
        }
        stuck
    }

    fn connections(&self) -> u64 {
        let counters = self.counters.iter();
        counters.map(|counters| counters.connections.get()).sum()
    }
}

fn ticks_of(counters: &ShardCounters) -> u64 {
    counters.driver.tick_completions.count()
}

/// Tells the service manager how the shards are.
#[derive(Debug)]
pub(crate) struct Watchdog {
    notify: NotifySocket,
    pulse: ShardPulse,
    engine: Handle,
    lifecycle: Arc<Lifecycle>,
}

impl Watchdog {
    /// Between two messages, where there is no watchdog.
    const STATUS_EVERY: Duration = Duration::from_secs(10);
    /// Messages within the time after which the watchdog bites: two may be late.
    const PER_TIMEOUT: u32 = 3;

    /// Of this process, with the way to its service manager.
    pub(crate) fn of_process(
        engine: &Running,
        lifecycle: &Arc<Lifecycle>,
    ) -> (NotifySocket, Watchdog) {
        let notify = NotifySocket::of_process();
        let watchdog = Watchdog {
            notify: notify.clone(),
            pulse: ShardPulse::new(engine.counters().to_vec()),
            engine: engine.handle(),
            lifecycle: lifecycle.clone(),
        };
        (notify, watchdog)
    }

    /// For as long as the process lives; returns at once where nobody listens.
    pub(crate) async fn run(mut self) {
        if !self.notify.is_there() {
            return;
        }
        let timeout = watchdog_of_process();
        let every = timeout.map_or(Self::STATUS_EVERY, |timeout| timeout / Self::PER_TIMEOUT);
        let mut times = interval(every);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one is now.
        times.tick().await;
        let mut warned = false;
        loop {
            self.engine.wake_all();
            times.tick().await;
            let stuck = self.pulse.stuck();
            let stage = self.lifecycle.stage();
            let status = status_line(stage, self.pulse.connections(), &stuck);
            // A drain has an end of its own, by which shards have ended one after the other.
            let well = stuck.is_empty() || stage == Stage::Draining;
            if !well && !warned {
                tracing::error!(?stuck, ?every, "shards do not tick");
            }
            warned = !well;
            self.notify.tell(&match well && timeout.is_some() {
                true => NotifyMessage::Well { status: &status },
                false => NotifyMessage::Status(&status),
            });
        }
    }
}

/// In a line, for `systemctl status`.
fn status_line(stage: Stage, connections: u64, stuck: &[usize]) -> String {
    match (stage, stuck) {
        (Stage::Draining, _) => format!("draining, {connections} connections"),
        (_, [shard, ..]) => {
            let count = stuck.len();
            format!("{count} shards do not tick, among them {shard}; {connections} connections")
        }
        (Stage::LameDuck, []) => format!("about to drain, {connections} connections"),
        (Stage::Serving, []) => format!("serving, {connections} connections"),
    }
}

/// After which time without a message this process is to be ended; `None`: it is not watched.
fn watchdog_of_process() -> Option<Duration> {
    let variable = |name| std::env::var(name).ok();
    watchdog_of(
        variable("WATCHDOG_USEC"),
        variable("WATCHDOG_PID"),
        std::process::id(),
    )
}

/// The variables as sd_watchdog_enabled(3) reads them.
fn watchdog_of(microseconds: Option<String>, pid: Option<String>, own: u32) -> Option<Duration> {
    let meant = pid.is_none_or(|pid| pid.parse() == Ok(own));
    let microseconds: u64 = microseconds.filter(|_| meant)?.parse().ok()?;
    // An interval has to last.
    (microseconds >= 1_000).then(|| Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_does_not_tick_is_named() {
        let counters: Vec<Arc<ShardCounters>> = (0..3).map(|_| Arc::default()).collect();
        let mut pulse = ShardPulse::new(counters.clone());
        let tick = |shard: usize| counters[shard].driver.tick_completions.record(0);
        assert_eq!(pulse.stuck(), [0, 1, 2]);
        [0, 1, 2].into_iter().for_each(tick);
        assert_eq!(pulse.stuck(), [] as [usize; 0]);
        [0, 0, 2].into_iter().for_each(tick);
        assert_eq!(pulse.stuck(), [1]);
        tick(1);
        assert_eq!(pulse.stuck(), [0, 2]);
    }

    #[test]
    fn the_watchdog_is_that_of_this_process() {
        let some = |text: &str| Some(text.to_owned());
        for (microseconds, pid, expected) in [
            (some("3000000"), None, Some(3_000)),
            (some("3000000"), some("7"), Some(3_000)),
            (some("3000000"), some("8"), None),
            (some("0"), None, None),
            (some("soon"), None, None),
            (None, some("7"), None),
        ] {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(watchdog_of(microseconds, pid, 7), expected);
        }
    }

    #[test]
    fn the_status_is_a_line() {
        for (stage, stuck, expected) in [
            (Stage::Serving, &[][..], "serving, 5 connections"),
            (Stage::LameDuck, &[], "about to drain, 5 connections"),
            (Stage::Draining, &[1], "draining, 5 connections"),
            (
                Stage::Serving,
                &[1, 2],
                "2 shards do not tick, among them 1; 5 connections",
            ),
        ] {
            assert_eq!(status_line(stage, 5, stuck), expected);
        }
    }
}
