//! A bell that a shard's first ring reads.

use super::refusal::{Call, CallRefused};
use crate::driver::bell::Bell;
use crate::driver::platform::Waker;
use std::os::fd::{AsRawFd, RawFd};

/// A counter that a ring reads and any thread may raise.
#[derive(Debug)]
pub(super) struct EventFd {
    bell: Bell,
    /// Where the kernel writes the count. Boxed: its address is given away.
    count: Box<[u8; 8]>,
}

impl EventFd {
    pub(super) fn new() -> Result<EventFd, CallRefused> {
        Ok(EventFd {
            bell: Bell::new().map_err(Call::EventFd.refused())?,
            count: Box::new([0; 8]),
        })
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        self.bell.as_raw_fd()
    }

    pub(super) fn raise(&self) {
        self.bell.ring();
    }

    /// What a read into this counter's buffer needs.
    pub(super) fn target(&mut self) -> (RawFd, *mut u8) {
        (self.bell.as_raw_fd(), self.count.as_mut_ptr())
    }

    /// Another handle to it, for other threads.
    pub(super) fn waker(&self) -> Result<Box<dyn Waker>, CallRefused> {
        let bell = self.bell.share().map_err(Call::EventFd.refused())?;
        Ok(Box::new(bell))
    }
}
