//! Pages of a log that a broker hands out entry by entry: it goes on appending meanwhile, and trims
//! the oldest for that.
//!
//! Invariant: between the entries of a page nothing is missing. Used by adapters of such brokers,
//! and by the model.

use crate::broker::adapter::{LogEntry, LogPlace};

/// Leaves of entries that were read one by one those between which nothing is missing. `oldest`:
/// the offset of the oldest that the room has, asked once they were read; `None`: it has none any
/// more. How many were left out.
///
/// What the room has in the end it had all the while, so it was read. Before that, any may have
/// gone between two that were read; only the last one is a page by itself.
pub(crate) fn leave_whole(entries: &mut Vec<LogEntry>, oldest: Option<u64>) -> usize {
    let is_gone = |entry: &&LogEntry| oldest.is_none_or(|oldest| entry.place.offset < oldest);
    let gone = entries.iter().take_while(is_gone).count();
    let left_out = gone.min(entries.len().saturating_sub(1));
    entries.drain(..left_out);
    left_out
}

/// Says of each entry which one is before it; of the first, behind which offset nothing is missing.
pub(crate) fn chain(entries: &mut [LogEntry], behind: u64) {
    let mut previous = behind;
    for LogEntry {
        place: LogPlace {
            offset,
            previous: before,
            ..
        },
        ..
    } in entries
    {
        *before = std::mem::replace(&mut previous, *offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn entries(offsets: &[u64]) -> Vec<LogEntry> {
        let entry = |offset: &u64| LogEntry {
            place: LogPlace {
                epoch: 1,
                offset: *offset,
                previous: LogPlace::UNKNOWN,
            },
            payload: "".into(),
            age: Duration::ZERO,
        };
        offsets.iter().map(entry).collect()
    }

    #[test]
    fn what_was_read_while_the_oldest_went_has_no_hole() {
        for (read, oldest, left) in [
            // Ten were published once three were read, and nine went that were not.
            (&[9, 10, 11, 20, 21][..], Some(20), &[20, 21][..]),
            (&[9, 10, 11, 20, 21], Some(21), &[21]),
            (&[9, 10, 11], Some(9), &[9, 10, 11]),
            (&[9, 10, 11], Some(4), &[9, 10, 11]),
            // All that was read has gone since.
            (&[9, 10, 11], Some(30), &[11]),
            (&[9, 10, 11], None, &[11]),
            (&[9], None, &[9]),
            (&[], Some(3), &[]),
        ] {
            let mut page = entries(read);
            let left_out = leave_whole(&mut page, oldest);
            assert_eq!(left_out, read.len() - left.len(), "{read:?}, {oldest:?}");
            let offsets: Vec<u64> = page.iter().map(|entry| entry.place.offset).collect();
            assert_eq!(offsets, left, "{read:?}, {oldest:?}");
        }
    }

    #[test]
    fn each_entry_names_the_one_before() {
        let mut page = entries(&[4, 7, 8]);
        chain(&mut page, 2);
        let previous: Vec<u64> = page.iter().map(|entry| entry.place.previous).collect();
        assert_eq!(previous, [2, 4, 7]);
    }
}
