//! Tells whoever watches rooms which of them have their first member at any node, or none any more,
//! where this node is the one to tell of it. Made by the task that shares, where somebody watches.

use crate::broker::node::ClusterNode;
use crate::broker::share::occupancy::{Occupancy, RoomTurned};
use crate::broker::share::own::OwnShare;
use shardcast_engine::TopicName;
use tokio::sync::mpsc;

/// Who is told, and what of.
#[derive(Debug)]
pub(crate) struct RoomTurns {
    node: ClusterNode,
    occupancy: Occupancy,
    watcher: mpsc::Sender<RoomTurned>,
    /// When to look again.
    next_ms: u64,
}

impl RoomTurns {
    /// `None`: nobody watches.
    pub(crate) fn new(node: &ClusterNode, own: &mut OwnShare) -> Option<RoomTurns> {
        let watcher = node.view.take_watcher()?;
        own.watch();
        Some(RoomTurns {
            occupancy: Occupancy::new(node.run, node.view.lease_ms()),
            node: node.clone(),
            watcher,
            next_ms: 0,
        })
    }

    /// In how many milliseconds to look again.
    pub(crate) fn due_in_ms(&self) -> u64 {
        self.next_ms.saturating_sub(self.node.view.now_ms())
    }

    /// Takes in what has changed here and elsewhere, and tells of what is due, if it is time to.
    /// Waits where the watcher does not keep up.
    pub(crate) async fn look(&mut self, own: &mut OwnShare) {
        /// From one look to the next: however much changes, it is looked at so often.
        const PAUSE_MS: u64 = 50;
        let now_ms = self.node.view.now_ms();
        if now_ms >= self.next_ms {
            self.next_ms = now_ms + PAUSE_MS;
            self.look_at(own, now_ms).await;
        }
    }

    /// The server has stopped: there is no time to wait for what may come yet.
    pub(crate) async fn look_last(&mut self, own: &mut OwnShare) {
        let now_ms = self.node.view.now_ms();
        self.look_at(own, now_ms).await;
        self.look_at(own, now_ms + Occupancy::SETTLED_MS).await;
    }

    async fn look_at(&mut self, own: &mut OwnShare, now_ms: u64) {
        let view = &self.node.view;
        for (room, turn) in own.take_turned() {
            self.occupancy.turn_here(room, turn, now_ms);
        }
        let nodes = view.telling_nodes(self.node.run);
        let mut told = self.occupancy.set_nodes(&nodes, now_ms);
        {
            let mut shares = view.shares();
            for room in shares.take_turned() {
                self.occupancy.touch(room, now_ms);
            }
            let is_elsewhere = |room: &_| shares.sum(&TopicName::Room(Clone::clone(room))) > 0;
            told.extend(self.occupancy.look(is_elsewhere, now_ms));
        }
        for turned in told {
            // Whoever watched is gone with the server.
            let _gone = self.watcher.send(turned).await;
        }
    }
}
