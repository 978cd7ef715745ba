//! Text made safe for HTML: whatever came from outside goes through [`Text`], in content and in
//! quoted attributes alike. Invariant: what it writes holds none of `< > & " '` as such and no
//! control character. Used by everything that writes the page.

use std::fmt::{self, Display, Formatter, Write as _};

/// Shows a string escaped.
pub(crate) struct Text<'t>(pub(crate) &'t str);

impl Display for Text<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => out.write_str("&amp;")?,
                '<' => out.write_str("&lt;")?,
                '>' => out.write_str("&gt;")?,
                '"' => out.write_str("&quot;")?,
                '\'' => out.write_str("&#39;")?,
                '\n' | '\t' => out.write_char(' ')?,
                // They are errors in HTML, or change the direction of the text around them.
                _ if character.is_control() || is_direction(character) => {
                    out.write_char(char::REPLACEMENT_CHARACTER)?;
                }
                _ => out.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// Unicode's explicit directional formatting characters (UAX #9).
fn is_direction(character: char) -> bool {
    matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let cases = [
            ("raw-server × 2", "raw-server × 2"),
            (
                "</script><script>alert(1)",
                "&lt;/script&gt;&lt;script&gt;alert(1)",
            ),
            (r#"" onload='x'"#, "&quot; onload=&#39;x&#39;"),
            ("a & b &amp;", "a &amp; b &amp;amp;"),
            ("<!--\n-->", "&lt;!-- --&gt;"),
            ("\0\u{1b}[1m\u{85}", "\u{fffd}\u{fffd}[1m\u{fffd}"),
            ("\u{202E}evil", "\u{fffd}evil"),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(Text(text).to_string(), expected, "{text:?}");
        }
    }
}
