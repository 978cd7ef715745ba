//! A started engine: its threads, its counters, and the way to stop it.

use crate::core::ProcessCounts;
use crate::driver::uring::{self, RingFds, Tables, UringDriver};
use crate::handle::{Door, Handle};
use crate::host;
use crate::lane::{self, LaneCapacity, Mailbox, Remote};
use crate::letter::Command;
use crate::shard::{self, Shard};
use crate::token::TokenKey;
use crate::{Application, Config, ConfigError, Pinning, ShardCounters};
use crossbeam_channel::{Receiver, Sender};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Why an engine did not start. Its `Debug` is its `Display`: that is what `main` prints when it
/// returns an error, and whoever starts the program reads it.
#[derive(thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The kernel cannot run the native driver: what is missing and what to do.
    #[error(transparent)]
    Unsupported(#[from] uring::Unsupported),
    /// The process may open too few files.
    #[error(
        "the limit on open files is {limit}, and starting takes {needed} besides those that are open: raise it (ulimit -n, LimitNOFILE=)"
    )]
    OpenFiles {
        /// `RLIMIT_NOFILE`.
        limit: usize,
        /// At the same time, at the most.
        needed: usize,
    },
    /// The user, or the container, may have no more threads.
    #[error(
        "no more threads: {source}; raise the limit (ulimit -u, LimitNPROC=, TasksMax=, a container's --pids-limit)"
    )]
    Threads {
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// As it was configured.
        address: SocketAddr,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// Another resource is missing.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

impl std::fmt::Debug for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Starts one thread per shard, each with the application that `make` builds for it (on that thread, given the shard's index).
/// Returns when every shard listens. Raises the process's soft limit on open files to the hard one.
///
/// # Errors
/// See [`StartError`]; no thread is left behind.
pub fn start<A: Application>(
    config: Config,
    make: impl Fn(u16) -> A + Send + Sync + 'static,
) -> Result<Running, StartError> {
    host::afford(&config, 0)?;
    let token_key = token_key(&config)?;
    let (listeners, addresses) = listen(&config)?;
    let plan = Arc::new(Plan::new(config, token_key, make));
    plan.warn_of_low_limits();
    let seed = RandomState::new().hash_one("homes");
    let capacity = LaneCapacity::for_shards(plan.config.shards);
    let mailboxes = lane::mesh(plan.config.shards, capacity, seed);
    let remotes: Vec<Remote> = mailboxes.iter().map(Mailbox::remote).collect();
    let (ready, readiness) = crossbeam_channel::bounded(plan.config.shards);
    let mut running = Running {
        addresses,
        rings_max: 0,
        connections_max: 0,
        capabilities: String::new(),
        counters: plan.counters.clone(),
        stop: plan.stop.clone(),
        shards: Vec::new(),
        threads: Vec::new(),
    };
    // An error from here on drops `running`, whose threads were never let go: they end by themselves.
    for (mailbox, listeners) in mailboxes.into_iter().zip(listeners) {
        running
            .threads
            .push(plan.spawn(mailbox, listeners, ready.clone())?);
    }
    drop(ready);
    running.open_doors(remotes, &readiness)?;
    running.connections_max = running.connections_max.min(plan.config.connections_max);
    for thread in &running.threads {
        // Fails only if the thread is gone, and then joining it tells.
        let _ = thread.go.send(());
    }
    Ok(running)
}

/// Makes sure that nobody else listens. A server that was just killed holds its port until the kernel has taken its rings down,
/// so whoever restarts it at once is given a moment.
fn claim(address: SocketAddr) -> std::io::Result<()> {
    const TRIES: u32 = 20;
    const BETWEEN: Duration = Duration::from_millis(50);
    for _ in 1..TRIES {
        match uring::claim(address) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                std::thread::park_timeout(BETWEEN);
            }
            result => return result,
        }
    }
    uring::claim(address)
}

/// Every shard's sockets, in the order of the configuration, and their addresses.
fn listen(config: &Config) -> Result<(Vec<Vec<TcpListener>>, Vec<SocketAddr>), StartError> {
    let cannot = |address, source| StartError::Listen { address, source };
    let mut listeners: Vec<Vec<TcpListener>> = (0..config.shards).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    for mut address in config.listeners.iter().map(|listener| listener.address) {
        if address.port() != 0 {
            claim(address).map_err(|source| cannot(address, source))?;
        }
        for shard in &mut listeners {
            let listener = uring::listen(address).map_err(|source| cannot(address, source))?;
            // With port 0 the first socket chooses, and the others share its choice.
            address = listener
                .local_addr()
                .map_err(|source| cannot(address, source))?;
            shard.push(listener);
        }
        addresses.push(address);
    }
    Ok((listeners, addresses))
}

/// The key of event streams, where there are any. Drawn before anybody can connect: the first random numbers of a process take some 50 ms.
fn token_key(config: &Config) -> Result<Option<TokenKey>, StartError> {
    if config.event_streams.is_none() {
        return Ok(None);
    }
    let key = TokenKey::random().ok_or_else(|| StartError::Io {
        what: "drawing a key for session tokens".into(),
        source: std::io::Error::other("the kernel has no random numbers"),
    })?;
    Ok(Some(key))
}

/// What all shards start from.
struct Plan<A, F: Fn(u16) -> A> {
    config: Config,
    make: F,
    tables: Tables,
    admission: ProcessCounts,
    token_key: Option<TokenKey>,
    ring_fds: RingFds,
    counters: Arc<[Arc<ShardCounters>]>,
    stop: Arc<AtomicBool>,
}

/// A shard's thread has everything it needs, or says what it lacks.
struct Ready {
    shard: u16,
    bell: File,
    tables: Tables,
    capabilities: String,
}

impl<A: Application, F: Fn(u16) -> A> Plan<A, F> {
    fn new(config: Config, token_key: Option<TokenKey>, make: F) -> Plan<A, F> {
        let shards = config.shards;
        Plan {
            token_key,
            tables: config.tables(),
            admission: ProcessCounts::new(config.connections_max),
            ring_fds: RingFds::new(shards),
            counters: (0..shards)
                .map(|_| Arc::new(ShardCounters::default()))
                .collect(),
            stop: Arc::default(),
            config,
            make,
        }
    }

    fn fits(&self) -> usize {
        self.tables.room() * self.config.shards
    }

    /// The engine runs all the same; connects beyond what fits are answered 503.
    fn warn_of_low_limits(&self) {
        let (fits, wanted) = (self.fits(), self.config.connections_max);
        if fits < wanted {
            let open_files = uring::open_files_max();
            tracing::warn!(
                fits,
                wanted,
                open_files,
                "the open-file limit is too low for connections_max: connections beyond what fits are answered 503; raise it (ulimit -n, LimitNOFILE=)"
            );
        }
    }

    /// Starts a shard's thread, which waits to be let go once it has said that it is ready.
    fn spawn(
        self: &Arc<Self>,
        mailbox: Mailbox,
        listeners: Vec<TcpListener>,
        ready: Sender<Result<Ready, StartError>>,
    ) -> Result<Thread, StartError>
    where
        F: Send + Sync + 'static,
    {
        let (go, start) = crossbeam_channel::bounded(1);
        let plan = self.clone();
        let name = format!("shard-{}", mailbox.shard());
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || plan.run(mailbox, listeners, &ready, &start))
            .map_err(|source| StartError::Threads { source })?;
        Ok(Thread { go, thread })
    }

    /// A shard's thread, from its first ring to its last tick.
    fn run(
        &self,
        mailbox: Mailbox,
        listeners: Vec<TcpListener>,
        ready: &Sender<Result<Ready, StartError>>,
        go: &Receiver<()>,
    ) {
        let index = mailbox.shard();
        self.pin(index);
        let driver = match self.driver(index, listeners) {
            Ok((driver, made)) => {
                let _ = ready.send(Ok(made));
                driver
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        // No shard ticks before all rings exist, because any may wake any. Nobody lets it go if another failed.
        if go.recv().is_err() {
            return;
        }
        let setup = shard::Setup {
            config: &self.config,
            mailbox,
            admission: self.admission.clone(),
            token_key: self.token_key.clone(),
            counters: self.counters[index as usize].clone(),
        };
        let mut shard = Shard::new(setup, (self.make)(index), driver);
        while !self.stop.load(Ordering::Relaxed) {
            shard.tick();
        }
    }

    fn driver(
        &self,
        shard: u16,
        listeners: Vec<TcpListener>,
    ) -> Result<(UringDriver, Ready), StartError> {
        let driver = UringDriver::new(uring::Setup {
            listeners,
            tables: self.tables,
            shard,
            ring_fds: self.ring_fds.clone(),
            counters: self.counters[shard as usize].clone(),
        })?;
        let bell = driver.bell().map_err(|source| StartError::Io {
            what: "a shard's bell".into(),
            source,
        })?;
        let tables = driver.tables();
        let capabilities = driver.capabilities().to_string();
        Ok((
            driver,
            Ready {
                shard,
                bell: bell.into(),
                tables,
                capabilities,
            },
        ))
    }

    fn pin(&self, shard: u16) {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let core = match &self.config.pinning {
            Pinning::None => return,
            Pinning::Auto if self.config.shards > cores.len() => return,
            Pinning::Auto => cores[shard as usize],
            Pinning::Cores(list) => core_affinity::CoreId {
                id: list[shard as usize],
            },
        };
        if !core_affinity::set_for_current(core) {
            tracing::warn!(
                shard,
                core = core.id,
                "cannot pin the shard's thread; it runs unpinned"
            );
        }
    }
}

/// A running engine. Dropping it stops it at once; [`Running::drain`] does so kindly.
#[derive(Debug)]
pub struct Running {
    /// At least one.
    addresses: Vec<SocketAddr>,
    rings_max: usize,
    connections_max: usize,
    capabilities: String,
    counters: Arc<[Arc<ShardCounters>]>,
    stop: Arc<AtomicBool>,
    shards: Vec<Arc<Door>>,
    threads: Vec<Thread>,
}

#[derive(Debug)]
struct Thread {
    go: Sender<()>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Waits until every shard is ready, and keeps the ways into them.
    fn open_doors(
        &mut self,
        remotes: Vec<Remote>,
        readiness: &Receiver<Result<Ready, StartError>>,
    ) -> Result<(), StartError> {
        let mut bells: Vec<Option<File>> = remotes.iter().map(|_| None).collect();
        for _ in 0..remotes.len() {
            let ready = readiness.recv().map_err(|_| StartError::Io {
                what: "starting a shard".into(),
                source: std::io::Error::other("its thread panicked"),
            })??;
            self.rings_max += ready.tables.rings;
            self.connections_max += ready.tables.room();
            self.capabilities = ready.capabilities;
            bells[ready.shard as usize] = Some(ready.bell);
        }
        let doors = remotes.into_iter().zip(bells);
        let doors = doors.map(|(remote, bell)| Arc::new(Door::new(remote, bell)));
        self.shards = doors.collect();
        Ok(())
    }

    /// Every shard's thread lives. False only after a fault of ours, which it has logged: the process should end.
    pub fn is_alive(&self) -> bool {
        self.threads
            .iter()
            .all(|thread| !thread.thread.is_finished())
    }

    /// Where clients connect: the first listener's address.
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where clients connect, in the order of the configuration.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Connections that fit: the configured limit, or what a low open-file limit leaves of it.
    pub fn connections_max(&self) -> usize {
        self.connections_max
    }

    /// Rings that may be used over all shards (each is made when the one before it is full).
    pub fn rings_max(&self) -> usize {
        self.rings_max
    }

    /// One line about the kernel and what of it is used.
    pub fn capabilities(&self) -> String {
        self.capabilities.clone()
    }

    /// One set of counters per shard.
    pub fn counters(&self) -> &[Arc<ShardCounters>] {
        &self.counters
    }

    /// A cloneable way in from other threads.
    pub fn handle(&self) -> Handle {
        Handle::new(&self.shards)
    }

    /// Stops accepting, calls `draining` for every connection (paced), flushes, closes with 1001. Blocks until every
    /// connection is gone or `within` is over, then stops the shards. True when all were gone in time.
    pub fn drain(self, within: Duration) -> bool {
        /// How often the counters are looked at.
        const LOOK: Duration = Duration::from_millis(5);
        let deadline = Instant::now() + within;
        let mut told = vec![false; self.shards.len()];
        loop {
            for (door, told) in self.shards.iter().zip(&mut told) {
                *told = *told || door.send(Command::Drain).is_ok();
            }
            let drained = told.iter().all(|told| *told)
                && self
                    .counters
                    .iter()
                    .all(|counters| counters.drained.get() == 1);
            if drained || Instant::now() >= deadline {
                return drained;
            }
            std::thread::park_timeout(LOOK);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for door in &self.shards {
            // Rung whether asleep or not: the flag is not a letter, so the doorbell's protocol does not cover it.
            door.ring();
        }
        let this = std::thread::current().id();
        for Thread { go, thread } in self.threads.drain(..) {
            drop(go);
            // A shard whose application drops the engine ends when it is back from there: it cannot wait for itself.
            if thread.thread().id() != this && thread.join().is_err() {
                tracing::error!("a shard's thread panicked");
            }
        }
    }
}
