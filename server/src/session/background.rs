//! The connection at hand, for a handler that runs in the background: everything it does there travels to the connection's shard.

use crate::rooms::emit::Emit;
use crate::session::context::Context;
use crate::session::handle::{Gone, Handle};
use crate::session::identity::Identity;
use crate::session::reverse::CallError;
use crate::wire::connection_id::ConnectionId;
use crate::wire::failure::Failure;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::{Listing, Peer};
use shardcast_protocol::dialect::Dialect;
use std::sync::Arc;
use std::time::Duration;

/// A connection, seen from the background. What it was when the request came stands here; what it is now, its shard knows.
#[derive(Clone, Debug)]
pub struct Background {
    pub(crate) handle: Handle,
    pub(crate) connection: ConnectionId,
    pub(crate) identity: Identity,
    pub(crate) dialect: Dialect,
    pub(crate) remote_address: Peer,
    pub(crate) span: tracing::Span,
}

impl Background {
    /// The connection.
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Who it was when it asked.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The user's name, if it was one.
    pub fn user(&self) -> Option<&str> {
        self.identity.name()
    }

    /// The client's address.
    pub fn remote_address(&self) -> Peer {
        self.remote_address
    }

    /// What it speaks.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The span of this request, with the ids of connection and request: the handler runs in it.
    pub fn span(&self) -> &tracing::Span {
        &self.span
    }

    /// The server.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Calls `act` on the connection's shard: for its metadata, and for whatever else has no method here.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn on_shard<R: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Context<'_>) -> R + Send + 'static,
    ) -> Result<R, Gone> {
        self.handle.on(self.connection, act).await
    }

    /// To the members of a room.
    pub fn to<'e>(&self, room: &'e str) -> Emit<'e, Handle> {
        self.handle.to(room)
    }

    /// To the members of several rooms; who is in two of them gets it twice.
    pub fn to_many<'e>(&self, rooms: &'e [&'e str]) -> Emit<'e, Handle> {
        self.handle.to_many(rooms)
    }

    /// To all connections of a user.
    pub fn to_user<'e>(&self, user: &'e str) -> Emit<'e, Handle> {
        self.handle.to_user(user)
    }

    /// To all connections of the server.
    pub fn everyone(&self) -> Emit<'static, Handle> {
        self.handle.everyone()
    }

    /// Joins a room, and waits until the connection is a member. The members then.
    ///
    /// # Errors
    /// [`Gone`], or a problem of the name or the limits.
    pub async fn join(&self, room: &str) -> Result<u32, Failure> {
        let joined = self.join_many(&[room]).await?;
        Ok(joined.first().map_or(0, |(_, members)| *members))
    }

    /// Joins several rooms, all or none, and waits until the connection is a member of all. The members of each then.
    ///
    /// # Errors
    /// [`Gone`], or a problem of the names or the limits.
    pub async fn join_many(&self, rooms: &[&str]) -> Result<Vec<(Arc<str>, u32)>, Failure> {
        self.handle.join(self.connection, rooms).await
    }

    /// Leaves a room, and waits until the connection is no member.
    ///
    /// # Errors
    /// [`Gone`], or `not_joined`.
    pub async fn leave(&self, room: &str) -> Result<(), Failure> {
        self.handle.leave(self.connection, &[room]).await
    }

    /// The rooms that the connection is in, or on its way into, sorted.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn rooms(&self) -> Result<Vec<Arc<str>>, Gone> {
        self.on_shard(|cx| cx.rooms()).await
    }

    /// Who is in a room: [`Handle::members`].
    ///
    /// # Errors
    /// A problem of the name, or `unavailable`.
    pub async fn members(&self, room: &str) -> Result<Listing, Failure> {
        self.handle.members(room).await
    }

    /// From here on the connection is somebody else: [`Context::identify`].
    ///
    /// # Errors
    /// [`Gone`], or `rate_limited`.
    pub async fn identify(&self, identity: Identity) -> Result<(), Failure> {
        self.on_shard(|cx| cx.identify(identity)).await?
    }

    /// Calls a method of the client, if it speaks JSON-RPC, and waits for its answer.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<R: DeserializeOwned>(
        &self,
        method: &str,
        params: &impl Serialize,
        within: Duration,
    ) -> Result<R, CallError> {
        self.handle
            .call(self.connection, method, params, within)
            .await
    }

    /// Closes the connection: what was sent before leaves first.
    ///
    /// # Errors
    /// It is gone already.
    pub async fn disconnect(&self, code: CloseCode, reason: &str) -> Result<(), Gone> {
        self.handle.disconnect(self.connection, code, reason).await
    }
}
