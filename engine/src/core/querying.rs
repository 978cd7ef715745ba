//! This shard's part of the answers to other threads: its open connections, and the topics that it
//! orders.

use super::Core;
use crate::connection::phase::Phase;
use crate::query::gather::{Outcome, Part, QueryKey};
use crate::query::page::{
    Found, FoundConnection, FoundTopic, Query, TopicDetail, TopicPart, place,
};
use crate::topic::home::Interest;
use crate::topic::key::TopicName;
use crate::types::ticket::Address;

impl Core {
    /// This shard's part of the answer goes to the shard that was asked.
    pub(crate) fn answer_query(&mut self, key: QueryKey, query: &Query) {
        let (part, parcels) = match query {
            Query::Connections { after, limit } => {
                let found = self.find_connections(*after, *limit);
                (Part::Connections(found), self.mail.shards() as u16)
            }
            Query::Topics { after, limit } => {
                let found = self.find_topics(after.as_ref(), *limit);
                (Part::Topics(found), self.mail.shards() as u16)
            }
            Query::Topic { topic } => (Part::Topic(Box::new(self.find_topic(topic))), 1),
        };
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

    fn find_topic(&self, topic: &TopicName) -> TopicDetail {
        let homes = &self.topics.homes;
        let part = |pair: &Interest| TopicPart {
            shard: pair.shard,
            encoding: pair.encoding,
            members: pair.members,
        };
        TopicDetail {
            topic: topic.clone(),
            members: homes.members(topic.topic()),
            parts: homes.interest(topic.topic()).iter().map(part).collect(),
        }
    }
}
