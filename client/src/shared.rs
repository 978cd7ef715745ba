//! A client's core with its lock, and who is woken when something is to be done.
//!
//! Invariant: the lock is held for moves in memory only: never across an await, and never while a
//! handler of the user runs. Used by the client, its requests and subscriptions, and the driver.

use crate::connect::Connector;
use crate::core::Core;
use crate::options::Settled;
use crate::state::Status;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Shared {
    core: Mutex<Core>,
    /// The driver is to look at the core.
    pub(crate) changed: Notify,
    pub(crate) status: watch::Sender<Status>,
    /// Becomes true with the end of the driver.
    gone: watch::Sender<bool>,
    pub(crate) connector: Connector,
    pub(crate) settled: Arc<Settled>,
}

/// What time it is: tokio's, which tests may stop.
pub(crate) fn now() -> std::time::Instant {
    Instant::now().into_std()
}

impl Shared {
    pub(crate) fn new(settled: Arc<Settled>, first: usize) -> Shared {
        Shared::seeded(settled, first, rand_seed())
    }

    /// One whose jitter and keys are those of this seed.
    pub(crate) fn seeded(settled: Arc<Settled>, first: usize, seed: u64) -> Shared {
        let options = settled.options.clone();
        let core = Core::new(options, settled.endpoints.len(), first, now(), seed);
        Shared {
            status: watch::Sender::new(core.status()),
            gone: watch::Sender::new(false),
            core: Mutex::new(core),
            changed: Notify::new(),
            connector: Connector::new(Arc::clone(&settled)),
            settled,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing is left.
    pub(crate) async fn gone(&self) {
        // The sender lives as long as this does.
        _ = self.gone.subscribe().wait_for(|gone| *gone).await;
    }

    /// The driver has ended.
    pub(crate) fn set_gone(&self) {
        self.gone.send_replace(true);
    }

    /// Changes something, and lets the driver know.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Core) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.notify_one();
        changed
    }
}

fn rand_seed() -> u64 {
    use rand::RngExt;
    let mut rng: rand::rngs::StdRng = rand::make_rng();
    rng.random()
}
