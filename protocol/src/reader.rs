//! Frames to events, in place on a borrowed buffer. Owns the rules of RFC 6455 §5 and §8.1 that a
//! peer can break; nothing a peer sends panics, and nothing is kept but a message in progress, in
//! fragments or in a large frame, which never exceeds `message_bytes_max`. Called by the shard for
//! every receive, and by clients.

pub use crate::assembly::Assembly;
pub use crate::close::ProtocolError;

use crate::assembly::MessageProgress;
use crate::close::CloseFrame;
use crate::frame::{
    COMPRESSED_BIT, CONTROL_PAYLOAD_BYTES_MAX, FINAL_BIT, Kind, LENGTH_IN_EIGHT_BYTES,
    LENGTH_IN_TWO_BYTES, MASK_BIT,
};
use crate::frame::{Header, OpCode, apply_mask};
use std::ops::Range;

/// Which side we read for: a server demands masks, a client forbids them (RFC 6455 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We are the server.
    Server,
    /// We are the client.
    Client,
}

/// What a connection may send.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Largest message, reassembled, in bytes. A header that announces more ends in 1009 before any
    /// payload is buffered. Control frames have their own limit, 125.
    pub message_bytes_max: usize,
}

/// One step of reading.
#[derive(Debug)]
pub enum Step<'b> {
    /// The buffer ends inside a frame. `need` is the buffer length (from its start) at which
    /// another try can get further.
    Incomplete {
        /// Bytes counted from the start of the buffer; always more than it holds, and less than
        /// `HEADER_BYTES_MAX` + `Assembly::LARGE_BYTES`.
        need: usize,
    },
    /// A frame was consumed: `used` bytes from the start of the buffer.
    Event {
        /// What it meant.
        event: FrameEvent<'b>,
        /// Bytes of the buffer that it took.
        used: usize,
    },
}

/// What a frame meant.
#[derive(Debug, PartialEq, Eq)]
pub enum FrameEvent<'b> {
    /// A complete text message in one frame.
    Text(&'b str),
    /// A complete binary message in one frame.
    Binary(&'b [u8]),
    /// The last fragment came, or the end of a large frame that came in parts: the message is in
    /// the caller's `assembly`. `take()` it before reading on, and call `Assembly::finish`.
    Assembled,
    /// A fragment, or a part of a large frame, was taken into the assembly.
    Fragment,
    /// RFC 6455 §5.5.2; at most 125 bytes.
    Ping(&'b [u8]),
    /// RFC 6455 §5.5.3.
    Pong(&'b [u8]),
    /// RFC 6455 §5.5.1.
    Close(CloseFrame<'b>),
}

/// Reads the next frame at the start of `bytes`, unmasking it in place.
///
/// Nothing is unmasked or consumed until the frame is complete, so a caller may append to the same
/// bytes and try again. Only of a data frame whose payload has [`Assembly::LARGE_BYTES`] or more
/// everything that is there is taken into the assembly at once, unmasked and checked on the way:
/// a large message is copied once, to where it will stay. A rule that the header alone breaks is
/// reported as soon as the header is there. `assembly` is `None` at first, belongs to this
/// connection and is the caller's to take after `FrameEvent::Assembled`.
///
/// # Errors
/// The peer broke the protocol: send a close frame with `close_code` and read nothing more.
#[inline]
pub fn next<'b>(
    bytes: &'b mut [u8],
    assembly: &mut Option<Box<Assembly>>,
    role: Role,
    limits: &ReadLimits,
) -> Result<Step<'b>, ProtocolError> {
    if let Some(begun) = assembly
        && begun.is_in_frame()
    {
        return go_on(begun, bytes, limits);
    }
    let head = match FrameHeader::parse(bytes, role, Extension::None)? {
        Ok(head) => head,
        Err(need) => return Ok(Step::Incomplete { need }),
    };
    let taken = assembly.as_ref().map(|assembly| assembly.len());
    let payload_bytes = head.check(taken, limits)?;
    let used = head.header_bytes + payload_bytes;
    if bytes.len() < used {
        return begin_large(bytes, assembly, &head, payload_bytes, limits);
    }
    let payload = &mut bytes[head.header_bytes..used];
    if let Some(key) = head.mask {
        apply_mask(payload, key);
    }
    let event = match head.opcode {
        OpCode::Text if head.is_final => FrameEvent::Text(
            simdutf8::basic::from_utf8(payload).map_err(|_| ProtocolError::TextNotUtf8)?,
        ),
        OpCode::Binary if head.is_final => FrameEvent::Binary(payload),
        OpCode::Text | OpCode::Binary | OpCode::Continuation => {
            take_fragment(assembly, &head, payload, limits)?
        }
        OpCode::Ping => FrameEvent::Ping(payload),
        OpCode::Pong => FrameEvent::Pong(payload),
        OpCode::Close => FrameEvent::Close(CloseFrame::parse(payload)?),
    };
    Ok(Step::Event { event, used })
}

/// `bytes` as the text of a message, if they are one (RFC 6455 §8.1).
pub fn text(bytes: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(bytes).ok()
}

/// The payload of the complete large message in one frame of a client at the start of `bytes`,
/// unmasked in place; text is the caller's to check (RFC 6455 §8.1). `None`: there is none, or it
/// breaks a rule, and nothing was touched. Only between messages, and only where nothing is
/// compressed.
///
/// A server's header for the same message stands in front of the payload afterwards, in the place
/// of the client's, which is longer by the mask: the frame can go back as it stands.
pub fn take_large(bytes: &mut [u8], limits: &ReadLimits) -> Option<(Kind, Range<usize>)> {
    let head = FrameHeader::parse(bytes, Role::Server, Extension::None);
    let head = head.ok()?.ok()?;
    let payload_bytes = head.check(None, limits).ok()?;
    let payload = head.header_bytes..head.header_bytes + payload_bytes;
    if !head.is_final || !head.is_large(payload_bytes) {
        return None;
    }
    let masked = bytes.get_mut(payload.clone())?;
    if let Some(key) = head.mask {
        apply_mask(masked, key);
    }
    let header = Header::server(head.opcode, payload_bytes);
    bytes[payload.start - header.len()..payload.start].copy_from_slice(&header);
    Some((head.kind(), payload))
}

/// More of a large frame.
#[cold]
#[inline(never)]
fn go_on<'b>(
    assembly: &mut Assembly,
    bytes: &[u8],
    limits: &ReadLimits,
) -> Result<Step<'b>, ProtocolError> {
    if bytes.is_empty() {
        return Ok(Step::Incomplete { need: 1 });
    }
    let (event, used) = take_part(assembly, bytes, limits)?;
    Ok(Step::Event { event, used })
}

/// A frame of which not all is there: of a large one, what is there is taken.
#[cold]
#[inline(never)]
fn begin_large<'b>(
    bytes: &[u8],
    assembly: &mut Option<Box<Assembly>>,
    head: &FrameHeader,
    payload_bytes: usize,
    limits: &ReadLimits,
) -> Result<Step<'b>, ProtocolError> {
    if !head.is_large(payload_bytes) {
        let need = head.header_bytes + payload_bytes;
        return Ok(Step::Incomplete { need });
    }
    let assembly = assembly.get_or_insert_with(|| Box::new(Assembly::new(head.kind())));
    assembly.begin_frame(payload_bytes, head.mask, head.is_final);
    let (event, taken) = take_part(assembly, &bytes[head.header_bytes..], limits)?;
    let used = head.header_bytes + taken;
    Ok(Step::Event { event, used })
}

/// Takes what is there of the frame at hand, and says how much that was.
fn take_part(
    assembly: &mut Assembly,
    bytes: &[u8],
    limits: &ReadLimits,
) -> Result<(FrameEvent<'static>, usize), ProtocolError> {
    let (taken, progress) = assembly.take(bytes, limits.message_bytes_max)?;
    let event = match progress {
        MessageProgress::Message => FrameEvent::Assembled,
        MessageProgress::Frame | MessageProgress::Part => FrameEvent::Fragment,
    };
    Ok((event, taken))
}

/// Rare: kept out of the hot path. `FrameHeader::check` has made sure that the fragment belongs and
/// fits.
#[cold]
#[inline(never)]
fn take_fragment(
    assembly: &mut Option<Box<Assembly>>,
    head: &FrameHeader,
    payload: &[u8],
    limits: &ReadLimits,
) -> Result<FrameEvent<'static>, ProtocolError> {
    let assembly = assembly.get_or_insert_with(|| Box::new(Assembly::new(head.kind())));
    assembly.push(payload, head.is_final, limits.message_bytes_max)?;
    Ok(if head.is_final {
        FrameEvent::Assembled
    } else {
        FrameEvent::Fragment
    })
}

/// What was agreed on at the handshake that gives a reserved bit a meaning.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extension {
    /// All three reserved bits are zero.
    None,
    /// permessage-deflate: RSV1 on the first frame of a data message.
    Deflate,
}

/// A complete header that obeys every rule that needs no more than itself and our role.
pub(crate) struct FrameHeader {
    pub(crate) opcode: OpCode,
    pub(crate) is_final: bool,
    /// RSV1 on the first frame of a data message (RFC 7692 §6).
    pub(crate) is_compressed: bool,
    pub(crate) mask: Option<[u8; 4]>,
    pub(crate) header_bytes: usize,
    /// Below 2^63; not yet compared with any limit of ours.
    payload_bytes: u64,
}

impl FrameHeader {
    /// The inner error is the buffer length at which more of the header can be judged: its length
    /// first, then all of it.
    #[inline]
    pub(crate) fn parse(
        bytes: &[u8],
        role: Role,
        extension: Extension,
    ) -> Result<Result<FrameHeader, usize>, ProtocolError> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(Err(2));
        };
        let is_compressed = extension == Extension::Deflate && first & COMPRESSED_BIT != 0;
        let meaningless = if is_compressed { 0x30 } else { 0x70 };
        if first & meaningless != 0 {
            return Err(ProtocolError::ReservedBit);
        }
        let opcode = OpCode::new(first & 0x0f).ok_or(ProtocolError::ReservedOpCode)?;
        // Only the first frame of a data message may bear it (RFC 7692 §6.1).
        if is_compressed && !matches!(opcode, OpCode::Text | OpCode::Binary) {
            return Err(ProtocolError::ReservedBit);
        }
        let is_final = first & FINAL_BIT != 0;
        let mask_bytes = match (role, second & MASK_BIT != 0) {
            (Role::Server, true) => 4,
            (Role::Client, false) => 0,
            (Role::Server, false) => return Err(ProtocolError::Unmasked),
            (Role::Client, true) => return Err(ProtocolError::Masked),
        };
        let length = second & !MASK_BIT;
        if opcode.is_control() {
            if !is_final {
                return Err(ProtocolError::ControlFragmented);
            }
            if usize::from(length) > CONTROL_PAYLOAD_BYTES_MAX {
                return Err(ProtocolError::ControlTooLong);
            }
        }
        let (payload_bytes, length_bytes, rest) = match length {
            LENGTH_IN_TWO_BYTES => match rest.split_first_chunk() {
                Some((length, rest)) => (
                    minimal(u64::from(u16::from_be_bytes(*length)), 126)?,
                    2,
                    rest,
                ),
                None => return Ok(Err(2 + 2)),
            },
            LENGTH_IN_EIGHT_BYTES => match rest.split_first_chunk() {
                Some((length, rest)) => (minimal(u64::from_be_bytes(*length), 1 << 16)?, 8, rest),
                None => return Ok(Err(2 + 8)),
            },
            length => (u64::from(length), 0, rest),
        };
        let header_bytes = 2 + length_bytes + mask_bytes;
        let mask = match (role, rest.first_chunk()) {
            (Role::Client, _) => None,
            (Role::Server, Some(key)) => Some(*key),
            (Role::Server, None) => return Ok(Err(header_bytes)),
        };
        Ok(Ok(FrameHeader {
            opcode,
            is_final,
            is_compressed,
            mask,
            header_bytes,
            payload_bytes,
        }))
    }

    /// Whether what is there of it is taken before the rest comes.
    pub(crate) fn is_large(&self, payload_bytes: usize) -> bool {
        payload_bytes >= Assembly::LARGE_BYTES && !self.opcode.is_control()
    }

    /// Of the message that begins with this frame.
    pub(crate) fn kind(&self) -> Kind {
        if self.opcode == OpCode::Text {
            Kind::Text
        } else {
            Kind::Binary
        }
    }

    /// The rules that need the connection: where in a message we are, and how much it may grow.
    /// `taken` are the bytes so far of a message that has begun. Returns the payload's length,
    /// which is then known to fit `usize`.
    #[inline]
    pub(crate) fn check(
        &self,
        taken: Option<usize>,
        limits: &ReadLimits,
    ) -> Result<usize, ProtocolError> {
        if self.opcode.is_control() {
            return Ok(self.payload_bytes as usize);
        }
        let taken = match (self.opcode, taken) {
            (OpCode::Continuation, None) => return Err(ProtocolError::ContinuationWithoutStart),
            (OpCode::Continuation, Some(taken)) => taken,
            (_, Some(_)) => return Err(ProtocolError::DataInsideFragmented),
            (_, None) => 0,
        };
        // `usize` always fits `u64` here; the other way round is what the comparison proves.
        let left = limits.message_bytes_max.saturating_sub(taken);
        if self.payload_bytes > left as u64 {
            return Err(ProtocolError::MessageTooBig);
        }
        Ok(self.payload_bytes as usize)
    }
}

/// A length that needed its long form (RFC 6455 §5.2: "the minimal number of bytes MUST be used").
#[inline]
fn minimal(length: u64, at_least: u64) -> Result<u64, ProtocolError> {
    if length < at_least {
        Err(ProtocolError::LengthNotMinimal)
    } else if length > i64::MAX as u64 {
        Err(ProtocolError::LengthTopBit)
    } else {
        Ok(length)
    }
}
