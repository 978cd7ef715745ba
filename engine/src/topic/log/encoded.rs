//! The frames of a log's entries, encoded once for all who read them.
//!
//! Used by `topic/log/range.rs`.

use crate::driver::boundary::Millis;
use crate::topic::log::block::{Block, BlockBuilder, Span};
use crate::topic::log::entry::LogEntry;
use crate::topic::log::topic_log::Log;
use crate::types::encoding::EncodingId;
use crate::types::frame::Frame;

/// Makes the frame of an entry, which has this offset, for the encoding at hand. `None`: it has
/// none.
pub(crate) type MakeFrame<'f> = dyn FnMut(&LogEntry, u64) -> Option<Frame> + 'f;

/// Offsets that one block covers at most: 64.
const BLOCK_PUBLICATIONS: u64 = 64;
/// Bytes of entries beyond which a group is not copied together: each has a block of its own, which
/// shares its frame. 256 KiB.
const BLOCK_BYTES_MAX: usize = 256 << 10;
impl Log {
    /// The frames from `start` on, at most up to before `end`, as far as one block reaches; where
    /// they end. `start` is the ordinal of an entry.
    pub(crate) fn encoded(
        &mut self,
        encoding: EncodingId,
        now: Millis,
        start: u64,
        end: u64,
        make: &mut MakeFrame<'_>,
    ) -> (Span, u64) {
        if let Some(block) = self.blocks.of(encoding, now).find(start) {
            let end = end.min(block.end());
            return (block.span(start, end), end);
        }
        let group = group_of(start);
        let group_end = group + BLOCK_PUBLICATIONS;
        let (first, last) = (group.max(self.first()), group_end.min(self.next_ordinal()));
        let (first, last) = self.blocks.of(encoding, now).gap(start, first, last);
        let entries = self.from(first).take((last - first) as usize);
        let bytes: usize = entries.map(|(_, entry)| entry.bytes()).sum();
        let block = match bytes > BLOCK_BYTES_MAX {
            true => self.single(start, make),
            false => self.group(encoding, first, last, make),
        };
        let is_complete = bytes > BLOCK_BYTES_MAX || last == group_end;
        let block_end = end.min(block.end());
        let span = block.span(start, block_end);
        let blocks = self.blocks.of(encoding, now);
        match is_complete {
            true => blocks.insert(block),
            false => blocks.set_tail(block),
        }
        (span, block_end)
    }

    fn single(&self, ordinal: u64, make: &mut MakeFrame<'_>) -> Block {
        let entry = self.entry(ordinal).expect("it is in the log");
        Block::single(ordinal, make(entry, self.offset(ordinal)), |plain| {
            entry.shares(plain)
        })
    }

    /// A block of several, copied one behind the other. Where it is complete, the frames that were
    /// delivered in this encoding stand in it from then on.
    fn group(
        &mut self,
        encoding: EncodingId,
        first: u64,
        end: u64,
        make: &mut MakeFrame<'_>,
    ) -> Block {
        let mut frames = BlockBuilder::default();
        for (ordinal, entry) in self.from(first).take((end - first) as usize) {
            frames.push(make(entry, self.offset(ordinal)));
        }
        let mut block = frames.into_block(first);
        if end == group_of(first) + BLOCK_PUBLICATIONS {
            for ordinal in first..end {
                let plain = block.plain(ordinal);
                let entry = self.entry_mut(ordinal).expect("it is in the log");
                if !plain.is_empty() && entry.move_frame(encoding, plain.clone()) {
                    block.discharge(plain.len());
                }
            }
        }
        block
    }
}

/// The first ordinal of a group.
fn group_of(ordinal: u64) -> u64 {
    (ordinal - 1) / BLOCK_PUBLICATIONS * BLOCK_PUBLICATIONS + 1
}
