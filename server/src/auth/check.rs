//! Tokens that come over an open connection: checked at once or elsewhere, and answered on the
//! shard in either case.
//!
//! Invariant: a connection has one token under check at most; one more is refused with
//! `rate_limited`. Each check has one outcome, whatever becomes of its future. Each is counted, and
//! each refusal is audited. Called by the dispatch.

use crate::audit::event::AuditEvent;
use crate::auth::claims::{Claims, Purpose, RoomClaims, Verified};
use crate::auth::fault::TokenFault;
use crate::auth::grants::RoomAction;
use crate::auth::verifier::Checking;
use crate::namespace::resolved::ResolvedRoom;
use crate::namespace::{Denied, Who};
use crate::session::context::Context;
use crate::session::identity::Identity;
use crate::wire::failure::{Failure, RETRY_AFTER_MS, unavailable};
use shardcast_protocol::dialect::Problem;
use std::sync::Arc;

/// Checks a token for this purpose, and calls `then` with the outcome: at once, or later if the
/// connection is still there.
///
/// # Errors
/// No tokens are taken here, or one of the connection's is under check. `then` is not called.
pub(crate) fn start(
    cx: &mut Context<'_>,
    token: &str,
    purpose: Purpose,
    then: impl FnOnce(&mut Context<'_>, Result<Verified, TokenFault>) + Send + 'static,
) -> Result<(), Problem> {
    let Some(gate) = &cx.shared.gate else {
        return Err(unavailable("this server takes no tokens"));
    };
    if cx.session.some().is_some_and(|more| more.is_checking) {
        let text = "another token of this connection is being checked";
        return Err(Problem::rate_limited(text, RETRY_AFTER_MS));
    }
    match gate.begin(token, purpose) {
        Checking::Done(outcome) => conclude(cx, outcome, then),
        Checking::Later(check) => {
            cx.session.more().is_checking = true;
            let dropped = Err(TokenFault::Busy);
            cx.settle_later(check.finish(), dropped, move |cx, outcome| {
                if let Some(more) = cx.session.some_mut() {
                    more.is_checking = false;
                }
                conclude(cx, outcome, then);
                cx.session.shrink();
            });
        }
    }
    Ok(())
}

fn conclude(
    cx: &mut Context<'_>,
    outcome: Result<Verified, TokenFault>,
    then: impl FnOnce(&mut Context<'_>, Result<Verified, TokenFault>),
) {
    let counted = outcome.as_ref().map(|_| ()).map_err(|fault| *fault);
    if let Some(gate) = &cx.shared.gate {
        gate.counts().count(counted);
    }
    let outcome = outcome.inspect_err(|fault| audit(cx, *fault));
    then(cx, outcome);
}

/// Makes the connection what a token says of it.
///
/// # Errors
/// The token is of another user, or a problem of [`Context::identify`]; nothing has changed.
pub(crate) fn apply(cx: &mut Context<'_>, verified: Verified) -> Result<Arc<Claims>, Failure> {
    let claims = of_same_user(cx, verified)?;
    cx.identify(Identity::verified(Arc::clone(&claims)))?;
    cx.begin_validity();
    Ok(claims)
}

/// What a token claims of the connection, which keeps its user.
///
/// # Errors
/// The token is of another user, or for a room.
pub(crate) fn of_same_user(cx: &Context<'_>, verified: Verified) -> Result<Arc<Claims>, Problem> {
    let Verified::Connection(claims) = verified else {
        return Err(refused(cx, TokenFault::Purpose));
    };
    if cx.user().is_some() && cx.user() != claims.user() {
        return Err(refused(cx, TokenFault::User));
    }
    Ok(claims)
}

/// Whether a room's own token lets the connection into the room, whatever the room's namespace asks
/// for; but nobody enters a room that nobody may join. What the token claims.
pub(crate) fn admit(
    cx: &Context<'_>,
    room: &ResolvedRoom<'_>,
    verified: &Verified,
) -> Result<Arc<RoomClaims>, Problem> {
    let Verified::Room(claims) = verified else {
        return Err(refused(cx, TokenFault::Purpose));
    };
    if room.namespace().join == Who::Nobody {
        return Err(cx.denied(RoomAction::Join, room.name(), Denied::Forbidden));
    }
    let connection = cx.connection().text();
    let checked = claims.check(cx.user(), connection.as_str(), room.name());
    // What is for everybody would be no token but a password.
    let is_bound = claims.client().is_some() || claims.user().is_some();
    let bound = match is_bound {
        true => Ok(()),
        false => Err(TokenFault::MissingClaim("sub")),
    };
    let admitted = checked.and(bound).map_err(|fault| refused(cx, fault));
    admitted.map(|()| Arc::clone(claims))
}

/// The answer to a token that is refused.
pub(crate) fn refused(cx: &Context<'_>, fault: TokenFault) -> Problem {
    audit(cx, fault);
    fault.problem()
}

fn audit(cx: &Context<'_>, fault: TokenFault) {
    AuditEvent::TokenRefused {
        peer: cx.remote_address(),
        source: "message",
        fault: fault.code(),
        user: cx.user(),
    }
    .emit();
}
