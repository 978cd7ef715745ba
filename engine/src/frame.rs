//! Sealed frames: encoded once, immutable, shared by every subscriber.

use bytes::Bytes;
use shardcast_protocol::frame::{self, Kind};

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

/// A whole server frame, header and payload. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Frame(Bytes);

impl Frame {
    /// Seals one message.
    pub fn new(kind: Kind, payload: &[u8]) -> Frame {
        let mut out = Vec::with_capacity(payload.len() + frame::HEADER_BYTES_MAX);
        frame::write_frame(&mut out, kind.into(), payload);
        Frame(out.into())
    }

    /// Seals the message that `fill` writes; `capacity_bytes` is a hint.
    pub fn with(kind: Kind, capacity_bytes: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Frame {
        let mut out = Vec::with_capacity(capacity_bytes + frame::HEADER_BYTES_MAX);
        frame::write_frame_with(&mut out, kind.into(), fill);
        Frame(out.into())
    }

    /// The encoded frame.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}
