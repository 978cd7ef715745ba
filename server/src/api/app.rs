//! An application on the engine: what its handlers and hooks are, and how it is started. The binary is one without handlers.

use crate::admission::arrival::{Arrival, Work};
use crate::admission::connect::{Connect, ConnectHook, Hooks, OnDisconnect, OnOpened};
use crate::admission::entrance::Entrances;
use crate::api::registration::Handlers;
use crate::api::service::Service;
use crate::dispatch::registry::Registry;
use crate::namespace::Namespaces;
use crate::session::context::Context;
use crate::session::handle::Handle;
use crate::session::identity::Identity;
use crate::session::shared::Shared;
use crate::wire::failure::Failure;
use shardcast_engine::{
    CloseReason, Config, Handle as EngineHandle, ListenAddress, Refusal, Running, ShardCounters,
    StartError,
};
use shardcast_protocol::dialect::{Dialect, Rules};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// Where event streams are, for clients that cannot have a WebSocket.
pub(crate) const EVENTS_PATH: &str = "/sse";

/// What a server does, before it is started.
#[derive(Clone)]
pub struct App {
    server: String,
    entrances: Entrances,
    reconnect_window: Duration,
    rules: Rules,
    namespaces: Namespaces,
    registry: Arc<Registry>,
    hooks: Hooks,
}

impl Default for App {
    fn default() -> App {
        App::new()
    }
}

impl App {
    /// Where clients connect, if not told otherwise.
    pub const PATH: &str = "/ws";

    /// Only what the server answers itself: rooms, broadcasts, pings.
    pub fn new() -> App {
        App {
            server: concat!("shardcast/", env!("CARGO_PKG_VERSION")).to_owned(),
            entrances: Entrances::new(App::PATH),
            reconnect_window: Duration::from_secs(5),
            rules: Rules::default(),
            namespaces: Namespaces::default(),
            registry: Arc::new(Registry::new()),
            hooks: Hooks::default(),
        }
    }

    /// Name and version, as clients are welcomed with. Default: this library's.
    pub fn server(self, server: impl Into<String>) -> App {
        App {
            server: server.into(),
            ..self
        }
    }

    /// The path on which clients connect, whatever they speak: their subprotocol or `?dialect=` chooses. Default: [`App::PATH`].
    pub fn path(mut self, path: impl Into<String>) -> App {
        self.entrances.any = path.into();
        self
    }

    /// The path on which clients speak this dialect without another word, for libraries that cannot choose a subprotocol; `None`: no such
    /// path. Default: `/jsonrpc` and `/msgpack`; none for JSON's native dialect, which is spoken where nothing is chosen.
    pub fn dialect_path(mut self, dialect: Dialect, path: Option<&str>) -> App {
        self.entrances.set(dialect, path.map(str::to_owned));
        self
    }

    /// A draining server tells each client to come back at a random time within this. Default: 5 s, which is 20 clients a millisecond
    /// of 100,000.
    pub fn reconnect_window(self, window: Duration) -> App {
        App {
            reconnect_window: window,
            ..self
        }
    }

    /// How strictly messages are read.
    pub fn rules(self, rules: Rules) -> App {
        App { rules, ..self }
    }

    /// What clients may do in which rooms. Default: everything in all.
    pub fn namespaces(self, namespaces: Namespaces) -> App {
        App { namespaces, ..self }
    }

    /// Where handlers and middleware are registered: now, and while the server runs.
    pub fn handlers(&self) -> Handlers {
        Handlers::new(self.registry.clone())
    }

    /// Asked before a client is let in: who it is, or why it may not come. Runs on the shard; it must not block.
    pub fn on_connect(
        self,
        hook: impl Fn(&Connect<'_>) -> Result<Identity, Refusal> + Send + Sync + 'static,
    ) -> App {
        self.with_connect(ConnectHook::OnShard(Arc::new(hook)))
    }

    /// The same for what takes time, such as a look-up elsewhere: the hook's future runs on the runtime of background handlers while the
    /// client waits, for [`Config::admission_timeout`] at most (then it is answered 504). The future is dropped where it waits when that
    /// time is over or the client goes. At most [`Config::deferred_max`] clients wait; others are answered 503. Of this hook and that of
    /// [`App::on_connect`] the last one counts.
    pub fn on_connect_async<W>(self, hook: impl Fn(Arrival) -> W + Send + Sync + 'static) -> App
    where
        W: Future<Output = Result<Identity, Refusal>> + Send + 'static,
    {
        let hook = move |arrival| Box::pin(hook(arrival)) as Work;
        self.with_connect(ConnectHook::InBackground(Arc::new(hook)))
    }

    fn with_connect(self, connect: ConnectHook) -> App {
        let hooks = Hooks {
            connect: Some(connect),
            ..self.hooks
        };
        App { hooks, ..self }
    }

    /// Called when a client is there and has been welcomed, before the first of its messages. An error disconnects it: a problem with its
    /// own close code (`docs/errors.md`), any other with that of `handler_failed`.
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

    /// Called once for every client that was let in, when it is gone: it is in no room any more, and what is sent to it goes nowhere.
    /// [`Context::rooms`] and [`Context::is_in`] tell of the rooms that it was in.
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

    /// Starts the server. Background handlers run on the tokio runtime around this call, or on one of its own with one thread.
    ///
    /// # Errors
    /// See [`StartError`]; nothing runs then.
    pub fn start(self, config: Config) -> Result<Server, StartError> {
        let (runtime, own) = match tokio::runtime::Handle::try_current() {
            Ok(runtime) => (runtime, None),
            Err(_) => {
                shardcast_engine::afford(&config, BACKGROUND_THREADS)?;
                let own = own_runtime().map_err(|source| StartError::Io {
                    what: "starting the runtime of background handlers".into(),
                    source,
                })?;
                (own.handle().clone(), Some(OwnRuntime(Some(own))))
            }
        };
        let shards = self.shards(&config, runtime);
        let make = shards.clone();
        let running = shardcast_engine::start(config, move |shard| make.shard(shard))?;
        let handle = shards.attach(running.handle());
        Ok(Server {
            running,
            handle,
            _runtime: own,
        })
    }

    /// The application for an engine that somebody else starts, with background handlers on this runtime.
    pub fn shards(self, config: &Config, runtime: tokio::runtime::Handle) -> Shards {
        let shared = Shared {
            server: self.server,
            entrances: self.entrances,
            heartbeat_ms: millis(config.heartbeat),
            message_bytes_max: config.message_bytes_max(),
            rooms_per_connection_max: config.rooms_per_connection_max,
            deferred_per_shard_max: config.deferred_max / config.shards,
            room_name_bytes_max: config.room_name_bytes_max,
            reconnect_window_ms: millis(self.reconnect_window),
            rules: self.rules,
            namespaces: self.namespaces,
            spoken: Default::default(),
            registry: self.registry,
            hooks: self.hooks,
            runtime,
            engine: OnceLock::new(),
        };
        Shards(Arc::new(shared))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Of the runtime that runs background handlers, where the embedder has none.
const BACKGROUND_THREADS: usize = 1;

fn own_runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(BACKGROUND_THREADS)
        .thread_name("background")
        .enable_time()
        .enable_io()
        .build()
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("server", &self.server)
            .field("entrances", &self.entrances)
            .finish_non_exhaustive()
    }
}

/// What every shard of an engine runs, for whoever starts the engine: [`shardcast_engine::start`] with [`Shards::shard`], then
/// [`Shards::attach`].
#[derive(Clone, Debug)]
pub struct Shards(Arc<Shared>);

impl Shards {
    /// One shard's application.
    pub fn shard(&self, index: u16) -> Service {
        Service::new(self.0.clone(), index)
    }

    /// The engine has started: from here on handlers have a way to it. The first engine stays.
    pub fn attach(&self, engine: EngineHandle) -> Handle {
        // A second one would be another server with the same handlers, which has its own `Shards`.
        let _ = self.0.engine.set(engine);
        self.0.handle()
    }
}

/// A running server. Dropping it stops it at once; [`Server::drain`] does so kindly.
#[derive(Debug)]
pub struct Server {
    running: Running,
    handle: Handle,
    /// Dropped behind the engine, whose handlers run on it.
    _runtime: Option<OwnRuntime>,
}

/// A runtime that `start` has made. It ends without waiting for what runs on it, so that it may be dropped anywhere, a future of another
/// runtime included, where waiting is a panic.
#[derive(Debug)]
struct OwnRuntime(Option<Runtime>);

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Server {
    /// The way in from other threads.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Where clients connect over TCP: the first listener's address of those that have one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.running.local_addr()
    }

    /// Where clients connect, in the order of the configuration.
    pub fn addresses(&self) -> &[ListenAddress] {
        self.running.addresses()
    }

    /// The engine below: addresses, counters, capabilities.
    pub fn engine(&self) -> &Running {
        &self.running
    }

    /// One set of counters per shard.
    pub fn counters(&self) -> &[Arc<ShardCounters>] {
        self.running.counters()
    }

    /// Serves until the process gets SIGINT or SIGTERM, then drains, as [`Server::drain`] does. From this call on, before the future is
    /// awaited, these signals do not end the process by themselves. Needs a tokio runtime with I/O around it.
    ///
    /// # Errors
    /// The kernel takes no handler of signals; the server has stopped then.
    pub fn until_signal(
        self,
        within: Duration,
    ) -> std::io::Result<impl Future<Output = bool> + Send> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        Ok(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            let drained = tokio::task::spawn_blocking(move || self.drain(within));
            drained.await.is_ok_and(|all_in_time| all_in_time)
        })
    }

    /// Stops accepting, tells every client to come back later, flushes, closes with 1001. Blocks until every connection is gone or
    /// `within` is over. True when all were gone in time. Background handlers that are left end where they wait.
    pub fn drain(self, within: Duration) -> bool {
        self.running.drain(within)
    }
}
