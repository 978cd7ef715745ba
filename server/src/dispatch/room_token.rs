//! `join_room` with a token of the room's own: it lets one connection, or those of one user, into
//! one room, whatever the room's namespace asks for.
//!
//! Invariant: the token names the room and whom it is for, and nobody enters a room that nobody may
//! join. The request is answered once, now or when the token is checked.

use crate::auth::check;
use crate::auth::claims::Purpose;
use crate::auth::fault::TokenFault;
use crate::namespace::Standing;
use crate::rooms::entering::RoomToJoin;
use crate::rooms::membership;
use crate::rooms::{history, presence};
use crate::session::context::Context;
use crate::session::pending::{Requester, Shape};
use crate::wire::position::since_of;
use shardcast_engine::{JoinDeltas, OwnedData, Since};
use shardcast_protocol::dialect::{Credential, Join, JoinSince, Problem, Reply};

/// What is joined, kept while the token is checked.
struct OwnedJoin {
    room: Box<str>,
    since: Option<Since>,
    shown: Option<OwnedData>,
}

/// Answers a join of this room with a token.
pub(crate) fn join(
    cx: &mut Context<'_>,
    room: &str,
    asked: &Join<'_>,
    token: &Credential<'_>,
) -> Result<(), Problem> {
    let resolved = cx.shared.resolve(room)?;
    let shown = asked.presence.as_deref();
    let shown = shown.map(|shown| presence::shown_in(&resolved, *shown));
    let owned = OwnedJoin {
        room: room.into(),
        since: match asked.since.as_deref() {
            Some(JoinSince::Room(since)) => Some(since_of(since)),
            Some(JoinSince::Rooms(_)) | None => None,
        },
        shown: shown.transpose()?,
    };
    let mut call = cx.defer();
    let waiting = call.clone();
    let begun = check::start(cx, &token.0, Purpose::Room, move |cx, outcome| {
        let mut waiting = waiting;
        let entered = outcome.map_err(TokenFault::problem).and_then(|verified| {
            let shared = cx.shared;
            let room = shared.resolve(&owned.room)?;
            check::admit(cx, &room, &verified)?;
            if owned.since.is_some() {
                history::may_read(cx, &room, Standing::Member)?;
            }
            let joins = [RoomToJoin {
                room,
                since: owned.since,
                shown: owned.shown,
                before: None,
                deltas: JoinDeltas::Never,
                filter: None,
            }];
            let requester = |_: &mut Context<'_>| match waiting.take() {
                Some(call) => Requester::Client(call),
                None => unreachable!("a request that is not answered has a call"),
            };
            membership::join(cx, requester, Shape::Room, &joins)
        });
        if let (Err(problem), Some(call)) = (entered, waiting) {
            cx.answer_to(&call, &Reply::Error(&problem));
        }
    });
    if let (Err(problem), Some(call)) = (begun, call.take()) {
        // Nothing is under way, so nobody else answers.
        cx.answer_to(&call, &Reply::Error(&problem));
    }
    Ok(())
}
