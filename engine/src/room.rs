//! Slices: this shard's own members of each topic, those of each form by themselves, and what they are owed in this tick.

use crate::batch::Batch;
use crate::core::shrink_map;
use crate::letter::RoomName;
use crate::topic;
use crate::{Form, Ticket};
use foldhash::quality::RandomState;
use std::collections::HashMap;
use std::sync::Arc;

/// This shard's slices. A slice exists while a connection of the shard is in the room, or asked to be.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    /// By form; as many as are used.
    names: Vec<HashMap<RoomName, u32, RandomState>>,
    /// Of the slices in use, those of rooms and of users.
    rooms: usize,
    users: usize,
    slices: Vec<Slice>,
    free: Vec<u32>,
    /// Slices whose batch is not empty, in the order of their first frame.
    pub(crate) owing: Vec<u32>,
}

/// The members of one form that a topic has on this shard.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) name: RoomName,
    pub(crate) form: Form,
    /// If the topic is a user, whose.
    pub(crate) user: Option<Arc<str>>,
    /// In no order; a connection's membership knows its position.
    pub(crate) members: Vec<Ticket>,
    /// Memberships that refer to this slice, joining and leaving ones included.
    claims: u32,
    pub(crate) batch: Batch,
}

impl Rooms {
    /// Slices of rooms: a room counts once for each form that it has here.
    pub(crate) fn rooms(&self) -> usize {
        self.rooms
    }

    /// Slices of users, as those of rooms.
    pub(crate) fn users(&self) -> usize {
        self.users
    }

    pub(crate) fn find(&self, form: Form, name: &str) -> Option<u32> {
        self.names.get(form.index())?.get(name).copied()
    }

    /// The name as the tables here have it, if a slice of any form bears it.
    pub(crate) fn known(&self, name: &str) -> Option<&RoomName> {
        let mut tables = self.names.iter();
        tables.find_map(|table| table.get_key_value(name).map(|(name, _)| name))
    }

    pub(crate) fn slice(&mut self, index: u32) -> &mut Slice {
        &mut self.slices[index as usize]
    }

    pub(crate) fn name(&self, index: u32) -> &RoomName {
        &self.slices[index as usize].name
    }

    /// The user whose slice this is.
    pub(crate) fn user(&self, index: u32) -> Option<&Arc<str>> {
        self.slices[index as usize].user.as_ref()
    }

    /// A membership starts to refer to the room.
    pub(crate) fn claim(&mut self, form: Form, name: &str) -> u32 {
        let index = match self.find(form, name) {
            Some(index) => index,
            None => self.create(form, name),
        };
        self.slices[index as usize].claims += 1;
        index
    }

    /// Keeps no more than the slices in use need. Those behind the last one in use go; the places between stay.
    pub(crate) fn release_memory(&mut self) {
        self.names.iter_mut().for_each(shrink_map);
        let used = self.slices.iter().rposition(|slice| slice.claims > 0);
        let used = used.map_or(0, |last| last + 1);
        self.slices.truncate(used);
        self.free.retain(|index| (*index as usize) < used);
        self.slices.shrink_to_fit();
        self.free.shrink_to_fit();
        self.owing.shrink_to_fit();
    }

    fn create(&mut self, form: Form, name: &str) -> u32 {
        let name: RoomName = self.known(name).cloned().unwrap_or_else(|| name.into());
        let user = topic::user_of(&name).map(Arc::from);
        *self.count(user.is_some()) += 1;
        let slice = Slice {
            name: name.clone(),
            form,
            user,
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
            self.names.resize_with(form.index() + 1, HashMap::default);
        }
        self.names[form.index()].insert(name, index);
        index
    }

    fn count(&mut self, is_user: bool) -> &mut usize {
        match is_user {
            true => &mut self.users,
            false => &mut self.rooms,
        }
    }

    /// A membership refers to the room no more; with the last one the slice goes.
    pub(crate) fn release(&mut self, index: u32) {
        let slice = &mut self.slices[index as usize];
        slice.claims -= 1;
        if slice.claims > 0 {
            return;
        }
        assert!(slice.members.is_empty(), "a member without a membership");
        self.names[slice.form.index()].remove(&slice.name);
        slice.members = Vec::new();
        if !slice.batch.is_empty() {
            slice.batch = Batch::default();
            self.owing.retain(|owing| *owing != index);
        }
        let is_user = slice.user.take().is_some();
        *self.count(is_user) -= 1;
        self.free.push(index);
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn slice_ref(&self, index: u32) -> &Slice {
        &self.slices[index as usize]
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Slice)> {
        let tables = self.names.iter();
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

    #[test]
    fn a_slice_lives_while_it_is_claimed() {
        let mut rooms = Rooms::default();
        let a = rooms.claim(Form::FIRST, "a");
        assert_eq!(rooms.claim(Form::FIRST, "a"), a);
        let b = rooms.claim(Form::FIRST, "b");
        assert_ne!(a, b);
        rooms.release(a);
        assert_eq!(rooms.find(Form::FIRST, "a"), Some(a));
        rooms.release(a);
        assert_eq!((rooms.find(Form::FIRST, "a"), rooms.rooms()), (None, 1));
        let c = rooms.claim(Form::FIRST, "c");
        assert_eq!(c, a, "the index is used again");
        assert_eq!(&**rooms.name(a), "c");
    }

    #[test]
    fn each_form_has_a_slice_of_its_own() {
        let mut rooms = Rooms::default();
        assert_eq!(rooms.find(OTHER, "a"), None);
        let first = rooms.claim(Form::FIRST, "a");
        let other = rooms.claim(OTHER, "a");
        assert_ne!(first, other);
        assert!(Arc::ptr_eq(rooms.name(first), rooms.name(other)));
        assert_eq!((rooms.rooms(), rooms.slice(other).form), (2, OTHER));
        rooms.release(first);
        assert_eq!(rooms.find(Form::FIRST, "a"), None);
        assert_eq!(rooms.find(OTHER, "a"), Some(other));
        assert_eq!(rooms.known("a").map(|name| &**name), Some("a"));
        rooms.release(other);
        assert_eq!((rooms.rooms(), rooms.known("a")), (0, None));
    }

    #[test]
    fn users_are_counted_apart() {
        let mut rooms = Rooms::default();
        let user = rooms.claim(OTHER, &topic::user_key("ann"));
        rooms.claim(OTHER, "ann");
        assert_eq!((rooms.rooms(), rooms.users()), (1, 1));
        assert_eq!(rooms.slice(user).user.as_deref(), Some("ann"));
        rooms.release(user);
        assert_eq!((rooms.rooms(), rooms.users()), (1, 0));
    }
}
