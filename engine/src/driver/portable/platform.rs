//! The platform of epoll: how many connections a shard may have, and how its driver is built.
//! Called by `start`.

use super::slots::Slots;
use super::{EVENTS_PER_TURN, PortableDriver, buffers};
use crate::config::Config;
use crate::driver::bell::Bell;
use crate::driver::platform::{Built, DriverParts, Platform, PlatformLimits, Unsupported};
use rustix::event::epoll;
use std::io;
use std::sync::{Arc, OnceLock};

/// Drivers on epoll. One engine starts on one of these.
#[derive(Debug, Default)]
pub struct Portable {
    bells: Bells,
}

/// Every shard's bell, for wakes. Filled in before any shard ticks.
#[derive(Clone, Debug)]
pub(super) struct Bells(Arc<[OnceLock<Bell>]>);

impl Default for Bells {
    fn default() -> Bells {
        Bells((0..Config::SHARDS_MAX).map(|_| OnceLock::new()).collect())
    }
}

impl Bells {
    /// A shard's bell, which exists from now on.
    pub(super) fn make(&self, shard: u16) -> io::Result<&Bell> {
        let cell = &self.0[usize::from(shard)];
        if let Some(made) = cell.get() {
            return Ok(made);
        }
        let made = Bell::new()?;
        Ok(cell.get_or_init(|| made))
    }

    pub(super) fn ring(&self, shard: u16) {
        if let Some(bell) = self.0[usize::from(shard)].get() {
            bell.ring();
        }
    }
}

fn limits(slots: &Slots) -> PlatformLimits {
    let events = EVENTS_PER_TURN * size_of::<epoll::Event>();
    PlatformLimits {
        rings: 0,
        connections_max: slots.connections_max(),
        memory_bytes: (buffers::BYTES + events) as u64,
    }
}

fn refused(error: io::Error) -> Unsupported {
    let remedy = match error.raw_os_error() {
        Some(libc::EMFILE) => "raise the limit on open files (ulimit -n, LimitNOFILE=)",
        Some(libc::ENFILE) => "raise the host's limit on open files (sysctl fs.file-max)",
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => {
            "permit epoll_create1, epoll_ctl, epoll_pwait and eventfd2 in the sandbox that this runs in"
        }
        _ => "see the error",
    };
    Unsupported::new(format!("epoll: {error}"), remedy)
}

impl Platform for Portable {
    type Driver = PortableDriver;

    const NAME: &'static str = "portable";

    fn probe(&self) -> Result<(), Unsupported> {
        let tried = epoll::create(epoll::CreateFlags::CLOEXEC).map(drop);
        tried.map_err(io::Error::from).map_err(refused)
    }

    fn limits(&self, config: &Config) -> PlatformLimits {
        limits(&Slots::of(config))
    }

    fn build(&self, parts: DriverParts<'_>) -> Result<Built<PortableDriver>, Unsupported> {
        let DriverParts {
            config,
            shard,
            listeners,
            counters,
        } = parts;
        let slots = Slots::of(config);
        let limits = limits(&slots);
        let driver = PortableDriver::new(listeners, slots, self.bells.clone(), shard, counters);
        let driver = driver.map_err(refused)?;
        let waker = self.bells.make(shard).and_then(Bell::share);
        Ok(Built {
            driver,
            waker: Box::new(waker.map_err(refused)?),
            limits,
            capabilities: "epoll".into(),
        })
    }
}
