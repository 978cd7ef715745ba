//! `shardcast serve`: starts the application and the control plane beside it, and drains when it is
//! told to stop.

use crate::access::lists::LiveLists;
use crate::admin::api::AdminApi;
use crate::admin::centrifugo::CentrifugoApi;
use crate::admin::facts::ProcessFacts;
use crate::admin::guard::{Guard, OperatorCertificates};
use crate::admin::kept::NotKept;
use crate::admin::lifecycle::{InForce, Lifecycle, Stage, Steering};
use crate::admin::pages::Pages;
use crate::admin::rules::LiveRules;
use crate::admin::sources::AppSources;
use crate::admin::state::AdminState;
use crate::admin::tls::{AdminTls, BadAdminTls};
use crate::admin::token::TokenError;
use crate::api::app::App;
use crate::api::server::{OwnRuntime, Server};
use crate::audit::limited::Sums;
use crate::auth::files::ReadKeys;
use crate::config::{self, PasswordFault, Settings};
use crate::control::{Control, Stop};
use crate::gateway::hooks::GatewayHooks;
use crate::gateway::prepare;
use crate::log::{self, Audit, LogLevel};
use crate::passed::Passed;
use crate::reload::{Certificates, ReadAgain, Reload};
use crate::remedy::{file_remedy, remedy};
use crate::service::{NotifySocket, Watchdog};
use crate::tls::Prepared;
use crate::traces::{exporter::Exporter, prepare as prepare_traces};
use futures_util::future::join;
use shardcast_engine::{
    Config, ListenAddress, ListenSource, ShardCounters, StartError, Tls, Watch,
};
use shardcast_protocol::dialect::Dialect;
use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Serves until a signal asks for a stop. Exit code 0 after a drain, 1 when it cannot start, 2 for
/// a configuration that the engine refuses.
pub(crate) fn serve(
    settings: &Settings,
    tls: Option<Prepared>,
    keys: ReadKeys,
    again: ReadAgain,
) -> ExitCode {
    let logs = match log::start(settings) {
        Ok(logs) => logs,
        Err(error) => {
            eprintln!("shardcast: cannot start: audit.file: {error}");
            return ExitCode::from(1);
        }
    };
    let of_tls = tls.iter().flat_map(|tls| &tls.warnings);
    let told = config::warnings(settings);
    for warning in of_tls.chain(&keys.warnings).chain(&told) {
        tracing::warn!("{warning}");
    }
    let tls = tls.map(|prepared| prepared.tls);
    match Serving::start(settings, tls, keys, logs, again) {
        Ok(server) => server.run(),
        Err(error) => {
            eprintln!("shardcast: {error}");
            error.exit_code()
        }
    }
}

/// The program while it serves.
struct Serving<'a> {
    settings: &'a Settings,
    config: Config,
    server: Server,
    counters: Vec<Arc<ShardCounters>>,
    control: Control,
    lifecycle: Arc<Lifecycle>,
    in_force: Arc<InForce>,
    gateway: Option<GatewayHooks>,
    traces: Option<Exporter>,
    notify: NotifySocket,
}

impl<'s> Serving<'s> {
    fn start(
        settings: &'s Settings,
        tls: Option<Tls>,
        keys: ReadKeys,
        (audit, level): (Audit, LogLevel),
        again: ReadAgain,
    ) -> Result<Serving<'s>, CannotStart> {
        let mut passed = Passed::of_process();
        let given = |key, name: &str| take(&mut passed, settings, key, name);
        let config = settings.engine(tls.as_ref(), given)?;
        shardcast_engine::afford(&config, THREADS + settings.threads_besides())?;
        let listener = listen_for_operators(settings.admin())?;
        let admin = listener.local_addr()?;
        let lists = Arc::new(LiveLists::new(settings.addresses()));
        let app = app_of(settings, keys, admin.port(), lists.clone())?;
        let (app, traces) = prepare_traces::install(app, settings).map_err(CannotStart::Behind)?;
        let (app, gateway, background) = behind(app, settings)?;
        let (of_app, cluster) = (AppSources::new(&app), app.cluster_view());
        let (guard, admin_tls) = (guard_of(settings)?, admin_tls_of(settings)?);
        // Before the first client comes.
        let keeper = of_app.keeper(settings)?;
        let server = app.start_on(config.clone(), background)?;
        let counters = server.counters().to_vec();
        let certificates = certificates_of(tls, &config, &server);
        let sums = Sums::new(of_app.limited.clone(), counters.clone());
        let hops = server.handle().time_hops();
        let mut metrics = of_app.metrics(&server, &audit, traces.as_ref());
        metrics.add_gateway(gateway.as_ref().map(|it| it.attach(server.handle())));
        let (steering, asked) = Steering::new(settings.clone(), level.clone());
        let (lifecycle, in_force) = (steering.lifecycle.clone(), steering.in_force.clone());
        let api = AdminApi {
            handle: server.handle(),
            bans: of_app.bans,
            keeper,
            facts: ProcessFacts::new(server.engine()),
            steering,
            cluster,
            batches: Arc::new(Semaphore::new(AdminApi::BATCHES_MAX)),
        };
        let (stage, served) = (lifecycle.clone(), settings.centrifuge().is_some());
        let centrifugo = served.then(|| CentrifugoApi::new(server.handle(), counters.clone()));
        let state = AdminState::new(metrics, stage, guard, Some(api), admin_tls, centrifugo);
        let state = state.with_pages(Pages::new(&config, server.addresses()));
        let (notify, watchdog) = Watchdog::of_process(server.engine(), &lifecycle);
        let reload = Reload {
            notify: notify.clone(),
            certificates,
            gate: of_app.gate,
            lists,
            rules: LiveRules::new(&server, of_app.live, &gateway, admin.port()),
            level,
            audit,
            in_force: in_force.clone(),
            again,
        };
        let both = async { _ = join(hops, watchdog.run()).await };
        let control = Control::start(listener, Arc::new(state), (reload, asked), sums, both)?;
        Ok(Serving {
            settings,
            config,
            server,
            counters,
            control,
            lifecycle,
            in_force,
            gateway,
            traces: traces.map(|traces| traces.exporter),
            notify,
        })
    }

    fn run(self) -> ExitCode {
        let engine = self.server.engine();
        tracing::info!(kernel = engine.capabilities(), memory = %engine.memory(), "serving");
        if let Err(error) = self.print_ready() {
            tracing::warn!(%error, "nobody reads the ready line");
        }
        let clients = self.urls().join(" and ");
        self.notify.ready(&format!("serving clients at {clients}"));
        let watch = RefCell::new(Watch::new(engine));
        let stop = self.control.wait(|| {
            // It logs who is stuck, and counts for how long.
            drop(watch.borrow_mut().look());
            self.server.engine().is_alive()
        });
        self.tell_that_it_stops();
        if let Some(stop) = stop {
            self.be_lame_duck(stop);
        }
        self.lifecycle.reach(Stage::Draining);
        let settings = self.in_force.get();
        let (within, connections) = (settings.drain_timeout(), connected(&self.counters));
        match stop {
            Some(stop) => tracing::info!(?stop, ?within, connections, "draining"),
            None => tracing::error!(
                ?within,
                connections,
                "a thread of the server died; draining what is left"
            ),
        }
        let gateway = self.gateway;
        let last = || gateway.iter().for_each(|gateway| gateway.finish(within));
        let drained = self
            .server
            .drain_paced_then(settings.drain_rate(), within, last);
        if drained {
            tracing::info!("every client has left");
        } else {
            let left = connected(&self.counters);
            tracing::warn!(
                connections = left,
                "the drain timeout is over; these connections were cut"
            );
        }
        self.traces.into_iter().for_each(Exporter::finish);
        if stop.is_some() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    /// Serves on for as long as balancers may take to notice; not without an engine that lives.
    fn be_lame_duck(&self, stop: Stop) {
        const LOOK: Duration = Duration::from_secs(1);
        let lame_duck = self.in_force.get().lame_duck();
        let end = Instant::now() + lame_duck;
        if !lame_duck.is_zero() {
            tracing::info!(
                ?stop,
                ?lame_duck,
                "told to stop; new clients are served yet"
            );
        }
        while self.server.engine().is_alive() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    /// The service manager waits for as long as a drain may take, whatever its own limit is.
    fn tell_that_it_stops(&self) {
        /// For what comes after the last connection.
        const MARGIN: Duration = Duration::from_secs(5);
        let settings = self.in_force.get();
        let within = settings.lame_duck() + settings.drain_timeout() + MARGIN;
        let connections = connected(&self.counters);
        let status = format!("stopping, {connections} connections");
        self.notify.stopping(&status, within);
    }

    fn print_ready(&self) -> io::Result<()> {
        let scheme = match self.settings.operators().tls() {
            Some(_) => "https",
            None => "http",
        };
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "shardcast {} ready: clients {}, admin {scheme}://{}, shards {}, driver {}, rings up to {}, connections up to {}, messages up to {} bytes",
            env!("CARGO_PKG_VERSION"),
            self.urls().join(" and "),
            self.control.local_addr(),
            self.config.shards,
            self.server.engine().driver(),
            self.server.engine().rings_max(),
            self.server.engine().connections_max(),
            self.config.message_bytes_max(),
        )?;
        out.flush()
    }
}

impl Serving<'_> {
    /// Where clients connect, as URLs.
    fn urls(&self) -> Vec<String> {
        let addresses = self.server.addresses().iter();
        let listeners = self.config.listeners.iter().zip(addresses);
        let urls = listeners.map(|(listener, address)| {
            let scheme = if listener.tls.is_some() { "wss" } else { "ws" };
            match address {
                ListenAddress::Ip(address) => format!("{scheme}://{address}/ws"),
                ListenAddress::Unix(_) => format!("{scheme}+{address}:/ws"),
            }
        });
        urls.collect()
    }
}

/// What is exchanged of the listener with TLS, if there is one.
fn certificates_of(tls: Option<Tls>, config: &Config, server: &Server) -> Option<Certificates> {
    let mut listeners = config.listeners.iter();
    let listener = listeners.position(|listener| listener.tls.is_some());
    let handle = server.engine().handle();
    tls.zip(listener).map(|(tls, listener)| Certificates {
        tls,
        listener,
        handle,
    })
}

/// The application as the settings have it. Pages of the admin port are its own.
fn app_of(
    settings: &Settings,
    keys: ReadKeys,
    admin_port: u16,
    lists: Arc<LiveLists>,
) -> Result<App, CannotStart> {
    let app = App::new()
        .namespaces(settings.namespaces())
        .auth(settings.auth().with_keys(keys.keys, keys.sets))
        .origins(settings.origins().and_port(admin_port))
        .trusted_proxies(settings.proxies())
        .live_addresses(lists)
        .auto_ban(settings.auto_ban())
        .limits(settings.limits())
        .rules(settings.rules())
        .sessions(settings.sessions());
    let app = match settings.offline() {
        Some(offline) => app.offline(offline),
        None => app,
    };
    let app = match settings.persistence() {
        Some(persistence) => app.persistence(persistence),
        None => app,
    };
    let app = match settings.cluster().options()? {
        Some(cluster) => app.cluster(cluster),
        None => app,
    };
    Ok(match settings.centrifuge() {
        Some(times) => app.centrifuge(times),
        None => app.dialect_path(Dialect::CentrifugeJson, None),
    })
}

/// Threads of background handlers, and of the control plane.
const THREADS: usize = 2;

/// The application with a backend behind it, if there is one, and the runtime of both.
fn behind(
    app: App,
    settings: &Settings,
) -> Result<(App, Option<GatewayHooks>, OwnRuntime), CannotStart> {
    let background = OwnRuntime::start().map_err(CannotStart::Control)?;
    let installed = prepare::install(app, settings, &background.handle());
    let (app, gateway) = installed.map_err(CannotStart::Behind)?;
    Ok((app, gateway, background))
}

/// The socket that the process was given for `key`. It is not known before whether strangers reach
/// it.
fn take(
    passed: &mut Passed,
    settings: &Settings,
    key: &'static str,
    name: &str,
) -> Result<ListenSource, CannotStart> {
    let refused = |reason| CannotStart::Passed { key, reason };
    let taken = passed.take(name).map_err(refused)?;
    match taken.address {
        Some(address) if !settings.permits_clients(address) => Err(refused(format!(
            "{address} is reachable from other hosts, and without authentication everyone there could read and publish everything: have a \
             loopback address passed, require tokens (auth.tokens = \"required\"), or pass --insecure (server.insecure = true) where the \
             network itself keeps strangers out"
        ))),
        Some(_) | None => Ok(ListenSource::Inherited(taken.socket)),
    }
}

fn listen_for_operators(address: SocketAddr) -> Result<TcpListener, CannotStart> {
    let listener = TcpListener::bind(address);
    listener.map_err(|source| CannotStart::Admin { address, source })
}

/// Who may use the admin port.
fn guard_of(settings: &Settings) -> Result<Guard, CannotStart> {
    let refused = |error: TokenError| CannotStart::Passed {
        key: "admin",
        reason: error.to_string(),
    };
    let token = settings.operators().token().map_err(refused)?;
    let authority = settings.operators().tls().and_then(|tls| tls.client_ca);
    let certificates = match authority {
        Some(_) => OperatorCertificates::Asked,
        None => OperatorCertificates::NotAsked,
    };
    Ok(Guard::new(settings.admin().ip(), token, certificates))
}

/// What the admin port speaks TLS with.
fn admin_tls_of(settings: &Settings) -> Result<Option<AdminTls>, CannotStart> {
    let tls = settings.operators().tls().map(AdminTls::new);
    Ok(tls.transpose()?)
}

/// Open sockets on all shards.
fn connected(counters: &[Arc<ShardCounters>]) -> u64 {
    counters.iter().map(|shard| shard.connections.get()).sum()
}

/// Why the server does not run: what is missing and what to do.
#[derive(Debug)]
enum CannotStart {
    /// A socket that this key wants was not given, or is not fit.
    Passed {
        key: &'static str,
        reason: String,
    },
    Admin {
        address: SocketAddr,
        source: io::Error,
    },
    Control(io::Error),
    /// The application behind the server cannot be asked so.
    /// What the configuration has beside the server: a backend, a collector.
    Behind(String),
    Engine(StartError),
}

impl From<PasswordFault> for CannotStart {
    fn from(error: PasswordFault) -> CannotStart {
        CannotStart::Passed {
            key: "cluster",
            reason: error.to_string(),
        }
    }
}

impl From<NotKept> for CannotStart {
    fn from(error: NotKept) -> CannotStart {
        CannotStart::Passed {
            key: "admin",
            reason: error.to_string(),
        }
    }
}

impl From<io::Error> for CannotStart {
    fn from(error: io::Error) -> CannotStart {
        CannotStart::Control(error)
    }
}

impl From<BadAdminTls> for CannotStart {
    fn from(error: BadAdminTls) -> CannotStart {
        CannotStart::Passed {
            key: "admin",
            reason: error.to_string(),
        }
    }
}

impl From<StartError> for CannotStart {
    fn from(error: StartError) -> CannotStart {
        CannotStart::Engine(error)
    }
}

impl CannotStart {
    fn exit_code(&self) -> ExitCode {
        match self {
            CannotStart::Engine(StartError::Config(_)) => ExitCode::from(2),
            CannotStart::Engine(
                StartError::Unsupported(_)
                | StartError::OpenFiles { .. }
                | StartError::Threads { .. }
                | StartError::Listen { .. }
                | StartError::Io { .. },
            )
            | CannotStart::Passed { .. }
            | CannotStart::Admin { .. }
            | CannotStart::Behind(_)
            | CannotStart::Control(_) => ExitCode::from(1),
        }
    }
}

impl fmt::Display for CannotStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CannotStart::Passed { key, reason } => write!(f, "cannot start: {key}: {reason}"),
            CannotStart::Admin { address, source } => {
                write!(
                    f,
                    "cannot start: listening for operators on {address}: {source}{}",
                    remedy(source, *address, "--admin")
                )
            }
            CannotStart::Behind(reason) => write!(f, "cannot start: {reason}"),
            CannotStart::Control(source) => write!(f, "cannot start: the control plane: {source}"),
            CannotStart::Engine(StartError::Config(error)) => write!(f, "configuration: {error}"),
            CannotStart::Engine(error @ StartError::Listen { listener, source }) => {
                const FLAG: &str = "--listen or tls.listen";
                let remedy = match listener {
                    ListenSource::Bind(address) => remedy(source, *address, FLAG),
                    ListenSource::Unix(_) => file_remedy(source),
                    ListenSource::Inherited(_) => String::new(),
                };
                write!(f, "cannot start: {error}{remedy}")
            }
            CannotStart::Engine(error) => write!(f, "cannot start: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_address_is_answered_with_the_way_out() {
        let error = |port: u16, kind: io::ErrorKind| {
            CannotStart::Admin {
                address: SocketAddr::from(([127, 0, 0, 1], port)),
                source: kind.into(),
            }
            .to_string()
        };
        assert_eq!(
            error(80, io::ErrorKind::AddrInUse),
            "cannot start: listening for operators on 127.0.0.1:80: address in use; another program has this address: stop it, or choose another with --admin"
        );
        assert_eq!(
            error(80, io::ErrorKind::PermissionDenied),
            "cannot start: listening for operators on 127.0.0.1:80: permission denied; ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher one with --admin"
        );
        assert_eq!(
            error(8001, io::ErrorKind::PermissionDenied),
            "cannot start: listening for operators on 127.0.0.1:8001: permission denied; a security module (SELinux, AppArmor) or a seccomp filter forbids it: see its log"
        );
    }
}
