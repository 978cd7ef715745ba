//! Several calls in one request, done in their order, each with its own answer or problem.
//!
//! Invariant: publishes that follow each other are handed over without waiting for what becomes of
//! them; whatever else is called has their outcome before it. A batch has at most
//! [`BatchCall::REQUESTS_MAX`] calls, and is refused as a whole where one is not understood.

use crate::admin::answers::AnswerRoom;
use crate::admin::api::ending::{BanCall, DisconnectCall, RevokeCall, UnbanCall};
use crate::admin::api::membership::MembershipCall;
use crate::admin::api::publishing::{PublishCall, PublishUnderWay};
use crate::admin::api::rooms::{HistoryCall, HistoryClearCall, PresenceCall};
use crate::admin::api::{AdminApi, Called, answered, status_of};
use crate::admin::auditing::{audit, understood};
use crate::admin::problem::{AdminProblem, ProblemDetails};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shardcast_protocol::trace_parent::TraceParent;

/// Calls.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchCall {
    /// At most 10,000.
    #[schemars(length(max = 10_000))]
    requests: Vec<BatchRequest>,
}

/// A call by its name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BatchRequest {
    Publish(PublishCall),
    Join(MembershipCall),
    Leave(MembershipCall),
    Disconnect(DisconnectCall),
    Ban(BanCall),
    Unban(UnbanCall),
    Revoke(RevokeCall),
    Presence(PresenceCall),
    History(HistoryCall),
    HistoryClear(HistoryClearCall),
}

/// What became of each call, in their order.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BatchAnswer {
    answers: Vec<BatchItem>,
}

/// What became of one.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BatchItem {
    /// As if it had been a request of its own.
    status: u16,
    #[schemars(with = "Option<serde_json::Value>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemDetails>,
}

impl BatchCall {
    const REQUESTS_MAX: usize = 10_000;
}

impl BatchItem {
    fn of(outcome: Called) -> BatchItem {
        match outcome {
            Ok(answer) => BatchItem {
                status: 200,
                answer: Some(answer),
                problem: None,
            },
            Err(problem) => BatchItem {
                status: problem.status().as_u16(),
                answer: None,
                problem: Some(problem.details()),
            },
        }
    }
}

impl AdminApi {
    pub(crate) async fn batch(
        &self,
        call: BatchCall,
        trace: Option<TraceParent>,
    ) -> Result<BatchAnswer, AdminProblem> {
        if call.requests.len() > BatchCall::REQUESTS_MAX {
            return Err(AdminProblem::bad_request("a batch has at most 10000 calls"));
        }
        let mut answers = Vec::with_capacity(call.requests.len());
        let mut under_way = Vec::new();
        let mut room = AnswerRoom::new();
        for request in call.requests {
            match request {
                BatchRequest::Publish(publish) => {
                    under_way.push(self.begin_publish(publish, trace).await);
                }
                other => {
                    end(&mut under_way, &mut answers).await;
                    let said = other.to_audit();
                    let outcome = match room.is_full() && other.reads() {
                        true => Err(AdminProblem::new(StatusCode::PAYLOAD_TOO_LARGE, FULL)),
                        false => self.one_of_batch(other).await,
                    };
                    room.take(outcome.as_ref().map_or(0, |answer| answer.get().len()));
                    if let Some((call, body)) = said {
                        audit(call, &body, status_of(&outcome).as_u16());
                    }
                    answers.push(BatchItem::of(outcome));
                }
            }
        }
        end(&mut under_way, &mut answers).await;
        Ok(BatchAnswer { answers })
    }

    async fn one_of_batch(&self, request: BatchRequest) -> Called {
        match request {
            BatchRequest::Publish(call) => answered(&self.publish(call, None).await?),
            BatchRequest::Join(call) => answered(&self.join(call).await?),
            BatchRequest::Leave(call) => answered(&self.leave(call).await?),
            BatchRequest::Disconnect(call) => answered(&self.disconnect(call).await?),
            BatchRequest::Ban(call) => answered(&self.ban(call).await?),
            BatchRequest::Unban(call) => answered(&self.unban(call).await?),
            BatchRequest::Revoke(call) => answered(&self.revoke(call).await?),
            BatchRequest::Presence(call) => answered(&self.presence(call).await?),
            BatchRequest::History(call) => answered(&self.history(call).await?),
            BatchRequest::HistoryClear(call) => answered(&self.history_clear(call).await?),
        }
    }
}

const FULL: &str = "the answers before it have 16 MiB: ask for it in another batch";

impl BatchRequest {
    /// Whether its answer may be long.
    fn reads(&self) -> bool {
        matches!(self, BatchRequest::Presence(_) | BatchRequest::History(_))
    }

    /// What stands in the audit log, as if it had been a request of its own. `None`: it only reads,
    /// or has data of messages.
    fn to_audit(&self) -> Option<(&'static str, String)> {
        Some(match self {
            BatchRequest::Publish(_) | BatchRequest::Presence(_) | BatchRequest::History(_) => {
                return None;
            }
            BatchRequest::Join(call) => ("join", understood(call)),
            BatchRequest::Leave(call) => ("leave", understood(call)),
            BatchRequest::Disconnect(call) => ("disconnect", understood(call)),
            BatchRequest::Ban(call) => ("ban", understood(call)),
            BatchRequest::Unban(call) => ("unban", understood(call)),
            BatchRequest::Revoke(call) => ("revoke", understood(call)),
            BatchRequest::HistoryClear(call) => ("history_clear", understood(call)),
        })
    }
}

/// Waits for the publishes that were handed over.
async fn end(
    under_way: &mut Vec<Result<PublishUnderWay, AdminProblem>>,
    answers: &mut Vec<BatchItem>,
) {
    for publish in under_way.drain(..) {
        let outcome = match publish {
            Ok(publish) => publish.end().await,
            Err(problem) => Err(problem),
        };
        answers.push(BatchItem::of(outcome.and_then(|answer| answered(&answer))));
    }
}
