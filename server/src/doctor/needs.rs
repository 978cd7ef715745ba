//! What a server with this configuration wants of a host. Every check compares with it.

use crate::config::Settings;
use shardcast_engine::{DriverChoice, ListenSource, Pinning};
use std::convert::Infallible;
use std::net::SocketAddr;

/// Threads besides the shards': background handlers and the control plane, as `serve` counts them.
const THREADS: usize = 2;

/// The figures.
#[derive(Clone, Debug)]
pub(super) struct HostNeeds {
    pub(super) asked: DriverChoice,
    pub(super) shards: usize,
    pub(super) connections_max: usize,
    pub(super) memory_bytes_max: u64,
    /// The cores that shards are pinned to by name.
    pub(super) cores: Option<Vec<usize>>,
    /// Where it listens, in configuration order, the admin port last.
    pub(super) ports: Vec<u16>,
    /// Why it cannot start, if the trial of that says so.
    pub(super) start: Option<String>,
}

impl HostNeeds {
    pub(super) fn of(settings: &Settings) -> HostNeeds {
        // What the process is given when it serves is not here when it is examined.
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let given = |_: &'static str, _: &str| Ok::<_, Infallible>(ListenSource::Bind(anywhere));
        let Ok(config) = settings.engine(None, given);
        let ports = config
            .listeners
            .iter()
            .map(|listener| match listener.source {
                ListenSource::Bind(address) => address.port(),
                ListenSource::Unix(_) | ListenSource::Inherited(_) => 0,
            });
        let ports = ports.chain([settings.admin().port()]);
        let start = shardcast_engine::afford(&config, THREADS).err();
        HostNeeds {
            asked: config.driver,
            shards: config.shards,
            connections_max: config.connections_max,
            memory_bytes_max: config.memory_bytes_max as u64,
            ports: ports.filter(|port| *port != 0).collect(),
            start: start.map(|error| error.to_string()),
            cores: match config.pinning {
                Pinning::Cores(cores) => Some(cores),
                Pinning::None | Pinning::Auto => None,
            },
        }
    }
}
