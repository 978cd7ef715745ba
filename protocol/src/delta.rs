//! What a message changes of the one before it, in Fossil's delta format (its documentation has
//! "Fossil Delta Format"): the target's length, copies from the base, literals, and a checksum.
//!
//! Invariant: what is written is shorter than the target, applying it to the base gives exactly the
//! target, and the time that it takes grows with the lengths of both alone: a place is compared
//! with at most [`CANDIDATES_MAX`] places of the base, and a byte that was copied is not looked at
//! again. Called where a topic's order is made, for members that build on what they have.

/// Bytes of a base and of a target: 128 KiB. What is larger has no delta.
pub const BYTES_MAX: usize = 128 << 10;

/// Where literals may begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaUnit {
    /// Anywhere.
    Bytes,
    /// Between the characters of the target, so that the delta is UTF-8, too. What is not UTF-8 has
    /// none.
    Characters,
}

/// The delta that makes `target` of `base`. `None`: it would not be shorter than the target, or one
/// of them is too large.
pub fn delta(base: &[u8], target: &[u8], unit: DeltaUnit) -> Option<Vec<u8>> {
    let is_text = || simdutf8::basic::from_utf8(target).is_ok();
    if base.len().max(target.len()) > BYTES_MAX || unit == DeltaUnit::Characters && !is_text() {
        return None;
    }
    let mut writer = DeltaWriter {
        target,
        unit,
        out: Vec::new(),
        written: 0,
    };
    writer.number(target.len() as u32, b'\n');
    let prefix = common_prefix(base, target);
    let suffix = common_suffix(&base[prefix..], &target[prefix..]);
    writer.copy(0, 0, prefix);
    let end = target.len() - suffix;
    if end - prefix >= WINDOW {
        copy_middle(&mut writer, base, prefix..end)?;
    }
    writer.copy(base.len() - suffix, end, suffix);
    writer.literal(target.len());
    writer.number(checksum(target), b';');
    (writer.out.len() < target.len()).then_some(writer.out)
}

/// Bytes that are looked up at once.
const WINDOW: usize = 8;
/// The base is indexed at every so many bytes, so what is common to both is found if it has
/// `WINDOW + STEP - 1` bytes.
const STEP: usize = 4;
/// Places of the base with the same hash that one place of the target is compared with.
const CANDIDATES_MAX: usize = 8;

/// Copies what the base has of this part of the target. `None`: what is written has become longer
/// than the target.
fn copy_middle(
    writer: &mut DeltaWriter<'_>,
    base: &[u8],
    part: std::ops::Range<usize>,
) -> Option<()> {
    let index = BaseIndex::new(base);
    let mut at = part.start;
    while at + WINDOW <= part.end {
        let found = index.longest(writer.target, writer.written..part.end, at);
        let copied = found.is_some_and(|found| writer.copy(found.base, found.target, found.bytes));
        at = if copied { writer.written } else { at + 1 };
        if writer.out.len() >= writer.target.len() {
            return None;
        }
    }
    Some(())
}

/// A part that base and target have in common.
#[derive(Clone, Copy)]
struct CommonPart {
    base: usize,
    target: usize,
    bytes: usize,
}

/// Where the base has which bytes.
struct BaseIndex<'b> {
    base: &'b [u8],
    /// By hash, the first place; by place, the next one with the same hash. A place is its offset
    /// in steps, and 1: 0 is none.
    first: Vec<u32>,
    next: Vec<u32>,
    shift: u32,
}

impl<'b> BaseIndex<'b> {
    fn new(base: &'b [u8]) -> BaseIndex<'b> {
        let windows = base.len().saturating_sub(WINDOW - 1);
        let places = windows.div_ceil(STEP);
        let bits = places.next_power_of_two().trailing_zeros().max(4);
        let mut index = BaseIndex {
            base,
            first: vec![0; 1 << bits],
            next: vec![0; places],
            shift: u64::BITS - bits,
        };
        // Backwards, so that the first of those with the same hash is found first.
        for place in (0..places).rev() {
            let hash = index.hash(base, place * STEP);
            index.next[place] = index.first[hash];
            index.first[hash] = place as u32 + 1;
        }
        index
    }

    fn hash(&self, bytes: &[u8], at: usize) -> usize {
        const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
        (window(bytes, at).wrapping_mul(GOLDEN_RATIO) >> self.shift) as usize
    }

    /// The longest part within these bytes of the target that the base has and that covers the
    /// window at `at`.
    fn longest(
        &self,
        target: &[u8],
        within: std::ops::Range<usize>,
        at: usize,
    ) -> Option<CommonPart> {
        let mut longest: Option<CommonPart> = None;
        let mut place = self.first[self.hash(target, at)];
        for _ in 0..CANDIDATES_MAX {
            let Some(candidate) = place.checked_sub(1) else {
                break;
            };
            place = self.next[candidate as usize];
            let start = candidate as usize * STEP;
            if window(self.base, start) != window(target, at) {
                continue;
            }
            let before = common_suffix(&self.base[..start], &target[within.start..at]);
            let behind = common_prefix(&self.base[start..], &target[at..within.end]);
            if longest.is_none_or(|longest| longest.bytes < before + behind) {
                longest = Some(CommonPart {
                    base: start - before,
                    target: at - before,
                    bytes: before + behind,
                });
            }
        }
        longest
    }
}

fn window(bytes: &[u8], at: usize) -> u64 {
    let window = bytes[at..at + WINDOW].try_into();
    u64::from_le_bytes(window.expect("a window has 8 bytes"))
}

/// How many bytes both begin with.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let blocks = a.chunks_exact(16).zip(b.chunks_exact(16));
    let start = 16 * blocks.take_while(|(a, b)| a == b).count();
    let rest = a[start..].iter().zip(&b[start..]);
    start + rest.take_while(|(a, b)| a == b).count()
}

/// How many bytes both end with.
fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    let blocks = a.rchunks_exact(16).zip(b.rchunks_exact(16));
    let end = 16 * blocks.take_while(|(a, b)| a == b).count();
    let rest = a[..a.len() - end]
        .iter()
        .rev()
        .zip(b[..b.len() - end].iter().rev());
    end + rest.take_while(|(a, b)| a == b).count()
}

/// The sum of the target's words of four bytes, the most significant first, with zeros behind the
/// last.
fn checksum(target: &[u8]) -> u32 {
    let words = target.chunks(4).map(|bytes| {
        let mut word = [0; 4];
        word[..bytes.len()].copy_from_slice(bytes);
        u32::from_be_bytes(word)
    });
    words.fold(0, u32::wrapping_add)
}

struct DeltaWriter<'t> {
    target: &'t [u8],
    unit: DeltaUnit,
    out: Vec<u8>,
    /// Bytes of the target that what is written makes.
    written: usize,
}

impl DeltaWriter<'_> {
    /// Copies a part of the base, behind what stands before it in the target. False: as a literal
    /// it is shorter, and nothing is written.
    fn copy(&mut self, base: usize, start: usize, bytes: usize) -> bool {
        let (mut start_here, mut end) = (start, start + bytes);
        while start_here < end && !self.is_boundary(start_here) {
            start_here += 1;
        }
        while start_here < end && !self.is_boundary(end) {
            end -= 1;
        }
        let (base, bytes) = (base + start_here - start, end - start_here);
        // Its two numbers and marks, and the number and the mark of a literal behind it.
        let cost = digits(bytes as u32) + digits(base as u32) + 2 + 2;
        if bytes <= cost {
            return false;
        }
        self.literal(start_here);
        self.number(bytes as u32, b'@');
        self.number(base as u32, b',');
        self.written = end;
        true
    }

    /// Writes what is missing of the target up to here.
    fn literal(&mut self, end: usize) {
        let bytes = &self.target[self.written..end];
        if !bytes.is_empty() {
            self.number(bytes.len() as u32, b':');
            self.out.extend_from_slice(bytes);
            self.written = end;
        }
    }

    /// Whether a literal may begin or end here.
    fn is_boundary(&self, at: usize) -> bool {
        const CONTINUATION: u8 = 0b1000_0000;
        self.unit == DeltaUnit::Bytes
            || self
                .target
                .get(at)
                .is_none_or(|byte| byte & 0b1100_0000 != CONTINUATION)
    }

    /// A number in base 64, and what it is the number of.
    fn number(&mut self, number: u32, mark: u8) {
        for digit in (0..digits(number)).rev() {
            let digit = number >> (6 * digit) & 0x3f;
            self.out.push(DIGITS[digit as usize]);
        }
        self.out.push(mark);
    }
}

const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/// Digits of a number in base 64.
fn digits(number: u32) -> usize {
    let bits = u32::BITS - (number | 1).leading_zeros();
    bits.div_ceil(6) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base: &str, target: &str, expected: Option<&str>) {
        let made = delta(base.as_bytes(), target.as_bytes(), DeltaUnit::Characters);
        let made = made.map(|made| String::from_utf8(made).expect("it is UTF-8"));
        assert_eq!(made.as_deref(), expected, "{base} -> {target}");
    }

    /// By hand from the description of the format.
    #[test]
    fn deltas_are_written_as_the_format_has_it() {
        let long = "The quick brown fox jumps over the lazy dog";
        check(long, long, Some("g\ng@0,1tF1KR;"));
        check("", "", None);
        check(long, "other", None);
        check("", long, None);
        check(
            &format!("{long}."),
            &format!("{long}!"),
            Some("h\ng@0,1:!1tF1Kx;"),
        );
    }

    #[test]
    fn numbers_have_no_digit_too_many() {
        for (number, expected) in [
            (0, "0;"),
            (63, "~;"),
            (64, "10;"),
            (4095, "~~;"),
            (4096, "100;"),
            (u32::MAX, "3~~~~~;"),
        ] {
            let mut writer = DeltaWriter {
                target: b"",
                unit: DeltaUnit::Bytes,
                out: Vec::new(),
                written: 0,
            };
            writer.number(number, b';');
            assert_eq!(writer.out, expected.as_bytes());
        }
    }

    /// Parts that begin or end within a character that both have the half of.
    #[test]
    fn literals_are_whole_characters() {
        let base = "äöüßéè€ñ".repeat(8);
        for (from, to) in [("ö", "ä"), ("€", "₭"), ("ß", "ÿ"), ("é", "e")] {
            let target = base.replacen(from, to, 5);
            let made = delta(base.as_bytes(), target.as_bytes(), DeltaUnit::Characters);
            let made = made.expect("most is the same");
            assert!(String::from_utf8(made).is_ok(), "{from} {to}");
        }
    }

    #[test]
    fn what_is_too_large_has_no_delta() {
        let large = vec![b'x'; BYTES_MAX + 1];
        assert!(delta(&large, &large, DeltaUnit::Bytes).is_none());
        assert!(delta(&large[1..], &large[1..], DeltaUnit::Bytes).is_some());
    }
}
