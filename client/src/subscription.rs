//! What a subscription is to its user: a stream of items, or a handler that hears them.
//!
//! Invariant: it hears nothing before its `Joined`, and nothing after its end; dropping it ends it,
//! and the room is left with its last. Made by the client and the pool.

use crate::error::{BoxError, Error};
use crate::message::{Item, Joined, Position};
use crate::room::{Ear, Handler, Wishes};
use crate::sink::{BufferOptions, Sink};
use crate::token::TokenProvider;
use serde::Serialize;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// How a room is heard.
#[derive(Clone, Debug, Default)]
pub struct SubscribeOptions {
    /// What may wait to be read.
    pub buffer: BufferOptions,
    /// What of the room the caller has already: the room is asked for what came since.
    pub since: Option<Position>,
    /// What the other members are shown, in rooms with `presence_events`: at most 1 KiB as JSON.
    pub presence: Option<serde_json::Value>,
    /// The room's own token.
    pub token: Option<TokenProvider>,
}

impl SubscribeOptions {
    /// With something that the other members are shown.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn presence(mut self, shown: &impl Serialize) -> Result<SubscribeOptions, BoxError> {
        self.presence = Some(serde_json::to_value(shown)?);
        Ok(self)
    }

    pub(crate) fn into_ear(self, id: u64, handler: Option<Handler>) -> (Ear, Arc<Sink>) {
        let sink = Arc::new(Sink::new(self.buffer));
        let ear = Ear {
            id,
            sink: Arc::clone(&sink),
            handler,
            active: false,
            wishes: Wishes {
                since: self.since,
                presence: self.presence.map(Arc::new),
                token: self.token,
            },
        };
        (ear, sink)
    }
}

/// Where a subscription is kept.
pub(crate) trait Keeper: Send + Sync {
    /// Ends it there.
    fn unsubscribe(&self, room: Option<&str>, id: u64);
    /// What was heard of a room with history.
    fn position(&self, room: &str) -> Option<Position>;
}

/// What hears a room. Dropping it unsubscribes.
#[must_use = "dropping it unsubscribes"]
pub struct Subscription {
    keeper: Arc<dyn Keeper>,
    id: u64,
    room: Option<Arc<str>>,
    sink: Arc<Sink>,
}

impl Subscription {
    pub(crate) fn new(
        keeper: Arc<dyn Keeper>,
        id: u64,
        room: Option<&str>,
        sink: Arc<Sink>,
    ) -> Subscription {
        Subscription {
            keeper,
            id,
            room: room.map(Arc::from),
            sink,
        }
    }

    /// Different for each subscription of a client.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The room; none: what is for this client's user or for everyone.
    pub fn room(&self) -> Option<&str> {
        self.room.as_deref()
    }

    /// Items that wait to be read.
    pub fn buffered(&self) -> usize {
        self.sink.buffered()
    }

    /// What has been heard of a room with history, for `since` of a later subscription.
    pub fn position(&self) -> Option<Position> {
        self.keeper.position(self.room.as_deref()?)
    }

    /// Waits until the room is joined for the first time.
    ///
    /// # Errors
    /// It cannot be joined, or the subscription has ended.
    pub async fn joined(&self) -> Result<Joined, Error> {
        poll_fn(|cx| self.sink.poll_joined(cx)).await
    }

    /// The next item. `None`: the subscription has ended. A subscription with a handler has none.
    pub async fn next(&mut self) -> Option<Result<Item, Error>> {
        poll_fn(|cx| self.sink.poll_next(cx)).await
    }

    /// Hears nothing more. What waits can still be read.
    pub fn unsubscribe(&self) {
        self.keeper.unsubscribe(self.room.as_deref(), self.id);
    }
}

impl futures_core::Stream for Subscription {
    type Item = Result<Item, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.sink.poll_next(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.unsubscribe();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id)
            .field("room", &self.room)
            .field("buffered", &self.buffered())
            .finish_non_exhaustive()
    }
}
