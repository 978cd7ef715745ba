//! Frames to events, in place on a borrowed buffer. Owns the rules of RFC 6455 §5 and §8.1 that a
//! peer can break; nothing a peer sends panics, and nothing is kept but a fragmented message in
//! progress, which never exceeds `message_bytes_max`. Called by the shard for every receive, and by
//! clients.

pub use crate::close::ProtocolError;

use crate::close::CloseFrame;
use crate::frame::{
    COMPRESSED_BIT, CONTROL_PAYLOAD_BYTES_MAX, FINAL_BIT, Kind, LENGTH_IN_EIGHT_BYTES,
    LENGTH_IN_TWO_BYTES, MASK_BIT,
};
use crate::frame::{OpCode, apply_mask};

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
        /// Bytes counted from the start of the buffer; always more than it holds, and at most
        /// `HEADER_BYTES_MAX` + the larger of `message_bytes_max` and 125.
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
    /// The last fragment came: the message is in the caller's `assembly`. `take()` it
    /// before reading on, and call `Assembly::finish`.
    Assembled,
    /// A fragment was taken into the assembly.
    Fragment,
    /// RFC 6455 §5.5.2; at most 125 bytes.
    Ping(&'b [u8]),
    /// RFC 6455 §5.5.3.
    Pong(&'b [u8]),
    /// RFC 6455 §5.5.1.
    Close(CloseFrame<'b>),
}

/// A fragmented message in progress. Absent (`None`) on a connection that is between messages.
#[derive(Debug)]
pub struct Assembly {
    kind: Kind,
    /// Never longer than `message_bytes_max`, nor is its capacity.
    bytes: Vec<u8>,
    /// Bytes from the start known to be complete characters (text only). At most three bytes lie
    /// behind it between two fragments, so checking is linear however small the fragments are.
    checked: usize,
    is_compressed: bool,
}

impl Assembly {
    fn new(kind: Kind) -> Assembly {
        Assembly {
            kind,
            bytes: Vec::new(),
            checked: 0,
            is_compressed: false,
        }
    }

    /// The fragments of a compressed message (RFC 7692 §6.1).
    pub(crate) fn compressed(kind: Kind) -> Assembly {
        Assembly {
            is_compressed: true,
            ..Assembly::new(kind)
        }
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    /// The assembled message (valid UTF-8 if text). Called once, after `FrameEvent::Assembled`.
    pub fn finish(self) -> (Kind, Vec<u8>) {
        (self.kind, self.bytes)
    }

    /// Memory that it takes, in bytes.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Bytes taken so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether all fragments so far were empty.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends a fragment that the header check found to fit.
    pub(crate) fn push(&mut self, fragment: &[u8], message_bytes_max: usize) {
        let needed = self.bytes.len() + fragment.len();
        if needed > self.bytes.capacity() {
            // Doubles, but never beyond what the message may reach.
            let target = needed.max((self.bytes.capacity() * 2).min(message_bytes_max));
            self.bytes.reserve_exact(target - self.bytes.len());
        }
        self.bytes.extend_from_slice(fragment);
    }

    /// The beginning of a character that the fragments so far ended in, at most three bytes; `None`
    /// if they are no plain text.
    pub(crate) fn begun_character(&self) -> Option<&[u8]> {
        let is_plain_text = self.kind == Kind::Text && !self.is_compressed;
        is_plain_text.then(|| &self.bytes[self.checked..])
    }

    /// Fails as soon as the bytes so far cannot begin any text, or end one that is over (RFC 6455
    /// §8.1).
    fn check_text(&mut self, is_final: bool) -> Result<(), ProtocolError> {
        match simdutf8::compat::from_utf8(&self.bytes[self.checked..]) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(error) if error.error_len().is_none() && !is_final => {
                self.checked += error.valid_up_to();
            }
            Err(_) => return Err(ProtocolError::TextNotUtf8),
        }
        Ok(())
    }
}

/// Reads the next frame at the start of `bytes`, unmasking it in place.
///
/// Nothing is unmasked or consumed until the frame is complete, so a caller may append to the same
/// bytes and try again. A rule that the header alone breaks is reported as soon as the header is
/// there. `assembly` is `None` at first, belongs to this connection and is the caller's to take
/// after `FrameEvent::Assembled`.
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
    let head = match FrameHeader::parse(bytes, role, Extension::None)? {
        Ok(head) => head,
        Err(need) => return Ok(Step::Incomplete { need }),
    };
    let taken = assembly.as_ref().map(|assembly| assembly.len());
    let payload_bytes = head.check(taken, limits)?;
    let used = head.header_bytes + payload_bytes;
    let Some(payload) = bytes.get_mut(head.header_bytes..used) else {
        return Ok(Step::Incomplete { need: used });
    };
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

/// Rare: kept out of the hot path. `FrameHeader::check` has made sure that the fragment belongs and
/// fits.
#[cold]
#[inline(never)]
fn take_fragment<'b>(
    assembly: &mut Option<Box<Assembly>>,
    head: &FrameHeader,
    payload: &[u8],
    limits: &ReadLimits,
) -> Result<FrameEvent<'b>, ProtocolError> {
    let assembly = assembly.get_or_insert_with(|| Box::new(Assembly::new(head.kind())));
    assembly.push(payload, limits.message_bytes_max);
    if assembly.kind == Kind::Text {
        assembly.check_text(head.is_final)?;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assembly_never_holds_more_than_a_message_may() {
        for (fragment_bytes, fragments) in [(1, 1000), (7, 142), (300, 3), (500, 2), (1000, 1)] {
            let mut assembly = Assembly::new(Kind::Binary);
            for _ in 0..fragments {
                assembly.push(&vec![0; fragment_bytes], 1000);
                assert!(
                    assembly.bytes.capacity() <= 1000,
                    "{}",
                    assembly.bytes.capacity()
                );
            }
            assert_eq!(assembly.len(), fragment_bytes * fragments);
        }
    }

    /// However a text is cut, no more than the start of one character is looked at again.
    #[test]
    fn checking_text_never_starts_over() {
        let text = "\u{10348}\u{20ac}\u{df}".repeat(50);
        // Fragments of 9 bytes, one character group each, whose every end lies inside a character;
        // and of 1 byte.
        for (first_bytes, fragment_bytes) in [(1, 9), (2, 9), (5, 9), (8, 9), (1, 1)] {
            let mut assembly = Assembly::new(Kind::Text);
            let (first, rest) = text.as_bytes().split_at(first_bytes);
            for fragment in [first].into_iter().chain(rest.chunks(fragment_bytes)) {
                assembly.push(fragment, text.len());
                assert_eq!(assembly.check_text(false), Ok(()));
                assert!(assembly.len() - assembly.checked <= 3, "{first_bytes}");
            }
            assert_eq!(
                (assembly.check_text(true), assembly.checked),
                (Ok(()), text.len())
            );
        }
    }
}
