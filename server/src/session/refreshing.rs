//! Asking the application whether a connection may go on being who it is: what it is asked, and
//! what it may say. Kept by all shards; `auth::refreshing` asks.

use crate::session::identity::Identity;
use crate::wire::connection_id::ConnectionId;
use shardcast_engine::Peer;
use shardcast_protocol::dialect::{Dialect, Problem};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// A connection whose time is about to end, or whose client asks for more.
#[derive(Clone, Debug)]
pub(crate) struct RefreshQuestion {
    pub(crate) connection: ConnectionId,
    pub(crate) remote_address: Peer,
    pub(crate) dialect: Dialect,
    /// Who it is; where the client has shown a token that was checked, who that says it is.
    pub(crate) identity: Identity,
    /// How long it still is that. `None`: without end.
    pub(crate) left: Option<Duration>,
    pub(crate) cause: RefreshCause,
}

/// Why the application is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RefreshCause {
    /// The time is about to end.
    Ending,
    /// The client has shown another token, which is good.
    Proved,
    /// The client has shown this, which nobody here can check.
    Shown(Box<str>),
}

/// What became of a question.
#[derive(Clone, Debug)]
pub(crate) enum RefreshOutcome {
    Granted(RefreshGrant),
    /// The connection is to end.
    Refused(Problem),
    /// Nobody has decided, and so nothing stands against it.
    LetThrough,
    /// Nobody has decided; what a client that has asked is told.
    Undecided(Problem),
}

/// What the application grants.
#[derive(Clone, Debug, Default)]
pub(crate) struct RefreshGrant {
    /// Who the connection is from now on: the same user. `None`: who it is.
    pub(crate) identity: Option<Identity>,
    /// For so long from now on. `None`: the end stands.
    pub(crate) lasts: Option<Duration>,
}

/// How the application is asked. Clones ask the same one.
#[derive(Clone)]
pub(crate) struct RefreshHook {
    /// How long before the end, at most; and for how long a connection goes on whose end nobody
    /// decides about, where nothing stands against that.
    pub(crate) early: Duration,
    pub(crate) ask: Arc<RefreshFn>,
}

pub(crate) type RefreshFn = dyn Fn(RefreshQuestion) -> RefreshFuture + Send + Sync;

/// The answer of an application, on the runtime of background handlers.
pub(crate) type RefreshFuture = Pin<Box<dyn Future<Output = RefreshOutcome> + Send>>;

impl fmt::Debug for RefreshHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshHook")
            .field("early", &self.early)
            .finish_non_exhaustive()
    }
}
