//! The books of all logs, looked through: what tests ask after every tick.

use crate::topic::key::Topic;
use crate::topic::log::logs::Logs;
use crate::topic::log::topic_log::Usage;

impl Logs {
    /// Panics unless the sums are right.
    pub(crate) fn check(&self, is_joined: impl Fn(Topic<'_>) -> bool) {
        let logs = || self.logs.iter().flatten();
        assert_eq!(logs().count(), self.count());
        let bytes: usize = logs().map(|log| log.bytes()).sum();
        assert_eq!(bytes as u64, self.bytes, "bytes of all logs");
        let map_bytes: usize = logs().map(|log| log.map.bytes()).sum();
        assert_eq!(map_bytes as u64, self.maps.bytes, "bytes of all maps");
        logs().for_each(|log| log.map.check());
        let unused = logs().filter(|log| matches!(log.usage, Usage::Unused { .. }));
        assert_eq!(unused.count(), self.unused_count);
        assert!(self.unused_count <= self.unused_max);
        let absent = logs().filter(|log| self.is_for_absent(log.class));
        assert_eq!(absent.count(), self.absent_count);
        for log in logs() {
            let topic = log.topic.topic();
            assert_eq!(log.usage == Usage::Joined, is_joined(topic), "{topic:?}");
        }
    }
}
