//! The task by which a node tells all others that it is there, and what operators have said at it;
//! and that notices who has not been heard for too long.

use crate::broker::adapter::{Broker, Link, Outbound};
use crate::broker::counts::BridgeCount;
use crate::broker::envelope::{Body, Envelope, MessageId, Recipient};
use crate::broker::node::ClusterNode;
use crate::broker::nodes::{IsConnected, NodeFacts};
use crate::broker::subject::Subject;
use crate::broker::view::{IsBehind, NodeCall, NodeNews};
use shardcast_engine::{Data, DataEncoding, ShardCounters};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// The task.
pub(crate) struct Telling<B> {
    node: ClusterNode,
    broker: Arc<B>,
    counters: Vec<Arc<ShardCounters>>,
    news: mpsc::Receiver<NodeNews>,
    link: watch::Receiver<Link>,
    every: Duration,
}

impl<B: Broker> Telling<B> {
    /// A node says so often in a lease that it is there: three words of four may be lost.
    const WORDS_PER_LEASE: u32 = 4;

    /// `None`: another bridge has the queue.
    pub(crate) fn new(
        node: ClusterNode,
        broker: Arc<B>,
        counters: Vec<Arc<ShardCounters>>,
        lease: Duration,
    ) -> Option<Telling<B>> {
        let news = node.view.take_to_tell()?;
        let link = broker.link();
        Some(Telling {
            node,
            broker,
            counters,
            news,
            link,
            every: lease / Self::WORDS_PER_LEASE,
        })
    }

    /// Runs until the adapter is gone.
    pub(crate) async fn run(mut self) {
        let mut ticks = interval_at(Instant::now(), self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.follow_link();
        let view = self.node.view.clone();
        loop {
            tokio::select! {
                biased;
                changed = self.link.changed() => match changed {
                    Ok(()) => {
                        self.follow_link();
                        self.tell(&self.alive()).await;
                    }
                    Err(_) => return,
                },
                () = view.met.notified() => self.ask_for_refusals().await,
                Some(news) = self.news.recv() => self.tell(&news).await,
                _ = ticks.tick() => {
                    self.tell(&self.alive()).await;
                    self.ask_for_refusals().await;
                    self.expire();
                }
            }
        }
    }

    fn follow_link(&mut self) {
        let is_connected = match self.link.borrow_and_update().connected {
            true => IsConnected::Yes,
            false => IsConnected::No,
        };
        self.node.view.connected(is_connected);
        if is_connected == IsConnected::Yes {
            self.node.view.set_behind(IsBehind::Yes);
        }
    }

    /// Asks another node for the bans and revocations that were said while this one did not hear,
    /// until one has answered.
    async fn ask_for_refusals(&self) {
        if let Some(to) = self.node.view.whom_to_ask_for_refusals() {
            let question = NodeCall {
                call: NodeCall::REFUSALS.to_owned(),
                body: serde_json::json!({ "by": self.node.run }),
                to: Some(to),
            };
            self.tell(&NodeNews::Call(question)).await;
        }
    }

    fn expire(&self) {
        let (known, gone) = self.node.view.expire();
        let counts = &self.node.counts;
        counts.set(BridgeCount::Nodes, known as u64 + 1);
        counts.add(BridgeCount::NodesExpired, gone as u64);
    }

    fn alive(&self) -> NodeNews {
        let sum = |of: fn(&ShardCounters) -> u64| {
            let shards = self.counters.iter();
            shards.map(|shard| of(shard)).sum()
        };
        NodeNews::Alive(NodeFacts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            connections: sum(|shard| shard.connections.get()),
            rooms: sum(|shard| shard.rooms_home.get()),
            users: sum(|shard| shard.users_home.get()),
            knows_all: self.node.view.says_to_know_all(),
        })
    }

    async fn tell(&self, news: &NodeNews) {
        self.node.view.says();
        tell(&self.node, &*self.broker, news).await;
    }
}

/// Tells all nodes something. What is lost on the way is counted by nobody: the next word says
/// more.
pub(crate) async fn tell(node: &ClusterNode, broker: &impl Broker, news: &NodeNews) {
    let Ok(text) = serde_json::to_string(news) else {
        return;
    };
    let Some(word) = to_all_nodes(node, Data::Text(&text)) else {
        return;
    };
    // Without a connection nobody hears; the node says it again once there is one.
    let _lost = broker.publish(&[word]).await;
}

/// What a node says of itself to all nodes. `None`: it is too long.
pub(crate) fn to_all_nodes(node: &ClusterNode, data: Data<'_>) -> Option<Outbound> {
    let envelope = Envelope {
        place: None,
        id: MessageId {
            run: node.run,
            number: 0,
        },
        recipient: Recipient::Nodes,
        body: Body::State { node: &node.name },
        key: "",
        conflate: "",
        data,
        encoding: DataEncoding::default(),
    };
    Some(Outbound {
        subject: Subject::Nodes,
        payload: envelope.write()?.into(),
    })
}
