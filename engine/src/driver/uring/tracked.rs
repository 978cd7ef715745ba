//! Sends that outlive their turn: each owns its bytes until the kernel has answered.

use super::vectors::header;
use crate::types::shrink::shrink_map;
use crate::types::ticket::Ticket;
use bytes::Bytes;
use foldhash::quality::RandomState;
use std::collections::HashMap;

/// At most one per slot.
#[derive(Debug, Default)]
pub(super) struct TrackedSends(HashMap<u32, Box<Tracked>, RandomState>);

struct Tracked {
    header: libc::msghdr,
    vectors: Vec<libc::iovec>,
    segments: Vec<Bytes>,
}

impl TrackedSends {
    /// Keeps no more room than the sends under way need; what the kernel points at stands in boxes,
    /// and does not move.
    pub(super) fn release_memory(&mut self) {
        shrink_map(&mut self.0);
    }

    /// Takes the bytes; the header stays where it is until `finish`.
    pub(super) fn start(&mut self, ticket: Ticket, segments: &[Bytes]) -> *const libc::msghdr {
        let segments = segments.to_vec();
        let mut vectors: Vec<libc::iovec> = segments
            .iter()
            .map(|bytes| libc::iovec {
                iov_base: bytes.as_ptr().cast_mut().cast(),
                iov_len: bytes.len(),
            })
            .collect();
        let tracked = Box::new(Tracked {
            header: header(&mut vectors),
            vectors,
            segments,
        });
        let before = self.0.insert(ticket.slot, tracked);
        assert!(before.is_none(), "one tracked send at a time");
        &raw const self.0[&ticket.slot].header
    }

    /// The kernel has answered. How many bytes it was given.
    pub(super) fn finish(&mut self, ticket: Ticket) -> usize {
        let tracked = self
            .0
            .remove(&ticket.slot)
            .expect("every tracked send was started");
        debug_assert_eq!(tracked.vectors.len(), tracked.segments.len());
        tracked.segments.iter().map(Bytes::len).sum()
    }
}

impl std::fmt::Debug for Tracked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracked")
            .field("segments", &self.segments.len())
            .finish_non_exhaustive()
    }
}
