//! Slices: this shard's own members of each room, and what they are owed in this tick.

use crate::Ticket;
use crate::batch::Batch;
use crate::letter::RoomName;
use foldhash::quality::RandomState;
use std::collections::HashMap;

/// This shard's slices. A slice exists while a connection of the shard is in the room, or asked to be.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    names: HashMap<RoomName, u32, RandomState>,
    slices: Vec<Slice>,
    free: Vec<u32>,
    /// Slices whose batch is not empty, in the order of their first frame.
    pub(crate) owing: Vec<u32>,
}

/// One room, as this shard sees it.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) name: RoomName,
    /// In no order; a connection's membership knows its position.
    pub(crate) members: Vec<Ticket>,
    /// Memberships that refer to this slice, joining and leaving ones included.
    claims: u32,
    pub(crate) batch: Batch,
}

impl Rooms {
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    pub(crate) fn slice(&mut self, index: u32) -> &mut Slice {
        &mut self.slices[index as usize]
    }

    pub(crate) fn name(&self, index: u32) -> &RoomName {
        &self.slices[index as usize].name
    }

    /// A membership starts to refer to the room.
    pub(crate) fn claim(&mut self, name: &str) -> u32 {
        let index = match self.find(name) {
            Some(index) => index,
            None => self.create(name),
        };
        self.slices[index as usize].claims += 1;
        index
    }

    fn create(&mut self, name: &str) -> u32 {
        let name: RoomName = name.into();
        let slice = Slice {
            name: name.clone(),
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
        self.names.insert(name, index);
        index
    }

    /// A membership refers to the room no more; with the last one the slice goes.
    pub(crate) fn release(&mut self, index: u32) {
        let slice = &mut self.slices[index as usize];
        slice.claims -= 1;
        if slice.claims > 0 {
            return;
        }
        assert!(slice.members.is_empty(), "a member without a membership");
        self.names.remove(&slice.name);
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
        self.names
            .values()
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

    #[test]
    fn a_slice_lives_while_it_is_claimed() {
        let mut rooms = Rooms::default();
        let a = rooms.claim("a");
        assert_eq!(rooms.claim("a"), a);
        let b = rooms.claim("b");
        assert_ne!(a, b);
        rooms.release(a);
        assert_eq!(rooms.find("a"), Some(a));
        rooms.release(a);
        assert_eq!((rooms.find("a"), rooms.len()), (None, 1));
        assert_eq!(rooms.claim("c"), a, "the index is used again");
        assert_eq!(&**rooms.name(a), "c");
    }
}
