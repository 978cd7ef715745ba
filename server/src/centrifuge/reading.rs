//! What a channel keeps, read for a command whose answer waits for it.
//!
//! Invariant: while it is read its client is on its way into the channel, and a client that
//! unsubscribes meanwhile is answered, and enters nothing. Used by `requests` and `map`.

use crate::centrifuge::answers;
use crate::centrifuge::wish::{begin_entering, is_given_up};
use crate::namespace::resolved::ResolvedRoom;
use crate::rooms::history;
use crate::session::call::OwnedCall;
use crate::session::context::{Context, Continuation};
use crate::session::pending::{Outcome, Requester};
use crate::wire::failure::{NO_ORDER, unavailable};
use shardcast_engine::{History, HistoryQuery, Loss};
use shardcast_protocol::dialect::{Problem, Reply};

/// Reads what a channel keeps, and calls `then` with it, unless nobody can read it. The command is
/// answered with what `then` fails with.
///
/// # Errors
/// Of what the connection may have under way; `then` is not called.
pub(super) fn read_for(
    cx: &mut Context<'_>,
    call: &OwnedCall,
    room: ResolvedRoom<'_>,
    query: HistoryQuery,
    then: impl FnOnce(&mut Context<'_>, &OwnedCall, History) -> Result<(), Problem> + 'static,
) -> Result<(), Problem> {
    let serial = begin_entering(cx, &room.name().into());
    let call = call.clone();
    let read = Continuation::new(move |cx, outcome| {
        let Outcome::Read {
            history: Some(history),
            ..
        } = outcome
        else {
            return;
        };
        if is_given_up(cx, &call, serial) {
            return;
        }
        let done = match history.loss {
            Some(Loss::Unavailable) => Err(unavailable(NO_ORDER)),
            Some(_) | None => then(cx, &call, history),
        };
        if let Err(problem) = done {
            cx.answer_to(&call, &Reply::Error(&problem));
        }
    });
    let begun = history::read(cx, |_| Requester::Code(read), room, query);
    if begun.is_err() {
        answers::state(cx.session).take_entering(serial);
        cx.session.shrink();
    }
    begun
}
