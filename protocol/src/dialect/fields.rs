//! The known keys of an object: found in one pass over it, each at most once, their types looked at
//! afterwards.
//!
//! Invariants: what is not valid as a whole is found before anything is said about its keys, and a
//! key that is `null` is absent, but for `data`, whose value it is. Called by the dialects'
//! readers.

use super::transcode::integer;
use super::value::Value;
use crate::json::{DEPTH_MAX, JsonScanner, Raw, SyntaxError, unescape};
use crate::pack::{Head, Malformed, Pack, PackScanner};
use std::borrow::Cow;

/// What is wrong with a message: the text of its refusal.
pub(crate) type Wrong = &'static str;

/// One complete valid value that can be asked what it is.
pub(crate) trait Span<'b>: Copy + Into<Value<'b>> {
    /// A string's bytes as they were sent: escapes are not resolved.
    fn sent(self) -> Option<&'b [u8]>;
    /// A string's text.
    fn text(self) -> Option<Cow<'b, str>>;
    /// True or false.
    fn boolean(self) -> Option<bool>;
    /// A whole number.
    fn unsigned(self) -> Option<u64>;
    /// Whether a request's id may be so.
    fn is_id(self) -> bool;
    /// `null`, which in an optional key means that the key is absent.
    fn is_null(self) -> bool;
}

impl<'b> Span<'b> for Raw<'b> {
    #[inline(always)]
    fn sent(self) -> Option<&'b [u8]> {
        match self.as_str().as_bytes() {
            [b'"', inner @ .., b'"'] => Some(inner),
            _ => None,
        }
    }

    #[inline(always)]
    fn text(self) -> Option<Cow<'b, str>> {
        let text = self.as_str();
        let is_string = text.as_bytes()[0] == b'"';
        is_string.then(|| unescape(&text[1..text.len() - 1]))
    }

    fn boolean(self) -> Option<bool> {
        match self.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    fn unsigned(self) -> Option<u64> {
        let text = self.as_str();
        text.parse().ok().or_else(|| integral(text.parse().ok()?))
    }

    fn is_id(self) -> bool {
        matches!(self.as_str().as_bytes()[0], b'"' | b'-' | b'0'..=b'9')
    }

    fn is_null(self) -> bool {
        Raw::is_null(self)
    }
}

/// The integer that a float stands for.
fn integral(number: f64) -> Option<u64> {
    u64::try_from(integer(number)?).ok()
}

impl<'b> Span<'b> for Pack<'b> {
    fn sent(self) -> Option<&'b [u8]> {
        let mut scanner = PackScanner::new(self.as_bytes());
        match scanner.head() {
            Ok(Head::Str(len)) => scanner.content(len as usize).ok(),
            _ => None,
        }
    }

    fn text(self) -> Option<Cow<'b, str>> {
        let mut scanner = PackScanner::new(self.as_bytes());
        match scanner.head() {
            Ok(Head::Str(len)) => scanner.text(len).ok().map(Cow::Borrowed),
            _ => None,
        }
    }

    fn boolean(self) -> Option<bool> {
        match PackScanner::new(self.as_bytes()).head() {
            Ok(Head::Bool(flag)) => Some(flag),
            _ => None,
        }
    }

    fn unsigned(self) -> Option<u64> {
        match PackScanner::new(self.as_bytes()).head() {
            Ok(Head::Unsigned(number)) => Some(number),
            Ok(Head::Signed(number)) => u64::try_from(number).ok(),
            Ok(Head::Float(number)) => integral(number),
            _ => None,
        }
    }

    fn is_id(self) -> bool {
        match PackScanner::new(self.as_bytes()).head() {
            Ok(Head::Str(_) | Head::Unsigned(_) | Head::Signed(_)) => true,
            // JavaScript's libraries send every integer from 2^32 or 2^53 on as a float.
            Ok(Head::Float(number)) => number.is_finite(),
            _ => false,
        }
    }

    fn is_null(self) -> bool {
        Pack::is_null(self)
    }
}

/// The values of up to `COMMON` known keys, and of `RARE` further ones, whose places cost nothing
/// where none of them comes. Filled in place, as it is large.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<S, const COMMON: usize, const RARE: usize> {
    common: [Option<S>; COMMON],
    rare: Option<[Option<S>; RARE]>,
    /// One bit for each key that has a value, the first lowest.
    seen: u32,
    /// What is wrong with the object as such.
    pub(crate) wrong: Option<Wrong>,
}

impl<S: Copy, const COMMON: usize, const RARE: usize> Fields<S, COMMON, RARE> {
    pub(crate) const NONE: Fields<S, COMMON, RARE> = Fields {
        common: [None; COMMON],
        rare: None,
        seen: {
            assert!(COMMON + RARE <= u32::BITS as usize, "each key has a bit");
            0
        },
        wrong: None,
    };

    #[inline(always)]
    fn put(&mut self, key: Option<usize>, value: S) {
        let Some(key) = key else { return };
        if self.has_any(1 << key) {
            // Parsers differ in which one they believe; a proxy in between may have checked the
            // other.
            self.wrong = Some("duplicate key");
        }
        self.seen |= 1 << key;
        match self.common.get_mut(key) {
            Some(place) => *place = Some(value),
            None => self.rare.get_or_insert([None; RARE])[key - COMMON] = Some(value),
        }
    }

    /// Whether one of these keys has a value: their bits.
    #[inline(always)]
    pub(crate) fn has_any(&self, keys: u32) -> bool {
        self.seen & keys != 0
    }

    #[inline(always)]
    pub(crate) fn get(&self, key: usize) -> Option<S> {
        match self.common.get(key) {
            Some(value) => *value,
            None => self.rare.as_ref().and_then(|rare| rare[key - COMMON]),
        }
    }
}

impl<'b, const COMMON: usize, const RARE: usize> Fields<Raw<'b>, COMMON, RARE> {
    /// Reads a text of one value, inside `outer` containers. `key_of` knows the keys; anything but
    /// an object is `wrong`.
    #[inline(always)]
    pub(crate) fn read_json(
        &mut self,
        text: &'b str,
        outer: u32,
        key_of: impl Fn(&[u8]) -> Option<usize>,
        wrong: Wrong,
    ) -> Result<(), SyntaxError> {
        let mut scanner = JsonScanner::new(text);
        self.fill(&mut scanner, outer, key_of, wrong)?;
        scanner.finish()
    }

    /// The next value of a text, inside `outer` containers, alike.
    #[inline(always)]
    pub(crate) fn fill(
        &mut self,
        scanner: &mut JsonScanner<'b>,
        outer: u32,
        key_of: impl Fn(&[u8]) -> Option<usize>,
        wrong: Wrong,
    ) -> Result<(), SyntaxError> {
        if scanner.peek() == Some(b'{') && outer < DEPTH_MAX {
            self.object(scanner, outer, key_of)
        } else {
            // An object that is nested too deeply is no JSON here, like any other value.
            self.wrong = Some(wrong);
            scanner.value(outer).map(drop)
        }
    }

    #[inline(always)]
    fn object(
        &mut self,
        scanner: &mut JsonScanner<'b>,
        outer: u32,
        key_of: impl Fn(&[u8]) -> Option<usize>,
    ) -> Result<(), SyntaxError> {
        scanner.expect(b'{')?;
        if scanner.take(b'}') {
            return Ok(());
        }
        loop {
            let inner = scanner.key_bytes()?;
            let key = match key_of(inner) {
                None => escaped_key(inner, &key_of),
                key => key,
            };
            let value = Raw::scan(scanner, outer + 1)?;
            self.put(key, value);
            if !scanner.take(b',') {
                return scanner.expect(b'}');
            }
        }
    }
}

/// `"t\u0079pe"` is the same key as `"type"`.
#[inline(never)]
pub(super) fn escaped_key(inner: &[u8], key_of: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
    if !inner.contains(&b'\\') {
        return None;
    }
    let inner = str::from_utf8(inner).ok()?;
    key_of(unescape(inner).as_bytes())
}

impl<'b, const COMMON: usize, const RARE: usize> Fields<Pack<'b>, COMMON, RARE> {
    /// Reads bytes of one value, inside `outer` containers. `key_of` knows the keys; anything but a
    /// map with strings as keys is `wrong`.
    #[inline(always)]
    pub(crate) fn read_pack(
        &mut self,
        bytes: &'b [u8],
        outer: u32,
        key_of: impl Fn(&[u8]) -> Option<usize>,
        wrong: Wrong,
    ) -> Result<(), Malformed> {
        let mut scanner = PackScanner::new(bytes);
        match scanner.clone().head()? {
            Head::Map(pairs) => {
                scanner.head()?;
                for _ in 0..pairs {
                    let key = Pack::scan(&mut scanner, outer + 1)?;
                    let value = Pack::scan(&mut scanner, outer + 1)?;
                    match key.sent() {
                        Some(name) => self.put(key_of(name), value),
                        None => self.wrong = Some("keys must be strings"),
                    }
                }
            }
            _ => {
                scanner.value(outer)?;
                self.wrong = Some(wrong);
            }
        }
        scanner.finish()
    }
}

impl<'b> From<Raw<'b>> for Value<'b> {
    fn from(raw: Raw<'b>) -> Value<'b> {
        Value::Json(raw)
    }
}

impl<'b> From<Pack<'b>> for Value<'b> {
    fn from(pack: Pack<'b>) -> Value<'b> {
        Value::Pack(pack)
    }
}
