//! How many connections a shard holds in how many rings, as far as the limit on open files goes.

use super::accept::Acceptors;
use super::limits;
use crate::config::Config;
use crate::driver::platform::PlatformLimits;

/// How one shard's connections are spread over rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tables {
    /// Entries of one ring's table.
    pub table: u32,
    /// Rings that may be made.
    pub rings: usize,
}

impl Tables {
    /// How each shard of a configuration holds its connections, with the open-file limit of this
    /// process.
    pub(super) fn of(config: &Config) -> Tables {
        Tables::new(
            config.slots_per_shard(),
            config.listeners.len(),
            config.shards,
            limits::table_max(),
        )
    }

    pub(super) fn limits(self) -> PlatformLimits {
        PlatformLimits {
            rings: self.rings,
            connections_max: self.room(),
            memory_bytes: (self.rings * RING_BYTES) as u64,
        }
    }

    /// A lease names its ring in 8 bits.
    const RINGS_MAX: usize = 256;
    /// Descriptors of the process that are not rings': listeners, the control plane, logs.
    const OTHER_FILES: usize = 32;

    /// For a shard of `slots` connections behind `listeners`, one of `shards`, in a process that
    /// may have `open_files` files open. A table may be as large as that, and has room for the
    /// accepts of all listeners twice; a ring takes two files itself. May hold fewer than `slots`
    /// where the limit is very low.
    pub fn new(slots: usize, listeners: usize, shards: usize, open_files: usize) -> Tables {
        let table = slots
            .max(Acceptors::OUTSTANDING * listeners * 2)
            .min(open_files);
        let others = Self::OTHER_FILES + (3 + listeners) * shards;
        let affordable = open_files.saturating_sub(others) / (2 * shards);
        Tables {
            table: table as u32,
            rings: slots
                .div_ceil(table)
                .clamp(1, affordable.clamp(1, Self::RINGS_MAX)),
        }
    }

    /// Connections that may be admitted. The others that have a slot are told that there is no
    /// room.
    pub fn room(&self) -> usize {
        self.table as usize * self.rings - self.reserve() as usize
    }

    /// Slots of a full shard in which connects are answered 503.
    pub(super) fn reserve(&self) -> u32 {
        const RESERVE_MAX: u32 = 256;
        (self.table / 8).min(RESERVE_MAX)
    }
}

/// Memory of one ring in this process, in bytes: receive buffers, submission and completion queue.
const RING_BYTES: usize = super::buffers::BYTES + super::ring::BYTES;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_follow_the_open_file_limit() {
        let cases = [
            // (slots, listeners, shards, open files) -> (table, rings)
            ((1_256, 1, 1, 20_000), (1_256, 1)),
            ((100_256, 1, 1, 20_000), (20_000, 6)),
            ((62_756, 1, 2, 20_000), (20_000, 4)),
            ((62_756, 1, 2, 1_048_576), (62_756, 1)),
            ((62_756, 1, 2, 1_024), (1_024, 62)),
            ((62_756, 1, 2, 64), (64, 6)),
            ((62_756, 8, 2, 64), (64, 2)),
            ((10_000_000, 1, 1, 1_024), (1_024, 256)),
            ((3, 1, 1, 64), (32, 1)),
            ((3, 8, 1, 64), (64, 1)),
            ((3, 8, 1, 1_024), (256, 1)),
        ];
        for ((slots, listeners, shards, open_files), (table, rings)) in cases {
            let tables = Tables::new(slots, listeners, shards, open_files);
            assert_eq!(
                tables,
                Tables { table, rings },
                "{slots} slots, {listeners} listeners, {shards} shards, {open_files} files"
            );
        }
    }
}
