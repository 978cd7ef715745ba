//! Background handlers: started on the shard, run on a tokio runtime, answered on the shard again.
//!
//! Invariant: a connection has at most [`Limits::TASKS_PER_CONNECTION_MAX`] of them, and a shard
//! [`Limits::TASKS_PER_SHARD_MAX`] whose futures are still there. Each request is answered once,
//! whatever becomes of its future: the shard keeps the deadline, and a future that is dropped
//! without an outcome brings one all the same.

use crate::dispatch::handler::{BackgroundFn, HandlerFuture};
use crate::dispatch::middleware::Request;
use crate::dispatch::options::Options;
use crate::dispatch::table::Table;
use crate::session::context::Context;
use crate::session::handle::Handle;
use crate::session::limits::Limits;
use crate::session::permits::Permit;
use crate::session::task::{RegistrationId, Task};
use crate::wire::connection_id::ConnectionId;
use crate::wire::encoding;
use crate::wire::failure::{Failure, HANDLER_FAILED, RETRY_AFTER_MS};
use futures_util::FutureExt;
use shardcast_engine::{Panicked, confine, discard};
use shardcast_protocol::dialect::{Code, Problem, Reply};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use tracing::Instrument;

/// What a handler made of a request.
enum TaskOutcome {
    /// The encoded answer.
    Answer(Vec<u8>),
    Problem(Problem),
    Panic,
    /// Its future was dropped before it had one.
    Dropped,
}

/// The outcome of a handler, on its way to the shard.
pub(crate) struct Finished {
    serial: u64,
    outcome: TaskOutcome,
    /// Taken until the shard has the outcome.
    _permit: Permit,
}

/// Goes with a handler's future, and posts an outcome to the shard when it is dropped, however that
/// comes about.
struct TaskGuard {
    handle: Handle,
    connection: ConnectionId,
    finished: Option<Finished>,
}

impl TaskGuard {
    fn end(mut self, outcome: TaskOutcome) {
        if let Some(finished) = &mut self.finished {
            finished.outcome = outcome;
        }
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        if let Some(mut finished) = self.finished.take() {
            if std::thread::panicking() && matches!(finished.outcome, TaskOutcome::Dropped) {
                finished.outcome = TaskOutcome::Panic;
            }
            // Nobody waits for the outcome of a connection that is gone.
            self.handle.post_later(self.connection, finished);
        }
    }
}

/// Starts a background handler for the request at hand.
pub(crate) fn start(
    cx: &mut Context<'_>,
    request: &Request<'_>,
    registration: RegistrationId,
    options: &Options,
    handler: &BackgroundFn,
) -> Result<(), Failure> {
    require_space(cx, registration, options)?;
    let serial = cx.state.take_serial();
    let connection = cx.connection();
    let kind: Arc<str> = request.kind.into();
    let background = cx.background(Arc::clone(&kind), serial);
    let (span, handle) = (background.span.clone(), background.handle.clone());
    let work = span.in_scope(|| handler(background, &request.data))?;
    let guard = TaskGuard {
        handle,
        connection,
        finished: Some(Finished {
            serial,
            outcome: TaskOutcome::Dropped,
            _permit: cx.state.tasks.take(),
        }),
    };
    let run = {
        let kind = Arc::clone(&kind);
        let (begun, latencies) = (Instant::now(), cx.shared.latencies.clone());
        async move {
            let outcome = outcome_of(work, &kind).await;
            latencies.background.record(begun.elapsed());
            guard.end(outcome);
        }
    };
    // If the runtime has ended, it drops the future at once, and the shard gets the outcome after
    // this call.
    let task = cx.shared.runtime.spawn(run.instrument(span));
    let task = Task {
        serial,
        registration,
        kind,
        call: cx.defer(),
        due_ms: cx.due_after(options.time()),
        abort: task.abort_handle(),
    };
    cx.session.more().tasks.push(task);
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
    if cx.state.tasks.taken() >= Limits::TASKS_PER_SHARD_MAX {
        let text = "too many requests are being handled";
        return Err(Problem::rate_limited(text, RETRY_AFTER_MS));
    }
    Ok(())
}

async fn outcome_of(mut work: HandlerFuture, kind: &str) -> TaskOutcome {
    let ended = AssertUnwindSafe(&mut work).catch_unwind().await;
    // The handler's values are dropped here; their destructors may panic.
    let dropped = discard(work);
    let outcome = match ended {
        Ok(Ok(bytes)) => Ok(TaskOutcome::Answer(bytes)),
        Ok(Err(failure)) => confine(|| TaskOutcome::Problem(failure.into_problem(kind))),
        Err(payload) => {
            let _ignored = discard(payload);
            Err(Panicked)
        }
    };
    match (outcome, dropped) {
        (Ok(outcome), Ok(())) => outcome,
        (Err(Panicked), _) | (_, Err(Panicked)) => TaskOutcome::Panic,
    }
}

/// Answers the request on the shard, unless its time was over.
pub(crate) fn finish(cx: &mut Context<'_>, table: &Table, finished: Finished) {
    let Some(task) = take(cx, |task| task.serial == finished.serial) else {
        return;
    };
    let encoding = cx.dialect().encoding();
    let failed = || Problem::new(Code::HandlerFailed, HANDLER_FAILED);
    match finished.outcome {
        TaskOutcome::Answer(bytes) => {
            let value = encoding::written(encoding, &bytes);
            conclude(cx, table, &task, &Reply::Result(Some(value)));
        }
        TaskOutcome::Problem(problem) => conclude(cx, table, &task, &Reply::Error(&problem)),
        TaskOutcome::Panic => {
            cx.engine.count_panic();
            conclude(cx, table, &task, &Reply::Error(&failed()));
        }
        TaskOutcome::Dropped => {
            let kind = &*task.kind;
            tracing::warn!(kind, "a background handler was dropped: its runtime ended");
            conclude(cx, table, &task, &Reply::Error(&failed()));
        }
    }
}

/// Answers the requests of the connection whose time is over, and drops their handlers where they
/// wait.
pub(crate) fn time_out(cx: &mut Context<'_>, table: &Table, now_ms: u64) {
    while let Some(task) = take(cx, |task| task.due_ms <= now_ms) {
        task.abort();
        let late = Problem::new(Code::Timeout, "the request took too long");
        conclude(cx, table, &task, &Reply::Error(&late));
    }
}

/// Answers all requests of the connection that handlers work on: nobody waits for them any more.
pub(crate) fn give_up(cx: &mut Context<'_>, table: &Table, problem: &Problem) {
    while let Some(task) = take(cx, |_| true) {
        task.abort();
        conclude(cx, table, &task, &Reply::Error(problem));
    }
}

/// Takes a task that is not answered yet out of the session.
fn take(cx: &mut Context<'_>, is_it: impl Fn(&Task) -> bool) -> Option<Task> {
    let tasks = &mut cx.session.some_mut()?.tasks;
    let at = tasks.iter().position(is_it)?;
    Some(tasks.swap_remove(at))
}

fn conclude(cx: &mut Context<'_>, table: &Table, task: &Task, reply: &Reply<'_>) {
    if let Some(call) = &task.call {
        cx.answer_to(call, reply);
    }
    cx.session.shrink();
    let problem = match reply {
        Reply::Error(problem) => Some(*problem),
        _ => None,
    };
    if let Some(entry) = table.find_handler(&task.kind) {
        entry.run_after(cx, &task.kind, problem);
    }
}
