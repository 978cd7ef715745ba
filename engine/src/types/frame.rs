//! Complete frames: encoded once, immutable, shared by every subscriber.

use bytes::Bytes;
use shardcast_protocol::frame::{self, Header, Kind, OpCode};

/// A received data message, valid for the call it is handed to.
#[derive(Clone, Copy, Debug)]
pub enum Message<'b> {
    /// UTF-8 text.
    Text(&'b str),
    /// Binary.
    Binary(&'b [u8]),
}

impl<'b> Message<'b> {
    /// Text or binary.
    pub fn kind(&self) -> Kind {
        match self {
            Message::Text(_) => Kind::Text,
            Message::Binary(_) => Kind::Binary,
        }
    }
    /// The payload.
    pub fn bytes(&self) -> &'b [u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }
}

/// A complete server frame, header and payload. Cloning shares it.
///
/// Behind the plain frame may stand the same message compressed, in the same memory.
#[derive(Clone, Debug)]
pub struct Frame(Bytes);

impl Frame {
    /// Encodes one message.
    pub fn new(kind: Kind, payload: &[u8]) -> Frame {
        let mut out = Vec::with_capacity(payload.len() + frame::HEADER_BYTES_MAX);
        frame::write_frame(&mut out, kind.into(), payload);
        Frame(out.into())
    }

    /// Encodes the message that `fill` writes; `capacity_bytes` is a hint.
    pub fn with(kind: Kind, capacity_bytes: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Frame {
        let mut out = Vec::with_capacity(capacity_bytes + frame::HEADER_BYTES_MAX);
        frame::write_frame_with(&mut out, kind.into(), fill);
        Frame(out.into())
    }

    /// The encoded frame.
    pub fn bytes(&self) -> &[u8] {
        &self.0[..self.plain_bytes()]
    }

    /// The same message in a compressed frame, if it was compressed.
    #[doc(hidden)] // For batches, which benches build by themselves.
    pub fn deflated(&self) -> Option<&[u8]> {
        Some(&self.0[self.plain_bytes()..]).filter(|deflated| !deflated.is_empty())
    }

    /// The plain frame and the compressed one, each to be shared.
    #[doc(hidden)] // For batches, which benches build by themselves.
    pub fn into_layouts(self) -> (Bytes, Option<Bytes>) {
        let plain_bytes = self.plain_bytes();
        let mut plain = self.0;
        let deflated = plain.split_off(plain_bytes);
        (
            plain,
            Some(deflated).filter(|deflated| !deflated.is_empty()),
        )
    }

    /// The frame, and behind it a frame of its compressed payload.
    #[doc(hidden)] // For batches, which benches build by themselves.
    pub fn with_deflated(&self, opcode: OpCode, payload: &[u8]) -> Frame {
        let header = Header::server(opcode, payload.len()).compressed();
        Frame([self.bytes(), &header, payload].concat().into())
    }

    /// A plain frame that stands in memory which others share.
    pub(crate) fn from_plain(plain: Bytes) -> Frame {
        debug_assert_eq!(frame::written_bytes(&plain), plain.len());
        Frame(plain)
    }

    /// Bytes of the plain frame and of the compressed one.
    pub(crate) fn total_bytes(&self) -> usize {
        self.0.len()
    }

    fn plain_bytes(&self) -> usize {
        frame::written_bytes(&self.0)
    }
}
