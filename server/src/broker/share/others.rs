//! The shares of all other nodes, as far as this one has heard them.
//!
//! Invariant: a share is whole, or it is known what is to be asked for: each word has the number
//! behind the one before, so a word that was lost is missed with the next one. The sums are those
//! of the shares, and all of it, with the members that are gone while their rooms do not know it,
//! takes no more bytes than it may. No clock here: whoever calls says what time it is. Kept by the
//! cluster's view.

use crate::broker::share::own::{behind, until};
use crate::broker::share::word::{ShareItem, ShareKey, ShareSays, ShareValue, ShareWord};
use shardcast_engine::{PresenceKey, PresentThere, TopicName};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// What other nodes have.
#[derive(Debug)]
pub(crate) struct Shares {
    /// By the number of their run.
    nodes: BTreeMap<u64, NodeShare>,
    /// Over all of them.
    sums: BTreeMap<TopicName, u64>,
    /// Members of rooms that keep presence, of which the rooms do not know what has become.
    changed: BTreeSet<(u64, Arc<str>, PresenceKey)>,
    /// Rooms that had no member at these nodes and have one, or the other way round, since somebody
    /// has asked. `None`: nobody wants to know.
    turned: Option<BTreeSet<Arc<str>>>,
    /// Users of whom these nodes have more connections than before. `None`: nobody wants to know.
    users: Option<BTreeSet<Arc<str>>>,
    bytes: usize,
    bytes_max: usize,
}

/// What one of them has.
#[derive(Debug, Default)]
struct NodeShare {
    items: BTreeMap<ShareKey, ShareValue>,
    /// Of its last word.
    number: u64,
    known: ShareKnown,
    /// It has items that found no room.
    is_cut: bool,
    /// When it was asked, or has answered with a page.
    asked_ms: Option<u64>,
}

/// How far a share is known.
#[derive(Debug, Default)]
enum ShareKnown {
    /// All of it. Who has said nothing has nothing, and begins with the number 0.
    #[default]
    Whole,
    /// Something was missed.
    Missed,
    /// It is being told page by page, up to this by now.
    UpTo(ShareKey),
}

/// What became of a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShareHeard {
    /// Items that found no room.
    pub(crate) refused: u64,
    /// Words before it were missed.
    pub(crate) is_behind_a_gap: bool,
}

/// What has become of a member of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberThere {
    /// Its node.
    pub(crate) run: u64,
    pub(crate) room: Arc<str>,
    pub(crate) key: PresenceKey,
    /// `None`: it is none any more.
    pub(crate) shown: Option<PresentThere>,
}

impl Default for Shares {
    fn default() -> Shares {
        Shares::of_bytes(Shares::BYTES_MAX)
    }
}

impl Shares {
    /// What all shares may take.
    pub(crate) const BYTES_MAX: usize = 256 << 20;
    /// What an item takes without its name: its entries in two tables, with their slack.
    const ITEM_BYTES: usize = 160;

    pub(crate) fn of_bytes(bytes_max: usize) -> Shares {
        Shares {
            nodes: BTreeMap::new(),
            sums: BTreeMap::new(),
            changed: BTreeSet::new(),
            turned: None,
            users: None,
            bytes: 0,
            bytes_max,
        }
    }

    /// A node has said something of its share.
    pub(crate) fn hear(&mut self, run: u64, word: ShareWord, now_ms: u64) -> ShareHeard {
        let node = self.nodes.entry(run).or_default();
        let is_next = match word.says {
            ShareSays::Changes(_) | ShareSays::Page { .. } => {
                word.number == node.number.wrapping_add(1)
            }
            ShareSays::Alive => word.number == node.number,
            ShareSays::Question(_) => return ShareHeard::default(),
        };
        node.number = word.number;
        if !is_next {
            node.known = ShareKnown::Missed;
        }
        let refused = match word.says {
            ShareSays::Alive | ShareSays::Question(_) => 0,
            ShareSays::Changes(items) => self.change(run, items),
            ShareSays::Page { after, upto, items } => {
                self.take_page(run, (after, upto), items, now_ms)
            }
        };
        ShareHeard {
            refused,
            is_behind_a_gap: !is_next,
        }
    }

    fn change(&mut self, run: u64, items: Vec<ShareItem>) -> u64 {
        let taken = items.into_iter();
        let taken = taken.map(|(key, value)| self.set(run, key, value));
        taken.map(u64::from).sum()
    }

    fn take_page(
        &mut self,
        run: u64,
        (after, upto): (Option<ShareKey>, Option<ShareKey>),
        items: Vec<ShareItem>,
        now_ms: u64,
    ) -> u64 {
        let Some(node) = self.nodes.get_mut(&run) else {
            return 0;
        };
        let goes_on = match (&node.known, &after) {
            // Another node has asked; but what found no room may find some now.
            (ShareKnown::Whole, None) => node.is_cut,
            (ShareKnown::Whole, Some(_)) | (ShareKnown::Missed, Some(_)) => false,
            (ShareKnown::Missed | ShareKnown::UpTo(_), None) => true,
            (ShareKnown::UpTo(known), Some(after)) => known == after,
        };
        let is_range = match (&after, &upto) {
            (Some(after), Some(upto)) => after < upto,
            _ => true,
        };
        if !goes_on || !is_range {
            return 0;
        }
        if after.is_none() {
            node.is_cut = false;
        }
        node.asked_ms = Some(now_ms);
        let within = (behind(after.as_ref()), until(upto.as_ref()));
        let is_told = |key| items.binary_search_by(|(told, _)| told.cmp(key)).is_ok();
        let gone = node.items.range(within);
        let gone = gone.filter(|(key, _)| !is_told(key));
        let gone: Vec<ShareKey> = gone.map(|(key, _)| key.clone()).collect();
        node.known = upto.map_or(ShareKnown::Whole, ShareKnown::UpTo);
        for key in gone {
            self.set(run, key, None);
        }
        self.change(run, items)
    }

    /// It is so at this node now. `true`: it finds no room.
    fn set(&mut self, run: u64, key: ShareKey, value: Option<ShareValue>) -> bool {
        let Some(node) = self.nodes.get_mut(&run) else {
            return false;
        };
        let bytes = value.as_ref().map_or(0, |value| item_bytes(&key, value));
        let before = node.items.get(&key);
        let had_it = before.is_some();
        let is_to_tell = match &key {
            ShareKey::Member(room, member) => {
                let changed = (run, room.clone(), member.clone());
                had_it || self.changed.contains(&changed)
            }
            ShareKey::Topic(_) => false,
        };
        let bytes_gone = if is_to_tell { gone_bytes(&key) } else { 0 };
        let bytes_before = before.map_or(bytes_gone, |before| item_bytes(&key, before));
        let left = self.bytes - bytes_before;
        let is_refused = bytes > bytes_before && left + bytes > self.bytes_max;
        // Nothing is better than what was.
        let value = value.filter(|_| !is_refused);
        node.is_cut |= is_refused;
        self.bytes = left + value.as_ref().map_or(bytes_gone, |_| bytes);
        let now = members_in(value.as_ref());
        let before = match value {
            Some(value) => node.items.insert(key.clone(), value),
            None => node.items.remove(&key),
        };
        match key {
            ShareKey::Topic(topic) => self.count(topic, members_in(before.as_ref()), now),
            ShareKey::Member(room, key) => {
                // Who was not known and is not there was never told of.
                if had_it || bytes > 0 && !is_refused {
                    self.changed.insert((run, room, key));
                }
            }
        }
        is_refused
    }

    fn count(&mut self, topic: TopicName, before: u32, now: u32) {
        let sum = self.sums.entry(topic.clone()).or_default();
        let sum_before = *sum;
        *sum = sum_before + u64::from(now) - u64::from(before);
        let is_over = *sum == 0;
        if is_over {
            self.sums.remove(&topic);
        }
        match (topic, &mut self.turned, &mut self.users) {
            (TopicName::Room(room), Some(turned), _) if (sum_before == 0) != is_over => {
                turned.insert(room);
            }
            (TopicName::User(user), _, Some(users)) if now > before => {
                users.insert(user);
            }
            _ => {}
        }
    }

    /// Somebody wants to know from here on which users have more connections than before.
    pub(crate) fn watch_users(&mut self) {
        self.users.get_or_insert_default();
    }

    /// Users of whom these nodes have more connections since they were taken: no more than came.
    pub(crate) fn take_users(&mut self) -> BTreeSet<Arc<str>> {
        self.users.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The number of the last word of a node.
    pub(crate) fn word(&self, run: u64) -> u64 {
        self.nodes.get(&run).map_or(0, |node| node.number)
    }

    /// Somebody wants to know from here on which rooms turn.
    pub(crate) fn watch(&mut self) {
        self.turned.get_or_insert_default();
    }

    /// Whether there is something that somebody wants to know, and has not taken.
    pub(crate) fn has_turned(&self) -> bool {
        let mut wanted = [&self.turned, &self.users].into_iter().flatten();
        wanted.any(|wanted| !wanted.is_empty())
    }

    /// Rooms that had no member at these nodes and have one, or the other way round: no more than
    /// came and went since they were taken.
    pub(crate) fn take_turned(&mut self) -> BTreeSet<Arc<str>> {
        self.turned.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// A member of which its room here does not know what has become, and what that is.
    pub(crate) fn next_changed(&mut self) -> Option<MemberThere> {
        let (run, room, key) = self.changed.pop_first()?;
        let share_key = ShareKey::Member(room.clone(), key.clone());
        let node = self.nodes.get(&run);
        let found = node.and_then(|node| node.items.get(&share_key));
        if found.is_none() {
            self.bytes -= gone_bytes(&share_key);
        }
        let shown = match found {
            Some(ShareValue::Shown(shown)) => Some(shown.clone()),
            Some(ShareValue::Members(_)) | None => None,
        };
        Some(MemberThere {
            run,
            room,
            key,
            shown,
        })
    }

    /// Rooms are told of all members once more: some have forgotten them.
    pub(crate) fn place_again(&mut self) {
        for (run, node) in &self.nodes {
            let keys = node.items.keys().rev();
            let members = keys.map_while(|key| match key {
                ShareKey::Member(room, key) => Some((*run, room.clone(), key.clone())),
                ShareKey::Topic(_) => None,
            });
            self.changed.extend(members);
        }
    }

    /// Whether rooms are to be told of members.
    pub(crate) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Only these nodes are there: what the others had is gone.
    pub(crate) fn keep(&mut self, is_there: impl Fn(u64) -> bool) {
        let gone = self.nodes.keys().copied().filter(|run| !is_there(*run));
        let gone: Vec<u64> = gone.collect();
        for run in gone {
            let items = self.nodes.get(&run).map(|node| node.items.keys().cloned());
            let items: Vec<ShareKey> = items.into_iter().flatten().collect();
            for key in items {
                self.set(run, key, None);
            }
            self.nodes.remove(&run);
        }
    }

    /// Whom to ask for all of its share: those that were not asked within this time.
    pub(crate) fn whom_to_ask(&mut self, again_ms: u64, now_ms: u64) -> Vec<u64> {
        let has_room = self.bytes < self.bytes_max / 8 * 7;
        let nodes = self.nodes.iter_mut();
        let due = nodes.filter(|(_, node)| {
            let is_wanted = !matches!(node.known, ShareKnown::Whole) || node.is_cut && has_room;
            let asked_ms = node.asked_ms;
            is_wanted && asked_ms.is_none_or(|at_ms| now_ms.saturating_sub(at_ms) >= again_ms)
        });
        let ask = due.map(|(run, node)| {
            node.asked_ms = Some(now_ms);
            *run
        });
        ask.collect()
    }

    /// Whether all of a node's share is here.
    pub(crate) fn is_whole(&self, run: u64) -> bool {
        let node = self.nodes.get(&run);
        node.is_some_and(|node| matches!(node.known, ShareKnown::Whole) && !node.is_cut)
    }

    /// How many are in it at all of them.
    pub(crate) fn sum(&self, topic: &TopicName) -> u64 {
        self.sums.get(topic).copied().unwrap_or(0)
    }

    /// How many are in it at one of them.
    pub(crate) fn at(&self, run: u64, topic: &TopicName) -> u32 {
        let node = self.nodes.get(&run);
        let key = ShareKey::Topic(topic.clone());
        members_in(node.and_then(|node| node.items.get(&key)))
    }

    /// What there is from here on, in the order of names, rooms first.
    pub(crate) fn from(&self, from: Bound<&TopicName>) -> impl Iterator<Item = (&TopicName, u64)> {
        let found = self.sums.range((from, Bound::Unbounded));
        found.map(|(topic, sum)| (topic, *sum))
    }

    /// Items of all of them.
    pub(crate) fn len(&self) -> usize {
        self.nodes.values().map(|node| node.items.len()).sum()
    }

    /// What all of it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn item_bytes(key: &ShareKey, value: &ShareValue) -> usize {
    Shares::ITEM_BYTES + key.bytes() + value.bytes()
}

/// What a member takes that is gone, until its room knows it.
fn gone_bytes(key: &ShareKey) -> usize {
    Shares::ITEM_BYTES + key.bytes()
}

fn members_in(value: Option<&ShareValue>) -> u32 {
    match value {
        Some(ShareValue::Members(members)) => *members,
        Some(ShareValue::Shown(_)) | None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardcast_engine::PresenceState;

    fn room(name: &str) -> TopicName {
        TopicName::Room(name.into())
    }

    fn items(of: &[(&str, u32)]) -> Vec<ShareItem> {
        let item = |(name, count): &(&str, u32)| {
            let value = (*count > 0).then_some(ShareValue::Members(*count));
            (ShareKey::Topic(room(name)), value)
        };
        of.iter().map(item).collect()
    }

    fn changes(number: u64, of: &[(&str, u32)]) -> ShareWord {
        ShareWord {
            number,
            says: ShareSays::Changes(items(of)),
        }
    }

    fn page(number: u64, range: (Option<&str>, Option<&str>), of: &[(&str, u32)]) -> ShareWord {
        ShareWord {
            number,
            says: ShareSays::Page {
                after: range.0.map(room).map(ShareKey::Topic),
                upto: range.1.map(room).map(ShareKey::Topic),
                items: items(of),
            },
        }
    }

    fn sums(shares: &Shares) -> Vec<(TopicName, u64)> {
        let found = shares.from(Bound::Unbounded);
        found.map(|(topic, sum)| (topic.clone(), sum)).collect()
    }

    fn expected(of: &[(&str, u64)]) -> Vec<(TopicName, u64)> {
        of.iter().map(|(name, sum)| (room(name), *sum)).collect()
    }

    #[test]
    fn sums_are_those_of_all_who_are_there() {
        let mut shares = Shares::default();
        shares.hear(1, changes(1, &[("a", 2), ("b", 1)]), 0);
        shares.hear(2, changes(1, &[("a", 3)]), 0);
        shares.hear(1, changes(2, &[("a", 1)]), 0);
        assert_eq!(sums(&shares), expected(&[("a", 4), ("b", 1)]));
        assert_eq!((shares.at(1, &room("a")), shares.at(2, &room("a"))), (1, 3));
        assert!(shares.is_whole(1) && shares.is_whole(2) && !shares.is_whole(3));
        shares.keep(|run| run == 2);
        assert_eq!(sums(&shares), expected(&[("a", 3)]));
        shares.keep(|_| false);
        assert_eq!(
            (shares.len(), shares.bytes(), sums(&shares)),
            (0, 0, Vec::new())
        );
    }

    #[test]
    fn what_was_missed_is_asked_for_and_comes_in_pages() {
        let mut shares = Shares::default();
        shares.hear(1, changes(1, &[("a", 1), ("x", 1)]), 0);
        let heard = shares.hear(1, changes(3, &[("c", 1)]), 10);
        assert!(heard.is_behind_a_gap && !shares.is_whole(1));
        assert_eq!(shares.whom_to_ask(100, 10), [1]);
        assert!(shares.whom_to_ask(100, 109).is_empty());
        assert_eq!(shares.whom_to_ask(100, 110), [1], "the question was lost");
        // A page of an answer whose beginning was missed says nothing.
        shares.hear(1, page(4, (Some("a"), None), &[]), 111);
        assert!(!shares.is_whole(1));
        shares.hear(1, page(5, (None, Some("b")), &[("b", 2)]), 112);
        shares.hear(1, page(6, (Some("b"), None), &[("c", 1)]), 113);
        assert!(shares.is_whole(1) && shares.whom_to_ask(100, 900).is_empty());
        assert_eq!(sums(&shares), expected(&[("b", 2), ("c", 1)]));
        // Who knows all need not hear what others have asked for.
        shares.hear(1, page(7, (None, None), &[]), 114);
        assert_eq!(sums(&shares), expected(&[("b", 2), ("c", 1)]));
        // That a node is there says what was missed, too.
        let alive = |number| ShareWord {
            number,
            says: ShareSays::Alive,
        };
        assert!(!shares.hear(1, alive(7), 115).is_behind_a_gap);
        assert!(shares.hear(1, alive(8), 116).is_behind_a_gap);
        // Whatever a number is, there is one behind it.
        shares.hear(1, alive(u64::MAX), 116);
        shares.hear(1, changes(8, &[]), 116);
        // A range that is none is not taken.
        shares.hear(1, page(9, (Some("z"), Some("a")), &[]), 117);
        assert!(!shares.is_whole(1));
    }

    #[test]
    fn what_finds_no_room_is_counted_and_asked_for_when_there_is_some() {
        let few = 2 * item_bytes(&ShareKey::Topic(room("a")), &ShareValue::Members(1));
        let mut shares = Shares::of_bytes(few);
        let heard = shares.hear(1, changes(1, &[("a", 1), ("b", 1), ("c", 1)]), 0);
        assert_eq!((heard.refused, shares.is_whole(1)), (1, false));
        assert_eq!(shares.bytes(), few);
        assert!(shares.whom_to_ask(1, 5).is_empty(), "there is no room");
        // Who is known changes all the same.
        assert_eq!(shares.hear(1, changes(2, &[("a", 7)]), 6).refused, 0);
        shares.hear(1, changes(3, &[("a", 0)]), 7);
        assert_eq!(shares.whom_to_ask(1, 8), [1]);
        shares.hear(1, page(4, (None, None), &[("b", 1), ("c", 1)]), 9);
        assert!(shares.is_whole(1));
        assert_eq!(sums(&shares), expected(&[("b", 1), ("c", 1)]));
    }

    /// However fast members come and go elsewhere, what rooms are still to be told is bounded.
    #[test]
    fn who_is_gone_counts_until_its_room_knows() {
        let key = |number: u64| {
            let name = format!("0-1-{number}@b");
            ShareKey::Member("chat".into(), PresenceKey::Elsewhere(name.into()))
        };
        let shown = || {
            ShareValue::Shown(PresentThere {
                user: None,
                data: None,
                state: PresenceState::Here,
            })
        };
        let word = |number, item: ShareItem| ShareWord {
            number,
            says: ShareSays::Changes(vec![item]),
        };
        let few = 10;
        let mut shares = Shares::of_bytes(few * gone_bytes(&key(10)));
        let mut refused = 0;
        for number in 0..100 {
            refused += shares
                .hear(
                    1,
                    word(2 * number + 1, (key(10 + number % 90), Some(shown()))),
                    0,
                )
                .refused;
            shares.hear(1, word(2 * number + 2, (key(10 + number % 90), None)), 0);
            assert!(shares.bytes() <= shares.bytes_max && shares.changed.len() <= few);
        }
        assert_eq!((shares.changed.len(), refused), (few, 80));
        // One of them comes back, and goes with all of its node.
        assert_eq!(
            shares
                .hear(1, word(201, (key(10), Some(shown()))), 0)
                .refused,
            0
        );
        shares.keep(|_| false);
        while let Some(member) = shares.next_changed() {
            assert_eq!(member.shown, None);
        }
        assert_eq!(shares.bytes(), 0);
    }

    #[test]
    fn rooms_are_told_what_has_become_of_members_in_the_end() {
        let mut shares = Shares::default();
        let (chat, key): (Arc<str>, _) = ("chat".into(), PresenceKey::Elsewhere("0-1-2@b".into()));
        let shown = |state| {
            Some(PresentThere {
                user: None,
                data: None,
                state,
            })
        };
        let word = |number, shown: Option<PresentThere>| {
            let key = ShareKey::Member(chat.clone(), key.clone());
            let item = (key, shown.map(ShareValue::Shown));
            ShareWord {
                number,
                says: ShareSays::Changes(vec![item]),
            }
        };
        let told = |shown| {
            Some(MemberThere {
                run: 1,
                room: chat.clone(),
                key: key.clone(),
                shown,
            })
        };
        // Who was not known, and goes, is nothing to tell.
        shares.hear(1, word(1, None), 0);
        assert!(!shares.has_changed());
        shares.hear(1, word(2, shown(PresenceState::Here)), 0);
        shares.hear(1, word(3, shown(PresenceState::Away)), 0);
        assert_eq!(shares.next_changed(), told(shown(PresenceState::Away)));
        assert_eq!(shares.next_changed(), None);
        shares.place_again();
        assert_eq!(shares.next_changed(), told(shown(PresenceState::Away)));
        shares.keep(|_| false);
        assert_eq!(shares.next_changed(), told(None));
        assert_eq!((shares.has_changed(), shares.bytes()), (false, 0));
    }
}
