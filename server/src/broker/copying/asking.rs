//! What the bridge says to connections of the node about their sessions.

use crate::broker::node::ClusterNode;
use crate::broker::ordering::steps::ServerStopped;
use crate::session::copies::BridgeNotice;
use shardcast_engine::{Address, Notice, Refused};

/// Gives a connection a notice, and waits for a place in its shard's queue.
///
/// # Errors
/// The server has stopped.
pub(super) async fn notify(
    node: &ClusterNode,
    who: Address,
    notice: BridgeNotice,
) -> Result<(), ServerStopped> {
    let mut notice: Notice = Box::new(notice);
    loop {
        notice = match node.engine.reach(who, notice) {
            Ok(()) => return Ok(()),
            Err((Refused::Stopped, _)) => return Err(ServerStopped),
            Err((Refused::Busy | Refused::Memory, notice)) => notice,
        };
        node.engine.ready_for(who).await;
    }
}
