//! A node's own share, and what the others are still to be told of it.
//!
//! Invariant: a room that changes a thousand times between two words is told once, so what waits
//! is never more than the share. A page is what the share is at its place in the row of words, so
//! whoever hears all words in their order needs no clock to tell the newer from the older. No
//! clock and no broker here: the task brings both.

use crate::broker::share::occupancy::{RoomTurn, RoomTurned};
use crate::broker::share::word::{ShareItem, ShareKey, ShareSays, ShareValue, ShareWord};
use shardcast_engine::{PresenceKey, PresentThere, TopicName};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// A node's rooms and users, and who is in rooms that keep presence.
#[derive(Debug, Default)]
pub(crate) struct OwnShare {
    items: BTreeMap<ShareKey, ShareValue>,
    /// What others do not know yet.
    changed: BTreeSet<ShareKey>,
    /// The number of the last changes or page.
    number: u64,
    /// Pages that others have asked for.
    telling: TellingAll,
    /// Rooms that have their first member, or none any more. `None`: nobody wants to know.
    turned: Option<Vec<RoomTurned>>,
}

/// Whether all of the share is being told.
#[derive(Debug, Default)]
enum TellingAll {
    #[default]
    No,
    /// Behind this key.
    From {
        after: Option<ShareKey>,
        /// Somebody has asked since it began.
        asked_again: bool,
    },
}

impl OwnShare {
    /// It is so now. `None`: it is no part of the share any more.
    pub(crate) fn set(&mut self, key: ShareKey, value: Option<ShareValue>) {
        let is_same = self.items.get(&key) == value.as_ref();
        if is_same {
            return;
        }
        let turn = match value {
            Some(_) => RoomTurn::Occupied,
            None => RoomTurn::Vacated,
        };
        let before = match value {
            Some(value) => self.items.insert(key.clone(), value),
            None => self.items.remove(&key),
        };
        if let Some(turned) = &mut self.turned
            && before.is_some() != (turn == RoomTurn::Occupied)
            && let ShareKey::Topic(TopicName::Room(room)) = &key
        {
            turned.push((room.clone(), turn));
        }
        self.changed.insert(key);
    }

    /// Somebody wants to know from here on which rooms turn.
    pub(crate) fn watch(&mut self) {
        self.turned.get_or_insert_default();
    }

    /// Rooms that have turned since they were taken.
    pub(crate) fn take_turned(&mut self) -> Vec<RoomTurned> {
        self.turned.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// These are all rooms and users behind one up to another; `None`: from the first, up to the
    /// last. In order.
    pub(crate) fn set_topics(
        &mut self,
        after: Option<&ShareKey>,
        upto: Option<&ShareKey>,
        found: Vec<ShareItem>,
    ) {
        let within = self.items.range((behind(after), until(upto)));
        let topics = within.map(|(key, _)| key);
        let topics = topics.take_while(|key| matches!(key, ShareKey::Topic(_)));
        let before = topics.cloned().collect();
        self.set_all(before, found);
    }

    /// These are all members of a room that keeps presence, in order.
    pub(crate) fn set_members(&mut self, room: &Arc<str>, found: Vec<(PresenceKey, PresentThere)>) {
        let before = self.of_room(room).cloned().collect();
        let found = found.into_iter().map(|(key, shown)| {
            let key = ShareKey::Member(room.clone(), key);
            (key, Some(ShareValue::Shown(shown)))
        });
        self.set_all(before, found.collect());
    }

    fn of_room<'s>(&'s self, room: &'s Arc<str>) -> impl Iterator<Item = &'s ShareKey> {
        // A user without a name is before all members that a share has.
        let first = ShareKey::Member(room.clone(), PresenceKey::User("".into()));
        let keys = self.items.range(first..).map(|(key, _)| key);
        keys.take_while(move |key| matches!(key, ShareKey::Member(other, _) if other == room))
    }

    fn set_all(&mut self, before: Vec<ShareKey>, found: Vec<ShareItem>) {
        let is_found = |key: &ShareKey| found.binary_search_by(|(other, _)| other.cmp(key)).is_ok();
        for key in before.into_iter().filter(|key| !is_found(key)) {
            self.set(key, None);
        }
        for (key, value) in found {
            self.set(key, value);
        }
    }

    /// Rooms of which it has members that it knows one by one.
    pub(crate) fn rooms_with_presence(&self) -> BTreeSet<Arc<str>> {
        let keys = self.items.keys().rev();
        let rooms = keys.map_while(|key| match key {
            ShareKey::Member(room, _) => Some(room.clone()),
            ShareKey::Topic(_) => None,
        });
        rooms.collect()
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

    /// The number of the last word that changed something, or was a page.
    pub(crate) fn word(&self) -> u64 {
        self.number
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
            && let Some(key) = self.changed.pop_first()
        {
            let value = self.items.get(&key).cloned();
            let item = (key, value);
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
        for (key, value) in rest.by_ref() {
            if bytes >= bytes_max {
                is_last = false;
                break;
            }
            let item = (key.clone(), Some(value.clone()));
            bytes += ShareWord::item_bytes(&item);
            items.push(item);
        }
        let last = items.last().filter(|_| !is_last);
        let upto = last.map(|(key, _)| key.clone());
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
pub(crate) fn behind(after: Option<&ShareKey>) -> Bound<&ShareKey> {
    after.map_or(Bound::Unbounded, Bound::Excluded)
}

/// Up to a key, or to the last.
pub(crate) fn until(upto: Option<&ShareKey>) -> Bound<&ShareKey> {
    upto.map_or(Bound::Unbounded, Bound::Included)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardcast_engine::PresenceState;

    fn room(name: &str) -> ShareKey {
        ShareKey::Topic(TopicName::Room(name.into()))
    }

    fn some(members: u32) -> Option<ShareValue> {
        (members > 0).then_some(ShareValue::Members(members))
    }

    fn items(of: &[(&str, u32)]) -> Vec<ShareItem> {
        of.iter()
            .map(|(name, count)| (room(name), some(*count)))
            .collect()
    }

    fn says(own: &mut OwnShare) -> Option<ShareSays> {
        own.next(10_000).map(|word| word.says)
    }

    #[test]
    fn what_changes_often_is_told_once() {
        let mut own = OwnShare::default();
        (1..100).for_each(|count| own.set(room("a"), some(count)));
        own.set(room("b"), some(1));
        own.set(room("b"), None);
        assert_eq!(
            says(&mut own),
            Some(ShareSays::Changes(items(&[("a", 99), ("b", 0)])))
        );
        own.set(room("a"), some(99));
        assert!(!own.has_words() && says(&mut own).is_none());
        assert_eq!(own.alive().number, 1);
    }

    #[test]
    fn all_of_it_is_told_in_pages_and_once_more_for_who_asks_late() {
        let mut own = OwnShare::default();
        for name in ["a", "b", "c"] {
            own.set(room(name), some(1));
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
        own.set(room("bb"), some(2));
        assert_eq!(
            page(&mut own),
            Some(ShareSays::Changes(items(&[("bb", 2)])))
        );
        own.set(room("bb"), None);
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
            own.set(room(name), some(1));
        }
        says(&mut own);
        own.set_topics(
            Some(&room("a")),
            Some(&room("c")),
            items(&[("bb", 4), ("c", 1)]),
        );
        assert_eq!(
            says(&mut own),
            Some(ShareSays::Changes(items(&[("b", 0), ("bb", 4)])))
        );
    }

    #[test]
    fn members_of_one_room_are_looked_through_and_no_others() {
        let there = |state| PresentThere {
            user: None,
            data: None,
            state,
        };
        let key = |name: &str| PresenceKey::Elsewhere(name.into());
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        let mut own = OwnShare::default();
        own.set(room("one"), some(2));
        let here = || there(PresenceState::Here);
        own.set_members(&one, vec![(key("a"), here()), (key("b"), here())]);
        own.set_members(&other, vec![(key("a"), here())]);
        own.next(10_000);
        own.set_topics(None, None, items(&[("one", 1)]));
        let away = there(PresenceState::Away);
        own.set_members(&one, vec![(key("b"), away.clone())]);
        let member = |name| ShareKey::Member(one.clone(), key(name));
        let expected = vec![
            (room("one"), some(1)),
            (member("a"), None),
            (member("b"), Some(ShareValue::Shown(away))),
        ];
        assert_eq!(says(&mut own), Some(ShareSays::Changes(expected)));
        assert_eq!(own.rooms_with_presence(), [one.clone(), other].into());
        own.set_members(&one, Vec::new());
        assert_eq!(own.rooms_with_presence().len(), 1);
    }
}
