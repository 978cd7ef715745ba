//! Whether a connection goes on being who it is, where the application says so: it is asked before
//! the end comes, and when the client asks for more. Answered on the shard, whatever becomes of the
//! question.
//!
//! Invariant: of a connection one question of each cause is under way at most. A connection that
//! has a user keeps it. Where nobody decides, the end stands; what the application gave goes on
//! where nothing stands against that, and a token never does. Called by the times of connections
//! (`expiry`), the dispatch and the Centrifuge protocol.

use crate::audit::event::AuditEvent;
use crate::auth::claims::Claims;
use crate::session::context::Context;
use crate::session::identity::Identity;
use crate::session::refreshing::{
    RefreshCause, RefreshGrant, RefreshHook, RefreshOutcome, RefreshQuestion,
};
use crate::session::validity::{ExpiryAsking, ExpiryTelling, GivenBy, ProvedTimes, Validity};
use crate::wire::failure::{RETRY_AFTER_MS, unavailable};
use shardcast_protocol::dialect::{Code, Problem};
use std::sync::Arc;
use std::time::Duration;

/// Below this the application is not asked once more.
const AGAIN_LEFT_MS_MIN: u64 = 1_000;

/// What a client shows that asks for more time.
#[derive(Clone, Debug)]
pub(crate) enum ShownProof {
    /// Claims of a token of the same user, which were checked.
    Claims(Arc<Claims>),
    /// What only the application can check.
    Text(Box<str>),
}

/// Whether the application decides about what a client shows that asks for more time, and nobody
/// else can: it has given the time, and there are no tokens.
pub(crate) fn takes_any_proof(cx: &Context<'_>) -> bool {
    let by_application = |times: ProvedTimes| times.given_by == GivenBy::Application;
    cx.shared.gate.is_none()
        && cx.shared.refresh.is_some()
        && cx.proved_times().is_some_and(by_application)
}

/// Has the application decide about a client that asks for more time, and calls `then` when the
/// connection is what came of it; later, if the connection is still there.
///
/// # Errors
/// Another question of the client is under way, or nobody can be asked. `then` is not called.
pub(crate) fn ask_for_client(
    cx: &mut Context<'_>,
    proof: ShownProof,
    then: impl FnOnce(&mut Context<'_>, Result<(), Problem>) + Send + 'static,
) -> Result<(), Problem> {
    let Some(hook) = cx.shared.refresh.clone() else {
        return Err(unavailable("nobody decides about that"));
    };
    if cx.session.some().is_some_and(|more| more.is_checking) {
        let text = "another token of this connection is being checked";
        return Err(Problem::rate_limited(text, RETRY_AFTER_MS));
    }
    let (identity, left, cause) = match &proof {
        ShownProof::Claims(claims) => {
            let gate = cx.shared.gate.as_ref();
            let left = gate.and_then(|gate| gate.remaining(claims));
            let identity = Identity::verified(Arc::clone(claims));
            (identity, left, RefreshCause::Proved)
        }
        ShownProof::Text(text) => {
            let left = cx.remaining_ms().map(Duration::from_millis);
            let cause = RefreshCause::Shown(text.clone());
            (cx.identity().clone(), left, cause)
        }
    };
    cx.session.more().is_checking = true;
    let question = question(cx, identity, left, cause);
    ask(cx, &hook, question, move |cx, outcome| {
        if let Some(more) = cx.session.some_mut() {
            more.is_checking = false;
        }
        let early = cx.shared.refresh.as_ref().map(|hook| hook.early);
        let done = settle(cx, &proof, outcome, early.unwrap_or_default());
        let ends = match &done {
            Err(SettleFailure::Refused(problem)) => Some(problem.clone()),
            Ok(()) | Err(SettleFailure::Kept(_)) => None,
        };
        then(cx, done.map_err(SettleFailure::into_problem));
        if let Some(problem) = ends {
            end(cx, &problem);
        }
        cx.session.shrink();
    });
    Ok(())
}

/// Why a client that asked has no more time.
enum SettleFailure {
    /// The connection is to end.
    Refused(Problem),
    /// Nothing has changed.
    Kept(Problem),
}

impl SettleFailure {
    fn into_problem(self) -> Problem {
        match self {
            SettleFailure::Refused(problem) | SettleFailure::Kept(problem) => problem,
        }
    }
}

/// Makes the connection what came of its client's question.
fn settle(
    cx: &mut Context<'_>,
    proof: &ShownProof,
    outcome: RefreshOutcome,
    early: Duration,
) -> Result<(), SettleFailure> {
    let proved = match proof {
        ShownProof::Claims(claims) => Identity::verified(Arc::clone(claims)),
        ShownProof::Text(_) => cx.identity().clone(),
    };
    let grant = match (outcome, proof) {
        (RefreshOutcome::Granted(grant), _) => grant,
        (RefreshOutcome::Refused(problem), _) => return Err(SettleFailure::Refused(problem)),
        (RefreshOutcome::Undecided(problem), _) => return Err(SettleFailure::Kept(problem)),
        // What the token says was checked.
        (RefreshOutcome::LetThrough, ShownProof::Claims(_)) => RefreshGrant::default(),
        (RefreshOutcome::LetThrough, ShownProof::Text(_)) => RefreshGrant {
            identity: None,
            lasts: Some(early),
        },
    };
    let identity = granted_identity(&proved, grant);
    if cx.user().is_some() && cx.user() != identity.name() {
        let text = "the connection is another user's";
        let problem = Problem::new(Code::Unauthorized, text);
        return Err(SettleFailure::Kept(problem));
    }
    cx.become_user(identity).map_err(SettleFailure::Kept)?;
    cx.begin_validity();
    Ok(())
}

/// Who the connection is that was `proved` to be this.
fn granted_identity(proved: &Identity, grant: RefreshGrant) -> Identity {
    let identity = match grant.identity {
        Some(identity) => identity.bound_to(proved).ending_with(proved),
        None => proved.clone(),
    };
    match grant.lasts {
        Some(lasts) => identity.lasting(lasts),
        None => identity,
    }
}

impl Context<'_> {
    /// Asks about a connection whose time is about to end.
    pub(crate) fn ask_before_end(&mut self, times: ProvedTimes) {
        let Some(hook) = self.shared.refresh.clone() else {
            return;
        };
        let left_ms = times.until_ms.saturating_sub(self.engine.now_ms());
        let left = Some(Duration::from_millis(left_ms));
        let question = question(self, self.identity().clone(), left, RefreshCause::Ending);
        let early = hook.early;
        ask(self, &hook, question, move |cx, outcome| {
            settle_end(cx, outcome, early);
        });
    }
}

/// What becomes of a connection that was asked about before its end.
fn settle_end(cx: &mut Context<'_>, outcome: RefreshOutcome, early: Duration) {
    let times = cx.proved_times();
    let Some(times) = times.filter(|times| times.asking == ExpiryAsking::UnderWay) else {
        // It has proved meanwhile who it is.
        return;
    };
    let is_given = times.given_by == GivenBy::Application;
    let grant = match outcome {
        RefreshOutcome::Refused(problem) => return end(cx, &problem),
        RefreshOutcome::Granted(grant) => grant,
        RefreshOutcome::LetThrough if is_given => RefreshGrant {
            identity: None,
            lasts: Some(early),
        },
        RefreshOutcome::LetThrough | RefreshOutcome::Undecided(_) => {
            return stand(cx, times, AskAgain::AtHalf);
        }
    };
    let is_prolonged = grant.lasts.is_some();
    let identity = granted_identity(cx.identity(), grant);
    let is_same = cx.user().is_none() || cx.user() == identity.name();
    if !is_same || cx.become_user(identity).is_err() {
        return stand(cx, times, AskAgain::AtHalf);
    }
    match is_prolonged {
        true => cx.begin_validity(),
        false => stand(cx, times, AskAgain::No),
    }
}

/// Whether the application is asked once more before the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AskAgain {
    AtHalf,
    No,
}

/// The end stands: the client is told of it, if it was not, and the application is asked once more
/// when half of what is left is over, if nobody has decided.
fn stand(cx: &mut Context<'_>, mut times: ProvedTimes, again: AskAgain) {
    let now_ms = cx.engine.now_ms();
    let left_ms = times.until_ms.saturating_sub(now_ms);
    times.asking = match again {
        AskAgain::AtHalf if left_ms >= AGAIN_LEFT_MS_MIN => ExpiryAsking::At(now_ms + left_ms / 2),
        AskAgain::AtHalf | AskAgain::No => ExpiryAsking::Off,
    };
    let before = cx.told_before(times.given_by);
    if times.telling == ExpiryTelling::Off && !before.is_zero() {
        let before_ms = u64::try_from(before.as_millis()).unwrap_or(u64::MAX);
        let tell_ms = times.until_ms.saturating_sub(before_ms).max(now_ms);
        times.telling = ExpiryTelling::At(tell_ms);
    }
    let validity = Validity::Proved(times);
    if let Some(due_ms) = validity.due_ms() {
        cx.engine.wake_at(due_ms);
    }
    cx.session.more().validity = Some(validity);
}

/// The connection ends, for the application says so.
fn end(cx: &mut Context<'_>, problem: &Problem) {
    AuditEvent::Refused {
        peer: cx.remote_address(),
        user: cx.user(),
        action: "refresh",
        room: "",
        code: problem.code.as_str(),
    }
    .emit();
    if cx.engine.is_open() {
        cx.disconnect(problem.code.close_code(), &problem.message);
    }
}

fn question(
    cx: &Context<'_>,
    identity: Identity,
    left: Option<Duration>,
    cause: RefreshCause,
) -> RefreshQuestion {
    RefreshQuestion {
        connection: cx.connection(),
        remote_address: cx.remote_address(),
        dialect: cx.dialect(),
        identity,
        left,
        cause,
    }
}

/// Asks, and calls `then` on the shard with the outcome.
fn ask(
    cx: &mut Context<'_>,
    hook: &RefreshHook,
    question: RefreshQuestion,
    then: impl FnOnce(&mut Context<'_>, RefreshOutcome) + Send + 'static,
) {
    let dropped = RefreshOutcome::Undecided(unavailable("the server stops"));
    cx.settle_later((hook.ask)(question), dropped, then);
}
