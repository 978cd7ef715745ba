//! What a quiet shard gives back of what it knows and owes: buffers, and the room that tables and queues kept for more. Nothing that is in use.
//!
//! Called by the shard (`shard/quiet.rs`), never while it is busy.

use super::{Core, PendingWork};
use crate::paged::PAGE;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

impl Core {
    /// Gives a page of slots back, in every table, if none of them is in use; false if one is.
    pub(crate) fn release_page(&mut self, page: usize) -> bool {
        let released = self.connections.release_page(page);
        if released {
            self.wheel.drop_page(page);
            if let Some(wakes) = &mut self.wakes {
                wakes.drop_page(page);
            }
            self.tls.drop_page(page);
            self.heartbeats.drop_page(page);
        }
        released
    }

    /// Between two ticks, when nothing is owed.
    pub(crate) fn release_memory(&mut self) {
        self.spare.release_memory();
        self.outgoing.release_memory();
        self.member_lists.release_memory();
        self.fan_outs.release_memory();
        self.delayed.release_memory();
        self.wakes.take_if(|wakes| wakes.next_expiry().is_none());
        self.topics.release_memory();
        self.homes.release_memory();
        self.reports.release_memory();
        self.mail.release_memory();
        self.tls.release_memory();
        if let Some(compressing) = &mut self.compressing {
            compressing.release_memory();
        }
        let PendingWork {
            kick,
            finish,
            retire,
            arm,
            park,
            ended,
            abandoned,
        } = &mut self.pending_work;
        for tickets in [kick, finish, retire, arm, park, abandoned] {
            tickets.shrink_to_fit();
        }
        ended.shrink_to_fit();
    }

    /// Bytes that connections hold in this moment: what they have not taken, and what they have not finished.
    pub(crate) fn buffered_bytes(&self) -> u64 {
        self.counters.outbox_bytes.get() + self.counters.reassembly_bytes.get()
    }
}

/// Entries that are moved in one go; a map with more keeps its room, for moving them would hold the shard up.
const MOVED_MAX: usize = 32 * PAGE;

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
