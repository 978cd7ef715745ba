//! How much a topic's log may hold as a map, and for how long. A part of the options of logs.

use crate::types::config_error::{ConfigError, within};
use std::ops::RangeInclusive;
use std::time::Duration;

/// How much the map of one topic may hold, and how long ([`crate::LogOptions::map`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapOptions {
    /// Keys of one topic. Publishing one more is refused ([`crate::Repeat::MapFull`]). Default
    /// 10,000, range [`MapOptions::KEYS`].
    pub keys_max: u32,
    /// Bytes of them: what was published, the keys, and [`MapOptions::ENTRY_BYTES`] for each. What
    /// would be more is refused in the same way. Default 4 MiB, range [`MapOptions::BYTES`].
    pub bytes_max: usize,
    /// How long a key stays that is not published again; then it is removed, and members are told
    /// ([`crate::Application::removal`]). `None`, the default: until it is removed. Range
    /// [`MapOptions::KEY_TTL`].
    pub key_ttl: Option<Duration>,
}

impl Default for MapOptions {
    fn default() -> MapOptions {
        MapOptions {
            keys_max: 10_000,
            bytes_max: 4 << 20,
            key_ttl: None,
        }
    }
}

impl MapOptions {
    /// What [`MapOptions::keys_max`] may be.
    pub const KEYS: RangeInclusive<u32> = 1..=1_000_000;
    /// What [`MapOptions::bytes_max`] may be.
    pub const BYTES: RangeInclusive<usize> = 1 << 10..=1 << 30;
    /// What [`MapOptions::key_ttl`] may be.
    pub const KEY_TTL: RangeInclusive<Duration> =
        Duration::from_secs(1)..=Duration::from_secs(365 * 86_400);
    /// What an entry takes of [`MapOptions::bytes_max`] besides its key and what was published.
    pub const ENTRY_BYTES: usize = 192;

    /// Checks the ranges.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let (keys, rule) = (self.keys_max, "1 to 1,000,000");
        within("map.keys_max", keys, Self::KEYS, rule)?;
        let rule = "1 KiB to 1 GiB";
        within("map.bytes_max", self.bytes_max, Self::BYTES, rule)?;
        self.key_ttl.map_or(Ok(()), |ttl| {
            let (least, most) = (Self::KEY_TTL.start(), Self::KEY_TTL.end());
            let range = least.as_millis()..=most.as_millis();
            within("map.key_ttl", ttl.as_millis(), range, "1 s to 365 days")
        })
    }
}
