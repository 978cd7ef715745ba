//! What one shard has of its own, without handlers and hooks: numbers to give out, permits, a
//! buffer. Each call on the shard borrows it.

use crate::limits::limiter::ShardLimiter;
use crate::session::permits::{HeldBytes, Permits};
use crate::session::shared::Shared;
use crate::session::waiting::WaitingSessions;
use shardcast_engine::Tag;

/// One shard's own.
#[derive(Debug)]
pub(crate) struct ShardState {
    pub(crate) shard: u16,
    /// The next request's first tag. Counts on over all connections of the shard, so that an answer
    /// to a request given up halfway finds nobody.
    next_tag: u32,
    /// Numbers tasks, batches and calls of clients.
    next_serial: u64,
    /// For background handlers under way.
    pub(crate) tasks: Permits,
    /// For connections whose commands wait for the first one.
    pub(crate) held: Permits,
    /// For keys of maps that are to be given up, and that the engine was too busy to take.
    pub(crate) given_up_later: Permits,
    /// Of messages that wait to be decided about.
    pub(crate) held_bytes: HeldBytes,
    /// Where answers are written before they leave.
    scratch: Vec<u8>,
    pub(crate) random: fastrand::Rng,
    /// `None`: nothing is limited.
    pub(crate) limiter: Option<Box<ShardLimiter>>,
    /// Sessions whose connections are gone.
    pub(crate) waiting: WaitingSessions,
}

impl ShardState {
    /// Capacity of the scratch that is kept.
    const SCRATCH_BYTES_KEPT: usize = 64 << 10;

    pub(crate) fn new(shared: &Shared, shard: u16, limiter: Option<ShardLimiter>) -> ShardState {
        let rules = &shared.sessions;
        let mut waiting = WaitingSessions::new(rules.limits, rules.counts.clone());
        if let Some(shelf) = rules.shelf.get().filter(|_| rules.resume_ms.is_some()) {
            waiting.outlive(shelf.clone(), shard, rules.shards, rules.counts.clone());
        }
        ShardState {
            shard,
            next_tag: 0,
            next_serial: 0,
            tasks: Permits::default(),
            held: Permits::default(),
            given_up_later: Permits::default(),
            held_bytes: HeldBytes::default(),
            scratch: Vec::new(),
            random: fastrand::Rng::new(),
            limiter: limiter.map(Box::new),
            waiting,
        }
    }

    /// As many consecutive tags, of which the first is returned.
    pub(crate) fn take_tags(&mut self, count: u32) -> Tag {
        let first = self.next_tag;
        self.next_tag = first.wrapping_add(count);
        Tag(first)
    }

    /// A number that no other task, batch or call of a client has or had on the shard.
    pub(crate) fn take_serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }

    /// Keeps no scratch, and no places of sessions that went on.
    pub(crate) fn release_memory(&mut self) {
        self.waiting.release_memory();
        self.scratch = Vec::new();
    }

    /// An empty buffer, to be put back.
    pub(crate) fn take_scratch(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.scratch)
    }

    pub(crate) fn put_scratch_back(&mut self, mut scratch: Vec<u8>) {
        if scratch.capacity() <= Self::SCRATCH_BYTES_KEPT {
            scratch.clear();
            self.scratch = scratch;
        }
    }
}
