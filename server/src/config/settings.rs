//! The configuration in force: every value obeys its rule, and all of them fit together. Made by
//! `check`; read by the program.

use super::admin::AdminSettings;
use super::auth::{AuthSettings, KeySetSettings, TokenKeySettings};
use super::cluster::ClusterSettings;
use super::gateway::GatewaySettings;
use super::limit_settings::LimitSettings;
use super::offline::Offline;
use super::place::Place;
use super::rooms::Rooms;
use super::sessions::Sessions;
use super::tls::TlsSettings;
use super::traces::TracingSettings;
use super::value::{LogFormat, MemoryShare, ShardCount};
use super::word::FilePath;
use crate::access::auto_ban::AutoBan;
use crate::access::lists::AddressLists;
use crate::access::networks::Networks;
use crate::access::origin::Origins;
use crate::access::proxies::Proxies;
use crate::admission::entrance::EVENTS_PATH;
use crate::audit::journal::JournalFile;
use crate::auth::options::TokenMode;
use crate::centrifuge::options::Centrifuge;
use crate::limits::rules::RateLimits;
use crate::namespace::Namespaces;
use crate::session::offline::OfflineOptions;
use crate::session::options::SessionOptions;
use crate::store::options::Persistence;
use shardcast_engine::protocol::deflate::Takeover;
use shardcast_engine::{Compression, ListenSource, Listener, ProxyProtocol, Tls};
use shardcast_protocol::dialect::{DEPTH_MAX, Rules};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// A configuration in which every value obeys its rule and all of them fit together. Only
/// [`mod@super::check`] makes one that is not the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Without the listeners and the number of shards.
    pub(super) engine: shardcast_engine::Config,
    pub(super) listen: Place,
    pub(super) message_bytes_max: usize,
    pub(super) tls: TlsSettings,
    pub(super) auth: AuthSettings,
    pub(super) compression: Compressed,
    /// The default namespace.
    pub(super) rooms: Rooms,
    /// The others, by name.
    pub(super) namespaces: BTreeMap<String, Rooms>,
    pub(super) sessions: Sessions,
    pub(super) offline: Offline,
    pub(super) persistence_path: FilePath,
    pub(super) persistence_sync: Duration,
    pub(super) cluster: ClusterSettings,
    /// 1 to [`DEPTH_MAX`].
    pub(super) depth_max: usize,
    pub(super) shards: ShardCount,
    pub(super) memory: MemoryShare,
    pub(super) admin: SocketAddr,
    pub(super) lame_duck: Duration,
    pub(super) drain_rate: usize,
    pub(super) drain_timeout: Duration,
    pub(super) insecure: bool,
    pub(super) fallback: bool,
    pub(super) origins: Origins,
    pub(super) proxies: Proxies,
    pub(super) proxy_protocol: ProxyProtocol,
    /// `None`: everywhere.
    pub(super) allow: Option<Networks>,
    pub(super) block: Networks,
    pub(super) limits: LimitSettings,
    pub(super) operators: AdminSettings,
    pub(super) ban_after: Option<usize>,
    pub(super) ban_for: Duration,
    pub(super) audit_file: FilePath,
    pub(super) audit_bytes_max: usize,
    pub(super) audit_files: usize,
    pub(super) centrifuge_enabled: bool,
    pub(super) centrifuge: Centrifuge,
    pub(super) gateway: GatewaySettings,
    pub(super) tracing: TracingSettings,
    pub(super) log_level: tracing::Level,
    pub(super) log_format: LogFormat,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            engine: shardcast_engine::Config::default(),
            listen: Place::Address(SocketAddr::from(([127, 0, 0, 1], 8000))),
            message_bytes_max: Listener::MESSAGE_BYTES_DEFAULT,
            tls: TlsSettings::default(),
            auth: AuthSettings::default(),
            compression: Compressed::default(),
            rooms: Rooms::default(),
            namespaces: BTreeMap::new(),
            sessions: Sessions::default(),
            offline: Offline::default(),
            persistence_path: FilePath::default(),
            persistence_sync: Persistence::SYNC_DEFAULT,
            cluster: ClusterSettings::default(),
            depth_max: DEPTH_MAX as usize,
            shards: ShardCount::Auto,
            memory: MemoryShare::Auto,
            admin: SocketAddr::from(([127, 0, 0, 1], 8001)),
            lame_duck: Duration::ZERO,
            drain_rate: 10_000,
            drain_timeout: Duration::from_secs(10),
            insecure: false,
            fallback: true,
            origins: Origins::own(),
            proxies: Proxies::none(),
            proxy_protocol: ProxyProtocol::Off,
            allow: None,
            block: Networks::default(),
            limits: LimitSettings::default(),
            operators: AdminSettings::default(),
            ban_after: None,
            ban_for: Duration::from_secs(600),
            audit_file: FilePath::default(),
            audit_bytes_max: 64 << 20,
            audit_files: 5,
            centrifuge_enabled: true,
            centrifuge: Centrifuge::default(),
            gateway: GatewaySettings::default(),
            tracing: TracingSettings::default(),
            log_level: tracing::Level::INFO,
            log_format: LogFormat::Text,
        }
    }
}

/// permessage-deflate. Its other values stand whether it is enabled or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Compressed {
    pub(super) enabled: bool,
    pub(super) threshold_bytes: usize,
    pub(super) context_takeover: bool,
    pub(super) windows_bytes_max: usize,
    pub(super) ratio_max: usize,
}

impl Default for Compressed {
    fn default() -> Compressed {
        let defaults = Compression::default();
        Compressed {
            enabled: true,
            threshold_bytes: defaults.threshold_bytes,
            context_takeover: defaults.takeover == Takeover::Allowed,
            windows_bytes_max: defaults.windows_bytes_max,
            ratio_max: defaults.ratio_max as usize,
        }
    }
}

impl Compressed {
    /// As the engine has it; the key's range keeps the ratio small.
    fn engine(&self) -> Option<Compression> {
        self.enabled.then(|| Compression {
            threshold_bytes: self.threshold_bytes,
            takeover: if self.context_takeover {
                Takeover::Allowed
            } else {
                Takeover::Never
            },
            windows_bytes_max: self.windows_bytes_max,
            ratio_max: u32::try_from(self.ratio_max).unwrap_or(u32::MAX),
        })
    }
}

impl Settings {
    /// Settings that differ from the defaults in section `[rooms]` alone, where keys find it.
    pub(super) fn of_rooms(rooms: Rooms) -> Settings {
        Settings {
            rooms,
            ..Settings::default()
        }
    }

    /// Settings that differ from the defaults in one key of tokens alone, where keys find it.
    pub(super) fn of_token_key(key: TokenKeySettings) -> Settings {
        let auth = AuthSettings {
            key,
            ..AuthSettings::default()
        };
        Settings {
            auth,
            ..Settings::default()
        }
    }

    /// The same for one set of keys.
    pub(super) fn of_key_set(set: KeySetSettings) -> Settings {
        let auth = AuthSettings {
            set,
            ..AuthSettings::default()
        };
        Settings {
            auth,
            ..Settings::default()
        }
    }

    /// Section `[auth]`.
    pub(crate) fn auth(&self) -> &AuthSettings {
        &self.auth
    }

    /// How strictly messages are read.
    pub(crate) fn rules(&self) -> Rules {
        let depth_max = u32::try_from(self.depth_max).ok();
        depth_max.and_then(Rules::new).unwrap_or_default()
    }

    /// What the engine is started with: the plain listener first, then the one with `tls`, those of
    /// them that are wanted. `given` has the sockets that the process was given: called with the
    /// key that wants one, and its name.
    ///
    /// # Errors
    /// A socket was not given.
    pub(crate) fn engine<E>(
        &self,
        tls: Option<&Tls>,
        mut given: impl FnMut(&'static str, &str) -> Result<ListenSource, E>,
    ) -> Result<shardcast_engine::Config, E> {
        let mut engine = self.engine.clone();
        engine.shards = self.shards();
        engine.memory_bytes_max = match self.memory {
            MemoryShare::Auto => shardcast_engine::Config::memory_share(),
            MemoryShare::Exactly(bytes) => bytes,
        };
        let plain = self.listen.source(|name| given("server.listen", name))?;
        let plain = plain.map(|source| Listener {
            message_bytes_max: self.message_bytes_max,
            proxy_protocol: self.proxy_protocol,
            ..Listener::of(source)
        });
        let encrypted = &self.tls.listen;
        let encrypted = encrypted.source(|name| given("tls.listen", name))?;
        let encrypted = encrypted.map(|source| Listener {
            tls: tls.cloned(),
            message_bytes_max: self.tls.message_bytes_max.or(self.message_bytes_max),
            proxy_protocol: self.proxy_protocol,
            ..Listener::of(source)
        });
        engine.listeners = plain.into_iter().chain(encrypted).collect();
        engine.same_user = self.sessions.same_user();
        // The gateway answers before the engine gives up.
        let decided = self.gateway.timeout + Duration::from_secs(2);
        engine.admission_timeout = engine.admission_timeout.max(decided);
        engine.compression = self.compression.engine();
        engine.event_streams = self.fallback.then(|| EVENTS_PATH.to_owned());
        Ok(engine)
    }

    /// Whether clients may connect at this address: strangers only with a token.
    pub(crate) fn permits_clients(&self, address: SocketAddr) -> bool {
        self.auth.tokens == TokenMode::Required || self.permits_anybody(address)
    }

    /// Whether operators may connect at this address: strangers only with a token or a certificate.
    pub(super) fn permits_operators(&self, address: SocketAddr) -> bool {
        self.operators.asks_for_proof() || self.permits_anybody(address)
    }

    /// Whether nothing has to authenticate who connects at this address.
    fn permits_anybody(&self, address: SocketAddr) -> bool {
        self.insecure || address.ip().to_canonical().is_loopback()
    }

    /// Section `[tls]`, if clients connect with TLS.
    pub(crate) fn tls(&self) -> Option<&TlsSettings> {
        Some(&self.tls).filter(|tls| tls.listen.is_somewhere())
    }

    /// How long sessions outlive their connections.
    pub(crate) fn sessions(&self) -> SessionOptions {
        self.sessions.options()
    }

    /// What waits for users without connections.
    pub(crate) fn offline(&self) -> Option<OfflineOptions> {
        self.offline.options()
    }

    /// Where it is stored what outlives the process.
    pub(crate) fn persistence(&self) -> Option<Persistence> {
        Some(Persistence {
            path: self.persistence_path.0.as_ref()?.into(),
            sync: self.persistence_sync,
        })
    }

    /// Section `[cluster]`.
    pub(crate) fn cluster(&self) -> &ClusterSettings {
        &self.cluster
    }

    /// What may be done in which rooms.
    pub(crate) fn namespaces(&self) -> Namespaces {
        let bytes_max = self.engine.room_name_bytes_max;
        let named = self.namespaces.iter();
        let named = named.map(|(name, rooms)| (name.as_str(), rooms.namespace(bytes_max)));
        Namespaces::new(self.rooms.namespace(bytes_max), named)
            .expect("the keys' ranges and `CrossChecks` are stricter")
    }

    /// Whether the longest name of a room is the same, by which namespaces are judged.
    pub(crate) fn has_room_names_of(&self, other: &Settings) -> bool {
        self.engine.room_name_bytes_max == other.engine.room_name_bytes_max
    }

    /// Which web pages may connect.
    pub(crate) fn origins(&self) -> Origins {
        self.origins.clone()
    }

    /// Whose word about a client's address counts.
    pub(crate) fn proxies(&self) -> Proxies {
        self.proxies.clone()
    }

    /// Section `[admin]`.
    pub(crate) fn operators(&self) -> &AdminSettings {
        &self.operators
    }

    /// After how many refusals who is banned.
    pub(crate) fn auto_ban(&self) -> Option<AutoBan> {
        AutoBan::new(self.ban_after? as u64, self.ban_for)
    }

    /// Where the audit log goes.
    pub(crate) fn audit(&self) -> Option<JournalFile> {
        let path = self.audit_file.0.as_ref()?;
        Some(JournalFile {
            path: path.clone(),
            bytes_max: self.audit_bytes_max as u64,
            kept: self.audit_files,
        })
    }

    /// How much clients may do.
    pub(crate) fn limits(&self) -> RateLimits {
        self.limits.limits()
    }

    /// Who may connect, by address.
    pub(crate) fn addresses(&self) -> AddressLists {
        AddressLists {
            allow: self.allow.clone(),
            block: self.block.clone(),
        }
    }

    pub(super) fn shards(&self) -> usize {
        match self.shards {
            ShardCount::Auto => self.engine.shards,
            ShardCount::Exactly(count) => count,
        }
    }

    /// Times of clients of the Centrifuge protocol; `None`: they are not served.
    pub(crate) fn centrifuge(&self) -> Option<Centrifuge> {
        self.centrifuge_enabled.then(|| Centrifuge {
            fallbacks: self.fallback,
            ..self.centrifuge.clone()
        })
    }

    /// Threads of a server beside its shards, its control plane and its background handlers: the
    /// bridge of a cluster, and what sends traces.
    pub(crate) fn threads_besides(&self) -> usize {
        let traces = self.tracing.endpoint.0.is_some();
        usize::from(self.cluster.is_one_of_many()) + usize::from(traces)
    }

    /// Section `[tracing]`.
    pub(crate) fn tracing(&self) -> &TracingSettings {
        &self.tracing
    }

    /// Section `[gateway]`.
    pub(crate) fn gateway(&self) -> &GatewaySettings {
        &self.gateway
    }

    /// Whether what is said to other hosts may be read on its way.
    pub(crate) fn is_insecure(&self) -> bool {
        self.insecure
    }

    /// Where the admin port listens.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// How long new clients are served yet after it was told to stop.
    pub(crate) fn lame_duck(&self) -> Duration {
        self.lame_duck
    }

    /// Connections that a drain closes each second, over all shards.
    pub(crate) fn drain_rate(&self) -> u32 {
        u32::try_from(self.drain_rate).unwrap_or(u32::MAX)
    }

    /// How long a drain may take.
    pub(crate) fn drain_timeout(&self) -> Duration {
        self.drain_timeout
    }

    /// The least severe event that is logged.
    pub(crate) fn log_level(&self) -> tracing::Level {
        self.log_level
    }

    /// How log lines are written.
    pub(crate) fn log_format(&self) -> LogFormat {
        self.log_format
    }
}
