//! Encoded parts of a log: the frames of some publications in one encoding, one behind the other,
//! so that everybody who reads the same range is sent the same bytes.
//!
//! Invariant: the blocks of one encoding do not overlap, stand in the order of their ordinals, and
//! hold entries of the log or ones that were pushed out after the first of them. The last group of
//! a log is encoded as a tail, which goes with the next publication. Used by
//! `topic/log/encoded.rs`.

use crate::driver::boundary::Millis;
use crate::types::encoding::EncodingId;
use crate::types::frame::Frame;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::ops::Range;

/// How long blocks of an encoding are kept that nobody reads: 10 s. (Those of delivered frames
/// take no memory of their own.)
const UNREAD_MS_MAX: Millis = 10_000;

/// The blocks of one log, by encoding.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    encodings: Vec<EncodedBlocks>,
}

#[derive(Debug)]
pub(super) struct EncodedBlocks {
    encoding: EncodingId,
    read_at: Millis,
    blocks: VecDeque<Block>,
    tail: Option<Block>,
    /// The newest of each key from an ordinal on; or, where nothing is left out, what comes again.
    by_key: Option<ByKey>,
    /// Of the blocks, the tail aside.
    bytes: usize,
}

/// The newest publication of each conflation key, and those without one, of some ordinals.
#[derive(Clone, Debug)]
pub(crate) struct ByKey {
    /// Those that it is of.
    pub(crate) ordinals: Range<u64>,
    /// Where the cursor stands afterwards.
    pub(crate) next: u64,
    /// Publications between that are not in it.
    pub(crate) skipped: u64,
    pub(crate) span: Option<Span>,
}

/// BlockBuilder that leave together.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) plain: Bytes,
    /// With compressed frames among them; `None`: there is none.
    pub(crate) deflated: Option<Bytes>,
    pub(crate) frames: u32,
}

/// BlockBuilder one behind the other.
#[derive(Debug)]
pub(super) struct Block {
    first: u64,
    plain: EncodedLayout,
    /// With compressed frames among them; `None`: there is none.
    deflated: Option<EncodedLayout>,
    /// Memory that is not that of the entries.
    bytes: usize,
    /// Frames of entries stand in it.
    has_entrys_frames: bool,
}

#[derive(Debug)]
struct EncodedLayout {
    bytes: Bytes,
    /// Where each frame ends; a publication without a frame ends where the one before it does.
    ends: Box<[u32]>,
}

impl Block {
    /// A block of one publication, which shares its frame; `charged` bytes of it are not the
    /// entry's.
    pub(super) fn single(
        first: u64,
        frame: Option<Frame>,
        is_entrys: impl Fn(&Bytes) -> bool,
    ) -> Block {
        let (plain, deflated) = frame.map_or_else(Default::default, Frame::into_layouts);
        let layout = |bytes: Bytes| EncodedLayout {
            ends: Box::new([bytes.len() as u32]),
            bytes,
        };
        Block {
            first,
            bytes: if is_entrys(&plain) { 0 } else { plain.len() },
            // It goes with its entry.
            has_entrys_frames: false,
            plain: layout(plain),
            deflated: deflated.map(layout),
        }
    }

    /// The plain frame of one publication.
    pub(super) fn plain(&self, ordinal: u64) -> Bytes {
        let index = ordinal - self.first;
        self.plain.slice(index, index + 1)
    }

    /// So many bytes are an entry's from here on.
    pub(super) fn discharge(&mut self, bytes: usize) {
        self.has_entrys_frames = true;
        self.bytes -= bytes;
    }

    /// The ordinal behind the last.
    pub(super) fn end(&self) -> u64 {
        self.first + self.plain.ends.len() as u64
    }

    /// From one ordinal up to before another.
    pub(super) fn span(&self, start: u64, end: u64) -> Span {
        let (start, end) = (start - self.first, end - self.first);
        let frames = (start..end).filter(|index| self.plain.len(*index) > 0);
        Span {
            frames: frames.count() as u32,
            plain: self.plain.slice(start, end),
            deflated: self
                .deflated
                .as_ref()
                .map(|deflated| deflated.slice(start, end)),
        }
    }
}

impl EncodedLayout {
    fn at(&self, index: u64) -> usize {
        match index {
            0 => 0,
            _ => self.ends[index as usize - 1] as usize,
        }
    }

    fn len(&self, index: u64) -> usize {
        self.at(index + 1) - self.at(index)
    }

    fn slice(&self, start: u64, end: u64) -> Bytes {
        self.bytes.slice(self.at(start)..self.at(end))
    }
}

impl Blocks {
    /// Memory besides that of the entries.
    pub(crate) fn bytes(&self) -> usize {
        let encodings = self.encodings.iter();
        encodings.map(EncodedBlocks::bytes).sum()
    }

    /// A publication follows: what was encoded of the last group is not all of it any more.
    #[inline]
    pub(crate) fn drop_tail(&mut self) {
        for blocks in &mut self.encodings {
            (blocks.tail, blocks.by_key) = (None, None);
        }
    }

    /// The oldest entry has gone, which has this ordinal. Where its frame stands in a block with
    /// those of others, its bytes are the block's from here on.
    #[inline]
    pub(crate) fn charge(&mut self, ordinal: u64, is_entrys: impl Fn(&Bytes) -> bool) {
        for blocks in &mut self.encodings {
            let front = blocks.blocks.front_mut();
            let holds = |block: &&mut Block| block.first <= ordinal && block.has_entrys_frames;
            let Some(block) = front.filter(holds) else {
                continue;
            };
            let plain = block.plain(ordinal);
            if is_entrys(&plain) {
                block.bytes += plain.len();
                blocks.bytes += plain.len();
            }
        }
    }

    /// Drops blocks of which nothing is in the log any more.
    #[inline]
    pub(crate) fn drop_before(&mut self, first: u64) {
        for blocks in &mut self.encodings {
            while let Some(block) = blocks.blocks.pop_front_if(|block| block.end() <= first) {
                blocks.bytes -= block.bytes;
            }
            blocks.tail.take_if(|tail| tail.end() <= first);
            blocks
                .by_key
                .take_if(|by_key| by_key.ordinals.start < first);
        }
    }

    /// Drops what takes memory besides that of the entries.
    pub(crate) fn drop_copies(&mut self) {
        self.encodings.retain(EncodedBlocks::is_free_of_charge);
    }

    /// Drops what nobody has read for a while.
    pub(crate) fn drop_unread(&mut self, now: Millis) {
        self.encodings
            .retain(|blocks| blocks.read_at + UNREAD_MS_MAX > now || blocks.is_free_of_charge());
    }

    pub(super) fn of(&mut self, encoding: EncodingId, now: Millis) -> &mut EncodedBlocks {
        let found = self
            .encodings
            .iter()
            .position(|blocks| blocks.encoding == encoding);
        let index = found.unwrap_or_else(|| {
            self.encodings.push(EncodedBlocks {
                encoding,
                read_at: now,
                blocks: VecDeque::new(),
                tail: None,
                by_key: None,
                bytes: 0,
            });
            self.encodings.len() - 1
        });
        let blocks = &mut self.encodings[index];
        blocks.read_at = now;
        blocks
    }

    /// What was made for readers of these ordinals.
    pub(crate) fn by_key(&self, encoding: EncodingId, ordinals: &Range<u64>) -> Option<ByKey> {
        let mut encodings = self.encodings.iter();
        let blocks = encodings.find(|blocks| blocks.encoding == encoding)?;
        let by_key = blocks.by_key.as_ref();
        by_key
            .filter(|by_key| by_key.ordinals == *ordinals)
            .cloned()
    }

    pub(crate) fn keep_by_key(&mut self, encoding: EncodingId, now: Millis, by_key: ByKey) {
        self.of(encoding, now).by_key = Some(by_key);
    }
}

impl EncodedBlocks {
    fn bytes(&self) -> usize {
        let tail = self.tail.as_ref().map_or(0, |tail| tail.bytes);
        let by_key = self.by_key.as_ref().and_then(|by_key| by_key.span.as_ref());
        self.bytes + tail + by_key.map_or(0, Span::bytes)
    }

    fn is_free_of_charge(&self) -> bool {
        self.bytes() == 0
    }

    pub(super) fn find(&self, ordinal: u64) -> Option<&Block> {
        let at = self.blocks.partition_point(|block| block.end() <= ordinal);
        let blocks = self.blocks.get(at).into_iter().chain(&self.tail);
        let mut holding = blocks.filter(|block| block.first <= ordinal && ordinal < block.end());
        holding.next()
    }

    /// The ordinals around this one that no block holds, within its group.
    pub(super) fn gap(&self, ordinal: u64, start: u64, end: u64) -> (u64, u64) {
        let at = self.blocks.partition_point(|block| block.end() <= ordinal);
        let before = at.checked_sub(1).map(|at| self.blocks[at].end());
        let behind = self.blocks.get(at).map(|block| block.first);
        (
            before.map_or(start, |before| before.max(start)),
            behind.map_or(end, |behind| behind.min(end)),
        )
    }

    /// A block that ends where the log does: it goes with the next publication.
    pub(super) fn set_tail(&mut self, block: Block) {
        self.tail = Some(block);
    }

    pub(super) fn insert(&mut self, block: Block) {
        let at = self
            .blocks
            .partition_point(|other| other.first < block.first);
        self.bytes += block.bytes;
        self.blocks.insert(at, block);
    }
}

/// BlockBuilder that are being copied one behind the other.
#[derive(Default)]
pub(super) struct BlockBuilder {
    plain: BytesMut,
    plain_ends: Vec<u32>,
    deflated: Option<BytesMut>,
    deflated_ends: Vec<u32>,
}

impl BlockBuilder {
    /// Appends a frame; `None`: a publication that has none.
    pub(super) fn push(&mut self, frame: Option<Frame>) {
        if let Some(frame) = frame {
            let deflated = frame.deflated();
            if deflated.is_some() && self.deflated.is_none() {
                self.deflated = Some(self.plain.clone());
                self.deflated_ends.clone_from(&self.plain_ends);
            }
            self.plain.extend_from_slice(frame.bytes());
            if let Some(all) = &mut self.deflated {
                all.extend_from_slice(deflated.unwrap_or(frame.bytes()));
            }
        }
        self.plain_ends.push(self.plain.len() as u32);
        if let Some(all) = &self.deflated {
            self.deflated_ends.push(all.len() as u32);
        }
    }

    pub(super) fn into_block(self, first: u64) -> Block {
        let deflated = self.deflated.map(|bytes| EncodedLayout {
            bytes: bytes.freeze(),
            ends: self.deflated_ends.into(),
        });
        let plain = EncodedLayout {
            bytes: self.plain.freeze(),
            ends: self.plain_ends.into(),
        };
        Block {
            first,
            has_entrys_frames: false,
            bytes: plain.bytes.len() + deflated.as_ref().map_or(0, |deflated| deflated.bytes.len()),
            plain,
            deflated,
        }
    }
}

impl Span {
    pub(crate) fn bytes(&self) -> usize {
        self.plain.len() + self.deflated.as_ref().map_or(0, Bytes::len)
    }

    /// Several one behind the other; `None` of nothing.
    pub(crate) fn join(spans: &[Span]) -> Option<Span> {
        let mut spans_with_frames = spans.iter().filter(|span| span.frames > 0);
        let first = spans_with_frames.next()?;
        if spans_with_frames.next().is_none() {
            return Some(first.clone());
        }
        let plain: Vec<&[u8]> = spans.iter().map(|span| &*span.plain).collect();
        let compressed = spans.iter().any(|span| span.deflated.is_some());
        let deflated = || {
            let layouts = spans.iter();
            let layouts = layouts.map(|span| &**span.deflated.as_ref().unwrap_or(&span.plain));
            layouts.collect::<Vec<&[u8]>>().concat()
        };
        Some(Span {
            frames: spans.iter().map(|span| span.frames).sum(),
            plain: plain.concat().into(),
            deflated: compressed.then(|| deflated().into()),
        })
    }
}
