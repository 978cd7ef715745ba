//! Several nodes, one room: what is published at one node reaches the members at all of them, by
//! way of a broker that exists. Off unless a cluster is configured; then it costs nothing.
//!
//! An adapter ([`Broker`]) brings bytes from node to node and keeps the logs of ordered rooms; it
//! knows no engine. What the bytes mean ([`Envelope`]), who is interested in what, and what is done
//! when something was lost is the bridge's part, and the same for all brokers.

mod adapter;
mod agreed;
pub(crate) mod bridge;
mod connect;
mod copying;
pub(crate) mod counts;
mod envelope;
mod inbox;
mod interest;
mod inward;
mod model;
mod nats;
mod node;
mod nodes;
mod options;
mod ordering;
mod outward;
mod pages;
mod partitions;
mod redis;
pub(crate) mod share;
#[cfg(test)]
mod simulation;
mod strand;
mod subject;
mod subscribing;
mod telling;
pub(crate) mod view;

pub use adapter::{
    Append, Appended, Broker, BrokerError, KeptInLog, Link, LogEntry, LogPage, LogPlace, Outbound,
    ReadLog,
};
pub use envelope::{BadEnvelope, Body, Envelope, MessageId, Recipient};
pub use inbox::{Inbox, InboxSender, Incoming};
pub use model::{Model, ModelBroker, ModelFault};
pub use nats::NatsBroker;
pub use options::{
    BadCluster, BrokerKind, BrokerPassword, BrokerTls, Cluster, ClusterSessions, Credentials,
};
pub use redis::RedisBroker;
pub use subject::Subject;
