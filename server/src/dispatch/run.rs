//! One request on its way through its entry of the table: middleware, then the server or a handler,
//! then the answer of what failed. Called by the service.

use crate::dispatch::builtin;
use crate::dispatch::handler::{HandlerKind, ShardFn};
use crate::dispatch::middleware::{Flow, Request};
use crate::dispatch::table::{Action, Entry};
use crate::dispatch::task;
use crate::session::context::Context;
use crate::session::guarded::Verdict;
use crate::session::latencies::Latencies;
use crate::wire::encoding::{self, Nesting};
use crate::wire::failure::{Failure, HANDLER_FAILED};
use crate::wire::from_data::Data;
use shardcast_engine::{Panicked, confine};
use shardcast_protocol::dialect::{Code, Command, Dialect, Problem, Reply};
use std::time::Instant;

/// What became of a request: `Ok` if it was done or begun, or the panic of its handler.
pub(crate) type Run = Result<Result<Progress, Failure>, Panicked>;

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Done,
    /// A background handler goes on with it.
    Begun,
}

impl Entry {
    /// Middleware first, then the handler. The request is answered there, or fails, or is answered
    /// later.
    pub(crate) fn run(
        &self,
        cx: &mut Context<'_>,
        command: &Command<'_>,
    ) -> Result<Progress, Failure> {
        if !self.before.is_empty() {
            let request = request(cx, command);
            for act in &self.before {
                if act(cx, &request)? == Flow::Answered {
                    cx.answer(&Reply::Result(None));
                    return Ok(Progress::Done);
                }
            }
        }
        match &self.action {
            Action::BuiltIn => builtin::run(cx, command)?,
            Action::Handler {
                registration,
                options,
                handler,
            } => {
                let request = request(cx, command);
                options.admit(cx.identity(), &request.data)?;
                match handler {
                    HandlerKind::Shard(handler) => on_shard(cx, &request, &**handler)?,
                    HandlerKind::Background(handler) => {
                        task::start(cx, &request, *registration, options, &**handler)?;
                        return Ok(Progress::Begun);
                    }
                }
            }
        }
        Ok(Progress::Done)
    }

    /// The same for a request that its guard has decided about.
    pub(crate) fn run_decided(
        &self,
        cx: &mut Context<'_>,
        command: &Command<'_>,
        verdict: &Verdict,
    ) -> Result<Progress, Failure> {
        match verdict {
            Verdict::Accept => self.run(cx, command),
            Verdict::AcceptAs(data) => {
                let encoding = cx.dialect().encoding();
                let mut bytes = Vec::new();
                encoding::write(encoding, Nesting::Event, &mut bytes, data)?;
                let command = Command {
                    data: Some(encoding::written(encoding, &bytes)),
                    ..command.clone()
                };
                self.run(cx, &command)
            }
            Verdict::Swallow => {
                cx.answer(&Reply::Ack);
                Ok(Progress::Done)
            }
        }
    }

    /// Answers what failed, and runs the middleware that comes after.
    pub(crate) fn conclude(&self, cx: &mut Context<'_>, kind: &str, run: Run) {
        // The `Display` of an error that is logged is the application's code, and may panic.
        let problem_of = |failure: Failure| confine(|| failure.into_problem(kind));
        let failed = match run {
            Ok(Ok(Progress::Begun)) => return,
            Ok(Ok(Progress::Done)) => None,
            Ok(Err(failure)) => Some(problem_of(failure)),
            Err(Panicked) => Some(Err(Panicked)),
        };
        let problem = failed.map(|problem| {
            problem.unwrap_or_else(|Panicked| {
                cx.engine.count_panic();
                Problem::new(Code::HandlerFailed, HANDLER_FAILED)
            })
        });
        if let Some(problem) = &problem {
            if let Some(step) = cx.step_left() {
                step.fail(problem.code.as_str());
            }
            cx.answer(&Reply::Error(problem));
        }
        if !self.after.is_empty() {
            self.run_after(cx, kind, problem.as_ref());
        }
    }
}

/// A request as code of the application sees it.
fn request<'r>(cx: &Context<'_>, command: &'r Command<'_>) -> Request<'r> {
    Request {
        kind: command.request.name(),
        room: command.room.as_deref(),
        data: match cx.dialect() {
            Dialect::JsonRpc => Data::params(command.data),
            Dialect::NativeJson
            | Dialect::MessagePack
            | Dialect::CentrifugeJson
            | Dialect::CentrifugeProtobuf => Data::new(command.data),
        },
    }
}

fn on_shard(cx: &mut Context<'_>, request: &Request<'_>, handler: &ShardFn) -> Result<(), Failure> {
    let (connection, serial) = (cx.connection(), cx.state.take_serial());
    let span = tracing::debug_span!("request", %connection, request = serial, kind = request.kind);
    let _entered = span.enter();
    let is_timed = serial.is_multiple_of(Latencies::HANDLERS_EACH);
    let begun = is_timed.then(Instant::now);
    let outcome = handler(cx, &request.data);
    if let Some(begun) = begun {
        cx.shared.latencies.handler.record(begun.elapsed());
    }
    // An error that is not for the client is logged here, with the span's ids.
    outcome.map_err(|failure| failure.into_problem(request.kind).into())
}
