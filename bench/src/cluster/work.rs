//! What the work on several nodes is, and how much of it: as the command line says it.

use crate::cluster::broker::BrokerName;
use clap::{Args, ValueEnum};

/// What is done, and how much of it.
#[derive(Args, Clone, Debug)]
pub struct ClusterWork {
    /// With which brokers.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = BrokerName::ALL)]
    pub brokers: Vec<BrokerName>,
    /// Which parts of the work.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = ClusterPart::ALL)]
    pub parts: Vec<ClusterPart>,
    /// Subscribers of one room, over all nodes.
    #[arg(long, default_value_t = 1_000)]
    pub subscribers: usize,
    /// Messages that they hear, one by one.
    #[arg(long, default_value_t = 500)]
    pub messages: usize,
    /// Publishes a second at one node, one run each.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 50_000])]
    pub per_second: Vec<u32>,
    /// For how long, in seconds; rooms come and go for four times as long.
    #[arg(long, default_value_t = 5)]
    pub seconds: u32,
    /// Messages to ordered rooms.
    #[arg(long, default_value_t = 100_000)]
    pub ordered: usize,
    /// Rooms that come and go in a second.
    #[arg(long, default_value_t = 10_000)]
    pub rooms: u32,
    /// Clients of a node that dies.
    #[arg(long, default_value_t = 9_000)]
    pub clients: usize,
    /// How often, each time with fresh servers.
    #[arg(long, default_value_t = 3)]
    pub rounds: u32,
}

/// A part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClusterPart {
    /// CPU of a delivery, over three nodes and at one.
    Delivery,
    /// CPU of the bridge for each publish, at the node that publishes and at those that hear it.
    Publish,
    /// Rate and CPU of rooms that the broker orders; with Redis beside the broker by itself.
    Ordered,
    /// Rooms that come and go.
    Rooms,
    /// Clients that come back to other nodes when theirs has died.
    Recovery,
}

impl ClusterPart {
    /// In the order in which they are done.
    pub const ALL: [ClusterPart; 5] = [
        ClusterPart::Delivery,
        ClusterPart::Publish,
        ClusterPart::Ordered,
        ClusterPart::Rooms,
        ClusterPart::Recovery,
    ];

    /// Whether it is done with this broker: only Redis says how often a log was read.
    pub(super) fn is_with(self, broker: BrokerName) -> bool {
        match self {
            ClusterPart::Delivery
            | ClusterPart::Publish
            | ClusterPart::Ordered
            | ClusterPart::Rooms => true,
            ClusterPart::Recovery => broker == BrokerName::Redis,
        }
    }
}
