//! Tags of a publication: they stand behind the name of its event, so whoever keeps, stores or
//! carries the name has them, and nobody else pays for them. Only the Centrifuge protocol has tags;
//! clients of other dialects are told the name alone.
//!
//! Invariant: tags are a JSON object of texts, behind a character that separates them from the name
//! that the server API of that protocol publishes under. Whatever else is named so has no tags.

use super::token::{Token, Tokens};
use super::value::Value;
use crate::json::Raw;
use std::borrow::Cow;

/// The event of what a server publishes by the API of Centrifugo: it is a publication without tags,
/// or with those that it was published with.
pub const PUBLICATION: &str = "publication";

/// The tag of what the application publishes without tags: its event's name.
pub const TAG_OF_EVENTS: &str = "event";

const SEPARATOR: char = '\0';

/// The name of the event that a publication with these tags is; `tags` is a JSON object of texts.
pub fn tagged(tags: Raw<'_>) -> String {
    format!("{PUBLICATION}{SEPARATOR}{}", tags.as_str())
}

/// An event's name, without tags.
#[inline]
pub fn plain_name(event: &str) -> &str {
    match tags_text(event) {
        Some(_) => PUBLICATION,
        None => event,
    }
}

/// Its tags, as a JSON object. `None`: it has none.
pub fn tags_of(event: &str) -> Option<Raw<'_>> {
    let tags = Raw::parse(tags_text(event)?)?;
    let mut tokens = Tokens::new(Value::Json(tags));
    matches!(tokens.head(), Token::Map(_)).then_some(tags)
}

/// Each tag with its value.
pub fn tags_in<'b>(tags: Raw<'b>) -> impl Iterator<Item = (Cow<'b, str>, Cow<'b, str>)> {
    let mut tokens = Tokens::new(Value::Json(tags));
    let mut rest = match tokens.head() {
        Token::Map(rest) => Some(rest),
        _ => None,
    };
    std::iter::from_fn(move || {
        loop {
            if !tokens.more(rest.as_mut()?) {
                return None;
            }
            let key = tokens.key();
            if let Value::Json(raw) = tokens.value()
                && let Token::Text(text) = Tokens::new(Value::Json(raw)).head()
            {
                return Some((key, text));
            }
        }
    })
}

#[inline]
fn tags_text(event: &str) -> Option<&str> {
    event.strip_prefix(PUBLICATION)?.strip_prefix(SEPARATOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_stand_behind_the_name() {
        let tags = Raw::parse(r#"{"a":"ä\"","b":"","c":7}"#).expect("JSON");
        let event = tagged(tags);
        assert_eq!(
            (plain_name(&event), tags_of(&event)),
            (PUBLICATION, Some(tags))
        );
        let found: Vec<_> = tags_in(tags).collect();
        let expected = [("a", "ä\""), ("b", "")].map(|(key, text)| (key.into(), text.into()));
        assert_eq!(found, expected);
        for event in ["", "price", PUBLICATION, "price\0{}"] {
            assert_eq!((plain_name(event), tags_of(event)), (event, None));
        }
        for wrong in ["publication\0", "publication\0[1]", "publication\0{"] {
            assert_eq!(tags_of(wrong), None, "{wrong}");
        }
    }
}
