//! What an application is before it runs: its handlers, hooks and rules, and how it is started. The
//! binary is an application without handlers.

mod starting;

use crate::access::auto_ban::AutoBan;
use crate::access::bans::Bans;
use crate::access::gate::AccessRules;
use crate::access::lists::{AddressLists, LiveLists};
use crate::access::networks::Networks;
use crate::access::origin::Origins;
use crate::access::proxies::Proxies;
use crate::admission::arrival::{AdmissionFuture, Arrival};
use crate::admission::connect::Connect;
use crate::admission::entrance::Entrances;
use crate::api::hooks::{ConnectHook, Hooks, OnDisconnect, OnMissed, OnOpened, OnResumed};
use crate::api::registration::Handlers;
use crate::api::server::Shards;
use crate::api::service::ApplicationCode;
use crate::auth::gate::TokenGate;
use crate::auth::options::Auth;
use crate::broker::view::ClusterView;
use crate::broker::{Cluster, ClusterSessions};
use crate::centrifuge::options::{Centrifuge, CentrifugeOptions};
use crate::dispatch::registry::Registry;
use crate::limits::limiter::Limiter;
use crate::limits::rules::RateLimits;
use crate::limits::tally::Tally;
use crate::namespace::Namespaces;
use crate::session::admitted::Admitted;
use crate::session::context::Context;
use crate::session::debugging::Debugging;
use crate::session::identity::Identity;
use crate::session::offline::OfflineOptions;
use crate::session::options::SessionOptions;
use crate::session::refreshing::RefreshHook;
use crate::session::refusals::RefusalCounts;
use crate::session::resuming::Resumed;
use crate::session::shared::{SessionRules, Shared};
use crate::session::token::SessionKeySource;
use crate::store::counts::StoreCounts;
use crate::store::options::Persistence;
use crate::traces::tracer::Tracer;
use crate::versions::Versions;
use crate::wire::failure::Failure;
use shardcast_engine::{CloseReason, Config, LogClass, Missed, Refusal, Topic};
use shardcast_protocol::dialect::{Dialect, Rules};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What a server does, before it is started.
#[derive(Clone)]
pub struct App {
    server: String,
    entrances: Entrances,
    reconnect_window: Duration,
    centrifuge: Centrifuge,
    rules: Rules,
    namespaces: Namespaces,
    access: AccessRules,
    refusals: RefusalCounts,
    gate: Option<Arc<TokenGate>>,
    refresh: Option<RefreshHook>,
    limits: RateLimits,
    tally: Arc<Tally>,
    sessions: SessionOptions,
    offline: Option<OfflineOptions>,
    persistence: Option<Persistence>,
    stored: Arc<StoreCounts>,
    cluster: Option<Cluster>,
    view: Option<Arc<ClusterView>>,
    session_key: SessionKeySource,
    debugging: Arc<Debugging>,
    tracer: Option<Tracer>,
    registry: Arc<Registry>,
    hooks: Hooks,
}

impl Default for App {
    fn default() -> App {
        App::new()
    }
}

impl App {
    /// Where clients connect by default.
    pub const PATH: &str = "/ws";

    /// An application without handlers: the server itself answers joins, broadcasts, pings and the
    /// like.
    pub fn new() -> App {
        App {
            server: concat!("shardcast/", env!("CARGO_PKG_VERSION")).to_owned(),
            entrances: Entrances::new(App::PATH),
            reconnect_window: Duration::from_secs(5),
            centrifuge: Centrifuge::default(),
            rules: Rules::default(),
            namespaces: Namespaces::default(),
            access: AccessRules::new(),
            refusals: RefusalCounts::default(),
            gate: None,
            refresh: None,
            limits: RateLimits::default(),
            tally: Arc::default(),
            sessions: SessionOptions::default(),
            offline: None,
            persistence: None,
            stored: Arc::default(),
            cluster: None,
            view: None,
            session_key: SessionKeySource::default(),
            debugging: Arc::new(Debugging::new()),
            tracer: None,
            registry: Arc::new(Registry::new()),
            hooks: Hooks::default(),
        }
    }

    /// Name and version that the welcome names. Default: this library's.
    pub fn server(self, server: impl Into<String>) -> App {
        App {
            server: server.into(),
            ..self
        }
    }

    /// The path for clients of all dialects: the subprotocol or `?dialect=` chooses. Default:
    /// [`App::PATH`].
    pub fn path(mut self, path: impl Into<String>) -> App {
        self.entrances.any = path.into();
        self
    }

    /// The path that alone chooses this dialect, for libraries that cannot choose a subprotocol;
    /// `None`: no such path. Default: `/jsonrpc`, `/msgpack`, and `/connection/websocket` for the
    /// Centrifuge protocol, where the subprotocol `centrifuge-protobuf` or `?format=protobuf`
    /// chooses Protobuf; none for the native dialect in JSON, which is the default of
    /// [`App::path`].
    pub fn dialect_path(mut self, dialect: Dialect, path: Option<&str>) -> App {
        self.entrances.set(dialect, path.map(str::to_owned));
        self
    }

    /// The time within which clients of a draining server come back, each at a random moment that
    /// the server names. Default: 5 s, so 100,000 clients come back at 20 a millisecond.
    pub fn reconnect_window(self, window: Duration) -> App {
        App {
            reconnect_window: window,
            ..self
        }
    }

    /// Times of clients that speak the Centrifuge protocol.
    pub fn centrifuge(self, centrifuge: Centrifuge) -> App {
        App { centrifuge, ..self }
    }

    /// How strictly messages are read.
    pub fn rules(self, rules: Rules) -> App {
        App { rules, ..self }
    }

    /// What clients may do in which rooms. Default: everything in all.
    pub fn namespaces(self, namespaces: Namespaces) -> App {
        App { namespaces, ..self }
    }

    /// Which web pages may connect. Default: the server's own ([`Origins`]). A page of another
    /// origin is answered 403, before any hook is asked.
    pub fn origins(mut self, origins: Origins) -> App {
        self.access.origins = Arc::new(Versions::new(origins));
        self
    }

    /// The proxies that say who their clients are, by `X-Forwarded-For`, `Forwarded` (RFC 7239), or
    /// the PROXY protocol where a listener expects it
    /// ([`crate::engine::Listener::proxy_protocol`]). [`crate::Connect::remote_address`] is the
    /// client's then. What others say in these headers counts for nothing. Default: none.
    pub fn trusted_proxies(mut self, proxies: Proxies) -> App {
        self.access.proxies = Arc::new(Versions::new(proxies));
        self
    }

    /// Lets connections in from these networks only, or from everywhere (`None`), and from those of
    /// `block` never. Others are answered 403 before they have said anything; over TLS they are
    /// closed before the handshake. Default: everywhere, and none blocked.
    pub fn addresses(mut self, allow: Option<Networks>, block: Networks) -> App {
        let lists = AddressLists { allow, block };
        self.access.lists = Arc::new(LiveLists::new(lists));
        self
    }

    /// Where it stands who is banned.
    pub(crate) fn bans(&self) -> Arc<Bans> {
        self.access.bans.clone()
    }

    /// Who is refused so often is banned.
    pub(crate) fn auto_ban(mut self, auto_ban: Option<AutoBan>) -> App {
        self.access.auto_ban = auto_ban.map(Arc::new);
        self
    }

    /// The same with lists that change while the server runs.
    pub(crate) fn live_addresses(mut self, lists: Arc<LiveLists>) -> App {
        self.access.lists = lists;
        self
    }

    /// How clients prove who they are. The hook of [`App::on_connect`] sees who a token's bearer is
    /// ([`Connect::identity`]) and has the last word; a connection is closed when its token ends.
    /// Default: they need not, and everybody is nobody unless a hook says otherwise.
    pub fn auth(self, auth: Auth) -> App {
        let gate = TokenGate::new(auth).map(Arc::new);
        App { gate, ..self }
    }

    /// How much clients may do, by connection, user, address and room. What code of the application
    /// does is not limited. Default: nothing is, but by the limits of [`Config`].
    pub fn limits(self, limits: RateLimits) -> App {
        App { limits, ..self }
    }

    /// Where it is counted what limits have done.
    pub(crate) fn tally(&self) -> Arc<Tally> {
        self.tally.clone()
    }

    /// Whether sessions outlive their connections. Default: they do not. Values out of their ranges
    /// are taken as the nearest that are in them.
    pub fn sessions(self, sessions: SessionOptions) -> App {
        App { sessions, ..self }
    }

    /// What is said to users without connections waits for their next one. Default: it is lost.
    /// Values out of their ranges are taken as the nearest that are in them.
    pub fn offline(self, offline: OfflineOptions) -> App {
        let offline = Some(offline);
        App { offline, ..self }
    }

    /// What rooms keep, and what waits for users, outlives the process, on the disk
    /// (`docs/delivery.md`). For [`App::start`], which opens it and fails where it cannot; an
    /// engine that somebody else starts ([`App::shards`]) has [`Config::journal`] for that.
    /// Publications that were made of frames are not stored. Default: it does not.
    pub fn persistence(self, persistence: Persistence) -> App {
        let persistence = Some(persistence);
        App {
            persistence,
            ..self
        }
    }

    /// The server is a node of a cluster: what is published at one node reaches the members at all
    /// (`docs/scale-out.md`). For [`App::start`] alone. Default: it is a server by itself.
    pub fn cluster(self, cluster: Cluster) -> App {
        let view = ClusterView::new(&cluster.node, cluster.presence_lease);
        if cluster.sessions == ClusterSessions::Broker {
            view.copy_sessions();
        }
        App {
            cluster: Some(cluster),
            view: Some(Arc::new(view)),
            ..self
        }
    }

    /// The cluster as this node sees it; `None`: there is none.
    pub(crate) fn cluster_view(&self) -> Option<Arc<ClusterView>> {
        self.view.clone()
    }

    /// What the store has done; `None`: there is none.
    pub(crate) fn stored(&self) -> Option<Arc<StoreCounts>> {
        self.persistence.as_ref().map(|_| self.stored.clone())
    }

    /// Tokens of sessions that are the same in every run, and that anybody can guess.
    #[doc(hidden)] // For simulations.
    pub fn with_guessable_sessions(self) -> App {
        let session_key = SessionKeySource::Fixed;
        App {
            session_key,
            ..self
        }
    }

    /// Where handlers and middleware are registered: now, and while the server runs.
    pub fn handlers(&self) -> Handlers {
        Handlers::new(self.registry.clone())
    }

    /// Decides about a client before it is let in: returns the client's identity, or a refusal.
    /// Runs on the shard; it must not block.
    pub fn on_connect(
        self,
        hook: impl Fn(&Connect<'_>) -> Result<Identity, Refusal> + Send + Sync + 'static,
    ) -> App {
        self.with_connect(ConnectHook::OnShard(Arc::new(hook)))
    }

    /// Decides likewise where a decision takes time, such as a look-up elsewhere: the hook's future
    /// runs on the runtime of background handlers while the client waits, for
    /// [`Config::admission_timeout`] at most; then the client is answered 504. The future is
    /// dropped where it waits when that time is over or the client goes. At most
    /// [`Config::deferred_max`] clients wait; others are answered 503. Of this hook and that of
    /// [`App::on_connect`] the last one counts. It returns who the client is, or an [`Admitted`],
    /// which has rooms and data from the start besides.
    pub fn on_connect_async<W, A>(self, hook: impl Fn(Arrival) -> W + Send + Sync + 'static) -> App
    where
        W: Future<Output = Result<A, Refusal>> + Send + 'static,
        A: Into<Admitted>,
    {
        let hook = move |arrival| {
            let work = hook(arrival);
            Box::pin(async move { Ok(work.await?.into()) }) as AdmissionFuture
        };
        self.with_connect(ConnectHook::InBackground(Arc::new(hook)))
    }

    fn with_connect(self, connect: ConnectHook) -> App {
        let hooks = Hooks {
            connect: Some(connect),
            ..self.hooks
        };
        App { hooks, ..self }
    }

    /// Called when a client is connected and welcomed, before its first message. An error
    /// disconnects the client: a problem with its own close code (`docs/errors.md`), any other
    /// error with that of `handler_failed`.
    pub fn on_opened(
        self,
        hook: impl Fn(&mut Context<'_>) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> App {
        let opened = Some(Arc::new(hook) as Arc<OnOpened>);
        let hooks = Hooks {
            opened,
            ..self.hooks
        };
        App { hooks, ..self }
    }

    /// Called once for every client that was let in, when the client is gone: it is in no room any
    /// more, and messages to it are dropped. [`Context::rooms`] and [`Context::is_in`] still name
    /// its former rooms.
    pub fn on_disconnect(
        self,
        hook: impl Fn(&mut Context<'_>, CloseReason) + Send + Sync + 'static,
    ) -> App {
        let disconnect = Some(Arc::new(hook) as Arc<OnDisconnect>);
        let hooks = Hooks {
            disconnect,
            ..self.hooks
        };
        App { hooks, ..self }
    }

    /// Called for every gap that a client is told of (`missed`): it reads a room too slowly, and
    /// the room's policy has left messages out ([`crate::namespace::SlowReader`]); or what waited
    /// for its user ([`App::offline`]) was too much, or waited for too long.
    pub fn on_missed(
        self,
        hook: impl Fn(&mut Context<'_>, Topic<'_>, Missed) + Send + Sync + 'static,
    ) -> App {
        let missed = Some(Arc::new(hook) as Arc<OnMissed>);
        let hooks = Hooks {
            missed,
            ..self.hooks
        };
        App { hooks, ..self }
    }

    /// Called when a connection goes on with the session of an earlier one ([`App::sessions`]): it
    /// has that one's identity and metadata, is in its rooms, and its client has been told.
    pub fn on_resumed(
        self,
        hook: impl Fn(&mut Context<'_>, &Resumed) + Send + Sync + 'static,
    ) -> App {
        let resumed = Some(Arc::new(hook) as Arc<OnResumed>);
        let hooks = Hooks {
            resumed,
            ..self.hooks
        };
        App { hooks, ..self }
    }

    /// What is recorded of requests.
    pub(crate) fn tracer(self, tracer: Option<Tracer>) -> App {
        App { tracer, ..self }
    }

    /// What records requests, if anything does.
    pub(crate) fn own_tracer(&self) -> Option<&Tracer> {
        self.tracer.as_ref()
    }

    /// Whose steps are logged.
    pub(crate) fn debugging(&self) -> Arc<Debugging> {
        self.debugging.clone()
    }

    /// Where tokens are asked for.
    pub(crate) fn gate(&self) -> Option<&Arc<TokenGate>> {
        self.gate.as_ref()
    }

    /// Which pages may connect, to be exchanged.
    pub(crate) fn live_origins(&self) -> Arc<Versions<Origins>> {
        self.access.origins.clone()
    }

    /// Which proxies are trusted, to be exchanged.
    pub(crate) fn live_proxies(&self) -> Arc<Versions<Proxies>> {
        self.access.proxies.clone()
    }

    /// Where refusals are counted.
    pub(crate) fn refusals(&self) -> &RefusalCounts {
        &self.refusals
    }

    /// The application for an engine that somebody else starts with this configuration, with
    /// background handlers on this runtime. What rooms keep ([`Config::logs`]), and how
    /// they know their members ([`Config::presence`]), is put into the configuration here.
    pub fn shards(self, config: &mut Config, runtime: tokio::runtime::Handle) -> Shards {
        if let Some(gate) = &self.gate {
            gate.keep_sets_fresh(&runtime);
        }
        config.logs = self.namespaces.logs(config.message_bytes_max());
        config.presence = self.namespaces.presence();
        if let Some(offline) = self.offline {
            config.user_log = Some(LogClass::new(config.logs.len() as u16));
            config.logs.push(offline.log());
            config.user_logs_max = offline.users_max();
        }
        let tracer = self.tracer.as_ref().map(Tracer::sink);
        config.traces = Some(tracer.unwrap_or(self.debugging.sink()).clone());
        let shared = Shared {
            server: self.server,
            heartbeat_ms: millis(config.heartbeat),
            message_bytes_max: config.message_bytes_max(),
            rooms_per_connection_max: config.rooms_per_connection_max,
            deferred_per_shard_max: config.deferred_max / config.shards,
            room_name_bytes_max: config.room_name_bytes_max,
            page_bytes_max: config.outbox_bytes_max / 2,
            reconnect_window_ms: millis(self.reconnect_window),
            rules: self.rules,
            bans: self.access.bans.clone(),
            limiter: Limiter::new(
                self.limits,
                self.tally,
                config.connections_max,
                config.shards,
            ),
            centrifuge: CentrifugeOptions::new(&self.centrifuge, config.idle_timeout),
            namespaces: Versions::new(self.namespaces),
            latencies: Arc::default(),
            debugging: self.debugging,
            tracer: self.tracer,
            refusals: self.refusals,
            gate: self.gate,
            refresh: self.refresh,
            sessions: SessionRules {
                copies: self.view.and_then(|view| view.copies()),
                ..SessionRules::new(self.sessions, self.session_key, config.shards)
            },
            user_log: config.user_log,
            encodings: OnceLock::new(),
            runtime,
            engine: OnceLock::new(),
            started: tokio::sync::watch::Sender::new(()),
        };
        let entrances = self.entrances.with_streams(&self.centrifuge);
        config.stream_paths.extend(entrances.stream_paths());
        let code = ApplicationCode {
            entrances,
            access: self.access,
            registry: self.registry,
            hooks: self.hooks,
        };
        Shards::new(Arc::new(shared), Arc::new(code))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("server", &self.server)
            .field("entrances", &self.entrances)
            .finish_non_exhaustive()
    }
}
