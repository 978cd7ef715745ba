//! The way to a running server from other threads: a timer, a task, a web application in the same process.

use crate::app::connection_id::ConnectionId;
use crate::app::context::{Context, too_many_waiting, unavailable};
use crate::app::emit::{Emit, Encoded, Targets};
use crate::app::encoding::{self, Place};
use crate::app::failure::{BAD_USER, Failure, problem_of_publish};
use crate::app::identity::Identity;
use crate::app::retry::{self, look_again};
use crate::app::reverse::{Answered, CallError};
use crate::app::rooms;
use crate::app::shared::Shared;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::{
    Answer, Handle as Engine, Listing, Notice, PublishError, Refused, Target, Topic,
};
use shardcast_protocol::dialect::{Code, Dialect, Encoding, Event, Problem, Value};
use shardcast_protocol::json::Raw;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// A running server, from any thread. Clones are the same server.
///
/// Methods that are `async` run on any executor: where a shard's queue of commands is full, they look again every millisecond. What is
/// under way when the server stops ends with an error.
#[derive(Clone)]
pub struct Handle {
    engine: Engine,
    shared: Arc<Shared>,
}

/// What another thread has to say on a connection's shard.
pub(crate) struct OnShard(pub(crate) Box<dyn FnOnce(&mut Context<'_>) + Send>);

/// The connection is gone, or goes, or the server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection is gone")]
pub struct Gone;

impl Handle {
    pub(crate) fn new(engine: Engine, shared: Arc<Shared>) -> Handle {
        Handle { engine, shared }
    }

    /// To the members of a room.
    pub fn to<'e>(&self, room: &'e str) -> Emit<'e, Handle> {
        Emit::new(self.clone(), Targets::Room(room))
    }

    /// To the members of several rooms; who is in two of them gets it twice.
    pub fn to_many<'e>(&self, rooms: &'e [&'e str]) -> Emit<'e, Handle> {
        Emit::new(self.clone(), Targets::Rooms(rooms))
    }

    /// To all connections of a user.
    pub fn to_user<'e>(&self, user: &'e str) -> Emit<'e, Handle> {
        Emit::new(self.clone(), Targets::User(user))
    }

    /// To all connections of the server.
    pub fn everyone(&self) -> Emit<'static, Handle> {
        Emit::new(self.clone(), Targets::Everyone)
    }

    /// To one connection; one that is gone gets nothing.
    pub fn to_connection(&self, connection: ConnectionId) -> Emit<'static, Handle> {
        Emit::new(self.clone(), Targets::Connection(connection))
    }

    /// Calls `act` on the connection's shard, between two of its messages, and waits for what it returns. It must not block.
    ///
    /// # Errors
    /// The connection is gone, or `act` panicked.
    pub async fn on<R: Send + 'static>(
        &self,
        connection: ConnectionId,
        act: impl FnOnce(&mut Context<'_>) -> R + Send + 'static,
    ) -> Result<R, Gone> {
        let (asker, answer) = oneshot::channel();
        let act = OnShard(Box::new(move |cx| {
            let _ = asker.send(act(cx));
        }));
        self.tell(connection, act).await?;
        answer.await.map_err(|_| Gone)
    }

    /// Hands something over to a shard, however long its queue is full.
    pub(crate) async fn tell(&self, connection: ConnectionId, act: OnShard) -> Result<(), Gone> {
        let mut note: Notice = Box::new(act);
        loop {
            note = match self.engine.notify(connection.0, note) {
                Ok(()) => return Ok(()),
                Err((Refused::Stopped, _)) => return Err(Gone),
                Err((Refused::Busy, note)) => note,
            };
            look_again().await;
        }
    }

    /// Hands something over to a shard, whoever may wait for it, and returns at once. It is dropped when the server stops.
    pub(crate) fn tell_later(&self, connection: ConnectionId, act: OnShard) {
        retry::tell(&self.engine, connection.0, Box::new(act));
    }

    /// Makes a connection join rooms, all or none, and waits until it is a member: [`Context::join_then`]. The members of each then.
    ///
    /// # Errors
    /// [`Gone`], or a [`Problem`] of the names or the limits.
    pub async fn join(
        &self,
        connection: ConnectionId,
        rooms: &[&str],
    ) -> Result<Vec<(Arc<str>, u32)>, Failure> {
        let rooms: Vec<String> = rooms.iter().map(|room| (*room).to_owned()).collect();
        let (asker, joined) = oneshot::channel();
        let asked = self.on(connection, move |cx| {
            let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
            cx.join_then(&rooms, move |_, joined| {
                let _ = asker.send(joined);
            })
        });
        asked.await??;
        let joined = joined.await.map_err(|_| Gone)??;
        Ok(joined
            .into_iter()
            .map(|joined| (joined.room, joined.members))
            .collect())
    }

    /// Makes a connection leave rooms, all or none, and waits until it is no member.
    ///
    /// # Errors
    /// [`Gone`], or a [`Problem`]: it is not in one of them.
    pub async fn leave(&self, connection: ConnectionId, rooms: &[&str]) -> Result<(), Failure> {
        let rooms: Vec<String> = rooms.iter().map(|room| (*room).to_owned()).collect();
        let (asker, left) = oneshot::channel();
        let asked = self.on(connection, move |cx| {
            let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
            cx.leave_then(&rooms, move |_| {
                let _ = asker.send(());
            })
        });
        asked.await??;
        Ok(left.await.map_err(|_| Gone)?)
    }

    /// Who is in a room: a place in the room's order, so joins and leaves before it count and those after it do not. At most 1,000 are
    /// named, all are counted.
    ///
    /// # Errors
    /// A [`Problem`] of the name, or `unavailable`.
    pub async fn members(&self, room: &str) -> Result<Listing, Failure> {
        rooms::find_in(&self.shared.namespaces, room)?;
        self.list(Topic::Room(room)).await
    }

    /// The connections of a user, likewise.
    ///
    /// # Errors
    /// As [`Handle::members`].
    pub async fn connections(&self, user: &str) -> Result<Listing, Failure> {
        self.list(Topic::User(user)).await
    }

    async fn list(&self, topic: Topic<'_>) -> Result<Listing, Failure> {
        loop {
            let (asker, answer) = oneshot::channel();
            let reply = Box::new(move |answer: Answer| {
                let _ = asker.send(answer);
            });
            match self.engine.list(topic, reply) {
                Ok(()) => match answer.await {
                    Ok(Answer::Listed(listing)) => return Ok(listing),
                    Ok(_) | Err(_) => return Err(unavailable(NOT_LISTED).into()),
                },
                Err(Refused::Busy) => look_again().await,
                Err(stopped @ Refused::Stopped) => return Err(stopped.into()),
            }
        }
    }

    /// Closes a connection: what was sent before leaves first.
    ///
    /// # Errors
    /// It is gone already.
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

    /// Closes the connections that a user has at this moment. How many.
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
            // One list names only so many.
            if listing.total as usize <= named || named == 0 {
                return Ok(closed);
            }
        }
    }

    /// Calls a method of a client that speaks JSON-RPC, and waits for its answer; `within` is measured by the connection's shard, in steps
    /// of 64 ms.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<R: DeserializeOwned>(
        &self,
        connection: ConnectionId,
        method: &str,
        params: &impl Serialize,
        within: Duration,
    ) -> Result<R, CallError> {
        let mut bytes = Vec::new();
        let refused = |problem: Problem| CallError::Refused(problem.message.into_owned());
        encoding::write(Encoding::Json, Place::Answer, &mut bytes, params)
            .map_err(|failure| refused(failure.into_problem(method)))?;
        let method = method.to_owned();
        let called = self.on(connection, move |cx| call_from(cx, &method, &bytes, within));
        let answer = called.await?.map_err(refused)?;
        let answer = answer.await.map_err(|_| Gone)??;
        let answer = Value::Json(Raw::of_serializer(&answer));
        encoding::read(answer).map_err(|error| CallError::Unfit(error.to_string()))
    }
}

/// Sends a call; its answer comes to the receiver.
fn call_from(
    cx: &mut Context<'_>,
    method: &str,
    params: &[u8],
    within: Duration,
) -> Result<oneshot::Receiver<Answered>, Problem> {
    if cx.dialect() != Dialect::JsonRpc {
        return Err(unavailable("this client's dialect has no calls"));
    }
    let params = Some(encoding::written(Encoding::Json, params));
    // The shard never gives a number twice, so a late answer meets no other call.
    let id = cx.desk.take_serial();
    let event = Event::Call { id, method, params };
    let dialect = cx.dialect();
    let mut call = Vec::with_capacity(event.bytes_hint());
    dialect
        .write_event(&mut call, &event)
        .map_err(|_| unavailable("the parameters are neither an object nor an array"))?;
    let due_ms = cx.due_after(within);
    let opened = cx.session.more().reverse.open(id, due_ms);
    let answer = opened.ok_or_else(too_many_waiting)?;
    cx.engine.send(dialect.kind(), &call);
    Ok(answer)
}

impl Emit<'_, Handle> {
    /// Sends the event, waiting where a queue is full.
    ///
    /// # Errors
    /// Of a name; `too_large` if a client could not be sent it; the data cannot be written; or the server stops. Of several rooms those
    /// before the bad one have it.
    pub async fn emit<T: Serialize>(self, event: &str, data: &T) -> Result<(), Failure> {
        let encoded = self.encoded(event, data)?;
        for room in self.rooms() {
            while let Err(refused) = self.publish(&encoded, room)? {
                if refused != Refused::Busy {
                    return Err(refused.into());
                }
                look_again().await;
            }
        }
        Ok(())
    }

    /// Sends the event, or says at once that a queue is full: for threads without a runtime.
    ///
    /// # Errors
    /// As for `emit`, and `unavailable` where it would wait; of several rooms those before have it.
    pub fn try_emit<T: Serialize>(self, event: &str, data: &T) -> Result<(), Failure> {
        let encoded = self.encoded(event, data)?;
        for room in self.rooms() {
            self.publish(&encoded, room)??;
        }
        Ok(())
    }

    fn encoded<'n, T: Serialize>(
        &'n self,
        event: &'n str,
        data: &T,
    ) -> Result<Encoded<'n>, Failure> {
        Encoded::new(&self.sender.shared, Dialect::NativeJson, event, data)
    }

    /// Each room in turn; none, once, where it is not for rooms.
    fn rooms(&self) -> impl Iterator<Item = Option<&str>> {
        let rooms = match self.targets {
            Targets::Rooms(rooms) => rooms,
            Targets::Room(_) | Targets::User(_) | Targets::Everyone | Targets::Connection(_) => &[],
        };
        let other = match self.targets {
            Targets::Rooms(_) => None,
            Targets::Room(room) => Some(Some(room)),
            Targets::User(_) | Targets::Everyone | Targets::Connection(_) => Some(None),
        };
        rooms.iter().map(|room| Some(*room)).chain(other)
    }

    fn publish(
        &self,
        encoded: &Encoded<'_>,
        room: Option<&str>,
    ) -> Result<Result<(), Refused>, Failure> {
        let Handle { engine, shared } = &self.sender;
        if let Some(room) = room {
            rooms::find_in(&shared.namespaces, room)?;
            // The engine refuses names where a connection publishes, and lets others publish to nobody.
            if room.len() > shared.room_name_bytes_max {
                return Err(problem_of_publish(PublishError::BadName).into());
            }
        }
        let target = match (room, self.targets) {
            (Some(room), _) => Target::Room(room),
            (None, Targets::User(user)) if !Identity::is_name(user) => {
                return Err(Problem::new(Code::BadRequest, BAD_USER).into());
            }
            (None, Targets::User(user)) => Target::User(user),
            (None, Targets::Connection(connection)) => {
                if self.except == Some(connection) {
                    return Ok(Ok(()));
                }
                let content = encoded.content(None)?;
                let act = OnShard(Box::new(move |cx: &mut Context<'_>| {
                    let address = cx.engine.address();
                    cx.engine.send_to(address, content);
                }));
                let told = engine.notify(connection.0, Box::new(act));
                return Ok(told.map_err(|(refused, _)| refused));
            }
            (None, Targets::Room(_) | Targets::Rooms(_) | Targets::Everyone) => Target::Everyone,
        };
        Ok(engine.publish(target, encoded.publish(room, self.except)?))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

const NOT_LISTED: &str = "too many lists are under way, or the server stops";
