//! The admin API: what operators see and do, call by call, over HTTP with JSON.
//!
//! Invariant: a call that is answered 200 has taken effect; one that is not understood changed
//! nothing. Each call stands in the table of operations, which the routes of the port and the
//! OpenAPI document are made of. Routes of the port lead here, behind its guard.

pub(crate) mod batch;
pub(crate) mod cluster;
pub(crate) mod connections;
pub(crate) mod document;
pub(crate) mod ending;
pub(crate) mod membership;
pub(crate) mod operations;
pub(crate) mod paging;
pub(crate) mod process;
pub(crate) mod publishing;
pub(crate) mod refusals;
pub(crate) mod rooms;
pub(crate) mod shards;
pub(crate) mod steering;

use crate::access::bans::Bans;
use crate::admin::facts::ProcessFacts;
use crate::admin::kept::Keeper;
use crate::admin::lifecycle::Steering;
use crate::admin::problem::AdminProblem;
use crate::broker::view::ClusterView;
use crate::session::handle::Handle;
use crate::wire::failure::{Failure, Gone};
use axum::body::Bytes;
use axum::extract::Query as UriQuery;
use axum::http::{StatusCode, Uri};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use shardcast_engine::Refused;
use shardcast_protocol::dialect::{Code, Problem};
use shardcast_protocol::trace_parent::TraceParent;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What the calls act on.
#[derive(Debug)]
pub(crate) struct AdminApi {
    pub(crate) handle: Handle,
    pub(crate) bans: Arc<Bans>,
    /// `None`: bans and revocations end with the process.
    pub(crate) keeper: Option<Keeper>,
    pub(crate) facts: ProcessFacts,
    pub(crate) steering: Steering,
    /// `None`: this is no node of a cluster.
    pub(crate) cluster: Option<Arc<ClusterView>>,
    /// Places for batches.
    pub(crate) batches: Arc<Semaphore>,
}

impl AdminApi {
    /// Batches at a time, those included whose callers have gone; others wait, with their bodies
    /// unread.
    pub(crate) const BATCHES_MAX: usize = 4;
}

/// The answer to a call: JSON.
pub(crate) type Called = Result<Box<RawValue>, AdminProblem>;

/// What a call was asked with.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// What the path names: a room, a connection or a user.
    pub(crate) name: String,
    pub(crate) uri: Uri,
    pub(crate) body: Bytes,
    /// What the caller has it belong to (`traceparent`).
    pub(crate) trace: Option<TraceParent>,
}

impl Asked {
    /// The body.
    ///
    /// # Errors
    /// It is no JSON, or not what the call takes.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, AdminProblem> {
        let body = match self.body.trim_ascii() {
            b"" => b"{}",
            body => body,
        };
        serde_json::from_slice(body).map_err(|error| not_understood(error.to_string()))
    }

    /// What stands behind the question mark.
    ///
    /// # Errors
    /// The call knows no such parameter, or not this value of it.
    pub(crate) fn query<T: DeserializeOwned>(&self) -> Result<T, AdminProblem> {
        let query = UriQuery::<T>::try_from_uri(&self.uri);
        let query = query.map_err(|error| not_understood(error.body_text()));
        query.map(|UriQuery(query)| query)
    }
}

/// What a parser says, which may quote what it was given.
fn not_understood(mut why: String) -> AdminProblem {
    const BYTES_MAX: usize = 512;
    why.truncate(why.floor_char_boundary(BYTES_MAX));
    AdminProblem::bad_request(why)
}

/// The answer of a call that has taken effect.
pub(crate) fn answered(answer: &impl Serialize) -> Called {
    to_raw_value(answer)
        .map_err(|error| AdminProblem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// The status that a request of its own would be answered with.
pub(crate) fn status_of(outcome: &Called) -> StatusCode {
    match outcome {
        Ok(_) => StatusCode::OK,
        Err(problem) => problem.status(),
    }
}

/// The engine takes no more.
impl From<Refused> for AdminProblem {
    fn from(refused: Refused) -> AdminProblem {
        Failure::from(refused).into()
    }
}

/// There is no such connection.
impl From<Gone> for AdminProblem {
    fn from(Gone: Gone) -> AdminProblem {
        AdminProblem::not_found("there is no such connection")
    }
}

/// A problem of a client's request, as HTTP has it.
impl From<Problem> for AdminProblem {
    fn from(problem: Problem) -> AdminProblem {
        Failure::from(problem).into()
    }
}

/// What the application layer refused, as HTTP has it.
impl From<Failure> for AdminProblem {
    fn from(failure: Failure) -> AdminProblem {
        if failure.is_gone() {
            return AdminProblem::from(Gone);
        }
        let Some(problem) = failure.problem() else {
            return AdminProblem::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed");
        };
        let status = match problem.code {
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Code::RoomLimit | Code::RoomFull => StatusCode::CONFLICT,
            _ => StatusCode::BAD_REQUEST,
        };
        AdminProblem::new(status, problem.message)
    }
}
