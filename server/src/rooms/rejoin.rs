//! A connection that goes on with a session joins its rooms, each from where the client has heard
//! it. One that is refused is no reason to refuse the others. Called by `rooms/resume.rs`.

use crate::namespace::Standing;
use crate::namespace::resolved::ResolvedRoom;
use crate::rooms::entering::RoomToJoin;
use crate::rooms::membership::tags_from;
use crate::session::call::OwnedCall;
use crate::session::context::Context;
use crate::session::pending::{Pending, Requester};
use crate::session::record::KeptRoom;
use crate::session::resuming::{Claim, ResumedPlace, Resuming, ResumingRoom};
use crate::wire::failure::problem_of_room;
use shardcast_engine::{Address, JoinDeltas, Since, Tag};
use shardcast_protocol::dialect::{LossReason, Problem};
use std::collections::HashMap;

/// A request to go on with a session that is to be answered.
pub(crate) struct WentOn {
    pub(crate) call: OwnedCall,
    pub(crate) resuming: Resuming,
}

/// The connection that a session had.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FormerConnection {
    /// Of this process.
    Here(Address),
    /// Of an earlier one: its address may be somebody else's now.
    EarlierProcess(Address),
}

/// Joins the rooms of a session, of the connection `before`. Returns what is to be answered at
/// once; `None`: homes answer first. The session has space for one request that waits for them.
pub(crate) fn rejoin(
    cx: &mut Context<'_>,
    before: FormerConnection,
    rooms: Vec<KeptRoom>,
    mut since: HashMap<String, Since>,
    call: OwnedCall,
) -> Option<WentOn> {
    let first = cx.state.take_tags(rooms.len() as u32);
    let tagged = tags_from(first).zip(rooms);
    let rooms = tagged.map(|(tag, kept)| {
        let since = since.remove(&*kept.room);
        ask(cx, tag, kept, since, before)
    });
    let rooms: Vec<ResumingRoom> = rooms.collect();
    let is_asked = |room: &&ResumingRoom| matches!(room.place, ResumedPlace::Asked);
    let missing = rooms.iter().filter(is_asked).count() as u32;
    let (FormerConnection::Here(address) | FormerConnection::EarlierProcess(address)) = before;
    let resuming = Resuming {
        before: address,
        rooms,
    };
    if missing == 0 {
        return Some(WentOn { call, resuming });
    }
    let requester = Requester::Client(call);
    cx.session
        .wait(Pending::resume(requester, first, missing, resuming));
    None
}

fn ask(
    cx: &mut Context<'_>,
    tag: Tag,
    kept: KeptRoom,
    since: Option<Since>,
    before: FormerConnection,
) -> ResumingRoom {
    let KeptRoom { room, shown } = kept;
    let shared = cx.shared;
    let (claim, place) = match shared.resolve(&room) {
        Err(denied) => {
            let place = ResumedPlace::Refused(Problem::from(denied));
            (Claim::Nothing(LossReason::NoPosition), place)
        }
        Ok(resolved) => {
            let claim = claim_of(cx, &resolved, since);
            let asked = RoomToJoin {
                room: resolved,
                since: since.filter(|_| claim == Claim::Since),
                shown: shown.filter(|_| resolved.presence().is_some()),
                before: match before {
                    FormerConnection::Here(address) => Some(address),
                    FormerConnection::EarlierProcess(_) => None,
                },
                deltas: JoinDeltas::Never,
                filter: None,
            };
            let place = match asked.ask(cx, tag) {
                Ok(()) => ResumedPlace::Asked,
                Err(error) => ResumedPlace::Refused(problem_of_room(error)),
            };
            (claim, place)
        }
    };
    ResumingRoom { room, claim, place }
}

/// What the client may have of what the room keeps.
fn claim_of(cx: &Context<'_>, room: &ResolvedRoom<'_>, since: Option<Since>) -> Claim {
    let may_read = room.may_read(cx.identity(), Standing::Member);
    match (room.history(), since) {
        (None, _) => Claim::Nothing(LossReason::NoHistory),
        (Some(_), None) => Claim::Nothing(LossReason::NoPosition),
        (Some(_), Some(_)) if may_read.is_err() => Claim::Nothing(LossReason::Forbidden),
        (Some(_), Some(_)) => Claim::Since,
    }
}
