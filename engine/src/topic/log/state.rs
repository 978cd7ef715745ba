//! A log as a map: what changes it, what is read of it, and which keys are over.
//!
//! Invariant: what the map takes in was admitted within its bounds, and a key that is over goes by
//! a publication that removes it. Used by a topic's home.

use crate::driver::boundary::Millis;
use crate::topic::keep::{Keep, MapChange, SetOnly, SetRule};
use crate::topic::log::holders::Holders;
use crate::topic::log::map::KeyedEntry;
use crate::topic::log::options::LogOptions;
use crate::topic::log::topic_log::Log;
use crate::topic::publication::Content;
use crate::types::history::{History, HistoryQuery, KeptPublication, Loss};
use std::sync::Arc;

/// Why a change of a map is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapRefusal {
    /// There is no room for it.
    Full,
    /// There is no such key to be removed, or set; or who gives it up does not hold it alone.
    NoKey,
    /// There is such a key, which was to be new.
    KeyExists,
    /// The map has the key in this version, or in a higher one.
    Outdated,
}

impl SetRule {
    /// Whether it lets a publication take the place of what the map has of its key.
    fn check(self, before: Option<&KeyedEntry>) -> Result<(), MapRefusal> {
        let known = before.map_or(0, |before| before.version);
        match (self.only, before) {
            _ if (1..=known).contains(&self.version) => Err(MapRefusal::Outdated),
            (SetOnly::New, Some(_)) => Err(MapRefusal::KeyExists),
            (SetOnly::Known, None) => Err(MapRefusal::NoKey),
            (SetOnly::Any | SetOnly::New | SetOnly::Known, _) => Ok(()),
        }
    }
}

impl Log {
    /// Whether it has neither publications nor keys.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.is_empty() && self.map.is_empty()
    }

    /// Whether a publication may change the map that the log is, where all maps may grow by so many
    /// bytes. A log that is none takes everything. Who holds a key is noted, whatever comes of it.
    pub(crate) fn admit(
        &mut self,
        options: &LogOptions,
        keep: &Keep,
        content: &Content,
        free_bytes: usize,
    ) -> Result<(), MapRefusal> {
        let (Some(map), Some(key)) = (&options.map, keep.conflate.as_deref()) else {
            return Ok(());
        };
        match (keep.change, self.map.get(key)) {
            (MapChange::Remove, None) => return Err(MapRefusal::NoKey),
            (MapChange::Remove, Some(_)) => return Ok(()),
            (MapChange::Release(holder), _) => {
                let is_over = self.map.release(key, holder);
                return is_over.then_some(()).ok_or(MapRefusal::NoKey);
            }
            (MapChange::Hold(holder), Some(_)) => {
                self.map.hold(key, holder);
                return Err(MapRefusal::KeyExists);
            }
            (MapChange::Hold(_), None) => {}
            (MapChange::Set, before) => keep.rule.check(before)?,
        }
        let before = self.map.get(key);
        let count = self.map.count();
        let freed = before.map_or(0, |entry| entry.bytes);
        let bytes = KeyedEntry::bytes_of(key, content);
        let fits = (before.is_some() || count < map.keys_max as usize)
            && self.map.bytes() - freed + bytes <= map.bytes_max
            && bytes <= free_bytes + freed;
        fits.then_some(()).ok_or(MapRefusal::Full)
    }

    /// Changes the map as a publication says that gets the log's next place and was admitted.
    pub(crate) fn change_map(
        &mut self,
        options: &LogOptions,
        keep: &Keep,
        content: &Content,
        (at, is_base): (Millis, bool),
    ) {
        let (Some(_), Some(key)) = (&options.map, &keep.conflate) else {
            return;
        };
        let holders = match keep.change {
            MapChange::Set => Holders::Nobody,
            MapChange::Hold(holder) => Holders::One(holder),
            MapChange::Remove | MapChange::Release(_) => return self.map.remove(key),
        };
        let entry = KeyedEntry {
            key: Arc::clone(key),
            content: content.clone(),
            at,
            is_base,
            version: keep.rule.version,
            holders,
            bytes: KeyedEntry::bytes_of(key, content),
        };
        self.map.insert(self.next_position().offset, entry);
    }

    /// What members have of a key, so that the next publication of it may build on that.
    pub(crate) fn base_of(&self, key: &str) -> Option<&Content> {
        let entry = self.map.get(key).filter(|entry| entry.is_base)?;
        Some(&entry.content)
    }

    /// The next key whose time is over by now, and what is removed.
    pub(crate) fn next_expired(
        &self,
        options: &LogOptions,
        now: Millis,
    ) -> Option<(&Arc<str>, &Content)> {
        let ttl = options.map.as_ref()?.key_ttl?.as_millis() as Millis;
        let oldest = self.map.oldest()?;
        (now.wrapping_sub(oldest.at) >= ttl).then_some((&oldest.key, &oldest.content))
    }

    /// Whether some key's time is over by now that nobody was told of. It counts as told.
    pub(crate) fn begins_to_expire(&mut self, options: &LogOptions, now: Millis) -> bool {
        self.next_expired(options, now).is_some() && self.map.queue()
    }

    /// What the map holds of publications behind an offset, in their order.
    pub(crate) fn read_map(&self, query: &HistoryQuery) -> History {
        let mut page = History {
            position: self.position(),
            publications: Vec::new(),
            loss: None,
            more: false,
            keys: u32::try_from(self.map.count()).unwrap_or(u32::MAX),
        };
        let epoch = query.since.and_then(|since| since.epoch);
        if epoch.is_some_and(|epoch| epoch != self.epoch) {
            page.loss = Some(Loss::EpochChanged);
            return page;
        }
        let after = query.since.map_or(0, |since| since.offset);
        let limit = query.limit.min(HistoryQuery::LIMIT_MAX) as usize;
        let mut bytes = 0;
        for (offset, entry) in self.map.behind(after) {
            bytes += entry.bytes;
            let is_over = bytes > HistoryQuery::BYTES_MAX && !page.publications.is_empty();
            if page.publications.len() == limit || is_over {
                page.more = true;
                break;
            }
            let kept = KeptPublication::new(offset, entry.content.clone());
            page.publications.push(kept);
        }
        page
    }
}

#[cfg(test)]
mod tests;
