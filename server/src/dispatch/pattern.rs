//! Which types of requests a middleware sees. Compared when handlers change, never per message.

use std::fmt;

/// A type (`chat.send`), all types with a prefix (`chat.*`), or all (`*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: Box<str>,
    /// The pattern ended with a star: it fits every type that begins with the text.
    is_prefix: bool,
}

impl Pattern {
    /// A star ends the pattern; anywhere else it has no meaning and is refused. Without a star, an
    /// empty pattern fits nothing.
    pub(crate) fn parse(pattern: &str) -> Option<Pattern> {
        let (text, is_prefix) = match pattern.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (pattern, false),
        };
        let is_one = !text.contains('*') && (is_prefix || !text.is_empty());
        is_one.then(|| Pattern {
            text: text.into(),
            is_prefix,
        })
    }

    pub(crate) fn fits(&self, kind: &str) -> bool {
        if self.is_prefix {
            kind.starts_with(&*self.text)
        } else {
            kind == &*self.text
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        f.write_str(if self.is_prefix { "*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_ends_a_pattern() {
        for (pattern, fits, fits_not) in [
            ("*", &["", "a", "a.b"][..], &[][..]),
            ("a.*", &["a.", "a.b", "a.b.c"], &["a", "b.a.", ""]),
            ("a.b", &["a.b"], &["a.bc", "a", "a.b*"]),
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            assert_eq!(parsed.to_string(), pattern);
            assert!(fits.iter().all(|kind| parsed.fits(kind)), "{pattern}");
            assert!(!fits_not.iter().any(|kind| parsed.fits(kind)), "{pattern}");
        }
        for pattern in ["", "*a", "a*b", "**", "a.*.b*"] {
            assert_eq!(Pattern::parse(pattern), None, "{pattern}");
        }
    }
}
