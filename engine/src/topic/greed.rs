//! Which topics take the most memory while there is little left: what is published to them is
//! refused until there is more.
//!
//! Invariant: a bucket is marked by a shard at most once, and by none while memory is not short.
//! Counted where a shard queues for slow readers and where it keeps for logs, only while memory is
//! short; read once for each publish then.

use crate::driver::boundary::Millis;
use crate::topic::congestion::Bucket;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What the shards of a process have marked.
#[derive(Clone, Debug)]
pub(crate) struct GreedMarks(Arc<[AtomicU32]>);

impl GreedMarks {
    pub(crate) fn new() -> GreedMarks {
        GreedMarks((0..Bucket::COUNT).map(|_| AtomicU32::new(0)).collect())
    }

    /// Some shard has found a topic of the bucket to be one of the greediest.
    pub(crate) fn has(&self, bucket: Bucket) -> bool {
        self.0[bucket.index()].load(Ordering::Relaxed) > 0
    }
}

/// What one shard has counted and marked.
#[derive(Debug)]
pub(crate) struct Greed {
    marks: GreedMarks,
    /// Bytes that topics have taken since the last look, while memory is short.
    taken: BTreeMap<Bucket, u64>,
    marked: Vec<Bucket>,
    look_at: Millis,
    /// Memory is short.
    pub(crate) watches: bool,
}

impl Greed {
    /// Between two looks.
    const LOOK_MS: Millis = 100;
    /// Buckets that a shard marks. Every look adds those that took more than half of what the
    /// greediest one did.
    const MARKED_MAX: usize = 64;

    pub(crate) fn new(marks: GreedMarks) -> Greed {
        Greed {
            marks,
            taken: BTreeMap::new(),
            marked: Vec::new(),
            look_at: 0,
            watches: false,
        }
    }

    /// Whether what is published to the bucket's topics is refused.
    pub(crate) fn refuses(&self, bucket: Bucket) -> bool {
        self.watches && self.marks.has(bucket)
    }

    /// A topic has taken so much memory.
    pub(crate) fn count(&mut self, bucket: Bucket, bytes: usize) {
        *self.taken.entry(bucket).or_default() += bytes as u64;
    }

    /// Memory is short: now and then, marks who takes most of it.
    pub(crate) fn look(&mut self, now: Millis) {
        if !self.watches {
            (self.watches, self.look_at) = (true, now + Self::LOOK_MS);
            return;
        }
        if now < self.look_at {
            return;
        }
        self.look_at = now + Self::LOOK_MS;
        let most = self.taken.values().copied().max().unwrap_or(0);
        for (bucket, taken) in std::mem::take(&mut self.taken) {
            let has_room = self.marked.len() < Self::MARKED_MAX;
            if taken > most / 2 && has_room && !self.marked.contains(&bucket) {
                self.marks.0[bucket.index()].fetch_add(1, Ordering::Relaxed);
                self.marked.push(bucket);
            }
        }
    }

    /// There is enough memory again.
    pub(crate) fn end(&mut self) {
        if self.watches {
            for bucket in self.marked.drain(..) {
                self.marks.0[bucket.index()].fetch_sub(1, Ordering::Relaxed);
            }
            self.taken.clear();
            self.watches = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::congestion::Congestion;
    use crate::topic::key::Topic;

    #[test]
    fn the_greediest_are_refused_until_there_is_enough_again() {
        let congestion = Congestion::new();
        let bucket = |name| congestion.bucket(Some(Topic::Room(name)));
        let [greedy, modest, other] = ["greedy", "modest", "other"].map(bucket);
        let marks = GreedMarks::new();
        let mut shards = [Greed::new(marks.clone()), Greed::new(marks)];
        let refused = |shards: &[Greed; 2]| {
            let all = shards
                .each_ref()
                .map(|shard| [greedy, modest, other].map(|bucket| shard.refuses(bucket)));
            assert_eq!(all[0], all[1]);
            all[0]
        };
        for shard in &mut shards {
            shard.look(1_000);
        }
        shards[0].count(greedy, 60_000);
        shards[0].count(modest, 20_000);
        assert_eq!(refused(&shards), [false; 3]);
        shards[0].look(1_050);
        assert_eq!(refused(&shards), [false; 3], "it is counted still");
        shards[0].look(1_100);
        assert_eq!(refused(&shards), [true, false, false]);
        // Whoever takes most of what is left is next.
        shards[0].count(modest, 20_000);
        shards[1].count(greedy, 1);
        for shard in &mut shards {
            shard.look(1_200);
        }
        assert_eq!(refused(&shards), [true, true, false]);
        shards[0].end();
        shards[0].look(1_300);
        assert_eq!(refused(&shards), [true, false, false], "the other shard's");
        shards.iter_mut().for_each(Greed::end);
        assert!(shards.iter().all(|shard| !shard.marks.has(greedy)));
    }
}
