//! How an application is started with an engine of its own.

use super::App;
use crate::api::server::{OwnRuntime, Server};
use crate::api::watching::Watching;
use crate::broker::bridge::{OrdersRooms, PreparedBridge};
use crate::namespace::Namespaces;
use crate::session::refreshing::RefreshHook;
use shardcast_engine::{Config, ConfigError, StartError};

impl App {
    /// Who is asked before the time of a connection ends.
    pub(crate) fn on_refresh(mut self, hook: RefreshHook) -> App {
        self.refresh = Some(hook);
        self
    }

    /// Starts the server. Background handlers run on the tokio runtime around this call, or on one
    /// of its own with one thread. One more thread looks at the shards, and logs one that is stuck.
    ///
    /// # Errors
    /// See [`StartError`]; nothing runs then.
    pub fn start(self, config: Config) -> Result<Server, StartError> {
        let (runtime, own) = match tokio::runtime::Handle::try_current() {
            Ok(runtime) => (runtime, None),
            Err(_) => {
                shardcast_engine::afford(&config, OwnRuntime::THREADS + Watching::THREADS)?;
                let own = OwnRuntime::start().map_err(|source| StartError::Io {
                    what: "starting the runtime of background handlers".into(),
                    source,
                })?;
                (own.handle(), Some(own))
            }
        };
        let server = self.start_with(config, runtime, own)?;
        server.watched().map_err(|source| StartError::Io {
            what: "starting the thread that looks at the shards".into(),
            source,
        })
    }

    /// The same with a runtime that is there for background handlers already.
    pub(crate) fn start_on(self, config: Config, own: OwnRuntime) -> Result<Server, StartError> {
        self.start_with(config, own.handle(), Some(own))
    }

    fn start_with(
        self,
        mut config: Config,
        runtime: tokio::runtime::Handle,
        own: Option<OwnRuntime>,
    ) -> Result<Server, StartError> {
        let (persistence, stored) = (self.persistence.clone(), self.stored.clone());
        let cluster = self.cluster.clone().zip(self.view.clone());
        if cluster.is_some() {
            check_in_cluster(&self.namespaces)?;
        }
        let orders = match self.namespaces.takes_a_broker() {
            true => OrdersRooms::Yes,
            false => OrdersRooms::No,
        };
        let shards = self.shards(&mut config, runtime);
        let store = match persistence {
            Some(persistence) => Some(shards.store(&persistence, stored, &mut config)?),
            None => None,
        };
        let bridge = match cluster {
            Some((cluster, view)) => {
                let prepared = PreparedBridge::new(cluster, orders, config.same_user);
                let (prepared, ways) = prepared.map_err(|error| StartError::Io {
                    what: "joining the cluster".into(),
                    source: std::io::Error::other(error),
                })?;
                (config.relay, config.sequencer) = (Some(ways.relay), ways.sequencer);
                Some((prepared, view))
            }
            None => None,
        };
        let make = shards.clone();
        let running = shardcast_engine::start(config, move |shard| make.shard(shard))?;
        let handle = shards.attach(running.handle());
        let bridge = bridge.map(|(bridge, view)| {
            let shared = handle.shared.clone();
            bridge.start(shared, &running, view)
        });
        let bridge = bridge.transpose().map_err(|source| StartError::Io {
            what: "starting the thread of the cluster".into(),
            source,
        })?;
        Ok(Server::new(running, handle, own, store, bridge))
    }
}

/// Each node would hold a map of its own, without what was published before it heard the room.
fn check_in_cluster(namespaces: &Namespaces) -> Result<(), ConfigError> {
    match namespaces.have_maps() {
        false => Ok(()),
        true => Err(ConfigError {
            field: "namespaces",
            value: "with maps".to_owned(),
            rule: "there are no maps in a cluster",
        }),
    }
}
