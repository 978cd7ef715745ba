//! Giving back the room that a table kept for more entries than it has. Called for the tables of a
//! quiet shard.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

/// Entries that are moved in one go; a map with more keeps its room, for moving them would hold the
/// shard up.
const MOVED_MAX: usize = 16 << 10;

/// Gives room back that is more than four times what the map needs.
pub(crate) fn shrink_map<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    if map.len() <= MOVED_MAX && map.capacity() > 4 * map.len() {
        map.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_keeps_room_that_it_needs_soon_or_that_costs_too_much_to_give_back() {
        for (entries, reserved, kept) in [
            (0, 1_000, false),
            (100, 1_000, false),
            (500, 1_000, true),
            (MOVED_MAX + 1, 10 * MOVED_MAX, true),
        ] {
            let mut map: HashMap<usize, usize> = (0..entries).map(|entry| (entry, entry)).collect();
            map.reserve(reserved);
            let before = map.capacity();
            shrink_map(&mut map);
            assert_eq!(map.len(), entries);
            assert_eq!(map.capacity() == before, kept, "{entries} of {reserved}");
        }
    }
}
