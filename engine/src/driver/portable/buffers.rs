//! Receive buffers of a shard: made when they are first needed, kept while they may be needed
//! again.
//!
//! Invariant: no more are on loan than [`Supply`] says.

use crate::driver::boundary::Millis;
use crate::driver::supply::{BUFFER_BYTES, BUFFERS, LARGE_BUFFER_BYTES, LARGE_BUFFERS, Supply};
use std::fmt;

/// Bytes of all buffers of a shard.
pub(super) const BYTES: usize = BUFFERS as usize * BUFFER_BYTES;

const _: () = assert!(LARGE_BUFFERS as usize * LARGE_BUFFER_BYTES <= BYTES);

/// The buffers of one shard.
#[derive(Debug, Default)]
pub(super) struct BufferPool {
    /// Not on loan, all of the size that is lent now; the last one was used last.
    held: Vec<Box<[u8]>>,
    lent: usize,
    supply: Supply,
}

/// A received piece of a stream. Exclusive until it is given back.
pub struct ReceivedPiece {
    buffer: Box<[u8]>,
    len: usize,
}

impl BufferPool {
    /// BufferPool that may be lent now.
    pub(super) fn room(&self) -> usize {
        let most = match self.supply.is_large() {
            true => LARGE_BUFFERS,
            false => BUFFERS,
        };
        usize::from(most).saturating_sub(self.lent)
    }

    /// A buffer to receive into; it comes back by [`BufferPool::lend`] or [`BufferPool::keep`].
    pub(super) fn take(&mut self) -> Box<[u8]> {
        let bytes = self.bytes();
        let make = || vec![0; bytes].into_boxed_slice();
        self.held.pop().unwrap_or_else(make)
    }

    /// Nothing was received.
    pub(super) fn keep(&mut self, buffer: Box<[u8]>) {
        if buffer.len() == self.bytes() {
            self.held.push(buffer);
        }
    }

    /// So many bytes were received.
    pub(super) fn lend(&mut self, buffer: Box<[u8]>, len: usize) -> ReceivedPiece {
        self.lent += 1;
        self.supply.took();
        ReceivedPiece { buffer, len }
    }

    pub(super) fn give_back(&mut self, lease: ReceivedPiece) {
        self.lent -= 1;
        self.keep(lease.buffer);
    }

    /// Large messages are expected.
    pub(super) fn expect_large(&mut self, now: Millis) {
        let was_large = self.supply.is_large();
        self.supply.expect_large(now);
        if !was_large {
            self.held.clear();
        }
    }

    /// Once per turn: memory goes that the last second did not need. When it may go next, if some
    /// is held.
    pub(super) fn settle(&mut self, now: Millis) -> Option<Millis> {
        let was_large = self.supply.is_large();
        let is_quiet = self.supply.settle(now);
        if was_large && !self.supply.is_large() {
            self.held.clear();
        }
        if is_quiet {
            self.held = Vec::new();
        }
        (!self.held.is_empty()).then(|| self.supply.window_end())
    }

    fn bytes(&self) -> usize {
        match self.supply.is_large() {
            true => LARGE_BUFFER_BYTES,
            false => BUFFER_BYTES,
        }
    }
}

impl AsRef<[u8]> for ReceivedPiece {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl AsMut<[u8]> for ReceivedPiece {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.len]
    }
}

/// Without the bytes.
impl fmt::Debug for ReceivedPiece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedPiece")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lends_what_there_is_and_keeps_what_is_needed_again() {
        let mut buffers = BufferPool::default();
        buffers.settle(0);
        let mut leases = Vec::new();
        while buffers.room() > 0 {
            let buffer = buffers.take();
            leases.push(buffers.lend(buffer, 5));
        }
        assert_eq!(leases.len(), usize::from(BUFFERS));
        assert_eq!(leases[0].as_ref(), [0; 5]);
        leases.drain(..).for_each(|lease| buffers.give_back(lease));
        assert_eq!(buffers.settle(1), Some(1_000));
        assert_eq!(buffers.held.len(), usize::from(BUFFERS));
        // A busy second, and a quiet one.
        assert_eq!(buffers.settle(1_000), Some(2_000));
        assert_eq!(buffers.settle(2_000), None);
        assert!(buffers.held.is_empty());
    }

    #[test]
    fn large_ones_take_the_place_of_the_others_for_a_while() {
        let mut buffers = BufferPool::default();
        buffers.settle(0);
        let small = buffers.take();
        let small = buffers.lend(small, 1);
        buffers.expect_large(5);
        let large = buffers.take();
        assert_eq!(large.len(), LARGE_BUFFER_BYTES);
        assert_eq!(buffers.room(), usize::from(LARGE_BUFFERS) - 1);
        let large = buffers.lend(large, 1);
        buffers.give_back(small);
        assert_eq!(
            buffers.take().len(),
            LARGE_BUFFER_BYTES,
            "the small one is gone"
        );
        buffers.settle(1_005);
        buffers.give_back(large);
        assert_eq!(buffers.take().len(), BUFFER_BYTES, "the large one is gone");
    }
}
