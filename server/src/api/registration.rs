//! How an application registers what it does: handlers by type, middleware by pattern, groups of
//! both. From any thread, before the server starts and while it runs.

use crate::dispatch::guard::{Attempt, GuardFn, GuardFuture, RequestGuard};
use crate::dispatch::handler::{Handler, Registered};
use crate::dispatch::middleware::{Act, Flow, Middleware, Request};
use crate::dispatch::options::Options;
use crate::dispatch::pattern::Pattern;
use crate::dispatch::registry::{RegisterError, Registry};
use crate::session::background::Background;
use crate::session::context::Context;
use crate::session::guarded::Verdict;
use crate::session::task::RegistrationId;
use crate::wire::failure::Failure;
use crate::wire::from_data::FromData;
use serde::Serialize;
use shardcast_protocol::dialect::Problem;
use std::sync::Arc;

/// The handlers of an application, or of a group of it. A clone is the same group.
#[derive(Clone, Debug)]
pub struct Handlers {
    registry: Arc<Registry>,
    prefix: Arc<str>,
    options: Options,
}

impl Handlers {
    pub(crate) fn new(registry: Arc<Registry>) -> Handlers {
        Handlers {
            registry,
            prefix: "".into(),
            options: Options::new(),
        }
    }

    /// A group: types and patterns get `prefix` in front (`order.` makes `create` to
    /// `order.create`). It has this group's options.
    pub fn group(&self, prefix: &str) -> Handlers {
        Handlers {
            prefix: format!("{}{prefix}", self.prefix).into(),
            ..self.clone()
        }
    }

    /// The same group, whose handlers get these options instead of those it had.
    pub fn with(&self, options: Options) -> Handlers {
        Handlers {
            options,
            ..self.clone()
        }
    }

    /// Registers a handler that runs on the shard: see [`Handler::on_shard`].
    ///
    /// # Errors
    /// See [`RegisterError`]; nothing has changed then.
    pub fn on<T, R, F>(&self, kind: &str, handler: F) -> Result<RegistrationId, RegisterError>
    where
        T: FromData,
        R: Serialize,
        F: Fn(&mut Context<'_>, T) -> Result<R, Failure> + Send + Sync + 'static,
    {
        self.register(kind, Handler::on_shard(handler))
    }

    /// Registers a handler that runs in the background: see [`Handler::in_background`].
    ///
    /// # Errors
    /// See [`RegisterError`]; nothing has changed then.
    pub fn on_async<T, R, F, W>(
        &self,
        kind: &str,
        handler: F,
    ) -> Result<RegistrationId, RegisterError>
    where
        T: FromData,
        R: Serialize,
        F: Fn(Background, T) -> W + Send + Sync + 'static,
        W: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        self.register(kind, Handler::in_background(handler))
    }

    /// Registers a handler of either sort.
    ///
    /// # Errors
    /// See [`RegisterError`]; nothing has changed then.
    pub fn register(&self, kind: &str, handler: Handler) -> Result<RegistrationId, RegisterError> {
        self.registry.add(Registered {
            kind: self.named(kind).into(),
            handler,
            options: self.options.clone(),
        })
    }

    /// Registers the handler of all types that have none and are not the server's own: for what
    /// passes requests on ([`Background::kind`] says which it is). There is one for the whole
    /// application, whichever group registers it. Of middleware, it meets what fits all types.
    ///
    /// # Errors
    /// [`RegisterError::Taken`] or [`RegisterError::TooMany`]; nothing has changed then.
    pub fn otherwise(&self, handler: Handler) -> Result<RegistrationId, RegisterError> {
        self.registry.add_otherwise(Registered {
            kind: "".into(),
            handler,
            options: self.options.clone(),
        })
    }

    /// Another handler takes the place of one; type and options stay. Every request meets one of
    /// the two.
    ///
    /// # Errors
    /// [`RegisterError::Unknown`]: it is not there any more.
    pub fn replace(&self, id: RegistrationId, handler: Handler) -> Result<(), RegisterError> {
        self.registry.replace(id, handler)
    }

    /// Removes a handler or a middleware. Requests of its type are answered `unknown_type` from now
    /// on; what it has begun, it ends. False if it was not there any more.
    pub fn remove(&self, id: RegistrationId) -> bool {
        self.registry.remove(id)
    }

    /// Runs before the handlers of the types that `pattern` fits: a type (`order.create`), the
    /// beginning of types (`order.*`), or all (`*`), the server's own included. Middlewares run in
    /// the order of registration; each may let the request go on, answer it, or refuse it. A type
    /// that nobody handles meets none, nor does a request that is refused as it is read: what lacks
    /// a key that its type needs.
    ///
    /// # Errors
    /// [`RegisterError::BadPattern`] or [`RegisterError::TooMany`].
    pub fn before(
        &self,
        pattern: &str,
        act: impl Fn(&mut Context<'_>, &Request<'_>) -> Result<Flow, Failure> + Send + Sync + 'static,
    ) -> Result<RegistrationId, RegisterError> {
        self.middleware(pattern, Act::Before(Arc::new(act)))
    }

    /// Runs after them, in the order of registration, with the type and what became of the request:
    /// `Err` holds what the client was answered. For a background handler that is when its answer
    /// has come; a request whose client is gone by then meets none. For the server's own
    /// `join_room`, `leave_room`, `presence` and reports it is when the request was taken.
    ///
    /// # Errors
    /// [`RegisterError::BadPattern`] or [`RegisterError::TooMany`].
    pub fn after(
        &self,
        pattern: &str,
        act: impl Fn(&mut Context<'_>, &str, Result<(), &Problem>) + Send + Sync + 'static,
    ) -> Result<RegistrationId, RegisterError> {
        self.middleware(pattern, Act::After(Arc::new(act)))
    }

    /// Decides about each join of a client, in every dialect, before it goes its way: for decisions
    /// that take time, such as a look-up elsewhere. The future runs on the runtime of background
    /// handlers, within the timeout of this group's options; its error is what the client is
    /// answered. Meanwhile nothing more is read of the connection: what the client asks for next is
    /// done next. What the namespace forbids is not asked about, and limits hold afterwards.
    /// The last guard of joins counts.
    pub fn guard_joins<F, W>(&self, guard: F)
    where
        F: Fn(Attempt) -> W + Send + Sync + 'static,
        W: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let decide = move |attempt| {
            let work = guard(attempt);
            Box::pin(async move { work.await.map(|()| Verdict::Accept) }) as GuardFuture
        };
        let guard = self.guard(Arc::new(decide));
        self.registry.guard(|guards| guards.join = Some(guard));
    }

    /// Decides likewise about each publish of a client, which may become another one.
    /// The last guard of publishes counts.
    pub fn guard_publishes<F, W>(&self, guard: F)
    where
        F: Fn(Attempt) -> W + Send + Sync + 'static,
        W: Future<Output = Result<Verdict, Failure>> + Send + 'static,
    {
        let decide = move |attempt| Box::pin(guard(attempt)) as GuardFuture;
        let guard = self.guard(Arc::new(decide));
        self.registry.guard(|guards| guards.publish = Some(guard));
    }

    fn guard(&self, decide: Arc<GuardFn>) -> RequestGuard {
        let timeout = self.options.time();
        RequestGuard { decide, timeout }
    }

    fn middleware(&self, pattern: &str, act: Act) -> Result<RegistrationId, RegisterError> {
        let pattern = self.named(pattern);
        let parsed = Pattern::parse(&pattern).ok_or(RegisterError::BadPattern(pattern))?;
        self.registry.add_middleware(Middleware {
            pattern: parsed,
            act,
        })
    }

    fn named(&self, kind: &str) -> String {
        format!("{}{kind}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardcast_protocol::dialect;

    fn nothing() -> Handler {
        Handler::on_shard(|_, (): ()| Ok(()))
    }

    fn handlers() -> Handlers {
        Handlers::new(Arc::new(Registry::new()))
    }

    #[test]
    fn a_type_has_one_handler() {
        let handlers = handlers();
        let id = handlers.register("a", nothing()).unwrap();
        let taken = Err(RegisterError::Taken("a".into()));
        assert_eq!(handlers.register("a", nothing()), taken);
        assert_eq!(handlers.group("").register("a", nothing()), taken);
        assert_eq!(handlers.replace(id, nothing()), Ok(()));
        assert!(handlers.remove(id) && !handlers.remove(id));
        assert_eq!(handlers.replace(id, nothing()), Err(RegisterError::Unknown));
        assert_ne!(handlers.register("a", nothing()), Ok(id));
    }

    #[test]
    fn bad_names_are_refused() {
        let handlers = handlers();
        for (kind, error) in [
            ("", RegisterError::BadType("".into())),
            ("a\nb", RegisterError::BadType("a\nb".into())),
            ("join_room", RegisterError::BuiltIn("join_room".into())),
        ] {
            assert_eq!(handlers.register(kind, nothing()), Err(error));
        }
        let long = "x".repeat(256);
        assert_eq!(
            handlers.register(&long, nothing()),
            Err(RegisterError::BadType(long))
        );
        let bad = handlers.before("a*b", |_, _| Ok(Flow::Continue));
        assert_eq!(bad, Err(RegisterError::BadPattern("a*b".into())));
        assert_eq!(
            handlers.group("join_").register("room", nothing()),
            Err(RegisterError::BuiltIn("join_room".into()))
        );
    }

    #[test]
    fn middleware_meets_the_types_of_its_group() {
        let handlers = handlers();
        let orders = handlers.group("order.");
        orders.register("create", nothing()).unwrap();
        let first = orders.before("*", |_, _| Ok(Flow::Continue)).unwrap();
        handlers.before("*", |_, _| Ok(Flow::Continue)).unwrap();
        handlers.after("order.create", |_, _, _| {}).unwrap();
        let counts = |kind: &str| {
            let (_, table) = handlers.registry.table();
            let entry = match kind {
                "echo" => table.find(&dialect::Request::Echo),
                kind => table.find_handler(kind),
            };
            entry.map(|entry| (entry.before.len(), entry.after.len()))
        };
        assert_eq!(counts("order.create"), Some((2, 1)));
        assert_eq!(counts("echo"), Some((1, 0)));
        assert_eq!(counts("order.cancel"), None);
        assert!(handlers.remove(first));
        assert_eq!(counts("order.create"), Some((1, 1)));
    }

    #[test]
    fn every_change_has_a_version_of_its_own() {
        let handlers = handlers();
        let version = || handlers.registry.version();
        let before = version();
        let id = handlers.register("a", nothing()).unwrap();
        assert_eq!(version(), before + 1);
        handlers.register("a", nothing()).unwrap_err();
        assert_eq!(version(), before + 1);
        handlers.replace(id, nothing()).unwrap();
        handlers.remove(id);
        assert_eq!(version(), before + 3);
    }
}
