//! JSON strings to text and back (RFC 8259 §7).

use super::plain::{is_plain, skip_plain};
use std::borrow::Cow;

/// The text that a string stands for. `inner` is what the scanner found between its quotes.
#[inline]
pub(crate) fn unescape(inner: &str) -> Cow<'_, str> {
    if has_escape(inner.as_bytes()) {
        Cow::Owned(unescaped(inner))
    } else {
        Cow::Borrowed(inner)
    }
}

/// Whether a string has a backslash. Most strings of requests are short names, so the words that
/// are compared overlap instead of leaving single bytes over.
#[inline(always)]
fn has_escape(inner: &[u8]) -> bool {
    if let Some(last) = inner.last_chunk::<8>() {
        let (words, _) = inner.as_chunks::<8>();
        words.iter().any(has_backslash) || has_backslash(last)
    } else if let (Some(first), Some(last)) = (inner.first_chunk::<4>(), inner.last_chunk::<4>()) {
        let ([a, b, c, d], [e, f, g, h]) = (*first, *last);
        has_backslash(&[a, b, c, d, e, f, g, h])
    } else {
        inner.contains(&b'\\')
    }
}

/// Compares eight bytes at once ("Bit Twiddling Hacks", haszero).
#[inline(always)]
fn has_backslash(word: &[u8; 8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    let zero_where_found = u64::from_ne_bytes(*word) ^ (ONES * 0x5c);
    zero_where_found.wrapping_sub(ONES) & !zero_where_found & HIGHS != 0
}

#[cold]
fn unescaped(inner: &str) -> String {
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    let mut escape = rest.find('\\');
    while let Some(at) = escape {
        text.push_str(&rest[..at]);
        let (character, used) = escaped_char(&rest[at..]);
        text.push(character);
        rest = &rest[at + used..];
        escape = rest.find('\\');
    }
    text.push_str(rest);
    text
}

/// The character that the escape at the start of `text` stands for, and the escape's length in
/// bytes.
fn escaped_char(text: &str) -> (char, usize) {
    let unit = |at: usize| {
        text.get(at + 2..at + 6)
            .and_then(|hex| u16::from_str_radix(hex, 16).ok())
    };
    match text.as_bytes().get(1) {
        Some(b'b') => ('\x08', 2),
        Some(b'f') => ('\x0c', 2),
        Some(b'n') => ('\n', 2),
        Some(b'r') => ('\r', 2),
        Some(b't') => ('\t', 2),
        Some(b'u') => {
            let units = [unit(0), unit(6)].into_iter().flatten();
            let character = char::decode_utf16(units)
                .next()
                .and_then(Result::ok)
                .unwrap_or(char::REPLACEMENT_CHARACTER);
            (character, 6 * character.len_utf16())
        }
        // The quote, the backslash and the slash stand for themselves.
        Some(&byte) => (char::from(byte), 2),
        None => (char::REPLACEMENT_CHARACTER, text.len()),
    }
}

/// Appends `text` as a JSON string, quotes included. Escapes what must be escaped and nothing else.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_text(out, text);
    out.push(b'"');
}

/// Appends what stands between the quotes.
#[inline]
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    /// Words that are looked at without an early end cost less than finding one.
    const SHORT_BYTES_MAX: usize = 64;
    if text.len() <= SHORT_BYTES_MAX && is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        push_escaped(out, text.as_bytes());
    }
}

#[inline(never)]
fn push_escaped(out: &mut Vec<u8>, mut rest: &[u8]) {
    loop {
        let (plain, special) = rest.split_at(skip_plain(rest, 0));
        out.extend_from_slice(plain);
        let [byte, after @ ..] = special else { return };
        push_escape(out, *byte);
        rest = after;
    }
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::{push_string, unescape};

    fn check(text: &str, json: &str) {
        let mut out = Vec::new();
        push_string(&mut out, text);
        assert_eq!(String::from_utf8(out).unwrap(), json);
        assert_eq!(unescape(&json[1..json.len() - 1]), text);
    }

    #[test]
    fn text_is_escaped_where_it_must_be_and_comes_back() {
        check("", r#""""#);
        check("plain ü 🦀 \u{7f}", "\"plain ü 🦀 \u{7f}\"");
        check("\"\\/", r#""\"\\/""#);
        check("\x08\x0c\n\r\t", r#""\b\f\n\r\t""#);
        check("a\0b\x1f", r#""a\u0000b\u001f""#);
        check(
            &"long \" and longer ".repeat(40),
            &format!("\"{}\"", r#"long \" and longer "#.repeat(40)),
        );
    }

    #[test]
    fn every_ascii_character_is_written_in_the_announced_length() {
        for byte in 0..0x80_u8 {
            let text = format!("ab{}cd", char::from(byte));
            let json = serde_json::to_string(&text).unwrap();
            check(&text, &json);
        }
    }

    #[test]
    fn escapes_that_are_never_written_are_read() {
        for (inner, text) in [
            (r"\/", "/"),
            (r"\u0041\u00e9\uFFFF", "Aé\u{ffff}"),
            (r"\ud83e\udd80!", "🦀!"),
            (r"\uD83E\uDD80\u0041", "🦀A"),
            (r"a\u0041\ud83e\udd80", "aA🦀"),
        ] {
            assert_eq!(unescape(inner), text, "{inner}");
        }
    }
}
