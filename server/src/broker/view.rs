//! What the control plane and the bridge share of a cluster: the nodes that are known, what this
//! node has to tell all others, and what operators have said at other nodes.
//!
//! Invariant: whoever writes never waits; each of the two queues has an end, and what finds no room
//! is refused or counted. Made with the application; the bridge takes one end of each queue, the
//! control plane the others.

use crate::broker::counts::{BridgeCount, BridgeCounts};
use crate::broker::nodes::{IsConnected, KnownNode, NodeFacts, Nodes};
use crate::broker::share::others::{MemberThere, ShareHeard, Shares};
use crate::broker::share::word::{ShareSays, ShareWord};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};

/// A cluster as one node sees it.
#[derive(Debug)]
pub(crate) struct ClusterView {
    pub(crate) name: Box<str>,
    pub(crate) counts: Arc<BridgeCounts>,
    began: Instant,
    nodes: Mutex<Nodes>,
    /// Of the nodes that are known.
    shares: Mutex<Shares>,
    /// Another node wants to hear all of this one's share.
    pub(crate) asked: Notify,
    /// Rooms are to be told of members elsewhere.
    pub(crate) placing: Notify,
    told: mpsc::Sender<NodeNews>,
    to_tell: Mutex<Option<mpsc::Receiver<NodeNews>>>,
    heard: mpsc::Sender<NodeCall>,
    to_do: Mutex<Option<mpsc::Receiver<NodeCall>>>,
}

/// What a node tells all others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NodeNews {
    /// It is there.
    Alive(NodeFacts),
    /// It stops.
    Leaving,
    /// An operator has said something at it that is for all.
    Call(NodeCall),
}

/// A call of the admin API: its name there, and its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeCall {
    pub(crate) call: String,
    pub(crate) body: serde_json::Value,
}

/// As many calls wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyCalls;

impl ClusterView {
    /// Calls that wait, in each direction.
    const CALLS_MAX: usize = 1_024;
    /// Most bytes of what a node tells.
    pub(crate) const NEWS_BYTES_MAX: usize = 128 << 10;

    pub(crate) fn new(name: &str, lease: Duration) -> ClusterView {
        let (told, to_tell) = mpsc::channel(Self::CALLS_MAX);
        let (heard, to_do) = mpsc::channel(Self::CALLS_MAX);
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        ClusterView {
            name: name.into(),
            counts: Arc::default(),
            began: Instant::now(),
            nodes: Mutex::new(Nodes::new(lease_ms)),
            shares: Mutex::default(),
            asked: Notify::new(),
            placing: Notify::new(),
            told,
            to_tell: Mutex::new(Some(to_tell)),
            heard,
            to_do: Mutex::new(Some(to_do)),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn shares(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All other nodes that are known, and how many milliseconds ago each was heard.
    pub(crate) fn others(&self) -> Vec<(KnownNode, u64)> {
        let now_ms = self.now_ms();
        let nodes = self.nodes();
        let others = nodes.iter().cloned();
        others
            .map(|node| {
                let ago_ms = now_ms.saturating_sub(node.heard_ms);
                (node, ago_ms)
            })
            .collect()
    }

    /// Has all other nodes do what an operator has asked of this one.
    ///
    /// # Errors
    /// As many calls wait as may.
    pub(crate) fn tell(&self, call: NodeCall) -> Result<(), TooManyCalls> {
        let told = self.told.try_send(NodeNews::Call(call));
        told.map_err(|_| TooManyCalls)
    }

    /// What is to be told, for the one task that tells it.
    pub(crate) fn take_to_tell(&self) -> Option<mpsc::Receiver<NodeNews>> {
        let mut place = self.to_tell.lock().unwrap_or_else(PoisonError::into_inner);
        place.take()
    }

    /// What operators have said at other nodes, for the one task that does it.
    pub(crate) fn take_to_do(&self) -> Option<mpsc::Receiver<NodeCall>> {
        let mut place = self.to_do.lock().unwrap_or_else(PoisonError::into_inner);
        place.take()
    }

    /// Another node has said something. `false`: there was no room for it.
    pub(crate) fn hear(&self, run: u64, name: &str, news: NodeNews) -> bool {
        match news {
            NodeNews::Alive(facts) => {
                let now_ms = self.now_ms();
                if self.nodes().hear(run, name, facts, now_ms) {
                    tracing::info!(node = name, "a node of the cluster is there");
                }
                true
            }
            NodeNews::Leaving => {
                let known = self.nodes().leave(run);
                self.keep_shares(|other| other != run);
                if known.is_some() {
                    tracing::info!(node = name, "a node of the cluster has left");
                }
                true
            }
            NodeNews::Call(call) => self.heard.try_send(call).is_ok(),
        }
    }

    /// Another node has said something of its share. Who is not known is not believed.
    pub(crate) fn hear_share(&self, own_run: u64, run: u64, word: ShareWord) -> ShareHeard {
        if let ShareSays::Question(runs) = &word.says
            && runs.contains(&own_run)
        {
            self.asked.notify_one();
        }
        let now_ms = self.now_ms();
        match self.nodes().knows(run) {
            true => {
                let mut shares = self.shares();
                let heard = shares.hear(run, word, now_ms);
                if shares.has_changed() {
                    self.placing.notify_one();
                }
                heard
            }
            false => ShareHeard::default(),
        }
    }

    /// What the nodes had that are not there any more is gone.
    fn keep_shares(&self, is_there: impl Fn(u64) -> bool) {
        self.shares().keep(is_there);
        self.placing.notify_one();
    }

    /// Rooms are told of all members of other nodes once more.
    pub(crate) fn place_again(&self) {
        self.shares().place_again();
        self.placing.notify_one();
    }

    /// A member of another node of which its room does not know what has become.
    pub(crate) fn next_member(&self) -> Option<MemberThere> {
        self.shares().next_changed()
    }

    /// Whom to ask for all of its share: those that were not asked within this time.
    pub(crate) fn shares_to_ask(&self, again_ms: u64) -> Vec<u64> {
        let now_ms = self.now_ms();
        let mut shares = self.shares();
        let asked = shares.whom_to_ask(again_ms, now_ms);
        let (items, bytes) = (shares.len(), shares.bytes());
        drop(shares);
        self.counts.set(BridgeCount::SharesItems, items as u64);
        self.counts.set(BridgeCount::SharesBytes, bytes as u64);
        asked
    }

    /// The connection to the broker is as it is now.
    pub(crate) fn connected(&self, is_connected: IsConnected) {
        let now_ms = self.now_ms();
        self.nodes().connected(is_connected, now_ms);
    }

    /// Forgets whose lease is over, and returns how many nodes are known, and how many went.
    pub(crate) fn expire(&self) -> (usize, usize) {
        let now_ms = self.now_ms();
        let (known, gone) = {
            let mut nodes = self.nodes();
            let gone = nodes.expire(now_ms);
            if !gone.is_empty() {
                self.keep_shares(|run| nodes.knows(run));
            }
            (nodes.iter().count(), gone)
        };
        for node in &gone {
            tracing::warn!(
                node = &*node.name,
                "a node of the cluster is silent: its lease is over"
            );
        }
        (known, gone.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_nodes_tell_reads_back() {
        let facts = NodeFacts {
            version: "0.1.0".to_owned(),
            connections: 1,
            rooms: 2,
            users: 3,
        };
        let call = NodeCall {
            call: "ban".to_owned(),
            body: json!({"user": "ann", "for": "1h"}),
        };
        for news in [
            NodeNews::Alive(facts),
            NodeNews::Leaving,
            NodeNews::Call(call),
        ] {
            let text = serde_json::to_string(&news).expect("it is written");
            assert_eq!(serde_json::from_str::<NodeNews>(&text).expect(&text), news);
        }
        assert!(serde_json::from_str::<NodeNews>(r#"{"sing":1}"#).is_err());
    }

    #[test]
    fn calls_wait_up_to_their_number() {
        let view = ClusterView::new("a", Duration::from_secs(1));
        let call = || NodeCall {
            call: "ban".to_owned(),
            body: json!({}),
        };
        for _ in 0..ClusterView::CALLS_MAX {
            assert_eq!(view.tell(call()), Ok(()));
            assert!(view.hear(1, "b", NodeNews::Call(call())));
        }
        assert_eq!(view.tell(call()), Err(TooManyCalls));
        assert!(!view.hear(1, "b", NodeNews::Call(call())));
        assert!(view.take_to_do().is_some() && view.take_to_do().is_none());
    }
}
