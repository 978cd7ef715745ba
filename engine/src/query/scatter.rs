//! Asking shards on behalf of another thread, all of them or the home of one topic: the shard that
//! is asked passes the query on, and gathers the parts of the answer.

use crate::message::lane::Mailbox;
use crate::message::request::ShardRequest;
use crate::query::gather::{Part, Queries, Requester};
use crate::query::page::{Found, Query, TopicDetail};
use crate::types::answer::Reply;
use std::sync::Arc;

impl Queries {
    /// Another thread asks. There is a place for the reply.
    pub(crate) fn ask(&mut self, mailbox: &mut Mailbox, query: Query, reply: Reply) {
        let requester = Requester::Outside(reply);
        let key = self.open(mailbox.shard(), requester, nothing(&query));
        let shards = match &query {
            Query::Connections { .. } | Query::Members { .. } | Query::Topics { .. } => {
                0..mailbox.shards() as u16
            }
            Query::Topic { topic } => {
                let home = mailbox.home(Some(topic.topic()));
                home..home + 1
            }
        };
        let query = Arc::new(query);
        for shard in shards {
            let query = query.clone();
            mailbox.request(shard, ShardRequest::Query { key, query });
        }
    }
}

/// What it is if nobody has anything to add.
fn nothing(query: &Query) -> Part {
    match query {
        Query::Connections { limit, .. } | Query::Members { limit, .. } => {
            Part::Connections(Found::none(*limit))
        }
        Query::Topics { limit, .. } => Part::Topics(Found::none(*limit)),
        Query::Topic { topic } => Part::Topic(Box::new(TopicDetail {
            topic: topic.clone(),
            members: 0,
            parts: Vec::new(),
        })),
    }
}
