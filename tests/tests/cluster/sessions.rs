//! Sessions that outlive their node: who has lost a connection goes on at any node, when its own
//! has died, too, and of all connections that want one session one gets it.

use crate::broker::Kind;
use crate::cluster::{Cluster, NODES};
use crate::node::Node;
use crate::people::ASK_AGAIN;
use crate::present::Desk;
use crate::scene::{on_each_broker, until};
use serde_json::{Value, json};
use shardcast_tests::Client;
use std::net::SocketAddr;
use std::thread;

const PLAIN: &str = "plain:room";
const SEEN: &str = "seen:room";
const ORDERED: &str = "ordered:room";
/// Sessions that several want at the same time.
const RACES: usize = 12;

fn start(kind: Kind, desk: &Desk) -> Cluster {
    let lines = format!(
        "sessions = \"broker\"\npresence_lease = \"2s\"\nstreams = 1\n[sessions]\nresume = \"60s\"\n\
         [namespaces.plain]\n[namespaces.seen]\npresence_events = true\npresence_grace = \"0s\"\n\
         [namespaces.ordered]\nhistory = 100\norder = \"broker\"\n{}",
        desk.auth()
    );
    Cluster::start_with(kind, NODES, &lines)
}

/// A client, and what it was welcomed with.
struct Visitor {
    client: Client,
    /// What its node calls it.
    id: String,
    token: String,
}

impl Visitor {
    #[track_caller]
    fn arrive(node: &Node, user: Option<&str>) -> Visitor {
        let visitor = Visitor::arrive_at(node.address(), user);
        let (id, name, token) = (&visitor.id, &node.name, &visitor.token);
        assert!(token.starts_with(&format!("{id}@{name}-")), "{token}");
        visitor
    }

    #[track_caller]
    fn arrive_at(address: SocketAddr, user: Option<&str>) -> Visitor {
        let path = match user {
            Some(token) => format!("/ws?token={token}"),
            None => "/ws".to_owned(),
        };
        let mut client = Client::asking(address, &path, "shardcast.v1");
        let welcome: Value = serde_json::from_str(&client.hear()).expect("JSON");
        let text = |key: &str| welcome[key].as_str().expect("a text").to_owned();
        let (id, token) = (text("connection"), text("resume"));
        Visitor { client, id, token }
    }

    #[track_caller]
    fn ask(&mut self, question: &Value) -> Value {
        let (answer, _) = self.ask_among(question);
        answer
    }

    /// The answer, and what was heard before it.
    #[track_caller]
    fn ask_among(&mut self, question: &Value) -> (Value, Vec<Value>) {
        let mut others = Vec::new();
        self.client.say(&question.to_string());
        loop {
            let heard: Value = serde_json::from_str(&self.client.hear()).expect("JSON");
            if heard["id"] == question["id"] {
                return (heard, others);
            }
            others.push(heard);
        }
    }

    /// Joins a room at its node, and waits until the broker's copy of the session has it.
    async fn join(&mut self, node: &Node, mut join: Value) -> Value {
        let before = saved(node);
        join["type"] = "join_room".into();
        join["id"] = "join".into();
        let joined = self.ask(&join);
        assert_eq!(joined["type"], "joined", "{joined}");
        until("the session is copied", || saved(node) > before).await;
        joined
    }

    #[track_caller]
    fn resume(&mut self, token: &str) -> Value {
        self.ask(&json!({"type": "resume", "id": "resume", "token": token}))
    }

    /// Nobody goes on with this by this connection.
    #[track_caller]
    fn is_refused(&mut self, token: &str, code: &str) {
        let answer = self.resume(token);
        assert_eq!(
            (&answer["type"], &answer["code"]),
            (&"error".into(), &code.into())
        );
    }
}

/// Copies that the broker has taken of a node.
fn saved(node: &Node) -> u64 {
    node.metric("cluster_sessions_saved_total")
}

/// A client of a node, once the broker has a copy of its session. Nobody else comes to the node
/// meanwhile.
async fn arrive(node: &Node, user: Option<&str>) -> Visitor {
    let before = saved(node);
    let visitor = Visitor::arrive(node, user);
    until("the session is copied", || saved(node) > before).await;
    visitor
}

/// How many are in a room, at all nodes.
fn members(node: &Node, room: &str) -> u64 {
    thread::sleep(ASK_AGAIN);
    let (status, body) = node.served().ask(&format!("/api/rooms/{room}"));
    let room: Value = serde_json::from_str(&body).expect("JSON");
    match status {
        200 => room["members"].as_u64().expect("a number"),
        _ => 0,
    }
}

/// What came of a room.
#[track_caller]
fn of<'r>(resumed: &'r Value, room: &str) -> &'r Value {
    assert_eq!(resumed["type"], "resumed", "{resumed}");
    let rooms = resumed["rooms"].as_array().expect("rooms");
    let its = rooms.iter().find(|it| it["room"] == room);
    its.unwrap_or_else(|| panic!("{room} is not in {resumed}"))
}

/// One in three rooms at the first node loses its connection, or its node, and goes on at another.
async fn goes_on(cluster: &mut Cluster, user: Option<&str>, dies: bool) {
    let mut speaker = Visitor::arrive(&cluster.nodes[2], None);
    let mut visitor = arrive(&cluster.nodes[0], user).await;
    let node = &cluster.nodes[0];
    visitor.join(node, json!({"room": PLAIN})).await;
    let mood = json!({"mood": 7});
    visitor
        .join(node, json!({"room": SEEN, "presence": mood}))
        .await;
    let joined = visitor.join(node, json!({"room": ORDERED})).await;
    let since = json!({ORDERED: {"epoch": joined["epoch"], "offset": joined["offset"]}});
    let Visitor { client, id, token } = visitor;
    match dies {
        true => cluster.nodes[0].kill(),
        false => drop(client),
    }
    let said = json!({"type": "broadcast", "id": 1, "room": ORDERED, "data": "missed"});
    assert_eq!(speaker.ask(&said)["type"], "ack");
    let mut next = Visitor::arrive(&cluster.nodes[1], user);
    let question = json!({"type": "resume", "id": "resume", "token": token, "since": since});
    let (resumed, mut heard) = next.ask_among(&question);
    assert_eq!(resumed["previous"], id.as_str(), "{resumed}");
    assert_eq!(of(&resumed, PLAIN)["reason"], "no_history");
    assert_eq!(of(&resumed, SEEN)["reason"], "no_history");
    assert_eq!(of(&resumed, ORDERED)["recovered"], true);
    while heard.iter().all(|it| it["data"] != "missed") {
        heard.push(serde_json::from_str(&next.client.hear()).expect("JSON"));
    }
    let present = next.ask(&json!({"type": "presence", "id": 2, "room": SEEN, "limit": 9}));
    let own = present["members"].as_array().expect("members");
    let own = own.iter().find(|it| it["connection"] == next.id.as_str());
    assert_eq!(own.map(|it| &it["data"]), Some(&mood), "{present}");
    for node in cluster.nodes.iter().filter(|node| node.is_running()) {
        Visitor::arrive(node, user).is_refused(&token, "no_session");
    }
}

fn of_each_sort(user: bool, dies: bool) {
    on_each_broker(async |kind: Kind| {
        let desk = Desk::new();
        let user = user.then(|| desk.token("ann"));
        let mut cluster = start(kind, &desk);
        goes_on(&mut cluster, user.as_deref(), dies).await;
    });
}

#[test]
fn who_has_lost_a_connection_goes_on_at_another_node() {
    of_each_sort(false, false);
}

#[test]
fn who_has_lost_a_node_goes_on_at_another_one() {
    of_each_sort(false, true);
}

#[test]
fn a_user_who_has_lost_a_node_goes_on_at_another_one() {
    of_each_sort(true, true);
}

#[test]
fn whose_session_it_is_a_token_has_to_say_again() {
    on_each_broker(async |kind: Kind| {
        let desk = Desk::new();
        let cluster = start(kind, &desk);
        let (ann, bob) = (desk.token("ann"), desk.token("bob"));
        let Visitor { client, token, .. } = arrive(&cluster.nodes[0], Some(&ann)).await;
        drop(client);
        Visitor::arrive(&cluster.nodes[1], None).is_refused(&token, "no_session");
        Visitor::arrive(&cluster.nodes[1], Some(&bob)).is_refused(&token, "no_session");
        let mut next = Visitor::arrive(&cluster.nodes[1], Some(&ann));
        assert_eq!(next.resume(&token)["user"], "ann");
    });
}

#[test]
fn a_connection_that_only_seems_to_be_there_is_closed_at_its_node() {
    on_each_broker(async |kind: Kind| {
        let desk = Desk::new();
        let cluster = start(kind, &desk);
        let mut visitor = arrive(&cluster.nodes[0], None).await;
        visitor
            .join(&cluster.nodes[0], json!({"room": PLAIN}))
            .await;
        let mut next = arrive(&cluster.nodes[1], None).await;
        let before = saved(&cluster.nodes[1]);
        let resumed = next.resume(&visitor.token);
        of(&resumed, PLAIN);
        assert_eq!(visitor.client.closed().0, 4021);
        until("it has left its room", || {
            members(&cluster.nodes[2], PLAIN) == 1
        })
        .await;
        // Its successor's session goes on in turn.
        until("that is copied, too", || saved(&cluster.nodes[1]) > before).await;
        drop(next.client);
        let mut last = Visitor::arrive(&cluster.nodes[2], None);
        of(&last.resume(&next.token), PLAIN);
    });
}

#[test]
fn who_has_said_goodbye_has_no_session_anywhere() {
    on_each_broker(async |kind: Kind| {
        let desk = Desk::new();
        let cluster = start(kind, &desk);
        let Visitor { client, token, .. } = arrive(&cluster.nodes[0], None).await;
        let before = saved(&cluster.nodes[0]);
        client.leave();
        until("the broker knows it", || saved(&cluster.nodes[0]) > before).await;
        for node in &cluster.nodes {
            Visitor::arrive(node, None).is_refused(&token, "no_session");
        }
    });
}

/// All of these want one session at the same time: how many get it.
fn race(nodes: &[SocketAddr], token: &str) -> usize {
    thread::scope(|scope| {
        let runners = nodes.iter().map(|node| {
            scope.spawn(move || {
                let mut visitor = Visitor::arrive_at(*node, None);
                let answer = visitor.resume(token);
                match answer["type"].as_str() {
                    Some("resumed") => 1,
                    _ => {
                        assert_eq!(answer["code"], "no_session", "{answer}");
                        0
                    }
                }
            })
        });
        let runners: Vec<_> = runners.collect();
        let results = runners.into_iter().map(|runner| runner.join());
        results.map(|result| result.expect("it is answered")).sum()
    })
}

#[test]
fn of_all_who_want_a_session_one_gets_it() {
    on_each_broker(async |kind: Kind| {
        let desk = Desk::new();
        let mut cluster = start(kind, &desk);
        let mut tokens = Vec::new();
        for _ in 0..RACES {
            let visitor = arrive(&cluster.nodes[0], None).await;
            tokens.push(visitor);
        }
        // Half of them while the node that has it is there, with the connection or without.
        for (number, visitor) in tokens.drain(..RACES / 2).enumerate() {
            let Visitor { client, token, .. } = visitor;
            let _open = (number % 2 == 0).then_some(client);
            let all = cluster.nodes.iter().chain(&cluster.nodes[1..]);
            let all: Vec<SocketAddr> = all.map(Node::address).collect();
            assert_eq!(race(&all, &token), 1, "{token}");
        }
        cluster.nodes[0].kill();
        for Visitor { token, .. } in tokens {
            let others = cluster.nodes[1..].iter().chain(&cluster.nodes[1..]);
            let others: Vec<SocketAddr> = others.map(Node::address).collect();
            assert_eq!(race(&others, &token), 1, "{token}");
        }
    });
}

#[test]
fn without_a_broker_a_node_has_its_own_sessions() {
    on_each_broker(async |kind: Kind| {
        let desk = Desk::new();
        let mut cluster = start(kind, &desk);
        let visitor = arrive(&cluster.nodes[0], None).await;
        cluster.broker.kill();
        until("all nodes know it", || {
            cluster.nodes.iter().all(|node| !node.is_connected())
        })
        .await;
        drop(visitor.client);
        Visitor::arrive(&cluster.nodes[1], None).is_refused(&visitor.token, "unavailable");
        let mut next = Visitor::arrive(&cluster.nodes[0], None);
        assert_eq!(next.resume(&visitor.token)["type"], "resumed");
        let before = saved(&cluster.nodes[0]);
        cluster.broker.restart();
        until("all nodes are back", || {
            cluster.nodes.iter().all(Node::is_connected)
        })
        .await;
        // It hears that one session has gone on, and of the one that stands for it.
        until("the broker has been told", || {
            saved(&cluster.nodes[0]) >= before + 2
        })
        .await;
        Visitor::arrive(&cluster.nodes[1], None).is_refused(&visitor.token, "no_session");
        drop(next.client);
        let mut last = Visitor::arrive(&cluster.nodes[1], None);
        assert_eq!(last.resume(&next.token)["type"], "resumed");
    });
}
