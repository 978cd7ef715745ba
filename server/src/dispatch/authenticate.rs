//! `auth` and `refresh`: a client says over its connection who it is, or that it still is.
//!
//! Invariant: a connection that has a user keeps it. A token of another one is refused, for the
//! rooms that the connection is in were joined as the user that it is. Where the application
//! decides who goes on, a refresh is done when it has.

use crate::auth::check;
use crate::auth::claims::{Purpose, Verified};
use crate::auth::fault::TokenFault;
use crate::auth::refreshing::{ShownProof, ask_for_client, takes_any_proof};
use crate::session::call::OwnedCall;
use crate::session::context::Context;
use shardcast_protocol::dialect::{Authenticated, Code, Credential, Problem, Reply};

/// Whether the connection must have said before who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    Auth,
    Refresh,
}

/// Answers `auth` or `refresh`, now or when the token is checked.
pub(crate) fn authenticate(
    cx: &mut Context<'_>,
    token: &Credential<'_>,
    occasion: Occasion,
) -> Result<(), Problem> {
    if occasion == Occasion::Refresh && cx.identity().claims().is_none() {
        if !takes_any_proof(cx) {
            let text = "there is nothing to refresh: authenticate first";
            return Err(Problem::new(Code::Unauthorized, text));
        }
        let call = cx.defer();
        let shown = ShownProof::Text(Box::from(&*token.0));
        ask_application(cx, shown, call);
        return Ok(());
    }
    let call = cx.defer();
    let begun = check::start(cx, &token.0, Purpose::Connection, {
        let call = call.clone();
        move |cx, outcome| {
            let outcome = outcome.map_err(TokenFault::problem);
            match outcome.and_then(|verified| apply(cx, verified, occasion, &call)) {
                Ok(Applied::Done) => answer(cx, call.as_ref()),
                Ok(Applied::Asked) => {}
                Err(problem) => answer_error(cx, call.as_ref(), &problem),
            }
        }
    });
    // Nothing is under way, so nobody else answers.
    if let Err(problem) = begun {
        answer_error(cx, call.as_ref(), &problem);
    }
    Ok(())
}

/// Whether the connection is what its token says.
enum Applied {
    Done,
    /// It is when the application has decided, which answers.
    Asked,
}

fn apply(
    cx: &mut Context<'_>,
    verified: Verified,
    occasion: Occasion,
    call: &Option<OwnedCall>,
) -> Result<Applied, Problem> {
    if occasion == Occasion::Refresh && cx.shared.refresh.is_some() {
        let claims = check::of_same_user(cx, verified)?;
        ask_application(cx, ShownProof::Claims(claims), call.clone());
        return Ok(Applied::Asked);
    }
    let applied = check::apply(cx, verified);
    applied.map_err(|failure| failure.into_problem("auth"))?;
    Ok(Applied::Done)
}

/// Has the application decide, and answers when it has.
fn ask_application(cx: &mut Context<'_>, shown: ShownProof, call: Option<OwnedCall>) {
    let begun = ask_for_client(cx, shown, {
        let call = call.clone();
        move |cx, decided| match decided {
            Ok(()) => answer(cx, call.as_ref()),
            Err(problem) => answer_error(cx, call.as_ref(), &problem),
        }
    });
    if let Err(problem) = begun {
        answer_error(cx, call.as_ref(), &problem);
    }
}

/// Tells the client who it is.
fn answer(cx: &mut Context<'_>, call: Option<&OwnedCall>) {
    let Some(call) = call else { return };
    let identity = cx.identity().clone();
    let roles: Vec<&str> = identity.roles().iter().map(|role| &**role).collect();
    let expires_ms = cx.remaining_ms();
    cx.answer_to(
        call,
        &Reply::Authenticated(Authenticated {
            user: identity.name(),
            roles: &roles,
            expires_ms,
        }),
    );
}

fn answer_error(cx: &mut Context<'_>, call: Option<&OwnedCall>, problem: &Problem) {
    if let Some(call) = call {
        cx.answer_to(call, &Reply::Error(problem));
    }
}
