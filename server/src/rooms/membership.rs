//! Joining and leaving, for clients and for code alike: all rooms of a request or none, one
//! outcome.

use crate::namespace::Denied;
use crate::rooms::entering::RoomToJoin;
use crate::session::background::Background;
use crate::session::context::{Context, Continuation};
use crate::session::handle::Handle;
use crate::session::limits::Limits;
use crate::session::pending::{JoinedRoom, Joining, Outcome, Pending, Requester, Shape};
use crate::wire::connection_id::ConnectionId;
use crate::wire::failure::{Failure, Gone, problem_of_room, too_many_waiting};
use crate::wire::position::epoch_text;
use shardcast_engine::{RoomError, Since, Tag};
use shardcast_protocol::dialect::centrifuge::Unsubscribed;
use shardcast_protocol::dialect::{Code, Dialect, Event, Problem};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::oneshot;

impl Context<'_> {
    /// Joins a room. The connection becomes a member some microseconds later, when the room's home
    /// has ordered the join, and gets the room's messages from then on; [`Context::rooms`] shows
    /// the room at once. To wait for the membership, use [`Context::join_then`], or a background
    /// handler.
    ///
    /// The namespace's rules for names and for the number of members apply here. The rule who may
    /// join does not: it is for clients.
    ///
    /// # Errors
    /// Of the name or the limits; nothing was joined.
    pub fn join(&mut self, room: &str) -> Result<(), Failure> {
        self.join_then(&[room], |_, _| {})
    }

    /// Joins several rooms, all or none, and calls `then` when that is done. A room that is named
    /// twice is joined once; of no rooms at all that is done at once.
    ///
    /// # Errors
    /// Of the names or the limits; nothing was joined, and `then` is not called.
    pub fn join_then(
        &mut self,
        rooms: &[&str],
        then: impl FnOnce(&mut Context<'_>, Result<Vec<JoinedRoom>, Problem>) + 'static,
    ) -> Result<(), Failure> {
        let rooms = distinct(rooms);
        if rooms.is_empty() {
            self.shield(|cx| then(cx, Ok(Vec::new())));
            return Ok(());
        }
        let shared = self.shared;
        let joins = rooms.iter().map(|room| RoomToJoin::new(shared, room));
        let joins = joins.collect::<Result<Vec<_>, Denied>>();
        let joins = joins.map_err(Problem::from)?;
        let then = Continuation::new(move |cx, outcome| {
            if let Outcome::Joined(joining) = outcome {
                let joined = conclude(cx, joining);
                joined
                    .iter()
                    .flatten()
                    .for_each(|room| tell_joined(cx, room));
                then(cx, joined);
            }
        });
        Ok(join(self, |_| Requester::Code(then), Shape::Rooms, &joins)?)
    }

    /// Joins a room, and has the connection sent what it has missed since it was at this place; and
    /// calls `then` when it is a member. What the room has lost of that is told in
    /// [`JoinedRoom::log`]. Rules of a namespace hold as for [`Context::join`].
    ///
    /// # Errors
    /// Of the name or the limits; nothing was joined, and `then` is not called.
    pub fn join_since_then(
        &mut self,
        room: &str,
        since: Since,
        then: impl FnOnce(&mut Context<'_>, Result<JoinedRoom, Problem>) + 'static,
    ) -> Result<(), Failure> {
        let asked = RoomToJoin::new(self.shared, room).map_err(Problem::from)?;
        let since = Some(since);
        self.join_one_then(RoomToJoin { since, ..asked }, then)
    }

    /// Joins this one room, and calls `then` when that is done.
    pub(crate) fn join_one_then(
        &mut self,
        asked: RoomToJoin<'_>,
        then: impl FnOnce(&mut Context<'_>, Result<JoinedRoom, Problem>) + 'static,
    ) -> Result<(), Failure> {
        Ok(join_one(self, asked, |cx, joined| {
            joined.iter().for_each(|room| tell_joined(cx, room));
            then(cx, joined);
        })?)
    }

    /// Leaves a room. No message of the room follows once its home has ordered the leave.
    ///
    /// # Errors
    /// `not_joined`, or of the name.
    pub fn leave(&mut self, room: &str) -> Result<(), Failure> {
        self.leave_then(&[room], |_| {})
    }

    /// Leaves several rooms, all or none, and calls `then` when that is done. Repetitions and no
    /// rooms at all as in [`Context::join_then`].
    ///
    /// # Errors
    /// The connection is not in one of them; nothing was left, and `then` is not called.
    pub fn leave_then(
        &mut self,
        rooms: &[&str],
        then: impl FnOnce(&mut Context<'_>) + 'static,
    ) -> Result<(), Failure> {
        let rooms = distinct(rooms);
        if rooms.is_empty() {
            self.shield(then);
            return Ok(());
        }
        let then = Continuation::new(move |cx, outcome| {
            if let Outcome::Left { rooms, .. } = outcome {
                rooms.iter().for_each(|room| tell_left(cx, room));
            }
            then(cx);
        });
        Ok(leave(
            self,
            |_| Requester::Code(then),
            Shape::Rooms,
            &rooms,
        )?)
    }

    /// The rooms that the connection is in or on its way into, sorted.
    pub fn rooms(&self) -> Vec<Arc<str>> {
        let mut rooms = self.engine.rooms();
        rooms.sort_unstable();
        rooms
    }

    /// Whether the connection is in this room, or on its way into it.
    pub fn is_in(&self, room: &str) -> bool {
        self.engine.rooms().iter().any(|joined| **joined == *room)
    }
}

impl Handle {
    /// Makes a connection join rooms, all or none, and waits until it is a member:
    /// [`Context::join_then`]. Returns the number of members of each room at that moment.
    ///
    /// # Errors
    /// [`Gone`], or a [`Problem`] of the names or the limits.
    pub async fn join(
        &self,
        connection: ConnectionId,
        rooms: &[&str],
    ) -> Result<Vec<(Arc<str>, u32)>, Failure> {
        let rooms: Vec<String> = rooms.iter().map(|room| (*room).to_owned()).collect();
        let (sender, joined) = oneshot::channel();
        let asked = self.on(connection, move |cx| {
            let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
            cx.join_then(&rooms, move |_, joined| {
                let _ = sender.send(joined);
            })
        });
        asked.await??;
        let joined = joined.await.map_err(|_| Gone)??;
        Ok(joined
            .into_iter()
            .map(|joined| (joined.room, joined.members))
            .collect())
    }

    /// Makes a connection join a room, has it sent what it has missed since it was at this place,
    /// and waits until it is a member: [`Context::join_since_then`].
    ///
    /// # Errors
    /// [`Gone`], or a [`Problem`] of the name or the limits.
    pub async fn join_since(
        &self,
        connection: ConnectionId,
        room: &str,
        since: Since,
    ) -> Result<JoinedRoom, Failure> {
        let room = room.to_owned();
        let (sender, joined) = oneshot::channel();
        let asked = self.on(connection, move |cx| {
            cx.join_since_then(&room, since, move |_, joined| {
                let _ = sender.send(joined);
            })
        });
        asked.await??;
        Ok(joined.await.map_err(|_| Gone)??)
    }

    /// Makes a connection leave rooms, all or none, and waits until it is no member.
    ///
    /// # Errors
    /// [`Gone`], or a [`Problem`]: it is not in one of them.
    pub async fn leave(&self, connection: ConnectionId, rooms: &[&str]) -> Result<(), Failure> {
        let rooms: Vec<String> = rooms.iter().map(|room| (*room).to_owned()).collect();
        let (sender, left) = oneshot::channel();
        let asked = self.on(connection, move |cx| {
            let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
            cx.leave_then(&rooms, move |_| {
                let _ = sender.send(());
            })
        });
        asked.await??;
        Ok(left.await.map_err(|_| Gone)?)
    }
}

impl Background {
    /// Joins a room, and waits until the connection is a member. Returns the number of members at
    /// that moment.
    ///
    /// # Errors
    /// [`Gone`], or a problem of the name or the limits.
    pub async fn join(&self, room: &str) -> Result<u32, Failure> {
        let joined = self.join_many(&[room]).await?;
        Ok(joined.first().map_or(0, |(_, members)| *members))
    }

    /// Joins several rooms, all or none, and waits until the connection is a member of all. Returns
    /// the number of members of each room at that moment.
    ///
    /// # Errors
    /// [`Gone`], or a problem of the names or the limits.
    pub async fn join_many(&self, rooms: &[&str]) -> Result<Vec<(Arc<str>, u32)>, Failure> {
        self.handle.join(self.connection, rooms).await
    }

    /// Joins a room, and has the connection sent what it has missed since it was at this place:
    /// [`Context::join_since_then`].
    ///
    /// # Errors
    /// [`Gone`], or a problem of the name or the limits.
    pub async fn join_since(&self, room: &str, since: Since) -> Result<JoinedRoom, Failure> {
        self.handle.join_since(self.connection, room, since).await
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
}

/// Joins distinct rooms. `requester` is called only if the engine takes all.
pub(crate) fn join(
    cx: &mut Context<'_>,
    requester: impl FnOnce(&mut Context<'_>) -> Requester<Continuation>,
    shape: Shape,
    rooms: &[RoomToJoin<'_>],
) -> Result<(), Problem> {
    require_space(cx)?;
    if cx.is_awaited() {
        return Err(Problem::new(
            Code::Unauthorized,
            "the connection has not said who it is",
        ));
    }
    let mine = memberships(cx, shape);
    let new = rooms
        .iter()
        .filter(|join| !mine.contains(join.room.name()))
        .count();
    if shape == Shape::Rooms && mine.len() + new > cx.shared.rooms_per_connection_max {
        return Err(problem_of_room(RoomError::TooMany));
    }
    let first = cx.state.take_tags(rooms.len() as u32);
    let mut joined: Vec<JoinedRoom> = Vec::with_capacity(rooms.len());
    for (tag, asked) in tags_from(first).zip(rooms) {
        let room = asked.room.name();
        if let Err(error) = asked.ask(cx, tag) {
            // All or nothing: the rooms that this request has joined so far are left again, and the
            // answers to those leaves are dropped.
            leave_new(cx, first, &joined);
            return Err(problem_of_room(error));
        }
        joined.push(JoinedRoom {
            was_in: mine.contains(room),
            room: room.into(),
            members: 0,
            log: None,
        });
    }
    let requester = requester(cx);
    cx.session
        .wait(Pending::join(requester, first, shape, joined));
    Ok(())
}

/// Tells the client that the application has made it a member, where its dialect says so.
fn tell_joined(cx: &mut Context<'_>, joined: &JoinedRoom) {
    if joined.was_in || !cx.dialect().is_centrifuge() {
        return;
    }
    let shared = cx.shared;
    let resolved = shared.resolve(&joined.room);
    let is_told = resolved.is_ok_and(|room| room.tells_place_to(cx.identity()));
    let log = joined.log.filter(|_| is_told);
    let epoch = log.map(|log| epoch_text(log.position));
    let position = epoch
        .as_ref()
        .zip(log)
        .map(|(epoch, log)| epoch.at(log.position.offset));
    cx.send_event(&Event::Subscribed {
        room: &joined.room,
        position,
    });
}

/// The same of a membership that the application has ended.
fn tell_left(cx: &mut Context<'_>, room: &str) {
    let why = Unsubscribed::ByServer;
    cx.send_event(&Event::Unsubscribed { room, why });
}

/// Joins one room, and calls `then` when that is done.
pub(crate) fn join_one(
    cx: &mut Context<'_>,
    asked: RoomToJoin<'_>,
    then: impl FnOnce(&mut Context<'_>, Result<JoinedRoom, Problem>) + 'static,
) -> Result<(), Problem> {
    let then = Continuation::new(move |cx, outcome| {
        if let Outcome::Joined(joining) = outcome {
            let joined = conclude(cx, joining);
            let joined = joined.map(|mut rooms| rooms.swap_remove(0));
            then(cx, joined);
        }
    });
    let requester = |_: &mut Context<'_>| Requester::Code(then);
    join(cx, requester, Shape::Room, &[asked])
}

/// Leaves distinct rooms. `requester` is called only if the connection is in all.
pub(crate) fn leave(
    cx: &mut Context<'_>,
    requester: impl FnOnce(&mut Context<'_>) -> Requester<Continuation>,
    shape: Shape,
    rooms: &[impl AsRef<str>],
) -> Result<(), Problem> {
    require_space(cx)?;
    if shape == Shape::Rooms {
        let mine = memberships(cx, shape);
        if !rooms.iter().all(|room| mine.contains(room.as_ref())) {
            return Err(problem_of_room(RoomError::NotJoined));
        }
    }
    let first = cx.state.take_tags(rooms.len() as u32);
    for (tag, room) in tags_from(first).zip(rooms) {
        // Only the first can fail: of several, all are joined, and fewer are under way than the
        // engine counts per room.
        cx.engine
            .leave(room.as_ref(), tag)
            .map_err(problem_of_room)?;
    }
    let rooms = rooms.iter().map(|room| room.as_ref().into()).collect();
    let requester = requester(cx);
    cx.session
        .wait(Pending::leave(requester, first, shape, rooms));
    Ok(())
}

/// Each name once, in the order in which they come first.
pub(crate) fn distinct<'n>(rooms: &[&'n str]) -> Vec<&'n str> {
    let mut seen = HashSet::with_capacity(rooms.len());
    let rooms = rooms.iter().copied();
    rooms.filter(|room| seen.insert(*room)).collect()
}

/// Concludes a join whose last answer has come. If one room refused, the others are left again.
pub(crate) fn conclude(cx: &mut Context<'_>, joining: Joining) -> Result<Vec<JoinedRoom>, Problem> {
    match joining.refused {
        None => Ok(joining.rooms),
        Some(error) => {
            let first = cx.state.take_tags(joining.rooms.len() as u32);
            leave_new(cx, first, &joining.rooms);
            Err(problem_of_room(error))
        }
    }
}

/// Leaves the rooms that this request has joined. The answers are dropped.
fn leave_new(cx: &mut Context<'_>, first: Tag, rooms: &[JoinedRoom]) {
    for (tag, room) in tags_from(first).zip(rooms).filter(|(_, room)| !room.was_in) {
        // Fails for a room that the connection has left by itself in the meantime.
        let _ = cx.engine.leave(&room.room, tag);
    }
}

pub(crate) fn tags_from(first: Tag) -> impl Iterator<Item = Tag> {
    (0..).map(move |offset| Tag(first.0.wrapping_add(offset)))
}

/// Rooms joined or being joined, needed only where a request names several: the engine itself
/// checks a single one. Empty once the connection has left its rooms.
fn memberships(cx: &Context<'_>, shape: Shape) -> HashSet<Arc<str>> {
    match shape {
        Shape::Rooms if cx.engine.is_open() => cx.engine.rooms().into_iter().collect(),
        Shape::Room | Shape::Rooms => HashSet::new(),
    }
}

pub(crate) fn require_space(cx: &Context<'_>) -> Result<(), Problem> {
    // SDKs of the Centrifuge protocol subscribe to all their channels at once.
    let subscribes = match cx.dialect() {
        Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => cx.shared.rooms_per_connection_max,
        Dialect::NativeJson | Dialect::JsonRpc | Dialect::MessagePack => 0,
    };
    let requests_max = Limits::REQUESTS_PER_CONNECTION_MAX + subscribes;
    if cx.session.has_space(requests_max.min(Limits::REQUESTS_MAX)) {
        Ok(())
    } else {
        Err(too_many_waiting())
    }
}
