//! What all shards and all handles share of an application: limits, rules, and the way to the
//! engine. Read-only once the engine runs.

use crate::access::bans::Bans;
use crate::auth::gate::TokenGate;
use crate::centrifuge::options::CentrifugeOptions;
use crate::limits::limiter::Limiter;
use crate::namespace::resolved::ResolvedRoom;
use crate::namespace::{Denied, Namespaces};
use crate::session::copies::SessionCopies;
use crate::session::counts::SessionCounts;
use crate::session::debugging::Debugging;
use crate::session::latencies::Latencies;
use crate::session::options::SessionOptions;
use crate::session::refreshing::RefreshHook;
use crate::session::refusals::RefusalCounts;
use crate::session::shelf::Shelf;
use crate::session::token::{SessionKey, SessionKeySource};
use crate::session::waiting::WaitingLimits;
use crate::traces::tracer::Tracer;
use crate::versions::Versions;
use shardcast_engine::{
    EncodingId, EncodingsPresent, Handle as EngineHandle, LogClass, Publish, Refused,
};
use shardcast_protocol::dialect::Rules;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
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
    /// Who is banned.
    pub(crate) bans: Arc<Bans>,
    /// `None`: nothing is limited.
    pub(crate) limiter: Option<Arc<Limiter>>,
    pub(crate) centrifuge: CentrifugeOptions,
    pub(crate) namespaces: Versions<Namespaces>,
    /// What is timed outside of shards.
    pub(crate) latencies: Arc<Latencies>,
    /// Whose steps are logged.
    pub(crate) debugging: Arc<Debugging>,
    /// `None`: nothing is recorded.
    pub(crate) tracer: Option<Tracer>,
    /// Requests that were refused.
    pub(crate) refusals: RefusalCounts,
    /// `None`: no tokens are looked for.
    pub(crate) gate: Option<Arc<TokenGate>>,
    /// Who is asked before the time of a connection ends. `None`: it ends.
    pub(crate) refresh: Option<RefreshHook>,
    pub(crate) sessions: SessionRules,
    /// Where messages to users without connections wait. `None`: they do not.
    pub(crate) user_log: Option<LogClass>,
    /// The engine's count of encodings, known since the first connection opened.
    pub(crate) encodings: OnceLock<EncodingsPresent>,
    /// Where background handlers run.
    pub(crate) runtime: tokio::runtime::Handle,
    /// Set when the engine has started.
    pub(crate) engine: OnceLock<EngineHandle>,
    /// Told when the engine has started.
    pub(crate) started: watch::Sender<()>,
}

/// What holds for sessions that outlive their connections.
#[derive(Debug)]
pub(crate) struct SessionRules {
    /// How long they do. `None`: they do not.
    pub(crate) resume_ms: Option<u64>,
    /// Of the engine.
    pub(crate) shards: usize,
    /// Of each shard.
    pub(crate) limits: WaitingLimits,
    /// What their secrets are made with, where they do.
    pub(crate) key: Option<SessionKey>,
    /// Of all shards.
    pub(crate) counts: Arc<SessionCounts>,
    /// The way to the bridge, where the broker of a cluster keeps copies. `None`: it keeps none.
    pub(crate) copies: Option<SessionCopies>,
    /// Where sessions outlive the process, set before the engine starts. Empty: they do not.
    pub(crate) shelf: OnceLock<Arc<Shelf>>,
}

impl SessionRules {
    pub(crate) fn new(
        options: SessionOptions,
        key: SessionKeySource,
        shards: usize,
    ) -> SessionRules {
        let SessionOptions {
            resume,
            waiting_max,
            bytes_max,
        } = options.clamped();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let key = resume.and_then(|_| SessionKey::new(key));
        if resume.is_some() && key.is_none() {
            tracing::error!("the kernel gives no random numbers: no session can be resumed");
        }
        let resume_ms = resume.filter(|_| key.is_some()).map(millis);
        SessionRules {
            resume_ms,
            shards,
            limits: WaitingLimits {
                keep_ms: resume_ms.unwrap_or_default(),
                count_max: waiting_max,
                bytes_max: bytes_max / shards.max(1),
            },
            key,
            counts: Arc::default(),
            copies: None,
            shelf: OnceLock::new(),
        }
    }
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

    /// A publish to a user: it waits where the user has no connection, if anything does.
    pub(crate) fn waiting(&self, publish: Publish) -> Publish {
        match self.user_log {
            Some(log) => publish.keep(log),
            None => publish,
        }
    }

    /// The room of this name, checked and with its namespace.
    ///
    /// # Errors
    /// The name breaks a rule, or no namespace is called so.
    pub(crate) fn resolve<'r>(&'r self, room: &'r str) -> Result<ResolvedRoom<'r>, Denied> {
        self.namespaces
            .get()
            .resolve(room, self.room_name_bytes_max)
    }

    /// The same for an operator, who hears that there is no such room where a client would be
    /// refused as in a secret namespace.
    ///
    /// # Errors
    /// As for [`Shared::resolve`].
    pub(crate) fn resolve_for_operator<'r>(
        &'r self,
        room: &'r str,
    ) -> Result<ResolvedRoom<'r>, Denied> {
        self.namespaces
            .get()
            .resolve_for_operator(room, self.room_name_bytes_max)
    }
}
