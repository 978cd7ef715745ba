//! Text in a small frame that has not wholly arrived: refused at the first byte that no text has
//! there, not when the frame is complete. What has arrived is looked at once, a block at a time, in
//! a copy. Called by the shard for frames that came in pieces only.

use crate::frame::{OpCode, apply_mask};
use crate::reader::{Assembly, Extension, FrameHeader, ProtocolError, Role};

/// Checks what has arrived of a frame that a client has not finished, which [`crate::reader::next`]
/// found to be so: fails as soon as no text begins with it (RFC 6455 §8.1), however long the rest
/// of the frame takes. Complete frames never come here.
///
/// `checked` are the bytes of the payload that are known to be complete characters, 0 for a new
/// frame: between two calls at most three others stand behind them, so the work is linear however
/// small the pieces are. Nothing in `bytes` is touched. What is compressed is not looked at.
///
/// # Errors
/// [`ProtocolError::TextNotUtf8`].
pub fn check(
    bytes: &[u8],
    checked: &mut usize,
    assembly: Option<&Assembly>,
) -> Result<(), ProtocolError> {
    /// Bytes that are unmasked at a time, besides what an earlier fragment ended in.
    const BLOCK_BYTES: usize = 512;
    let Ok(Ok(head)) = FrameHeader::parse(bytes, Role::Server, Extension::Deflate) else {
        return Ok(());
    };
    let begun = match (head.opcode, assembly) {
        (OpCode::Text, None) if !head.is_compressed => &[][..],
        (OpCode::Continuation, Some(assembly)) => match assembly.begun_character() {
            Some(begun) => begun,
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    let (payload, key) = (&bytes[head.header_bytes..], head.mask.unwrap_or_default());
    let mut block = [0; CHARACTER_BYTES_MAX - 1 + BLOCK_BYTES];
    while *checked < payload.len() {
        let begun = if *checked == 0 { begun } else { &[] };
        let taken = &payload[*checked..payload.len().min(*checked + BLOCK_BYTES)];
        let text = &mut block[..begun.len() + taken.len()];
        text[..begun.len()].copy_from_slice(begun);
        text[begun.len()..].copy_from_slice(taken);
        let mut key = key;
        key.rotate_left(*checked % 4);
        apply_mask(&mut text[begun.len()..], key);
        let complete = match simdutf8::compat::from_utf8(text) {
            Ok(_) => taken.len(),
            Err(error) if error.error_len().is_none() => {
                error.valid_up_to().saturating_sub(begun.len())
            }
            Err(_) => return Err(ProtocolError::TextNotUtf8),
        };
        // The beginning of one character waits for its end.
        if complete == 0 {
            break;
        }
        *checked += complete;
    }
    Ok(())
}

/// Longest character of UTF-8.
const CHARACTER_BYTES_MAX: usize = 4;
