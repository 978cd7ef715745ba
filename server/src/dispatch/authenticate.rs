//! `auth` and `refresh`: a client says over its connection who it is, or that it still is.
//!
//! Invariant: a connection that has a user keeps it. A token of another one is refused, for the
//! rooms that the connection is in were joined as the user that it is.

use crate::auth::check;
use crate::auth::claims::Purpose;
use crate::auth::fault::TokenFault;
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
        let text = "there is nothing to refresh: authenticate first";
        return Err(Problem::new(Code::Unauthorized, text));
    }
    let call = cx.defer();
    let begun = check::start(cx, &token.0, Purpose::Connection, {
        let call = call.clone();
        move |cx, outcome| {
            let outcome = outcome.map_err(TokenFault::problem).and_then(|verified| {
                check::apply(cx, verified).map_err(|failure| failure.into_problem("auth"))
            });
            let Some(call) = call else { return };
            match outcome {
                Ok(claims) => {
                    let roles: Vec<&str> = claims.roles().iter().map(|role| &**role).collect();
                    cx.answer_to(
                        &call,
                        &Reply::Authenticated(Authenticated {
                            user: claims.user(),
                            roles: &roles,
                            expires_ms: cx.remaining_ms(),
                        }),
                    );
                }
                Err(problem) => cx.answer_to(&call, &Reply::Error(&problem)),
            }
        }
    });
    // Nothing is under way, so nobody else answers.
    if let (Err(problem), Some(call)) = (&begun, &call) {
        cx.answer_to(call, &Reply::Error(problem));
    }
    Ok(())
}
