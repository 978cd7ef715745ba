//! Who is present: rooms that keep presence know their members at all nodes, and tell of them,
//! through the death of a node, a deployment and a broker that goes away.

use crate::broker::Kind;
use crate::cluster::{Cluster, NODES};
use crate::node::Node;
use crate::people::{ASK_AGAIN, three_know};
use crate::scene::{on_each_broker, until};
use serde_json::{Value, json};
use shardcast_patience::Program;
use shardcast_tests::Client;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

const SECRET: &str = "a-secret-of-tests-0123456789abcdef";

/// Tokens for users, and nodes that take them.
pub(crate) struct Desk(PathBuf);

impl Desk {
    pub(crate) fn new() -> Desk {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let folder = format!("shardcast-present-{made}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        std::fs::write(folder.join("secret"), SECRET).expect("a writable folder");
        Desk(folder)
    }

    pub(crate) fn auth(&self) -> String {
        format!(
            "[auth]\ntokens = \"optional\"\n[auth.keys.shared]\nalgorithm = \"HS256\"\n\
             secret_file = '{}'\n",
            self.0.join("secret").display()
        )
    }

    fn cluster(&self, kind: Kind) -> Cluster {
        let lines = format!(
            "presence_lease = \"2s\"\n[namespaces.plain]\n[namespaces.seen]\n\
             presence_events = true\npresence_grace = \"0s\"\n[namespaces.people]\n\
             presence_events = true\npresence_grace = \"0s\"\npresence_of = \"users\"\n{}",
            self.auth()
        );
        Cluster::start_with(kind, NODES, &lines)
    }

    pub(crate) fn token(&self, user: &str) -> String {
        let path = self.0.join("tokens.toml");
        std::fs::write(&path, self.auth()).expect("a writable folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_served"));
        command.args(["gen-token", "--ttl", "1h", "--user", user, "--config"]);
        let ended = Program::start(command.arg(&path)).end();
        assert_eq!(ended.code, Some(0), "{}", ended.errors);
        ended.printed.trim().to_owned()
    }

    /// A client of a node that is this user, in a room.
    fn enter(&self, node: &Node, user: Option<&str>, room: &str) -> Present {
        let token = user.map(|user| format!("?token={}", self.token(user)));
        let path = format!("/ws{}", token.unwrap_or_default());
        let mut client = Client::asking(node.address(), &path, "shardcast.v1");
        let welcome = hear(&mut client);
        assert_eq!(welcome["type"], "welcome");
        let id = welcome["connection"].as_str().expect("an id");
        let id = format!("{id}@{}", node.name);
        client.say(&json!({"type": "join_room", "id": 1, "room": room}).to_string());
        assert_eq!(hear(&mut client)["type"], "joined");
        Present { client, id }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A client in a room.
struct Present {
    client: Client,
    /// As other nodes are told of it.
    id: String,
}

impl Present {
    /// The next event of presence: what, and who.
    #[track_caller]
    fn told(&mut self) -> (String, String) {
        let heard = hear(&mut self.client);
        assert_eq!(heard["type"], "presence", "{heard}");
        let text = |key: &str| heard[key].as_str().unwrap_or_default().to_owned();
        let who = match heard.get("connection") {
            Some(_) => text("connection"),
            None => text("user"),
        };
        (text("event"), who)
    }

    #[track_caller]
    fn expect(&mut self, event: &str, who: &str) {
        assert_eq!(self.told(), (event.to_owned(), who.to_owned()));
    }

    /// Who is in the room, as its members are told, page by page.
    fn sees(&mut self, room: &str) -> BTreeSet<String> {
        let (mut seen, mut cursor) = (BTreeSet::new(), Value::Null);
        loop {
            let mut ask = json!({"type": "presence", "id": 2, "room": room, "limit": 1});
            if !cursor.is_null() {
                ask["cursor"] = cursor;
            }
            let answer: Value =
                serde_json::from_str(&self.client.ask(&ask.to_string())).expect("JSON");
            for member in answer["members"].as_array().expect("members") {
                let who = member.get("connection").unwrap_or(&member["user"]);
                assert!(
                    seen.insert(who.as_str().expect("a name").to_owned()),
                    "{answer}"
                );
            }
            cursor = answer["cursor"].clone();
            if cursor.is_null() {
                assert_eq!(answer["total"], seen.len());
                return seen;
            }
        }
    }
}

#[track_caller]
fn hear(client: &mut Client) -> Value {
    serde_json::from_str(&client.hear()).expect("JSON")
}

/// Who is in a room as an operator is told, by whole names.
fn listed(node: &Node, room: &str) -> BTreeMap<String, String> {
    let (mut listed, mut cursor) = (BTreeMap::new(), Value::Null);
    loop {
        std::thread::sleep(ASK_AGAIN);
        let mut ask = json!({"room": room, "limit": 2});
        if !cursor.is_null() {
            ask["cursor"] = cursor;
        }
        let (status, body) = node.served().call("/api/presence", &ask.to_string());
        assert_eq!(status, 200, "{body}");
        let page: Value = serde_json::from_str(&body).expect("JSON");
        for member in page["members"].as_array().expect("members") {
            let who = member.get("connection").unwrap_or(&member["user"]);
            let who = who.as_str().expect("a name");
            let who = match member.get("connection") {
                Some(_) if !who.contains('@') => format!("{who}@{}", node.name),
                _ => who.to_owned(),
            };
            let state = member["state"].as_str().expect("a state").to_owned();
            assert_eq!(listed.insert(who, state), None, "{page}");
        }
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            return listed;
        }
    }
}

async fn all_list(what: &str, cluster: &Cluster, room: &str, present: &[&Present]) {
    let here = |it: &&Present| (it.id.clone(), "here".to_owned());
    let expected: BTreeMap<String, String> = present.iter().map(here).collect();
    let running = || cluster.nodes.iter().filter(|node| node.is_running());
    until(what, || {
        running().all(|node| listed(node, room) == expected)
    })
    .await;
}

#[test]
fn members_at_all_nodes_see_each_other_and_who_dies_is_gone() {
    on_each_broker(async |kind: Kind| {
        let desk = Desk::new();
        let mut cluster = desk.cluster(kind);
        three_know(&cluster).await;
        const ROOM: &str = "seen:room";
        let mut a = desk.enter(&cluster.nodes[0], None, ROOM);
        let b = desk.enter(&cluster.nodes[1], Some("ann"), ROOM);
        a.expect("join", &b.id);
        let c = desk.enter(&cluster.nodes[2], None, ROOM);
        a.expect("join", &c.id);
        all_list("all nodes list all three", &cluster, ROOM, &[&a, &b, &c]).await;
        let own = a.id.split('@').next().expect("an id").to_owned();
        assert_eq!(a.sees(ROOM), [own, b.id.clone(), c.id.clone()].into());
        // One that leaves has left at once, one whose node dies when the lease is over.
        let (b_id, c_id) = (b.id.clone(), c.id.clone());
        drop(b);
        a.expect("leave", &b_id);
        cluster.nodes[2].kill();
        a.expect("leave", &c_id);
        all_list("nobody else has gone", &cluster, ROOM, &[&a]).await;
        assert_eq!(cluster.nodes[0].metric("cluster_nodes_expired_total"), 1);
        // A node that starts later knows whom it never saw come.
        cluster.nodes[2].restart();
        all_list("it knows who is there", &cluster, ROOM, &[&a]).await;
        let mut late = desk.enter(&cluster.nodes[2], None, ROOM);
        a.expect("join", &late.id);
        assert!(late.sees(ROOM).contains(&a.id));
    });
}

#[test]
fn a_user_at_two_nodes_is_one_member() {
    on_each_broker(async |kind: Kind| {
        let desk = Desk::new();
        let mut cluster = desk.cluster(kind);
        three_know(&cluster).await;
        const ROOM: &str = "people:room";
        let mut watcher = desk.enter(&cluster.nodes[0], Some("joe"), ROOM);
        let first = desk.enter(&cluster.nodes[1], Some("ann"), ROOM);
        watcher.expect("join", "ann");
        let second = desk.enter(&cluster.nodes[2], Some("ann"), ROOM);
        let third = desk.enter(&cluster.nodes[0], Some("ann"), ROOM);
        let counts = |node: &Node, connections: u64| {
            std::thread::sleep(ASK_AGAIN);
            let (_, body) = node.served().ask("/api/users/ann");
            let user: Value = serde_json::from_str(&body).expect("JSON");
            user["connections"] == connections
        };
        until("all nodes know her connections", || {
            cluster.nodes.iter().all(|node| counts(node, 3))
        })
        .await;
        drop(first);
        cluster.nodes[2].kill();
        until("one is left", || counts(&cluster.nodes[0], 1)).await;
        drop(second);
        assert_eq!(
            watcher.sees(ROOM),
            ["ann".to_owned(), "joe".to_owned()].into()
        );
        drop(third);
        // That she left is the first that was told of her since she came.
        watcher.expect("leave", "ann");
    });
}

#[test]
fn deployments_and_restarts_of_the_broker_leave_no_ghosts() {
    on_each_broker(async |kind: Kind| {
        let desk = Desk::new();
        let mut cluster = desk.cluster(kind);
        three_know(&cluster).await;
        const ROOM: &str = "seen:room";
        let mut there = BTreeMap::new();
        for node in 0..NODES {
            there.insert(node, desk.enter(&cluster.nodes[node], None, ROOM));
        }
        for node in 0..NODES {
            // It drains: its members leave, and are told of nowhere when it is gone.
            there.remove(&node);
            cluster.nodes[node].terminate();
            let left: Vec<&Present> = there.values().collect();
            all_list("who was at it is gone", &cluster, ROOM, &left).await;
            cluster.nodes[node].restart();
            there.insert(node, desk.enter(&cluster.nodes[node], None, ROOM));
        }
        let all: Vec<&Present> = there.values().collect();
        all_list("all are there again", &cluster, ROOM, &all).await;
        cluster.broker.kill();
        until("all nodes have noticed", || {
            cluster.nodes.iter().all(|node| !node.is_connected())
        })
        .await;
        there.remove(&1);
        let late = desk.enter(&cluster.nodes[0], None, ROOM);
        cluster.broker.restart();
        let mut all: Vec<&Present> = there.values().collect();
        all.push(&late);
        all_list("who came and went meanwhile is known", &cluster, ROOM, &all).await;
    });
}
