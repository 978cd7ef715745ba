//! What leaves over one connection: frames, masked and perhaps compressed, until the socket takes
//! them.
//!
//! Invariant: what waits here is whole frames; beyond [`ROOM_BYTES`] nothing but control frames is
//! added, and the driver holds as many at most. Filled by the core, emptied by the driver.

use rand::RngExt;
use rand::rngs::StdRng;
use shardcast_protocol::close::CloseCode;
use shardcast_protocol::deflate::Deflater;
use shardcast_protocol::frame::{OpCode, write_client_frame};
use std::cell::RefCell;

/// Bytes that wait for the socket before requests wait in their queue instead.
const ROOM_BYTES: usize = 64 << 10;

/// What stays allocated for a connection that has nothing to send.
const KEPT_BYTES: usize = 1 << 10;

/// Shorter messages are not compressed: they get no shorter.
const DEFLATE_BYTES_MIN: usize = 256;

/// Bytes of an outbox that may be full of answers to pings; a peer that reads nothing and pings all
/// the same gets no more of them.
const CONTROL_BYTES_MAX: usize = ROOM_BYTES + (16 << 10);

/// Whether messages are compressed, and for which window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Deflating {
    #[default]
    Off,
    WindowBits(u8),
}

#[derive(Debug)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    opcode: OpCode,
    pub(crate) deflating: Deflating,
    rng: StdRng,
    pub(crate) messages: u64,
    pub(crate) bytes_sent: u64,
}

thread_local! {
    /// A message before it is masked, and what compresses it. Messages stand for themselves, so all
    /// connections of a thread share them.
    static SCRATCH: RefCell<(Vec<u8>, Deflater)> = RefCell::default();
}

impl Outbox {
    pub(crate) fn new(opcode: OpCode, rng: StdRng) -> Outbox {
        Outbox {
            bytes: Vec::new(),
            opcode,
            deflating: Deflating::Off,
            rng,
            messages: 0,
            bytes_sent: 0,
        }
    }

    /// Whether messages may be added.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes.len() < ROOM_BYTES
    }

    /// Hands over what waits, in exchange for a buffer that is empty.
    pub(crate) fn take(&mut self, emptied: &mut Vec<u8>) {
        debug_assert!(emptied.is_empty());
        emptied.shrink_to(KEPT_BYTES);
        self.bytes_sent += self.bytes.len() as u64;
        std::mem::swap(&mut self.bytes, emptied);
    }

    /// Of a connection that is gone.
    pub(crate) fn clear(&mut self) {
        self.bytes = Vec::new();
        self.deflating = Deflating::Off;
    }

    /// Of one frame.
    fn mask(&mut self) -> [u8; 4] {
        self.rng.random::<u32>().to_ne_bytes()
    }

    /// Adds the message that `write` appends.
    pub(crate) fn message(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.messages += 1;
        let mask = self.mask();
        SCRATCH.with_borrow_mut(|(scratch, deflater)| {
            scratch.clear();
            scratch.shrink_to(ROOM_BYTES);
            write(scratch);
            let start = self.bytes.len();
            if let Deflating::WindowBits(bits) = self.deflating
                && scratch.len() >= DEFLATE_BYTES_MIN
                && let Some(shorter) = deflater.deflate(scratch, bits)
            {
                write_client_frame(&mut self.bytes, self.opcode, shorter, mask);
                /// RSV1 of the first frame (RFC 7692 §6).
                const COMPRESSED: u8 = 0x40;
                self.bytes[start] |= COMPRESSED;
            } else {
                write_client_frame(&mut self.bytes, self.opcode, scratch, mask);
            }
        });
    }

    /// Adds a ping or a pong.
    pub(crate) fn control(&mut self, opcode: OpCode, payload: &[u8]) {
        if self.bytes.len() < CONTROL_BYTES_MAX {
            let mask = self.mask();
            write_client_frame(&mut self.bytes, opcode, payload, mask);
        }
    }

    /// Adds a close frame, behind which nothing comes.
    pub(crate) fn close(&mut self, code: CloseCode) {
        let mask = self.mask();
        let payload = code.get().to_be_bytes();
        write_client_frame(&mut self.bytes, OpCode::Close, &payload, mask);
    }
}
