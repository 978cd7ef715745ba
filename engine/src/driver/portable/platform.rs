//! The platform of epoll: how many connections a shard may have, and how its driver is built.
//! Called by `start`.

use super::bells::Bells;
use super::slots::FreeSlots;
use super::{EVENTS_PER_TURN, PortableDriver, buffers};
use crate::config::Config;
use crate::driver::bell::Bell;
use crate::driver::platform::{
    Built, DriverParts, Platform, PlatformLimits, TrialOutcome, TriedFeature, Unsupported,
};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use std::io;

/// Drivers on epoll. One engine starts on one of these.
#[derive(Debug, Default)]
pub struct Portable {
    bells: Bells,
}

fn limits(slots: &FreeSlots) -> PlatformLimits {
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
        let tried = epoll::create(epoll::CreateFlags::CLOEXEC).and_then(|epoll| {
            // Where a crate beside this one has rustix call `epoll_pwait2`, Linux 5.11 is needed.
            let (mut events, at_once) = (Vec::with_capacity(1), Timespec::default());
            epoll::wait(&epoll, spare_capacity(&mut events), Some(&at_once))
        });
        tried.map_err(io::Error::from).map_err(refused).map(drop)
    }

    fn features(&self) -> Vec<TriedFeature> {
        let outcome = match self.probe() {
            Ok(()) => TrialOutcome::Works,
            Err(lack) => TrialOutcome::Missing(lack),
        };
        vec![TriedFeature {
            name: "epoll",
            purpose: "tells which sockets can be read and written",
            outcome,
        }]
    }

    fn limits(&self, config: &Config) -> PlatformLimits {
        limits(&FreeSlots::of(config))
    }

    fn build(&self, parts: DriverParts<'_>) -> Result<Built<PortableDriver>, Unsupported> {
        let DriverParts {
            config,
            shard,
            listeners,
            counters,
        } = parts;
        let slots = FreeSlots::of(config);
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
