//! The platform of io_uring: how many rings a shard may have and what they hold, and how its driver
//! is built. Called by `start`.

use super::capabilities::Capabilities;
use super::features;
use super::tables::Tables;
use super::{RingFds, UringDriver, UringSetup};
use crate::config::Config;
use crate::driver::platform::{
    Built, DriverParts, Platform, PlatformLimits, TriedFeature, Unsupported,
};
use std::sync::OnceLock;

/// Drivers on io_uring. One engine starts on one of these.
#[derive(Debug, Default)]
pub struct Uring {
    /// Of all shards that were built.
    ring_fds: RingFds,
    /// Found by the first probe.
    capabilities: OnceLock<Capabilities>,
}

impl Uring {
    fn capabilities(&self) -> Result<Capabilities, Unsupported> {
        if let Some(known) = self.capabilities.get() {
            return Ok(*known);
        }
        let found = Capabilities::probe()?;
        Ok(*self.capabilities.get_or_init(|| found))
    }
}

/// Runs it on a thread that ends with it: the kernel interrupts whoever had a ring when it takes
/// that down, and the caller's next read from a socket would fail with `EINTR`.
fn on_a_thread<T: Send>(run: impl FnOnce() -> T + Send) -> Result<T, Unsupported> {
    let done = std::thread::scope(|scope| {
        let running = std::thread::Builder::new().spawn_scoped(scope, run);
        running.map(|thread| thread.join().expect("nothing in it panics"))
    });
    done.map_err(|error| {
        Unsupported::new(
            format!("a thread to try io_uring on: {error}"),
            "raise the limit on threads (ulimit -u, LimitNPROC=, TasksMax=, a container's --pids-limit)",
        )
    })
}

impl Platform for Uring {
    type Driver = UringDriver;

    const NAME: &'static str = "uring";

    fn probe(&self) -> Result<(), Unsupported> {
        on_a_thread(|| self.capabilities())?.map(drop)
    }

    fn features(&self) -> Vec<TriedFeature> {
        match on_a_thread(features::try_each) {
            Ok(tried) => tried,
            Err(lack) => vec![features::not_even_a_thread(lack)],
        }
    }

    fn limits(&self, config: &Config) -> PlatformLimits {
        Tables::of(config).limits()
    }

    fn build(&self, parts: DriverParts<'_>) -> Result<Built<UringDriver>, Unsupported> {
        let DriverParts {
            config,
            shard,
            listeners,
            counters,
        } = parts;
        let driver = UringDriver::new(UringSetup {
            listeners,
            tables: Tables::of(config),
            shard,
            ring_fds: self.ring_fds.clone(),
            capabilities: self.capabilities()?,
            counters,
        })?;
        Ok(Built {
            waker: driver.bell.waker()?,
            limits: driver.tables().limits(),
            capabilities: driver.capabilities().to_string(),
            driver,
        })
    }
}
