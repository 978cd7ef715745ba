//! Topics of which some shard has more to deliver than it gets done: whoever asks for more of one
//! is not read until it has caught up.
//!
//! Invariant: a bucket counts the shards and encodings that are behind with a topic of it. Written
//! when one falls behind and when it has caught up; read once for each publish, join, leave and
//! list. Used by `core` and by [`crate::topic::delayed`].

use crate::topic::key::Topic;
use foldhash::quality::FixedState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Shared by the shards of a process. All of it is a hint, so no order of accesses matters.
#[derive(Clone, Debug)]
pub(crate) struct Congestion {
    counts: Arc<Counts>,
    /// The process's, so that nobody can choose names that meet in a bucket.
    seed: u64,
}

#[derive(Debug)]
struct Counts {
    /// Of all buckets together.
    all: AtomicU32,
    buckets: [AtomicU32; Congestion::BUCKETS],
}

/// Topics that are held up together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket(u16);

impl Bucket {
    /// Buckets of a process, in all.
    pub(crate) const COUNT: usize = Congestion::BUCKETS;

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl Congestion {
    /// Buckets of a process: 16 KiB. Who publishes to a topic that shares a bucket with a congested
    /// one waits with it.
    const BUCKETS: usize = 4096;

    pub(crate) fn new() -> Congestion {
        let counts = Counts {
            all: AtomicU32::new(0),
            buckets: std::array::from_fn(|_| AtomicU32::new(0)),
        };
        Congestion {
            counts: Arc::new(counts),
            seed: 0,
        }
    }

    /// The same with the process's seed.
    pub(crate) fn seeded(&self, seed: u64) -> Congestion {
        let counts = Arc::clone(&self.counts);
        Congestion { counts, seed }
    }

    /// The process's.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Nothing is congested.
    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        self.counts.all.load(Ordering::Relaxed) == 0
    }

    /// Where a topic is counted; `None`: everyone.
    pub(crate) fn bucket(&self, topic: Option<Topic<'_>>) -> Bucket {
        let hash = FixedState::with_seed(self.seed).hash_one(topic);
        Bucket((hash % Self::BUCKETS as u64) as u16)
    }

    /// A topic of the bucket is congested.
    pub(crate) fn has(&self, bucket: Bucket) -> bool {
        self.count(bucket).load(Ordering::Relaxed) > 0
    }

    /// A shard has fallen behind with a topic.
    pub(crate) fn begin(&self, bucket: Bucket) {
        self.counts.all.fetch_add(1, Ordering::Relaxed);
        self.count(bucket).fetch_add(1, Ordering::Relaxed);
    }

    /// It has caught up.
    pub(crate) fn end(&self, bucket: Bucket) {
        self.counts.all.fetch_sub(1, Ordering::Relaxed);
        self.count(bucket).fetch_sub(1, Ordering::Relaxed);
    }

    fn count(&self, Bucket(index): Bucket) -> &AtomicU32 {
        &self.counts.buckets[usize::from(index)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_congested_until_the_last_shard_has_caught_up() {
        let congestion = Congestion::new();
        let [a, b] = ["a", "b"].map(|topic| congestion.bucket(Some(Topic::Room(topic))));
        assert!(congestion.is_none() && !congestion.has(a));
        let other = congestion.clone();
        congestion.begin(a);
        other.begin(a);
        assert!(!other.is_none() && other.has(a));
        assert_eq!(other.has(b), a == b);
        congestion.end(a);
        assert!(congestion.has(a));
        other.end(a);
        assert!(congestion.is_none() && !congestion.has(a));
    }
}
