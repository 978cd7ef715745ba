//! The rooms of a chat: a few large ones, many small ones, and everyone in several. Invariant: the
//! same plan gives the same rooms everywhere. Room k has a size in proportion to 1 / (k + 1), at
//! least 1 and at most all. The seats of all rooms, the largest room first, are dealt round after
//! round to the connections in an order drawn from the seed: so nobody has two seats in one room,
//! and everyone as many. Called by `layout`, `particulars`.

use crate::message::MIX;
use serde::{Deserialize, Serialize};

/// Who is in how many rooms, and what is said there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Chat {
    /// At most as many as there are rooms.
    pub(crate) rooms_per_connection: u32,
    pub(crate) seed: u64,
    pub(crate) sizes: Sizes,
}

/// Lengths of the messages' bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sizes {
    /// 64 to 4096 bytes, mostly short, as people write.
    Mixed,
    /// As --payload says.
    Payload,
}

/// In a larger room the others only listen.
pub(crate) const TALKERS_PER_ROOM_MAX: usize = 256;

/// Who sits where.
#[derive(Debug)]
pub(crate) struct Seats {
    /// By room: where its seats end.
    ends: Vec<u64>,
    /// By place in the order in which seats are dealt: the connection.
    order: Vec<u32>,
    /// By connection: its place.
    places: Vec<u32>,
    rounds: u32,
}

impl Seats {
    /// Of a chat of so many connections and rooms.
    pub(crate) fn new(connections: u32, rooms: u32, chat: Chat) -> Seats {
        let order = shuffled(connections, chat.seed);
        let mut places = vec![0; order.len()];
        for (place, &connection) in order.iter().enumerate() {
            places[connection as usize] = place as u32;
        }
        let mut end = 0;
        let sizes = sizes(connections, rooms, chat.rooms_per_connection);
        let ends = sizes.into_iter().map(|size| {
            end += u64::from(size);
            end
        });
        Seats {
            ends: ends.collect(),
            order,
            places,
            rounds: chat.rooms_per_connection,
        }
    }

    /// Of a connection, each with its seat there.
    pub(crate) fn rooms(&self, connection: u32) -> impl Iterator<Item = (u32, u64)> {
        let place = u64::from(self.places[connection as usize]);
        (0..u64::from(self.rounds)).map(move |round| {
            let seat = place + round * self.order.len() as u64;
            let room = self.ends.partition_point(|&end| end <= seat);
            (room as u32, seat - self.start(room))
        })
    }

    /// Of a connection, those in which it talks, in its order of talking.
    pub(crate) fn rotation(&self, connection: u32) -> impl Iterator<Item = u32> {
        self.rooms(connection)
            .filter(|&(_, seat)| seat < TALKERS_PER_ROOM_MAX as u64)
            .map(|(room, _)| room)
    }

    /// Connections that talk in a room.
    pub(crate) fn talkers(&self, room: usize) -> impl Iterator<Item = u32> {
        let end = self.ends[room].min(self.start(room) + TALKERS_PER_ROOM_MAX as u64);
        let count = self.order.len() as u64;
        (self.start(room)..end).map(move |seat| self.order[(seat % count) as usize])
    }

    /// Members of each room, the largest first.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = u64> {
        (0..self.ends.len()).map(|room| self.ends[room] - self.start(room))
    }

    /// Pairs of a member and someone who talks in its room.
    pub(crate) fn streams(&self) -> u64 {
        let talkers = TALKERS_PER_ROOM_MAX as u64;
        self.sizes().map(|size| size * size.min(talkers)).sum()
    }

    fn start(&self, room: usize) -> u64 {
        room.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}

impl Sizes {
    /// Bytes of the largest and of the mean body.
    pub(crate) fn bytes(self, payload_bytes: usize) -> (usize, f64) {
        match self {
            Sizes::Payload => (payload_bytes, payload_bytes as f64),
            Sizes::Mixed => {
                let largest = MIX.iter().map(|&(bytes, _)| bytes).max();
                let sum: u64 = MIX
                    .iter()
                    .map(|&(bytes, percent)| bytes as u64 * percent)
                    .sum();
                (largest.unwrap_or(payload_bytes), sum as f64 / 100.0)
            }
        }
    }
}

/// Of `rooms` rooms, so that each of `connections` connections is in `each` of them.
fn sizes(connections: u32, rooms: u32, each: u32) -> Vec<u32> {
    let seats = u64::from(connections) * u64::from(each);
    let whole: f64 = (1..=rooms).map(|rank| 1.0 / f64::from(rank)).sum();
    let size = |rank: u32| (seats as f64 / whole / f64::from(rank)) as u32;
    let mut sizes: Vec<u32> = (1..=rooms)
        .map(|rank| size(rank).clamp(1, connections))
        .collect();
    let mut dealt: u64 = sizes.iter().map(|&size| u64::from(size)).sum();
    // What rounding and both limits left over or took too much, one seat a room, the largest first.
    while dealt != seats {
        for size in &mut sizes {
            if dealt < seats && *size < connections {
                *size += 1;
                dealt += 1;
            } else if dealt > seats && *size > 1 {
                *size -= 1;
                dealt -= 1;
            }
        }
    }
    sizes
}

/// 0 to `count`, in an order drawn from the seed.
fn shuffled(count: u32, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count).collect();
    for last in (1..order.len()).rev() {
        let other = drawn(seed, last as u64) % (last as u64 + 1);
        order.swap(last, other as usize);
    }
    order
}

/// The seed's `number`-th number: a counter, mixed by the finalizer of SplitMix64 (Steele, Lea,
/// Flood 2014).
pub(crate) fn drawn(seed: u64, number: u64) -> u64 {
    let mut mixed = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn check(connections: u32, rooms: u32, each: u32, largest: u32) {
        let sizes = sizes(connections, rooms, each);
        let total: u64 = sizes.iter().map(|&size| u64::from(size)).sum();
        assert_eq!(total, u64::from(connections) * u64::from(each));
        assert!(sizes.is_sorted_by(|one, next| one >= next), "{sizes:?}");
        assert!(sizes.iter().all(|&size| (1..=connections).contains(&size)));
        assert_eq!((sizes.len() as u32, sizes[0]), (rooms, largest));
        let order = shuffled(connections, 7);
        let mut places = vec![0; order.len()];
        for (place, &connection) in order.iter().enumerate() {
            places[connection as usize] = place as u32;
        }
        let ends = sizes.iter().scan(0, |end, &size| {
            *end += u64::from(size);
            Some(*end)
        });
        let seats = Seats {
            ends: ends.collect(),
            order,
            places,
            rounds: each,
        };
        let mut members = vec![0; rooms as usize];
        for connection in 0..connections {
            let own: BTreeSet<u32> = seats.rooms(connection).map(|(room, _)| room).collect();
            assert_eq!(own.len(), each as usize, "twice in one room");
            own.iter().for_each(|&room| members[room as usize] += 1);
            for room in seats.rotation(connection) {
                let mut talkers = seats.talkers(room as usize);
                assert!(talkers.any(|talker| talker == connection));
            }
        }
        assert_eq!(members, sizes);
        let voices: usize = (0..rooms as usize).map(|r| seats.talkers(r).count()).sum();
        let talks = (0..connections).map(|connection| seats.rotation(connection).count());
        assert_eq!(voices, talks.sum::<usize>());
    }

    #[test]
    fn everyone_is_in_as_many_rooms_and_rooms_fall_off_by_their_rank() {
        check(1_000, 100, 3, 579);
        check(50, 50, 1, 1);
        check(50, 5, 1, 22);
        check(10, 4, 4, 10);
        check(3, 3, 1, 1);
        check(1, 1, 1, 1);
        check(2_000, 7, 5, 2_000);
    }

    #[test]
    fn a_seed_draws_one_order() {
        assert_eq!(shuffled(1_000, 1), shuffled(1_000, 1));
        assert_ne!(shuffled(1_000, 1), shuffled(1_000, 2));
        let mut all = shuffled(1_000, 1);
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1_000));
    }
}
