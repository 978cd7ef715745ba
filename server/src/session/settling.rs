//! What is awaited off the shard on behalf of a connection, and settled on it.
//!
//! Invariant: each future has one outcome on the shard, whatever becomes of it, unless the
//! connection has gone. Called by those that check and ask elsewhere (`auth`).

use crate::session::context::Context;
use crate::session::handle::{Handle, ShardTask};
use crate::wire::connection_id::ConnectionId;
use std::future::Future;

/// What is done with an outcome, on the shard.
type Settle<T> = Box<dyn FnOnce(&mut Context<'_>, T) + Send>;

impl Context<'_> {
    /// Awaits a future on the runtime, and calls `then` with what came of it, after this call, if
    /// the connection is still there. `dropped` came of it if the future does not end: it panics,
    /// or the runtime ends, which drops it at once.
    pub(crate) fn settle_later<T: Send + 'static>(
        &mut self,
        future: impl Future<Output = T> + Send + 'static,
        dropped: T,
        then: impl FnOnce(&mut Context<'_>, T) + Send + 'static,
    ) {
        let guard = SettleGuard {
            handle: self.handle(),
            connection: self.connection(),
            pending: Some((dropped, Box::new(then))),
        };
        let run = async move { guard.end(future.await) };
        drop(self.shared.runtime.spawn(run));
    }
}

/// Goes with a future, and posts its outcome to the shard when it is dropped, however that comes
/// about.
struct SettleGuard<T: Send + 'static> {
    handle: Handle,
    connection: ConnectionId,
    /// The outcome as it is by now.
    pending: Option<(T, Settle<T>)>,
}

impl<T: Send + 'static> SettleGuard<T> {
    fn end(mut self, outcome: T) {
        if let Some(pending) = &mut self.pending {
            pending.0 = outcome;
        }
    }
}

impl<T: Send + 'static> Drop for SettleGuard<T> {
    fn drop(&mut self) {
        if let Some((outcome, then)) = self.pending.take() {
            let task = ShardTask(Box::new(move |cx| then(cx, outcome)));
            self.handle.post_later(self.connection, task);
        }
    }
}
