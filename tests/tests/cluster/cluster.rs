//! A broker and its nodes, and what can be done to them.
//!
//! Invariant: whatever a fault did is over when [`Cluster::suffer`] returns. Used by scenarios.

use crate::broker::{Broker, Kind};
use crate::link::Weather;
use crate::node::Node;
use crate::place::Side;
use shardcast_patience::wait_until;
use std::time::Duration;
use tokio::time::sleep;

/// Nodes that are asked for most.
pub(crate) const NODES: usize = 3;

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) broker: Broker,
}

/// What goes wrong, and for how long; a node is meant by its place in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    KillNode(usize),
    /// Drained and started again.
    Deploy(usize),
    /// Its process stands still.
    FreezeNode(usize, Duration),
    KillBroker(Duration),
    /// Its process stands still.
    FreezeBroker(Duration),
    /// Nothing passes, and nobody is told.
    Silence(usize, Duration),
    /// The cable is pulled: packets are lost.
    Pull(usize, Duration),
    /// Reset, and refused.
    Cut(usize, Duration),
    /// Cut again and again, so many times.
    Flap(usize, u32),
    /// So much later, for so long.
    Slow(usize, Duration, Duration),
}

impl Fault {
    /// As it is counted.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::KillNode(_) => "node killed",
            Fault::Deploy(_) => "node deployed",
            Fault::FreezeNode(..) => "node frozen",
            Fault::KillBroker(_) => "broker killed",
            Fault::FreezeBroker(_) => "broker frozen",
            Fault::Silence(..) => "link silent",
            Fault::Pull(..) => "link pulled",
            Fault::Cut(..) => "link cut",
            Fault::Flap(..) => "link flapping",
            Fault::Slow(..) => "link slow",
        }
    }
}

impl Cluster {
    /// Starts a broker and so many nodes.
    pub(crate) fn start(kind: Kind, nodes: usize) -> Cluster {
        Cluster::start_with(kind, nodes, "")
    }

    /// The same with further lines of `[cluster]`.
    pub(crate) fn start_with(kind: Kind, nodes: usize, more: &str) -> Cluster {
        let broker = Broker::start(kind);
        let name = kind.name();
        let lines = format!(
            "broker = \"{name}\"\nurl = \"{name}://{{broker}}\"\nprefix = \"test\"\n\
             linger = \"1s\"\n{more}"
        );
        let nodes = (0..nodes)
            .map(|number| Node::start(&format!("node-{number}"), broker.address(), &lines));
        let cluster = Cluster {
            nodes: nodes.collect(),
            broker,
        };
        for node in &cluster.nodes {
            wait_until("the node reaches its broker", || node.is_connected());
        }
        cluster
    }

    /// Where clients of each node connect.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Node::url).collect()
    }

    /// Lets a fault come and go. The durations are how long it lasts, not how long anything is
    /// waited for.
    pub(crate) async fn suffer(&mut self, fault: Fault) {
        match fault {
            Fault::KillNode(node) => {
                self.nodes[node].kill();
                self.nodes[node].restart();
            }
            Fault::Deploy(node) => {
                self.nodes[node].terminate();
                self.nodes[node].restart();
            }
            Fault::FreezeNode(node, span) => {
                self.nodes[node].served().freeze();
                sleep(span).await;
                self.nodes[node].served().thaw();
            }
            Fault::KillBroker(span) => {
                self.broker.kill();
                sleep(span).await;
                self.broker.restart();
            }
            Fault::FreezeBroker(span) => {
                self.broker.freeze();
                sleep(span).await;
                self.broker.thaw();
            }
            Fault::Silence(node, span) => self.weather(node, Weather::Silent, span).await,
            Fault::Cut(node, span) => self.weather(node, Weather::Cut, span).await,
            Fault::Slow(node, later, span) => {
                self.weather(node, Weather::Slow(later), span).await;
            }
            Fault::Pull(node, span) => {
                // Without a cable the link is silenced instead, which the first place has said.
                let place = &self.nodes[node].place;
                if place.pull(Side::Back) {
                    sleep(span).await;
                    place.plug(Side::Back);
                } else {
                    self.weather(node, Weather::Silent, span).await;
                }
            }
            Fault::Flap(node, times) => {
                let span = Duration::from_millis(30);
                for _ in 0..times {
                    self.weather(node, Weather::Cut, span).await;
                    sleep(span).await;
                }
            }
        }
    }

    async fn weather(&self, node: usize, weather: Weather, span: Duration) {
        let link = &self.nodes[node].link;
        link.set(weather);
        sleep(span).await;
        link.set(Weather::Fair);
    }
}
