//! Who is in a room, and which connections a user has: lists that all shards put together.

use crate::namespace::resolved::ResolvedRoom;
use crate::rooms::membership::require_space;
use crate::session::background::Background;
use crate::session::context::{Context, Continuation};
use crate::session::handle::Handle;
use crate::session::pending::{Outcome, Pending, Requester};
use crate::session::retry::{Queue, place_in};
use crate::wire::connection_id::ConnectionId;
use crate::wire::failure::{Failure, problem_of_publish, unavailable};
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::{Answer, Listing, Refused, Topic};
use shardcast_protocol::dialect::Problem;
use tokio::sync::oneshot;

impl Context<'_> {
    /// Asks who is in a room, on all shards; `then` is called with the answer.
    ///
    /// # Errors
    /// Of the name or the limits; `then` is not called.
    pub fn members(
        &mut self,
        room: &str,
        then: impl FnOnce(&mut Context<'_>, Listing) + 'static,
    ) -> Result<(), Failure> {
        let shared = self.shared;
        let room = shared.resolve(room).map_err(Problem::from)?;
        let then = Continuation::new(move |cx, outcome| {
            if let Outcome::Listed { listing, .. } = outcome {
                then(cx, listing);
            }
        });
        Ok(list(self, |_| Requester::Code(then), room, None)?)
    }
}

impl Handle {
    /// Lists the members of a room. The list has a place in the room's order: joins and leaves
    /// before it count, those after it do not. At most 1,000 members are named, all are counted.
    ///
    /// # Errors
    /// A [`Problem`] of the name, or `unavailable`.
    pub async fn members(&self, room: &str) -> Result<Listing, Failure> {
        let room = self.shared.resolve(room).map_err(Problem::from)?;
        self.list(Topic::Room(room.name())).await
    }

    /// Lists the connections of a user, likewise.
    ///
    /// # Errors
    /// As [`Handle::members`].
    pub async fn connections(&self, user: &str) -> Result<Listing, Failure> {
        self.list(Topic::User(user)).await
    }

    async fn list(&self, topic: Topic<'_>) -> Result<Listing, Failure> {
        loop {
            let (sender, answer) = oneshot::channel();
            let reply = Box::new(move |answer: Answer| {
                let _ = sender.send(answer);
            });
            let asked = self.shared.engine();
            match asked.and_then(|engine| engine.list(topic, reply)) {
                Ok(()) => match answer.await {
                    Ok(Answer::Listed(listing)) => return Ok(listing),
                    Ok(_) | Err(_) => return Err(unavailable(NOT_LISTED).into()),
                },
                Err(Refused::Busy) => place_in(&self.shared, Queue::Any).await,
                Err(refused @ (Refused::Stopped | Refused::Memory)) => return Err(refused.into()),
            }
        }
    }

    /// Closes the connections that a user has at this moment, and returns their number.
    ///
    /// # Errors
    /// As [`Handle::members`].
    pub async fn disconnect_user(
        &self,
        user: &str,
        code: CloseCode,
        reason: &str,
    ) -> Result<usize, Failure> {
        let mut closed = 0;
        loop {
            let listing = self.connections(user).await?;
            let named = listing.members.len();
            for member in listing.members {
                let gone = self
                    .disconnect(ConnectionId(member.address), code, reason)
                    .await;
                closed += usize::from(gone.is_ok());
            }
            // One list names a part of them.
            if listing.total as usize <= named || named == 0 {
                return Ok(closed);
            }
        }
    }
}

impl Handle {
    /// Closes the connections that are in a room at this moment, and returns their number.
    ///
    /// # Errors
    /// As [`Handle::members`].
    pub async fn disconnect_room(
        &self,
        room: &str,
        code: CloseCode,
        reason: &str,
    ) -> Result<usize, Failure> {
        let mut closed = 0;
        loop {
            let listing = self.members(room).await?;
            let named = listing.members.len();
            let mut gone = 0;
            for member in listing.members {
                let id = ConnectionId(member.address);
                gone += usize::from(self.disconnect(id, code, reason).await.is_ok());
            }
            closed += gone;
            // One list names a part of them. Whoever was closed before it was asked for is none of
            // the next.
            if listing.total as usize <= named || gone == 0 {
                return Ok(closed);
            }
        }
    }
}

impl Background {
    /// Lists the members of a room: [`Handle::members`].
    ///
    /// # Errors
    /// A problem of the name, or `unavailable`.
    pub async fn members(&self, room: &str) -> Result<Listing, Failure> {
        self.handle.members(room).await
    }
}

/// Asks for the members of a room, of whom `limit` are to be named.
pub(crate) fn list(
    cx: &mut Context<'_>,
    requester: impl FnOnce(&mut Context<'_>) -> Requester<Continuation>,
    room: ResolvedRoom<'_>,
    limit: Option<u32>,
) -> Result<(), Problem> {
    require_space(cx)?;
    let tag = cx.state.take_tags(1);
    cx.engine
        .list(Topic::Room(room.name()), tag)
        .map_err(problem_of_publish)?;
    let requester = requester(cx);
    cx.session
        .wait(Pending::list(requester, tag, room.name().into(), limit));
    Ok(())
}

const NOT_LISTED: &str = "too many lists are under way, or the server stops";
