//! Background handlers under way: started on the shard, run on the control plane's runtime, answered on the shard again.
//!
//! Invariant: a connection has at most [`Limits::TASKS_PER_CONNECTION_MAX`] of them, and a shard [`Limits::TASKS_PER_SHARD_MAX`] whose
//! futures are still there. Each is answered once, whatever becomes of its future: its deadline is the shard's, and who drops the future
//! without an outcome has answered for it.

use crate::app::background::Background;
use crate::app::call::OwnedCall;
use crate::app::connection_id::ConnectionId;
use crate::app::context::Context;
use crate::app::encoding;
use crate::app::failure::{Failure, HANDLER_FAILED, RETRY_AFTER_MS};
use crate::app::handle::{Handle, OnShard};
use crate::app::handler::{InBackground, Work};
use crate::app::middleware::Request;
use crate::app::options::Options;
use crate::app::registry::RegistrationId;
use crate::app::session::Limits;
use futures_util::FutureExt;
use shardcast_engine::{Panicked, confine, discard};
use shardcast_protocol::dialect::{Code, Problem, Reply};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
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
    /// By the engine's clock.
    due_ms: u64,
    abort: AbortHandle,
}

impl Task {
    /// Ends it where it waits.
    pub(crate) fn abort(&self) {
        self.abort.abort();
    }

    /// When it is answered for.
    pub(crate) fn due_ms(&self) -> u64 {
        self.due_ms
    }
}

/// One shard's places for background handlers. A place is taken until the handler's future is dropped and its outcome is known to the
/// shard, so that a runtime that does not run holds no more of them.
#[derive(Debug, Default)]
pub(crate) struct Places(Arc<()>);

/// A taken place.
#[derive(Debug)]
pub(crate) struct Place {
    _counted: Arc<()>,
}

impl Places {
    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }

    pub(crate) fn take(&self) -> Place {
        Place {
            _counted: self.0.clone(),
        }
    }
}

/// What a handler made of a request.
enum Outcome {
    /// The encoded answer.
    Answer(Vec<u8>),
    Problem(Problem),
    Panic,
    /// Its future was dropped before it had one.
    Dropped,
}

/// What a handler's future owes: the shard is told an outcome when this is dropped, however that comes about.
struct Duty {
    handle: Handle,
    connection: ConnectionId,
    serial: u64,
    outcome: Outcome,
    place: Option<Place>,
}

impl Duty {
    fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        let outcome = match std::mem::replace(&mut self.outcome, Outcome::Dropped) {
            Outcome::Dropped if std::thread::panicking() => Outcome::Panic,
            outcome => outcome,
        };
        let (serial, place) = (self.serial, self.place.take());
        let finish = OnShard(Box::new(move |cx| {
            finish(cx, serial, outcome);
            drop(place);
        }));
        // A connection that is gone has nobody who waits for it.
        self.handle.tell_later(self.connection, finish);
    }
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
    let kind: Box<str> = request.kind.into();
    let duty = Duty {
        handle,
        connection,
        serial,
        outcome: Outcome::Dropped,
        place: Some(cx.desk.places.take()),
    };
    let run = {
        let kind = kind.clone();
        async move { duty.end(outcome_of(work, &kind).await) }
    };
    // Of a runtime that has ended, the future is dropped at once: the shard hears of it after this.
    let task = cx.desk.shared.runtime.spawn(run.instrument(span));
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
    if cx.desk.places.taken() >= Limits::TASKS_PER_SHARD_MAX {
        let text = "too many requests are being handled";
        return Err(Problem::rate_limited(text, RETRY_AFTER_MS));
    }
    Ok(())
}

async fn outcome_of(mut work: Work, kind: &str) -> Outcome {
    let ended = AssertUnwindSafe(&mut work).catch_unwind().await;
    // What the handler held ends here, with all that its end may do.
    let dropped = discard(work);
    let outcome = match ended {
        Ok(Ok(bytes)) => Ok(Outcome::Answer(bytes)),
        Ok(Err(failure)) => confine(|| Outcome::Problem(failure.into_problem(kind))),
        Err(payload) => {
            let _ignored = discard(payload);
            Err(Panicked)
        }
    };
    match (outcome, dropped) {
        (Ok(outcome), Ok(())) => outcome,
        (Err(Panicked), _) | (_, Err(Panicked)) => Outcome::Panic,
    }
}

/// On the shard again: the request is answered, unless its time was over.
fn finish(cx: &mut Context<'_>, serial: u64, outcome: Outcome) {
    let Some(task) = take(cx, |task| task.serial == serial) else {
        return;
    };
    let encoding = cx.dialect().encoding();
    let failed = || Problem::new(Code::HandlerFailed, HANDLER_FAILED);
    match outcome {
        Outcome::Answer(bytes) => {
            let value = encoding::written(encoding, &bytes);
            conclude(cx, &task, &Reply::Result(Some(value)));
        }
        Outcome::Problem(problem) => conclude(cx, &task, &Reply::Error(&problem)),
        Outcome::Panic => {
            cx.engine.count_panic();
            conclude(cx, &task, &Reply::Error(&failed()));
        }
        Outcome::Dropped => {
            let kind = &*task.kind;
            tracing::warn!(kind, "a background handler was dropped: its runtime ended");
            conclude(cx, &task, &Reply::Error(&failed()));
        }
    }
}

/// Answers the requests of the connection whose time is over, and drops their handlers where they wait.
pub(crate) fn time_out(cx: &mut Context<'_>, now_ms: u64) {
    while let Some(task) = take(cx, |task| task.due_ms <= now_ms) {
        task.abort();
        let late = Problem::new(Code::Timeout, "the request took too long");
        conclude(cx, &task, &Reply::Error(&late));
    }
}

/// One that is not answered yet, which no longer counts as under way.
fn take(cx: &mut Context<'_>, is_it: impl Fn(&Task) -> bool) -> Option<Task> {
    let tasks = &mut cx.session.some_mut()?.tasks;
    let at = tasks.iter().position(is_it)?;
    Some(tasks.swap_remove(at))
}

fn conclude(cx: &mut Context<'_>, task: &Task, reply: &Reply<'_>) {
    if let Some(call) = &task.call {
        cx.answer_to(call, reply);
    }
    cx.session.shed();
    let problem = match reply {
        Reply::Error(problem) => Some(*problem),
        _ => None,
    };
    cx.run_after(&task.kind, problem);
}
