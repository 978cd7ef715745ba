//! What the server answers itself, in every dialect.
//!
//! Invariant: a request is answered exactly once, with its answer or an error, and a refused
//! request changed nothing.

use crate::auth::grants::RoomAction;
use crate::centrifuge::requests;
use crate::dispatch::authenticate::{Occasion, authenticate};
use crate::dispatch::naming::{bad_request, with_rooms};
use crate::dispatch::publishing::publish;
use crate::dispatch::room_token;
use crate::limits::check;
use crate::namespace::Standing;
use crate::namespace::resolved::ResolvedRoom;
use crate::rooms::cursor::key_of_cursor;
use crate::rooms::entering::RoomToJoin;
use crate::rooms::membership;
use crate::rooms::{history, members, presence, resume};
use crate::session::context::Context;
use crate::wire::failure::problem_of_room;
use crate::wire::position::since_of;
use shardcast_engine::{HistoryQuery, JoinDeltas, PresenceQuery, ReadOrder, Since};
use shardcast_protocol::dialect::centrifuge::Refusal;
use shardcast_protocol::dialect::{
    self, Command, Join, JoinSince, Problem, Reply, Request, Resume, Rooms, SinceByRoom, Status,
};
use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Serves a request: answers it now, or keeps it until other shards have answered. Calls of
/// handlers take another way.
pub(crate) fn run(cx: &mut Context<'_>, command: &Command<'_>) -> Result<(), Problem> {
    match &command.request {
        Request::Ping => cx.answer(&Reply::Pong { data: command.data }),
        Request::Echo => cx.answer(&Reply::Echo { data: command.data }),
        Request::Join(asked) => join(cx, asked)?,
        Request::Leave(rooms) => leave(cx, rooms)?,
        Request::Broadcast(asked) | Request::Publish(asked) => publish(cx, command, asked)?,
        Request::Rooms => {
            let rooms = cx.rooms();
            let rooms: Vec<&str> = rooms.iter().map(|room| &**room).collect();
            cx.answer(&Reply::Rooms(&rooms));
        }
        Request::Status => status(cx),
        Request::Presence(query) => present(cx, query)?,
        Request::History(query) => history(cx, query)?,
        Request::Auth(token) => authenticate(cx, token, Occasion::Auth)?,
        Request::Refresh(token) => authenticate(cx, token, Occasion::Refresh)?,
        Request::Resume(asked) => resume(cx, asked)?,
        Request::Ack(asked) => acknowledge(cx, command, asked)?,
        Request::Centrifuge(asked) => requests::run(cx, asked)?,
        Request::Call { .. } => unreachable!("no handler's entry acts for the server"),
    }
    Ok(())
}

fn status(cx: &mut Context<'_>) {
    let (connection, rooms) = (cx.connection().text(), cx.rooms());
    let rooms: Vec<&str> = rooms.iter().map(|room| &**room).collect();
    let identity = cx.identity().clone();
    let status = Status {
        connection: connection.as_str(),
        user: identity.name(),
        connected_ms: cx.connected().as_millis() as u64,
        shard: cx.state.shard,
    };
    cx.answer(&Reply::Status {
        status,
        rooms: &rooms,
    });
}

fn join(cx: &mut Context<'_>, asked: &Join<'_>) -> Result<(), Problem> {
    check::join(cx, rooms_in(&asked.rooms))?;
    if let (Some(token), Rooms::One(room)) = (asked.token.as_deref(), &asked.rooms) {
        return room_token::join(cx, room, asked, token);
    }
    let mut since = Positions::of(asked)?;
    with_rooms(cx.shared, &asked.rooms, |shape, rooms| match rooms {
        // Most clients name one, which takes no list.
        [room] => {
            let joins = [room_to_join(cx, asked, &mut since, room)?];
            since.check_all_taken()?;
            membership::join(cx, |cx| cx.requester(), shape, &joins)
        }
        rooms => {
            let joins = rooms.iter();
            let joins = joins.map(|room| room_to_join(cx, asked, &mut since, room));
            let joins = joins.collect::<Result<Vec<_>, Problem>>()?;
            since.check_all_taken()?;
            membership::join(cx, |cx| cx.requester(), shape, &joins)
        }
    })
}

/// A room that a client may join, with what it asks for there.
fn room_to_join<'r>(
    cx: &mut Context<'_>,
    asked: &Join<'_>,
    since: &mut Positions<'_>,
    room: &ResolvedRoom<'r>,
) -> Result<RoomToJoin<'r>, Problem> {
    cx.may(RoomAction::Join, room)?;
    let since = since.take(room.name());
    if since.is_some() {
        // Who may join stands to the room as a member does.
        history::may_read(cx, room, Standing::Member)?;
    }
    let shown = asked.presence.as_deref();
    let shown = shown.map(|shown| presence::shown_in(room, *shown));
    Ok(RoomToJoin {
        room: *room,
        since,
        shown: shown.transpose()?,
        before: None,
        deltas: JoinDeltas::Never,
        filter: None,
    })
}

fn rooms_in(rooms: &Rooms<'_>) -> usize {
    match rooms {
        Rooms::One(_) => 1,
        Rooms::Many(rooms) => rooms.count(),
    }
}

/// What a client has had of the rooms that it joins.
enum Positions<'b> {
    None,
    Room(Since),
    Rooms(HashMap<Cow<'b, str>, Since>),
}

impl<'b> Positions<'b> {
    fn of(asked: &Join<'b>) -> Result<Positions<'b>, Problem> {
        Ok(match (asked.since.as_deref(), &asked.rooms) {
            (None, _) => Positions::None,
            (Some(JoinSince::Room(since)), _) => Positions::Room(since_of(since)),
            (Some(JoinSince::Rooms(since)), Rooms::One(_)) => Positions::by_room(since, 1)?,
            (Some(JoinSince::Rooms(since)), Rooms::Many(rooms)) => {
                Positions::by_room(since, rooms.count())?
            }
        })
    }

    /// No more than there are rooms, whatever a client sends.
    fn by_room(since: &SinceByRoom<'b>, rooms_max: usize) -> Result<Positions<'b>, Problem> {
        let mut by_room = HashMap::new();
        for (room, since) in since.rooms() {
            if by_room.len() == rooms_max {
                return Err(bad_request(NOT_JOINED_TOO));
            }
            match by_room.entry(room) {
                Entry::Vacant(free) => free.insert(since_of(&since)),
                Entry::Occupied(_) => return Err(bad_request("duplicate key")),
            };
        }
        Ok(Positions::Rooms(by_room))
    }

    fn take(&mut self, room: &str) -> Option<Since> {
        match self {
            Positions::None => None,
            Positions::Room(since) => Some(*since),
            Positions::Rooms(by_room) => by_room.remove(room),
        }
    }

    /// A position that no room has taken is a mistake: the client would believe that it is used.
    fn check_all_taken(&self) -> Result<(), Problem> {
        match self {
            Positions::Rooms(left) if !left.is_empty() => Err(bad_request(NOT_JOINED_TOO)),
            Positions::None | Positions::Room(_) | Positions::Rooms(_) => Ok(()),
        }
    }
}

const NOT_JOINED_TOO: &str = "since names a room that rooms does not";

fn history(cx: &mut Context<'_>, asked: &dialect::HistoryQuery<'_>) -> Result<(), Problem> {
    let room = cx.shared.resolve(&asked.room)?;
    let standing = match cx.is_in(room.name()) {
        true => Standing::Member,
        false => Standing::Stranger,
    };
    if cx.dialect().is_centrifuge() && room.history().is_none() {
        cx.may_read(&room, standing)?;
        requests::refuse(cx, Refusal::NotAvailable);
        return Ok(());
    }
    history::may_read(cx, &room, standing)?;
    let query = HistoryQuery {
        since: asked.since.as_ref().map(since_of),
        limit: asked.limit.map_or(HistoryQuery::LIMIT_MAX, |limit| {
            limit.min(HistoryQuery::LIMIT_MAX)
        }),
        order: match asked.order {
            dialect::ReadOrder::Forward => ReadOrder::Forward,
            dialect::ReadOrder::Reverse => ReadOrder::Reverse,
        },
    };
    history::read(cx, |cx| cx.requester(), room, query)
}

/// Goes on with a session, from where the client says that it has heard its rooms.
fn resume(cx: &mut Context<'_>, asked: &Resume<'_>) -> Result<(), Problem> {
    let mut positions = HashMap::new();
    for (room, since) in asked.since.iter().flat_map(SinceByRoom::rooms) {
        if positions.len() == cx.shared.rooms_per_connection_max {
            return Err(bad_request("since names more rooms than a session has"));
        }
        if positions
            .insert(room.into_owned(), since_of(&since))
            .is_some()
        {
            return Err(bad_request("duplicate key"));
        }
    }
    resume::ask(cx, &asked.token, positions)
}

/// The client has what a room sent it: it is not sent it again.
fn acknowledge(
    cx: &mut Context<'_>,
    command: &Command<'_>,
    asked: &dialect::Ack<'_>,
) -> Result<(), Problem> {
    let room = cx.shared.resolve(&asked.room)?;
    let acknowledged = cx.engine.acknowledge(room.name(), asked.offset);
    acknowledged.map_err(problem_of_room)?;
    if !room.takes_acks() {
        return Err(bad_request(NO_ACKS));
    }
    match command.id {
        Some(_) => cx.answer(&Reply::Ack),
        None => drop(cx.defer()),
    }
    Ok(())
}

const NO_ACKS: &str = "this room takes no acks: its namespace needs the options history and acks";

fn leave(cx: &mut Context<'_>, asked: &Rooms<'_>) -> Result<(), Problem> {
    with_rooms(cx.shared, asked, |shape, rooms| {
        membership::leave(cx, |cx| cx.requester(), shape, rooms)
    })
}

/// Who is in a room: names, or pages where the room knows its members one by one.
fn present(cx: &mut Context<'_>, asked: &dialect::PresenceQuery<'_>) -> Result<(), Problem> {
    let room = cx.shared.resolve(&asked.room)?;
    cx.may(RoomAction::Presence, &room)?;
    let after = match asked.cursor.as_deref() {
        Some(_) if room.presence().is_none() => return Err(bad_request(presence::NO_PRESENCE)),
        Some(cursor) => Some(key_of_cursor(cursor).ok_or_else(|| bad_request(BAD_CURSOR))?),
        None => None,
    };
    if room.presence().is_none() {
        return members::list(cx, |cx| cx.requester(), room, asked.limit);
    }
    let limit = asked.limit.unwrap_or(PresenceQuery::LIMIT_MAX);
    let query = PresenceQuery { after, limit };
    presence::read(cx, |cx| cx.requester(), room, query)
}

const BAD_CURSOR: &str = "cursor is not from an answer of this server";
