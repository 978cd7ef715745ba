//! The connection at hand, for a handler that runs in the background: everything that it does there
//! travels to the connection's shard.

use crate::session::context::Context;
use crate::session::handle::Handle;
use crate::session::identity::Identity;
use crate::traces::tracer::TraceContext;
use crate::wire::connection_id::ConnectionId;
use crate::wire::failure::{Failure, Gone};
use shardcast_engine::Peer;
use shardcast_engine::protocol::close::CloseCode;
use shardcast_protocol::dialect::Dialect;
use std::sync::Arc;

/// A connection, seen from the background: what was true of it when the request came. Its shard
/// knows what is true now.
#[derive(Clone, Debug)]
pub struct Background {
    pub(crate) handle: Handle,
    pub(crate) connection: ConnectionId,
    pub(crate) identity: Identity,
    pub(crate) dialect: Dialect,
    pub(crate) remote_address: Peer,
    pub(crate) kind: Arc<str>,
    pub(crate) span: tracing::Span,
    /// The trace that the request belongs to.
    pub(crate) trace: Option<TraceContext>,
}

impl Context<'_> {
    /// The connection for a future that works on its request of this type and number.
    pub(crate) fn background(&self, kind: Arc<str>, serial: u64) -> Background {
        let connection = self.connection();
        Background {
            handle: self.handle(),
            connection,
            identity: self.identity().clone(),
            dialect: self.dialect(),
            remote_address: self.remote_address(),
            span: tracing::debug_span!("request", %connection, request = serial, kind = &*kind),
            trace: self.asked_trace(),
            kind,
        }
    }
}

impl Background {
    /// The connection.
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// The identity of the connection when the request came.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The user's name, if the connection had one then.
    pub fn user(&self) -> Option<&str> {
        self.identity.name()
    }

    /// The client's address.
    pub fn remote_address(&self) -> Peer {
        self.remote_address
    }

    /// The dialect of the connection.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The type of the request (JSON-RPC: the method).
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The span of this request, with the ids of connection and request: the handler runs in it.
    pub fn span(&self) -> &tracing::Span {
        &self.span
    }

    /// The server.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Calls `act` on the connection's shard: for its metadata, and for everything else that has no
    /// method here.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn on_shard<R: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Context<'_>) -> R + Send + 'static,
    ) -> Result<R, Gone> {
        self.handle.on(self.connection, act).await
    }

    /// Replaces (or clears) the connection's identity: [`Context::identify`].
    ///
    /// # Errors
    /// [`Gone`], or `rate_limited`.
    pub async fn identify(&self, identity: Identity) -> Result<(), Failure> {
        self.on_shard(|cx| cx.identify(identity)).await?
    }

    /// Closes the connection: what was sent before leaves first.
    ///
    /// # Errors
    /// The connection is gone already.
    pub async fn disconnect(&self, code: CloseCode, reason: &str) -> Result<(), Gone> {
        self.handle.disconnect(self.connection, code, reason).await
    }
}
