//! Client frames in a byte buffer, and server headers: no I/O, no allocation. A header that is
//! returned has passed every rule of RFC 6455 that can be checked without the payload, and its
//! message fits [`MESSAGE_BYTES_MAX`]. `connection` calls it.

/// The largest message; a connection that announces more is closed.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// A control frame's payload (RFC 6455 §5.5).
pub(crate) const CONTROL_BYTES_MAX: usize = 125;
/// A server's header at its longest: two bytes and an eight-byte length.
pub(crate) const SERVER_HEADER_BYTES_MAX: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn parse(nibble: u8) -> Result<Self, Violation> {
        Ok(match nibble {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return Err(Violation),
        })
    }

    fn nibble(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The peer broke the protocol or a limit; its connection ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation;

/// A client frame's header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The message ends with this frame.
    pub(crate) last: bool,
    pub(crate) opcode: Opcode,
    /// Bytes before the payload.
    pub(crate) header_bytes: usize,
    pub(crate) payload_bytes: usize,
    pub(crate) key: [u8; 4],
}

impl Header {
    /// The header that `bytes` begin with; `None` while it is incomplete.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, Violation> {
        let &[first, second, ..] = bytes else {
            return Ok(None);
        };
        let opcode = Opcode::parse(first & 0x0f)?;
        let last = first & 0x80 != 0;
        // No extension is negotiated (§5.2), and a client masks (§5.1).
        if first & 0x70 != 0 || second & 0x80 == 0 {
            return Err(Violation);
        }
        let (length_bytes, payload_bytes) = match second & 0x7f {
            126 => match bytes.get(2..4) {
                Some(&[a, b]) => (2, u64::from(u16::from_be_bytes([a, b]))),
                _ => return Ok(None),
            },
            127 => match bytes
                .get(2..10)
                .and_then(|length| <[u8; 8]>::try_from(length).ok())
            {
                Some(length) => (8, u64::from_be_bytes(length)),
                None => return Ok(None),
            },
            short => (0, u64::from(short)),
        };
        let fits = usize::try_from(payload_bytes).ok();
        let Some(payload_bytes) = fits.filter(|&bytes| bytes <= MESSAGE_BYTES_MAX) else {
            return Err(Violation);
        };
        if opcode.is_control() && (!last || payload_bytes > CONTROL_BYTES_MAX) {
            return Err(Violation);
        }
        let at = 2 + length_bytes;
        let key = bytes.get(at..at + 4).and_then(|key| key.try_into().ok());
        Ok(key.map(|key| Self {
            last,
            opcode,
            header_bytes: at + 4,
            payload_bytes,
            key,
        }))
    }
}

/// Removes (or applies) the mask, eight bytes at a time; the compiler widens it further.
pub(crate) fn unmask(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// How long a server's header is.
pub(crate) fn server_header_bytes(payload_bytes: usize) -> usize {
    match payload_bytes {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => SERVER_HEADER_BYTES_MAX,
    }
}

/// Writes a server's header of a whole message to the front of `out`, which has room for it.
pub(crate) fn put_header(out: &mut [u8], opcode: Opcode, payload_bytes: usize) {
    out[0] = 0x80 | opcode.nibble();
    match payload_bytes {
        0..=125 => out[1] = payload_bytes as u8,
        126..=0xffff => {
            out[1] = 126;
            out[2..4].copy_from_slice(&(payload_bytes as u16).to_be_bytes());
        }
        _ => {
            out[1] = 127;
            out[2..10].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
        }
    }
}

/// A whole server frame.
pub(crate) fn encode(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let header_bytes = server_header_bytes(payload.len());
    let mut frame = Vec::with_capacity(header_bytes + payload.len());
    frame.resize(header_bytes, 0);
    put_header(&mut frame, opcode, payload.len());
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<Option<(bool, Opcode, usize, usize)>, Violation>) {
        let found = Header::parse(bytes).map(|header| {
            header.map(|header| {
                (
                    header.last,
                    header.opcode,
                    header.header_bytes,
                    header.payload_bytes,
                )
            })
        });
        assert_eq!(found, expected, "{bytes:02x?}");
    }

    #[test]
    fn headers_are_read_at_every_length_and_refused_when_they_break_a_rule() {
        check(&[], Ok(None));
        check(&[0x82, 0x85, 1, 2, 3], Ok(None));
        check(
            &[0x82, 0x85, 1, 2, 3, 4],
            Ok(Some((true, Opcode::Binary, 6, 5))),
        );
        check(&[0x01, 0xfe, 0x01], Ok(None));
        check(
            &[0x01, 0xfe, 0x01, 0x00, 9, 9, 9, 9],
            Ok(Some((false, Opcode::Text, 8, 256))),
        );
        check(
            &[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 9, 9, 9, 9],
            Ok(Some((true, Opcode::Binary, 14, 65_536))),
        );
        // One byte more than the largest message; a length that fills 64 bits.
        check(&[0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1], Err(Violation));
        check(
            &[0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255],
            Err(Violation),
        );
        // Unmasked, reserved bit, unknown opcode, a ping in fragments, a ping that is too long.
        check(&[0x82, 0x05], Err(Violation));
        check(&[0xc2, 0x85], Err(Violation));
        check(&[0x83, 0x85], Err(Violation));
        check(&[0x09, 0x85, 1, 2, 3, 4], Err(Violation));
        check(&[0x89, 0xfe, 0, 126, 1, 2, 3, 4], Err(Violation));
    }

    #[test]
    fn unmasking_agrees_with_byte_by_byte_at_every_length() {
        let key = [0x12, 0x34, 0x56, 0x78];
        for length in 0..40_usize {
            let plain: Vec<u8> = (0..length as u8).collect();
            let mut masked: Vec<u8> = (0..length).map(|at| plain[at] ^ key[at % 4]).collect();
            unmask(&mut masked, key);
            assert_eq!(masked, plain);
        }
    }

    #[test]
    fn frames_are_encoded_with_the_shortest_length() {
        assert_eq!(
            encode(Opcode::Binary, b"abc"),
            [0x82, 3, b'a', b'b', b'c'].to_vec()
        );
        assert_eq!(encode(Opcode::Text, &[0; 126])[..4], [0x81, 126, 0, 126]);
        assert_eq!(
            encode(Opcode::Binary, &vec![0; 65_536])[..10],
            [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]
        );
    }
}
