//! Who handles what at one moment: one look-up per request, with everything that is to be done for its type.

use crate::app::builtin;
use crate::app::context::Context;
use crate::app::data::Data;
use crate::app::failure::{Failure, HANDLER_FAILED};
use crate::app::handler;
use crate::app::middleware::{Act, After, Before, Flow, Middleware, Request};
use crate::app::options::Options;
use crate::app::registry::{Registered, RegistrationId};
use crate::app::task;
use foldhash::fast::RandomState;
use shardcast_engine::{Panicked, confine};
use shardcast_protocol::dialect::{self, Code, Command, Dialect, Method, Problem, Reply};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

/// Entries by type. Never changed: a change of the registrations makes another one.
#[derive(Debug)]
pub(crate) struct Table {
    /// Of the server's own methods, by their numbers.
    methods: [Entry; Method::COUNT],
    handlers: HashMap<Box<str>, Entry, RandomState>,
}

/// What is done with the requests of one type.
pub(crate) struct Entry {
    pub(crate) before: Box<[Arc<Before>]>,
    pub(crate) action: Action,
    pub(crate) after: Box<[Arc<After>]>,
}

pub(crate) enum Action {
    /// The server answers itself.
    BuiltIn,
    Handler {
        registration: RegistrationId,
        options: Options,
        handler: handler::Kind,
    },
}

impl Table {
    pub(crate) fn new(
        handlers: &BTreeMap<RegistrationId, Registered>,
        middleware: &BTreeMap<RegistrationId, Middleware>,
    ) -> Table {
        let entries = handlers.iter().map(|(id, registered)| {
            let action = Action::Handler {
                registration: *id,
                options: registered.options.clone(),
                handler: registered.handler.0.clone(),
            };
            let entry = Entry::new(&registered.kind, action, middleware.values());
            (registered.kind.clone(), entry)
        });
        Table {
            methods: Method::ALL
                .map(|method| Entry::new(method.name(), Action::BuiltIn, middleware.values())),
            handlers: entries.collect(),
        }
    }

    #[inline]
    pub(crate) fn find(&self, request: &dialect::Request<'_>) -> Option<&Entry> {
        match request.method() {
            Some(method) => Some(&self.methods[method.index()]),
            None => self.handlers.get(request.name()),
        }
    }

    /// The entry of a type that somebody handles.
    pub(crate) fn find_handler(&self, kind: &str) -> Option<&Entry> {
        self.handlers.get(kind)
    }
}

impl Default for Table {
    fn default() -> Table {
        Table::new(&BTreeMap::new(), &BTreeMap::new())
    }
}

impl Entry {
    fn new<'m>(
        kind: &str,
        action: Action,
        middleware: impl Iterator<Item = &'m Middleware>,
    ) -> Entry {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for middleware in middleware.filter(|middleware| middleware.pattern.fits(kind)) {
            match &middleware.act {
                Act::Before(act) => before.push(act.clone()),
                Act::After(act) => after.push(act.clone()),
            }
        }
        Entry {
            before: before.into(),
            action,
            after: after.into(),
        }
    }
}

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
    /// Middleware first, then the handler. The request is answered there, or fails, or is answered later.
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
                    handler::Kind::Shard(handler) => on_shard(cx, &request, &**handler)?,
                    handler::Kind::Background(handler) => {
                        task::start(cx, &request, *registration, options, &**handler)?;
                        return Ok(Progress::Begun);
                    }
                }
            }
        }
        Ok(Progress::Done)
    }

    /// Answers what failed, and runs the middleware that comes after.
    pub(crate) fn conclude(&self, cx: &mut Context<'_>, kind: &str, run: Run) {
        // An error that is logged says itself what it is, and may panic over it.
        let said = |failure: Failure| confine(|| failure.into_problem(kind));
        let failed = match run {
            Ok(Ok(Progress::Begun)) => return,
            Ok(Ok(Progress::Done)) => None,
            Ok(Err(failure)) => Some(said(failure)),
            Err(Panicked) => Some(Err(Panicked)),
        };
        let problem = failed.map(|problem| {
            problem.unwrap_or_else(|Panicked| {
                cx.engine.count_panic();
                Problem::new(Code::HandlerFailed, HANDLER_FAILED)
            })
        });
        if let Some(problem) = &problem {
            cx.answer(&Reply::Error(problem));
        }
        if !self.after.is_empty() {
            self.run_after(cx, kind, problem.as_ref());
        }
    }

    /// Each by itself: a panic of one is no reason to leave out the next.
    pub(crate) fn run_after(&self, cx: &mut Context<'_>, kind: &str, problem: Option<&Problem>) {
        for act in &self.after {
            cx.shield(|cx| act(cx, kind, problem.map_or(Ok(()), Err)));
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
            Dialect::NativeJson | Dialect::MessagePack => Data::new(command.data),
        },
    }
}

fn on_shard(
    cx: &mut Context<'_>,
    request: &Request<'_>,
    handler: &handler::OnShard,
) -> Result<(), Failure> {
    let (connection, serial) = (cx.connection(), cx.desk.take_serial());
    let span = tracing::debug_span!("request", %connection, request = serial, kind = request.kind);
    let _entered = span.enter();
    // An error that is not for the client is logged here, with the span's ids.
    handler(cx, &request.data).map_err(|failure| failure.into_problem(request.kind).into())
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Entry({} before, {} after)",
            self.before.len(),
            self.after.len()
        )
    }
}
