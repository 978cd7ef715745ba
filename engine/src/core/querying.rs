//! This shard's part of the answers to other threads: its open connections, and the topics that it
//! orders.

use super::Core;
use crate::connection::phase::Phase;
use crate::query::gather::{Outcome, Part, QueryKey};
use crate::query::page::{Found, FoundConnection, FoundTopic, Query, place};
use crate::topic::key::TopicName;
use crate::types::ticket::Address;

impl Core {
    /// This shard's part of the answer goes to the shard that was asked.
    pub(crate) fn answer_query(&mut self, key: QueryKey, query: &Query) {
        let part = match query {
            Query::Connections { after, limit } => {
                Part::Connections(self.find_connections(*after, *limit))
            }
            Query::Topics { after, limit } => {
                Part::Topics(self.find_topics(after.as_ref(), *limit))
            }
        };
        let parcels = self.mail.shards() as u16;
        self.mail.enqueue_outcome(Outcome { key, parcels, part });
    }

    fn find_connections(&self, after: Option<Address>, limit: usize) -> Found<FoundConnection> {
        let behind = |address: &Address| after.is_none_or(|after| place(*address) > place(after));
        let open = self.connections.in_phase(Phase::Open);
        let open = open.map(|ticket| self.address(ticket)).filter(behind);
        // They come in order: one more tells whether there are more.
        let found = open.take(limit + 1).map(|address| FoundConnection {
            address,
            peer: self.connections.peer(address.ticket.slot),
            user: self.user(address.ticket),
        });
        Found::first(found, limit)
    }

    fn find_topics(&self, after: Option<&TopicName>, limit: usize) -> Found<FoundTopic> {
        let topics = self.topics.homes.iter();
        let topics = topics.map(|(topic, _, members)| FoundTopic { topic, members });
        let behind = |found: &FoundTopic| after.is_none_or(|after| found.topic > *after);
        Found::first(topics.filter(behind), limit)
    }
}
