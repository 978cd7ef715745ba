//! Asking all shards on behalf of another thread: the shard that is asked passes the query on, and
//! gathers the parts of the answer.

use crate::message::lane::Mailbox;
use crate::message::request::ShardRequest;
use crate::query::gather::{Part, Queries, Requester};
use crate::query::page::{Found, Query};
use crate::types::answer::Reply;
use std::sync::Arc;

impl Queries {
    /// Another thread asks. There is a place for the reply.
    pub(crate) fn ask(&mut self, mailbox: &mut Mailbox, query: Query, reply: Reply) {
        let requester = Requester::Outside(reply);
        let key = self.open(mailbox.shard(), requester, nothing(&query));
        let query = Arc::new(query);
        for shard in 0..mailbox.shards() as u16 {
            let query = query.clone();
            mailbox.request(shard, ShardRequest::Query { key, query });
        }
    }
}

/// What it is if nobody has anything to add.
fn nothing(query: &Query) -> Part {
    match query {
        Query::Connections { limit, .. } => Part::Connections(Found::none(*limit)),
        Query::Topics { limit, .. } => Part::Topics(Found::none(*limit)),
    }
}
