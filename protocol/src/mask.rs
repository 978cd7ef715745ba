//! Masking (RFC 6455 §5.3, clause 6455-6.2-5): XOR with a key that repeats every four bytes. Called
//! by the reader, in place or while it copies, and by client writers.

/// Bytes per vector turn. A multiple of 4, so that every turn starts with the key's first byte; the
/// fixed size lets the compiler emit full-width vector operations without a byte of `unsafe`.
const LANE_BYTES: usize = 64;
const WORD_BYTES: usize = 8;
const _: () = assert!(LANE_BYTES.is_multiple_of(WORD_BYTES) && WORD_BYTES.is_multiple_of(4));

/// XORs `payload` with the repeated key (RFC 6455 §5.3), at vector speed. Its own inverse.
#[inline]
pub fn apply_mask(payload: &mut [u8], key: [u8; 4]) {
    let half = u32::from_ne_bytes(key);
    let word = u64::from(half) << 32 | u64::from(half);
    let (lanes, rest) = payload.as_chunks_mut::<LANE_BYTES>();
    for lane in lanes {
        mask_words(lane.as_chunks_mut().0, word);
    }
    let (words, rest) = rest.as_chunks_mut();
    mask_words(words, word);
    let (halves, tail) = rest.as_chunks_mut();
    for bytes in halves {
        *bytes = (u32::from_ne_bytes(*bytes) ^ half).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// Appends `payload` without its mask, whose key begins with the first byte: a block at a time, so
/// that what is copied is unmasked while it is in the nearest cache.
pub(crate) fn append_unmasked(out: &mut Vec<u8>, payload: &[u8], key: [u8; 4]) {
    const BLOCK_BYTES: usize = 4 << 10;
    const _: () = assert!(BLOCK_BYTES.is_multiple_of(LANE_BYTES));
    out.reserve(payload.len());
    for block in payload.chunks(BLOCK_BYTES) {
        let start = out.len();
        out.extend_from_slice(block);
        apply_mask(&mut out[start..], key);
    }
}

#[inline]
fn mask_words(words: &mut [[u8; WORD_BYTES]], word: u64) {
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::{append_unmasked, apply_mask};

    /// The obvious version.
    fn mask_by_byte(payload: &mut [u8], key: [u8; 4]) {
        for (index, byte) in payload.iter_mut().enumerate() {
            *byte ^= key[index % 4];
        }
    }

    fn check(alignment: usize, len: usize, key: [u8; 4]) {
        let before: Vec<u8> = (0..alignment + len + 9)
            .map(|i| (i * 31 + 7) as u8)
            .collect();
        let mut fast = before.clone();
        let mut slow = before;
        apply_mask(&mut fast[alignment..alignment + len], key);
        mask_by_byte(&mut slow[alignment..alignment + len], key);
        assert_eq!(fast, slow, "alignment {alignment}, length {len}");
        mask_by_byte(&mut slow[alignment..alignment + len], key);
        let mut out = slow[..3].to_vec();
        append_unmasked(&mut out, &slow[alignment..alignment + len], key);
        assert_eq!(out[..3], slow[..3]);
        assert_eq!(
            out[3..],
            fast[alignment..alignment + len],
            "appended, length {len}"
        );
    }

    #[test]
    fn agrees_with_the_obvious_version() {
        for alignment in 0..64 {
            for len in 0..=300 {
                check(alignment, len, [0x12, 0x00, 0xff, 0x9a]);
            }
            for len in [4095, 4096, 65_535, 65_543] {
                check(alignment, len, [0xde, 0xad, 0xbe, 0xef]);
            }
        }
    }
}
