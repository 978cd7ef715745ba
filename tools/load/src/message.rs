//! The body of every measured message: a stamp that says who sent it, as what number and when, and
//! padding that is known. Invariant: what `Body::read` accepts was written by `Body::write` of the
//! same run. Called by `dialect`.

use crate::content::{JSON_BEGIN, JSON_REST_BYTES_MIN, VARIANTS, json, pattern};
use serde::{Deserialize, Serialize};

/// Bytes of an encoded stamp.
pub(crate) const STAMP_BYTES: usize = 32;

/// What a message is for. The values are never `S` or `P`, which mean something to a raw server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A measured round trip.
    Echo = b'e',
    /// A round trip that only says: what was sent before it has been taken in.
    Barrier = b'b',
    /// A measured publish.
    Publish = b'm',
    /// A publish that only says: you are subscribed.
    Probe = b'q',
}

/// Who sent a message, as what number, and when it was meant to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) kind: Kind,
    /// Connection (echo) or publisher.
    pub(crate) sender: u32,
    /// Room of a publish.
    pub(crate) room: u32,
    /// From 0, without holes, per connection (echo) or per publisher and room.
    pub(crate) sequence: u64,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub(crate) intended_ns: u64,
}

impl Stamp {
    fn encode(&self, run: u32) -> [u8; STAMP_BYTES] {
        let mut bytes = [0; STAMP_BYTES];
        bytes[..4].copy_from_slice(&run.to_le_bytes());
        bytes[0] = self.kind as u8;
        bytes[4..8].copy_from_slice(&self.sender.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.room.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..].copy_from_slice(&self.intended_ns.to_le_bytes());
        let sum = checksum(&bytes);
        bytes[12..16].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// `None`: damaged, or of another run.
    fn decode(bytes: &[u8; STAMP_BYTES], run: u32) -> Option<Stamp> {
        let mut unsummed = *bytes;
        unsummed[12..16].fill(0);
        let kind = match bytes[0] {
            b'e' => Kind::Echo,
            b'b' => Kind::Barrier,
            b'm' => Kind::Publish,
            b'q' => Kind::Probe,
            _ => return None,
        };
        let intact = checksum(&unsummed) == word32(bytes, 12) && word32(bytes, 0) >> 8 == run >> 8;
        intact.then(|| Stamp {
            kind,
            sender: word32(bytes, 4),
            room: word32(bytes, 8),
            sequence: word64(bytes, 16),
            intended_ns: word64(bytes, 24),
        })
    }
}

/// How a stamp looks on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Encoding {
    /// As it is.
    Binary,
    /// As lower-case hexadecimal digits, inside a JSON string.
    Hex,
    /// The same, in a JSON object that is the body.
    Json,
}

impl Encoding {
    /// Smallest body in bytes.
    pub(crate) const fn body_bytes_min(self) -> usize {
        match self {
            Encoding::Binary | Encoding::Hex => self.padding_at(),
            Encoding::Json => self.padding_at() + JSON_REST_BYTES_MIN,
        }
    }

    /// What stands before the stamp.
    const fn begin(self) -> &'static [u8] {
        match self {
            Encoding::Binary | Encoding::Hex => b"",
            Encoding::Json => JSON_BEGIN,
        }
    }

    /// Where the padding begins.
    const fn padding_at(self) -> usize {
        match self {
            Encoding::Binary => STAMP_BYTES,
            Encoding::Hex => 2 * STAMP_BYTES,
            Encoding::Json => JSON_BEGIN.len() + 2 * STAMP_BYTES,
        }
    }
}

/// Why a body was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corrupted;

/// The form of all bodies of a run.
#[derive(Debug)]
pub(crate) struct Body {
    encoding: Encoding,
    run: u32,
    /// Of the longest body, by variant; at least one.
    paddings: Vec<Vec<u8>>,
    /// Whether lengths follow `MIX`.
    mixed: bool,
}

/// Lengths of mixed bodies in bytes, and how many of a hundred have each: short lines mostly, now
/// and then a page.
pub(crate) const MIX: [(usize, u64); 7] = [
    (64, 30),
    (128, 30),
    (256, 20),
    (512, 12),
    (1024, 5),
    (2048, 2),
    (4096, 1),
];

impl Body {
    /// Bodies of `bytes` bytes, at least `encoding.body_bytes_min()`; `run` tells runs apart (its
    /// low 8 bits are not used).
    pub(crate) fn new(encoding: Encoding, run: u32, bytes: usize) -> Body {
        assert!(bytes >= encoding.body_bytes_min(), "checked by the plan");
        let rest = bytes - encoding.padding_at();
        Body {
            encoding,
            run,
            paddings: match encoding {
                Encoding::Binary | Encoding::Hex => vec![pattern(rest)],
                Encoding::Json => (0..VARIANTS).map(|variant| json(variant, rest)).collect(),
            },
            mixed: false,
        }
    }

    /// Bodies of the lengths of `MIX`; which one a message has follows from its stamp.
    pub(crate) fn mixed(encoding: Encoding, run: u32) -> Body {
        let longest = MIX.iter().map(|&(bytes, _)| bytes).max();
        let longest = longest.unwrap_or(encoding.body_bytes_min());
        Body {
            mixed: true,
            ..Body::new(encoding, run, longest)
        }
    }

    /// Length of the longest in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.encoding.padding_at() + self.paddings[0].len()
    }

    /// How many different ones there are, stamps aside.
    pub(crate) fn variants(&self) -> usize {
        self.paddings.len()
    }

    /// Which of them a message has.
    pub(crate) fn variant(&self, stamp: &Stamp) -> usize {
        (draw(stamp) % self.paddings.len() as u64) as usize
    }

    /// Where the part that differs between messages of a variant lies.
    pub(crate) fn head_at(&self) -> usize {
        self.encoding.begin().len()
    }

    /// Lengths that there are.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = usize> {
        let mix = MIX.iter().map(|&(bytes, _)| bytes);
        let one = (!self.mixed).then(|| self.bytes());
        mix.filter(|_| self.mixed).chain(one)
    }

    /// Whether there are several.
    pub(crate) fn is_mixed(&self) -> bool {
        self.mixed
    }

    /// What follows the stamp's own bytes.
    fn padding(&self, stamp: &Stamp) -> &[u8] {
        if !self.mixed {
            return &self.paddings[self.variant(stamp)];
        }
        let mut percent = draw(stamp) % 100;
        let length = MIX.iter().find_map(|&(bytes, share)| {
            let found = percent < share;
            percent = percent.saturating_sub(share);
            found.then_some(bytes)
        });
        let longest = self.paddings[0].len();
        let length = length.map_or(longest, |bytes| bytes - self.encoding.padding_at());
        &self.paddings[0][..length]
    }

    /// The whole body.
    pub(crate) fn write(&self, stamp: &Stamp) -> Vec<u8> {
        let mut head = [0; 2 * STAMP_BYTES];
        let mut body = self.encoding.begin().to_vec();
        body.extend_from_slice(self.head(stamp, &mut head));
        body.extend_from_slice(self.padding(stamp));
        body
    }

    /// The part of the body that differs between messages of a variant; it stands at `head_at`.
    pub(crate) fn head<'b>(&self, stamp: &Stamp, head: &'b mut [u8; 2 * STAMP_BYTES]) -> &'b [u8] {
        let bytes = stamp.encode(self.run);
        match self.encoding {
            Encoding::Binary => {
                head[..STAMP_BYTES].copy_from_slice(&bytes);
                &head[..STAMP_BYTES]
            }
            Encoding::Hex | Encoding::Json => {
                for (pair, byte) in head.chunks_exact_mut(2).zip(bytes) {
                    pair[0] = DIGITS[usize::from(byte >> 4)];
                    pair[1] = DIGITS[usize::from(byte & 15)];
                }
                head
            }
        }
    }

    /// The stamp of an intact body.
    pub(crate) fn read(&self, body: &[u8]) -> Result<Stamp, Corrupted> {
        if body.len() < self.encoding.body_bytes_min() {
            return Err(Corrupted);
        }
        let (head, padding) = body.split_at(self.encoding.padding_at());
        let Some(head) = head.strip_prefix(self.encoding.begin()) else {
            return Err(Corrupted);
        };
        let mut stamp = [0; STAMP_BYTES];
        match self.encoding {
            Encoding::Binary => stamp.copy_from_slice(head),
            Encoding::Hex | Encoding::Json => {
                for (byte, pair) in stamp.iter_mut().zip(head.chunks_exact(2)) {
                    *byte = digit(pair[0])? << 4 | digit(pair[1])?;
                }
            }
        }
        let stamp = Stamp::decode(&stamp, self.run).ok_or(Corrupted)?;
        let expected = self.padding(&stamp);
        if padding.len() != expected.len() {
            return Err(Corrupted);
        }
        // Long padding is compared in full once in 16 messages, else at both ends: comparing is
        // what costs.
        let intact = if padding.len() <= EDGE_BYTES * 2 || stamp.sequence.is_multiple_of(16) {
            padding == expected
        } else {
            let tail = padding.len() - EDGE_BYTES;
            padding[..EDGE_BYTES] == expected[..EDGE_BYTES] && padding[tail..] == expected[tail..]
        };
        if intact { Ok(stamp) } else { Err(Corrupted) }
    }
}

const EDGE_BYTES: usize = 256;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A number that follows from who, where and which.
fn draw(stamp: &Stamp) -> u64 {
    let which = u64::from(stamp.sender) << 32 ^ u64::from(stamp.room) << 16 ^ stamp.sequence;
    let mixed = which.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    mixed.wrapping_mul(0xff51_afd7_ed55_8ccd) >> 32
}

fn digit(byte: u8) -> Result<u8, Corrupted> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(Corrupted),
    }
}

fn word32(bytes: &[u8; STAMP_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn word64(bytes: &[u8; STAMP_BYTES], at: usize) -> u64 {
    u64::from(word32(bytes, at)) | u64::from(word32(bytes, at + 4)) << 32
}

/// Every input bit reaches the result: multiplications by odd numbers lose nothing, the final shift
/// folds the high half in.
fn checksum(bytes: &[u8; STAMP_BYTES]) -> u32 {
    let sum = (0..STAMP_BYTES)
        .step_by(8)
        .fold(0x9e37_79b9_7f4a_7c15_u64, |sum, at| {
            let mixed = (sum ^ word64(bytes, at)).wrapping_mul(0xff51_afd7_ed55_8ccd);
            mixed ^ mixed >> 32
        });
    sum as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        kind: Kind::Publish,
        sender: 7,
        room: 3,
        sequence: 0x0102_0304_0506,
        intended_ns: 1 << 50,
    };

    #[test]
    fn what_is_written_is_read() {
        for (encoding, bytes) in [
            (Encoding::Binary, 32),
            (Encoding::Binary, 64),
            (Encoding::Binary, 5000),
            (Encoding::Hex, 64),
            (Encoding::Hex, 65),
            (Encoding::Json, 202),
            (Encoding::Json, 1024),
        ] {
            let body = Body::new(encoding, 0xabcd_ef00, bytes);
            for kind in [Kind::Echo, Kind::Barrier, Kind::Publish, Kind::Probe] {
                let stamp = Stamp { kind, ..STAMP };
                let written = body.write(&stamp);
                assert_eq!(written.len(), bytes);
                assert_eq!(body.read(&written), Ok(stamp));
            }
        }
    }

    #[test]
    fn mixed_lengths_are_mixed_as_they_should_be() {
        let body = Body::mixed(Encoding::Hex, 0xabcd_ef00);
        let mut counts = std::collections::BTreeMap::new();
        for sequence in 0..10_000 {
            for sender in 0..10 {
                let stamp = Stamp {
                    sender,
                    sequence,
                    ..STAMP
                };
                let written = body.write(&stamp);
                assert_eq!(body.read(&written), Ok(stamp));
                assert_eq!(body.read(&written[..written.len() - 1]), Err(Corrupted));
                *counts.entry(written.len()).or_insert(0) += 1;
            }
        }
        let lengths: Vec<usize> = body.lengths().collect();
        assert!(counts.keys().eq(&lengths), "{counts:?}");
        for (bytes, percent) in MIX {
            let count = counts[&bytes];
            assert!(
                (percent * 900..percent * 1_100).contains(&count),
                "{bytes}: {count}"
            );
        }
    }

    #[test]
    fn no_damaged_bit_passes() {
        for (encoding, bytes) in [
            (Encoding::Binary, 100),
            (Encoding::Hex, 100),
            (Encoding::Json, 210),
        ] {
            let body = Body::new(encoding, 0xabcd_ef00, bytes);
            let written = body.write(&STAMP);
            for bit in 0..written.len() * 8 {
                let mut damaged = written.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(
                    body.read(&damaged),
                    Err(Corrupted),
                    "bit {bit} of {encoding:?}"
                );
            }
            assert_eq!(body.read(&written[1..]), Err(Corrupted));
            assert_eq!(
                Body::new(encoding, 0x1234_5600, bytes).read(&written),
                Err(Corrupted),
                "another run"
            );
        }
    }
}
