//! Which rooms of this shard's homes are published to most: a sketch of a fixed number of rooms
//! (space-saving: Metwally, Agrawal and El Abbadi, 2005), of every sixteenth publish or so.
//!
//! Invariant: a room that has more than one in [`Busiest::ROOMS_MAX`] of the publishes that were
//! looked at stands in the sketch, with no fewer than it had. A publish that is not looked at costs
//! one count. Counted by `topic/publishing.rs`; read through the shard's counters by any thread.

use crate::driver::boundary::Millis;
use foldhash::quality::RandomState;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

/// A room that much was published to, in one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusyRoom {
    /// Its name.
    pub room: Arc<str>,
    /// Publishes in the window: an estimate, and at most so many.
    pub publishes: u64,
}

/// The busiest rooms of the last complete window, for other threads.
#[derive(Debug, Default)]
pub struct BusyRooms(Mutex<Vec<BusyRoom>>);

impl BusyRooms {
    /// How long a window lasts, in milliseconds.
    pub const WINDOW_MS: u64 = 10_000;
    /// Rooms that each shard tells of at most.
    pub const ROOMS_MAX: usize = 32;

    /// The busiest first.
    pub fn get(&self) -> Vec<BusyRoom> {
        let rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.clone()
    }

    /// The busiest of all these shards, the busiest first, at most so many.
    pub fn of_all<'a>(
        shards: impl Iterator<Item = &'a BusyRooms>,
        rooms_max: usize,
    ) -> Vec<BusyRoom> {
        // A room has one home, so none stands here twice.
        let mut rooms: Vec<BusyRoom> = shards.flat_map(BusyRooms::get).collect();
        sort(&mut rooms);
        rooms.truncate(rooms_max);
        rooms
    }

    /// Where somebody reads just now, what was there stays for one window more: a shard waits for
    /// nobody.
    fn replace(&self, rooms: Vec<BusyRoom>) {
        match self.0.try_lock() {
            Ok(mut shown) => *shown = rooms,
            Err(TryLockError::Poisoned(shown)) => *shown.into_inner() = rooms,
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// Nothing that is measured: for the declaration of counters.
    pub(crate) fn each<'a>(&'a self, _: impl FnMut(crate::reading::Reading<'a>)) {}
}

fn sort(rooms: &mut [BusyRoom]) {
    rooms.sort_by(|one, other| {
        let by_count = other.publishes.cmp(&one.publishes);
        by_count.then_with(|| one.room.cmp(&other.room))
    });
}

/// What one shard has counted in this window.
#[derive(Debug)]
pub(crate) struct Busiest {
    /// Publishes until the next one that is looked at.
    left: u32,
    random: u32,
    rooms: HashMap<Arc<str>, u64, RandomState>,
    window_end: Millis,
}

impl Busiest {
    /// Rooms in the sketch.
    const ROOMS_MAX: usize = 64;
    /// Of so many publishes one is looked at, by chance, so that no rhythm of publishers hides a
    /// room.
    const EVERY: u32 = 16;

    /// `seed` is anything.
    pub(crate) fn new(seed: u64) -> Busiest {
        Busiest {
            left: 1,
            random: (seed as u32) | 1,
            rooms: HashMap::default(),
            window_end: 0,
        }
    }

    /// Something is published to a room.
    #[inline]
    pub(crate) fn count(&mut self, room: &Arc<str>) {
        self.left -= 1;
        if self.left == 0 {
            self.look_at(room);
        }
    }

    #[cold]
    fn look_at(&mut self, room: &Arc<str>) {
        self.left = self.next_distance();
        if let Some(count) = self.rooms.get_mut(room) {
            *count += 1;
            return;
        }
        let mut before = 0;
        if self.rooms.len() >= Self::ROOMS_MAX {
            // The newcomer takes the place of the least, and its count.
            let least = self.rooms.iter().min_by_key(|(_, count)| **count);
            let Some((least, count)) = least.map(|(name, count)| (name.clone(), *count)) else {
                return;
            };
            before = count;
            self.rooms.remove(&least);
        }
        self.rooms.insert(room.clone(), before + 1);
    }

    /// From 1 to 31, 16 on average (xorshift32).
    fn next_distance(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        1 + (self.random >> 8) % (2 * Self::EVERY - 1)
    }

    /// Shows what the window had, if it is over, and begins another one.
    #[inline]
    pub(crate) fn roll(&mut self, now: Millis, shown: &BusyRooms) {
        if now >= self.window_end {
            self.show(now, shown);
        }
    }

    #[cold]
    fn show(&mut self, now: Millis, shown: &BusyRooms) {
        // A shard that slept through a window has nothing to tell of the last one.
        let is_late = now >= self.window_end + BusyRooms::WINDOW_MS;
        let counted = std::mem::take(&mut self.rooms).into_iter();
        let counted = counted.filter(|_| !is_late);
        let mut rooms: Vec<BusyRoom> = counted
            .map(|(room, count)| BusyRoom {
                room,
                publishes: count * u64::from(Self::EVERY),
            })
            .collect();
        sort(&mut rooms);
        rooms.truncate(BusyRooms::ROOMS_MAX);
        shown.replace(rooms);
        self.window_end = now + BusyRooms::WINDOW_MS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    /// Two rooms that much is published to, among thousands that come and go.
    #[test]
    fn the_busiest_are_found_among_thousands() {
        let (mut busiest, shown) = (Busiest::new(7), BusyRooms::default());
        busiest.roll(1, &shown);
        let (a, b) = (room("a"), room("b"));
        for number in 0..30_000 {
            busiest.count(&a);
            busiest.count(&a);
            busiest.count(&b);
            busiest.count(&room(&format!("other {number}")));
        }
        assert!(shown.get().is_empty(), "the window goes on");
        busiest.roll(1 + BusyRooms::WINDOW_MS, &shown);
        let rooms = shown.get();
        assert!(rooms.len() <= BusyRooms::ROOMS_MAX);
        assert_eq!((&rooms[0].room, &rooms[1].room), (&a, &b));
        let near = |found: u64, wanted: u64| found > wanted / 10 * 9 && found < wanted / 10 * 12;
        assert!(near(rooms[0].publishes, 60_000), "{rooms:?}");
        assert!(near(rooms[1].publishes, 30_000), "{rooms:?}");
        // A window without anything, and one that was slept through.
        busiest.roll(2 + 2 * BusyRooms::WINDOW_MS, &shown);
        assert!(shown.get().is_empty());
        busiest.count(&a);
        busiest.roll(9 * BusyRooms::WINDOW_MS, &shown);
        assert!(shown.get().is_empty());
    }

    #[test]
    fn of_several_shards_the_busiest_stand_first() {
        let shards = [BusyRooms::default(), BusyRooms::default()];
        let busy = |name, publishes| BusyRoom {
            room: room(name),
            publishes,
        };
        shards[0].replace(vec![busy("a", 30), busy("b", 10)]);
        shards[1].replace(vec![busy("c", 20), busy("d", 10)]);
        let all = BusyRooms::of_all(shards.iter(), 3);
        assert_eq!(all, [busy("a", 30), busy("c", 20), busy("b", 10)]);
        assert_eq!(BusyRooms::of_all(shards.iter(), 9).len(), 4);
    }
}
