//! An engine in this process on a port of its own: started for one test, stopped when dropped.

use crate::fragile::Fragile;
use crate::{Echo, Fate, PATIENCE, driver, is_reached_within};
use shardcast::App;
use shardcast_engine::{
    Application, Config, Counter, Handle, Listener, Measured, Pinning, Running, ShardCounters,
    Watch,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// As clients of [`Server::native`] are welcomed.
pub const VERSION: &str = concat!("shardcast/", env!("CARGO_PKG_VERSION"));

/// A running engine.
#[derive(Debug)]
pub struct Server {
    running: Running,
    pub(crate) shards: usize,
}

/// The defaults on a free port, small enough for many to run at once, and not pinned, for they
/// share the cores.
pub fn config(shards: usize) -> Config {
    Config {
        listeners: vec![Listener::plain(SocketAddr::from(([127, 0, 0, 1], 0)))],
        shards,
        pinning: Pinning::None,
        driver: driver(),
        connections_max: 2000,
        ..Config::default()
    }
}

impl Server {
    /// The application of `shardcast serve`: what the server answers by itself.
    pub fn native(config: Config) -> Server {
        Server::of(App::new(), config).0
    }

    /// An application with handlers, and the way in for other threads. Background handlers run on
    /// the runtime around this call.
    pub fn of(app: App, mut config: Config) -> (Server, shardcast::Handle) {
        let runtime = tokio::runtime::Handle::try_current().unwrap_or_else(|_| background());
        let shards = app.shards(&mut config, runtime);
        let make = shards.clone();
        let server = Server::with(config, move |shard| make.shard(shard));
        let handle = shards.attach(server.handle());
        (server, handle)
    }

    /// The same with shards whose fate is the test's.
    pub fn fragile(app: App, mut config: Config) -> (Server, shardcast::Handle, Arc<Fate>) {
        let fate = Fate::new();
        let shards = app.shards(&mut config, background());
        let (make, of_shards) = (shards.clone(), Arc::clone(&fate));
        let server = Server::with(config, move |shard| Fragile {
            service: make.shard(shard),
            shard: usize::from(shard),
            fate: Arc::clone(&of_shards),
        });
        let handle = shards.attach(server.handle());
        (server, handle, fate)
    }

    /// What watches the shards, from now on.
    pub fn watch(&self) -> Watch {
        Watch::new(&self.running)
    }

    /// Answers every message with the same message.
    pub fn echo(config: Config) -> Server {
        Server::with(config, |_| Echo)
    }

    /// An application of the test's own.
    pub fn with<A: Application>(
        config: Config,
        make: impl Fn(u16) -> A + Send + Sync + 'static,
    ) -> Server {
        let shards = config.shards;
        let running = shardcast_engine::start(config, make).expect("the engine starts");
        Server { running, shards }
    }

    /// Where clients connect, by listener.
    ///
    /// # Panics
    /// A listener is a Unix socket.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let addresses = self.running.addresses().iter();
        addresses
            .map(|address| address.ip().expect("TCP"))
            .collect()
    }

    /// Where clients connect: the first listener.
    ///
    /// # Panics
    /// All listeners are Unix sockets.
    pub fn address(&self) -> SocketAddr {
        self.running.local_addr().expect("TCP")
    }

    /// The way in for other threads.
    pub fn handle(&self) -> Handle {
        self.running.handle()
    }

    /// Drains, for at most `within`.
    pub fn drain(self, within: Duration) -> bool {
        self.running.drain(within)
    }

    /// A counter over all shards.
    pub fn sum(&self, counter: impl Fn(&ShardCounters) -> &Counter) -> u64 {
        self.running
            .counters()
            .iter()
            .map(|shard| counter(shard).get())
            .sum()
    }

    /// Looks at the counters until `reached`.
    ///
    /// # Panics
    /// It is not reached within [`PATIENCE`].
    #[track_caller]
    pub fn wait_until(&self, what: &str, mut reached: impl FnMut(&Server) -> bool) {
        assert!(
            is_reached_within(PATIENCE, || reached(self)),
            "not within {PATIENCE:?}: {what}; {}",
            self.counters()
        );
    }

    /// Everybody has left, and nothing of them is left: no connection, room, user, waiting byte or
    /// pending outbox.
    #[track_caller]
    pub fn wait_until_empty(&self) {
        self.wait_until_empty_but(0);
    }

    /// The same while so many connections, which are in no room, stay.
    #[track_caller]
    pub fn wait_until_empty_but(&self, connections: u64) {
        self.wait_until("an empty server", |server| {
            let left = server.sum(|shard| &shard.connections)
                + server.sum(|shard| &shard.rooms)
                + server.sum(|shard| &shard.rooms_home)
                + server.sum(|shard| &shard.users)
                + server.sum(|shard| &shard.users_home)
                + server.sum(|shard| &shard.outbox_bytes)
                + server.sum(|shard| &shard.outboxes)
                + server.sum(|shard| &shard.lane_depth);
            left == connections
        });
    }

    /// Every counter and gauge by its name, members of a family by name and label: summed over the
    /// shards.
    pub fn readings(&self) -> BTreeMap<String, u64> {
        let mut readings = BTreeMap::new();
        for shard in self.running.counters() {
            shard.each(|reading| {
                let (Measured::Count(value) | Measured::Gauge(value)) = reading.value else {
                    return;
                };
                let member = reading.label.map(|(_, value)| format!("[{value}]"));
                let name = format!("{}{}", reading.name, member.unwrap_or_default());
                *readings.entry(name).or_default() += value;
            });
        }
        readings
    }

    /// Every counter of every shard that is not 0, for the message of a failed test.
    pub fn counters(&self) -> String {
        let mut text = String::new();
        for (index, shard) in self.running.counters().iter().enumerate() {
            shard.each(|reading| {
                if let Measured::Count(value @ 1..) | Measured::Gauge(value @ 1..) = reading.value {
                    let member = reading.label.map(|(_, value)| format!("[{value}]"));
                    let member = member.unwrap_or_default();
                    text += &format!("{index}.{}{member}={value} ", reading.name);
                }
            });
        }
        text
    }
}

/// The shard in a native connection id.
///
/// # Panics
/// It is no connection id.
pub fn shard_of(id: &str) -> usize {
    let shard = id.split('-').next().unwrap_or_default();
    usize::from_str_radix(shard, 16).unwrap_or_else(|_| panic!("no connection id: {id}"))
}

/// A runtime for tests that have none of their own, as long as the process lives.
fn background() -> tokio::runtime::Handle {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread")
    });
    RUNTIME.handle().clone()
}
