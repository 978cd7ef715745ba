//! Questions of other threads to all shards: passed on by the shard that is asked, answered by each
//! with its part.

use super::Core;
use crate::connection::phase::Phase;
use crate::message::request::ShardRequest;
use crate::query::gather::{Outcome, Part, ReportKey, Requester};
use crate::query::page::{Found, FoundConnection, FoundTopic, Query, place};
use crate::topic::key::TopicName;
use crate::types::answer::Reply;
use crate::types::ticket::Address;
use std::sync::Arc;

impl Core {
    /// Another thread asks. There is a place for the reply.
    pub(crate) fn query_from_outside(&mut self, query: Query, reply: Reply) {
        let shard = self.mail.shard();
        let requester = Requester::Outside(reply);
        let key = self.reports.open(shard, requester, nothing(&query));
        let query = Arc::new(query);
        for shard in 0..self.mail.shards() as u16 {
            let query = query.clone();
            self.mail.request(shard, ShardRequest::Query { key, query });
        }
    }

    /// This shard's part of the answer goes to the shard that was asked.
    pub(crate) fn answer_query(&mut self, key: ReportKey, query: &Query) {
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

/// What it is if nobody has anything to add.
fn nothing(query: &Query) -> Part {
    match query {
        Query::Connections { limit, .. } => Part::Connections(Found::none(*limit)),
        Query::Topics { limit, .. } => Part::Topics(Found::none(*limit)),
    }
}
