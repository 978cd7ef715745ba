//! A node's own share, and what the others are still to be told of it.
//!
//! Invariant: a room that changes a thousand times between two words is told once, so what waits
//! is never more than the share. A page is what the share is at its place in the row of words, so
//! whoever hears all words in their order needs no clock to tell the newer from the older. No
//! clock and no broker here: the task brings both.

use crate::broker::share::word::{ShareItem, ShareSays, ShareWord};
use shardcast_engine::TopicName;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// A node's rooms and users, with their members.
#[derive(Debug, Default)]
pub(crate) struct OwnShare {
    items: BTreeMap<TopicName, u32>,
    /// What others do not know yet.
    changed: BTreeSet<TopicName>,
    /// The number of the last changes or page.
    number: u64,
    /// Pages that others have asked for.
    telling: TellingAll,
}

/// Whether all of the share is being told.
#[derive(Debug, Default)]
enum TellingAll {
    #[default]
    No,
    /// Behind this key.
    From {
        after: Option<TopicName>,
        /// Somebody has asked since it began.
        asked_again: bool,
    },
}

impl OwnShare {
    /// So many are in it now.
    pub(crate) fn set(&mut self, topic: TopicName, members: u32) {
        let before = match members {
            0 => self.items.remove(&topic).unwrap_or(0),
            _ => self.items.insert(topic.clone(), members).unwrap_or(0),
        };
        if before != members {
            self.changed.insert(topic);
        }
    }

    /// These are all behind one topic up to another; `None`: from the first, up to the last.
    pub(crate) fn set_range(
        &mut self,
        after: Option<&TopicName>,
        upto: Option<&TopicName>,
        found: &[ShareItem],
    ) {
        let within = self.items.range((behind(after), until(upto)));
        let is_found = |topic| {
            found
                .binary_search_by(|(other, _)| other.cmp(topic))
                .is_ok()
        };
        let gone = within.filter(|(topic, _)| !is_found(topic));
        let gone: Vec<TopicName> = gone.map(|(topic, _)| topic.clone()).collect();
        for topic in gone {
            self.set(topic, 0);
        }
        for (topic, members) in found {
            self.set(topic.clone(), *members);
        }
    }

    /// Another node has missed something.
    pub(crate) fn ask(&mut self) {
        match &mut self.telling {
            TellingAll::No => {
                self.telling = TellingAll::From {
                    after: None,
                    asked_again: false,
                }
            }
            // It may have missed the first page.
            TellingAll::From {
                after: Some(_),
                asked_again,
            } => *asked_again = true,
            TellingAll::From { after: None, .. } => {}
        }
    }

    /// Whether there is something to be told.
    pub(crate) fn has_words(&self) -> bool {
        !self.changed.is_empty() || !matches!(self.telling, TellingAll::No)
    }

    /// That it is there, with what number.
    pub(crate) fn alive(&self) -> ShareWord {
        ShareWord {
            number: self.number,
            says: ShareSays::Alive,
        }
    }

    /// The next word that others are to hear, of about so many bytes.
    pub(crate) fn next(&mut self, bytes_max: usize) -> Option<ShareWord> {
        let says = self.next_changes(bytes_max);
        let says = says.or_else(|| self.next_page(bytes_max))?;
        self.number += 1;
        Some(ShareWord {
            number: self.number,
            says,
        })
    }

    fn next_changes(&mut self, bytes_max: usize) -> Option<ShareSays> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        while bytes < bytes_max
            && let Some(topic) = self.changed.pop_first()
        {
            let members = self.items.get(&topic).copied().unwrap_or(0);
            let item = (topic, members);
            bytes += ShareWord::item_bytes(&item);
            items.push(item);
        }
        (!items.is_empty()).then_some(ShareSays::Changes(items))
    }

    fn next_page(&mut self, bytes_max: usize) -> Option<ShareSays> {
        let TellingAll::From { after, asked_again } = &mut self.telling else {
            return None;
        };
        let (mut items, mut bytes) = (Vec::<ShareItem>::new(), 0);
        let mut rest = self.items.range((behind(after.as_ref()), Bound::Unbounded));
        let mut is_last = true;
        for (topic, members) in rest.by_ref() {
            if bytes >= bytes_max {
                is_last = false;
                break;
            }
            let item = (topic.clone(), *members);
            bytes += ShareWord::item_bytes(&item);
            items.push(item);
        }
        let last = items.last().filter(|_| !is_last);
        let upto = last.map(|(topic, _)| topic.clone());
        let next = match (&upto, *asked_again) {
            (Some(upto), asked_again) => TellingAll::From {
                after: Some(upto.clone()),
                asked_again,
            },
            (None, true) => TellingAll::From {
                after: None,
                asked_again: false,
            },
            (None, false) => TellingAll::No,
        };
        let after = after.take();
        self.telling = next;
        Some(ShareSays::Page { after, upto, items })
    }
}

/// Behind a key, or from the first on.
pub(crate) fn behind(after: Option<&TopicName>) -> Bound<&TopicName> {
    after.map_or(Bound::Unbounded, Bound::Excluded)
}

/// Up to a key, or to the last.
pub(crate) fn until(upto: Option<&TopicName>) -> Bound<&TopicName> {
    upto.map_or(Bound::Unbounded, Bound::Included)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> TopicName {
        TopicName::Room(name.into())
    }

    fn items(of: &[(&str, u32)]) -> Vec<ShareItem> {
        of.iter()
            .map(|(name, count)| (room(name), *count))
            .collect()
    }

    fn says(own: &mut OwnShare) -> Option<ShareSays> {
        own.next(1_000).map(|word| word.says)
    }

    #[test]
    fn what_changes_often_is_told_once() {
        let mut own = OwnShare::default();
        (1..100).for_each(|count| own.set(room("a"), count));
        own.set(room("b"), 1);
        own.set(room("b"), 0);
        assert_eq!(
            says(&mut own),
            Some(ShareSays::Changes(items(&[("a", 99), ("b", 0)])))
        );
        own.set(room("a"), 99);
        assert!(!own.has_words() && says(&mut own).is_none());
        assert_eq!(own.alive().number, 1);
    }

    #[test]
    fn all_of_it_is_told_in_pages_and_once_more_for_who_asks_late() {
        let mut own = OwnShare::default();
        for name in ["a", "b", "c"] {
            own.set(room(name), 1);
        }
        says(&mut own);
        (0..3).for_each(|_| own.ask());
        let page = |own: &mut OwnShare| own.next(1).map(|word| word.says);
        let expected = |after: Option<&str>, upto: Option<&str>, name| ShareSays::Page {
            after: after.map(room),
            upto: upto.map(room),
            items: items(&[(name, 1)]),
        };
        assert_eq!(page(&mut own), Some(expected(None, Some("a"), "a")));
        own.ask();
        assert_eq!(page(&mut own), Some(expected(Some("a"), Some("b"), "b")));
        // Changes come first, and a page is what the share is at its place.
        own.set(room("bb"), 2);
        assert_eq!(
            page(&mut own),
            Some(ShareSays::Changes(items(&[("bb", 2)])))
        );
        own.set(room("bb"), 0);
        page(&mut own);
        assert_eq!(page(&mut own), Some(expected(Some("b"), None, "c")));
        assert_eq!(page(&mut own), Some(expected(None, Some("a"), "a")));
        assert_eq!(
            (page(&mut own).is_some(), page(&mut own).is_some()),
            (true, true)
        );
        assert!(!own.has_words());
        // A share without items is a page, too.
        let mut own = OwnShare::default();
        own.ask();
        let nothing = ShareSays::Page {
            after: None,
            upto: None,
            items: Vec::new(),
        };
        assert_eq!(says(&mut own), Some(nothing));
    }

    #[test]
    fn a_look_corrects_what_events_did_not_tell() {
        let mut own = OwnShare::default();
        for name in ["a", "b", "c", "d"] {
            own.set(room(name), 1);
        }
        says(&mut own);
        own.set_range(
            Some(&room("a")),
            Some(&room("c")),
            &items(&[("bb", 4), ("c", 1)]),
        );
        assert_eq!(
            says(&mut own),
            Some(ShareSays::Changes(items(&[("b", 0), ("bb", 4)])))
        );
    }
}
