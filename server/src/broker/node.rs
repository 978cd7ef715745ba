//! What the tasks of a bridge share: which node this is, and the server that it belongs to.

use crate::broker::counts::BridgeCounts;
use crate::broker::partitions::Partitions;
use crate::broker::view::ClusterView;
use crate::session::shared::Shared;
use shardcast_engine::{Handle as Engine, SameUser};
use std::sync::Arc;

/// One node of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct ClusterNode {
    /// What it is called.
    pub(crate) name: Arc<str>,
    /// What it is for as long as its process runs. Never 0.
    pub(crate) run: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) engine: Engine,
    pub(crate) counts: Arc<BridgeCounts>,
    pub(crate) view: Arc<ClusterView>,
    /// `None`: each room has a subject of its own.
    pub(crate) partitions: Option<Partitions>,
    /// How many connections a user may have, at all nodes.
    pub(crate) same_user: SameUser,
}
