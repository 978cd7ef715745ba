//! Background handlers under way: started on the shard, run on the control plane's runtime, answered on the shard again.
//!
//! Invariant: a connection has at most [`Limits::TASKS_PER_CONNECTION_MAX`] of them and a shard [`Limits::TASKS_PER_SHARD_MAX`]; each ends
//! in one answer, or with its connection.

use crate::app::background::Background;
use crate::app::call::OwnedCall;
use crate::app::context::Context;
use crate::app::encoding;
use crate::app::failure::{Failure, HANDLER_FAILED, RETRY_AFTER_MS};
use crate::app::handle::OnShard;
use crate::app::handler::{InBackground, Work};
use crate::app::middleware::Request;
use crate::app::options::Options;
use crate::app::registry::RegistrationId;
use crate::app::session::Limits;
use futures_util::FutureExt;
use shardcast_protocol::dialect::{Code, Problem, Reply};
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::task::AbortHandle;
use tracing::Instrument;

/// A background handler under way.
#[derive(Debug)]
pub(crate) struct Task {
    serial: u64,
    registration: RegistrationId,
    kind: Box<str>,
    /// `None`: it was answered before.
    call: Option<OwnedCall>,
    abort: AbortHandle,
}

impl Task {
    /// Ends it where it waits.
    pub(crate) fn abort(&self) {
        self.abort.abort();
    }
}

/// What a handler made of a request.
enum Outcome {
    /// The encoded answer.
    Answer(Vec<u8>),
    Problem(Problem),
    Panic,
}

/// Starts one for the request at hand.
pub(crate) fn start(
    cx: &mut Context<'_>,
    request: &Request<'_>,
    registration: RegistrationId,
    options: &Options,
    handler: &InBackground,
) -> Result<(), Failure> {
    require_space(cx, registration, options)?;
    let serial = cx.desk.take_serial();
    let connection = cx.connection();
    let background = Background {
        handle: cx.handle(),
        connection,
        identity: cx.identity().clone(),
        dialect: cx.dialect(),
        remote_address: cx.remote_address(),
        span: tracing::debug_span!("request", %connection, request = serial, kind = request.kind),
    };
    let (span, handle) = (background.span.clone(), background.handle.clone());
    let work = span.in_scope(|| handler(background, &request.data))?;
    let (kind, within) = (request.kind.to_owned(), options.time());
    let run = async move {
        let outcome = outcome_of(work, &kind, within).await;
        let finish = OnShard(Box::new(move |cx| finish(cx, serial, outcome)));
        // A connection that is gone has nobody who waits for it.
        let _ = handle.tell(connection, finish).await;
    };
    let task = cx.desk.shared.runtime.spawn(run.instrument(span));
    let task = Task {
        serial,
        registration,
        kind: request.kind.into(),
        call: cx.defer(),
        abort: task.abort_handle(),
    };
    cx.session.more().tasks.push(task);
    cx.desk.tasks += 1;
    Ok(())
}

fn require_space(
    cx: &Context<'_>,
    registration: RegistrationId,
    options: &Options,
) -> Result<(), Problem> {
    let tasks = cx.session.some().map_or(&[][..], |more| &more.tasks);
    let same = tasks
        .iter()
        .filter(|task| task.registration == registration);
    if tasks.len() >= Limits::TASKS_PER_CONNECTION_MAX || same.count() >= options.calls_at_once() {
        let text = "too many requests of this connection are being handled";
        return Err(Problem::rate_limited(text, RETRY_AFTER_MS));
    }
    if cx.desk.tasks >= Limits::TASKS_PER_SHARD_MAX {
        let text = "too many requests are being handled";
        return Err(Problem::rate_limited(text, RETRY_AFTER_MS));
    }
    Ok(())
}

async fn outcome_of(work: Work, kind: &str, within: Duration) -> Outcome {
    let work = AssertUnwindSafe(work).catch_unwind();
    match tokio::time::timeout(within, work).await {
        Err(_) => Outcome::Problem(Problem::new(Code::Timeout, "the request took too long")),
        Ok(Err(_)) => Outcome::Panic,
        Ok(Ok(Ok(bytes))) => Outcome::Answer(bytes),
        Ok(Ok(Err(failure))) => Outcome::Problem(failure.into_problem(kind)),
    }
}

/// On the shard again: the request is answered.
fn finish(cx: &mut Context<'_>, serial: u64, outcome: Outcome) {
    let tasks = cx.session.some_mut().map(|more| &mut more.tasks);
    let Some(tasks) = tasks else { return };
    let Some(at) = tasks.iter().position(|task| task.serial == serial) else {
        return;
    };
    let task = tasks.swap_remove(at);
    cx.desk.tasks -= 1;
    let encoding = cx.dialect().encoding();
    let problem = match &outcome {
        Outcome::Answer(bytes) => match encoding::written(encoding, bytes) {
            Ok(value) => {
                answer(cx, &task, &Reply::Result(Some(value)));
                None
            }
            Err(problem) => Some(problem),
        },
        Outcome::Problem(problem) => Some(problem.clone()),
        Outcome::Panic => {
            cx.engine.note_panic();
            Some(Problem::new(Code::HandlerFailed, HANDLER_FAILED))
        }
    };
    if let Some(problem) = &problem {
        answer(cx, &task, &Reply::Error(problem));
    }
    cx.session.shed();
    cx.run_after(&task.kind, problem.as_ref());
}

fn answer(cx: &mut Context<'_>, task: &Task, reply: &Reply<'_>) {
    if let Some(call) = &task.call {
        cx.answer_to(call, reply);
    }
}
