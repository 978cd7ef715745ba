//! What the server answers itself, in every dialect.
//!
//! Invariant: a request is answered exactly once, with its answer or an error, and a refused
//! request changed nothing.

use crate::namespace::resolved::ResolvedRoom;
use crate::namespace::{Denied, Namespace};
use crate::rooms::members;
use crate::rooms::membership::{self, require_space};
use crate::session::call::OwnedCall;
use crate::session::context::Context;
use crate::session::identity::Identity;
use crate::session::pending::{Joining, Outcome, Pending, Shape};
use crate::session::shared::Shared;
use crate::wire::connection_id::{ConnectionId, IdText};
use crate::wire::failure::{BAD_USER, problem_of_publish};
use crate::wire::publication;
use shardcast_engine::{Listing, Publication, PublicationKind, Publish, Target, Topic};
use shardcast_protocol::dialect::{
    self, Code, Command, Counts, Joined, Member, Presence, Problem, PublishTarget, Reply, Request,
    Rooms, Status, Value, ValueBox,
};
use std::collections::HashSet;

/// Serves a request: answers it now, or keeps it until other shards have answered. Calls of
/// handlers take another way.
pub(crate) fn run(cx: &mut Context<'_>, command: &Command<'_>) -> Result<(), Problem> {
    match &command.request {
        Request::Ping => cx.answer(&Reply::Pong { data: command.data }),
        Request::Echo => cx.answer(&Reply::Echo { data: command.data }),
        Request::Join(rooms) => join(cx, rooms)?,
        Request::Leave(rooms) => leave(cx, rooms)?,
        Request::Broadcast(asked) | Request::Publish(asked) => publish(cx, command, asked)?,
        Request::Rooms => {
            let rooms = cx.rooms();
            let rooms: Vec<&str> = rooms.iter().map(|room| &**room).collect();
            cx.answer(&Reply::Rooms(&rooms));
        }
        Request::Status => status(cx),
        Request::Presence { room, limit } => presence(cx, room, *limit)?,
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

fn join(cx: &mut Context<'_>, asked: &Rooms<'_>) -> Result<(), Problem> {
    with_rooms(cx.shared, asked, |shape, rooms| {
        for room in rooms {
            room.namespace().may_join(cx.identity())?;
        }
        membership::join(cx, |cx| cx.requester(), shape, rooms)
    })
}

fn leave(cx: &mut Context<'_>, asked: &Rooms<'_>) -> Result<(), Problem> {
    with_rooms(cx.shared, asked, |shape, rooms| {
        membership::leave(cx, |cx| cx.requester(), shape, rooms)
    })
}

fn presence(cx: &mut Context<'_>, room: &str, limit: Option<u32>) -> Result<(), Problem> {
    let room = cx.shared.resolve(room)?;
    room.namespace().may_see(cx.identity())?;
    members::list(cx, |cx| cx.requester(), room, limit)
}

fn publish(
    cx: &mut Context<'_>,
    command: &Command<'_>,
    asked: &dialect::Publish<'_>,
) -> Result<(), Problem> {
    if asked.report {
        require_space(cx)?;
    }
    match &asked.target {
        PublishTarget::Rooms(rooms) => with_rooms(cx.shared, rooms, |_, rooms| match rooms {
            [room] => {
                let publish = publish_of(cx, command, asked, Some(*room))?;
                send_out(cx, command, asked, [(Target::Room(room.name()), publish)])
            }
            rooms => publish_to_many(cx, command, asked, rooms),
        }),
        PublishTarget::User(user) if !Identity::is_name(user) => Err(bad_request(BAD_USER)),
        PublishTarget::User(user) => {
            let publish = publish_of(cx, command, asked, None)?;
            send_out(cx, command, asked, [(Target::User(user), publish)])
        }
        PublishTarget::Everyone => {
            let publish = publish_of(cx, command, asked, None)?;
            send_out(cx, command, asked, [(Target::Everyone, publish)])
        }
    }
}

/// Publishes to several rooms. All rooms are checked before the first publish.
fn publish_to_many(
    cx: &mut Context<'_>,
    command: &Command<'_>,
    asked: &dialect::Publish<'_>,
    rooms: &[ResolvedRoom<'_>],
) -> Result<(), Problem> {
    let publishes = rooms.iter().map(|room| {
        let publish = publish_of(cx, command, asked, Some(*room))?;
        Ok((Target::Room(room.name()), publish))
    });
    let publishes = publishes.collect::<Result<Vec<_>, Problem>>()?;
    send_out(cx, command, asked, publishes)
}

/// What is published, if the namespace lets the connection and its data through: the namespace of
/// the room, or the default one.
fn publish_of(
    cx: &Context<'_>,
    command: &Command<'_>,
    asked: &dialect::Publish<'_>,
    room: Option<ResolvedRoom<'_>>,
) -> Result<Publish, Problem> {
    let shared = cx.shared;
    let namespace = match &room {
        Some(room) => room.namespace(),
        None => shared.namespaces.default_namespace(),
    };
    namespace.may_publish(cx.identity())?;
    let clean = cleaned(namespace, command.data)?;
    let data = clean.as_ref().map(ValueBox::as_value).or(command.data);
    let (connection, dialect) = (cx.connection(), cx.dialect());
    let data = data.unwrap_or_else(|| publication::nothing(dialect.encoding()));
    let (data, data_encoding) = publication::data_of(data);
    let publication = Publication {
        topic: room.map(|room| Topic::Room(room.name())),
        kind: PublicationKind::Message {
            publisher: connection.0,
        },
        data,
        data_encoding,
    };
    let bytes_max = cx.engine.message_bytes_max();
    let present = cx.engine.encodings_present();
    let is_present = |encoding| present.has(encoding);
    let content = publication::content_of(is_present, dialect, &publication, bytes_max)?;
    let publish = Publish::new(content);
    Ok(if asked.echo.unwrap_or(namespace.echo) {
        publish
    } else {
        publish.except(connection.0)
    })
}

fn cleaned(namespace: &Namespace, data: Option<Value<'_>>) -> Result<Option<ValueBox>, Problem> {
    match data {
        Some(data) => namespace.control_characters.apply(data),
        None => Ok(None),
    }
}

fn send_out<'t>(
    cx: &mut Context<'_>,
    command: &Command<'_>,
    asked: &dialect::Publish<'_>,
    publishes: impl IntoIterator<Item = (Target<'t>, Publish), IntoIter: ExactSizeIterator>,
) -> Result<(), Problem> {
    let publishes = publishes.into_iter();
    let count = publishes.len() as u32;
    let first = cx.state.take_tags(1);
    let mut tag = asked.report.then_some(first);
    for (sent, (target, publish)) in publishes.enumerate() {
        if sent > 0 && cx.engine.reports_are_full() {
            // Some rooms have the message already, and after a refusal the client would send it to
            // them again. So the other rooms get it, too, and the answer has no counts.
            tag = None;
        }
        let publish = match tag {
            Some(tag) => publish.report(tag),
            None => publish,
        };
        let outcome = cx.engine.publish(target, publish);
        outcome.map_err(problem_of_publish)?;
    }
    match tag {
        Some(tag) => {
            let requester = cx.requester();
            cx.session.wait(Pending::report(requester, tag, count));
        }
        None if asked.report || command.id.is_some() => cx.answer(&Reply::Ack),
        None => drop(cx.defer()),
    }
    Ok(())
}

/// Answers a client whose request has waited for other shards.
pub(crate) fn answer_late(cx: &mut Context<'_>, call: &OwnedCall, outcome: Outcome) {
    match outcome {
        Outcome::Joined(joining) => answer_join(cx, call, joining),
        Outcome::Left { shape, rooms } => {
            let rooms: Vec<&str> = rooms.iter().map(|room| &**room).collect();
            match (shape, &*rooms) {
                (Shape::Room, [room]) => cx.answer_to(call, &Reply::Left { room }),
                (Shape::Room | Shape::Rooms, all) => cx.answer_to(call, &Reply::LeftRooms(all)),
            }
        }
        Outcome::Reported(report) => {
            let counts = Counts {
                delivered: report.delivered,
                queued: report.queued,
                dropped: report.dropped,
            };
            cx.answer_to(call, &Reply::Report(counts));
        }
        Outcome::Listed {
            room,
            limit,
            listing,
        } => answer_presence(cx, call, &room, limit, &listing),
    }
}

fn answer_join(cx: &mut Context<'_>, call: &OwnedCall, joining: Joining) {
    let shape = joining.shape;
    let rooms = match membership::conclude(cx, joining) {
        Ok(rooms) => rooms,
        Err(problem) => return cx.answer_to(call, &Reply::Error(&problem)),
    };
    let joined = rooms.iter().map(|room| Joined {
        room: &room.room,
        members: room.members,
    });
    let joined: Vec<Joined<'_>> = joined.collect();
    match (shape, &*joined) {
        (Shape::Room, [one]) => cx.answer_to(call, &Reply::Joined(*one)),
        (Shape::Room | Shape::Rooms, all) => cx.answer_to(call, &Reply::JoinedRooms(all)),
    }
}

fn answer_presence(
    cx: &mut Context<'_>,
    call: &OwnedCall,
    room: &str,
    limit: Option<u32>,
    listing: &Listing,
) {
    let limit = limit.map_or(usize::MAX, |limit| limit as usize);
    let found = listing.members.iter().take(limit);
    let ids: Vec<IdText> = found
        .clone()
        .map(|member| ConnectionId(member.address).text())
        .collect();
    let members = ids.iter().zip(found).map(|(id, member)| Member {
        connection: id.as_str(),
        user: member.user.as_deref(),
    });
    let members: Vec<Member<'_>> = members.collect();
    let presence = Presence {
        room,
        total: listing.total,
        members: &members,
    };
    cx.answer_to(call, &Reply::Presence(presence));
}

/// Calls with the rooms that a request names, each once, in the order asked.
fn with_rooms(
    shared: &Shared,
    asked: &Rooms<'_>,
    act: impl FnOnce(Shape, &[ResolvedRoom<'_>]) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let rooms = match asked {
        Rooms::One(room) => return act(Shape::Room, &[shared.resolve(room)?]),
        Rooms::Many(rooms) => rooms,
    };
    // Bounds the work that one message can ask for, repetitions included.
    if rooms.count() > shared.rooms_per_connection_max {
        return Err(Problem::new(
            Code::RoomLimit,
            "rooms names more rooms than a connection may be in",
        ));
    }
    let mut seen = HashSet::with_capacity(rooms.count());
    let distinct = rooms.names().filter(|room| seen.insert(room.clone()));
    let names: Vec<_> = distinct.collect();
    let resolved = names.iter().map(|room| shared.resolve(room));
    let resolved = resolved.collect::<Result<Vec<_>, Denied>>()?;
    act(Shape::Rooms, &resolved)
}

fn bad_request(message: &'static str) -> Problem {
    Problem::new(Code::BadRequest, message)
}
