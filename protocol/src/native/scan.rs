//! A scanner over JSON text: it finds where values end and accepts exactly what RFC 8259 allows, builds nothing and allocates nothing.
//!
//! Invariant: every span handed out is one whole valid value. It agrees with `serde_json::from_str::<Value>` on what is
//! valid, so it is stricter than the grammar where serde_json is: surrogates come in pairs, a number is finite as a
//! 64-bit float, and containers nest at most [`DEPTH_MAX`] deep. Called by `envelope` and `raw`.

/// Nested containers, the outermost included (serde_json's recursion limit).
pub const DEPTH_MAX: u32 = 127;

/// The text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// Where the scanner stopped, in bytes from the start of the text.
    pub(super) at: usize,
}

/// A position in a JSON text.
#[derive(Debug)]
pub(super) struct Scanner<'b> {
    text: &'b str,
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Scanner<'b> {
    pub(super) fn new(text: &'b str) -> Scanner<'b> {
        Scanner {
            text,
            bytes: text.as_bytes(),
            at: 0,
        }
    }

    pub(super) fn error(&self) -> SyntaxError {
        SyntaxError { at: self.at }
    }

    /// Skips white space and tells what follows it.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.at) {
            // Almost always the first byte ends the loop: clients send compact JSON.
            if byte > b' ' || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Skips white space and takes `byte` if it follows.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes `byte` after white space.
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), SyntaxError> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.error())
        }
    }

    /// Takes a string after white space and returns what stands between its quotes, escapes as sent.
    pub(super) fn string(&mut self) -> Result<&'b str, SyntaxError> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            self.at += plain_run(&self.bytes[self.at..]);
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(_) | None => return Err(self.error()),
            }
        }
        let inner = &self.text[start..self.at];
        self.at += 1;
        Ok(inner)
    }

    /// Takes one whole value after white space, itself inside `outer` containers, and returns it as it was sent.
    pub(super) fn value(&mut self, outer: u32) -> Result<&'b str, SyntaxError> {
        self.peek();
        let start = self.at;
        let mut open = Containers {
            kinds: 0,
            count: outer,
        };
        loop {
            // Here a value begins.
            let entered = match self.peek() {
                Some(b'"') => self.string().map(|_| false)?,
                Some(b'-' | b'0'..=b'9') => self.number().map(|()| false)?,
                Some(b'{') => self.enter(&mut open, Container::Object)?,
                Some(b'[') => self.enter(&mut open, Container::Array)?,
                Some(b't') => self.literal(b"true").map(|()| false)?,
                Some(b'f') => self.literal(b"false").map(|()| false)?,
                Some(b'n') => self.literal(b"null").map(|()| false)?,
                Some(_) | None => return Err(self.error()),
            };
            if entered {
                continue;
            }
            // Here one has ended: close what ends with it, or go on to its neighbour.
            loop {
                if open.count == outer {
                    return Ok(&self.text[start..self.at]);
                }
                let container = open.innermost();
                if self.take(b',') {
                    if container == Container::Object {
                        self.key()?;
                    }
                    break;
                }
                self.expect(container.end())?;
                open.leave();
            }
        }
    }

    /// Only white space may follow the last value.
    pub(super) fn finish(&mut self) -> Result<(), SyntaxError> {
        if self.peek().is_some() {
            Err(self.error())
        } else {
            Ok(())
        }
    }

    /// Takes a key and its colon.
    pub(super) fn key(&mut self) -> Result<&'b str, SyntaxError> {
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Takes an opening bracket. True when a value must follow; false when the container was empty and has ended.
    fn enter(&mut self, open: &mut Containers, container: Container) -> Result<bool, SyntaxError> {
        if open.count == DEPTH_MAX {
            return Err(self.error());
        }
        self.at += 1;
        if self.take(container.end()) {
            return Ok(false);
        }
        open.enter(container);
        if container == Container::Object {
            self.key()?;
        }
        Ok(true)
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), SyntaxError> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.error());
        }
        self.at += word.len();
        Ok(())
    }

    /// RFC 8259 §6.
    fn number(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        self.at += usize::from(self.bytes[self.at] == b'-');
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        let scaled = matches!(self.bytes.get(self.at), Some(b'e' | b'E'));
        if scaled {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        // The largest finite float has 309 digits before the point, so a shorter number without exponent cannot overflow.
        let may_overflow = scaled || self.at - start > 308;
        if may_overflow
            && !self.text[start..self.at]
                .parse::<f64>()
                .is_ok_and(f64::is_finite)
        {
            return Err(self.error());
        }
        Ok(())
    }

    /// Takes one digit or more.
    fn digits(&mut self) -> Result<(), SyntaxError> {
        let count = self.bytes[self.at..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        self.at += count;
        if count == 0 {
            Err(self.error())
        } else {
            Ok(())
        }
    }

    /// Takes an escape sequence; `at` is on the backslash.
    fn escape(&mut self) -> Result<(), SyntaxError> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match self.unicode_escape()? {
                0xdc00..=0xdfff => Err(self.error()),
                // A leading surrogate: its trailing one follows at once.
                0xd800..=0xdbff => match self.unicode_escape()? {
                    0xdc00..=0xdfff => Ok(()),
                    _ => Err(self.error()),
                },
                _ => Ok(()),
            },
            Some(_) | None => Err(self.error()),
        }
    }

    /// Takes `\uXXXX` and returns its code unit.
    fn unicode_escape(&mut self) -> Result<u16, SyntaxError> {
        let Some([b'\\', b'u', hex @ ..]) = self.bytes[self.at..].first_chunk::<6>() else {
            return Err(self.error());
        };
        let mut unit = 0;
        for &digit in hex {
            let value = char::from(digit).to_digit(16).ok_or(self.error())?;
            unit = unit << 4 | value as u16;
        }
        self.at += 6;
        Ok(unit)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Array,
    Object,
}

impl Container {
    fn end(self) -> u8 {
        match self {
            Container::Array => b']',
            Container::Object => b'}',
        }
    }
}

/// The containers around a position: one bit each (set for an object), the innermost lowest.
struct Containers {
    kinds: u128,
    count: u32,
}

const _: () = assert!(DEPTH_MAX <= u128::BITS);

impl Containers {
    fn enter(&mut self, container: Container) {
        self.kinds = self.kinds << 1 | u128::from(container == Container::Object);
        self.count += 1;
    }

    fn leave(&mut self) {
        self.kinds >>= 1;
        self.count -= 1;
    }

    fn innermost(&self) -> Container {
        if self.kinds & 1 == 1 {
            Container::Object
        } else {
            Container::Array
        }
    }
}

/// Bytes that may stand in a string as they are: all but the quote, the backslash and control characters (RFC 8259 §7).
/// Returns how many `bytes` starts with.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(word) = bytes[at..].first_chunk::<8>() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
        // Most strings are short; only one that is not pays for starting the wide loop.
        if at == WIDE_FROM_BYTES {
            let (blocks, _) = bytes[at..].as_chunks::<64>();
            at += 64
                * blocks
                    .iter()
                    .take_while(|block| !is_special_in(block))
                    .count();
        }
    }
    at + bytes[at..]
        .iter()
        .take_while(|&&byte| !is_special(byte))
        .count()
}

/// How much of a string is looked at word by word before blocks of 64 bytes are tried.
const WIDE_FROM_BYTES: usize = 32;

fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// No early exit: the compiler turns it into vector comparisons.
fn is_special_in(block: &[u8; 64]) -> bool {
    block
        .iter()
        .fold(false, |any, &byte| any | is_special(byte))
}

/// Sets the high bit of each special byte in a word of eight. Borrows can set a wrong bit only above the lowest right
/// one, so the lowest set bit is exact ("Bit Twiddling Hacks", haszero and hasless).
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    let less_than = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let quote = less_than(word ^ (ONES * u64::from(b'"')), 1);
    let backslash = less_than(word ^ (ONES * u64::from(b'\\')), 1);
    (less_than(word, 0x20) | quote | backslash) & HIGHS
}

#[cfg(test)]
mod tests {
    use super::{is_special, plain_run};

    #[test]
    fn a_run_ends_at_the_first_special_byte_wherever_it_stands() {
        let plain = [b' ', b'a', 0x7f, 0x80, 0xff, b'!', b'#', b'[', b']'];
        for len in 0..=200_usize {
            let clean: Vec<u8> = (0..len).map(|i| plain[i % plain.len()]).collect();
            assert_eq!(plain_run(&clean), len);
            for special in [b'"', b'\\', 0x00, 0x0a, 0x1f] {
                for at in 0..len {
                    let mut bytes = clean.clone();
                    bytes[at] = special;
                    assert_eq!(plain_run(&bytes), at, "{special:#x} at {at} of {len}");
                    // A second one behind it changes nothing.
                    bytes[len - 1] = b'"';
                    assert_eq!(plain_run(&bytes), at, "{special:#x} at {at} of {len}");
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
                assert_eq!(plain_run(&bytes), expected, "{byte:#x} behind {before}");
            }
        }
    }
}
