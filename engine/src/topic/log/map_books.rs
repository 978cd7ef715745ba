//! What a shard knows of all its logs that are maps: what they hold together, and which have keys
//! whose time is over. Kept by the logs.

use crate::driver::boundary::Millis;
use crate::topic::key::TopicKey;
use crate::topic::log::options::LogOptions;
use crate::topic::log::topic_log::Log;
use std::collections::VecDeque;

/// The books of all maps.
#[derive(Debug, Default)]
pub(crate) struct MapBooks {
    /// Bytes that all of them hold.
    pub(crate) bytes: u64,
    /// Topics with keys whose time is over, each once.
    pub(crate) expired: VecDeque<TopicKey>,
}

impl MapBooks {
    /// Looks whether the time of a log's keys is over.
    pub(crate) fn look(&mut self, log: &mut Log, options: &LogOptions, now: Millis) {
        if log.begins_to_expire(options, now) {
            self.expired.push_back(log.topic.clone());
        }
    }
}
