//! What all shards and all handles share of an application: limits, rules, and the way to the
//! engine. Read-only once the engine runs.

use crate::auth::gate::TokenGate;
use crate::limits::limiter::Limiter;
use crate::namespace::resolved::ResolvedRoom;
use crate::namespace::{Denied, Namespaces};
use crate::session::refusals::RefusalCounts;
use shardcast_engine::{EncodingId, EncodingsPresent, Handle as EngineHandle, Refused};
use shardcast_protocol::dialect::Rules;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// The same for all shards, and for all handles.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Name and version, as clients are welcomed with: `shardcast/0.1.0`.
    pub(crate) server: String,
    pub(crate) heartbeat_ms: u64,
    /// The largest message of any listener: what leaves is not larger.
    pub(crate) message_bytes_max: usize,
    pub(crate) rooms_per_connection_max: usize,
    /// Clients of one shard whose admission may be under way in the background.
    pub(crate) deferred_per_shard_max: usize,
    pub(crate) room_name_bytes_max: usize,
    /// Messages of a part of history, or members of a page, together: what a client may be sent at
    /// once, with as much to spare for what it is sent besides.
    pub(crate) page_bytes_max: usize,
    /// A draining server tells each client to come back at a random time within this many
    /// milliseconds.
    pub(crate) reconnect_window_ms: u64,
    pub(crate) rules: Rules,
    /// `None`: nothing is limited.
    pub(crate) limiter: Option<Arc<Limiter>>,
    pub(crate) namespaces: Namespaces,
    /// Requests that were refused.
    pub(crate) refusals: RefusalCounts,
    /// `None`: no tokens are looked for.
    pub(crate) gate: Option<Arc<TokenGate>>,
    /// The engine's count of encodings, known since the first connection opened.
    pub(crate) encodings: OnceLock<EncodingsPresent>,
    /// Where background handlers run.
    pub(crate) runtime: tokio::runtime::Handle,
    /// Set when the engine has started.
    pub(crate) engine: OnceLock<EngineHandle>,
    /// Told when the engine has started.
    pub(crate) started: watch::Sender<()>,
}

impl Shared {
    /// The engine.
    ///
    /// # Errors
    /// [`Refused::Busy`] until the engine has started: the first connections may come before that.
    /// Whoever meets it tries again, as with a full queue, so no shard ever waits here.
    pub(crate) fn engine(&self) -> Result<&EngineHandle, Refused> {
        self.engine.get().ok_or(Refused::Busy)
    }

    /// The engine has started. A second one changes nothing: it is another server with the same
    /// handlers, and has its own `Shards`.
    pub(crate) fn attach(&self, engine: EngineHandle) {
        if self.engine.set(engine).is_ok() {
            self.started.send_replace(());
        }
    }

    /// Changes when the engine has started, from here on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.started.subscribe()
    }

    /// Whether an open connection has this encoding.
    pub(crate) fn has_encoding(&self, encoding: EncodingId) -> bool {
        let present = self.encodings.get();
        present.is_some_and(|present| present.has(encoding))
    }

    /// The room of this name, checked and with its namespace.
    ///
    /// # Errors
    /// The name breaks a rule, or no namespace is called so.
    pub(crate) fn resolve<'r>(&'r self, room: &'r str) -> Result<ResolvedRoom<'r>, Denied> {
        self.namespaces.resolve(room, self.room_name_bytes_max)
    }
}
