//! A running server, and its shards for an engine that somebody else starts.

use crate::api::service::{ApplicationCode, Service};
use crate::api::watching::Watching;
use crate::broker::bridge::Bridge;
use crate::session::handle::Handle;
use crate::session::shared::Shared;
use crate::store::counts::StoreCounts;
use crate::store::keeper::Store;
use crate::store::options::Persistence;
use shardcast_engine::{
    Config, Durability, Handle as EngineHandle, ListenAddress, LogClass, Running, ShardCounters,
    StartError, TopicName,
};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// What every shard of an engine runs, for embedders that start the engine themselves:
/// [`shardcast_engine::start`] with [`Shards::shard`], then [`Shards::attach`].
#[derive(Clone, Debug)]
pub struct Shards {
    shared: Arc<Shared>,
    code: Arc<ApplicationCode>,
}

impl Shards {
    pub(crate) fn new(shared: Arc<Shared>, code: Arc<ApplicationCode>) -> Shards {
        Shards { shared, code }
    }

    /// One shard's application.
    pub fn shard(&self, index: u16) -> Service {
        Service::new(self.shared.clone(), self.code.clone(), index)
    }

    /// Opens what is stored of the logs that these shards have, for an engine of this
    /// configuration.
    pub(crate) fn store(
        &self,
        persistence: &Persistence,
        counts: Arc<StoreCounts>,
        config: &mut Config,
    ) -> Result<Store, StartError> {
        let logs = config.logs.clone();
        let is_stored = |class: &LogClass| {
            let options = logs.get(class.index());
            options.is_some_and(|options| options.durability == Durability::Stored)
        };
        let class_of = |topic: &TopicName| match topic {
            TopicName::Room(room) => self.shared.resolve(room).ok()?.log().filter(is_stored),
            TopicName::User(_) => self.shared.user_log.filter(is_stored),
        };
        let started = Store::start(persistence, counts, class_of);
        let (store, journal) = started.map_err(|source| StartError::Io {
            what: format!("opening the store in {}", persistence.path.display()),
            source,
        })?;
        config.journal = Some(journal);
        // Set once: an engine has one store.
        let _ = self.shared.sessions.shelf.set(store.shelf().clone());
        Ok(store)
    }

    /// Connects handlers with the engine, which has started. What they post before this call waits
    /// for it. A second call changes nothing.
    pub fn attach(&self, engine: EngineHandle) -> Handle {
        self.shared.attach(engine);
        Handle::new(self.shared.clone())
    }
}

/// A running server. Dropping it stops the server at once; [`Server::drain`] lets clients leave
/// first.
#[derive(Debug)]
pub struct Server {
    /// `None`: somebody else looks at the shards.
    _watching: Option<Watching>,
    running: Running,
    handle: Handle,
    /// Dropped after the engine: by then it has been told everything.
    _store: Option<Store>,
    /// Likewise.
    _bridge: Option<Bridge>,
    /// The runtime of background handlers. Dropped after the engine.
    _runtime: Option<OwnRuntime>,
}

/// A runtime that `start` has made. Its end does not wait for its tasks, so it may be dropped
/// inside a future of another runtime, where waiting would panic.
#[derive(Debug)]
pub(crate) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    /// Threads of the runtime.
    pub(crate) const THREADS: usize = 1;

    pub(crate) fn start() -> io::Result<OwnRuntime> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(OwnRuntime::THREADS)
            .thread_name("background")
            .enable_time()
            .enable_io()
            .build()?;
        Ok(OwnRuntime(Some(runtime)))
    }

    pub(crate) fn handle(&self) -> tokio::runtime::Handle {
        let runtime = self.0.as_ref();
        runtime.expect("taken in drop alone").handle().clone()
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Server {
    pub(crate) fn new(
        running: Running,
        handle: Handle,
        runtime: Option<OwnRuntime>,
        store: Option<Store>,
        bridge: Option<Bridge>,
    ) -> Server {
        Server {
            _watching: None,
            running,
            handle,
            _store: store,
            _bridge: bridge,
            _runtime: runtime,
        }
    }

    /// The same, with somebody who looks at its shards.
    pub(crate) fn watched(self) -> io::Result<Server> {
        let watching = Watching::start(&self.running)?;
        Ok(Server {
            _watching: Some(watching),
            ..self
        })
    }

    /// The way in from other threads.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Where clients connect over TCP: the address of the first listener that has one.
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

    /// Serves until the process gets SIGINT or SIGTERM, then drains, as [`Server::drain`] does.
    /// From this call on, before the future is awaited, these signals do not end the process by
    /// themselves. Needs a tokio runtime with I/O around it.
    ///
    /// # Errors
    /// The kernel takes no handler of signals; the server has stopped then.
    pub fn until_signal(self, within: Duration) -> io::Result<impl Future<Output = bool> + Send> {
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

    /// Stops accepting, asks every client to come back later, flushes, closes with 1001. Blocks
    /// until every connection is gone or `within` is over; returns whether all were gone in time.
    /// Background handlers that are still running end where they wait. What is stored
    /// ([`crate::App::persistence`]) is on the disk when this returns.
    pub fn drain(self, within: Duration) -> bool {
        self.running.drain(within)
    }

    /// As [`Server::drain`], closing so many connections each second, so that their clients do not
    /// all come to other servers at once; more where half of `within` would not suffice.
    pub fn drain_paced(self, per_second: u32, within: Duration) -> bool {
        self.drain_paced_then(per_second, within, || {})
    }

    /// The same, and then `last`, while background tasks still run.
    pub(crate) fn drain_paced_then(
        self,
        per_second: u32,
        within: Duration,
        last: impl FnOnce(),
    ) -> bool {
        let all_in_time = self.running.drain_paced(per_second, within);
        last();
        all_in_time
    }
}
