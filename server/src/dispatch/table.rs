//! The handlers of one moment: one look-up per request finds everything that runs for its type.

use crate::dispatch::guard::{Guards, RequestGuard};
use crate::dispatch::handler::{HandlerKind, Registered};
use crate::dispatch::middleware::{Act, After, Before, Middleware};
use crate::dispatch::options::Options;
use crate::session::context::Context;
use crate::session::task::RegistrationId;
use foldhash::fast::RandomState;
use shardcast_protocol::dialect::{Method, Problem, Request};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

/// Entries by type. Immutable: a change of the registrations makes another table.
#[derive(Debug)]
pub(crate) struct Table {
    /// Entries of the server's own methods, by their numbers.
    methods: [Entry; Method::COUNT],
    handlers: HashMap<Box<str>, Entry, RandomState>,
    /// Of all types that have no handler.
    otherwise: Option<Entry>,
}

/// Everything that runs for the requests of one type.
pub(crate) struct Entry {
    /// Decides before anything else runs.
    pub(crate) guard: Option<RequestGuard>,
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
        handler: HandlerKind,
    },
}

impl Table {
    pub(crate) fn new(
        handlers: &BTreeMap<RegistrationId, Registered>,
        middleware: &BTreeMap<RegistrationId, Middleware>,
        guards: &Guards,
    ) -> Table {
        let entry_of = |id: &RegistrationId, registered: &Registered| {
            let action = Action::Handler {
                registration: *id,
                options: registered.options.clone(),
                handler: registered.handler.0.clone(),
            };
            Entry::new(&registered.kind, action, middleware.values())
        };
        let is_named = |registered: &Registered| !registered.kind.is_empty();
        let named = handlers.iter().filter(|(_, it)| is_named(it));
        let mut others = handlers.iter().filter(|(_, it)| !is_named(it));
        Table {
            methods: Method::ALL.map(|method| Entry {
                guard: guards.of(method),
                ..Entry::new(method.name(), Action::BuiltIn, middleware.values())
            }),
            handlers: named
                .map(|(id, it)| (it.kind.clone(), entry_of(id, it)))
                .collect(),
            otherwise: others.next().map(|(id, it)| entry_of(id, it)),
        }
    }

    #[inline]
    pub(crate) fn find(&self, request: &Request<'_>) -> Option<&Entry> {
        match request.method() {
            Some(method) => Some(&self.methods[method.index()]),
            None => self.find_handler(request.name()),
        }
    }

    /// The entry of a type that has a handler, or of all types that have none.
    #[inline]
    pub(crate) fn find_handler(&self, kind: &str) -> Option<&Entry> {
        let handler = self.handlers.get(kind);
        handler.or_else(|| self.otherwise.as_ref().filter(|_| is_type(kind)))
    }
}

/// Whether a type may be called so: 1 to 255 bytes without control characters.
pub(crate) fn is_type(kind: &str) -> bool {
    const TYPE_BYTES_MAX: usize = 255;
    (1..=TYPE_BYTES_MAX).contains(&kind.len()) && !kind.chars().any(char::is_control)
}

impl Default for Table {
    fn default() -> Table {
        Table::new(&BTreeMap::new(), &BTreeMap::new(), &Guards::default())
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
            guard: None,
            before: before.into(),
            action,
            after: after.into(),
        }
    }
}

impl Entry {
    /// Runs the middleware that comes after the handler. The next one runs although one has
    /// panicked.
    pub(crate) fn run_after(&self, cx: &mut Context<'_>, kind: &str, problem: Option<&Problem>) {
        for act in &self.after {
            cx.shield(|cx| act(cx, kind, problem.map_or(Ok(()), Err)));
        }
    }
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
