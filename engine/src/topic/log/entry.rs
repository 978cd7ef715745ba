//! One publication in a log.

use crate::driver::boundary::Millis;
use crate::topic::key::Topic;
use crate::topic::log::jumps::Jumps;
use crate::topic::log::options::LogOptions;
use crate::topic::publication::{Content, Position, Publication};
use crate::types::encoding::EncodingId;
use crate::types::frame::Frame;
use crate::types::ticket::Address;
use bytes::Bytes;
use std::sync::Arc;

/// A publication in a log.
#[derive(Debug)]
pub(crate) struct LogEntry {
    content: Content,
    /// Whether the frame in `content` is the one that was delivered, with its position.
    frame: FrameState,
    /// Before the shard began, for one that was restored: times are compared as they wrap around.
    pub(crate) at: Millis,
    /// Who is not sent it.
    pub(crate) except: Option<Address>,
    /// Of several with one key the newest counts.
    pub(crate) conflate: Option<Arc<str>>,
    /// Another publication with the same key is none.
    pub(crate) key: Option<Arc<str>>,
    bytes: u32,
}

// With the jump to its offset.
const _: () = assert!(size_of::<LogEntry>() + Jumps::JUMP_BYTES <= LogOptions::PUBLICATION_BYTES);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FrameState {
    /// It was made without a position, or there is none.
    Unplaced,
    Placed,
}

impl LogEntry {
    /// `delivered` is what was sent of it, in its place, to those of one encoding.
    pub(crate) fn new<'f>(
        content: &Content,
        topic: Topic<'_>,
        at: Millis,
        delivered: impl Iterator<Item = (EncodingId, &'f Frame)>,
    ) -> LogEntry {
        let (content, frame) = match content.with_delivered(topic, delivered) {
            Some(placed) => (placed, FrameState::Placed),
            None => (content.clone(), FrameState::Unplaced),
        };
        let bytes = content.bytes() + LogOptions::PUBLICATION_BYTES;
        LogEntry {
            content,
            frame,
            at,
            except: None,
            conflate: None,
            key: None,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        }
    }

    /// What it takes of a log's bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes as usize
    }

    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    /// The frame for one encoding. `None`: there is none.
    pub(crate) fn encode(
        &self,
        encoding: EncodingId,
        topic: Topic<'_>,
        position: Position,
        encode: impl FnOnce(&Publication<'_>) -> Option<Frame>,
    ) -> Option<Frame> {
        if self.frame == FrameState::Placed
            && let Some(frame) = self.content.own_frame(encoding)
        {
            return Some(frame.clone());
        }
        self.content
            .encode(encoding, Some(topic), Some(position), encode)
    }

    /// The frame for one encoding, for somebody who was sent it before. `None`: there is none.
    pub(crate) fn encode_again(
        &self,
        encoding: EncodingId,
        topic: Topic<'_>,
        encode: impl FnOnce(&Publication<'_>) -> Option<Frame>,
    ) -> Option<Frame> {
        match self.content.publication(Some(topic)) {
            Some(publication) => encode(&publication),
            None => self.content.own_frame(encoding).cloned(),
        }
    }

    /// The delivered frame stands here now, too, so its own memory goes. False: it was not
    /// delivered in this encoding, or is kept in another way.
    pub(crate) fn move_frame(&mut self, encoding: EncodingId, plain: Bytes) -> bool {
        self.frame == FrameState::Placed
            && self.content.move_frame(encoding, Frame::from_plain(plain))
    }

    /// Whether these are the bytes of its own frame.
    pub(crate) fn shares(&self, plain: &Bytes) -> bool {
        self.content.shares(plain)
    }
}
