//! Subscribers: this shard's own members of each topic, those of each encoding by themselves, and
//! the batch that this tick collects for them.

use crate::connection::paged::Paged;
use crate::topic::acks::Acks;
use crate::topic::batch::{Batch, Turn};
use crate::topic::key::{PerKind, Topic, TopicKey, TopicKind};
use crate::topic::log::options::SlowReader;
use crate::types::encoding::EncodingId;
use crate::types::few::Few;
use crate::types::shrink::shrink_map;
use crate::types::ticket::Ticket;
use foldhash::quality::RandomState;
use std::collections::HashMap;
use std::sync::Arc;

/// This shard's subscribers, by topic and encoding. An entry exists while a connection of the shard
/// is a member of the topic, or asked to be.
#[derive(Debug, Default)]
pub(crate) struct LocalTopics {
    /// By encoding, as many as are used; by kind and name.
    names: Vec<PerKind<HashMap<Arc<str>, u32, RandomState>>>,
    /// Entries of all tables, which every tick tells.
    counts: PerKind<usize>,
    /// By index. Pages, because a list that moves as it grows leaves its former places behind:
    /// where each connection is in a room of its own, those were half of what a room cost.
    subscriber_lists: Paged<Option<Subscribers>>,
    /// Indices from here on were never used.
    fresh: u32,
    free: Vec<u32>,
    /// Subscribers whose batch is not empty, in the order of their first frame.
    pub(crate) pending: Vec<u32>,
    /// Of the topics that something was published to in this tick, and empty ones.
    batches: Vec<Batch>,
    free_batches: Vec<u32>,
}

/// The members of one encoding that a topic has on this shard.
#[derive(Debug)]
pub(crate) struct Subscribers {
    pub(crate) key: TopicKey,
    pub(crate) encoding: EncodingId,
    /// Those that are sent what is published, in no order; a connection's membership knows its
    /// place.
    pub(crate) members: Few<Ticket>,
    /// Where the topic keeps a log, as far as a member has heard of it.
    pub(crate) log: Option<Box<SubscribersLog>>,
    /// Memberships that refer to them, joining and leaving ones included; and one as long as
    /// something is on its way to the members.
    references: u32,
    /// What this tick collects for them, among the batches; [`Subscribers::NO_BATCH`]: nothing.
    batch: u32,
    pub(crate) turn: Turn,
}

/// What the subscribers of a topic know of its log.
#[derive(Debug)]
pub(crate) struct SubscribersLog {
    pub(crate) epoch: u64,
    pub(crate) slow_reader: SlowReader,
    /// Members that read the log instead of what is published, in no order.
    pub(crate) behind: Few<Ticket>,
    /// Members that acknowledge, if there was one.
    pub(crate) acks: Option<Box<Acks>>,
}

impl Subscribers {
    const NO_BATCH: u32 = u32::MAX;

    /// Members that read the log.
    pub(crate) fn behind(&self) -> &[Ticket] {
        self.log.as_ref().map_or(&[], |log| &log.behind)
    }

    /// Members that acknowledge.
    pub(crate) fn acks(&mut self) -> Option<&mut Acks> {
        self.log.as_mut()?.acks.as_deref_mut()
    }

    /// Nothing is on its way to them, nor was anything collected.
    pub(crate) fn is_idle(&self) -> bool {
        self.turn == Turn::Free && self.batch == Subscribers::NO_BATCH
    }

    /// All members.
    pub(crate) fn all(&self) -> impl Iterator<Item = Ticket> {
        self.members.iter().chain(self.behind()).copied()
    }
}

const _: () = assert!(size_of::<Option<Subscribers>>() <= 48);

impl LocalTopics {
    /// Rooms with members here: a room counts once for each encoding that its members have.
    pub(crate) fn rooms(&self) -> usize {
        self.counts[TopicKind::Room]
    }

    /// Users with connections here, counted as rooms are.
    pub(crate) fn users(&self) -> usize {
        self.counts[TopicKind::User]
    }

    pub(crate) fn find(&self, encoding: EncodingId, topic: Topic<'_>) -> Option<u32> {
        let names = self.names.get(encoding.index())?;
        names[topic.kind()].get(topic.name()).copied()
    }

    /// The topic's key, if subscribers of any encoding have it.
    pub(crate) fn known(&self, topic: Topic<'_>) -> Option<&TopicKey> {
        let mut tables = self.names.iter();
        let index = tables.find_map(|names| names[topic.kind()].get(topic.name()))?;
        Some(&self.at(*index).key)
    }

    /// The members of this shard, of all encodings, in no order.
    pub(crate) fn tickets<'a>(&'a self, topic: Topic<'a>) -> impl Iterator<Item = Ticket> + 'a {
        let tables = self.names.iter();
        let indices = tables.filter_map(move |names| names[topic.kind()].get(topic.name()));
        indices.flat_map(|index| self.at(*index).all())
    }

    /// Members of this shard, of all encodings.
    pub(crate) fn members(&self, topic: Topic<'_>) -> usize {
        let tables = self.names.iter();
        let indices = tables.filter_map(|names| names[topic.kind()].get(topic.name()));
        let members = indices.map(|index| self.at(*index).all().count());
        members.sum()
    }

    #[inline]
    pub(crate) fn subscribers(&mut self, index: u32) -> &mut Subscribers {
        let subscribers = self.subscriber_lists[index].as_mut();
        subscribers.expect("they are referred to")
    }

    #[inline]
    fn at(&self, index: u32) -> &Subscribers {
        let subscribers = self.subscriber_lists[index].as_ref();
        subscribers.expect("they are referred to")
    }

    /// What this tick collects for the subscribers.
    pub(crate) fn batch(&mut self, index: u32) -> &mut Batch {
        let subscribers = self.subscriber_lists[index].as_mut();
        let subscribers = subscribers.expect("they are referred to");
        if subscribers.batch == Subscribers::NO_BATCH {
            subscribers.batch = self.free_batches.pop().unwrap_or_else(|| {
                self.batches.push(Batch::default());
                (self.batches.len() - 1) as u32
            });
        }
        &mut self.batches[subscribers.batch as usize]
    }

    /// What this tick has collected for the subscribers, if anything was.
    pub(crate) fn collected(&self, index: u32) -> Option<&Batch> {
        self.batches.get(self.at(index).batch as usize)
    }

    /// Takes it away, if anything was collected.
    pub(crate) fn take_batch(&mut self, index: u32) -> Option<Batch> {
        let batch = &mut self.subscribers(index).batch;
        let batch = std::mem::replace(batch, Subscribers::NO_BATCH);
        if batch == Subscribers::NO_BATCH {
            return None;
        }
        self.free_batches.push(batch);
        Some(std::mem::take(&mut self.batches[batch as usize]))
    }

    pub(crate) fn key(&self, index: u32) -> &TopicKey {
        &self.at(index).key
    }

    /// A membership starts to refer to the subscribers, or something is on its way to the members:
    /// they stay until [`LocalTopics::release`].
    #[inline]
    pub(crate) fn retain(&mut self, index: u32) {
        self.subscribers(index).references += 1;
    }

    /// Keeps no more than the subscribers in use need.
    pub(crate) fn release_memory(&mut self) {
        let tables = self.names.iter_mut().flat_map(PerKind::iter_mut);
        tables.for_each(shrink_map);
        for page in 0..self.subscriber_lists.pages() {
            if self.subscriber_lists.page(page).iter().all(Option::is_none) {
                self.subscriber_lists.drop_page(page);
            }
        }
        if self.free.len() == self.fresh as usize {
            self.free.clear();
            self.fresh = 0;
        }
        self.free.shrink_to_fit();
        self.pending.shrink_to_fit();
        if self.free_batches.len() == self.batches.len() {
            (self.batches, self.free_batches) = (Vec::new(), Vec::new());
        }
    }

    /// Subscribers that there are none of yet, which nothing refers to.
    pub(crate) fn create(&mut self, encoding: EncodingId, topic: Topic<'_>) -> u32 {
        // Not in the table of this encoding.
        let others = self.names.iter().enumerate();
        let mut others = others.filter(|(index, _)| *index != encoding.index());
        let index = others.find_map(|(_, names)| names[topic.kind()].get(topic.name()));
        let known = index.map(|index| self.at(*index).key.clone());
        let key = known.unwrap_or_else(|| TopicKey::new(topic));
        let subscribers = Subscribers {
            key: key.clone(),
            encoding,
            members: Few::None,
            log: None,
            references: 0,
            batch: Subscribers::NO_BATCH,
            turn: Turn::Free,
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.fresh += 1;
            self.fresh - 1
        });
        *self.subscriber_lists.reach(index) = Some(subscribers);
        if self.names.len() <= encoding.index() {
            self.names
                .resize_with(encoding.index() + 1, PerKind::default);
        }
        let names = &mut self.names[encoding.index()][key.kind()];
        names.insert(key.name().clone(), index);
        self.counts[key.kind()] += 1;
        index
    }

    /// A membership refers to the room no more, or nothing is on its way to it; with the last of
    /// these the subscribers go.
    pub(crate) fn release(&mut self, index: u32) {
        let subscribers = self.subscribers(index);
        subscribers.references -= 1;
        if subscribers.references > 0 {
            return;
        }
        if self.take_batch(index).is_some() {
            self.pending.retain(|pending| *pending != index);
        }
        let subscribers = self.subscriber_lists[index].take();
        let subscribers = subscribers.expect("they were referred to until now");
        assert!(
            subscribers.members.is_empty() && subscribers.behind().is_empty(),
            "a member without a membership"
        );
        let key = &subscribers.key;
        self.names[subscribers.encoding.index()][key.kind()].remove(key.name());
        self.counts[key.kind()] -= 1;
        self.free.push(index);
    }

    /// As [`LocalTopics::subscribers`], to look.
    pub(crate) fn subscribers_ref(&self, index: u32) -> &Subscribers {
        self.at(index)
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Subscribers)> {
        let tables = self.names.iter().flat_map(PerKind::iter);
        tables
            .flat_map(HashMap::values)
            .map(|index| (*index, self.at(*index)))
    }
}

#[cfg(any(test, feature = "sim"))]
impl Subscribers {
    pub(crate) fn references(&self) -> u32 {
        self.references
    }

    /// Something was collected for them in this tick.
    pub(crate) fn has_batch(&self) -> bool {
        self.batch != Self::NO_BATCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: EncodingId = EncodingId::new(5);
    const A: Topic<'_> = Topic::Room("a");
    const B: Topic<'_> = Topic::Room("b");
    const C: Topic<'_> = Topic::Room("c");

    impl LocalTopics {
        /// As a membership does.
        fn refer(&mut self, encoding: EncodingId, topic: Topic<'_>) -> u32 {
            let found = self.find(encoding, topic);
            let index = found.unwrap_or_else(|| self.create(encoding, topic));
            self.retain(index);
            index
        }
    }

    #[test]
    fn subscribers_live_while_they_are_referred_to() {
        let mut rooms = LocalTopics::default();
        let a = rooms.refer(EncodingId::FIRST, A);
        assert_eq!(rooms.refer(EncodingId::FIRST, A), a);
        let b = rooms.refer(EncodingId::FIRST, B);
        assert_ne!(a, b);
        rooms.release(a);
        assert_eq!(rooms.find(EncodingId::FIRST, A), Some(a));
        rooms.release(a);
        assert_eq!((rooms.find(EncodingId::FIRST, A), rooms.rooms()), (None, 1));
        let c = rooms.refer(EncodingId::FIRST, C);
        assert_eq!(c, a, "the index is used again");
        assert_eq!(rooms.key(a).topic(), C);
    }

    #[test]
    fn each_encoding_has_subscribers_of_its_own() {
        let mut rooms = LocalTopics::default();
        assert_eq!(rooms.find(OTHER, A), None);
        let first = rooms.refer(EncodingId::FIRST, A);
        let other = rooms.refer(OTHER, A);
        assert_ne!(first, other);
        let (names, others) = (rooms.key(first).name(), rooms.key(other).name());
        assert!(Arc::ptr_eq(names, others));
        assert_eq!(
            (rooms.rooms(), rooms.subscribers(other).encoding),
            (2, OTHER)
        );
        rooms.release(first);
        assert_eq!(rooms.find(EncodingId::FIRST, A), None);
        assert_eq!(rooms.find(OTHER, A), Some(other));
        assert_eq!(rooms.known(A).map(TopicKey::topic), Some(A));
        rooms.release(other);
        assert_eq!((rooms.rooms(), rooms.known(A)), (0, None));
    }

    #[test]
    fn users_are_counted_apart() {
        let mut rooms = LocalTopics::default();
        let user = rooms.refer(OTHER, Topic::User("ann"));
        rooms.refer(OTHER, Topic::Room("ann"));
        assert_eq!((rooms.rooms(), rooms.users()), (1, 1));
        assert_eq!(rooms.key(user).topic(), Topic::User("ann"));
        rooms.release(user);
        assert_eq!((rooms.rooms(), rooms.users()), (1, 0));
    }
}
