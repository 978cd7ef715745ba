//! The way to a running server from other threads: a timer, a task, a web application in the same
//! process. What a handle does with rooms stands in `rooms`, with methods of clients in
//! `call_client`.

use crate::session::context::Context;
use crate::session::counts::SessionCounts;
use crate::session::retry::{self, Queue, place_in};
use crate::session::shared::Shared;
use crate::wire::connection_id::ConnectionId;
use crate::wire::failure::Gone;
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::{Notice, Refused};
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A running server, from any thread. Clones are the same server.
///
/// Methods that are `async` run on any executor: where a shard's queue of commands is full, they
/// wait until it has a place. A call that is under way when the server stops ends with an error.
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

/// What another thread has a connection's shard do.
pub(crate) struct ShardTask(pub(crate) Box<dyn FnOnce(&mut Context<'_>) + Send>);

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Handle {
        Handle { shared }
    }

    /// Calls `act` on the connection's shard, between two of its messages, and waits for what it
    /// returns. It must not block.
    ///
    /// # Errors
    /// The connection is gone, or `act` panicked.
    pub async fn on<R: Send + 'static>(
        &self,
        connection: ConnectionId,
        act: impl FnOnce(&mut Context<'_>) -> R + Send + 'static,
    ) -> Result<R, Gone> {
        let (sender, answer) = oneshot::channel();
        let task = ShardTask(Box::new(move |cx| {
            let _ = sender.send(act(cx));
        }));
        self.post(connection, task).await?;
        answer.await.map_err(|_| Gone)
    }

    /// Posts a task to a shard, however long its queue is full.
    pub(crate) async fn post(&self, connection: ConnectionId, task: ShardTask) -> Result<(), Gone> {
        let mut notice: Notice = Box::new(task);
        loop {
            notice = match self.try_post(connection, notice) {
                Ok(()) => return Ok(()),
                Err((Refused::Stopped | Refused::Memory, _)) => return Err(Gone),
                Err((Refused::Busy, notice)) => notice,
            };
            place_in(&self.shared, Queue::Of(connection.0)).await;
        }
    }

    /// Posts a notice to a shard, or gives it back.
    pub(crate) fn try_post(
        &self,
        connection: ConnectionId,
        notice: Notice,
    ) -> Result<(), (Refused, Notice)> {
        match self.shared.engine() {
            Ok(engine) => engine.notify(connection.0, notice),
            Err(refused) => Err((refused, notice)),
        }
    }

    /// Posts a notice to a shard and returns at once, however long the shard's queue is full. The
    /// notice is dropped when the server stops.
    pub(crate) fn post_later(&self, connection: ConnectionId, notice: impl Any + Send) {
        retry::post(&self.shared, connection.0, Box::new(notice));
    }

    /// What is counted of sessions that outlive their connections, over all shards.
    pub fn session_counts(&self) -> Arc<SessionCounts> {
        self.shared.sessions.counts.clone()
    }

    /// Closes a connection: what was sent before leaves first.
    ///
    /// # Errors
    /// The connection is gone already.
    pub async fn disconnect(
        &self,
        connection: ConnectionId,
        code: CloseCode,
        reason: &str,
    ) -> Result<(), Gone> {
        let reason = reason.to_owned();
        self.on(connection, move |cx| cx.disconnect(code, &reason))
            .await
    }
}

impl Context<'_> {
    /// A way to the server that outlives this call and goes to other threads.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(self.shared))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
