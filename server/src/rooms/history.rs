//! What rooms keep, read by clients and by code of the application.

use crate::namespace::Standing;
use crate::namespace::resolved::ResolvedRoom;
use crate::rooms::membership::require_space;
use crate::session::background::Background;
use crate::session::context::{Context, Continuation};
use crate::session::handle::Handle;
use crate::session::pending::{Outcome, Pending, Requester};
use crate::session::retry::{Queue, place_in};
use crate::wire::connection_id::ConnectionId;
use crate::wire::failure::{Failure, NO_ORDER, problem_of_publish, unavailable};
use crate::wire::from_data::Data;
use crate::wire::publication::value_of;
use shardcast_engine::{
    Answer, History, HistoryQuery, LogClass, Loss, Position, Publication, PublicationKind,
    ReadOrder, Refused, Topic,
};
use shardcast_protocol::dialect::centrifuge::{MapEntry, entry_of, plain_name, tags_of};
use shardcast_protocol::dialect::{Code, Problem};
use shardcast_protocol::json::Raw;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A part of what a room keeps.
#[derive(Clone, Debug)]
pub struct RoomHistory {
    room: Arc<str>,
    found: History,
}

/// A message that a room keeps.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HistoryMessage<'h> {
    /// Its place in the order of the room.
    pub offset: u64,
    /// The connection that published it; `None`: the application did, or one of another node.
    pub from: Option<ConnectionId>,
    /// The connection of another node that published it, as clients are told.
    pub elsewhere: Option<&'h str>,
    /// The event's name, if the application published it.
    pub event: Option<&'h str>,
    /// The tags of what the server API of the Centrifuge protocol published: a JSON object.
    pub(crate) tags: Option<Raw<'h>>,
    /// What it changes of the map that the room is.
    pub(crate) entry: Option<MapEntry<'h>>,
    /// What it says.
    pub data: Data<'h>,
}

impl RoomHistory {
    /// The room.
    pub fn room(&self) -> &str {
        &self.room
    }

    /// The place of the newest message of the room, which need not be one of these.
    pub fn position(&self) -> Position {
        self.found.position
    }

    /// Why not all that was asked for is there any more.
    pub fn loss(&self) -> Option<Loss> {
        self.found.loss
    }

    /// Of a map ([`ReadOrder::Map`]): whether it holds more behind these.
    pub fn has_more(&self) -> bool {
        self.found.more
    }

    /// Of a map ([`ReadOrder::Map`]): how many keys it holds.
    pub fn keys(&self) -> u32 {
        self.found.keys
    }

    /// The messages, in the order asked.
    pub fn messages(&self) -> impl Iterator<Item = HistoryMessage<'_>> {
        let kept = self.found.publications.iter();
        kept.filter_map(|kept| {
            let topic = Topic::Room(&self.room);
            message_of(kept.offset, &kept.publication(Some(topic))?)
        })
    }
}

fn message_of<'h>(offset: u64, publication: &Publication<'h>) -> Option<HistoryMessage<'h>> {
    let (mut tags, mut entry) = (None, None);
    let (from, elsewhere, event) = match publication.kind {
        PublicationKind::Message { publisher } => (Some(ConnectionId(publisher)), None, None),
        PublicationKind::Elsewhere { from } => (None, Some(from), None),
        PublicationKind::Event { name } => {
            (tags, entry) = (tags_of(name), entry_of(name));
            (None, None, Some(plain_name(name)))
        }
        // What members do is not kept.
        PublicationKind::Presence { .. } | PublicationKind::Members { .. } => return None,
    };
    Some(HistoryMessage {
        offset,
        from,
        elsewhere,
        event,
        tags,
        entry,
        data: Data::new(Some(value_of(publication)?)),
    })
}

impl Context<'_> {
    /// Asks for a part of what a room keeps; `then` is called with it. The rule who may read it is
    /// for clients.
    ///
    /// # Errors
    /// Of the name or the limits, or the room keeps nothing; `then` is not called.
    pub fn history(
        &mut self,
        room: &str,
        query: HistoryQuery,
        then: impl FnOnce(&mut Context<'_>, RoomHistory) + 'static,
    ) -> Result<(), Failure> {
        let shared = self.shared;
        let room = shared.resolve(room).map_err(Problem::from)?;
        let then = Continuation::new(move |cx, outcome| {
            if let Outcome::Read {
                room,
                history: Some(found),
            } = outcome
            {
                then(cx, RoomHistory { room, found });
            }
        });
        Ok(read(self, |_| Requester::Code(then), room, query)?)
    }
}

impl Handle {
    /// Reads a part of what a room keeps: at most [`HistoryQuery::LIMIT_MAX`] messages and 1 MiB.
    /// Who wants more goes on from the last one.
    ///
    /// # Errors
    /// A [`Problem`]: of the name, the room keeps nothing, or `unavailable`.
    pub async fn history(&self, room: &str, query: HistoryQuery) -> Result<RoomHistory, Failure> {
        let resolved = self.shared.resolve(room).map_err(Problem::from)?;
        let log = log_of(&resolved)?;
        loop {
            let (sender, answer) = oneshot::channel();
            let reply = Box::new(move |answer: Answer| {
                let _ = sender.send(answer);
            });
            let topic = Topic::Room(resolved.name());
            let asked = self.shared.engine();
            match asked.and_then(|engine| engine.history(topic, log, query, reply)) {
                Ok(()) => match answer.await {
                    Ok(Answer::History(found)) if found.loss == Some(Loss::Unavailable) => {
                        return Err(unavailable(NO_ORDER).into());
                    }
                    Ok(Answer::History(found)) => {
                        let room = room.into();
                        return Ok(RoomHistory { room, found });
                    }
                    Ok(_) | Err(_) => return Err(unavailable(NOT_READ).into()),
                },
                Err(Refused::Busy) => place_in(&self.shared, Queue::Any).await,
                Err(refused @ (Refused::Stopped | Refused::Memory)) => return Err(refused.into()),
            }
        }
    }
}

impl Handle {
    /// Has a room forget what it keeps, and returns where its history is: the epoch and the offsets
    /// go on. Who has not read what is gone is told that it is (`trimmed_by_size`).
    ///
    /// # Errors
    /// As [`Handle::history`].
    pub async fn clear_history(&self, room: &str) -> Result<Position, Failure> {
        // Of a room that nobody has asked for there is a history from here on.
        let place = HistoryQuery {
            since: None,
            limit: 0,
            order: ReadOrder::Forward,
        };
        let known = self.history(room, place).await?.position();
        loop {
            let (sender, answer) = oneshot::channel();
            let reply = Box::new(move |answer: Answer| {
                let _ = sender.send(answer);
            });
            let asked = self.shared.engine();
            match asked.and_then(|engine| engine.clear_history(Topic::Room(room), reply)) {
                Ok(()) => match answer.await {
                    Ok(Answer::History(cleared)) if cleared.position.epoch == 0 => {
                        return Ok(known);
                    }
                    Ok(Answer::History(cleared)) => return Ok(cleared.position),
                    Ok(_) | Err(_) => return Err(unavailable(NOT_READ).into()),
                },
                Err(Refused::Busy) => place_in(&self.shared, Queue::Any).await,
                Err(refused @ (Refused::Stopped | Refused::Memory)) => return Err(refused.into()),
            }
        }
    }
}

impl Background {
    /// Reads a part of what a room keeps: [`Handle::history`].
    ///
    /// # Errors
    /// A problem: of the name, the room keeps nothing, or `unavailable`.
    pub async fn history(&self, room: &str, query: HistoryQuery) -> Result<RoomHistory, Failure> {
        self.handle.history(room, query).await
    }
}

/// Asks for a part of what a room keeps.
pub(crate) fn read(
    cx: &mut Context<'_>,
    requester: impl FnOnce(&mut Context<'_>) -> Requester<Continuation>,
    room: ResolvedRoom<'_>,
    query: HistoryQuery,
) -> Result<(), Problem> {
    require_space(cx)?;
    let log = log_of(&room)?;
    let tag = cx.state.take_tags(1);
    cx.engine
        .history(Topic::Room(room.name()), log, query, tag)
        .map_err(problem_of_publish)?;
    let requester = requester(cx);
    cx.session
        .wait(Pending::read(requester, tag, room.name().into()));
    Ok(())
}

fn log_of(room: &ResolvedRoom<'_>) -> Result<LogClass, Problem> {
    let log = room.log().filter(|_| room.history().is_some());
    log.ok_or_else(|| Problem::new(Code::BadRequest, NO_HISTORY))
}

/// Whether the connection may read what a room keeps, and it keeps something.
pub(crate) fn may_read(
    cx: &Context<'_>,
    room: &ResolvedRoom<'_>,
    standing: Standing,
) -> Result<(), Problem> {
    cx.may_read(room, standing)?;
    match room.history() {
        Some(_) => Ok(()),
        None => Err(Problem::new(Code::BadRequest, NO_HISTORY)),
    }
}

/// What is answered to who asks for what a room does not keep.
pub(crate) const NO_HISTORY: &str =
    "this room keeps no history: its namespace needs the option history";
const NOT_READ: &str = "too much is asked of this shard, or the server stops";
