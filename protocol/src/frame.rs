//! The wire unit: opcodes, header encoding, masking.

/// RFC 6455 §5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpCode {
    /// 0
    Continuation = 0,
    /// 1
    Text = 1,
    /// 2
    Binary = 2,
    /// 8
    Close = 8,
    /// 9
    Ping = 9,
    /// 10
    Pong = 10,
}

/// A data message is text or binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Anything.
    Binary,
}

impl From<Kind> for OpCode {
    fn from(kind: Kind) -> OpCode {
        match kind {
            Kind::Text => OpCode::Text,
            Kind::Binary => OpCode::Binary,
        }
    }
}

/// Longest header: 2 + 8 (length) + 4 (mask).
pub const HEADER_BYTES_MAX: usize = 14;

/// An encoded header on the stack (derefs to its bytes).
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl Header {
    /// A final, unmasked (server) frame's header for a payload of `payload_bytes`.
    pub fn server(_opcode: OpCode, _payload_bytes: usize) -> Header { todo!() }
    /// A final, masked (client) frame's header.
    pub fn client(_opcode: OpCode, _payload_bytes: usize, _mask: [u8; 4]) -> Header { todo!() }
    /// The encoded bytes.
    pub fn as_bytes(&self) -> &[u8] { &self.bytes[..self.len as usize] }
}

/// Appends a whole unmasked server frame to `out`.
pub fn write_frame(_out: &mut Vec<u8>, _opcode: OpCode, _payload: &[u8]) { todo!() }
/// Appends a server frame whose payload `fill` appends to `out`; the header is put in place afterwards.
pub fn write_frame_with(_out: &mut Vec<u8>, _opcode: OpCode, _fill: impl FnOnce(&mut Vec<u8>)) { todo!() }
/// Appends a close frame (reason cut at 123 bytes on a character boundary).
pub fn write_close(_out: &mut Vec<u8>, _code: Option<crate::close::CloseCode>, _reason: &str) { todo!() }
/// XORs `payload` with the repeated key (RFC 6455 §5.3), at vector speed.
pub fn apply_mask(_payload: &mut [u8], _key: [u8; 4]) { todo!() }
