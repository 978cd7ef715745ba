//! The wire unit: opcodes, header encoding, complete frames into a `Vec`. Everything written here
//! is final, unfragmented and minimal in length. Called by whoever sends: the engine (unmasked),
//! clients and load generators (masked).

use crate::close::CloseCode;
pub use crate::mask::apply_mask;

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

impl OpCode {
    /// The low four bits of a frame's first byte; `None` for the reserved 3-7 and 11-15, and for
    /// more than four bits.
    #[inline]
    pub const fn new(bits: u8) -> Option<OpCode> {
        match bits {
            0 => Some(OpCode::Continuation),
            1 => Some(OpCode::Text),
            2 => Some(OpCode::Binary),
            8 => Some(OpCode::Close),
            9 => Some(OpCode::Ping),
            10 => Some(OpCode::Pong),
            _ => None,
        }
    }

    /// Close, ping and pong: at most 125 bytes of payload and never fragmented (RFC 6455 §5.5).
    #[inline]
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
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

/// Longest payload of a control frame (RFC 6455 §5.5), and of any frame whose length fits the
/// second byte.
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;

/// Longest reason of a close frame: two bytes of the control payload are the code.
pub const CLOSE_REASON_BYTES_MAX: usize = CONTROL_PAYLOAD_BYTES_MAX - 2;

/// Second byte: 126 says that two bytes of length follow, 127 says eight.
pub(crate) const LENGTH_IN_TWO_BYTES: u8 = 126;
pub(crate) const LENGTH_IN_EIGHT_BYTES: u8 = 127;
pub(crate) const FINAL_BIT: u8 = 0x80;
/// RSV1 (RFC 7692 §6).
pub(crate) const COMPRESSED_BIT: u8 = 0x40;
pub(crate) const MASK_BIT: u8 = 0x80;

/// Header of a short unmasked frame; [`write_frame_with`] assumes it before it knows better.
const SHORT_HEADER_BYTES: usize = 2;

/// An encoded header on the stack (derefs to its bytes).
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl Header {
    /// A final, unmasked (server) frame's header for a payload of `payload_bytes`.
    /// A control frame's payload is at most [`CONTROL_PAYLOAD_BYTES_MAX`]; the caller sees to it.
    #[inline]
    pub fn server(opcode: OpCode, payload_bytes: usize) -> Header {
        Header::new(opcode, payload_bytes, 0)
    }

    /// A final, masked (client) frame's header. Limits as for [`Header::server`].
    #[inline]
    pub fn client(opcode: OpCode, payload_bytes: usize, mask: [u8; 4]) -> Header {
        let mut header = Header::new(opcode, payload_bytes, MASK_BIT);
        let start = usize::from(header.len);
        header.bytes[start..start + 4].copy_from_slice(&mask);
        header.len += 4;
        header
    }

    /// The same for a payload that is compressed: the first frame of a data message (RFC 7692
    /// §6.1).
    #[inline]
    pub fn compressed(mut self) -> Header {
        self.bytes[0] |= COMPRESSED_BIT;
        self
    }

    /// Everything up to the mask.
    #[inline]
    fn new(opcode: OpCode, payload_bytes: usize, mask_bit: u8) -> Header {
        let mut bytes = [0; HEADER_BYTES_MAX];
        bytes[0] = FINAL_BIT | opcode as u8;
        let len = if payload_bytes <= CONTROL_PAYLOAD_BYTES_MAX {
            bytes[1] = mask_bit | payload_bytes as u8;
            2
        } else if let Ok(length) = u16::try_from(payload_bytes) {
            bytes[1] = mask_bit | LENGTH_IN_TWO_BYTES;
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            4
        } else {
            bytes[1] = mask_bit | LENGTH_IN_EIGHT_BYTES;
            bytes[2..10].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
            10
        };
        Header { bytes, len }
    }

    /// The encoded bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl std::ops::Deref for Header {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// Appends a complete unmasked server frame to `out`. A control payload is cut at
/// [`CONTROL_PAYLOAD_BYTES_MAX`], so that what leaves is always a legal frame.
#[inline]
pub fn write_frame(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let payload = cut_control(opcode, payload);
    let header = Header::server(opcode, payload.len());
    out.reserve(header.len() + payload.len());
    out.extend_from_slice(&header);
    out.extend_from_slice(payload);
}

/// Appends a complete masked client frame to `out`. Control payloads are cut as in [`write_frame`].
#[inline]
pub fn write_client_frame(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8], mask: [u8; 4]) {
    let payload = cut_control(opcode, payload);
    let header = Header::client(opcode, payload.len(), mask);
    out.reserve(header.len() + payload.len());
    out.extend_from_slice(&header);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], mask);
}

/// Appends a server frame whose payload `fill` appends to `out`; the header is put in place
/// afterwards.
///
/// The payload is written behind room for a short header and moved only when it turns out to need a
/// longer one. A control payload is cut as in [`write_frame`].
///
/// # Panics
/// `fill` removed bytes that stood in `out` before it: a bug of the caller.
#[inline]
pub fn write_frame_with(out: &mut Vec<u8>, opcode: OpCode, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    let payload_start = start + SHORT_HEADER_BYTES;
    out.extend_from_slice(&[0; SHORT_HEADER_BYTES]);
    fill(out);
    assert!(out.len() >= payload_start, "fill only appends");
    let payload_bytes = cut_control(opcode, &out[payload_start..]).len();
    let payload_end = payload_start + payload_bytes;
    out.truncate(payload_end);
    let header = Header::server(opcode, payload_bytes);
    let missing = header.len() - SHORT_HEADER_BYTES;
    if missing > 0 {
        out.resize(payload_end + missing, 0);
        out.copy_within(payload_start..payload_end, payload_start + missing);
    }
    out[start..start + header.len()].copy_from_slice(&header);
}

/// Appends an unmasked close frame (reason cut at [`CLOSE_REASON_BYTES_MAX`] on a character
/// boundary). Without a code there is no reason either (RFC 6455 §5.5.1).
pub fn write_close(out: &mut Vec<u8>, code: Option<CloseCode>, reason: &str) {
    write_frame_with(out, OpCode::Close, |out| {
        if let Some(code) = code {
            out.extend_from_slice(&code.get().to_be_bytes());
            let cut = reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX);
            out.extend_from_slice(&reason.as_bytes()[..cut]);
        }
    });
}

/// Opcode and payload of a complete server frame that was written here, at the start of `frame`.
///
/// # Panics
/// It was not: a bug of the caller.
pub fn written(frame: &[u8]) -> (OpCode, std::ops::Range<usize>) {
    let opcode = OpCode::new(frame[0] & 0x0f).expect("a frame begins with an opcode");
    let (start, length) = match frame[1] {
        LENGTH_IN_TWO_BYTES => (4, u16::from_be_bytes([frame[2], frame[3]]).into()),
        LENGTH_IN_EIGHT_BYTES => {
            let length = frame[2..].first_chunk().expect("a header is complete");
            (10, u64::from_be_bytes(*length) as usize)
        }
        short => (SHORT_HEADER_BYTES, usize::from(short)),
    };
    assert!(frame.len() >= start + length, "a frame is complete");
    (opcode, start..start + length)
}

/// How long the server frame is that stands at the start of `frame`, and was written here.
///
/// # Panics
/// It was not: a bug of the caller.
#[inline]
pub fn written_bytes(frame: &[u8]) -> usize {
    match frame[1] {
        short if short < LENGTH_IN_TWO_BYTES => SHORT_HEADER_BYTES + usize::from(short),
        LENGTH_IN_TWO_BYTES => {
            let length = u16::from_be_bytes([frame[2], frame[3]]);
            4 + usize::from(length)
        }
        _ => written(frame).1.end,
    }
}

#[inline]
fn cut_control(opcode: OpCode, payload: &[u8]) -> &[u8] {
    if opcode.is_control() && payload.len() > CONTROL_PAYLOAD_BYTES_MAX {
        &payload[..CONTROL_PAYLOAD_BYTES_MAX]
    } else {
        payload
    }
}

/// The first of `frames`, which are a server's complete, plain ones: its opcode, its payload, and
/// those behind it. `None` at their end.
pub fn split_server_frame(frames: &[u8]) -> Option<(OpCode, &[u8], &[u8])> {
    let (&[first, second], rest) = frames.split_first_chunk::<2>()?;
    let opcode = OpCode::new(first & 0x0f)?;
    let (payload_bytes, rest) = match second {
        LENGTH_IN_TWO_BYTES => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (u64::from(u16::from_be_bytes(*length)), rest)
        }
        LENGTH_IN_EIGHT_BYTES => {
            let (length, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*length), rest)
        }
        short => (u64::from(short), rest),
    };
    let (payload, rest) = rest.split_at_checked(usize::try_from(payload_bytes).ok()?)?;
    Some((opcode, payload, rest))
}
