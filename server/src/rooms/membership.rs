//! Joining and leaving, for clients and for code alike: all rooms of a request or none, one
//! outcome.

use crate::namespace::Denied;
use crate::namespace::resolved::ResolvedRoom;
use crate::session::background::Background;
use crate::session::context::{Context, Continuation};
use crate::session::handle::Handle;
use crate::session::pending::{Asker, JoinedRoom, Joining, Outcome, Pending, Shape};
use crate::wire::connection_id::ConnectionId;
use crate::wire::failure::{Failure, Gone, problem_of_room, too_many_waiting};
use shardcast_engine::{RoomError, Tag};
use shardcast_protocol::dialect::Problem;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::oneshot;

impl Context<'_> {
    /// Joins a room. The connection is a member when the room's home says so, some microseconds
    /// later: [`Context::rooms`] shows the room at once, its messages come from then on. To wait
    /// for it, use [`Context::join_then`], or a background handler.
    ///
    /// Namespaces hold here for the name and for how many members there may be, not for who may
    /// join: that rule is for clients.
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
        let resolved = rooms.iter().map(|room| shared.resolve(room));
        let resolved = resolved.collect::<Result<Vec<_>, Denied>>();
        let resolved = resolved.map_err(Problem::from)?;
        let then = Continuation::new(move |cx, outcome| {
            if let Outcome::Joined(joining) = outcome {
                let joined = conclude(cx, joining);
                then(cx, joined);
            }
        });
        Ok(join(self, |_| Asker::Code(then), Shape::Rooms, &resolved)?)
    }

    /// Leaves a room. No message of it follows once the room's home has said so.
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
        let then = Continuation::new(move |cx, _| then(cx));
        Ok(leave(self, |_| Asker::Code(then), Shape::Rooms, &rooms)?)
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
}

impl Handle {
    /// Makes a connection join rooms, all or none, and waits until it is a member:
    /// [`Context::join_then`]. The members of each then.
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
}

impl Background {
    /// Joins a room, and waits until the connection is a member. The members then.
    ///
    /// # Errors
    /// [`Gone`], or a problem of the name or the limits.
    pub async fn join(&self, room: &str) -> Result<u32, Failure> {
        let joined = self.join_many(&[room]).await?;
        Ok(joined.first().map_or(0, |(_, members)| *members))
    }

    /// Joins several rooms, all or none, and waits until the connection is a member of all. The
    /// members of each then.
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
}

/// Joins rooms, which are distinct; `asker` is made, and hears of it, only if the engine takes all.
pub(crate) fn join(
    cx: &mut Context<'_>,
    asker: impl FnOnce(&mut Context<'_>) -> Asker<Continuation>,
    shape: Shape,
    rooms: &[ResolvedRoom<'_>],
) -> Result<(), Problem> {
    require_space(cx)?;
    let mine = memberships(cx, shape);
    let new = rooms
        .iter()
        .filter(|room| !mine.contains(room.name()))
        .count();
    if shape == Shape::Rooms && mine.len() + new > cx.shared.rooms_per_connection_max {
        return Err(problem_of_room(RoomError::TooMany));
    }
    let first = cx.state.take_tags(rooms.len() as u32);
    let mut joined: Vec<JoinedRoom> = Vec::with_capacity(rooms.len());
    for (tag, room) in tags_from(first).zip(rooms) {
        let (room, members_max) = (room.name(), room.namespace().members_max);
        if let Err(error) = cx.engine.join_limited(room, members_max, tag) {
            // All or nothing: what this request has joined so far is left again, and nobody waits
            // for those answers.
            leave_new(cx, first, &joined);
            return Err(problem_of_room(error));
        }
        joined.push(JoinedRoom {
            was_in: mine.contains(room),
            room: room.into(),
            members: 0,
        });
    }
    let asker = asker(cx);
    cx.session.wait(Pending::join(asker, first, shape, joined));
    Ok(())
}

/// Leaves rooms, distinct ones; `asker` is made, and hears
/// of it, only if the connection is in all.
pub(crate) fn leave(
    cx: &mut Context<'_>,
    asker: impl FnOnce(&mut Context<'_>) -> Asker<Continuation>,
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
    let asker = asker(cx);
    cx.session.wait(Pending::leave(asker, first, shape, rooms));
    Ok(())
}

/// Each name once, in the order in which they come first.
pub(crate) fn distinct<'n>(rooms: &[&'n str]) -> Vec<&'n str> {
    let mut seen = HashSet::with_capacity(rooms.len());
    let rooms = rooms.iter().copied();
    rooms.filter(|room| seen.insert(*room)).collect()
}

/// What became of a join when the last answer is there. Refused, if one room was: then the others
/// are left.
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

/// Leaves those rooms that were joined by this request. Nobody waits for it.
fn leave_new(cx: &mut Context<'_>, first: Tag, rooms: &[JoinedRoom]) {
    for (tag, room) in tags_from(first).zip(rooms).filter(|(_, room)| !room.was_in) {
        // It fails where the connection has left it by itself in the meantime.
        let _ = cx.engine.leave(&room.room, tag);
    }
}

fn tags_from(first: Tag) -> impl Iterator<Item = Tag> {
    (0..).map(move |offset| Tag(first.0.wrapping_add(offset)))
}

/// Rooms joined or being joined, looked at only where several are asked for: the engine checks a
/// single one itself. None, once the connection has left those that it was in.
fn memberships(cx: &Context<'_>, shape: Shape) -> HashSet<Arc<str>> {
    match shape {
        Shape::Rooms if cx.engine.is_open() => cx.engine.rooms().into_iter().collect(),
        Shape::Room | Shape::Rooms => HashSet::new(),
    }
}

pub(crate) fn require_space(cx: &Context<'_>) -> Result<(), Problem> {
    if cx.session.has_space() {
        Ok(())
    } else {
        Err(too_many_waiting())
    }
}
