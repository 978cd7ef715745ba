//! Entries of the store's file, as a damaged disk may have them: each is read or refused, and one
//! that is read is written again as it was, so nothing of it was passed over or made up.

use shardcast::parsing::{StoredEntry, stored as read};

/// The first byte says what the entry is to be, the rest is the entry.
///
/// # Panics
/// A promise is broken.
pub fn stored(input: &[u8]) {
    let Some((kind, entry)) = input.split_first() else {
        return;
    };
    let kind = match kind % 3 {
        0 => StoredEntry::Log,
        1 => StoredEntry::Publication,
        _ => StoredEntry::Session,
    };
    if let Some(written) = read(kind, entry) {
        assert_eq!(written, entry, "{kind:?}");
    }
}
