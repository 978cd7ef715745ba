//! Where a value ends, for a reader that hands it on as it came: its strings end, and as many
//! brackets are closed as were opened. Whether it is JSON is for whoever reads it.
//!
//! Invariant: no value is nested so deeply that finding its end takes memory. Called by what
//! reads a server's messages.

use super::plain::word_at;
use super::scan::{JsonScanner, SyntaxError, skip_space, skip_string};

impl<'b> JsonScanner<'b> {
    /// Takes one value after white space as it was sent, without a look at whether it is JSON
    /// inside: for who hands it on to somebody that reads it.
    #[inline]
    pub(crate) fn unread(&mut self) -> Result<&'b str, SyntaxError> {
        let bytes = self.text.as_bytes();
        let start = skip_space(bytes, self.at);
        self.at = value_end(bytes, start)?;
        Ok(&self.text[start..self.at])
    }
}

/// The end of the value that begins at `at`.
#[inline]
fn value_end(bytes: &[u8], at: usize) -> Result<usize, SyntaxError> {
    match bytes.get(at) {
        Some(b'"') => skip_string(bytes, at + 1),
        Some(b'{' | b'[') => container_end(bytes, at + 1),
        Some(_) | None => scalar_end(bytes, at),
    }
}

/// The end of the container whose bracket is before `at`.
#[inline(never)]
fn container_end(bytes: &[u8], mut at: usize) -> Result<usize, SyntaxError> {
    // No text has as many brackets as this counts.
    let mut depth = 1_usize;
    'words: while let Some(word) = word_at(bytes, at) {
        let mut found = structural_bytes(word);
        while found != 0 {
            let here = at + (found.trailing_zeros() / 8) as usize;
            found &= found - 1;
            match bytes[here] {
                b'"' => {
                    at = skip_string(bytes, here + 1)?;
                    continue 'words;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 1 => return Ok(here + 1),
                b'}' | b']' => depth -= 1,
                _ => {}
            }
        }
        at += 8;
    }
    loop {
        match bytes.get(at) {
            None => return Err(SyntaxError { at }),
            Some(b'"') => {
                at = skip_string(bytes, at + 1)?;
                continue;
            }
            Some(b'{' | b'[') => depth += 1,
            Some(b'}' | b']') if depth == 1 => return Ok(at + 1),
            Some(b'}' | b']') => depth -= 1,
            Some(_) => {}
        }
        at += 1;
    }
}

/// The end of the number or the word at `at`.
fn scalar_end(bytes: &[u8], at: usize) -> Result<usize, SyntaxError> {
    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b':' | b'"' | 0..=b' ');
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.iter().position(ends).unwrap_or(rest.len()) {
        0 => Err(SyntaxError { at }),
        length => Ok(at + length),
    }
}

const LOW_BITS: u64 = 0x0101_0101_0101_0101;

/// The high bit of each byte that is a quote or a bracket, and of some that are not: the caller
/// looks at each.
#[inline(always)]
fn structural_bytes(word: u64) -> u64 {
    /// What the four brackets have not in common.
    const VARYING: u64 = LOW_BITS * 0x26;
    let quotes = word ^ (LOW_BITS * b'"' as u64);
    let brackets = (word | VARYING) ^ (LOW_BITS * 0x7f);
    zero_bytes(quotes) | zero_bytes(brackets)
}

/// The high bit of each byte that is zero, and perhaps of bytes above one.
#[inline(always)]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(LOW_BITS) & !word & (LOW_BITS * 0x80)
}

#[cfg(test)]
mod tests {
    use super::super::scan::JsonScanner;
    use super::value_end;

    #[test]
    fn a_value_ends_where_the_scanner_says() {
        for value in [
            "0",
            "-1.5e3",
            "true",
            "null",
            r#""""#,
            r#""a \" ] } \\""#,
            "[]",
            "{}",
            r#"{"number":17,"item":"a thing with a name","tags":["new","blue"]}"#,
            r#"[[[[1],[2]],{"y":"_"}],"y","_",[{"ü":"ä"}]]"#,
            r#"{"a":"]]]]]]]]","b":["}}}}}}}}","\"}"]}"#,
            "[ 1 , 2 ,\t{ \"a\" : [ ] } ]",
        ] {
            for behind in ["", ",", "}", " ", "]]]]]]]]]]]", "\"more\":1,\"and\":2}"] {
                let text = format!("{value}{behind}");
                let mut scanner = JsonScanner::new(&text);
                assert_eq!(scanner.value(1).expect("JSON"), value);
                let end = value_end(text.as_bytes(), 0);
                assert_eq!(end.map(|end| &text[..end]), Ok(value), "{text}");
            }
        }
    }

    #[test]
    fn what_has_no_end_is_none() {
        for text in [
            "",
            "[",
            "{\"a\":[1,2]",
            "\"a",
            "[\"a]",
            "{{{{{{{{{{}}}}}}}}}",
            ",",
            "}",
        ] {
            assert!(value_end(text.as_bytes(), 0).is_err(), "{text}");
        }
        // However deep it is.
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert_eq!(value_end(deep.as_bytes(), 0), Ok(deep.len()));
    }
}
