//! An eventfd as a shard's bell: a counter that its driver waits for, and that any thread may
//! raise.

use crate::driver::platform::Waker;
use rustix::event::{EventfdFlags, eventfd};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// A handle to a counter.
#[derive(Debug)]
pub(crate) struct Bell(File);

impl Bell {
    /// A counter of its own.
    ///
    /// # Errors
    /// `eventfd2` was refused (`eventfd(2)`).
    pub(crate) fn new() -> io::Result<Bell> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC)?;
        Ok(Bell(File::from(fd)))
    }

    /// Another handle to the same counter.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub(crate) fn share(&self) -> io::Result<Bell> {
        self.0.try_clone().map(Bell)
    }

    /// Raises the counter by one: whoever waits for it wakes.
    pub(crate) fn ring(&self) {
        // The count cannot overflow in practice; a failure would mean a broken descriptor, and the
        // shard still looks once a minute.
        if let Err(error) = (&self.0).write_all(&1u64.to_ne_bytes()) {
            tracing::warn!(%error, "a shard's bell cannot be rung");
        }
    }
}

impl Waker for Bell {
    fn wake(&self) {
        self.ring();
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
