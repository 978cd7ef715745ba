//! What all shards have, a page at a time, and something that is done with many connections: those
//! that are open at this moment, whatever their shards.
//!
//! Invariant: at most a page of connections is under way, so a walk over all takes the room of one.
//! Whoever opens meanwhile may be missed. Called by the admin port and by revocations.

use crate::session::context::Context;
use crate::session::handle::{Handle, ShardTask};
use crate::session::question::ask;
use crate::wire::connection_id::ConnectionId;
use shardcast_engine::{
    Address, Answer, Found, FoundConnection, FoundTopic, Query, Refused, TopicDetail, TopicName,
};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

impl Handle {
    /// Calls `act` on the shard of each connection that fits, of all or of the members of a topic,
    /// and returns for how many it was true.
    ///
    /// # Errors
    /// The server stops: some were not reached.
    pub(crate) async fn on_each<A>(
        &self,
        of: Option<TopicName>,
        fits: impl Fn(&FoundConnection) -> bool,
        act: A,
    ) -> Result<usize, Refused>
    where
        A: FnOnce(&mut Context<'_>) -> bool + Clone + Send + 'static,
    {
        let (mut after, mut done) = (None, 0);
        loop {
            let page = self.page_of_connections(of.clone(), after, Query::ITEMS_MAX);
            let page = page.await?;
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

    /// A page of connections: of all, or of the members of a topic.
    ///
    /// # Errors
    /// The server stops.
    pub(crate) async fn page_of_connections(
        &self,
        of: Option<TopicName>,
        after: Option<Address>,
        limit: usize,
    ) -> Result<Found<FoundConnection>, Refused> {
        let query = match of {
            None => Query::Connections { after, limit },
            Some(topic) => Query::Members {
                topic,
                after,
                limit,
            },
        };
        match ask(&self.shared, query).await? {
            Answer::Connections(found) => Ok(found),
            _ => Err(Refused::Stopped),
        }
    }

    /// A page of topics with members.
    ///
    /// # Errors
    /// The server stops.
    pub(crate) async fn page_of_topics(
        &self,
        after: Option<TopicName>,
        limit: usize,
    ) -> Result<Found<FoundTopic>, Refused> {
        match ask(&self.shared, Query::Topics { after, limit }).await? {
            Answer::Topics(found) => Ok(found),
            _ => Err(Refused::Stopped),
        }
    }

    /// What the home of a topic knows of its members.
    ///
    /// # Errors
    /// The server stops.
    pub(crate) async fn topic_at_home(&self, topic: TopicName) -> Result<TopicDetail, Refused> {
        match ask(&self.shared, Query::Topic { topic }).await? {
            Answer::Topic(found) => Ok(*found),
            _ => Err(Refused::Stopped),
        }
    }
}

impl Handle {
    /// Asks all shards once a second, and times that. Ends with the server.
    pub(crate) async fn time_hops(self) {
        const EVERY: Duration = Duration::from_secs(1);
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let begun = Instant::now();
            if self.page_of_connections(None, None, 1).await.is_err() {
                return;
            }
            self.shared.latencies.hop.record(begun.elapsed());
        }
    }
}
