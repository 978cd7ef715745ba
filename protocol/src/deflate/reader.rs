//! Frames to events on a connection that agreed on permessage-deflate: RSV1 on the first frame of a
//! data message says that the message is compressed (RFC 7692 §6). Everything else is
//! [`crate::reader`]'s. Called by the shard and by clients.

use super::{InflateLimits, InflateStream, Inflater};
use crate::assembly::{Assembly, MessageProgress};
use crate::frame::{Kind, OpCode, apply_mask};
use crate::reader::{
    self, Extension, FrameEvent, FrameHeader, ProtocolError, ReadLimits, Role, Step,
};

/// Compressed bytes that a message of `message_bytes_max` may take. What does not compress grows:
/// by 5 bytes a stored block, and zlib at its smallest memory writes blocks of 127 bytes.
const fn compressed_bytes_max(message_bytes_max: usize) -> usize {
    message_bytes_max + message_bytes_max / 16 + 64
}

/// Reads the next frame as [`reader::next`] does. A message that came compressed is one event,
/// [`FrameEvent::Text`] or [`FrameEvent::Binary`], with its last frame, and stands in `inflater`;
/// one in plain fragments ends in [`FrameEvent::Assembled`]. `own` is the window of a connection
/// whose client refers to earlier messages.
///
/// # Errors
/// As of [`reader::next`] and [`Inflater::inflate`].
pub fn next<'b>(
    bytes: &'b mut [u8],
    assembly: &mut Option<Box<Assembly>>,
    role: Role,
    limits: &InflateLimits,
    inflater: &'b mut Inflater,
    own: Option<&mut InflateStream>,
) -> Result<Step<'b>, ProtocolError> {
    let message_bytes_max = limits.message_bytes_max;
    let grown = ReadLimits {
        message_bytes_max: compressed_bytes_max(message_bytes_max),
    };
    let plain = ReadLimits { message_bytes_max };
    if let Some(begun) = assembly
        && begun.is_in_frame()
    {
        if bytes.is_empty() || !begun.is_compressed() {
            return reader::next(bytes, assembly, role, &plain);
        }
        let (used, progress) = begun.take(bytes, grown.message_bytes_max)?;
        let event = taken(assembly, progress, inflater, own, limits)?;
        return Ok(Step::Event { event, used });
    }
    let head = match FrameHeader::parse(bytes, role, Extension::Deflate)? {
        Ok(head) => head,
        Err(need) => return Ok(Step::Incomplete { need }),
    };
    let continues = head.opcode == OpCode::Continuation
        && assembly
            .as_ref()
            .is_some_and(|started| started.is_compressed());
    if !head.is_compressed && !continues {
        return reader::next(bytes, assembly, role, &plain);
    }
    let before = assembly.as_ref().map(|started| started.len());
    let payload_bytes = head.check(before, &grown)?;
    let used = head.header_bytes + payload_bytes;
    let is_there = bytes.len() >= used;
    if !is_there && !head.is_large(payload_bytes) {
        return Ok(Step::Incomplete { need: used });
    }
    if is_there && head.is_final && !continues {
        let payload = &mut bytes[head.header_bytes..used];
        if let Some(key) = head.mask {
            apply_mask(payload, key);
        }
        let event = event(head.kind(), inflater.inflate(payload, own, limits)?)?;
        return Ok(Step::Event { event, used });
    }
    let started = assembly.get_or_insert_with(|| Box::new(Assembly::compressed(head.kind())));
    started.begin_frame(payload_bytes, head.mask, head.is_final);
    let (part, progress) = started.take(&bytes[head.header_bytes..], grown.message_bytes_max)?;
    let event = taken(assembly, progress, inflater, own, limits)?;
    let used = head.header_bytes + part;
    Ok(Step::Event { event, used })
}

/// Something of a compressed message was taken: the message, once that is all.
fn taken<'b>(
    assembly: &mut Option<Box<Assembly>>,
    progress: MessageProgress,
    inflater: &'b mut Inflater,
    own: Option<&mut InflateStream>,
    limits: &InflateLimits,
) -> Result<FrameEvent<'b>, ProtocolError> {
    match assembly.take_if(|_| progress == MessageProgress::Message) {
        Some(ended) => {
            let (kind, compressed) = ended.finish();
            event(kind, inflater.inflate(&compressed, own, limits)?)
        }
        None => Ok(FrameEvent::Fragment),
    }
}

/// Text is judged by what was inflated (RFC 7692 §6.2).
fn event(kind: Kind, message: &[u8]) -> Result<FrameEvent<'_>, ProtocolError> {
    Ok(match kind {
        Kind::Binary => FrameEvent::Binary(message),
        Kind::Text => FrameEvent::Text(
            simdutf8::basic::from_utf8(message).map_err(|_| ProtocolError::TextNotUtf8)?,
        ),
    })
}
