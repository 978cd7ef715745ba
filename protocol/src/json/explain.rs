//! Why a text is refused, in words for whoever wrote it. The scanner says only where, so that its
//! way through good text costs nothing for this. Called by the dialects that speak JSON.

use super::scan::{DEPTH_MAX, SyntaxError};

/// What is wrong with `text`, which counts as standing inside `outer` containers.
pub(crate) fn explain(text: &str, error: SyntaxError, outer: u32) -> String {
    let depth_max = DEPTH_MAX - outer;
    let SyntaxError { at } = error;
    let (before, rest) = text.as_bytes().split_at(at.min(text.len()));
    if let Some(start) = infinite_number(before) {
        return format!(
            "the number at byte {start} is too large: JSON numbers here are finite 64-bit floats"
        );
    }
    match rest {
        [] => format!("{error}, where the text ends"),
        [b'{' | b'[', ..] if depth(before) >= depth_max => {
            format!("nested too deeply at byte {at}: {depth_max} arrays and objects are allowed")
        }
        [b'\\', b'u', ..] if is_surrogate(rest) => {
            format!("{error}: half of a surrogate pair stands for no character")
        }
        [0..=0x1f, ..] if is_in_string(before) => {
            format!("{error}: control characters in strings are escaped (RFC 8259 §7)")
        }
        _ => error.to_string(),
    }
}

/// Where the number begins that ends here and is infinite as a 64-bit float.
fn infinite_number(before: &[u8]) -> Option<usize> {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let length = before.iter().rev().take_while(|byte| is_part(byte)).count();
    let start = before.len() - length;
    let number = str::from_utf8(&before[start..]).ok()?;
    // Rust reads "inf" as a number, too, but no letter of it is part of one here.
    let value: f64 = number.parse().ok()?;
    (value.is_infinite() && !is_in_string(&before[..start])).then_some(start)
}

/// Containers that are open behind these bytes, which the scanner has accepted.
fn depth(before: &[u8]) -> u32 {
    outside_strings(before).fold(0, |depth: u32, byte| match byte {
        b'{' | b'[' => depth + 1,
        b'}' | b']' => depth.saturating_sub(1),
        _ => depth,
    })
}

fn is_in_string(before: &[u8]) -> bool {
    let quotes = outside_strings(before).filter(|byte| *byte == b'"').count();
    quotes % 2 == 1
}

/// All bytes but those between quotes; the quotes themselves are among them.
fn outside_strings(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let (mut in_string, mut is_escaped) = (false, false);
    bytes.iter().copied().filter(move |byte| {
        if in_string && is_escaped {
            is_escaped = false;
            return false;
        }
        is_escaped = in_string && *byte == b'\\';
        if *byte == b'"' {
            in_string = !in_string;
            return true;
        }
        !in_string
    })
}

/// An escape sequence of a surrogate, which has half a character's number (RFC 8259 §7).
fn is_surrogate(escape: &[u8]) -> bool {
    let digits = escape.get(2..6).and_then(|hex| str::from_utf8(hex).ok());
    let unit = digits.and_then(|hex| u16::from_str_radix(hex, 16).ok());
    unit.is_some_and(|unit| (0xd800..=0xdfff).contains(&unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::JsonScanner;

    fn check(text: &str, depth_max: u32, expected: &str) {
        let outer = DEPTH_MAX - depth_max;
        let mut scanner = JsonScanner::new(text);
        let error = scanner.value(outer).and_then(|_| scanner.finish());
        let error = error.expect_err("it is refused");
        assert_eq!(explain(text, error, outer), expected, "{text}");
    }

    #[test]
    fn refused_texts_are_explained() {
        for (text, depth_max, expected) in [
            ("", 9, "not valid JSON at byte 0, where the text ends"),
            ("[1,", 9, "not valid JSON at byte 3, where the text ends"),
            ("[1 2]", 9, "not valid JSON at byte 3"),
            ("{a:1}", 9, "not valid JSON at byte 1"),
            (
                r#"["[","{\"",{}]"#,
                1,
                "nested too deeply at byte 11: 1 arrays and objects are allowed",
            ),
            (
                "[[],[[[0]]]]",
                3,
                "nested too deeply at byte 6: 3 arrays and objects are allowed",
            ),
            ("[0 [", 9, "not valid JSON at byte 3"),
            (
                "[-1e400]",
                9,
                "the number at byte 1 is too large: JSON numbers here are finite 64-bit floats",
            ),
            (r#"["1e400" 2]"#, 9, "not valid JSON at byte 9"),
            (r#""\ud800!""#, 9, "not valid JSON at byte 7"),
            (
                r#""\udc00""#,
                9,
                "not valid JSON at byte 1: half of a surrogate pair stands for no character",
            ),
            (r#""\x""#, 9, "not valid JSON at byte 1"),
            (
                "[\"a\nb\"]",
                9,
                "not valid JSON at byte 3: control characters in strings are escaped (RFC 8259 §7)",
            ),
            ("[1\u{1}]", 9, "not valid JSON at byte 2"),
        ] {
            check(text, depth_max, expected);
        }
    }
}
