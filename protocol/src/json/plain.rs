//! Runs of characters that stand for themselves in a JSON string: how far one goes, eight bytes at
//! a time, and 32 where it is long.
//!
//! Invariant: a run ends at the first quote, backslash or control character, wherever that stands
//! in a word. Called by the scanner, and by what writes strings.

/// Skips what may stand in a string as it is: all but the quote, the backslash and control
/// characters (RFC 8259 §7).
#[inline]
pub(super) fn skip_plain(bytes: &[u8], mut at: usize) -> usize {
    let wide_from = at + WIDE_FROM_BYTES;
    while let Some(word) = word_at(bytes, at) {
        let special = special_bytes(word);
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
        if at == wide_from {
            at += plain_blocks_bytes(&bytes[at..]);
        }
    }
    if let Some(word) = last_word(bytes, at) {
        return at + (special_bytes(word).trailing_zeros() / 8) as usize;
    }
    while bytes.get(at).is_some_and(|byte| !is_special(*byte)) {
        at += 1;
    }
    at
}

/// Whether a text stands for itself as a whole. For short ones: it has no early end.
#[inline]
pub(super) fn is_plain(text: &[u8]) -> bool {
    let is_plain = |word: &[u8; 8]| special_bytes(u64::from_le_bytes(*word)) == 0;
    if let Some(last) = text.last_chunk::<8>() {
        let (words, _) = text.as_chunks::<8>();
        words.iter().all(is_plain) && is_plain(last)
    } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let ([a, b, c, d], [e, f, g, h]) = (*first, *last);
        is_plain(&[a, b, c, d, e, f, g, h])
    } else {
        !text.iter().any(|byte| is_special(*byte))
    }
}

/// How much of a string is looked at word by word before blocks are: a line of text must not
/// pay for starting the wide loop. A multiple of 8.
const WIDE_FROM_BYTES: usize = 64;

/// Eight bytes from here on, the first lowest.
#[inline(always)]
pub(super) fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*word))
}

/// The bytes from here on, of which there are fewer than eight, with zeros behind them, which are
/// special. `None`: there is no byte here, or the text has no word.
#[inline(always)]
pub(super) fn last_word(bytes: &[u8], at: usize) -> Option<u64> {
    let left = bytes.len().checked_sub(at).filter(|left| *left > 0)?;
    let word = u64::from_le_bytes(*bytes.last_chunk::<8>()?);
    Some(word >> (64 - 8 * left))
}

fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// How many bytes of blocks without a special byte there are.
#[inline(never)]
fn plain_blocks_bytes(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<32>();
    // No early exit inside a block: the compiler turns it into vector instructions.
    let is_plain = |block: &&[u8; 32]| {
        let (words, _) = block.as_chunks::<8>();
        words.iter().fold(0, |special, word| {
            special | special_bytes(u64::from_le_bytes(*word))
        }) == 0
    };
    32 * blocks.iter().take_while(is_plain).count()
}

/// Sets the high bit of each special byte in a word of eight. Borrows can set a wrong bit only
/// above the lowest right one, so the lowest set bit is exact ("Bit Twiddling Hacks", hasless).
#[inline]
pub(super) fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    // Swaps 0x20 and 0x22, so that the quote is next to the control characters and one comparison
    // finds both.
    let quote_or_control = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * 0x5c)).wrapping_sub(ONES);
    // No byte above 0x7f is special, and exclusive or with less than that leaves the high bit
    // alone.
    (quote_or_control | backslash) & !word & HIGHS
}

#[cfg(test)]
mod tests {
    use super::{is_plain, is_special, skip_plain};

    #[test]
    fn a_run_ends_at_the_first_special_byte_wherever_it_stands() {
        let plain = [b' ', b'a', 0x7f, 0x80, 0xff, b'!', b'#', b'[', b']'];
        for len in 0..=200_usize {
            let clean: Vec<u8> = (0..len).map(|i| plain[i % plain.len()]).collect();
            assert_eq!(skip_plain(&clean, 0), len);
            assert!(is_plain(&clean));
            for special in [b'"', b'\\', 0x00, 0x0a, 0x1f] {
                for at in 0..len {
                    let mut bytes = clean.clone();
                    bytes[at] = special;
                    assert_eq!(skip_plain(&bytes, 0), at, "{special:#x} at {at} of {len}");
                    assert_eq!(skip_plain(&bytes, at), at, "{special:#x} at {at} of {len}");
                    assert!(!is_plain(&bytes), "{special:#x} at {at} of {len}");
                    // A second one behind it changes nothing.
                    bytes[len - 1] = b'"';
                    assert_eq!(skip_plain(&bytes, 0), at, "{special:#x} at {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn every_byte_is_judged_alike_in_a_word_and_alone() {
        for byte in 0..=u8::MAX {
            for before in 0..8 {
                let mut bytes = vec![b'a'; 8];
                bytes[before] = byte;
                let expected = if is_special(byte) { before } else { 8 };
                assert_eq!(skip_plain(&bytes, 0), expected, "{byte:#x} behind {before}");
            }
        }
    }
}
