//! The platform of io_uring: how many rings a shard may have and what they hold, and how its driver
//! is built. Called by `start`.

use super::capabilities::Capabilities;
use super::tables::Tables;
use super::{RingFds, UringDriver, UringSetup};
use crate::config::Config;
use crate::driver::platform::{Built, DriverParts, Platform, PlatformLimits, Unsupported};
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

impl Platform for Uring {
    type Driver = UringDriver;

    const NAME: &'static str = "uring";

    /// On a thread that ends with it: the kernel interrupts whoever had a ring when it takes that
    /// down, and the caller's next read from a socket would fail with `EINTR`.
    fn probe(&self) -> Result<(), Unsupported> {
        let found = std::thread::scope(|scope| {
            let probing = std::thread::Builder::new().spawn_scoped(scope, || self.capabilities());
            probing.map(|thread| thread.join().expect("nothing in it panics"))
        });
        let refused = |error| {
            Unsupported::new(
                format!("a thread to try io_uring on: {error}"),
                "raise the limit on threads (ulimit -u, LimitNPROC=, TasksMax=, a container's --pids-limit)",
            )
        };
        found.map_err(refused)?.map(drop)
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
