//! What the control plane and the bridge share of a cluster: the nodes that are known, what this
//! node has to tell all others, and what operators have said at other nodes.
//!
//! Invariant: whoever writes never waits; each of the two queues has an end, and what finds no room
//! is refused or counted. Made with the application; the bridge takes one end of each queue, the
//! control plane the others.

use crate::broker::counts::{BridgeCount, BridgeCounts};
use crate::broker::nodes::{IsConnected, KnownNode, NodeFacts, Nodes};
use crate::broker::share::occupancy::{RoomTurned, TellingNode};
use crate::broker::share::others::{MemberThere, ShareHeard, Shares};
use crate::broker::share::seating::SeatedThere;
use crate::broker::share::word::{ShareSays, ShareWord};
use crate::session::copies::{MovedSession, SessionCopies, SessionCopiesReader};
use serde::{Deserialize, Serialize};
use shardcast_engine::TopicName;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
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
    /// Another node is there that was not.
    pub(crate) met: Notify,
    /// Rooms have turned at other nodes.
    pub(crate) turned: Notify,
    /// Who tells a backend of rooms that turn, until the bridge takes it.
    watcher: Mutex<Option<mpsc::Sender<RoomTurned>>>,
    /// When the node said a word that has not come back yet.
    said: Mutex<Option<Instant>>,
    /// The node has said that it knows the shares of all others.
    said_to_know_all: AtomicBool,
    lease_ms: u64,
    /// What operators have said may have passed this node by: it was not there, or without a
    /// connection.
    is_behind: AtomicBool,
    told: mpsc::Sender<NodeNews>,
    to_tell: Mutex<Option<mpsc::Receiver<NodeNews>>>,
    replaces: mpsc::Sender<NodeReplace>,
    to_replace: Mutex<Option<mpsc::Receiver<NodeReplace>>>,
    /// Where the broker keeps copies of sessions.
    copies: OnceLock<SessionCopies>,
    to_copy: Mutex<Option<SessionCopiesReader>>,
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
    /// A user has more connections than it may have, and the oldest of another node are to end.
    Replace(NodeReplace),
    /// The session of another node goes on at it.
    Moved(MovedSession),
}

impl NodeNews {
    /// The run of the one node that it is for. `None`: all of them.
    pub(crate) fn to(&self) -> Option<u64> {
        match self {
            NodeNews::Alive(_) | NodeNews::Leaving | NodeNews::Moved(_) => None,
            NodeNews::Call(call) => call.to,
            NodeNews::Replace(replace) => Some(replace.to),
        }
    }
}

/// Which connections of a user are to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeReplace {
    /// The run of the node that has them.
    pub(crate) to: u64,
    pub(crate) user: String,
    /// So many stay.
    pub(crate) keep: u32,
    /// The node had told of them by this word of its share.
    pub(crate) word: u64,
}

/// A call of the admin API, or one that nodes have for each other: its name, and its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeCall {
    pub(crate) call: String,
    pub(crate) body: serde_json::Value,
    /// The run of the one node that it is for. `None`: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<u64>,
}

impl NodeCall {
    /// Asks another node which bans and revocations are in force.
    pub(crate) const REFUSALS: &str = "refusals";
    /// Some of these, as the answer.
    pub(crate) const REFUSED: &str = "refused";
}

/// Whether something may have passed a node by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IsBehind {
    Yes,
    No,
}

/// As many calls wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyCalls;

impl ClusterView {
    /// Calls that wait, in each direction.
    const CALLS_MAX: usize = 1_024;
    /// Turns of rooms that wait; whoever has one more waits.
    const TURNS_MAX: usize = 4_096;
    /// Most bytes of what a node tells.
    pub(crate) const NEWS_BYTES_MAX: usize = 128 << 10;

    pub(crate) fn new(name: &str, lease: Duration) -> ClusterView {
        let (told, to_tell) = mpsc::channel(Self::CALLS_MAX);
        let (heard, to_do) = mpsc::channel(Self::CALLS_MAX);
        let (replaces, to_replace) = mpsc::channel(Self::CALLS_MAX);
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        ClusterView {
            name: name.into(),
            counts: Arc::default(),
            began: Instant::now(),
            nodes: Mutex::new(Nodes::new(lease_ms)),
            shares: Mutex::default(),
            asked: Notify::new(),
            placing: Notify::new(),
            met: Notify::new(),
            turned: Notify::new(),
            watcher: Mutex::default(),
            said: Mutex::default(),
            said_to_know_all: AtomicBool::new(false),
            lease_ms,
            is_behind: AtomicBool::new(false),
            told,
            to_tell: Mutex::new(Some(to_tell)),
            replaces,
            to_replace: Mutex::new(Some(to_replace)),
            copies: OnceLock::new(),
            to_copy: Mutex::default(),
            heard,
            to_do: Mutex::new(Some(to_do)),
        }
    }

    /// Before the server starts: the broker is to keep copies of sessions.
    pub(crate) fn copy_sessions(&self) {
        let (copies, reader) = SessionCopies::new(&self.name);
        if self.copies.set(copies).is_ok() {
            *self.to_copy.lock().unwrap_or_else(PoisonError::into_inner) = Some(reader);
        }
    }

    /// The way from the shards to the bridge, where the broker keeps copies of sessions.
    pub(crate) fn copies(&self) -> Option<SessionCopies> {
        self.copies.get().cloned()
    }

    /// The other ends of it, for the one task that has them.
    pub(crate) fn take_to_copy(&self) -> Option<SessionCopiesReader> {
        let mut place = self.to_copy.lock().unwrap_or_else(PoisonError::into_inner);
        place.take()
    }

    /// Before the server starts: rooms that have their first member at any node, or none any more,
    /// where this node is the one to tell of it.
    pub(crate) fn watch_rooms(&self) -> mpsc::Receiver<RoomTurned> {
        let (sender, turned) = mpsc::channel(Self::TURNS_MAX);
        self.shares().watch();
        *self.watcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        turned
    }

    /// Who is to be told of rooms that turn, for the one task that does it.
    pub(crate) fn take_watcher(&self) -> Option<mpsc::Sender<RoomTurned>> {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        watcher.take()
    }

    /// Whether this node knows the shares of all others, as it says of itself from here on, or did
    /// once. Who has come within a lease may not have heard of all of them.
    pub(crate) fn says_to_know_all(&self) -> bool {
        let knows_all = self.said_to_know_all.load(Ordering::Relaxed)
            || self.now_ms() >= self.lease_ms && !self.lacks_something();
        self.said_to_know_all.store(knows_all, Ordering::Relaxed);
        knows_all
    }

    /// Whether it has said so.
    pub(crate) fn said_to_know_all(&self) -> bool {
        self.said_to_know_all.load(Ordering::Relaxed)
    }

    /// All nodes that may tell a backend of a room, this one included.
    pub(crate) fn telling_nodes(&self, own_run: u64) -> Vec<TellingNode> {
        let own = TellingNode {
            run: own_run,
            heard_ms: self.now_ms(),
            knows_all: self.said_to_know_all(),
        };
        let nodes = self.nodes();
        let others = nodes.by_run().map(|(run, node)| TellingNode {
            run,
            heard_ms: node.heard_ms,
            knows_all: node.facts.knows_all,
        });
        std::iter::once(own).chain(others).collect()
    }

    /// The node is about to say a word to all nodes, itself included.
    pub(crate) fn says(&self) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// An own word has come back. A broker may bring none of them.
    pub(crate) fn came_back(&self) {
        let said = self
            .said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(said) = said {
            let micros = u64::try_from(said.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.counts.set(BridgeCount::RoundTripMicros, micros);
        }
    }

    pub(crate) fn lease_ms(&self) -> u64 {
        self.lease_ms
    }

    pub(crate) fn now_ms(&self) -> u64 {
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

    /// The same for whoever has much to tell, and waits until there is a place. `false`: there is
    /// no bridge any more.
    pub(crate) async fn tell_in_turn(&self, news: NodeNews) -> bool {
        self.told.send(news).await.is_ok()
    }

    /// What other nodes have of a user.
    pub(crate) fn seated(&self, user: &Arc<str>) -> Vec<SeatedThere> {
        let topic = TopicName::User(user.clone());
        let nodes = self.nodes();
        let shares = self.shares();
        let there = nodes.by_run().map(|(run, _)| SeatedThere {
            run,
            count: shares.at(run, &topic),
            word: shares.word(run),
        });
        there.filter(|there| there.count > 0).collect()
    }

    /// What other nodes ask for about users, for the one task that does it.
    pub(crate) fn take_to_replace(&self) -> Option<mpsc::Receiver<NodeReplace>> {
        let mut place = self
            .to_replace
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        place.take()
    }

    /// What operators have said may have passed this node by, or it has been told by now.
    pub(crate) fn set_behind(&self, is_behind: IsBehind) {
        let is_behind = is_behind == IsBehind::Yes;
        self.is_behind.store(is_behind, Ordering::Relaxed);
    }

    /// Whom to ask what operators have said, if that may have passed this node by: any other one.
    pub(crate) fn whom_to_ask_for_refusals(&self) -> Option<u64> {
        let to_do = self.to_do.lock().unwrap_or_else(PoisonError::into_inner);
        let is_done = to_do.is_none();
        if !is_done || !self.is_behind.load(Ordering::Relaxed) {
            // Where nobody does what operators say, nobody needs to know it.
            return None;
        }
        drop(to_do);
        let nodes = self.nodes();
        let runs: Vec<u64> = nodes.by_run().map(|(run, _)| run).collect();
        fastrand::choice(runs)
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
                    self.met.notify_one();
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
            NodeNews::Replace(replace) => self.replaces.try_send(replace).is_ok(),
            NodeNews::Moved(moved) => match self.copies.get() {
                Some(copies) => copies.has_moved(moved).is_ok(),
                None => true,
            },
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
                if shares.has_turned() {
                    self.turned.notify_one();
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
        self.turned.notify_one();
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
            knows_all: false,
        };
        let call = NodeCall {
            call: "ban".to_owned(),
            body: json!({"user": "ann", "for": "1h"}),
            to: None,
        };
        for news in [
            NodeNews::Alive(facts),
            NodeNews::Leaving,
            NodeNews::Call(call),
            NodeNews::Replace(NodeReplace {
                to: u64::MAX,
                user: "ann".to_owned(),
                keep: 0,
                word: 7,
            }),
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
            to: Some(7),
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
