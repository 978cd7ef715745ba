//! Tags of a publication, and what it changes of a map: they stand behind the name of its event, so
//! whoever keeps, stores or carries the name has them, and nobody else pays for them. Only the
//! Centrifuge protocol has tags; clients of other dialects are told the name and the key.
//!
//! Invariant: tags are a JSON object of texts, behind a character that separates them from the name
//! that the server API of that protocol publishes under, and a change of a map ([`MapEntry`])
//! stands behind another one. Whatever else is named so has neither.

use super::keyed::{KeyChange, MapEntry};
use super::map::{Map, Notation};
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

/// The name of the event that a change of a map is, with these tags, if there are some.
pub fn named_entry(tags: Option<Raw<'_>>, entry: &MapEntry<'_>) -> String {
    let tags = tags.map_or("", |tags| tags.as_str());
    let mut name = format!("{PUBLICATION}{SEPARATOR}{tags}{SEPARATOR}");
    entry.push(&mut name);
    name
}

/// What an event changes of a map. `None`: nothing.
pub fn entry_of(event: &str) -> Option<MapEntry<'_>> {
    MapEntry::read(parts(event)?.1?)
}

/// The name of the event that removes from a map what this one has put there. `None`: that has put
/// nothing there.
pub fn removal_of(event: &str) -> Option<String> {
    let entry = entry_of(event)?;
    Some(named_entry(tags_of(event), &entry.removed()))
}

/// What clients of other dialects are told of a change of a map, of an event with this plain name.
#[inline]
pub(super) fn write_entry<N: Notation>(map: &mut Map<'_, N>, plain: &str, event: &str) {
    if plain.len() < event.len() {
        write_change(map, event);
    }
}

#[cold]
fn write_change<N: Notation>(map: &mut Map<'_, N>, event: &str) {
    if let Some(entry) = entry_of(event) {
        map.string("conflate", entry.key);
        if entry.change == KeyChange::Remove {
            map.boolean("removed", true);
        }
    }
}

/// An event's name, without tags.
#[inline]
pub fn plain_name(event: &str) -> &str {
    match parts(event) {
        Some(_) => PUBLICATION,
        None => event,
    }
}

/// Its tags, as a JSON object. `None`: it has none.
pub fn tags_of(event: &str) -> Option<Raw<'_>> {
    let tags = Raw::parse(parts(event)?.0)?;
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

/// What stands behind the name: tags, and what changes of a map.
#[inline]
fn parts(event: &str) -> Option<(&str, Option<&str>)> {
    let parts = event.strip_prefix(PUBLICATION)?.strip_prefix(SEPARATOR)?;
    // JSON has no such character.
    Some(match parts.split_once(SEPARATOR) {
        Some((tags, entry)) => (tags, Some(entry)),
        None => (parts, None),
    })
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
            assert_eq!(entry_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_change_of_a_map_stands_behind_the_tags() {
        let tags = Raw::parse(r#"{"a":"b"}"#);
        for tags in [None, tags] {
            for key in ["k", "a\0b", "ü"] {
                let entry = MapEntry {
                    key,
                    change: KeyChange::Set,
                    client: "0-1-2",
                    user: "ann",
                    info: r#"{"n":1}"#,
                };
                let event = named_entry(tags, &entry);
                assert_eq!((plain_name(&event), tags_of(&event)), (PUBLICATION, tags));
                assert_eq!(entry_of(&event), Some(entry));
                let removal = removal_of(&event).expect("it has put something there");
                assert_eq!(tags_of(&removal), tags);
                let removed = MapEntry::of_server(key, KeyChange::Remove);
                assert_eq!(entry_of(&removal), Some(removed));
            }
        }
        for event in [
            "",
            "price",
            PUBLICATION,
            "publication\0{}",
            "publication\0{}\0+k",
        ] {
            assert_eq!(
                (entry_of(event), removal_of(event)),
                (None, None),
                "{event}"
            );
        }
    }
}
