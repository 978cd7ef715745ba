//! The filters of this shard's members: which each has, and each only once however many share it.
//!
//! Invariant: whoever is among a topic's subscribers with filters, or has asked to be, stands here
//! with the filter that it asked for last, and nobody else does; a place is free when nobody has
//! its filter. Used where members come and go, and where what is published is collected for them.

use crate::types::filter::Filter;
use crate::types::shrink::shrink_map;
use crate::types::ticket::Ticket;
use foldhash::quality::RandomState;
use std::collections::HashMap;
use std::sync::Arc;

/// Where among the filters each member has its own. Shared with what is on its way.
pub(crate) type FilterPlaces = Arc<HashMap<Ticket, u16, RandomState>>;

/// Those of one shard, by the index of their topic's subscribers.
#[derive(Debug, Default)]
pub(crate) struct Filters(HashMap<u32, FiltersOfTopic, RandomState>);

/// Those of a topic's subscribers.
#[derive(Debug, Default)]
struct FiltersOfTopic {
    /// By place. That of a free place says nothing.
    filters: Vec<Filter>,
    /// How many have each.
    uses: Vec<u32>,
    places: HashMap<Filter, u16, RandomState>,
    free: Vec<u16>,
    members: FilterPlaces,
    bytes: usize,
}

/// There is no room for one more filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyFilters;

impl Filters {
    /// Filters that members of one topic and encoding have on a shard: each is asked about every
    /// publication. Who brings one more is refused; one that somebody has may be shared.
    pub(crate) const OF_TOPIC_MAX: usize = 8192;
    /// Their bytes together: 512 KiB, which takes a few milliseconds to ask.
    pub(crate) const BYTES_OF_TOPIC_MAX: usize = 512 << 10;

    /// A connection has asked to be a member with a filter.
    pub(crate) fn ask(
        &mut self,
        subscribers: u32,
        who: Ticket,
        filter: &Filter,
    ) -> Result<(), TooManyFilters> {
        let topic = self.0.entry(subscribers).or_default();
        let asked = topic.refer(filter);
        if let Ok(place) = asked
            && let Some(before) = Arc::make_mut(&mut topic.members).insert(who, place)
        {
            topic.release(before);
        }
        self.drop_empty(subscribers);
        asked.map(|_| ())
    }

    /// It is no member, and has not asked to be one.
    #[inline]
    pub(crate) fn forget(&mut self, subscribers: u32, who: Ticket) {
        if !self.0.is_empty() {
            self.forget_known(subscribers, who);
        }
    }

    #[cold]
    fn forget_known(&mut self, subscribers: u32, who: Ticket) {
        let Some(topic) = self.0.get_mut(&subscribers) else {
            return;
        };
        if let Some(place) = Arc::make_mut(&mut topic.members).remove(&who) {
            topic.release(place);
        }
        self.drop_empty(subscribers);
    }

    fn drop_empty(&mut self, subscribers: u32) {
        let is_empty = |topic: &FiltersOfTopic| topic.places.is_empty();
        if self.0.get(&subscribers).is_some_and(is_empty) {
            self.0.remove(&subscribers);
        }
    }

    /// All of a topic's subscribers, by place.
    pub(crate) fn of_topic(&self, subscribers: u32) -> &[Filter] {
        self.0.get(&subscribers).map_or(&[], |topic| &topic.filters)
    }

    /// How many have each, likewise.
    pub(crate) fn uses(&self, subscribers: u32) -> &[u32] {
        self.0.get(&subscribers).map_or(&[], |topic| &topic.uses)
    }

    /// Where each of them has its own.
    pub(crate) fn places(&self, subscribers: u32) -> FilterPlaces {
        let topic = self.0.get(&subscribers);
        topic.map_or_else(FilterPlaces::default, |topic| Arc::clone(&topic.members))
    }

    /// A member's.
    pub(crate) fn of_member(&self, subscribers: u32, who: Ticket) -> Option<&Filter> {
        let topic = self.0.get(&subscribers)?;
        topic.filters.get(usize::from(*topic.members.get(&who)?))
    }

    /// Keeps no more than those there are need.
    pub(crate) fn release_memory(&mut self) {
        shrink_map(&mut self.0);
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Members with filters, by their topics' subscribers. Panics unless each filter is used as
    /// often as it counts.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn check(&self) -> impl Iterator<Item = (u32, &HashMap<Ticket, u16, RandomState>)> {
        self.0.iter().map(|(subscribers, topic)| {
            let mut uses = vec![0; topic.filters.len()];
            for place in topic.members.values() {
                uses[usize::from(*place)] += 1;
            }
            assert_eq!(uses, topic.uses);
            (*subscribers, &*topic.members)
        })
    }
}

impl FiltersOfTopic {
    /// One more has it: its place.
    fn refer(&mut self, filter: &Filter) -> Result<u16, TooManyFilters> {
        if let Some(place) = self.places.get(filter) {
            self.uses[usize::from(*place)] += 1;
            return Ok(*place);
        }
        let bytes = self.bytes + filter.bytes().len();
        let has_room = !self.free.is_empty() || self.filters.len() < Filters::OF_TOPIC_MAX;
        if !has_room || bytes > Filters::BYTES_OF_TOPIC_MAX {
            return Err(TooManyFilters);
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.filters.push(filter.clone());
            self.uses.push(0);
            (self.filters.len() - 1) as u16
        });
        let index = usize::from(place);
        (self.filters[index], self.uses[index]) = (filter.clone(), 1);
        self.places.insert(filter.clone(), place);
        self.bytes = bytes;
        Ok(place)
    }

    fn release(&mut self, place: u16) {
        let index = usize::from(place);
        self.uses[index] -= 1;
        if self.uses[index] == 0 {
            let filter = std::mem::replace(&mut self.filters[index], Filter::new(&[]));
            self.bytes -= filter.bytes().len();
            self.places.remove(&filter);
            self.free.push(place);
        }
    }
}

const _: () = assert!(Filters::OF_TOPIC_MAX <= u16::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;

    fn who(slot: u32) -> Ticket {
        let generation = 1;
        Ticket { slot, generation }
    }

    fn filter(bytes: &[u8]) -> Filter {
        Filter::new(bytes)
    }

    #[test]
    fn who_shares_a_filter_is_at_one_place() {
        let mut filters = Filters::default();
        for (slot, bytes) in [(1, b"a"), (2, b"b"), (3, b"a")] {
            assert_eq!(filters.ask(7, who(slot), &filter(bytes)), Ok(()));
        }
        assert_eq!(filters.of_topic(7), [filter(b"a"), filter(b"b")]);
        let under_way = filters.places(7);
        assert_eq!(filters.of_member(7, who(3)), Some(&filter(b"a")));
        assert_eq!(filters.ask(7, who(2), &filter(b"c")), Ok(()));
        assert_eq!(filters.of_topic(7), [&b"a"[..], b"", b"c"].map(filter));
        assert_eq!(filters.of_member(7, who(2)), Some(&filter(b"c")));
        assert_eq!(filters.ask(7, who(4), &filter(b"d")), Ok(()));
        assert_eq!(
            filters.of_topic(7),
            [b"a", b"d", b"c"].map(|bytes| filter(bytes))
        );
        assert_eq!(filters.check().count(), 1);
        assert_eq!(under_way.len(), 3, "what is under way goes to whom it went");
        (1..=4).for_each(|slot| filters.forget(7, who(slot)));
        assert!(filters.is_empty());
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let mut filters = Filters::default();
        let most = Filters::OF_TOPIC_MAX as u32;
        for slot in 0..most {
            assert_eq!(
                filters.ask(7, who(slot), &filter(&slot.to_le_bytes())),
                Ok(())
            );
        }
        let one_more = filter(&most.to_le_bytes());
        assert_eq!(filters.ask(7, who(most), &one_more), Err(TooManyFilters));
        let known = filter(&5_u32.to_le_bytes());
        assert_eq!(filters.ask(7, who(most), &known), Ok(()));
        filters.forget(7, who(0));
        assert_eq!(filters.ask(7, who(0), &one_more), Ok(()));
        let large = |first: u8| {
            let mut bytes = vec![0; Filters::BYTES_OF_TOPIC_MAX / 2];
            bytes[0] = first;
            filter(&bytes)
        };
        for (subscribers, first, expected) in [
            (8, 1, Ok(())),
            (8, 2, Ok(())),
            (8, 3, Err(TooManyFilters)),
            (8, 1, Ok(())),
            (9, 3, Ok(())),
        ] {
            let asked = filters.ask(subscribers, who(u32::from(first)), &large(first));
            assert_eq!(asked, expected, "{subscribers} {first}");
        }
        filters.check().for_each(drop);
    }
}
