//! Who is where: the numbers and lists of one node hold for all of them, through the death of a
//! node, a deployment and a broker that goes away.

use crate::broker::Kind;
use crate::cluster::{Cluster, Fault, NODES};
use crate::crowd::Listener;
use crate::node::Node;
use crate::scene::{on_each_broker, until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Short, so that the death of a node is seen soon.
const LEASE: &str = "presence_lease = \"2s\"\n";
/// Items of a page: few, so that there are several pages.
const PAGE: usize = 2;
/// Between two questions to an admin port.
pub(crate) const ASK_AGAIN: Duration = Duration::from_millis(20);

type Rooms = BTreeMap<String, u64>;

fn get(node: &Node, path: &str) -> Value {
    std::thread::sleep(ASK_AGAIN);
    let (status, body) = node.served().ask(path);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

/// All rooms as a node lists them, page by page. `None`: it says that it does not know all.
fn rooms(node: &Node) -> Option<Rooms> {
    let (mut rooms, mut cursor) = (Rooms::new(), String::new());
    loop {
        let page = get(node, &format!("/api/rooms?limit={PAGE}{cursor}"));
        if page.get("partial").is_some() {
            return None;
        }
        for item in page["rooms"].as_array().expect("rooms") {
            let room = item["room"].as_str().expect("a name").to_owned();
            let members = item["members"].as_u64().expect("a number");
            let before = rooms.insert(room, members);
            assert_eq!(before, None, "no room stands twice in a list");
        }
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Some(rooms),
        }
    }
}

/// Listeners in rooms, by the node at which they are.
#[derive(Default)]
struct People(Vec<(usize, &'static str, Listener)>);

impl People {
    /// More of them, so many at each node in turn.
    async fn join(&mut self, cluster: &Cluster, room: &'static str, at: [usize; NODES]) {
        for (node, count) in at.into_iter().enumerate() {
            for _ in 0..count {
                let node_there = &cluster.nodes[node];
                let listener = Listener::join(&node_there.name, &node_there.url(), room).await;
                self.0.push((node, room, listener));
            }
        }
    }

    /// Those at a node go, all or one.
    fn leave(&mut self, node: usize, room: &str) {
        let first = self.0.iter().position(|it| (it.0, it.1) == (node, room));
        self.0.remove(first.expect("somebody is there"));
    }

    fn expected(&self, is_there: impl Fn(usize) -> bool) -> Rooms {
        let mut rooms = Rooms::new();
        for (_, room, _) in self.0.iter().filter(|(node, _, _)| is_there(*node)) {
            *rooms.entry((*room).to_owned()).or_default() += 1;
        }
        rooms
    }

    /// Waits until all running nodes list what there is, and nothing else.
    async fn are_known(&self, what: &str, cluster: &Cluster) {
        let expected = self.expected(|node| cluster.nodes[node].is_running());
        let running = || cluster.nodes.iter().filter(|node| node.is_running());
        until(what, || {
            running().all(|node| rooms(node).as_ref() == Some(&expected))
        })
        .await;
    }
}

/// Waits until all nodes know that they know all, and nobody is there yet.
pub(crate) async fn three_know(cluster: &Cluster) {
    People::default()
        .are_known("all nodes know each other", cluster)
        .await;
}

async fn three_nodes(kind: Kind) -> (Cluster, People) {
    let cluster = Cluster::start_with(kind, NODES, LEASE);
    let mut people = People::default();
    people.join(&cluster, "plain:all", [2, 1, 3]).await;
    people.join(&cluster, "plain:first", [1, 0, 0]).await;
    people.join(&cluster, "plain:last", [0, 0, 2]).await;
    people.join(&cluster, "plain:two", [0, 1, 1]).await;
    people.are_known("all know all", &cluster).await;
    (cluster, people)
}

#[test]
fn every_node_answers_for_all() {
    on_each_broker(async |kind: Kind| {
        let (cluster, mut people) = three_nodes(kind).await;
        for node in &cluster.nodes {
            let room = get(node, "/api/rooms/plain:all");
            let by_node = serde_json::json!({"node-0": 2, "node-1": 1, "node-2": 3});
            assert_eq!((&room["members"], &room["nodes"]), (&6.into(), &by_node));
            let begins = get(node, "/api/rooms?prefix=plain:t");
            assert_eq!(begins["rooms"][0]["room"], "plain:two");
            assert_eq!(begins["rooms"].as_array().map(Vec::len), Some(1));
            let listed = get(node, "/api/connections");
            assert_eq!(listed["node"], node.name.as_str());
            let nobody = get(node, "/api/users/nobody");
            assert_eq!(
                (&nobody["connections"], &nobody["nodes"]),
                (&0.into(), &serde_json::json!({}))
            );
        }
        people.leave(2, "plain:all");
        people.leave(0, "plain:first");
        people
            .are_known("who leaves is gone everywhere", &cluster)
            .await;
        let missed: u64 = cluster
            .nodes
            .iter()
            .map(|node| node.metric("cluster_shares_refused_total"))
            .sum();
        assert_eq!(missed, 0, "all of it has found room");
    });
}

#[test]
fn the_members_of_a_dead_node_go_with_its_lease_and_nobody_else() {
    on_each_broker(async |kind: Kind| {
        let (mut cluster, people) = three_nodes(kind).await;
        let before = people.expected(|_| true);
        let after = people.expected(|node| node != 2);
        cluster.nodes[2].kill();
        // Until the lease is over they are believed to be there; then they go, while one pages.
        let is_one_of_both = |rooms: &Rooms, room: &str| {
            let of = |rooms: &Rooms| rooms.get(room).copied();
            of(rooms) == of(&before) || of(rooms) == of(&after)
        };
        until("who was there is gone", || {
            let seen: Vec<_> = cluster.nodes[..2].iter().filter_map(rooms).collect();
            for rooms in &seen {
                let is_as_it_was = before.keys().all(|room| is_one_of_both(rooms, room));
                assert!(is_as_it_was, "somebody else has gone: {rooms:?}");
            }
            seen.len() == 2 && seen.iter().all(|rooms| *rooms == after)
        })
        .await;
        let expired = |node: &Node| node.metric("cluster_nodes_expired_total");
        assert!(cluster.nodes[..2].iter().all(|node| expired(node) == 1));
        // It comes back, and its clients with it.
        cluster.nodes[2].restart();
        people.are_known("all are back", &cluster).await;
    });
}

#[test]
fn a_deployment_leaves_no_ghosts() {
    on_each_broker(async |kind: Kind| {
        let (mut cluster, people) = three_nodes(kind).await;
        for node in 0..NODES {
            cluster.nodes[node].terminate();
            people.are_known("who has left is gone", &cluster).await;
            cluster.nodes[node].restart();
        }
        people.are_known("all are back", &cluster).await;
        // Nobody had to wait for a lease.
        let last = &cluster.nodes[NODES - 1];
        assert_eq!(last.metric("cluster_nodes_expired_total"), 0);
    });
}

#[test]
fn who_came_and_went_while_the_broker_was_away_is_known_when_it_is_back() {
    on_each_broker(async |kind: Kind| {
        let (mut cluster, mut people) = three_nodes(kind).await;
        cluster.broker.kill();
        until("all nodes have noticed", || {
            cluster.nodes.iter().all(|node| !node.is_connected())
        })
        .await;
        people.leave(2, "plain:all");
        people.leave(1, "plain:two");
        people.join(&cluster, "plain:new", [1, 1, 0]).await;
        cluster.broker.restart();
        people.are_known("all know all again", &cluster).await;
        for fault in [
            Fault::Cut(0, Duration::from_millis(300)),
            Fault::FreezeBroker(Duration::from_millis(300)),
        ] {
            people.leave(2, "plain:all");
            cluster.suffer(fault).await;
            people.are_known("all know all still", &cluster).await;
        }
    });
}
