//! Which slots are free, and how many there may be with the limit on open files.

use crate::config::Config;
use crate::run::open_files;

/// The free slots of a shard; those that were used last are used first.
#[derive(Debug)]
pub(super) struct FreeSlots {
    free: Vec<u32>,
    /// Slots from here on were never used.
    fresh: u32,
    count: u32,
}

impl FreeSlots {
    /// Descriptors of the process that are no shard's: the control plane, logs.
    const OTHER_FILES: usize = 32;
    /// Descriptors of a shard besides its listeners: its epoll instance, its bell and a handle to
    /// that.
    const SHARD_FILES: usize = 3;

    /// How many each shard of a configuration has in this process.
    pub(super) fn of(config: &Config) -> FreeSlots {
        FreeSlots::new(
            config.slots_per_shard(),
            config.listeners.len(),
            config.shards,
            open_files::max(),
        )
    }

    /// For a shard of `wanted` slots behind `listeners`, one of `shards`, in a process that may
    /// have `open_files` files open: each connection is one. May be fewer than `wanted`.
    pub(super) fn new(
        wanted: usize,
        listeners: usize,
        shards: usize,
        open_files: usize,
    ) -> FreeSlots {
        let others = Self::OTHER_FILES + (Self::SHARD_FILES + listeners) * shards;
        let files = open_files.saturating_sub(others) / shards;
        let count = wanted.min(files).clamp(1, u32::MAX as usize);
        FreeSlots {
            free: Vec::new(),
            fresh: 0,
            count: count as u32,
        }
    }

    /// Connections that may be admitted. The others that have a slot are told that there is no
    /// room.
    pub(super) fn connections_max(&self) -> usize {
        const RESERVE_MAX: u32 = 256;
        (self.count - (self.count / 8).min(RESERVE_MAX)) as usize
    }

    /// The slot of the next client, if there is one.
    pub(super) fn next(&self) -> Option<u32> {
        let fresh = (self.fresh < self.count).then_some(self.fresh);
        self.free.last().copied().or(fresh)
    }

    /// The slot that `next` named is used.
    pub(super) fn take(&mut self, slot: u32) {
        match self.free.pop() {
            Some(last) => debug_assert_eq!(last, slot),
            None => self.fresh += 1,
        }
    }

    pub(super) fn give_back(&mut self, slot: u32) {
        self.free.push(slot);
    }

    pub(super) fn release_memory(&mut self) {
        self.free.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_the_open_file_limit() {
        let cases = [
            // (wanted, listeners, shards, open files) -> (slots, connections)
            ((1_256, 1, 1, 20_000), (1_256, 1_099)),
            ((100_256, 1, 2, 20_000), (9_980, 9_724)),
            ((100_256, 8, 2, 1_024), (485, 425)),
            ((100_256, 1, 2, 40), (1, 1)),
        ];
        for ((wanted, listeners, shards, open_files), (slots, connections)) in cases {
            let made = FreeSlots::new(wanted, listeners, shards, open_files);
            assert_eq!((made.count, made.connections_max()), (slots, connections));
        }
    }

    #[test]
    fn a_slot_is_used_by_one_at_a_time() {
        let mut slots = FreeSlots::new(2, 0, 1, 100);
        for expected in [Some(0), Some(1), None] {
            let next = slots.next();
            assert_eq!(next, expected);
            next.into_iter().for_each(|slot| slots.take(slot));
        }
        slots.give_back(0);
        assert_eq!(slots.next(), Some(0));
    }
}
