//! What other threads ask of all shards: which connections and topics there are, a page at a time,
//! and of the home of one topic.
//!
//! The shard that is asked passes the question to all shards and puts their parts together
//! ([`crate::query::gather`]). Each part is what its shard has at the moment at which it answers,
//! so a page is no picture of one moment; paging on, what stays is seen exactly once. A shard looks
//! at each of its slots, topics, or members of a topic, and keeps no more than a page of them.

use crate::connection::peer::Peer;
use crate::topic::key::TopicName;
use crate::types::encoding::EncodingId;
use crate::types::ticket::Address;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// A question to all shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Open connections, in the order of their addresses: answered with
    /// [`crate::Answer::Connections`].
    Connections {
        /// Those behind this one; it need not exist any more.
        after: Option<Address>,
        /// At most so many, 1 to [`Query::ITEMS_MAX`].
        limit: usize,
    },
    /// Open connections that are members of a topic, in the order of their addresses: answered with
    /// [`crate::Answer::Connections`].
    Members {
        /// Whose members.
        topic: TopicName,
        /// Those behind this one; it need not be a member any more.
        after: Option<Address>,
        /// At most so many, 1 to [`Query::ITEMS_MAX`].
        limit: usize,
    },
    /// Topics with members, in the order of their names, rooms first: answered with
    /// [`crate::Answer::Topics`].
    Topics {
        /// Those behind this one; it need not have members any more.
        after: Option<TopicName>,
        /// At most so many, 1 to [`Query::ITEMS_MAX`].
        limit: usize,
    },
    /// One topic: its home answers with [`crate::Answer::Topic`].
    Topic {
        /// Which; it need not have members.
        topic: TopicName,
    },
}

impl Query {
    /// Most items of a page.
    pub const ITEMS_MAX: usize = 1_000;

    /// Items of the page.
    pub(crate) fn limit(&self) -> usize {
        match self {
            Query::Connections { limit, .. }
            | Query::Members { limit, .. }
            | Query::Topics { limit, .. } => *limit,
            Query::Topic { .. } => 1,
        }
    }
}

/// A page of what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// In order.
    pub items: Vec<T>,
    /// There are others behind the last item.
    pub more: bool,
    limit: usize,
}

/// An open connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundConnection {
    /// Which.
    pub address: Address,
    /// Where it comes from.
    pub peer: Peer,
    /// The user whose connection it is; `None`: nobody's.
    pub user: Option<Arc<str>>,
    /// Bytes in its outbox: what it has not taken yet.
    pub waiting_bytes: usize,
}

/// A topic with members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundTopic {
    /// Which.
    pub topic: TopicName,
    /// On all shards.
    pub members: u32,
}

/// One topic, as its home knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDetail {
    /// Which.
    pub topic: TopicName,
    /// On all shards.
    pub members: u32,
    /// The same by encoding and shard, in this order. None for a topic without members.
    pub parts: Vec<TopicPart>,
}

/// A topic's members of one encoding on one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicPart {
    /// The shard.
    pub shard: u16,
    /// The encoding.
    pub encoding: EncodingId,
    /// At least one.
    pub members: u32,
}

impl Ord for FoundConnection {
    fn cmp(&self, other: &Self) -> Ordering {
        place(self.address).cmp(&place(other.address))
    }
}

impl PartialOrd for FoundConnection {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FoundTopic {
    fn cmp(&self, other: &Self) -> Ordering {
        self.topic.cmp(&other.topic)
    }
}

impl PartialOrd for FoundTopic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where a connection stands among all. A slot that was used again is behind its place, too.
pub(crate) fn place(address: Address) -> (u16, u32) {
    (address.shard, address.ticket.slot)
}

impl<T: Ord> Found<T> {
    pub(crate) fn none(limit: usize) -> Found<T> {
        Found {
            items: Vec::new(),
            more: false,
            limit,
        }
    }

    /// The first of these, in order; holds no more than those.
    pub(crate) fn first(items: impl Iterator<Item = T>, limit: usize) -> Found<T> {
        let (mut first, mut more) = (BinaryHeap::new(), false);
        for item in items {
            first.push(item);
            if first.len() > limit {
                // The last of them.
                first.pop();
                more = true;
            }
        }
        Found {
            items: first.into_sorted_vec(),
            more,
            limit,
        }
    }

    /// The first of these, in order of what `key` has of them.
    pub(crate) fn select<C, K: Ord>(
        mut candidates: Vec<C>,
        limit: usize,
        key: impl Fn(&C) -> K,
        make: impl FnMut(C) -> T,
    ) -> Found<T> {
        let more = candidates.len() > limit;
        if more {
            candidates.select_nth_unstable_by(limit, |one, other| key(one).cmp(&key(other)));
            candidates.truncate(limit);
        }
        let mut items: Vec<T> = candidates.into_iter().map(make).collect();
        items.sort_unstable();
        Found { items, more, limit }
    }

    /// Puts another shard's part in: the first of both.
    pub fn add(&mut self, part: Found<T>) {
        self.items.extend(part.items);
        self.items.sort_unstable();
        self.more |= part.more || self.items.len() > self.limit;
        self.items.truncate(self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_the_first_of_all_parts_and_says_whether_there_are_more() {
        // What the parts have, the limit, the page, and whether there are more.
        type Case<'a> = (&'a [&'a [u32]], usize, &'a [u32], bool);
        let cases: [Case<'_>; 6] = [
            (&[&[], &[]], 3, &[], false),
            (&[&[5, 1], &[]], 3, &[1, 5], false),
            (&[&[5, 1], &[3]], 3, &[1, 3, 5], false),
            (&[&[5, 1], &[3, 9]], 3, &[1, 3, 5], true),
            (&[&[], &[4, 3, 2, 1]], 3, &[1, 2, 3], true),
            (&[&[7], &[8], &[6]], 1, &[6], true),
        ];
        for (parts, limit, page, more) in cases {
            let mut found = Found::none(limit);
            for part in parts {
                found.add(Found::first(part.iter().copied(), limit));
            }
            assert_eq!((&*found.items, found.more), (page, more), "{parts:?}");
        }
    }
}
