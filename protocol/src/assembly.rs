//! A message in progress: its fragments, or one large frame that arrives in parts. What arrives is
//! copied once, unmasked and checked on the way, to where the message will stand.
//!
//! Invariant: it never holds more than `message_bytes_max`, nor reserves more than four times what
//! has arrived. Owned by a connection, filled by the readers.

use crate::close::ProtocolError;
use crate::frame::Kind;
use crate::mask::append_unmasked;

/// A message in progress. Absent (`None`) on a connection that is between messages.
#[derive(Debug)]
pub struct Assembly {
    kind: Kind,
    /// Never longer than `message_bytes_max`, nor is its capacity.
    bytes: Vec<u8>,
    /// Bytes from the start known to be complete characters (text only). At most three bytes lie
    /// behind it between two parts, so checking is linear however small the parts are.
    checked: usize,
    is_compressed: bool,
    /// More than one frame.
    is_fragmented: bool,
    frame: FrameAtHand,
}

/// The frame that is being taken; between two frames nothing is left of it.
#[derive(Debug, Default)]
struct FrameAtHand {
    /// Bytes that are still to come.
    left: usize,
    /// Of the next byte on; `None`: it is not masked.
    key: Option<[u8; 4]>,
    is_final: bool,
}

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageProgress {
    /// The frame at hand goes on.
    Part,
    /// A frame is complete, and others follow.
    Frame,
    /// The message is complete.
    Message,
}

impl Assembly {
    /// Payloads from this size on are taken as they arrive.
    pub const LARGE_BYTES: usize = 16 << 10;

    /// Memory follows what has arrived: at most so many times as much is reserved. A message of 1
    /// MiB that comes in pieces of 16 KiB moves to a larger place four times, a third of it in all.
    const GROWTH: usize = 4;

    pub(crate) fn new(kind: Kind) -> Assembly {
        Assembly {
            kind,
            bytes: Vec::new(),
            checked: 0,
            is_compressed: false,
            is_fragmented: false,
            frame: FrameAtHand::default(),
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

    /// A frame has begun and is not complete: what comes next belongs to it.
    pub fn is_in_frame(&self) -> bool {
        self.frame.left > 0
    }

    /// The message has more than one frame.
    pub fn is_fragmented(&self) -> bool {
        self.is_fragmented
    }

    /// A frame begins that the header check found to belong and to fit.
    pub(crate) fn begin_frame(&mut self, left: usize, key: Option<[u8; 4]>, is_final: bool) {
        self.is_fragmented |= !is_final;
        self.frame = FrameAtHand {
            left,
            key,
            is_final,
        };
    }

    /// Appends a fragment that the header check found to belong and to fit, without its mask.
    ///
    /// # Errors
    /// As of [`Assembly::take`].
    pub(crate) fn push(
        &mut self,
        fragment: &[u8],
        is_final: bool,
        message_bytes_max: usize,
    ) -> Result<(), ProtocolError> {
        self.is_fragmented |= !is_final;
        let needed = self.bytes.len() + fragment.len();
        if needed > self.bytes.capacity() {
            // Doubles, but never beyond what the message may reach.
            let target = needed.max((self.bytes.capacity() * 2).min(message_bytes_max));
            self.bytes.reserve_exact(target - self.bytes.len());
        }
        self.bytes.extend_from_slice(fragment);
        let progress = match is_final {
            true => MessageProgress::Message,
            false => MessageProgress::Frame,
        };
        match self.kind == Kind::Text && !self.is_compressed {
            true => self.check_text(progress),
            false => Ok(()),
        }
    }

    /// Takes what there is of the frame at hand. How many bytes that was, and how far the message
    /// is by that.
    ///
    /// # Errors
    /// The bytes so far cannot begin any text, or end one that is over (RFC 6455 §8.1).
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        message_bytes_max: usize,
    ) -> Result<(usize, MessageProgress), ProtocolError> {
        let taken = self.frame.left.min(bytes.len());
        self.reserve(taken, message_bytes_max);
        match &mut self.frame.key {
            Some(key) => {
                append_unmasked(&mut self.bytes, &bytes[..taken], *key);
                key.rotate_left(taken % 4);
            }
            None => self.bytes.extend_from_slice(&bytes[..taken]),
        }
        self.frame.left -= taken;
        let progress = match (self.frame.left, self.frame.is_final) {
            (0, true) => MessageProgress::Message,
            (0, false) => MessageProgress::Frame,
            _ => MessageProgress::Part,
        };
        if self.kind == Kind::Text && !self.is_compressed {
            self.check_text(progress)?;
        }
        Ok((taken, progress))
    }

    /// Room for `more` bytes, and for some of what is known to follow.
    fn reserve(&mut self, more: usize, message_bytes_max: usize) {
        let (length, capacity) = (self.bytes.len(), self.bytes.capacity());
        let needed = length + more;
        if needed <= capacity {
            return;
        }
        let known = (length + self.frame.left).min(Self::GROWTH * needed);
        // How many fragments are still to come is not known.
        let guessed = match self.frame.is_final {
            true => 0,
            false => (2 * capacity).min(message_bytes_max),
        };
        let target = needed.max(known).max(guessed);
        self.bytes.reserve_exact(target - length);
    }

    /// The beginning of a character that the fragments so far ended in, at most three bytes; `None`
    /// if they are no plain text.
    pub(crate) fn begun_character(&self) -> Option<&[u8]> {
        let is_plain_text = self.kind == Kind::Text && !self.is_compressed;
        is_plain_text.then(|| &self.bytes[self.checked..])
    }

    fn check_text(&mut self, progress: MessageProgress) -> Result<(), ProtocolError> {
        match simdutf8::compat::from_utf8(&self.bytes[self.checked..]) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(error) if error.error_len().is_none() && progress != MessageProgress::Message => {
                self.checked += error.valid_up_to();
            }
            Err(_) => return Err(ProtocolError::TextNotUtf8),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// `payload` as a peer masks it.
    fn masked(payload: &[u8]) -> Vec<u8> {
        let keys = KEY.iter().cycle();
        payload
            .iter()
            .zip(keys)
            .map(|(byte, key)| byte ^ key)
            .collect()
    }

    #[test]
    fn an_assembly_never_holds_more_than_a_message_may() {
        for (fragment_bytes, fragments) in [(1, 1000), (7, 142), (300, 3), (500, 2), (1000, 1)] {
            let mut assembly = Assembly::new(Kind::Binary);
            for _ in 0..fragments {
                assembly.begin_frame(fragment_bytes, None, false);
                assembly.take(&vec![0; fragment_bytes], 1000).unwrap();
                assert!(assembly.capacity() <= 1000, "{}", assembly.capacity());
            }
            assert_eq!(assembly.len(), fragment_bytes * fragments);
        }
    }

    /// A large frame in parts of any size: byte for byte, with memory that follows what arrived and
    /// ends at what the message takes.
    #[test]
    fn a_frame_in_parts_is_unmasked_and_its_memory_follows_what_arrives() {
        for (bytes, part_bytes, moves_max) in [
            (40_000, 1, 10),
            (40_000, 4_099, 3),
            (61_440, 16_640, 1),
            (1 << 20, 16_640, 4),
            (16 << 20, 16_640, 6),
            (16 << 20, 66_560, 5),
        ] {
            let payload: Vec<u8> = (0..bytes).map(|at| (at * 31 % 251) as u8).collect();
            let mut assembly = Assembly::new(Kind::Binary);
            assembly.begin_frame(bytes, Some(KEY), true);
            let (mut moves, mut progress) = (0, MessageProgress::Part);
            for part in masked(&payload).chunks(part_bytes) {
                let before = assembly.capacity();
                assert!(assembly.is_in_frame());
                progress = assembly.take(part, 64 << 20).unwrap().1;
                moves += usize::from(assembly.capacity() > before);
                assert!(assembly.capacity() <= Assembly::GROWTH * assembly.len());
            }
            assert_eq!(
                (progress, assembly.capacity()),
                (MessageProgress::Message, bytes)
            );
            assert!(moves <= moves_max, "{moves} for {bytes} in {part_bytes}");
            assert!(assembly.finish().1 == payload, "{bytes} in {part_bytes}");
        }
    }

    #[test]
    fn what_is_behind_a_frame_is_not_taken() {
        let mut assembly = Assembly::new(Kind::Binary);
        assembly.begin_frame(3, Some(KEY), false);
        assert_eq!(
            assembly.take(&masked(b"abcd"), 9),
            Ok((3, MessageProgress::Frame))
        );
        assembly.begin_frame(2, None, true);
        assert_eq!(assembly.take(b"d", 9), Ok((1, MessageProgress::Part)));
        assert_eq!(assembly.take(b"efg", 9), Ok((1, MessageProgress::Message)));
        assert!(assembly.is_fragmented() && !assembly.is_in_frame());
        assert_eq!(assembly.finish(), (Kind::Binary, b"abcde".to_vec()));
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
                assembly.begin_frame(fragment.len(), None, false);
                assert!(assembly.take(fragment, text.len()).is_ok());
                assert!(assembly.len() - assembly.checked <= 3, "{first_bytes}");
            }
            assembly.begin_frame(0, None, true);
            assert_eq!(
                assembly.take(b"", text.len()),
                Ok((0, MessageProgress::Message))
            );
            assert_eq!(assembly.checked, text.len());
        }
    }

    #[test]
    fn a_large_text_is_refused_at_the_first_wrong_byte() {
        for (good, wrong, ends) in [
            (&b"abc\xe2\x82"[..], &b"x"[..], false),
            (b"abc", b"\xff", false),
            (b"abc\xe2", b"\x82", true),
        ] {
            let mut assembly = Assembly::new(Kind::Text);
            let left = good.len() + wrong.len() + usize::from(!ends);
            assembly.begin_frame(left, Some(KEY), true);
            let bytes = masked(&[good, wrong].concat());
            let (first, second) = bytes.split_at(good.len());
            assert!(assembly.take(first, 99).is_ok());
            let refused = assembly.take(second, 99);
            assert_eq!(refused, Err(ProtocolError::TextNotUtf8), "{wrong:?}");
        }
    }
}
