//! Frames to pieces: a data message as it arrives, unmasked in place, so that nobody holds all of
//! it. Obeys the rules of `reader`, whose headers it shares; what it keeps between two calls is
//! 40 bytes or so, whatever a peer announces. Called by the shard for connections that asked for
//! pieces.

use crate::close::CloseFrame;
use crate::frame::{Kind, OpCode, apply_mask};
use crate::reader::{Extension, FrameHeader, ProtocolError, ReadLimits, Role};

/// A part of a data message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'b> {
    /// Of the complete message.
    pub kind: Kind,
    /// What arrived of it: the complete payload of a frame, or a part. Empty only for a frame that
    /// is. A piece of a text may begin and end inside a character; all pieces together are UTF-8.
    pub bytes: &'b [u8],
    /// The message begins with it.
    pub first: bool,
    /// The message ends with it, and was UTF-8 if it is text.
    pub last: bool,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum PieceEvent<'b> {
    /// A part of a data message.
    Piece(Piece<'b>),
    /// RFC 6455 §5.5.2; at most 125 bytes.
    Ping(&'b [u8]),
    /// RFC 6455 §5.5.3.
    Pong(&'b [u8]),
    /// RFC 6455 §5.5.1.
    Close(CloseFrame<'b>),
}

/// One step of reading.
#[derive(Debug)]
pub enum PieceStep<'b> {
    /// The buffer ends before anything can be said: inside a header, right behind it, or inside a
    /// control frame. `need` is the buffer length at which another try can get further; what is in
    /// the buffer was not touched.
    Incomplete {
        /// Bytes from the start of the buffer: more than it holds, and at most `HEADER_BYTES_MAX` +
        /// 125.
        need: usize,
    },
    /// `used` bytes from the start of the buffer are done with.
    Event {
        /// What they meant.
        event: PieceEvent<'b>,
        /// Bytes of the buffer that it took.
        used: usize,
    },
}

/// Where in a message and in a frame a connection is.
#[derive(Debug, Default)]
pub struct Pieces {
    message: Option<OpenMessage>,
    payload: Option<OpenFrame>,
}

/// A message that has not ended.
#[derive(Debug)]
struct OpenMessage {
    kind: Kind,
    /// Bytes of all its frames so far, as their headers announced them.
    announced_bytes: usize,
    text: Text,
}

/// A data frame whose payload has not ended.
#[derive(Debug)]
struct OpenFrame {
    /// Never 0.
    left_bytes: usize,
    /// Turned so that it begins with the next byte.
    key: Option<[u8; 4]>,
    is_final: bool,
}

impl Pieces {
    /// Between two messages: nothing would be lost with it.
    pub fn is_idle(&self) -> bool {
        self.message.is_none()
    }

    /// Inside the payload of a data frame.
    pub fn is_in_frame(&self) -> bool {
        self.payload.is_some()
    }

    /// Reads what comes next at the start of `bytes`. The message limit counts all pieces of a
    /// message, and is known to be passed as soon as a header says so.
    ///
    /// # Errors
    /// The peer broke the protocol: send a close frame with `close_code` and read nothing more.
    pub fn next<'b>(
        &mut self,
        bytes: &'b mut [u8],
        role: Role,
        limits: &ReadLimits,
    ) -> Result<PieceStep<'b>, ProtocolError> {
        if let Some(payload) = self.payload.take() {
            return self.take(bytes, 0, payload);
        }
        let head = match FrameHeader::parse(bytes, role, Extension::None)? {
            Ok(head) => head,
            Err(need) => return Ok(PieceStep::Incomplete { need }),
        };
        let taken = self.message.as_ref().map(|message| message.announced_bytes);
        let payload_bytes = head.check(taken, limits)?;
        let kind = match head.opcode {
            OpCode::Ping | OpCode::Pong | OpCode::Close => {
                return control(bytes, &head, payload_bytes);
            }
            OpCode::Text => Kind::Text,
            OpCode::Binary | OpCode::Continuation => Kind::Binary,
        };
        if payload_bytes > 0 && bytes.len() == head.header_bytes {
            // A piece is never empty for want of bytes: the header waits for the first of them.
            let need = head.header_bytes + 1;
            return Ok(PieceStep::Incomplete { need });
        }
        let first = taken.is_none();
        let message = self.message.get_or_insert_with(|| OpenMessage::new(kind));
        message.announced_bytes += payload_bytes;
        let payload = OpenFrame {
            left_bytes: payload_bytes,
            key: head.mask,
            is_final: head.is_final,
        };
        let step = self.take(bytes, head.header_bytes, payload)?;
        Ok(match step {
            PieceStep::Event {
                event: PieceEvent::Piece(piece),
                used,
            } => PieceStep::Event {
                event: PieceEvent::Piece(Piece { first, ..piece }),
                used,
            },
            other => other,
        })
    }

    /// As much of the frame's payload as is there, from `start` on.
    fn take<'b>(
        &mut self,
        bytes: &'b mut [u8],
        start: usize,
        mut payload: OpenFrame,
    ) -> Result<PieceStep<'b>, ProtocolError> {
        let there = bytes.len() - start;
        if there == 0 && payload.left_bytes > 0 {
            self.payload = Some(payload);
            return Ok(PieceStep::Incomplete { need: start + 1 });
        }
        let used = start + payload.left_bytes.min(there);
        let piece = &mut bytes[start..used];
        if let Some(key) = &mut payload.key {
            apply_mask(piece, *key);
            key.rotate_left(piece.len() % 4);
        }
        payload.left_bytes -= piece.len();
        let last = payload.is_final && payload.left_bytes == 0;
        let message = self.message.as_mut().expect("a payload is a message's");
        let kind = message.kind;
        if kind == Kind::Text {
            message.text.check(piece, last)?;
        }
        if payload.left_bytes > 0 {
            self.payload = Some(payload);
        }
        if last {
            self.message = None;
        }
        let event = PieceEvent::Piece(Piece {
            kind,
            bytes: piece,
            first: false,
            last,
        });
        Ok(PieceStep::Event { event, used })
    }
}

/// A control frame is one event when it is complete: it is short.
fn control<'b>(
    bytes: &'b mut [u8],
    head: &FrameHeader,
    payload_bytes: usize,
) -> Result<PieceStep<'b>, ProtocolError> {
    let used = head.header_bytes + payload_bytes;
    let Some(payload) = bytes.get_mut(head.header_bytes..used) else {
        return Ok(PieceStep::Incomplete { need: used });
    };
    if let Some(key) = head.mask {
        apply_mask(payload, key);
    }
    let event = match head.opcode {
        OpCode::Ping => PieceEvent::Ping(payload),
        OpCode::Pong => PieceEvent::Pong(payload),
        OpCode::Close => PieceEvent::Close(CloseFrame::parse(payload)?),
        OpCode::Text | OpCode::Binary | OpCode::Continuation => {
            unreachable!("data frames are no control frames")
        }
    };
    Ok(PieceStep::Event { event, used })
}

impl OpenMessage {
    fn new(kind: Kind) -> OpenMessage {
        OpenMessage {
            kind,
            announced_bytes: 0,
            text: Text::default(),
        }
    }
}

/// Checks a text that comes in pieces (RFC 6455 §8.1): keeps the beginning of a character that a
/// piece ended in.
#[derive(Debug, Default)]
struct Text {
    begun: [u8; CHARACTER_BYTES_MAX],
    /// Below [`CHARACTER_BYTES_MAX`].
    begun_bytes: usize,
}

/// Longest character of UTF-8.
const CHARACTER_BYTES_MAX: usize = 4;

impl Text {
    fn check(&mut self, piece: &[u8], is_last: bool) -> Result<(), ProtocolError> {
        let rest = self.end_character(piece)?;
        match simdutf8::compat::from_utf8(rest) {
            Ok(_) => {}
            Err(error) if error.error_len().is_none() => {
                let begun = &rest[error.valid_up_to()..];
                self.begun[..begun.len()].copy_from_slice(begun);
                self.begun_bytes = begun.len();
            }
            Err(_) => return Err(ProtocolError::TextNotUtf8),
        }
        if is_last && self.begun_bytes > 0 {
            return Err(ProtocolError::TextNotUtf8);
        }
        Ok(())
    }

    /// Ends the character that the piece before ended in, if there is one. Returns what follows it;
    /// that is empty while it has not ended.
    fn end_character<'p>(&mut self, piece: &'p [u8]) -> Result<&'p [u8], ProtocolError> {
        let before = self.begun_bytes;
        if before == 0 {
            return Ok(piece);
        }
        let added = piece.len().min(CHARACTER_BYTES_MAX - before);
        let together = before + added;
        self.begun[before..together].copy_from_slice(&piece[..added]);
        let complete = match std::str::from_utf8(&self.begun[..together]) {
            Ok(_) => together,
            // The character is complete, and what follows it is not.
            Err(error) if error.valid_up_to() > 0 => error.valid_up_to(),
            Err(error) if error.error_len().is_none() => {
                self.begun_bytes = together;
                return Ok(&[]);
            }
            Err(_) => return Err(ProtocolError::TextNotUtf8),
        };
        self.begun_bytes = 0;
        Ok(&piece[complete - before..])
    }
}
