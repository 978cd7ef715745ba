//! The answer to a client that goes on with a session: what came of each of its rooms.
//!
//! Invariant: nothing of a log is told to who may not name a place in it. Called by `late.rs` and
//! by the service.

use crate::session::call::OwnedCall;
use crate::session::context::Context;
use crate::session::resuming::{ResumedPlace, Resuming, ResumingRoom};
use crate::wire::connection_id::ConnectionId;
use crate::wire::position::{EpochText, epoch_text};
use shardcast_engine::Position;
use shardcast_protocol::dialect::{Reply, Resumed, ResumedRoom, Resumption};

/// Answers a client whose session goes on.
pub(crate) fn answer(cx: &mut Context<'_>, call: &OwnedCall, resuming: &Resuming) {
    let shared = cx.shared;
    let asker = cx.identity();
    let place = |room: &ResumingRoom| {
        let ResumedPlace::Member(Some(log)) = &room.place else {
            return None;
        };
        let resolved = shared.resolve(&room.room).ok()?;
        let is_told = resolved.tells_place_to(asker);
        is_told.then(|| (epoch_text(log.position), log.position))
    };
    let places: Vec<Option<(EpochText, Position)>> = resuming.rooms.iter().map(place).collect();
    let rooms = resuming.rooms.iter().zip(&places);
    let rooms = rooms.map(|(room, place)| ResumedRoom {
        room: &room.room,
        outcome: match room.recovery() {
            Ok(recovery) => Resumption::Member {
                position: place
                    .as_ref()
                    .map(|(epoch, position)| epoch.at(position.offset)),
                recovery,
            },
            Err(code) => Resumption::Refused(code),
        },
    });
    let rooms: Vec<ResumedRoom<'_>> = rooms.collect();
    let (connection, previous) = (cx.connection().text(), ConnectionId(resuming.before).text());
    let identity = cx.identity().clone();
    let resumed = Resumed {
        connection: connection.as_str(),
        previous: previous.as_str(),
        user: identity.name(),
        rooms: &rooms,
    };
    cx.answer_to(call, &Reply::Resumed(resumed));
}
