//! Something that is done with many connections: those that are open at this moment, a page at a
//! time, whatever their shards.
//!
//! Invariant: at most a page of connections is under way, so a walk over all takes the room of one.
//! Whoever opens meanwhile may be missed. Called by the admin port and by revocations.

use crate::session::context::Context;
use crate::session::handle::{Handle, ShardTask};
use crate::session::retry::{Queue, place_in};
use crate::wire::connection_id::ConnectionId;
use shardcast_engine::{Answer, Found, FoundConnection, Query, QueryError, Refused};
use tokio::sync::oneshot;

impl Handle {
    /// Calls `act` on the shard of each connection that fits, and returns for how many it was true.
    ///
    /// # Errors
    /// The server stops: some were not reached.
    pub(crate) async fn on_each<A>(
        &self,
        fits: impl Fn(&FoundConnection) -> bool,
        act: A,
    ) -> Result<usize, Refused>
    where
        A: FnOnce(&mut Context<'_>) -> bool + Clone + Send + 'static,
    {
        let (mut after, mut done) = (None, 0);
        loop {
            let page = self.page_of_connections(after).await?;
            let mut under_way = Vec::new();
            for found in page.items.iter().filter(|found| fits(found)) {
                let (act, (sender, outcome)) = (act.clone(), oneshot::channel());
                let task = ShardTask(Box::new(move |cx| {
                    let _nobody_waits = sender.send(act(cx));
                }));
                if self.post(ConnectionId(found.address), task).await.is_ok() {
                    under_way.push(outcome);
                }
            }
            for outcome in under_way {
                done += usize::from(outcome.await.unwrap_or(false));
            }
            match page.items.last().filter(|_| page.more) {
                Some(last) => after = Some(last.address),
                None => return Ok(done),
            }
        }
    }

    async fn page_of_connections(
        &self,
        after: Option<shardcast_engine::Address>,
    ) -> Result<Found<FoundConnection>, Refused> {
        loop {
            let query = Query::Connections {
                after,
                limit: Query::ITEMS_MAX,
            };
            let (sender, answer) = oneshot::channel();
            let reply = Box::new(move |answer: Answer| {
                let _nobody_waits = sender.send(answer);
            });
            let asked = self.shared.engine().map_err(QueryError::from);
            match asked.and_then(|engine| engine.query(query, reply)) {
                Ok(()) => match answer.await {
                    Ok(Answer::Connections(found)) => return Ok(found),
                    Ok(_) | Err(_) => return Err(Refused::Stopped),
                },
                Err(QueryError::Refused(Refused::Busy)) => place_in(&self.shared, Queue::Any).await,
                Err(_) => return Err(Refused::Stopped),
            }
        }
    }
}
