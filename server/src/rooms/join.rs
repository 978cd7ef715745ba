//! Joining, leaving and listing for clients and for code alike: all rooms of a request or none, one outcome.

use crate::namespace::{Namespace, Namespaces};
use crate::session::context::{Context, too_many_waiting};
use crate::session::pending::{Asker, JoinedRoom, Joining, Pending, Shape};
use crate::wire::failure::{Failure, problem_of_publish, problem_of_room};
use shardcast_engine::{RoomError, Tag, Topic};
use shardcast_protocol::dialect::{Code, Problem};
use std::collections::HashSet;
use std::sync::Arc;

/// The namespace of a room, whose name obeys its rules.
pub(crate) fn find_in<'n>(
    namespaces: &'n Namespaces,
    room: &str,
) -> Result<&'n Namespace, Problem> {
    Ok(namespaces.find(room)?)
}

/// The same, from the context.
pub(crate) fn find<'n>(cx: &'n Context<'_>, room: &str) -> Result<&'n Namespace, Failure> {
    Ok(find_in(&cx.desk.shared.namespaces, room)?)
}

/// Joins rooms, distinct ones with good names; `asker` is made, and told, only if the engine takes all.
pub(crate) fn join(
    cx: &mut Context<'_>,
    asker: impl FnOnce(&mut Context<'_>) -> Asker,
    form: Shape,
    rooms: &[impl AsRef<str>],
) -> Result<(), Problem> {
    require_space(cx)?;
    let mine = memberships(cx, form);
    let new = rooms
        .iter()
        .filter(|room| !mine.contains(room.as_ref()))
        .count();
    if form == Shape::Rooms && mine.len() + new > cx.desk.shared.rooms_per_connection_max {
        return Err(problem_of_room(RoomError::TooMany));
    }
    let first = cx.desk.take_tags(rooms.len() as u32);
    let mut joined: Vec<JoinedRoom> = Vec::with_capacity(rooms.len());
    for (tag, room) in tags_from(first).zip(rooms) {
        let room = room.as_ref();
        let members_max = find_in(&cx.desk.shared.namespaces, room)?.members_max;
        if let Err(error) = cx.engine.join_limited(room, members_max, tag) {
            // All or nothing: what this request has joined so far is left again, and nobody waits for those answers.
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
    cx.session.wait(Pending::join(asker, first, form, joined));
    Ok(())
}

/// Leaves rooms, distinct ones; `asker` is made, and told, only if the connection is in all.
pub(crate) fn leave(
    cx: &mut Context<'_>,
    asker: impl FnOnce(&mut Context<'_>) -> Asker,
    form: Shape,
    rooms: &[impl AsRef<str>],
) -> Result<(), Problem> {
    require_space(cx)?;
    if form == Shape::Rooms {
        let mine = memberships(cx, form);
        if !rooms.iter().all(|room| mine.contains(room.as_ref())) {
            return Err(problem_of_room(RoomError::NotJoined));
        }
    }
    let first = cx.desk.take_tags(rooms.len() as u32);
    for (tag, room) in tags_from(first).zip(rooms) {
        // Only the first can fail: of several, all are joined, and fewer are under way than the engine counts per room.
        cx.engine
            .leave(room.as_ref(), tag)
            .map_err(problem_of_room)?;
    }
    let rooms = rooms.iter().map(|room| room.as_ref().into()).collect();
    let asker = asker(cx);
    cx.session.wait(Pending::leave(asker, first, form, rooms));
    Ok(())
}

/// Each name once, in the order in which they come first.
pub(crate) fn distinct<'n>(rooms: &[&'n str]) -> Vec<&'n str> {
    let mut seen = HashSet::with_capacity(rooms.len());
    let rooms = rooms.iter().copied();
    rooms.filter(|room| seen.insert(*room)).collect()
}

/// Asks who is in a room; `limit` is how many are to be named.
pub(crate) fn list(
    cx: &mut Context<'_>,
    asker: impl FnOnce(&mut Context<'_>) -> Asker,
    room: &str,
    limit: Option<u32>,
) -> Result<(), Problem> {
    require_space(cx)?;
    let tag = cx.desk.take_tags(1);
    cx.engine
        .list(Topic::Room(room), tag)
        .map_err(problem_of_publish)?;
    let asker = asker(cx);
    cx.session
        .wait(Pending::list(asker, tag, room.into(), limit));
    Ok(())
}

/// What became of a join when the last answer is there. Refused, if one room was: then the others are left.
pub(crate) fn conclude(cx: &mut Context<'_>, joining: Joining) -> Result<Vec<JoinedRoom>, Problem> {
    match joining.refused {
        None => Ok(joining.rooms),
        Some(error) => {
            let first = cx.desk.take_tags(joining.rooms.len() as u32);
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

/// Rooms joined or being joined, looked at only where several are asked for: the engine checks a single one itself. None, once the
/// connection has left those that it was in.
fn memberships(cx: &Context<'_>, form: Shape) -> HashSet<Arc<str>> {
    match form {
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

/// What clients hear of a namespace that refuses.
impl From<crate::namespace::Denied> for Problem {
    fn from(denied: crate::namespace::Denied) -> Problem {
        let code = Code::from_name(denied.code()).unwrap_or(Code::Forbidden);
        Problem::new(code, denied.message())
    }
}
