//! A log as a map: the newest publication of each conflation key, until the key is removed or its
//! time is over, whatever the log itself has pushed out.
//!
//! Invariant: a key has one entry, the entries stand in the order of their publications, and what
//! is taken in was admitted within the map's bounds. Used by a topic's home, through its log.

use crate::driver::boundary::Millis;
use crate::topic::log::holders::Holders;
use crate::topic::log::map_options::MapOptions;
use crate::topic::publication::Content;
use crate::types::ticket::Address;
use foldhash::quality::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a map holds. One without keys takes no memory.
#[derive(Debug, Default)]
pub(crate) struct KeyedEntries(Option<Box<HeldKeys>>);

#[derive(Debug, Default)]
struct HeldKeys {
    /// Of each key the offset of its entry.
    places: HashMap<Arc<str>, u64, RandomState>,
    /// Those that were not published for longest come first, for all have one time.
    entries: BTreeMap<u64, KeyedEntry>,
    /// Of all entries.
    bytes: usize,
    /// Keys are due to be removed, and whoever does that knows.
    is_queued: bool,
}

/// The newest publication of a key.
#[derive(Debug)]
pub(crate) struct KeyedEntry {
    pub(crate) key: Arc<str>,
    pub(crate) content: Content,
    pub(crate) at: Millis,
    /// Whether all members were sent it, so that the next one of its key may build on it.
    pub(crate) is_base: bool,
    /// 0: it has none.
    pub(crate) version: u64,
    pub(crate) holders: Holders,
    /// What it takes of a map's bytes.
    pub(crate) bytes: usize,
}

impl KeyedEntry {
    /// What an entry takes of a map's bytes, as it is made.
    pub(crate) fn bytes_of(key: &str, content: &Content) -> usize {
        key.len() + content.bytes() + MapOptions::ENTRY_BYTES
    }
}

impl KeyedEntries {
    pub(crate) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |held| held.bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Keys that it holds.
    pub(crate) fn count(&self) -> usize {
        self.0.as_ref().map_or(0, |held| held.places.len())
    }

    pub(crate) fn get(&self, key: &str) -> Option<&KeyedEntry> {
        let held = self.0.as_ref()?;
        held.entries.get(held.places.get(key)?)
    }

    /// The publication with this offset, which is the newest, is that of its key.
    pub(crate) fn insert(&mut self, offset: u64, entry: KeyedEntry) {
        let held = self.0.get_or_insert_default();
        let before = held.places.insert(Arc::clone(&entry.key), offset);
        if let Some(before) = before.and_then(|before| held.entries.remove(&before)) {
            held.bytes -= before.bytes;
        }
        held.bytes += entry.bytes;
        held.entries.insert(offset, entry);
    }

    pub(crate) fn remove(&mut self, key: &str) {
        let Some(held) = &mut self.0 else { return };
        let offset = held.places.remove(key);
        if let Some(entry) = offset.and_then(|offset| held.entries.remove(&offset)) {
            held.bytes -= entry.bytes;
        }
        if held.places.is_empty() {
            self.0 = None;
        }
    }

    fn get_mut(&mut self, key: &str) -> Option<(&mut KeyedEntry, &mut usize)> {
        let held = self.0.as_deref_mut()?;
        let entry = held.entries.get_mut(held.places.get(key)?)?;
        Some((entry, &mut held.bytes))
    }

    /// Somebody holds a key that is there.
    pub(crate) fn hold(&mut self, key: &str, holder: Address) {
        if let Some((entry, bytes)) = self.get_mut(key)
            && entry.holders.insert(holder)
        {
            entry.bytes += Holders::HOLDER_BYTES;
            *bytes += Holders::HOLDER_BYTES;
        }
    }

    /// Somebody holds a key no longer. True: it was the last who did.
    pub(crate) fn release(&mut self, key: &str, holder: Address) -> bool {
        let Some((entry, bytes)) = self.get_mut(key) else {
            return false;
        };
        if !entry.holders.remove(holder) {
            return false;
        }
        // The first is not counted.
        let is_last = entry.holders.is_empty();
        if !is_last {
            entry.bytes -= Holders::HOLDER_BYTES;
            *bytes -= Holders::HOLDER_BYTES;
        }
        is_last
    }

    /// Those of publications behind an offset, with theirs.
    pub(crate) fn behind(&self, offset: u64) -> impl Iterator<Item = (u64, &KeyedEntry)> {
        let held = self.0.iter();
        let entries = held.flat_map(move |held| held.entries.range(offset.saturating_add(1)..));
        entries.map(|(offset, entry)| (*offset, entry))
    }

    /// Keys are due to be removed. False: that is known.
    pub(crate) fn queue(&mut self) -> bool {
        let held = self.0.as_mut();
        held.is_some_and(|held| !std::mem::replace(&mut held.is_queued, true))
    }

    /// None is due any more.
    pub(crate) fn unqueue(&mut self) {
        if let Some(held) = &mut self.0 {
            held.is_queued = false;
        }
    }

    /// What was not published for longest, of what nobody holds.
    pub(crate) fn oldest(&self) -> Option<&KeyedEntry> {
        let mut entries = self.0.as_ref()?.entries.values();
        entries.find(|entry| entry.holders.is_empty())
    }

    /// Panics unless a key has one entry and the sums are right.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn check(&self) {
        let Some(held) = &self.0 else { return };
        assert!(!held.places.is_empty(), "no memory for no key");
        assert_eq!(held.places.len(), held.entries.len());
        for (offset, entry) in &held.entries {
            assert_eq!(held.places.get(&entry.key), Some(offset));
        }
        let bytes: usize = held.entries.values().map(|entry| entry.bytes).sum();
        assert_eq!(bytes, held.bytes, "bytes of a map");
    }
}
