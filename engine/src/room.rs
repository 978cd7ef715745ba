//! Slices: this shard's own members of each topic, those of each form by themselves, and what they are owed in this tick.

use crate::batch::Batch;
use crate::core::shrink_map;
use crate::topic::{PerKind, Topic, TopicKey, TopicKind};
use crate::{Form, Ticket};
use foldhash::quality::RandomState;
use std::collections::HashMap;
use std::sync::Arc;

/// This shard's slices. A slice exists while a connection of the shard is in the room, or asked to be.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    /// By form, as many as are used; by kind and name.
    names: Vec<PerKind<HashMap<Arc<str>, u32, RandomState>>>,
    slices: Vec<Slice>,
    free: Vec<u32>,
    /// Slices whose batch is not empty, in the order of their first frame.
    pub(crate) owing: Vec<u32>,
}

/// The members of one form that a topic has on this shard.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) key: TopicKey,
    pub(crate) form: Form,
    /// In no order; a connection's membership knows its position.
    pub(crate) members: Vec<Ticket>,
    /// Memberships that refer to this slice, joining and leaving ones included; and one as long as something is on its way to it.
    claims: u32,
    pub(crate) batch: Batch,
}

impl Rooms {
    /// Slices of rooms: a room counts once for each form that it has here.
    pub(crate) fn rooms(&self) -> usize {
        self.count(TopicKind::Room)
    }

    /// Slices of users, as those of rooms.
    pub(crate) fn users(&self) -> usize {
        self.count(TopicKind::User)
    }

    fn count(&self, kind: TopicKind) -> usize {
        self.names.iter().map(|names| names[kind].len()).sum()
    }

    pub(crate) fn find(&self, form: Form, topic: Topic<'_>) -> Option<u32> {
        let names = self.names.get(form.index())?;
        names[topic.kind()].get(topic.name()).copied()
    }

    /// The topic's key, if a slice of any form bears it.
    pub(crate) fn known(&self, topic: Topic<'_>) -> Option<&TopicKey> {
        let mut tables = self.names.iter();
        let index = tables.find_map(|names| names[topic.kind()].get(topic.name()))?;
        Some(&self.slices[*index as usize].key)
    }

    pub(crate) fn slice(&mut self, index: u32) -> &mut Slice {
        &mut self.slices[index as usize]
    }

    pub(crate) fn key(&self, index: u32) -> &TopicKey {
        &self.slices[index as usize].key
    }

    /// A membership starts to refer to the room.
    pub(crate) fn claim(&mut self, form: Form, topic: Topic<'_>) -> u32 {
        let index = match self.find(form, topic) {
            Some(index) => index,
            None => self.create(form, topic),
        };
        self.slices[index as usize].claims += 1;
        index
    }

    /// Something is on its way to the members: the slice stays until [`Rooms::release`].
    #[inline]
    pub(crate) fn keep(&mut self, index: u32) {
        self.slices[index as usize].claims += 1;
    }

    /// Keeps no more than the slices in use need. Those behind the last one in use go; the places between stay.
    pub(crate) fn release_memory(&mut self) {
        let tables = self.names.iter_mut().flat_map(PerKind::iter_mut);
        tables.for_each(shrink_map);
        let used = self.slices.iter().rposition(|slice| slice.claims > 0);
        let used = used.map_or(0, |last| last + 1);
        self.slices.truncate(used);
        self.free.retain(|index| (*index as usize) < used);
        self.slices.shrink_to_fit();
        self.free.shrink_to_fit();
        self.owing.shrink_to_fit();
    }

    fn create(&mut self, form: Form, topic: Topic<'_>) -> u32 {
        let known = self.known(topic).cloned();
        let key = known.unwrap_or_else(|| TopicKey::new(topic));
        let slice = Slice {
            key: key.clone(),
            form,
            members: Vec::new(),
            claims: 0,
            batch: Batch::default(),
        };
        let index = match self.free.pop() {
            Some(index) => {
                self.slices[index as usize] = slice;
                index
            }
            None => {
                self.slices.push(slice);
                (self.slices.len() - 1) as u32
            }
        };
        if self.names.len() <= form.index() {
            self.names.resize_with(form.index() + 1, PerKind::default);
        }
        let names = &mut self.names[form.index()][key.kind()];
        names.insert(key.name().clone(), index);
        index
    }

    /// A membership refers to the room no more, or nothing is on its way to it; with the last claim the slice goes.
    pub(crate) fn release(&mut self, index: u32) {
        let slice = &mut self.slices[index as usize];
        slice.claims -= 1;
        if slice.claims > 0 {
            return;
        }
        assert!(slice.members.is_empty(), "a member without a membership");
        self.names[slice.form.index()][slice.key.kind()].remove(slice.key.name());
        slice.members = Vec::new();
        if !slice.batch.is_empty() {
            slice.batch = Batch::default();
            self.owing.retain(|owing| *owing != index);
        }
        self.free.push(index);
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn slice_ref(&self, index: u32) -> &Slice {
        &self.slices[index as usize]
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Slice)> {
        let tables = self.names.iter().flat_map(PerKind::iter);
        tables
            .flat_map(HashMap::values)
            .map(|index| (*index, &self.slices[*index as usize]))
    }
}

#[cfg(any(test, feature = "sim"))]
impl Slice {
    pub(crate) fn claims(&self) -> u32 {
        self.claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: Form = Form::new(5);
    const A: Topic<'_> = Topic::Room("a");
    const B: Topic<'_> = Topic::Room("b");
    const C: Topic<'_> = Topic::Room("c");

    #[test]
    fn a_slice_lives_while_it_is_claimed() {
        let mut rooms = Rooms::default();
        let a = rooms.claim(Form::FIRST, A);
        assert_eq!(rooms.claim(Form::FIRST, A), a);
        let b = rooms.claim(Form::FIRST, B);
        assert_ne!(a, b);
        rooms.release(a);
        assert_eq!(rooms.find(Form::FIRST, A), Some(a));
        rooms.release(a);
        assert_eq!((rooms.find(Form::FIRST, A), rooms.rooms()), (None, 1));
        let c = rooms.claim(Form::FIRST, C);
        assert_eq!(c, a, "the index is used again");
        assert_eq!(rooms.key(a).topic(), C);
    }

    #[test]
    fn each_form_has_a_slice_of_its_own() {
        let mut rooms = Rooms::default();
        assert_eq!(rooms.find(OTHER, A), None);
        let first = rooms.claim(Form::FIRST, A);
        let other = rooms.claim(OTHER, A);
        assert_ne!(first, other);
        let (names, others) = (rooms.key(first).name(), rooms.key(other).name());
        assert!(Arc::ptr_eq(names, others));
        assert_eq!((rooms.rooms(), rooms.slice(other).form), (2, OTHER));
        rooms.release(first);
        assert_eq!(rooms.find(Form::FIRST, A), None);
        assert_eq!(rooms.find(OTHER, A), Some(other));
        assert_eq!(rooms.known(A).map(TopicKey::topic), Some(A));
        rooms.release(other);
        assert_eq!((rooms.rooms(), rooms.known(A)), (0, None));
    }

    #[test]
    fn users_are_counted_apart() {
        let mut rooms = Rooms::default();
        let user = rooms.claim(OTHER, Topic::User("ann"));
        rooms.claim(OTHER, Topic::Room("ann"));
        assert_eq!((rooms.rooms(), rooms.users()), (1, 1));
        assert_eq!(rooms.key(user).topic(), Topic::User("ann"));
        rooms.release(user);
        assert_eq!((rooms.rooms(), rooms.users()), (1, 0));
    }
}
