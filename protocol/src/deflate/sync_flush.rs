//! A DEFLATE stream of one final block becomes what zlib's sync flush leaves: a block that is not
//! final, and the start of an empty stored one (RFC 7692 §7.2.1). A peer may keep one inflater for
//! all messages, and a final block ends that for good (undici, Tornado, aiohttp before 3.14). Where
//! the block ends is read from its header, never guessed; nothing is inflated. Called by the
//! deflater.

/// Bits of a block's header: BFINAL, BTYPE (RFC 1951 §3.2.3).
const HEADER_BITS: usize = 3;
/// BFINAL of the first block.
const FINAL: u8 = 1;
const END_OF_BLOCK: usize = 256;

/// Where the lengths of the code of code lengths stand (RFC 1951 §3.2.7).
const ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];
/// Its longest code, in bits.
const LENGTH_CODE_BITS: usize = 7;
/// Bits of the length of one of its codes.
const LENGTH_BITS: usize = 3;
/// Bits that one look at a stream shows at least.
const WORD_BITS: usize = u64::BITS as usize - 7;
const _: () = assert!(ORDER.len() * LENGTH_BITS <= WORD_BITS && LENGTH_CODE_BITS + 7 <= WORD_BITS);
/// In it: the length before, 3 to 6 times; no code, 3 to 10 times. Larger still: no code, 11 to 138
/// times.
const REPEATED: u8 = 16;
const ABSENT: u8 = 17;

/// Makes the only block of a stream one that is not final. `Some`: the zero bytes that are to
/// follow, 0 or 1, and then it is the payload of a message. `None`: the stream has several blocks,
/// or one whose end cannot be found without inflating it, and is as it was.
pub(super) fn unfinish(stream: &mut [u8]) -> Option<usize> {
    let padding = stream.len() * 8 - end_bits(stream)?;
    *stream.first_mut()? &= !FINAL;
    // The empty block's header is three zeros. They stand in the padding, if it has room for them;
    // where its length would follow, the payload ends.
    Some(usize::from(padding < HEADER_BITS))
}

/// Bits of a stream whose first block is its last.
fn end_bits(stream: &[u8]) -> Option<usize> {
    let mut bits = Bits { stream, at: 0 };
    if bits.take(1) != u32::from(FINAL) {
        return None;
    }
    let end = match bits.take(2) {
        // What is stored ends with a byte.
        0 => stream.len() * 8,
        1 => bits.fixed_end()?,
        2 => bits.dynamic_end()?,
        _ => return None,
    };
    // Less than a byte of padding is behind it.
    (stream.len() * 8)
        .checked_sub(end)
        .filter(|padding| *padding < 8)?;
    Some(end)
}

/// A stream's bits, from the least significant of each byte on; behind its end they are 0.
struct Bits<'s> {
    stream: &'s [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next bits, 32 at most; they stay.
    #[inline]
    fn peek(&self, count: usize) -> u32 {
        self.word() as u32 & ((1_u64 << count) - 1) as u32
    }

    /// The next bits, [`WORD_BITS`] at least; they stay.
    #[inline]
    fn word(&self) -> u64 {
        let rest = self.stream.get(self.at / 8..).unwrap_or(&[]);
        let word = match rest.first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => {
                let mut word = [0; 8];
                word[..rest.len()].copy_from_slice(rest);
                u64::from_le_bytes(word)
            }
        };
        word >> (self.at % 8)
    }

    fn take(&mut self, count: usize) -> u32 {
        let bits = self.peek(count);
        self.at += count;
        bits
    }

    /// Of a block with fixed codes: they are walked over, since the end's is seven zeros, which
    /// padding could be, too. Compressors choose such blocks for short messages.
    fn fixed_end(&mut self) -> Option<usize> {
        while self.at < self.stream.len() * 8 {
            // Codes are packed with their most significant bit first (RFC 1951 §3.1.1).
            let next = self.peek(9).reverse_bits() >> (32 - 9);
            let (bits, symbol) = match next {
                0..0x060 => (7, END_OF_BLOCK + (next >> 2) as usize),
                0x060..0x180 | 0x190.. => {
                    self.at += if next < 0x180 { 8 } else { 9 };
                    continue;
                }
                0x180..0x190 => (8, 280 + ((next - 0x180) >> 1) as usize),
            };
            self.at += bits;
            match symbol {
                END_OF_BLOCK => return Some(self.at),
                257..=264 | 285 => {}
                265..=284 => self.at += (symbol - 261) / 4,
                _ => return None,
            }
            let distance = (self.take(5).reverse_bits() >> (32 - 5)) as usize;
            self.at += (distance / 2).saturating_sub(1);
        }
        None
    }

    /// Of a block with its own codes: the end's has a bit that is set, and no such bit is behind
    /// it.
    fn dynamic_end(&mut self) -> Option<usize> {
        let (code, bits) = self.end_code()?;
        if code == 0 {
            return None;
        }
        let last = self.stream.iter().rposition(|byte| *byte != 0)?;
        let last_set = last * 8 + self.stream[last].ilog2() as usize;
        let end = last_set + 1 + code.trailing_zeros() as usize;
        let there = Bits {
            stream: self.stream,
            at: end.checked_sub(bits)?,
        };
        let is_there = there.peek(bits).reverse_bits() >> (32 - bits) == code;
        is_there.then_some(end)
    }

    /// The code that ends the block, and its bits.
    fn end_code(&mut self) -> Option<(u32, usize)> {
        let count = END_OF_BLOCK + 1 + self.take(5) as usize;
        let _distances = self.take(5);
        let mut codes = LengthCodes::NONE;
        self.read_length_codes(&mut codes)?;
        // How many symbols have a code of each length, literals apart from the others.
        let (mut literals, mut others) = ([0_u16; 16], [0_u16; 16]);
        let (mut at, mut length, mut end_bits) = (0, 0, 0);
        let (mut word, mut left) = (0, 0);
        while at < count {
            // One look shows several codes with what follows them.
            if left < LENGTH_CODE_BITS + 7 {
                (word, left) = (self.word(), WORD_BITS);
            }
            let (symbol, bits) = codes.find(word);
            let behind = (word >> bits) as usize;
            let (times, more_bits) = match symbol {
                0..=15 => {
                    length = usize::from(symbol);
                    (1, 0)
                }
                REPEATED => (3 + (behind & 0x3), 2),
                ABSENT => {
                    length = 0;
                    (3 + (behind & 0x7), 3)
                }
                _ => {
                    length = 0;
                    (11 + (behind & 0x7f), 7)
                }
            };
            let used = bits + more_bits;
            self.at += used;
            word >>= used;
            left -= used;
            // The last of them may go on into the lengths of the distances' codes.
            let next = (at + times).min(count);
            if next <= END_OF_BLOCK {
                literals[length] += times as u16;
            } else {
                literals[length] += END_OF_BLOCK.saturating_sub(at) as u16;
                others[length] += (next - at.max(END_OF_BLOCK + 1).min(next)) as u16;
                if at <= END_OF_BLOCK {
                    end_bits = length;
                }
            }
            at = next;
        }
        if end_bits == 0 {
            return None;
        }
        // Codes of one length follow one another, those of the next one follow them (RFC 1951
        // §3.2.2).
        let shorter =
            (1..end_bits).map(|bits| u32::from(literals[bits] + others[bits]) << (end_bits - bits));
        let code = shorter.sum::<u32>() + u32::from(literals[end_bits]);
        (code < 1 << end_bits).then_some((code, end_bits))
    }

    /// Takes the code of code lengths. `None`: it is not complete, so that a stream which is none
    /// could be read for ever.
    fn read_length_codes(&mut self, codes: &mut LengthCodes) -> Option<()> {
        let count = self.take(4) as usize + 4;
        let mut word = self.word();
        self.at += count * LENGTH_BITS;
        let mut lengths = [0_u8; ORDER.len()];
        let mut counts = [0_u8; LENGTH_CODE_BITS + 1];
        for symbol in &ORDER[..count] {
            let length = (word & 0x7) as u8;
            lengths[*symbol] = length;
            counts[usize::from(length)] += 1;
            word >>= LENGTH_BITS;
        }
        let longest = (1..=LENGTH_CODE_BITS).rfind(|bits| counts[*bits] > 0)?;
        let mut next = [0_u8; LENGTH_CODE_BITS + 1];
        let mut places = 0;
        for bits in 1..=longest {
            next[bits] = (places << 1) as u8;
            places = (places << 1) + u32::from(counts[bits]);
        }
        if places != 1 << longest {
            return None;
        }
        codes.mask = (1 << longest) - 1;
        for (symbol, length) in lengths.into_iter().enumerate() {
            if length == 0 {
                continue;
            }
            let code = &mut next[usize::from(length)];
            let mut place = usize::from(code.reverse_bits() >> (8 - length));
            *code = code.wrapping_add(1);
            while place <= codes.mask as usize {
                codes.codes[place % (1 << LENGTH_CODE_BITS)] =
                    (symbol as u16) << 8 | u16::from(length);
                place += 1 << length;
            }
        }
        Some(())
    }
}

/// A code of code lengths: for each value of the next bits, as many as its longest code has, the
/// symbol that they begin with, and the bits of its code in the lower byte.
struct LengthCodes {
    codes: [u16; 1 << LENGTH_CODE_BITS],
    mask: u64,
}

impl LengthCodes {
    const NONE: LengthCodes = LengthCodes {
        codes: [0; 1 << LENGTH_CODE_BITS],
        mask: 0,
    };

    /// The symbol that these bits begin with, and the bits of its code.
    #[inline]
    fn find(&self, bits: u64) -> (u8, usize) {
        let code = self.codes[(bits & self.mask) as usize % self.codes.len()];
        ((code >> 8) as u8, usize::from(code & 0xff))
    }
}
