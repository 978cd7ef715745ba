//! Starting an engine: what it takes from the host, in which order, and one thread for each shard.
//! Gives a [`Running`].

use crate::application::Application;
use crate::config::{Config, Pinning};
use crate::connection::admission::ProcessCounts;
use crate::connection::token::TokenKey;
use crate::counters::ShardCounters;
use crate::driver::choice::DriverChoice;
use crate::driver::listen::{ListenSocket, Listening};
use crate::driver::platform::{Built, DriverParts, Platform, PlatformLimits};
use crate::driver::{NativePlatform, PortablePlatform};
use crate::message::lane;
use crate::message::lane::{LaneCapacity, Mailbox};
use crate::message::queue::Remote;
use crate::run::handle::{ShardSender, ShardWaker};
use crate::run::memory::Memory;
use crate::run::running::{Running, Thread};
use crate::run::start_error::StartError;
use crate::run::supervision::{Restarts, come_together, tick_until_stopped};
use crate::run::{host, open_files};
use crate::shard;
use crate::shard::Shard;
use crate::topic::log::journal::{Journal, RestoredLog};
use crossbeam_channel::{Receiver, Sender};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Starts one thread per shard, each with the application that `make` builds for it (on that
/// thread, given the shard's index). Returns when every shard listens. Raises the process's soft
/// limit on open files to the hard one. What it runs on is [`Config::driver`].
///
/// # Errors
/// See [`StartError`]; no thread is left behind.
pub fn start<A: Application>(
    config: Config,
    make: impl Fn(u16) -> A + Send + Sync + 'static,
) -> Result<Running, StartError> {
    host::afford(&config, 0)?;
    let native = NativePlatform::default();
    match config.driver {
        DriverChoice::Portable => run_on(PortablePlatform::default(), config, make),
        DriverChoice::Uring => run_on(native, config, make).map_err(|error| match error {
            StartError::Unsupported(lack) => StartError::Unsupported(
                lack.or("choose the driver auto or portable, which is epoll"),
            ),
            other => other,
        }),
        DriverChoice::Auto => {
            let make = Arc::new(make);
            let first = make.clone();
            match run_on(native, config.clone(), move |shard| first(shard)) {
                Err(StartError::Unsupported(lack)) => {
                    tracing::warn!("{lack}; it runs on epoll, which takes more CPU");
                    run_on(PortablePlatform::default(), config, move |shard| {
                        make(shard)
                    })
                }
                started => started,
            }
        }
    }
}

/// As [`start`], on this platform.
///
/// # Errors
/// See [`StartError`]; no thread is left behind.
pub fn start_on<A: Application, P: Platform>(
    platform: P,
    config: Config,
    make: impl Fn(u16) -> A + Send + Sync + 'static,
) -> Result<Running, StartError> {
    host::afford(&config, 0)?;
    run_on(platform, config, make)
}

/// What was affordable has been tried.
fn run_on<A: Application, P: Platform>(
    platform: P,
    mut config: Config,
    make: impl Fn(u16) -> A + Send + Sync + 'static,
) -> Result<Running, StartError> {
    platform.probe()?;
    let limits = platform.limits(&config);
    let memory = Memory::of(&config, &limits);
    warn_of_low_limits(&config, &limits);
    let fixed_bytes = memory.fixed_bytes(&limits);
    let token_key = token_key(&config)?;
    let Listening {
        shards: sockets,
        addresses,
        files,
    } = listen(&config)?;
    let restored = config.journal.as_mut().map(Journal::take_restored);
    let plan = Arc::new(Plan::new(platform, config, token_key, fixed_bytes, make));
    let seed = RandomState::new().hash_one("homes");
    let capacity = LaneCapacity::for_shards(plan.config.shards);
    let mailboxes = lane::mesh(plan.config.shards, capacity, seed);
    let restored = by_home(restored.unwrap_or_default(), &mailboxes);
    let remotes: Vec<Remote> = mailboxes.iter().map(Mailbox::remote).collect();
    let (ready, readiness) = crossbeam_channel::bounded(plan.config.shards);
    let mut running = Running {
        addresses,
        files,
        rings_max: 0,
        connections_max: 0,
        driver: P::NAME,
        capabilities: String::new(),
        memory,
        counters: plan.counters.clone(),
        stop: plan.stop.clone(),
        shortage: plan.admission.shortage(seed),
        seed,
        shards: Vec::new(),
        threads: Vec::new(),
    };
    // An error from here on drops `running`, whose threads were never let go: they end by
    // themselves.
    for ((mailbox, sockets), restored) in mailboxes.into_iter().zip(sockets).zip(restored) {
        let thread = plan.spawn(mailbox, sockets, restored, ready.clone())?;
        running.threads.push(thread);
    }
    drop(ready);
    open_senders(&mut running, remotes, &plan.wakers, &readiness)?;
    running.connections_max = running.connections_max.min(plan.config.connections_max);
    for thread in &running.threads {
        // Fails only if the thread is gone, and then joining it tells.
        let _ = thread.go.send(());
    }
    Ok(running)
}

/// Logs that a store had, by the shards that are their homes.
fn by_home(restored: Vec<RestoredLog>, mailboxes: &[Mailbox]) -> Vec<Vec<RestoredLog>> {
    let mut homes: Vec<Vec<RestoredLog>> = mailboxes.iter().map(|_| Vec::new()).collect();
    for log in restored {
        let home = mailboxes[0].home(Some(log.topic.topic()));
        homes[usize::from(home)].push(log);
    }
    homes
}

/// Every shard's sockets, and what the kernel says of them.
fn listen(config: &Config) -> Result<Listening, StartError> {
    let mut listening = Listening::new(config.shards);
    for listener in &config.listeners {
        let opened = listening.open(&listener.source);
        opened.map_err(|source| StartError::Listen {
            listener: listener.source.clone(),
            source,
        })?;
    }
    Ok(listening)
}

/// The engine runs all the same; connects beyond what fits are answered 503.
fn warn_of_low_limits(config: &Config, limits: &PlatformLimits) {
    let (fits, wanted) = (
        limits.connections_max * config.shards,
        config.connections_max,
    );
    if fits < wanted {
        let open_files = open_files::max();
        tracing::warn!(
            fits,
            wanted,
            open_files,
            "the open-file limit is too low for connections_max: connections beyond what fits are answered 503; raise it (ulimit -n, LimitNOFILE=)"
        );
    }
}

/// Waits until every shard is ready, and keeps the ways into them.
fn open_senders(
    running: &mut Running,
    remotes: Vec<Remote>,
    wakers: &[Arc<ShardWaker>],
    readiness: &Receiver<Result<Ready, StartError>>,
) -> Result<(), StartError> {
    for _ in 0..remotes.len() {
        let ready = readiness.recv().map_err(|_| StartError::Io {
            what: "starting a shard".into(),
            source: std::io::Error::other("its thread panicked"),
        })??;
        running.rings_max += ready.limits.rings;
        running.connections_max += ready.limits.connections_max;
        running.capabilities = ready.capabilities;
    }
    let senders = remotes.into_iter().zip(wakers);
    let senders = senders.map(|(remote, waker)| Arc::new(ShardSender::new(remote, waker.clone())));
    running.shards = senders.collect();
    Ok(())
}

/// The key of event streams, where there are any. Drawn before anybody can connect: the first
/// random numbers of a process take some 50 ms.
fn token_key(config: &Config) -> Result<Option<TokenKey>, StartError> {
    if config.event_streams.is_none() && config.stream_paths.is_empty() {
        return Ok(None);
    }
    let key = TokenKey::random().ok_or_else(|| StartError::Io {
        what: "drawing a key for session tokens".into(),
        source: std::io::Error::other("the kernel has no random numbers"),
    })?;
    Ok(Some(key))
}

/// For whoever accepts from the sockets after this shard, should it fail. None where a descriptor
/// is lacking: that shard would accept nobody.
fn duplicates(listeners: &[ListenSocket]) -> Vec<ListenSocket> {
    let duplicates = listeners.iter().map(ListenSocket::duplicate);
    let duplicates = duplicates.collect::<std::io::Result<Vec<_>>>();
    duplicates.unwrap_or_else(|error| {
        tracing::warn!(%error, "no copy of the listening sockets: a shard that fails is lost");
        Vec::new()
    })
}

/// What all shards start from.
struct Plan<P, F> {
    platform: P,
    config: Config,
    make: F,
    admission: ProcessCounts,
    token_key: Option<TokenKey>,
    counters: Arc<[Arc<ShardCounters>]>,
    stop: Arc<AtomicBool>,
    /// Each shard's, set before it is ready.
    wakers: Arc<[Arc<ShardWaker>]>,
    restarts: Restarts,
}

/// A shard's thread has everything it needs, or says what it lacks.
struct Ready {
    limits: PlatformLimits,
    capabilities: String,
}

impl<P: Platform, F> Plan<P, F> {
    fn new(
        platform: P,
        config: Config,
        token_key: Option<TokenKey>,
        fixed_bytes: u64,
        make: F,
    ) -> Plan<P, F> {
        let counters = (0..config.shards).map(|_| Arc::new(ShardCounters::default()));
        Plan {
            platform,
            token_key,
            admission: ProcessCounts::within_memory(
                config.connections_max,
                config.memory_bytes_max as u64,
                fixed_bytes,
            ),
            counters: counters.collect(),
            stop: Arc::default(),
            wakers: (0..config.shards).map(|_| Arc::default()).collect(),
            restarts: Restarts::default(),
            config,
            make,
        }
    }

    /// Starts a shard's thread, which waits to be let go once it has said that it is ready.
    fn spawn<A: Application>(
        self: &Arc<Self>,
        mailbox: Mailbox,
        listeners: Vec<ListenSocket>,
        restored: Vec<RestoredLog>,
        ready: Sender<Result<Ready, StartError>>,
    ) -> Result<Thread, StartError>
    where
        F: Fn(u16) -> A + Send + Sync + 'static,
    {
        let (go, start) = crossbeam_channel::bounded(1);
        let plan = self.clone();
        let name = format!("shard-{}", mailbox.shard());
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || plan.run(mailbox, listeners, restored, &ready, &start))
            .map_err(|source| StartError::Threads { source })?;
        Ok(Thread { go, thread })
    }

    /// A shard's thread, from building its driver to its last tick.
    fn run<A: Application>(
        &self,
        mailbox: Mailbox,
        listeners: Vec<ListenSocket>,
        restored: Vec<RestoredLog>,
        ready: &Sender<Result<Ready, StartError>>,
        go: &Receiver<()>,
    ) where
        F: Fn(u16) -> A,
    {
        let index = mailbox.shard();
        self.pin(index);
        let spare = duplicates(&listeners);
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
        // No shard ticks before all drivers exist, because any may wake any. Nobody lets it go if
        // another failed.
        if go.recv().is_err() {
            return;
        }
        let mut shard = self.shard(mailbox, driver);
        shard.keep_listeners(spare);
        shard.restore(restored);
        shard.wake_application();
        while tick_until_stopped(&mut shard, &self.stop).is_err() {
            match self.restart(index, shard) {
                Some(successor) => shard = successor,
                None => return,
            }
        }
        shard.wake_application();
    }

    fn shard<A: Application>(&self, mailbox: Mailbox, driver: P::Driver) -> Shard<A, P::Driver>
    where
        F: Fn(u16) -> A,
    {
        let index = mailbox.shard();
        let setup = shard::Setup {
            config: &self.config,
            mailbox,
            admission: self.admission.clone(),
            token_key: self.token_key.clone(),
            counters: self.counters[index as usize].clone(),
        };
        Shard::new(setup, (self.make)(index), driver)
    }

    /// A shard has panicked: another one that takes its place. `None`: the thread ends, and the
    /// process is to.
    fn restart<A: Application>(
        &self,
        index: u16,
        failed: Shard<A, P::Driver>,
    ) -> Option<Shard<A, P::Driver>>
    where
        F: Fn(u16) -> A,
    {
        let counters = &self.counters[usize::from(index)];
        let doing = counters.activity.phase();
        let connections = counters.connections.get();
        tracing::error!(
            shard = index,
            %doing,
            slot = counters.activity.slot(),
            connections,
            "a shard panicked; its clients are told to return, and it begins anew"
        );
        if !self.restarts.may_restart() {
            tracing::error!(
                shard = index,
                "shards panic again and again; the process must end"
            );
            return None;
        }
        let Ok(legacy) = failed.end() else {
            tracing::error!(
                shard = index,
                "its sockets cannot be given up; the process must end"
            );
            return None;
        };
        // What a store has is read at the start alone; a log that began anew would replace it.
        if self.config.journal.is_some() {
            tracing::error!(
                shard = index,
                "logs are stored; the process must end to read them"
            );
            return None;
        }
        let successor = come_together(legacy, &self.wakers, &self.stop)?;
        let spare = duplicates(&successor.listeners);
        let driver = match self.driver(index, successor.listeners) {
            Ok((driver, _)) => driver,
            Err(error) => {
                tracing::error!(shard = index, %error, "it has no driver; the process must end");
                return None;
            }
        };
        let mut shard = self.shard(successor.mailbox, driver);
        shard.keep_listeners(spare);
        shard.inherit(successor.inheritance);
        counters.restarts.add(1);
        tracing::warn!(shard = index, "the shard serves again");
        Some(shard)
    }

    fn driver(
        &self,
        shard: u16,
        listeners: Vec<ListenSocket>,
    ) -> Result<(P::Driver, Ready), StartError> {
        let Built {
            driver,
            waker,
            limits,
            capabilities,
        } = self.platform.build(DriverParts {
            config: &self.config,
            shard,
            listeners,
            counters: self.counters[shard as usize].driver.clone(),
        })?;
        self.wakers[usize::from(shard)].set(waker);
        let ready = Ready {
            limits,
            capabilities,
        };
        Ok((driver, ready))
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
