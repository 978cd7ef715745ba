//! Subscriptions to maps: pages of what a map holds, and the membership that begins behind the
//! last.
//!
//! Invariant: all pages are of one place, that of the first: a key that has changed since is on no
//! page, for what is published behind that place is sent to the client, from the log and then live.
//! So there is no gap and no repeat, and the server remembers nothing of a client between pages.
//! Each page is authorized as a subscribe. Called by `requests`.

use crate::centrifuge::answers;
use crate::centrifuge::map_cursor::MapCursor;
use crate::centrifuge::reading::read_for;
use crate::centrifuge::server_side;
use crate::centrifuge::wish::{MapWish, Wish, narrow, set_term};
use crate::namespace::resolved::ResolvedRoom;
use crate::namespace::{MapOf, MapRecovery, Standing};
use crate::rooms::entering::RoomToJoin;
use crate::rooms::kept::KeptPage;
use crate::rooms::membership;
use crate::rooms::presence;
use crate::session::call::OwnedCall;
use crate::session::context::Context;
use crate::session::pending::JoinedRoom;
use crate::wire::filtering;
use crate::wire::position::{epoch_text, since_of};
use crate::wire::publication::deltas_of;
use shardcast_engine::{History, HistoryQuery, Position, ReadOrder, Recovery, Since};
use shardcast_protocol::dialect::centrifuge::{
    CentrifugeReply, Deltas, MapKind, MapPhase, MapPlaces, MapStep, MapSubscribed, Recovering,
    Refusal,
};
use shardcast_protocol::dialect::{Code, Problem, Reply};
use std::sync::Arc;

/// Keys of a page whose client has not said how many.
const PAGE_KEYS: u32 = 100;
/// Keys of a page.
const PAGE_KEYS_MAX: u32 = HistoryQuery::LIMIT_MAX;

/// What a client asks for of a map.
///
/// # Errors
/// `bad_request`: there is no such cursor.
pub(super) fn wish_of(step: &MapStep<'_>) -> Result<MapWish, Problem> {
    let cursor = match &*step.cursor {
        "" => None,
        text => {
            let cursor = MapCursor::read(text);
            Some(cursor.ok_or_else(|| Problem::new(Code::BadRequest, "there is no such cursor"))?)
        }
    };
    Ok(MapWish {
        phase: step.phase,
        of: match step.kind {
            MapKind::Published => MapOf::Published,
            MapKind::Connections => MapOf::Connections,
            MapKind::Users => MapOf::Users,
        },
        cursor,
        limit: match step.limit {
            0 => PAGE_KEYS,
            limit => limit.min(PAGE_KEYS_MAX),
        },
        position: since_of(&step.position),
    })
}

/// Reads a page, or joins.
pub(super) fn enter(
    cx: &mut Context<'_>,
    call: &OwnedCall,
    (wish, asked): (Wish, MapWish),
    room: ResolvedRoom<'_>,
) -> Result<(), Problem> {
    let map = room.map().ok_or_else(|| kind_problem(None))?;
    if map.of != asked.of {
        return Err(kind_problem(Some(map.of)));
    }
    // Who subscribes is sent what the room keeps.
    cx.may_read(&room, Standing::Member)?;
    match asked.phase {
        MapPhase::State => read(cx, call, (wish, asked), room),
        MapPhase::Stream | MapPhase::Live => {
            let is_known = asked.position.epoch.is_some();
            let page = MapPageRead {
                history: None,
                first: None,
            };
            let since = is_known.then_some(asked.position);
            join(cx, call, wish, since, page)
        }
    }
}

/// A client takes a channel for something else than it is.
pub(super) fn kind_problem(of: Option<MapOf>) -> Problem {
    let message = match of {
        None => "the channel is no map",
        Some(MapOf::Published) => "the channel is a map",
        Some(MapOf::Connections) => "the channel is a map of connections",
        Some(MapOf::Users) => "the channel is a map of users",
    };
    Problem::new(Code::BadRequest, message)
}

/// Whether clients are told of places in a map.
fn places(cx: &Context<'_>, channel: &str) -> MapPlaces {
    let room = cx.shared.resolve(channel).ok();
    match room.and_then(|room| Some(room.map()?.recovery)) {
        Some(MapRecovery::State) => MapPlaces::Untold,
        Some(MapRecovery::Changes) | None => MapPlaces::Told,
    }
}

/// What was read of a map.
struct MapPageRead {
    /// What it holds; `None`: nothing was read.
    history: Option<History>,
    /// The place of the first page.
    first: Option<Position>,
}

fn read(
    cx: &mut Context<'_>,
    call: &OwnedCall,
    (wish, asked): (Wish, MapWish),
    room: ResolvedRoom<'_>,
) -> Result<(), Problem> {
    let query = HistoryQuery {
        since: asked.cursor.map(|cursor| Since {
            epoch: Some(cursor.first.epoch),
            offset: cursor.after,
        }),
        limit: asked.limit,
        order: ReadOrder::Map,
    };
    read_for(
        cx,
        call,
        room,
        query,
        move |cx, call, history| match history.loss {
            Some(_) => {
                answers::answer_refusal(cx, call, Refusal::UnrecoverablePosition);
                Ok(())
            }
            None => answer_page(cx, call, wish, asked.cursor, history),
        },
    )
}

/// Answers with a page, or joins with the last.
fn answer_page(
    cx: &mut Context<'_>,
    call: &OwnedCall,
    wish: Wish,
    cursor: Option<MapCursor>,
    mut history: History,
) -> Result<(), Problem> {
    let first = cursor.map_or(history.position, |cursor| cursor.first);
    let mut after = cursor.map_or(0, |cursor| cursor.after);
    let read = history.publications.len();
    // What has changed since the first page comes behind that.
    history
        .publications
        .retain(|kept| kept.offset <= first.offset);
    let mut more = history.more && history.publications.len() == read;
    let fit = fitting(cx, &wish, &history);
    if fit < history.publications.len() {
        history.publications.truncate(fit);
        more = true;
    }
    after = history
        .publications
        .last()
        .map_or(after, |kept| kept.offset);
    if let Some(filter) = &wish.filter {
        filtering::retain(filter, &wish.channel, &mut history);
    }
    if more {
        let cursor = MapCursor { first, after }.text();
        let kept = KeptPage::of(&wish.channel, &history);
        let (state, epoch) = (kept.messages(), epoch_text(first));
        let page = MapSubscribed {
            position: epoch.at(first.offset),
            cursor: Some(&cursor),
            places: places(cx, &wish.channel),
            state: &state,
            recovery: Recovering::No,
            deltas: wish.deltas,
            ttl_s: None,
        };
        cx.answer_to(
            call,
            &Reply::Centrifuge(CentrifugeReply::MapSubscribed(page)),
        );
        return Ok(());
    }
    let since = Since {
        epoch: Some(first.epoch),
        offset: first.offset,
    };
    let page = MapPageRead {
        history: Some(history),
        first: Some(first),
    };
    join(cx, call, wish, Some(since), page)
}

/// JSON in a string has so many bytes for each of its own.
const WHOLE_GROWTH_MAX: usize = 2;

/// How many of the publications the reply brings: one at least, for it is no larger than the push
/// of it was.
fn fitting(cx: &Context<'_>, wish: &Wish, history: &History) -> usize {
    let encoding = cx.dialect().encoding();
    let kept = KeptPage::of(&wish.channel, history);
    let growth = match wish.deltas {
        Deltas::Off => 1,
        Deltas::Fossil => WHOLE_GROWTH_MAX,
    };
    let mut bytes_left = cx.shared.page_bytes_max;
    let messages = kept.messages();
    let fitting = messages.iter().take_while(|message| {
        let bytes = growth * message.bytes_max(encoding);
        let fits = bytes <= bytes_left;
        bytes_left = bytes_left.saturating_sub(bytes);
        fits
    });
    fitting.count().max(1).min(messages.len())
}

/// Joins behind what was read.
fn join(
    cx: &mut Context<'_>,
    call: &OwnedCall,
    wish: Wish,
    since: Option<Since>,
    page: MapPageRead,
) -> Result<(), Problem> {
    let shared = cx.shared;
    let channel = Arc::clone(&wish.channel);
    let room = shared.resolve(&channel)?;
    let info = wish.info.as_deref().filter(|_| room.presence().is_some());
    let shown = info.map(|info| presence::shown_in(&room, server_side::json(info)));
    let asked = RoomToJoin {
        room,
        since,
        shown: shown.transpose()?,
        before: None,
        deltas: deltas_of(wish.deltas),
        filter: wish.filter.clone(),
    };
    let call = call.clone();
    membership::join_one(cx, asked, move |cx, joined| match joined {
        Ok(joined) => {
            if wish.is_narrowed {
                narrow(cx, &joined.room);
            }
            answer_joined(cx, &call, &wish, since, &page, &joined);
        }
        Err(problem) => cx.answer_to(&call, &Reply::Error(&problem)),
    })
}

fn answer_joined(
    cx: &mut Context<'_>,
    call: &OwnedCall,
    wish: &Wish,
    since: Option<Since>,
    page: &MapPageRead,
    joined: &JoinedRoom,
) {
    let log = joined.log;
    let is_lost =
        since.is_some() && !matches!(log.and_then(|log| log.recovery), Some(Recovery::Recovered));
    let (Some(log), false) = (log, is_lost) else {
        let tag = cx.state.take_tags(1);
        // Fails where the client has left in the meantime; the answer is dropped.
        let _ = cx.engine.leave(&joined.room, tag);
        return answers::answer_refusal(cx, call, Refusal::UnrecoverablePosition);
    };
    let ttl_s = set_term(cx, &joined.room, wish.term);
    // What follows this is sent by itself.
    let position = page.first.or_else(|| {
        let Since { offset, .. } = since?;
        let epoch = log.position.epoch;
        Some(Position { epoch, offset })
    });
    let position = position.unwrap_or(log.position);
    let kept = page.history.as_ref();
    let kept = kept.map(|history| KeptPage::of(&joined.room, history));
    let state = kept.as_ref().map(KeptPage::messages);
    let epoch = epoch_text(Position {
        epoch: log.position.epoch,
        ..position
    });
    let subscribed = MapSubscribed {
        position: epoch.at(position.offset),
        cursor: None,
        places: places(cx, &wish.channel),
        state: state.as_deref().unwrap_or(&[]),
        recovery: match wish.since {
            Some(_) => Recovering::Recovered,
            None => Recovering::No,
        },
        deltas: wish.deltas,
        ttl_s,
    };
    cx.answer_to(
        call,
        &Reply::Centrifuge(CentrifugeReply::MapSubscribed(subscribed)),
    );
}
