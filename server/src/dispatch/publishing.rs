//! What clients publish: to whom it may go, what it becomes, and what is awaited of it.
//!
//! Invariant: all rooms of a request are checked before the first publish, and a request that wants
//! an answer gets exactly one: at once, or when the homes of its rooms have ordered it. Called by
//! `builtin`.

use crate::auth::grants::RoomAction;
use crate::dispatch::naming::{bad_request, with_rooms};
use crate::dispatch::recorded;
use crate::limits::check;
use crate::namespace::resolved::ResolvedRoom;
use crate::rooms::entry::EntryOfClient;
use crate::rooms::keys::Keys;
use crate::rooms::membership::require_space;
use crate::session::context::Context;
use crate::session::identity::Identity;
use crate::session::pending::{Awaited, AwaitedPlaces, Pending, PublishedRoom, Shape};
use crate::traces::tracer::{BegunStep, TraceContext};
use crate::wire::failure::{BAD_USER, problem_of_publish, too_many_waiting};
use crate::wire::publication::{self, Added, INFO_BYTES_MAX, SignedData};
use crate::wire::traced::TracedData;
use shardcast_engine::{
    EncodingId, Publication, PublicationKind, Publish, PublishError, SpanKind, Tag, Target, Topic,
};
use shardcast_protocol::dialect::{
    self, Command, Dialect, Problem, PublishTarget, Reply, Value, ValueBox,
};
use std::iter;

/// Publishes what a client says.
pub(crate) fn publish(
    cx: &mut Context<'_>,
    command: &Command<'_>,
    asked: &dialect::Publish<'_>,
) -> Result<(), Problem> {
    let trace = cx.decide_trace(("publish", SpanKind::Server));
    let published = publish_in(cx, command, asked, trace.context);
    if let Some(step) = trace.step {
        end_step(cx, command, *step, published.as_ref().err());
    }
    published
}

/// What is known of a step that published.
#[cold]
fn end_step(
    cx: &Context<'_>,
    command: &Command<'_>,
    mut step: BegunStep,
    problem: Option<&Problem>,
) {
    recorded::note(cx, command, &mut step);
    if let Some(problem) = problem {
        step.fail(problem.code.as_str());
    }
}

/// The same, as a part of a trace.
fn publish_in(
    cx: &mut Context<'_>,
    command: &Command<'_>,
    asked: &dialect::Publish<'_>,
    trace: Option<TraceContext>,
) -> Result<(), Problem> {
    if asked.report {
        require_space(cx)?;
    }
    match &asked.target {
        PublishTarget::Rooms(rooms) => with_rooms(cx.shared, rooms, |shape, rooms| {
            if let (Shape::Room, [room]) = (shape, rooms) {
                let ready = ready_for_room(cx, (command, asked), trace, *room)?;
                return send_one(cx, command, asked, ready);
            }
            let ready = rooms
                .iter()
                .map(|room| ready_for_room(cx, (command, asked), trace, *room));
            let ready = ready.collect::<Result<Vec<_>, Problem>>()?;
            send_many(cx, command, asked, ready)
        }),
        PublishTarget::User(user) if !Identity::is_name(user) => Err(bad_request(BAD_USER)),
        PublishTarget::User(user) => {
            let target = Target::User(user);
            let mut ready = ready_for_others(cx, (command, asked), trace, target)?;
            ready.publish = cx.shared.waiting(ready.publish);
            send_one(cx, command, asked, ready)
        }
        PublishTarget::Everyone => {
            let ready = ready_for_others(cx, (command, asked), trace, Target::Everyone)?;
            send_one(cx, command, asked, ready)
        }
    }
}

/// What leaves for one target.
struct Ready<'t> {
    target: Target<'t>,
    publish: Publish,
    place: HasPlace,
}

/// Whether a publish gets a place that its publisher is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HasPlace {
    No,
    /// The room keeps history.
    Yes,
    /// So it does, and its members acknowledge what they are sent.
    WithAcks,
}

/// What a report is to say.
fn awaited_counts<'r, 't: 'r>(mut ready: impl Iterator<Item = &'r Ready<'t>>) -> Awaited {
    match ready.any(|ready| ready.place == HasPlace::WithAcks) {
        true => Awaited::Acks,
        false => Awaited::Counts,
    }
}

/// What is published to a room, if its namespace lets the connection, the data and the keys
/// through.
fn ready_for_room<'r>(
    cx: &Context<'_>,
    said: (&Command<'_>, &dialect::Publish<'_>),
    trace: Option<TraceContext>,
    room: ResolvedRoom<'r>,
) -> Result<Ready<'r>, Problem> {
    cx.may(RoomAction::Publish, &room)?;
    let keys = said.1.keys.as_deref();
    let entry = match keys {
        Some(keys) => EntryOfClient::of(cx, &room, keys)?,
        None => None,
    };
    let publish = publish_of(cx, said, trace, (Some(room), entry.as_ref()))?;
    let mut keys = Keys::of(keys);
    if let Some(entry) = &entry {
        (keys.conflation, keys.change) = (Some(&*entry.key), Some(entry.change));
    }
    Ok(Ready {
        target: Target::Room(room.name()),
        publish: keys.keep(publish, &room)?,
        place: match room.history() {
            Some(_) if room.takes_acks() => HasPlace::WithAcks,
            Some(_) => HasPlace::Yes,
            None => HasPlace::No,
        },
    })
}

/// What is published elsewhere: the default namespace decides.
fn ready_for_others<'t>(
    cx: &Context<'_>,
    said: (&Command<'_>, &dialect::Publish<'_>),
    trace: Option<TraceContext>,
    target: Target<'t>,
) -> Result<Ready<'t>, Problem> {
    let default = cx.shared.namespaces.get().default_namespace();
    let may = default.may_publish(cx.identity());
    may.map_err(|denied| cx.denied(RoomAction::Publish, "", denied))?;
    Ok(Ready {
        target,
        publish: publish_of(cx, said, trace, (None, None))?,
        place: HasPlace::No,
    })
}

fn publish_of(
    cx: &Context<'_>,
    (command, asked): (&Command<'_>, &dialect::Publish<'_>),
    trace: Option<TraceContext>,
    (room, entry): (Option<ResolvedRoom<'_>>, Option<&EntryOfClient>),
) -> Result<Publish, Problem> {
    let shared = cx.shared;
    let namespace = match &room {
        Some(room) => room.namespace(),
        None => shared.namespaces.get().default_namespace(),
    };
    let clean = match command.data {
        Some(data) => namespace.control_characters.apply(data)?,
        None => None,
    };
    let data = clean.as_ref().map(ValueBox::as_value).or(command.data);
    let (connection, dialect) = (cx.connection(), cx.dialect());
    let data: Value<'_> = data.unwrap_or_else(|| publication::nothing(dialect.encoding()));
    let signed = sender_shown(cx).map(|(user, info)| SignedData::new(user, info, data));
    let (data, data_encoding) = match &signed {
        Some(signed) => signed.as_data(),
        None => publication::data_of(data),
    };
    let traced = trace.map(|trace| TracedData::new(trace.parent(), (data, data_encoding)));
    let (data, data_encoding) = match &traced {
        Some(traced) => traced.as_data(),
        None => (data, data_encoding),
    };
    let publication = Publication {
        topic: room.map(|room| Topic::Room(room.name())),
        kind: match entry {
            None => PublicationKind::Message {
                publisher: connection.0,
            },
            Some(entry) => PublicationKind::Event { name: &entry.name },
        },
        data,
        data_encoding,
    };
    let bytes_max = cx.engine.message_bytes_max();
    let present = cx.engine.encodings_present();
    let is_present = |encoding| present.has(encoding);
    let added = room.map_or(Added::Nothing, |room| room.added());
    let content = publication::content_of(is_present, dialect, &publication, added, bytes_max)?;
    let is_debugged = |room: &ResolvedRoom<'_>| shared.debugging.has_room(room.name());
    let recorded = trace.and_then(TraceContext::recorded);
    let recorded = match room.filter(|_| shared.debugging.is_on()) {
        // What is recorded anyway is logged as it is.
        Some(room) if recorded.is_none() && is_debugged(&room) => shared.debugging.trace(),
        Some(_) | None => recorded,
    };
    let publish = Publish::new(match recorded {
        Some(trace) => content.traced(trace),
        None => content,
    });
    Ok(if asked.echo.unwrap_or(namespace.echo) {
        publish
    } else {
        publish.except(connection.0)
    })
}

/// What clients of the Centrifuge protocol are told of who publishes: its user, and what its token
/// says of it. `None`: there is neither, or nobody here speaks that protocol.
#[inline]
fn sender_shown<'c>(cx: &'c Context<'_>) -> Option<(&'c str, &'c str)> {
    let identity = cx.identity();
    let info = identity.claims().and_then(|claims| claims.info());
    // Of a longer one nothing is shown.
    let info = info.filter(|info| info.len() <= INFO_BYTES_MAX);
    if identity.name().is_none() && info.is_none() {
        return None;
    }
    let present = cx.engine.encodings_present();
    let mut dialects = Dialect::ALL
        .into_iter()
        .filter(|dialect| dialect.is_centrifuge());
    dialects
        .any(|dialect| present.has(EncodingId::new(dialect.index())))
        .then(|| (identity.name().unwrap_or(""), info.unwrap_or("")))
}

/// Publishes to one target.
fn send_one(
    cx: &mut Context<'_>,
    command: &Command<'_>,
    asked: &dialect::Publish<'_>,
    ready: Ready<'_>,
) -> Result<(), Problem> {
    check::publish(cx, iter::once(ready.target), bytes_of(command))?;
    let awaited = match ready.place {
        _ if asked.report => awaited_counts(iter::once(&ready)),
        HasPlace::Yes | HasPlace::WithAcks if command.id.is_some() => Awaited::Place,
        HasPlace::Yes | HasPlace::WithAcks | HasPlace::No => {
            let outcome = cx.engine.publish(ready.target, ready.publish);
            outcome.map_err(problem_of_publish)?;
            acknowledge(cx, command, asked);
            return Ok(());
        }
    };
    require_space_for(cx, awaited)?;
    let places = match ready.place {
        HasPlace::Yes | HasPlace::WithAcks => AwaitedPlaces::Room,
        HasPlace::No => AwaitedPlaces::Nowhere,
    };
    let tag = cx.state.take_tags(1);
    let publish = awaited.of(ready.publish, tag);
    let outcome = cx.engine.publish(ready.target, publish);
    outcome.map_err(problem_of_publish)?;
    let requester = cx.requester();
    let pending = Pending::publish(requester, tag, 1, awaited, places);
    cx.session.wait(pending);
    Ok(())
}

/// Publishes to several rooms. Those that keep history have a tag each, and the others share the
/// one behind.
fn send_many(
    cx: &mut Context<'_>,
    command: &Command<'_>,
    asked: &dialect::Publish<'_>,
    ready: Vec<Ready<'_>>,
) -> Result<(), Problem> {
    let targets = ready.iter().map(|ready| ready.target);
    check::publish(cx, targets, bytes_of(command))?;
    let is_answered = asked.report || command.id.is_some();
    let has_tag = |ready: &Ready<'_>| is_answered && ready.place != HasPlace::No;
    let places = ready.iter().filter(|ready| has_tag(ready)).count() as u32;
    let mut awaited = match places {
        _ if asked.report => Some(awaited_counts(ready.iter())),
        0 => None,
        _ => Some(Awaited::Place),
    };
    if let Some(awaited) = awaited {
        require_space_for(cx, awaited)?;
    }
    let first = cx.state.take_tags(places + 1);
    let mut rooms = Vec::with_capacity(places as usize);
    let mut missing = 0;
    for (sent, ready) in ready.into_iter().enumerate() {
        let tag = match ready.target {
            Target::Room(room) if has_tag(&ready) => {
                rooms.push(PublishedRoom::new(room));
                Some(rooms.len() as u32 - 1)
            }
            _ => asked.report.then_some(places),
        };
        let tagged = awaited.zip(tag).map(|(awaited, tag)| {
            missing += 1;
            let tag = Tag(first.0.wrapping_add(tag));
            awaited.of(ready.publish.clone(), tag)
        });
        let outcome = match tagged.map(|tagged| cx.engine.publish(ready.target, tagged)) {
            // Some rooms have the message already, and after a refusal the client would send it to
            // them again. So the other rooms get it, too, and the answer says nothing more.
            Some(Err(PublishError::TooManyReports)) if sent > 0 => {
                awaited = None;
                cx.engine.publish(ready.target, ready.publish)
            }
            Some(outcome) => outcome,
            None => cx.engine.publish(ready.target, ready.publish),
        };
        outcome.map_err(problem_of_publish)?;
    }
    match awaited {
        Some(awaited) => {
            let requester = cx.requester();
            let places = AwaitedPlaces::Rooms(rooms);
            let pending = Pending::publish(requester, first, missing, awaited, places);
            cx.session.wait(pending);
        }
        None => acknowledge(cx, command, asked),
    }
    Ok(())
}

/// What a command publishes, as its sender wrote it.
fn bytes_of(command: &Command<'_>) -> usize {
    command.data.map_or(0, |data| data.as_bytes().len())
}

/// Answers a publish of which nothing is awaited.
fn acknowledge(cx: &mut Context<'_>, command: &Command<'_>, asked: &dialect::Publish<'_>) {
    if asked.report || command.id.is_some() {
        cx.answer(&Reply::Ack);
    } else {
        drop(cx.defer());
    }
}

/// One more publish may wait for its home.
fn require_space_for(cx: &Context<'_>, awaited: Awaited) -> Result<(), Problem> {
    match awaited {
        Awaited::Place if cx.session.has_space_for_receipt() => Ok(()),
        Awaited::Place => Err(too_many_waiting()),
        Awaited::Counts | Awaited::Acks => require_space(cx),
    }
}
