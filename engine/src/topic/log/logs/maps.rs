//! Logs that are maps: how much all of them may hold, and which have keys that are over.

use crate::driver::boundary::Millis;
use crate::topic::keep::MapChange;
use crate::topic::key::{Topic, TopicKey};
use crate::topic::log::logs::Logs;
use crate::topic::log::options::LogOptions;
use crate::topic::log::topic_log::Log;
use crate::topic::publication::Content;

impl Logs {
    /// Bytes by which all maps together may grow: they hold at most half of what logs may, so that
    /// there is something to push out.
    pub(crate) fn free_map_bytes(&self) -> usize {
        (self.bytes_max / 2).saturating_sub(self.maps.bytes) as usize
    }

    /// What a publication of a map builds on: what members have of its key, if they have
    /// something. `None`: the topic is no map.
    pub(crate) fn base_of_key(
        &self,
        topic: Topic<'_>,
        content: &Content,
    ) -> Option<Option<Content>> {
        let (keep, _) = content.kept()?;
        let log = self.find(topic)?;
        self.options[log.class.index()].map.as_ref()?;
        let key = match keep.change {
            MapChange::Set | MapChange::Hold(_) => keep.conflate.as_deref(),
            MapChange::Remove | MapChange::Release(_) => None,
        };
        Some(key.and_then(|key| log.base_of(key)).cloned())
    }

    /// Whether keys of some topic are over.
    pub(crate) fn has_expired(&self) -> bool {
        !self.maps.expired.is_empty()
    }

    /// Acts on the next log with keys that are over. `None`: it has none any more, and another one
    /// is the next.
    pub(crate) fn at_expired<R>(
        &mut self,
        now: Millis,
        act: impl FnOnce(&mut Log, &LogOptions) -> Option<R>,
    ) -> Option<(TopicKey, R)> {
        let topic = self.maps.expired.front()?.clone();
        let acted = self.get(topic.topic(), now, |log, options| {
            let acted = act(log, options);
            if acted.is_none() {
                log.map.unqueue();
            }
            acted
        });
        let acted = acted.flatten();
        if acted.is_none() {
            self.maps.expired.pop_front();
        }
        Some((topic, acted?))
    }
}
