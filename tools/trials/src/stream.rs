//! How the bytes of an input become a connection: two bytes of settings, then what the peer says
//! and in which pieces. Used by the bodies that read frames.

use shardcast_protocol::frame::{Kind, OpCode, write_client_frame, write_frame};
use shardcast_protocol::reader::{ProtocolError, ReadLimits, Role};

/// What was received of a peer, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Message(Kind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// Code and reason; the last thing that is read.
    Close(Option<u16>, String),
    /// The last thing, too.
    Broken(ProtocolError),
}

/// An input, taken apart.
pub(crate) struct Stream<'b> {
    pub(crate) role: Role,
    pub(crate) limits: ReadLimits,
    /// The peer's bytes arrive in so many at a time.
    pub(crate) chunk_bytes: usize,
    pub(crate) bytes: &'b [u8],
}

/// Limits around which lengths are written differently, and some between.
const LIMITS: [usize; 8] = [0, 1, 10, 125, 126, 300, 4096, 70_000];

impl<'b> Stream<'b> {
    /// The first byte is the role (lowest bit) and the limit (the next three), the second the size
    /// of the pieces, 0 for all at once.
    pub(crate) fn of(input: &'b [u8]) -> Option<Stream<'b>> {
        let &[setting, chunk_bytes, ref bytes @ ..] = input else {
            return None;
        };
        let role = match setting & 1 {
            0 => Role::Server,
            _ => Role::Client,
        };
        let limits = ReadLimits {
            message_bytes_max: LIMITS[usize::from(setting >> 1) % LIMITS.len()],
        };
        let chunk_bytes = match chunk_bytes {
            0 => bytes.len().max(1),
            bytes => usize::from(bytes),
        };
        Some(Stream {
            role,
            limits,
            chunk_bytes,
            bytes,
        })
    }

    /// Writes again what was received, as the peer would; what ends a stream is left out.
    pub(crate) fn written(&self, received: &[Received]) -> Vec<u8> {
        const KEY: [u8; 4] = [0x9a, 0, 0xff, 0x21];
        let mut out = Vec::new();
        for event in received {
            let (opcode, payload) = match event {
                Received::Message(kind, bytes) => ((*kind).into(), bytes),
                Received::Ping(bytes) => (OpCode::Ping, bytes),
                Received::Pong(bytes) => (OpCode::Pong, bytes),
                Received::Close(..) | Received::Broken(_) => continue,
            };
            match self.role {
                Role::Server => write_client_frame(&mut out, opcode, payload, KEY),
                Role::Client => write_frame(&mut out, opcode, payload),
            }
        }
        out
    }
}

/// What was received until the stream ended, by a close or a broken rule.
pub(crate) fn without_end(received: &[Received]) -> &[Received] {
    match received {
        [received @ .., Received::Close(..) | Received::Broken(_)] => received,
        received => received,
    }
}
