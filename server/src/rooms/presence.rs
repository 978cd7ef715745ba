//! Who is in a room that knows its members one by one, with what each shows: joining with data,
//! and pages of members. For clients and for code of the application alike.
//!
//! Invariant: what a member shows is no longer than the engine takes, and stands only in rooms that
//! have a use for it. Lists of names, which every room has, stand in `members`.

use crate::namespace::resolved::ResolvedRoom;
use crate::rooms::entering::RoomToJoin;
use crate::rooms::membership::require_space;
use crate::session::background::Background;
use crate::session::context::{Context, Continuation};
use crate::session::handle::Handle;
use crate::session::pending::{JoinedRoom, Outcome, Pending, Requester};
use crate::session::retry::{Queue, place_in};
use crate::wire::connection_id::ConnectionId;
use crate::wire::encoding::{self, Nesting, Wrote};
use crate::wire::failure::{Failure, Gone, SHOWN_TOO_LONG, problem_of_publish, unavailable};
use crate::wire::from_data::Data;
use crate::wire::publication::{data_of, shown_by};
use serde::Serialize;
use shardcast_engine::{
    Answer, OwnedData, PresenceClass, PresenceKey, PresencePage, PresenceQuery, PresenceState,
    Refused,
};
use shardcast_protocol::dialect::{Code, Encoding, PRESENCE_BYTES_MAX, Problem, Value, ValueBox};
use std::sync::Arc;
use tokio::sync::oneshot;

const _: () = assert!(PRESENCE_BYTES_MAX == OwnedData::BYTES_MAX);

/// Some members of a room, in an order that stays.
#[derive(Clone, Debug)]
pub struct RoomPresence {
    room: Arc<str>,
    found: PresencePage,
}

/// A member of a room: a connection, or a user with all its connections.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RoomMember<'p> {
    /// The connection. `None`: the member is a user, whose connections count as one, or a
    /// connection of another node.
    pub connection: Option<ConnectionId>,
    /// The connection, if it is one of another node of the cluster, as others are told of it.
    pub elsewhere: Option<&'p str>,
    /// Who it was when it joined; `None`: nobody.
    pub user: Option<&'p str>,
    /// What it shows of itself.
    pub data: Option<Data<'p>>,
    /// Whether it is there, or away: its connection was lost, and it may come back.
    pub state: PresenceState,
}

impl RoomPresence {
    /// The room.
    pub fn room(&self) -> &str {
        &self.room
    }

    /// How many members the room has, those who are away included.
    pub fn total(&self) -> u32 {
        self.found.members
    }

    pub(crate) fn found(&self) -> &PresencePage {
        &self.found
    }

    /// What the next page comes after ([`PresenceQuery::after`]). `None`: this is the last one.
    pub fn next(&self) -> Option<&PresenceKey> {
        self.found.next.as_ref()
    }

    /// The members of this page.
    pub fn members(&self) -> impl Iterator<Item = RoomMember<'_>> {
        self.found.page.iter().map(|member| RoomMember {
            connection: member.connection.map(ConnectionId),
            elsewhere: member.elsewhere.as_deref(),
            user: member.user.as_deref(),
            data: (member.data.as_deref())
                .and_then(shown_by)
                .map(|value| Data::new(Some(value))),
            state: member.state,
        })
    }
}

impl Context<'_> {
    /// Joins a room, shows this data of the connection to whoever sees the members, and calls
    /// `then` when it is one. Rules of a namespace hold as for [`Context::join`].
    ///
    /// # Errors
    /// Of the name or the limits; the room does not tell of its members
    /// ([`crate::namespace::Namespace::presence_events`]); or the data has more than 1 KiB, or
    /// cannot be written. Nothing was joined, and `then` is not called.
    pub fn join_showing_then<T: Serialize>(
        &mut self,
        room: &str,
        data: &T,
        then: impl FnOnce(&mut Context<'_>, Result<JoinedRoom, Problem>) + 'static,
    ) -> Result<(), Failure> {
        let shown = written(self.dialect().encoding(), data)?;
        self.join_with_shown_then(room, shown, then)
    }

    fn join_with_shown_then(
        &mut self,
        room: &str,
        shown: Option<OwnedData>,
        then: impl FnOnce(&mut Context<'_>, Result<JoinedRoom, Problem>) + 'static,
    ) -> Result<(), Failure> {
        let asked = RoomToJoin::new(self.shared, room).map_err(Problem::from)?;
        class_of(&asked.room)?;
        self.join_one_then(RoomToJoin { shown, ..asked }, then)
    }

    /// Asks who is in a room and what each shows, a page at a time; `then` is called with it. The
    /// rule who may see members is for clients.
    ///
    /// # Errors
    /// Of the name or the limits, or the room does not tell of its members; `then` is not called.
    pub fn presence(
        &mut self,
        room: &str,
        query: PresenceQuery,
        then: impl FnOnce(&mut Context<'_>, RoomPresence) + 'static,
    ) -> Result<(), Failure> {
        let shared = self.shared;
        let room = shared.resolve(room).map_err(Problem::from)?;
        let then = Continuation::new(move |cx, outcome| {
            if let Outcome::Present { room, page, .. } = outcome {
                then(cx, RoomPresence { room, found: page });
            }
        });
        Ok(read(self, |_| Requester::Code(then), room, query)?)
    }
}

impl Handle {
    /// Makes a connection join a room and show this data there, and waits until it is a member:
    /// [`Context::join_showing_then`].
    ///
    /// # Errors
    /// [`Gone`], a [`Problem`] of the name, the data or the limits, or the data cannot be written.
    pub async fn join_showing<T: Serialize>(
        &self,
        connection: ConnectionId,
        room: &str,
        data: &T,
    ) -> Result<JoinedRoom, Failure> {
        let shown = written(Encoding::Json, data)?;
        let room = room.to_owned();
        let (sender, joined) = oneshot::channel();
        let asked = self.on(connection, move |cx| {
            cx.join_with_shown_then(&room, shown, move |_, joined| {
                let _ = sender.send(joined);
            })
        });
        asked.await??;
        Ok(joined.await.map_err(|_| Gone)??)
    }

    /// Reads who is in a room and what each shows: at most [`PresenceQuery::LIMIT_MAX`] members.
    /// Who wants more goes on with [`RoomPresence::next`].
    ///
    /// # Errors
    /// A [`Problem`]: of the name, the room does not tell of its members, or `unavailable`.
    pub async fn presence(
        &self,
        room: &str,
        query: PresenceQuery,
    ) -> Result<RoomPresence, Failure> {
        let resolved = self.shared.resolve(room).map_err(Problem::from)?;
        class_of(&resolved)?;
        let query = bounded(query);
        loop {
            let (sender, answer) = oneshot::channel();
            let reply = Box::new(move |answer: Answer| {
                let _ = sender.send(answer);
            });
            let asked = self.shared.engine();
            match asked.and_then(|engine| engine.presence(resolved.name(), query.clone(), reply)) {
                Ok(()) => match answer.await {
                    Ok(Answer::Present(found)) => {
                        let room = room.into();
                        return Ok(RoomPresence { room, found });
                    }
                    Ok(_) | Err(_) => return Err(unavailable(NOT_READ).into()),
                },
                Err(Refused::Busy) => place_in(&self.shared, Queue::Any).await,
                Err(refused @ (Refused::Stopped | Refused::Memory)) => return Err(refused.into()),
            }
        }
    }
}

impl Background {
    /// Joins a room, shows this data of the connection there, and waits until it is a member:
    /// [`Context::join_showing_then`].
    ///
    /// # Errors
    /// [`Gone`], a problem of the name, the data or the limits, or the data cannot be written.
    pub async fn join_showing<T: Serialize>(
        &self,
        room: &str,
        data: &T,
    ) -> Result<JoinedRoom, Failure> {
        self.handle.join_showing(self.connection, room, data).await
    }

    /// Reads who is in a room and what each shows: [`Handle::presence`].
    ///
    /// # Errors
    /// A problem: of the name, the room does not tell of its members, or `unavailable`.
    pub async fn presence(
        &self,
        room: &str,
        query: PresenceQuery,
    ) -> Result<RoomPresence, Failure> {
        self.handle.presence(room, query).await
    }
}

/// Asks for some members of a room.
pub(crate) fn read(
    cx: &mut Context<'_>,
    requester: impl FnOnce(&mut Context<'_>) -> Requester<Continuation>,
    room: ResolvedRoom<'_>,
    query: PresenceQuery,
) -> Result<(), Problem> {
    require_space(cx)?;
    class_of(&room)?;
    let limit = query.limit;
    let tag = cx.state.take_tags(1);
    cx.engine
        .presence(room.name(), bounded(query), tag)
        .map_err(problem_of_publish)?;
    let requester = requester(cx);
    cx.session
        .wait(Pending::present(requester, tag, room.name().into(), limit));
    Ok(())
}

/// What a client shows of itself in a room, as the room takes it.
///
/// # Errors
/// The room has no use for it, or takes no control characters.
pub(crate) fn shown_in(room: &ResolvedRoom<'_>, value: Value<'_>) -> Result<OwnedData, Problem> {
    class_of(room)?;
    let clean = room.namespace().control_characters.apply(value)?;
    let value = clean.as_ref().map_or(value, ValueBox::as_value);
    let (data, encoding) = data_of(value);
    Ok(OwnedData::new(data, encoding))
}

/// What code shows of a connection; nothing, if it is `null`. Bytes stay bytes for clients that
/// speak MessagePack, whatever the encoding.
fn written<T: Serialize>(encoding: Encoding, data: &T) -> Result<Option<OwnedData>, Failure> {
    let (mut encoding, mut bytes) = (encoding, Vec::new());
    let wrote = encoding::write(encoding, Nesting::Event, &mut bytes, data)?;
    if wrote == Wrote::Bytes && encoding == Encoding::Json {
        encoding = Encoding::Pack;
        bytes.clear();
        encoding::write(encoding, Nesting::Event, &mut bytes, data)?;
    }
    if bytes.len() > OwnedData::BYTES_MAX {
        return Err(Problem::new(Code::BadRequest, SHOWN_TOO_LONG).into());
    }
    let value = encoding::written(encoding, &bytes);
    let (data, encoding) = data_of(value);
    Ok((!value.is_null()).then(|| OwnedData::new(data, encoding)))
}

/// The engine names one member at least.
fn bounded(query: PresenceQuery) -> PresenceQuery {
    let limit = query.limit.clamp(1, PresenceQuery::LIMIT_MAX);
    PresenceQuery { limit, ..query }
}

fn class_of(room: &ResolvedRoom<'_>) -> Result<PresenceClass, Problem> {
    let class = room.presence();
    class.ok_or_else(|| Problem::new(Code::BadRequest, NO_PRESENCE))
}

/// What is answered to who asks a room for what it does not know of its members.
pub(crate) const NO_PRESENCE: &str =
    "this room shows nothing of its members: its namespace needs the option presence_events";
const NOT_READ: &str = "too much is asked of this shard, or the server stops";
