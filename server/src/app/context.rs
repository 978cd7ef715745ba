//! The connection at hand and its server, for the length of one call on the shard: what handlers, middleware and hooks may know and do.

use crate::app::call::{Call, OwnedCall, dialect_of};
use crate::app::connection_id::ConnectionId;
use crate::app::emit::{Emit, Targets};
use crate::app::encoding::{self, Place};
use crate::app::failure::Failure;
use crate::app::handle::Handle;
use crate::app::identity::Identity;
use crate::app::pending::{Asker, JoinedRoom, Outcome, Shape};
use crate::app::rooms;
use crate::app::session::Session;
use crate::app::shared::Desk;
use serde::Serialize;
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::{Context as Engine, Listing, Peer, confine};
use shardcast_protocol::dialect::{Code, Dialect, Problem, Reply};
use std::sync::Arc;
use std::time::Duration;

/// One call on the shard. It must not block: while it runs, no other connection of the shard is served.
#[derive(Debug)]
pub struct Context<'c> {
    pub(crate) engine: Engine<'c>,
    pub(crate) session: &'c mut Session,
    pub(crate) desk: &'c mut Desk,
    /// The request that is being handled, until it is answered.
    call: Option<Call<'c>>,
}

impl<'c> Context<'c> {
    pub(crate) fn new(
        engine: Engine<'c>,
        session: &'c mut Session,
        desk: &'c mut Desk,
        call: Option<Call<'c>>,
    ) -> Context<'c> {
        Context {
            engine,
            session,
            desk,
            call,
        }
    }

    /// The connection at hand.
    pub fn connection(&self) -> ConnectionId {
        ConnectionId(self.engine.address())
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        self.session.identity()
    }

    /// The user's name, if it is one.
    pub fn user(&self) -> Option<&str> {
        self.identity().name()
    }

    /// From here on the connection is somebody else, or nobody. Messages to the old user stop and those to the new one begin at one
    /// place in the order of each.
    ///
    /// # Errors
    /// `rate_limited`: it has changed too often in a moment; it is who it was.
    pub fn identify(&mut self, identity: Identity) -> Result<(), Failure> {
        if identity.name() != self.user() {
            self.engine.identify(identity.name())?;
        }
        self.session.set_identity(identity);
        Ok(())
    }

    /// Where the client connects from.
    pub fn remote_address(&self) -> Peer {
        self.engine.peer()
    }

    /// The connection is encrypted.
    pub fn is_secure(&self) -> bool {
        self.engine.is_secure()
    }

    /// How long it has been open, in steps of a tick.
    pub fn connected(&self) -> Duration {
        Duration::from_millis(
            self.engine
                .now_ms()
                .saturating_sub(self.session.opened_ms()),
        )
    }

    /// When it opened, by the host's clock.
    pub fn connected_at(&self) -> std::time::SystemTime {
        std::time::SystemTime::now() - self.connected()
    }

    /// What it speaks.
    pub fn dialect(&self) -> Dialect {
        dialect_of(&self.engine)
    }

    /// What the application remembers of it under this type.
    pub fn metadata<T: 'static>(&self) -> Option<&T> {
        self.session.some()?.metadata.get()
    }

    /// The same, to be changed.
    pub fn metadata_mut<T: 'static>(&mut self) -> Option<&mut T> {
        self.session.some_mut()?.metadata.get_mut()
    }

    /// Remembers one value of this type, as long as the connection lives; the one before comes back.
    pub fn set_metadata<T: 'static>(&mut self, value: T) -> Option<T> {
        self.session.more().metadata.set(value)
    }

    /// Forgets the value of this type.
    pub fn take_metadata<T: 'static>(&mut self) -> Option<T> {
        let value = self.session.some_mut()?.metadata.take();
        self.session.shed();
        value
    }

    /// Answers the request at hand, now. A request is answered once: what the handler returns afterwards is not sent.
    ///
    /// # Errors
    /// No request waits for an answer here, or the value cannot be written.
    pub fn reply<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        let Some(call) = self.call else {
            return Err(NothingToAnswer.into());
        };
        let encoding = self.dialect().encoding();
        let mut scratch = self.desk.lend_scratch();
        let sent = encoding::write(encoding, Place::Answer, &mut scratch, value).map(|_| {
            let value = encoding::written(encoding, &scratch);
            call.answer(&mut self.engine, self.session, &Reply::Result(Some(value)));
        });
        self.desk.take_scratch_back(scratch);
        sent?;
        self.call = None;
        Ok(())
    }

    /// The request at hand was answered, or there is none.
    pub fn is_answered(&self) -> bool {
        self.call.is_none()
    }

    /// Answers the request at hand with what the server itself says.
    pub(crate) fn answer(&mut self, reply: &Reply<'_>) {
        if let Some(call) = self.call.take() {
            call.answer(&mut self.engine, self.session, reply);
        }
    }

    /// Somebody else answers the request at hand, later.
    pub(crate) fn defer(&mut self) -> Option<OwnedCall> {
        self.call.take().map(Call::to_owned)
    }

    /// Answers a request that was deferred.
    pub(crate) fn answer_to(&mut self, call: &OwnedCall, reply: &Reply<'_>) {
        call.as_call().answer(&mut self.engine, self.session, reply);
    }

    /// Whoever waits for what becomes of the request at hand: its client, unless it was answered already.
    pub(crate) fn asker(&mut self) -> Asker {
        match self.defer() {
            Some(call) => Asker::Client(call),
            None => Asker::Code(Box::new(|_, _| {})),
        }
    }

    /// When `within` from now is over, by the engine's clock: the connection's deadlines are looked at then.
    pub(crate) fn due_after(&mut self, within: Duration) -> u64 {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let due_ms = self.engine.now_ms().saturating_add(within_ms);
        self.engine.wake_at(due_ms);
        due_ms
    }

    /// The middleware after a request that a background handler has answered.
    pub(crate) fn run_after(&mut self, kind: &str, problem: Option<&Problem>) {
        let table = self.desk.table();
        if let Some(entry) = table.find_handler(kind) {
            entry.run_after(self, kind, problem);
        }
    }

    /// Runs code of the application that answers nobody: its panic is counted, and goes no further.
    pub(crate) fn shield(&mut self, act: impl FnOnce(&mut Context<'_>)) {
        if confine(|| act(self)).is_err() {
            self.engine.count_panic();
        }
    }

    /// Joins a room. The connection is a member when the room's home says so, some microseconds later: [`Context::rooms`] shows the room
    /// at once, its messages come from then on. To wait for it, use [`Context::join_then`], or a background handler.
    ///
    /// Namespaces hold here for the name and for how many members there may be, not for who may join: that rule is for clients.
    ///
    /// # Errors
    /// Of the name or the limits; nothing was joined.
    pub fn join(&mut self, room: &str) -> Result<(), Failure> {
        self.join_then(&[room], |_, _| {})
    }

    /// Joins several rooms, all or none, and calls `then` when that is done. A room that is named twice is joined once; of no rooms at
    /// all that is done at once.
    ///
    /// # Errors
    /// Of the names or the limits; nothing was joined, and `then` is not called.
    pub fn join_then(
        &mut self,
        rooms: &[&str],
        then: impl FnOnce(&mut Context<'_>, Result<Vec<JoinedRoom>, Problem>) + 'static,
    ) -> Result<(), Failure> {
        let rooms = rooms::distinct(rooms);
        if rooms.is_empty() {
            self.shield(|cx| then(cx, Ok(Vec::new())));
            return Ok(());
        }
        let then = Asker::Code(Box::new(move |cx, outcome| {
            if let Outcome::Joined(joining) = outcome {
                let joined = rooms::conclude(cx, joining);
                then(cx, joined);
            }
        }));
        for room in &rooms {
            rooms::find(self, room)?;
        }
        Ok(rooms::join(self, |_| then, Shape::Rooms, &rooms)?)
    }

    /// Leaves a room. No message of it follows once the room's home has said so.
    ///
    /// # Errors
    /// `not_joined`, or of the name.
    pub fn leave(&mut self, room: &str) -> Result<(), Failure> {
        self.leave_then(&[room], |_| {})
    }

    /// Leaves several rooms, all or none, and calls `then` when that is done. Repetitions and no rooms at all as in
    /// [`Context::join_then`].
    ///
    /// # Errors
    /// The connection is not in one of them; nothing was left, and `then` is not called.
    pub fn leave_then(
        &mut self,
        rooms: &[&str],
        then: impl FnOnce(&mut Context<'_>) + 'static,
    ) -> Result<(), Failure> {
        let rooms = rooms::distinct(rooms);
        if rooms.is_empty() {
            self.shield(then);
            return Ok(());
        }
        let then = Asker::Code(Box::new(move |cx, _| then(cx)));
        Ok(rooms::leave(self, |_| then, Shape::Rooms, &rooms)?)
    }

    /// The rooms that it is in or on its way into, sorted.
    pub fn rooms(&self) -> Vec<Arc<str>> {
        let mut rooms = self.engine.rooms();
        rooms.sort_unstable();
        rooms
    }

    /// Whether it is in this room, or on its way into it.
    pub fn is_in(&self, room: &str) -> bool {
        self.engine.rooms().iter().any(|joined| **joined == *room)
    }

    /// Asks who is in a room, on all shards; `then` is called with the answer.
    ///
    /// # Errors
    /// Of the name or the limits; `then` is not called.
    pub fn members(
        &mut self,
        room: &str,
        then: impl FnOnce(&mut Context<'_>, Listing) + 'static,
    ) -> Result<(), Failure> {
        let then = Asker::Code(Box::new(move |cx, outcome| {
            if let Outcome::Listed { listing, .. } = outcome {
                then(cx, listing);
            }
        }));
        rooms::find(self, room)?;
        Ok(rooms::list(self, |_| then, room, None)?)
    }

    /// To the members of a room.
    pub fn to<'e>(&'e mut self, room: &'e str) -> Emit<'e, &'e mut Context<'c>> {
        Emit::new(self, Targets::Room(room))
    }

    /// To the members of several rooms; who is in two of them gets it twice.
    pub fn to_many<'e>(&'e mut self, rooms: &'e [&'e str]) -> Emit<'e, &'e mut Context<'c>> {
        Emit::new(self, Targets::Rooms(rooms))
    }

    /// To all connections of a user, on all shards.
    pub fn to_user<'e>(&'e mut self, user: &'e str) -> Emit<'e, &'e mut Context<'c>> {
        Emit::new(self, Targets::User(user))
    }

    /// To all connections of the server.
    pub fn everyone<'e>(&'e mut self) -> Emit<'e, &'e mut Context<'c>> {
        Emit::new(self, Targets::Everyone)
    }

    /// To one connection, this one or another; one that is gone gets nothing.
    pub fn to_connection<'e>(
        &'e mut self,
        connection: ConnectionId,
    ) -> Emit<'e, &'e mut Context<'c>> {
        Emit::new(self, Targets::Connection(connection))
    }

    /// Closes the connection: what was sent before leaves first. `reason`: at most 123 bytes, the rest is cut off.
    pub fn disconnect(&mut self, code: CloseCode, reason: &str) {
        self.engine.close(code, reason);
    }

    /// A way to the server that outlives this call and goes to other threads.
    pub fn handle(&self) -> Handle {
        self.desk.shared.handle()
    }
}

/// There is no request, or it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no request waits for an answer here")]
pub struct NothingToAnswer;

/// What a client is told when too much waits already.
pub(crate) fn too_many_waiting() -> Problem {
    Problem::rate_limited(TOO_MANY_WAITING, super::failure::RETRY_AFTER_MS)
}

const TOO_MANY_WAITING: &str = "too many requests of this connection wait for their answers";

/// What a client is told of a problem of ours with the server itself.
pub(crate) fn unavailable(message: &'static str) -> Problem {
    Problem::new(Code::Unavailable, message)
}
