//! The client's side of RFC 6455 §5, as little of it as a load generator needs: frames to send,
//! frames received. Invariant: nothing is copied on the way in. Called by `worker`, `sockets` and
//! `dialect`.

use std::ops::Range;

/// RFC 6455 §5.2.
pub(crate) const TEXT: u8 = 1;
/// RFC 6455 §5.2.
pub(crate) const BINARY: u8 = 2;
/// RFC 6455 §5.5.1.
pub(crate) const CLOSE: u8 = 8;
/// RFC 6455 §5.5.2.
pub(crate) const PING: u8 = 9;
/// RFC 6455 §5.5.3.
pub(crate) const PONG: u8 = 10;

/// RFC 6455 §5.2.
const FIN: u8 = 0x80;
/// RFC 7692 §6: the message is compressed.
const RSV1: u8 = 0x40;
const RSV2_RSV3: u8 = 0x30;
/// Below it, opcodes are of messages (RFC 6455 §5.2).
const CONTROL: u8 = 0x08;

/// One key for every frame: a server must unmask all the same, and the generator masks its payloads
/// only once.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame to be sent many times, masked once.
#[derive(Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    payload_at: usize,
}

impl Template {
    /// A final frame.
    pub(crate) fn new(opcode: u8, payload: &[u8]) -> Template {
        Template::with_first(FIN | opcode, payload)
    }

    /// A final frame whose payload is compressed (RFC 7692 §6).
    pub(crate) fn compressed(opcode: u8, payload: &[u8]) -> Template {
        Template::with_first(FIN | RSV1 | opcode, payload)
    }

    fn with_first(first: u8, payload: &[u8]) -> Template {
        let mut bytes = vec![first];
        match payload.len() {
            n @ 0..126 => bytes.push(0x80 | n as u8),
            n @ 126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(n as u16).to_be_bytes());
            }
            n => {
                bytes.push(0x80 | 127);
                bytes.extend_from_slice(&(n as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&MASK);
        let payload_at = bytes.len();
        bytes.extend(
            payload
                .iter()
                .zip(MASK.iter().cycle())
                .map(|(byte, key)| byte ^ key),
        );
        Template { bytes, payload_at }
    }

    /// Appends the frame to `out`, each patch (place in the payload, bytes) in the place of what
    /// stood there.
    pub(crate) fn append(&self, out: &mut Vec<u8>, patches: &[(usize, &[u8])]) {
        let start = out.len() + self.payload_at;
        out.extend_from_slice(&self.bytes);
        for &(place, bytes) in patches {
            let target = &mut out[start + place..start + place + bytes.len()];
            for (i, (target, byte)) in target.iter_mut().zip(bytes).enumerate() {
                *target = byte ^ MASK[(place + i) & 3];
            }
        }
    }
}

/// A received frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    /// RSV1, which only who agreed on compression may set.
    pub(crate) is_compressed: bool,
    /// The payload's place in the bytes given.
    pub(crate) payload: Range<usize>,
}

/// The frame at the start of `bytes`, if it is complete.
///
/// # Errors
/// The server broke the protocol, or sent what the generator does not take: a fragmented message,
/// or a frame that can never fit `room_bytes`.
pub(crate) fn next_frame(bytes: &[u8], room_bytes: usize) -> Result<Option<Frame>, &'static str> {
    let &[first, second, ref rest @ ..] = bytes else {
        return Ok(None);
    };
    let is_control = first & CONTROL != 0;
    let is_compressed = first & RSV1 != 0;
    if first & RSV2_RSV3 != 0 || second & 0x80 != 0 || is_control && is_compressed {
        return Err(RESERVED);
    }
    if first & FIN == 0 || first & 0x0f == 0 {
        return Err("a fragmented message, which this tool does not take");
    }
    let (start, length) = match second {
        126 => match rest {
            [a, b, ..] => (4, usize::from(u16::from_be_bytes([*a, *b]))),
            _ => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(length) => (
                10,
                usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX),
            ),
            None => return Ok(None),
        },
        length => (2, usize::from(length)),
    };
    if is_control && start > 2 {
        return Err("a control frame of more than 125 bytes");
    }
    if (start == 4 && length < 126) || (start == 10 && length < 65_536) {
        return Err("a length that takes more bytes than it needs");
    }
    let end = start + length.min(room_bytes);
    if end > room_bytes {
        return Err("a frame much larger than anything that was sent");
    }
    Ok((bytes.len() >= end).then_some(Frame {
        opcode: first & 0x0f,
        is_compressed,
        payload: start..end,
    }))
}

/// What a frame is refused with whose bits nobody agreed on.
pub(crate) const RESERVED: &str = "a frame with reserved bits or a mask";

/// A frame of our own.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) opcode: u8,
    /// Length of the complete frame.
    pub(crate) bytes: usize,
}

/// The frame at the start of what we are about to send, its payload unmasked into `payload`.
/// `None`: no complete frame is left.
pub(crate) fn next_sent(bytes: &[u8], payload: &mut Vec<u8>) -> Option<Sent> {
    let (start, length) = match *bytes {
        [_, 0xfe, a, b, ..] => (4, usize::from(u16::from_be_bytes([a, b]))),
        [_, 0xff, a, b, c, d, e, f, g, h, ..] => {
            let length = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            (10, usize::try_from(length).ok()?)
        }
        [_, length, ..] => (2, usize::from(length & 0x7f)),
        _ => return None,
    };
    let payload_at = start + MASK.len();
    let masked = bytes.get(payload_at..payload_at.checked_add(length)?)?;
    payload.clear();
    payload.extend(
        masked
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    Some(Sent {
        opcode: bytes[0] & 0x0f,
        bytes: payload_at + length,
    })
}

/// Of a close frame's payload (RFC 6455 §5.5.1; without a code: 1005, §7.1.5).
pub(crate) fn close_code(payload: &[u8]) -> u16 {
    payload
        .first_chunk::<2>()
        .map_or(1005, |code| u16::from_be_bytes(*code))
}

/// The same, and the reason.
pub(crate) fn close_words(payload: &[u8]) -> String {
    let code = close_code(payload);
    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
    format!("{code} {reason}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clauses 6455-5.1-1, 6455-5.3-1, 6455-6.1-5.
    #[test]
    fn a_template_is_masked_and_patched() {
        for (length, head) in [(5, 2 + 4), (126, 4 + 4), (70_000, 10 + 4)] {
            let payload: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let mut out = vec![9];
            Template::new(BINARY, &payload).append(&mut out, &[(3, b"XY")]);
            assert_eq!((out[0], out[1], out.len()), (9, 0x82, 1 + head + length));
            let mut expected = payload;
            expected[3..5].copy_from_slice(b"XY");
            let key = &out[1 + head - 4..1 + head];
            let clear: Vec<u8> = out[1 + head..]
                .iter()
                .enumerate()
                .map(|(i, b)| b ^ key[i % 4])
                .collect();
            assert_eq!(clear, expected);
        }
    }

    #[test]
    fn frames_are_found_at_every_split() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let mut bytes = vec![0x82];
            match length {
                0..126 => bytes.push(length as u8),
                126..65_536 => bytes.extend([&[126][..], &(length as u16).to_be_bytes()].concat()),
                _ => bytes.extend([&[127][..], &(length as u64).to_be_bytes()].concat()),
            }
            let start = bytes.len();
            bytes.resize(start + length, 7);
            for cut in (0..=start)
                .chain([bytes.len() - 1])
                .filter(|&cut| cut < bytes.len())
            {
                assert_eq!(
                    next_frame(&bytes[..cut], 1 << 20),
                    Ok(None),
                    "{length} cut at {cut}"
                );
            }
            let frame = Frame {
                opcode: BINARY,
                is_compressed: false,
                payload: start..start + length,
            };
            assert_eq!(next_frame(&bytes, 1 << 20), Ok(Some(frame)));
        }
    }

    /// Clause 6455-5.1-4, among others.
    #[test]
    fn what_breaks_the_protocol_is_refused() {
        for bytes in [
            [0x82, 0x80],
            [0xa2, 0],
            [0x92, 0],
            [0xc9, 0],
            [0x02, 0],
            [0x80, 0],
        ] {
            assert!(next_frame(&bytes, 1 << 20).is_err(), "{bytes:x?}");
        }
        for (bytes, words) in [
            (&[0x89, 126, 0, 126][..], "control"),
            (&[0x82, 126, 0, 125], "length"),
            (&[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255], "length"),
        ] {
            let refusal = next_frame(bytes, 1 << 20);
            assert!(
                refusal.is_err_and(|said| said.contains(words)),
                "{bytes:x?}"
            );
        }
        let huge = [&[0x82, 127][..], &u64::MAX.to_be_bytes()].concat();
        assert!(next_frame(&huge, 1 << 20).is_err());
    }

    #[test]
    fn a_close_is_told_in_words() {
        for (payload, words) in [
            (&b"\x03\xf0enough"[..], "1008 enough"),
            (b"\x03\xe8", "1000"),
            (b"\x03", "1005"),
            (b"", "1005"),
        ] {
            assert_eq!(close_words(payload), words);
        }
    }
}
