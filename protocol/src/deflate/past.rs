//! What was inflated for a client that was answered `client_no_context_takeover` and had not
//! offered it (RFC 7692 §7.1.1.2 allows that). Browsers comply; Tornado and Mojolicious go on with
//! their window, and their first message that refers back shows it. Until then, or until a message
//! shows that the client complies, the last 32 KiB are kept, so that such a message can be read.
//! Invariant: the bytes are the end of what the messages became, without a gap. Used by the
//! inflater.

use super::WINDOW_BITS_MAX;
use crate::reader::ProtocolError;
use flate2::Decompress;
use memchr::memmem;

/// As far as a reference reaches.
pub(super) const WINDOW_BYTES: usize = 1 << WINDOW_BITS_MAX;
/// Memory of a client that was found to refer back, measured: the window and zlib's state.
pub(super) const STREAM_BYTES: usize = 48_000;
/// Every compressor that keeps a window looks in it for what a message begins with, and has nothing
/// else to look in yet. Three bytes would do for most; eight are worth it to all.
const START_BYTES: usize = 8;
/// Bytes of messages that begin like none before: after so many that refer to nothing, nothing is
/// expected to.
const ALONE_BYTES_MAX: usize = 64 << 10;
/// A little more than a small message, so that the next one finds room.
const KEPT_BYTES_MIN: usize = 256;

/// The messages of such a client, as far as they are kept.
#[derive(Debug, Default)]
pub(super) struct Past {
    bytes: Vec<u8>,
    /// Bytes that it may have.
    pub(super) room_bytes: usize,
    /// A message was not kept, for want of room.
    has_gap: bool,
    /// Bytes of messages that could have referred to the ones before them.
    alone_bytes: usize,
}

impl Past {
    /// Memory that it has.
    pub(super) fn taken_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// No message was recorded yet.
    pub(super) fn is_new(&self) -> bool {
        self.bytes.is_empty() && !self.has_gap
    }

    /// The client has shown that its messages stand for themselves.
    pub(super) fn is_over(&self) -> bool {
        self.alone_bytes >= ALONE_BYTES_MAX
    }

    /// A message that referred to none before it.
    pub(super) fn record(&mut self, compressed: &[u8], message: &[u8]) {
        // What begins with a stored block (BTYPE 0) could not refer to anything.
        let is_coded = compressed.first().is_some_and(|first| first & 0b110 != 0);
        if is_coded && !self.is_new() {
            self.alone_bytes += message.len();
            if let Some(start) = message.get(..START_BYTES)
                && memmem::find(&self.bytes, start).is_some()
            {
                self.alone_bytes = ALONE_BYTES_MAX;
            }
        }
        if self.is_over() {
            self.bytes = Vec::new();
        } else {
            self.keep(&message[message.len().saturating_sub(WINDOW_BYTES)..]);
        }
    }

    fn keep(&mut self, message: &[u8]) {
        let kept = self.bytes.len().min(WINDOW_BYTES - message.len());
        let wanted = (kept + message.len())
            .next_power_of_two()
            .max(KEPT_BYTES_MIN);
        if wanted.max(self.bytes.capacity()) > self.room_bytes {
            self.bytes = Vec::new();
            self.has_gap = true;
            return;
        }
        self.bytes.drain(..self.bytes.len() - kept);
        self.bytes
            .reserve_exact(wanted.saturating_sub(self.bytes.len()));
        self.bytes.extend_from_slice(message);
    }

    /// A window that reaches as far back as is known, for a message that refers to those before it.
    pub(super) fn window(&self) -> Result<Decompress, ProtocolError> {
        if self.room_bytes < STREAM_BYTES {
            return Err(ProtocolError::NoWindowLeft);
        }
        let mut window = fresh();
        window
            .set_dictionary(&self.bytes)
            .map_err(|_| ProtocolError::CompressedDamaged)?;
        Ok(window)
    }

    /// The error of a message that refers further back than to all that is kept.
    pub(super) fn too_far(&self) -> ProtocolError {
        if self.has_gap {
            ProtocolError::NoWindowLeft
        } else {
            ProtocolError::ReferredBack
        }
    }
}

/// A raw stream (RFC 1951) from its beginning, with the largest window.
pub(super) fn fresh() -> Decompress {
    Decompress::new(false)
}
