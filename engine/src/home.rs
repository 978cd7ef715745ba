//! Rooms that this shard is home to: who is interested, and nothing else. The home gives every publish its place in the order.

use crate::letter::RoomName;
use foldhash::quality::RandomState;
use std::collections::HashMap;

/// Home rooms. A room costs its name, 4 bytes a shard and a table entry; it exists while it has members.
#[derive(Debug)]
pub(crate) struct Homes {
    rooms: HashMap<RoomName, Home, RandomState>,
    shards: usize,
}

#[derive(Debug)]
struct Home {
    /// Members per shard.
    interest: Box<[u32]>,
    members: u32,
}

impl Homes {
    pub(crate) fn new(shards: usize) -> Homes {
        Homes {
            rooms: HashMap::default(),
            shards,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// A connection of `shard` becomes a member (unless it only asks). The number of members.
    pub(crate) fn join(&mut self, room: &RoomName, shard: u16, counted: bool) -> u32 {
        if !counted {
            return self.rooms.get(room).map_or(0, |home| home.members);
        }
        let home = self.rooms.entry(room.clone()).or_insert_with(|| Home {
            interest: vec![0; self.shards].into_boxed_slice(),
            members: 0,
        });
        home.interest[shard as usize] += 1;
        home.members += 1;
        home.members
    }

    /// A connection of `shard` is no member any more.
    pub(crate) fn leave(&mut self, room: &RoomName, shard: u16) {
        let home = self
            .rooms
            .get_mut(room)
            .expect("every leave follows its join");
        home.interest[shard as usize] -= 1;
        home.members -= 1;
        if home.members == 0 {
            self.rooms.remove(room);
        }
    }

    /// Shards with members of a room.
    pub(crate) fn interested(&self, room: &str) -> impl Iterator<Item = u16> + Clone + '_ {
        let interest = self.rooms.get(room).map_or(&[][..], |home| &home.interest);
        interest
            .iter()
            .enumerate()
            .filter(|(_, members)| **members > 0)
            .map(|(shard, _)| shard as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_lives_from_first_join_to_last_leave() {
        let mut homes = Homes::new(3);
        let room: RoomName = "r".into();
        assert_eq!(homes.join(&room, 2, false), 0);
        assert_eq!(homes.join(&room, 2, true), 1);
        assert_eq!(homes.join(&room, 0, true), 2);
        assert_eq!(homes.join(&room, 0, false), 2);
        assert_eq!(homes.interested("r").collect::<Vec<_>>(), [0, 2]);
        homes.leave(&room, 2);
        assert_eq!(homes.interested("r").collect::<Vec<_>>(), [0]);
        homes.leave(&room, 0);
        assert_eq!((homes.len(), homes.interested("r").count()), (0, 0));
    }
}
