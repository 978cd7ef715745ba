//! The event `refresh`: whether a connection goes on being who it is, for how long, and in which
//! roles, as the backend decides. Installed by the hooks, asked by the times of connections.
//!
//! Invariant: what cannot be used decides nothing, and a connection keeps its user.

use crate::gateway::answers::{self, Unusable};
use crate::gateway::calls::GatewayDecision;
use crate::gateway::hooks::{GatewayHooks, name_of};
use crate::gateway::options::EventKind;
use crate::gateway::wire::{Answer, GatewayEvent};
use crate::session::identity::Identity;
use crate::session::refreshing::{
    RefreshCause, RefreshFuture, RefreshGrant, RefreshHook, RefreshOutcome, RefreshQuestion,
};
use std::sync::Arc;
use std::time::Duration;

/// How long before the end of a connection's time the backend is asked at the earliest, in times of
/// `gateway.timeout`: as often as that it may fail to answer.
const EARLY_TIMEOUTS: u32 = 10;

impl GatewayHooks {
    /// Asks the backend about connections.
    pub(super) fn refresh_hook(&self) -> RefreshHook {
        let hooks = self.clone();
        RefreshHook {
            early: self.gateway.options.timeout * EARLY_TIMEOUTS,
            ask: Arc::new(move |question: RefreshQuestion| {
                let hooks = hooks.clone();
                Box::pin(async move { hooks.decide_refresh(question).await }) as RefreshFuture
            }),
        }
    }

    async fn decide_refresh(&self, question: RefreshQuestion) -> RefreshOutcome {
        let event = self.event_of_question(&question);
        let trace = self.decide_trace(None, "gateway refresh");
        let context = trace.context;
        match self.gateway.decide(EventKind::Refresh, event, trace).await {
            GatewayDecision::LetThrough => RefreshOutcome::LetThrough,
            GatewayDecision::Rejected(problem) => RefreshOutcome::Refused(problem),
            GatewayDecision::Undecided(problem) => RefreshOutcome::Undecided(problem),
            GatewayDecision::Accepted(answer) => match grant_of(&answer, &question.identity) {
                Ok(grant) => {
                    self.publish_all(&answer, context).await;
                    RefreshOutcome::Granted(grant)
                }
                Err(why) => RefreshOutcome::Undecided(self.unusable(EventKind::Refresh, why)),
            },
        }
    }

    fn event_of_question(&self, question: &RefreshQuestion) -> GatewayEvent {
        let left_ms = |left: Duration| u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let token = match &question.cause {
            RefreshCause::Shown(token) => Some(token.to_string()),
            RefreshCause::Ending | RefreshCause::Proved => None,
        };
        GatewayEvent {
            connection: question.connection.to_string(),
            address: question.remote_address.to_string(),
            dialect: name_of(question.dialect).to_owned(),
            expires_ms: question.left.map(left_ms),
            token,
            asked: question.cause != RefreshCause::Ending,
            ..self.event(EventKind::Refresh, &question.identity)
        }
    }
}

/// What the backend grants to a connection that is this.
fn grant_of(answer: &Answer, identity: &Identity) -> Result<RefreshGrant, Unusable> {
    let granted = answers::identity_of(answer)?;
    let is_other = |granted: &Identity| granted.name() != identity.name();
    if identity.name().is_some() && granted.as_ref().is_some_and(is_other) {
        return Err(Unusable("a connection keeps its user"));
    }
    Ok(RefreshGrant {
        identity: granted,
        lasts: answer.expires_ms.map(Duration::from_millis),
    })
}
