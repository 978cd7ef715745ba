//! All registrations, for all shards: handlers and middlewares come and go at any time and from any
//! thread; each change makes a new table.
//!
//! Invariant: the table has exactly the registrations, and its version counts the changes. A shard
//! reads the version with every message and takes a changed table over, so a message meets the old
//! table or the new one, never a mixture.

use crate::dispatch::guard::Guards;
use crate::dispatch::handler::{Handler, Registered};
use crate::dispatch::middleware::Middleware;
use crate::dispatch::table::{Table, is_type};
use crate::session::task::RegistrationId;
use shardcast_protocol::dialect::Method;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why a handler or a middleware was not registered. Its `Debug` is its `Display`, as `main`
/// prints it.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// Another handler has this type: remove or replace that one.
    #[error("another handler answers {0:?}")]
    Taken(String),
    /// The server answers this type itself.
    #[error("the server answers {0:?} itself")]
    BuiltIn(String),
    /// Empty, longer than 255 bytes, or with control characters.
    #[error("{0:?} is no type: 1 to 255 bytes without control characters")]
    BadType(String),
    /// A star that does not end it.
    #[error("{0:?} is no pattern: a type, or the beginning of types and a star")]
    BadPattern(String),
    /// There are [`Registry::REGISTRATIONS_MAX`] already.
    #[error("there are {} handlers and middlewares", Registry::REGISTRATIONS_MAX)]
    TooMany,
    /// The registration was removed, or is one of a middleware.
    #[error("no handler has this registration")]
    Unknown,
}

impl std::fmt::Debug for RegisterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// All registrations.
#[derive(Debug)]
pub(crate) struct Registry {
    state: Mutex<State>,
    version: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    handlers: BTreeMap<RegistrationId, Registered>,
    /// In the order of registration.
    middleware: BTreeMap<RegistrationId, Middleware>,
    guards: Guards,
    table: Arc<Table>,
}

impl Registry {
    /// Handlers and middlewares together.
    pub(crate) const REGISTRATIONS_MAX: usize = 10_000;

    pub(crate) fn new() -> Registry {
        let registry = Registry {
            state: Mutex::default(),
            version: AtomicU64::new(0),
        };
        registry.publish(&mut registry.lock());
        registry
    }

    pub(crate) fn add(&self, new: Registered) -> Result<RegistrationId, RegisterError> {
        let kind = || new.kind.clone().into_string();
        if !is_type(&new.kind) {
            return Err(RegisterError::BadType(kind()));
        }
        if Method::from_name(&new.kind).is_some() {
            return Err(RegisterError::BuiltIn(kind()));
        }
        self.insert(new)
    }

    /// The handler of all types that have none: its own type is empty.
    pub(crate) fn add_otherwise(&self, new: Registered) -> Result<RegistrationId, RegisterError> {
        debug_assert!(new.kind.is_empty());
        self.insert(new)
    }

    fn insert(&self, new: Registered) -> Result<RegistrationId, RegisterError> {
        let mut state = self.lock();
        if state.handlers.values().any(|other| other.kind == new.kind) {
            return Err(RegisterError::Taken(new.kind.into_string()));
        }
        let id = state.next_id()?;
        state.handlers.insert(id, new);
        self.publish(&mut state);
        Ok(id)
    }

    pub(crate) fn add_middleware(&self, new: Middleware) -> Result<RegistrationId, RegisterError> {
        let mut state = self.lock();
        let id = state.next_id()?;
        state.middleware.insert(id, new);
        self.publish(&mut state);
        Ok(id)
    }

    /// Changes who decides about joins and publishes.
    pub(crate) fn guard(&self, change: impl FnOnce(&mut Guards)) {
        let mut state = self.lock();
        change(&mut state.guards);
        self.publish(&mut state);
    }

    /// Puts another handler under the same type and options.
    pub(crate) fn replace(
        &self,
        id: RegistrationId,
        handler: Handler,
    ) -> Result<(), RegisterError> {
        let mut state = self.lock();
        let registered = state.handlers.get_mut(&id).ok_or(RegisterError::Unknown)?;
        registered.handler = handler;
        self.publish(&mut state);
        Ok(())
    }

    /// False if it was not there.
    pub(crate) fn remove(&self, id: RegistrationId) -> bool {
        let mut state = self.lock();
        let removed =
            state.handlers.remove(&id).is_some() || state.middleware.remove(&id).is_some();
        if removed {
            self.publish(&mut state);
        }
        removed
    }

    /// Counts the changes of the table.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The table, and its version or an earlier one.
    pub(crate) fn table(&self) -> (u64, Arc<Table>) {
        let state = self.lock();
        (self.version(), state.table.clone())
    }

    fn publish(&self, state: &mut State) {
        state.table = Arc::new(Table::new(
            &state.handlers,
            &state.middleware,
            &state.guards,
        ));
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Nothing that is done under the lock leaves the registrations half-changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_id(&mut self) -> Result<RegistrationId, RegisterError> {
        if self.handlers.len() + self.middleware.len() >= Registry::REGISTRATIONS_MAX {
            return Err(RegisterError::TooMany);
        }
        self.next += 1;
        Ok(RegistrationId(self.next))
    }
}

/// The table as the requests of one shard hold it, counted on that shard alone: all shards write
/// the count of the `Arc`, whose cache line would go from core to core with every request.
pub(crate) type LocalTable = Rc<Arc<Table>>;

/// One shard's view of the registry.
#[derive(Debug)]
pub(crate) struct ShardTable {
    registry: Arc<Registry>,
    table: LocalTable,
    version: u64,
}

impl ShardTable {
    pub(crate) fn new(registry: Arc<Registry>) -> ShardTable {
        let (version, table) = registry.table();
        ShardTable {
            registry,
            table: Rc::new(table),
            version,
        }
    }

    /// The handlers of this moment.
    #[inline]
    pub(crate) fn current(&mut self) -> LocalTable {
        if self.version != self.registry.version() {
            let (version, table) = self.registry.table();
            (self.version, self.table) = (version, Rc::new(table));
        }
        Rc::clone(&self.table)
    }
}
