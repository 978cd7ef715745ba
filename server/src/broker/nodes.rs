//! The nodes of a cluster as one of them knows them: who says how much it does, and who has not
//! been heard for too long.
//!
//! Invariant: a node is known from its first word on, until it says that it leaves or its lease is
//! over. While there is no connection to the broker nobody's time runs, for silence means nothing
//! then. Each node measures with its own clock alone, so clocks need not agree. No clock here:
//! whoever calls says what time it is.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a node tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeFacts {
    pub(crate) version: String,
    pub(crate) connections: u64,
    /// With members.
    pub(crate) rooms: u64,
    /// With connections.
    pub(crate) users: u64,
    /// It has been there for a lease, and has known the shares of all others.
    #[serde(default)]
    pub(crate) knows_all: bool,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownNode {
    pub(crate) name: Box<str>,
    pub(crate) facts: NodeFacts,
    pub(crate) heard_ms: u64,
}

/// All others.
#[derive(Debug)]
pub(crate) struct Nodes {
    lease_ms: u64,
    /// By the number of their run.
    known: BTreeMap<u64, KnownNode>,
    /// There is a connection to the broker.
    is_connected: bool,
}

impl Nodes {
    /// Nodes that are known at a time; of more, nobody hears.
    pub(crate) const COUNT_MAX: usize = 1_024;
    /// Longest version that a node may tell.
    const VERSION_BYTES_MAX: usize = 64;

    pub(crate) fn new(lease_ms: u64) -> Nodes {
        Nodes {
            lease_ms,
            known: BTreeMap::new(),
            is_connected: false,
        }
    }

    /// A node says that it is there. `true`: it was not known.
    pub(crate) fn hear(&mut self, run: u64, name: &str, facts: NodeFacts, now_ms: u64) -> bool {
        let is_new = !self.known.contains_key(&run);
        let fits = facts.version.len() <= Self::VERSION_BYTES_MAX;
        if !fits || is_new && self.known.len() >= Self::COUNT_MAX {
            return false;
        }
        let node = KnownNode {
            name: name.into(),
            facts,
            heard_ms: now_ms,
        };
        self.known.insert(run, node);
        is_new
    }

    /// A node says that it leaves.
    pub(crate) fn leave(&mut self, run: u64) -> Option<KnownNode> {
        self.known.remove(&run)
    }

    /// The connection to the broker is lost, or there again: then everybody has a whole lease to
    /// be heard in.
    pub(crate) fn connected(&mut self, is_connected: IsConnected, now_ms: u64) {
        let is_connected = is_connected == IsConnected::Yes;
        if is_connected && !self.is_connected {
            let known = self.known.values_mut();
            known.for_each(|node| node.heard_ms = now_ms);
        }
        self.is_connected = is_connected;
    }

    /// Those whose lease is over.
    pub(crate) fn expire(&mut self, now_ms: u64) -> Vec<KnownNode> {
        if !self.is_connected {
            return Vec::new();
        }
        let lease_ms = self.lease_ms;
        let is_over = |node: &KnownNode| now_ms.saturating_sub(node.heard_ms) > lease_ms;
        let over = self.known.iter().filter(|(_, node)| is_over(node));
        let over: Vec<u64> = over.map(|(run, _)| *run).collect();
        over.iter()
            .filter_map(|run| self.known.remove(run))
            .collect()
    }

    /// Whether a node is known.
    pub(crate) fn knows(&self, run: u64) -> bool {
        self.known.contains_key(&run)
    }

    /// All that are known, by the numbers of their runs.
    pub(crate) fn by_run(&self) -> impl Iterator<Item = (u64, &KnownNode)> {
        self.known.iter().map(|(run, node)| (*run, node))
    }

    /// All that are known.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &KnownNode> {
        self.known.values()
    }
}

/// Whether there is a connection to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IsConnected {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(connections: u64) -> NodeFacts {
        NodeFacts {
            version: "1".to_owned(),
            connections,
            rooms: 0,
            users: 0,
            knows_all: false,
        }
    }

    fn names(nodes: &Nodes) -> Vec<&str> {
        nodes.iter().map(|node| &*node.name).collect()
    }

    #[test]
    fn a_silent_node_goes_with_its_lease_and_a_talking_one_stays() {
        let mut nodes = Nodes::new(100);
        nodes.connected(IsConnected::Yes, 0);
        assert!(nodes.hear(1, "a", facts(1), 0) && nodes.hear(2, "b", facts(2), 0));
        assert!(!nodes.hear(2, "b", facts(3), 90), "it is known");
        assert!(nodes.expire(100).is_empty());
        let gone = nodes.expire(101);
        assert_eq!(gone.len(), 1);
        assert_eq!((&*gone[0].name, names(&nodes)), ("a", vec!["b"]));
        assert_eq!(
            nodes.iter().next().map(|node| node.facts.connections),
            Some(3)
        );
        assert!(nodes.leave(2).is_some() && nodes.leave(2).is_none());
    }

    #[test]
    fn silence_means_nothing_without_a_connection() {
        let mut nodes = Nodes::new(100);
        nodes.connected(IsConnected::Yes, 0);
        nodes.hear(1, "a", facts(1), 0);
        nodes.connected(IsConnected::No, 50);
        assert!(nodes.expire(10_000).is_empty());
        nodes.connected(IsConnected::Yes, 10_000);
        assert!(nodes.expire(10_100).is_empty(), "it has a whole lease");
        assert_eq!(nodes.expire(10_101).len(), 1);
    }

    #[test]
    fn strangers_cannot_make_the_table_grow() {
        let mut nodes = Nodes::new(100);
        for run in 0..2 * Nodes::COUNT_MAX as u64 {
            nodes.hear(run, "x", facts(0), 0);
        }
        assert_eq!(nodes.iter().count(), Nodes::COUNT_MAX);
        assert!(!nodes.hear(0, "x", facts(7), 1), "who is known is heard on");
        assert_eq!(
            nodes.iter().next().map(|node| node.facts.connections),
            Some(7)
        );
    }

    /// Whoever talks within its lease is known, whoever has gone is forgotten within one, over
    /// seeds with lost words and broken connections.
    #[test]
    fn the_table_comes_to_be_who_is_there() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut nodes = Nodes::new(100);
            let mut now = 0;
            let mut connected = true;
            nodes.connected(IsConnected::Yes, 0);
            let mut there: Vec<u64> = (0..random.u64(1..6)).collect();
            for _ in 0..400 {
                now += 10;
                match random.u8(0..40) {
                    0 => there.retain(|_| random.bool()),
                    1 => there.push(random.u64(100..110)),
                    2 => {
                        connected = !connected;
                        let is = if connected {
                            IsConnected::Yes
                        } else {
                            IsConnected::No
                        };
                        nodes.connected(is, now);
                    }
                    _ => {}
                }
                for run in &there {
                    // Each says a word in a quarter of its lease, of which some are lost.
                    if connected && now % 20 == 0 && random.u8(0..4) > 0 {
                        nodes.hear(*run, "x", facts(0), now);
                    }
                }
                nodes.expire(now);
            }
            nodes.connected(IsConnected::Yes, now);
            for _ in 0..11 {
                now += 10;
                for run in &there {
                    nodes.hear(*run, "x", facts(0), now);
                }
                nodes.expire(now);
            }
            there.sort_unstable();
            there.dedup();
            let known: Vec<u64> = nodes.known.keys().copied().collect();
            assert_eq!(known, there, "seed {seed}");
        }
    }
}
