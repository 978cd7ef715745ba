//! Requests that wait until the log of their topic is there, which another one brings
//! ([`crate::LogOrder::Sequencer`]).
//!
//! Invariant: requests of one connection about one topic keep their order: a leave waits behind its
//! join. Requests that wait no more are served before any other. Used by `topic/sequencing.rs`.

use crate::message::request::ShardRequest;
use crate::topic::key::TopicKey;
use crate::topic::sequencer::Sequencer;
use crate::types::ticket::Address;
use foldhash::quality::RandomState;
use std::collections::{HashMap, HashSet, VecDeque};

/// What topics that are ordered elsewhere take.
#[derive(Debug, Default)]
pub(crate) struct Sequencing {
    /// `None`: there is no such topic.
    pub(crate) sequencer: Option<Sequencer>,
    pub(crate) held: Held,
}

/// The requests of one shard, as home.
#[derive(Debug, Default)]
pub(crate) struct Held {
    topics: HashMap<TopicKey, HeldTopic, RandomState>,
    released: VecDeque<(ShardRequest, EndOfWait)>,
}

#[derive(Debug, Default)]
struct HeldTopic {
    requests: Vec<ShardRequest>,
    /// Whose joins are among them.
    joiners: HashSet<Address, RandomState>,
}

/// How a request that has waited is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndOfWait {
    /// As any other.
    Go,
    /// There is no log to answer it from.
    Refuse,
}

impl Held {
    /// Requests that wait for one topic; one more is refused.
    pub(crate) const OF_TOPIC_MAX: usize = 65_536;

    /// Whether somebody waits for this topic's log.
    pub(crate) fn has(&self, topic: &TopicKey) -> bool {
        self.topics.contains_key(topic)
    }

    /// Whether a join of this connection waits.
    pub(crate) fn has_join(&self, topic: &TopicKey, who: Address) -> bool {
        let held = self.topics.get(topic);
        held.is_some_and(|held| held.joiners.contains(&who))
    }

    /// Whether as many wait for the topic as may.
    pub(crate) fn is_full(&self, topic: &TopicKey) -> bool {
        let held = self.topics.get(topic);
        held.is_some_and(|held| held.requests.len() >= Self::OF_TOPIC_MAX)
    }

    /// A request waits.
    pub(crate) fn push(&mut self, topic: &TopicKey, request: ShardRequest) {
        let held = self.topics.entry(topic.clone()).or_default();
        if let ShardRequest::Join(join) = &request {
            held.joiners.insert(join.who);
        }
        held.requests.push(request);
    }

    /// Nobody waits for this topic any more.
    pub(crate) fn release(&mut self, topic: &TopicKey, how: EndOfWait) {
        if let Some(held) = self.topics.remove(topic) {
            let requests = held.requests.into_iter();
            self.released.extend(requests.map(|request| (request, how)));
        }
    }

    /// Whether some wait no more and were not served yet.
    pub(crate) fn has_released(&self) -> bool {
        !self.released.is_empty()
    }

    /// The next of those.
    pub(crate) fn pop_released(&mut self) -> Option<(ShardRequest, EndOfWait)> {
        let next = self.released.pop_front();
        if self.released.is_empty() {
            self.released = VecDeque::new();
        }
        next
    }

    /// A shard has begun anew: what it asked for before means nothing to it, and a join of a
    /// connection that is gone would count for ever.
    pub(crate) fn lose_shard(&mut self, shard: u16) {
        let stays = |request: &ShardRequest| shard_of(request) != Some(shard);
        for held in self.topics.values_mut() {
            held.requests.retain(stays);
            held.joiners.retain(|who| who.shard != shard);
        }
        self.topics.retain(|_, held| !held.requests.is_empty());
        self.released.retain(|(request, _)| stays(request));
    }
}

/// The shard of whoever asks, of requests that wait.
fn shard_of(request: &ShardRequest) -> Option<u16> {
    match request {
        ShardRequest::Join(join) => Some(join.who.shard),
        ShardRequest::Leave { who, .. }
        | ShardRequest::LeaveAll { who, .. }
        | ShardRequest::RefusalAcked { who, .. } => Some(who.shard),
        ShardRequest::History { key, .. } => Some(key.shard),
        _ => None,
    }
}
