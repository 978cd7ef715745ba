//! An eventfd: a counter that a shard's first ring reads, and that any thread may raise.

use super::refusal::{Call, CallRefused};
use crate::driver::platform::Waker;
use rustix::event::{EventfdFlags, eventfd};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};

/// A counter that a ring reads and any thread may raise.
#[derive(Debug)]
pub(super) struct EventFd {
    file: File,
    /// Where the kernel writes the count. Boxed: its address is given away.
    count: Box<[u8; 8]>,
}

impl EventFd {
    pub(super) fn new() -> Result<EventFd, CallRefused> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC);
        let fd = fd.map_err(|errno| Call::EventFd.refused()(errno.into()))?;
        Ok(EventFd {
            file: File::from(fd),
            count: Box::new([0; 8]),
        })
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    pub(super) fn raise(&self) {
        raise(&self.file);
    }

    /// What a read into this counter's buffer needs.
    pub(super) fn target(&mut self) -> (RawFd, *mut u8) {
        (self.file.as_raw_fd(), self.count.as_mut_ptr())
    }

    /// Another handle to it, for other threads.
    pub(super) fn waker(&self) -> Result<Box<dyn Waker>, CallRefused> {
        let bell = self.file.try_clone();
        let bell = Bell(bell.map_err(Call::EventFd.refused())?);
        Ok(Box::new(bell))
    }
}

/// Another handle to an eventfd that a shard's first ring reads.
#[derive(Debug)]
struct Bell(File);

impl Waker for Bell {
    fn wake(&self) {
        raise(&self.0);
    }
}

/// By one.
fn raise(mut file: &File) {
    // The count cannot overflow in practice; a failure would mean a broken descriptor, and the
    // shard still looks once a minute.
    if let Err(error) = file.write_all(&1u64.to_ne_bytes()) {
        tracing::warn!(%error, "a shard's bell cannot be rung");
    }
}
