//! What happens when a shard's thread panics: the shard ends, and another one takes its place on
//! the same thread, the same core and the same sockets. Called by the thread (`run/start.rs`).
//!
//! Invariant: no panic of a shard goes unanswered. Either a shard takes its place, or the thread
//! ends, which ends the process: after [`RESTARTS_MAX`] restarts within [`RESTARTS_WITHIN`], or
//! where a shard cannot be restarted within [`RESTART_WITHIN`].

use crate::application::Application;
use crate::confine::{Panicked, confine};
use crate::driver::boundary::Driver;
use crate::driver::listen::ListenSocket;
use crate::message::lane::{Mailbox, Reunion};
use crate::run::handle::ShardWaker;
use crate::shard::Shard;
use crate::shard::last_words::{Inheritance, Legacy};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Restarts of all shards of an engine together, within [`RESTARTS_WITHIN`]. What fails more often
/// fails for good.
pub(crate) const RESTARTS_MAX: usize = 5;
/// See [`RESTARTS_MAX`].
pub(crate) const RESTARTS_WITHIN: Duration = Duration::from_secs(60);
/// For a shard to come together with the others, and for its driver to be built.
pub(crate) const RESTART_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at what others have answered.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// When shards of an engine were restarted.
#[derive(Debug, Default)]
pub(crate) struct Restarts(Mutex<VecDeque<Instant>>);

impl Restarts {
    /// One more, if it may be.
    pub(crate) fn may_restart(&self) -> bool {
        self.may_restart_at(Instant::now())
    }

    fn may_restart_at(&self, now: Instant) -> bool {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(first) = times.front()
            && now.saturating_duration_since(*first) >= RESTARTS_WITHIN
        {
            times.pop_front();
        }
        if times.len() >= RESTARTS_MAX {
            return false;
        }
        times.push_back(now);
        true
    }
}

/// Ticks until the engine stops or the shard panics.
pub(crate) fn tick_until_stopped<A: Application, D: Driver>(
    shard: &mut Shard<A, D>,
    stop: &AtomicBool,
) -> Result<(), Panicked> {
    confine(|| {
        while !stop.load(Ordering::Relaxed) {
            shard.tick();
        }
    })
}

/// What a shard is made of that takes another one's place.
pub(crate) struct Successor {
    pub(crate) mailbox: Mailbox,
    pub(crate) listeners: Vec<ListenSocket>,
    pub(crate) inheritance: Inheritance,
}

/// A shard has panicked, and this is what it leaves behind. Comes together with the other shards,
/// which tell their clients meanwhile.
pub(crate) fn come_together(
    legacy: Legacy,
    wakers: &[Arc<ShardWaker>],
    stop: &AtomicBool,
) -> Option<Successor> {
    let Legacy {
        mut mailbox,
        mut reunion,
        listeners,
        inheritance,
    } = legacy;
    reunite(&mut mailbox, &mut reunion, wakers, stop).then_some(Successor {
        mailbox,
        listeners,
        inheritance,
    })
}

/// False: the engine stops, or a shard has not answered in time.
fn reunite(
    mailbox: &mut Mailbox,
    reunion: &mut Reunion,
    wakers: &[Arc<ShardWaker>],
    stop: &AtomicBool,
) -> bool {
    let until = Instant::now() + RESTART_WITHIN;
    loop {
        let are_together = mailbox.reunite(reunion);
        mailbox.rings(|shard| wakers[usize::from(shard)].wake());
        if are_together {
            return true;
        }
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        if Instant::now() >= until {
            tracing::error!("another shard does not answer; this one cannot be restarted");
            return false;
        }
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_restarts_are_too_many() {
        let (restarts, start) = (Restarts::default(), Instant::now());
        let second = |n| start + Duration::from_secs(n);
        for n in 0..RESTARTS_MAX as u64 {
            assert!(restarts.may_restart_at(second(n)));
        }
        assert!(!restarts.may_restart_at(second(59)));
        // The first is long enough ago.
        assert!(restarts.may_restart_at(second(60)));
        assert!(!restarts.may_restart_at(second(60)));
    }
}
