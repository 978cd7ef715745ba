//! A scanner over JSON text: it finds where values end and accepts exactly what RFC 8259 allows,
//! builds nothing and allocates nothing.
//!
//! Invariant: every span handed out is one complete valid value. It agrees with
//! `serde_json::from_str::<Value>` on what is valid, so it is stricter than the grammar where
//! serde_json is: surrogates come in pairs, a number is finite as a 64-bit float, and containers
//! nest at most [`DEPTH_MAX`] deep. Called by `raw` and the dialects that speak JSON.
//!
//! The inner functions take a position and return the next, so that it stays in a register
//! (`bench/results/json_scan.md`).

use super::plain::{last_word, skip_plain, special_bytes, word_at};
use super::string::unescape;
use std::borrow::Cow;
use thiserror::Error;

/// Nested containers, the outermost included (serde_json's recursion limit).
pub const DEPTH_MAX: u32 = 127;

/// The text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not valid JSON at byte {at}")]
pub(crate) struct SyntaxError {
    /// Where the scanner stopped, in bytes from the start of the text.
    pub(crate) at: usize,
}

/// A position in a JSON text.
#[derive(Debug)]
pub(crate) struct JsonScanner<'b> {
    pub(super) text: &'b str,
    pub(super) at: usize,
}

impl<'b> JsonScanner<'b> {
    pub(crate) fn new(text: &'b str) -> JsonScanner<'b> {
        JsonScanner { text, at: 0 }
    }

    /// Skips white space and tells what follows it.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.at = skip_space(self.text.as_bytes(), self.at);
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips white space and takes `byte` if it follows.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes `byte` after white space.
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), SyntaxError> {
        self.at = expect(self.text.as_bytes(), self.at, byte)?;
        Ok(())
    }

    /// Takes a string after white space and returns what stands between its quotes, escapes as
    /// sent.
    pub(crate) fn string(&mut self) -> Result<&'b str, SyntaxError> {
        let start = expect(self.text.as_bytes(), self.at, b'"')?;
        self.at = skip_string(self.text.as_bytes(), start)?;
        Ok(&self.text[start..self.at - 1])
    }

    /// Takes a string after white space and returns the text that it stands for.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<Cow<'b, str>, SyntaxError> {
        let bytes = self.text.as_bytes();
        let start = expect(bytes, self.at, b'"')?;
        // What ends before the first special byte bears no escapes: it is not searched for them.
        let end = match word_at(bytes, start).map(special_bytes) {
            Some(0) => skip_plain(bytes, start + 8),
            Some(special) => start + (special.trailing_zeros() / 8) as usize,
            None => skip_plain(bytes, start),
        };
        if bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Cow::Borrowed(&self.text[start..end]));
        }
        self.at = skip_long_string(bytes, end)?;
        Ok(unescape(&self.text[start..self.at - 1]))
    }

    /// Takes a key and its colon, and returns the text that the key stands for.
    #[inline]
    pub(crate) fn key_text(&mut self) -> Result<Cow<'b, str>, SyntaxError> {
        let key = self.text()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Takes a number, which is next, as it was sent.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<&'b str, SyntaxError> {
        let start = self.at;
        self.at = skip_number(self.text.as_bytes(), start)?;
        Ok(&self.text[start..self.at])
    }

    /// Takes a key and its colon.
    pub(crate) fn key(&mut self) -> Result<&'b str, SyntaxError> {
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// The same as bytes: comparing them with known keys takes no look at where characters begin.
    #[inline(always)]
    pub(crate) fn key_bytes(&mut self) -> Result<&'b [u8], SyntaxError> {
        let bytes = self.text.as_bytes();
        let start = expect(bytes, self.at, b'"')?;
        let end = skip_string(bytes, start)?;
        self.at = expect(bytes, end, b':')?;
        Ok(&bytes[start..end - 1])
    }

    /// Takes one complete value after white space, itself inside `outer` containers, and returns it
    /// as it was sent.
    #[inline(always)] // A message has few values, and most are short strings.
    pub(crate) fn value(&mut self, outer: u32) -> Result<&'b str, SyntaxError> {
        let bytes = self.text.as_bytes();
        let start = skip_space(bytes, self.at);
        self.at = match bytes.get(start) {
            Some(b'"') => skip_string(bytes, start + 1)?,
            Some(b'{' | b'[') => skip_container(bytes, start, outer)?,
            Some(_) | None => skip_scalar(bytes, start)?,
        };
        Ok(&self.text[start..self.at])
    }

    /// Takes these bytes, if they are next as they stand.
    #[inline(always)]
    pub(crate) fn literal(&mut self, literal: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(literal.as_bytes());
        self.at += if found { literal.len() } else { 0 };
        found
    }

    /// Takes the rest of a string that stands for itself, and its closing quote. `None`: it has
    /// escapes, or no end; then nothing is taken.
    #[inline(always)]
    pub(crate) fn plain_rest(&mut self) -> Option<&'b str> {
        let bytes = self.text.as_bytes();
        let end = skip_plain(bytes, self.at);
        if bytes.get(end) != Some(&b'"') {
            return None;
        }
        let plain = &self.text[self.at..end];
        self.at = end + 1;
        Some(plain)
    }

    /// Only white space may follow the last value.
    pub(crate) fn finish(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(SyntaxError { at: self.at }),
        }
    }
}

/// The end of the number or the word at `at`.
#[inline]
fn skip_scalar(bytes: &[u8], at: usize) -> Result<usize, SyntaxError> {
    match bytes.get(at) {
        Some(b'-' | b'0'..=b'9') => skip_number(bytes, at),
        Some(b't') => skip_word(bytes, at, b"true"),
        Some(b'f') => skip_word(bytes, at, b"false"),
        Some(b'n') => skip_word(bytes, at, b"null"),
        Some(_) | None => Err(SyntaxError { at }),
    }
}

/// The end of the object or the array at `at`, itself inside `outer` containers.
#[inline(never)]
fn skip_container(bytes: &[u8], mut at: usize, outer: u32) -> Result<usize, SyntaxError> {
    let mut open = Containers {
        kinds: 0,
        count: outer,
    };
    loop {
        // Here a value begins.
        at = match bytes.get(at) {
            Some(b'"') => skip_string(bytes, at + 1)?,
            Some(bracket @ (b'{' | b'[')) => {
                let container = if *bracket == b'{' {
                    Container::Object
                } else {
                    Container::Array
                };
                if open.count >= DEPTH_MAX {
                    return Err(SyntaxError { at });
                }
                at = skip_space(bytes, at + 1);
                if bytes.get(at) == Some(&container.end()) {
                    at + 1
                } else {
                    open.enter(container);
                    at = skip_to_value(bytes, at, container)?;
                    continue;
                }
            }
            Some(_) | None => skip_scalar(bytes, at)?,
        };
        // Here one has ended: close what ends with it, or go on to its neighbour.
        loop {
            if open.count == outer {
                return Ok(at);
            }
            at = skip_space(bytes, at);
            let container = open.innermost();
            match bytes.get(at) {
                Some(b',') => {
                    at = skip_to_value(bytes, skip_space(bytes, at + 1), container)?;
                    break;
                }
                Some(byte) if *byte == container.end() => {
                    open.leave();
                    at += 1;
                }
                Some(_) | None => return Err(SyntaxError { at }),
            }
        }
    }
}

/// Where the value of the element at `at` begins: in an object behind its key.
#[inline(always)]
fn skip_to_value(bytes: &[u8], at: usize, container: Container) -> Result<usize, SyntaxError> {
    if container == Container::Array {
        return Ok(at);
    }
    if bytes.get(at) != Some(&b'"') {
        return Err(SyntaxError { at });
    }
    let after_key = skip_string(bytes, at + 1)?;
    Ok(skip_space(bytes, expect(bytes, after_key, b':')?))
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

#[inline(always)]
pub(super) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    // Almost always the first byte ends the loop, by being greater than a space: clients send
    // compact JSON.
    while let Some(&byte) = bytes.get(at)
        && byte <= b' '
        && matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
    {
        at += 1;
    }
    at
}

/// Takes `byte` after white space.
#[inline]
fn expect(bytes: &[u8], at: usize, byte: u8) -> Result<usize, SyntaxError> {
    let at = skip_space(bytes, at);
    if bytes.get(at) == Some(&byte) {
        Ok(at + 1)
    } else {
        Err(SyntaxError { at })
    }
}

fn skip_word(bytes: &[u8], at: usize, word: &[u8]) -> Result<usize, SyntaxError> {
    if bytes[at..].starts_with(word) {
        Ok(at + word.len())
    } else {
        Err(SyntaxError { at })
    }
}

/// RFC 8259 §6.
fn skip_number(bytes: &[u8], start: usize) -> Result<usize, SyntaxError> {
    let first = start + usize::from(bytes[start] == b'-');
    let at = if bytes.get(first) == Some(&b'0') {
        first + 1
    } else {
        skip_digits(bytes, first)?
    };
    match bytes.get(at) {
        Some(b'.' | b'e' | b'E') => skip_fraction(bytes, start, at),
        _ if at - start <= SURELY_FINITE_BYTES_MAX => Ok(at),
        _ => check_finite(bytes, start, at),
    }
}

/// The rest of a number, whose point or exponent is at `at`.
fn skip_fraction(bytes: &[u8], start: usize, mut at: usize) -> Result<usize, SyntaxError> {
    if bytes.get(at) == Some(&b'.') {
        at = skip_digits(bytes, at + 1)?;
    }
    let mut exponent_digits = 0;
    if let Some(b'e' | b'E') = bytes.get(at) {
        let digits = at + 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = skip_digits(bytes, digits)?;
        exponent_digits = at - digits;
    }
    if exponent_digits <= 2 && at - start <= SURELY_FINITE_BYTES_MAX {
        return Ok(at);
    }
    check_finite(bytes, start, at)
}

/// 200 digits times 10^99 is finite; only numbers beyond that are worth the conversion.
const SURELY_FINITE_BYTES_MAX: usize = 200;

/// The end of a valid number, if it is finite as a 64-bit float.
#[cold]
fn check_finite(bytes: &[u8], start: usize, end: usize) -> Result<usize, SyntaxError> {
    let number = str::from_utf8(&bytes[start..end]);
    match number.is_ok_and(|number| number.parse::<f64>().is_ok_and(f64::is_finite)) {
        true => Ok(end),
        false => Err(SyntaxError { at: end }),
    }
}

/// Takes one digit or more.
#[inline]
fn skip_digits(bytes: &[u8], start: usize) -> Result<usize, SyntaxError> {
    let mut at = start;
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at += 1;
    }
    if at > start {
        Ok(at)
    } else {
        Err(SyntaxError { at })
    }
}

/// The end of the string whose opening quote is before `at`: behind its closing quote.
#[inline(always)]
pub(super) fn skip_string(bytes: &[u8], at: usize) -> Result<usize, SyntaxError> {
    // Keys and most names end in their first word; a call would cost as much as they do.
    let word = word_at(bytes, at).or_else(|| last_word(bytes, at));
    if let Some(special) = word.map(special_bytes) {
        if special == 0 {
            return skip_long_string(bytes, at + 8);
        }
        let end = at + (special.trailing_zeros() / 8) as usize;
        if bytes.get(end) == Some(&b'"') {
            return Ok(end + 1);
        }
    }
    skip_long_string(bytes, at)
}

/// The same for a string that is plain up to `at`.
#[inline(never)]
fn skip_long_string(bytes: &[u8], mut at: usize) -> Result<usize, SyntaxError> {
    loop {
        at = skip_plain(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = skip_escape(bytes, at)?,
            Some(_) | None => return Err(SyntaxError { at }),
        }
    }
}

/// The end of the escape sequence whose backslash is at `at`.
fn skip_escape(bytes: &[u8], at: usize) -> Result<usize, SyntaxError> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match code_unit(bytes, at)? {
            0xdc00..=0xdfff => Err(SyntaxError { at }),
            // A leading surrogate: its trailing one follows at once.
            0xd800..=0xdbff => match code_unit(bytes, at + 6)? {
                0xdc00..=0xdfff => Ok(at + 12),
                _ => Err(SyntaxError { at }),
            },
            _ => Ok(at + 6),
        },
        Some(_) | None => Err(SyntaxError { at }),
    }
}

/// What the `\uXXXX` at `at` stands for.
fn code_unit(bytes: &[u8], at: usize) -> Result<u16, SyntaxError> {
    let Some([b'\\', b'u', hex @ ..]) = bytes[at..].first_chunk::<6>() else {
        return Err(SyntaxError { at });
    };
    let mut unit = 0;
    for &digit in hex {
        let value = char::from(digit).to_digit(16).ok_or(SyntaxError { at })?;
        unit = unit << 4 | value as u16;
    }
    Ok(unit)
}
