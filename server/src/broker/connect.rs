//! Which adapter a node uses, before it is started.

use crate::broker::nats::NatsConnect;
use crate::broker::options::{BadCluster, BrokerKind, Cluster};
use crate::broker::redis::RedisConnect;

/// An adapter whose configuration was looked at.
#[derive(Debug)]
pub(crate) enum BrokerConnect {
    /// Redis or Valkey.
    Redis(RedisConnect),
    /// NATS.
    Nats(NatsConnect),
}

impl BrokerConnect {
    /// Looks at the configuration and reads the files that it names.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub(crate) fn new(cluster: &Cluster) -> Result<BrokerConnect, BadCluster> {
        match cluster.broker {
            BrokerKind::Redis => RedisConnect::new(cluster).map(BrokerConnect::Redis),
            BrokerKind::Nats => NatsConnect::new(cluster).map(BrokerConnect::Nats),
        }
    }
}
