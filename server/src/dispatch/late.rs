//! The answers to clients whose requests have waited for other shards.
//!
//! Invariant: nothing of a log is told to who may not name a place in it. Called by the service.

use crate::dispatch::page::fitting;
use crate::dispatch::{present, resuming};
use crate::rooms::kept::KeptPage;
use crate::rooms::membership;
use crate::session::call::OwnedCall;
use crate::session::context::Context;
use crate::session::pending::{
    Awaited, AwaitedPlaces, JoinedRoom, Joining, Outcome, Publishing, Shape,
};
use crate::wire::failure::{NO_ORDER, map_full, unavailable};
use crate::wire::position::{EpochText, epoch_text, loss_reason, recovery_of, repeat_of};
use shardcast_engine::{History, JoinedLog, Loss, Position, Repeat};
use shardcast_protocol::dialect::{Counts, HistoryPage, Joined, Place, Places, Reply, RoomPlace};

/// Answers a client whose request has waited for other shards.
pub(crate) fn answer(cx: &mut Context<'_>, call: &OwnedCall, outcome: Outcome) {
    match outcome {
        Outcome::Joined(joining) => answer_join(cx, call, joining),
        Outcome::Left { shape, rooms } => match (shape, &*rooms) {
            (Shape::Room, [room]) => cx.answer_to(call, &Reply::Left { room }),
            (Shape::Room | Shape::Rooms, rooms) => {
                let rooms: Vec<&str> = rooms.iter().map(|room| &**room).collect();
                cx.answer_to(call, &Reply::LeftRooms(&rooms));
            }
        },
        Outcome::Published(publishing) => answer_publish(cx, call, &publishing),
        Outcome::Listed {
            room,
            limit,
            listing,
        } => present::answer_listing(cx, call, &room, limit, &listing),
        Outcome::Present { room, limit, page } => {
            present::answer_page(cx, call, &room, limit, &page);
        }
        Outcome::Resumed(resuming) => resuming::answer(cx, call, &resuming),
        Outcome::Read { room, history } => {
            let history = history.expect("no answer is missing");
            if history.loss == Some(Loss::Unavailable) {
                return cx.answer_to(call, &Reply::Error(&unavailable(NO_ORDER)));
            }
            answer_history(cx, call, &room, &history);
        }
    }
}

fn answer_join(cx: &mut Context<'_>, call: &OwnedCall, joining: Joining) {
    let shape = joining.shape;
    let rooms = match membership::conclude(cx, joining) {
        Ok(rooms) => rooms,
        Err(problem) => return cx.answer_to(call, &Reply::Error(&problem)),
    };
    let shared = cx.shared;
    let identity = cx.identity();
    let is_told = |room: &str| {
        let resolved = shared.resolve(room);
        resolved.is_ok_and(|room| room.tells_place_to(identity))
    };
    let log = |room: &JoinedRoom| room.log.filter(|_| is_told(&room.room));
    if let (Shape::Room, [room]) = (shape, &*rooms) {
        // Most clients name one, which takes no lists.
        let log = log(room);
        let epoch = log.map(|log| epoch_text(log.position));
        let joined = joined_of(room, log.as_ref(), epoch.as_ref());
        return cx.answer_to(call, &Reply::Joined(joined));
    }
    let logs: Vec<_> = rooms.iter().map(log).collect();
    let epochs: Vec<Option<EpochText>> = logs
        .iter()
        .map(|log| log.map(|log| epoch_text(log.position)))
        .collect();
    let joined = rooms.iter().zip(&logs).zip(&epochs);
    let joined = joined.map(|((room, log), epoch)| joined_of(room, log.as_ref(), epoch.as_ref()));
    let joined: Vec<Joined<'_>> = joined.collect();
    cx.answer_to(call, &Reply::JoinedRooms(&joined));
}

/// A room that was joined, with the place of its log, if it keeps one.
fn joined_of<'r>(
    room: &'r JoinedRoom,
    log: Option<&JoinedLog>,
    epoch: Option<&'r EpochText>,
) -> Joined<'r> {
    Joined {
        room: &room.room,
        members: room.members,
        position: epoch
            .zip(log)
            .map(|(epoch, log)| epoch.at(log.position.offset)),
        recovery: log.and_then(|log| log.recovery).map(recovery_of),
    }
}

fn answer_publish(cx: &mut Context<'_>, call: &OwnedCall, publishing: &Publishing) {
    let sum = &publishing.sum;
    if sum.repeat == Repeat::Unavailable {
        return cx.answer_to(call, &Reply::Error(&unavailable(NO_ORDER)));
    }
    if sum.repeat == Repeat::MapFull {
        return cx.answer_to(call, &Reply::Error(&map_full()));
    }
    let counts = match publishing.awaited {
        Awaited::Place => None,
        Awaited::Counts | Awaited::Acks => Some(Counts {
            delivered: sum.delivered,
            queued: sum.queued,
            dropped: sum.dropped,
            conflated: sum.conflated,
            catching_up: sum.catching_up,
            acknowledged: (publishing.awaited == Awaited::Acks).then_some(sum.acknowledged),
        }),
    };
    match &publishing.places {
        AwaitedPlaces::Nowhere => answer_places(cx, call, Places::Nowhere, counts),
        AwaitedPlaces::Room => with_place(sum.position, sum.repeat, |place| {
            let places = place.map_or(Places::Nowhere, Places::Room);
            answer_places(cx, call, places, counts);
        }),
        AwaitedPlaces::Rooms(rooms) => {
            let epochs: Vec<Option<EpochText>> = rooms
                .iter()
                .map(|room| room.position.map(epoch_text))
                .collect();
            let rooms = rooms.iter().zip(&epochs).filter_map(|(room, epoch)| {
                let (epoch, position) = (epoch.as_ref()?, room.position?);
                let position = epoch.at(position.offset);
                let repeat = repeat_of(room.repeat);
                Some(RoomPlace {
                    room: &room.room,
                    place: Place { position, repeat },
                })
            });
            let rooms: Vec<RoomPlace<'_>> = rooms.collect();
            let places = match &*rooms {
                [] => Places::Nowhere,
                rooms => Places::Rooms(rooms),
            };
            answer_places(cx, call, places, counts);
        }
    }
}

fn answer_places(
    cx: &mut Context<'_>,
    call: &OwnedCall,
    places: Places<'_>,
    counts: Option<Counts>,
) {
    cx.answer_to(call, &Reply::Published { places, counts });
}

/// Calls with a place in words.
fn with_place(position: Option<Position>, repeat: Repeat, act: impl FnOnce(Option<Place<'_>>)) {
    let epoch = position.map(epoch_text);
    let place = epoch.as_ref().zip(position).map(|(epoch, position)| Place {
        position: epoch.at(position.offset),
        repeat: repeat_of(repeat),
    });
    act(place);
}

fn answer_history(cx: &mut Context<'_>, call: &OwnedCall, room: &str, history: &History) {
    let kept = KeptPage::of(room, history);
    let mut messages = kept.messages();
    let encoding = cx.dialect().encoding();
    let sizes = messages.iter().map(|message| message.bytes_max(encoding));
    messages.truncate(fitting(sizes, cx.shared.page_bytes_max));
    let epoch = epoch_text(history.position);
    let page = HistoryPage {
        room,
        position: epoch.at(history.position.offset),
        loss: history.loss.map(loss_reason),
        messages: &messages,
    };
    cx.answer_to(call, &Reply::History(page));
}
