//! Three `shardcast serve` and one real Redis between them: what is said at one node is heard at
//! all, once and in order, and a broker that goes away takes nothing from a node's own clients.

#![forbid(unsafe_code)]

use shardcast_patience::{Program, leave_out, wait_until};
use shardcast_tests::{Raw, Served};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

/// What a node hears without any member: what is for everyone, and what nodes tell.
const OWN: u64 = 2;

/// Redis, running or not, at one address.
struct Redis {
    address: SocketAddr,
    program: Option<Program>,
}

impl Redis {
    /// `None`: this machine has none, which was said.
    fn start() -> Option<Redis> {
        let version = Command::new("redis-server").arg("--version").output();
        if version.is_err() {
            leave_out("clusters over redis-server, which is missing");
            return None;
        }
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = free.local_addr().expect("it listens");
        drop(free);
        let mut redis = Redis {
            address,
            program: None,
        };
        redis.restart();
        Some(redis)
    }

    fn kill(&mut self) {
        drop(self.program.take());
    }

    fn restart(&mut self) {
        self.kill();
        let port = self.address.port().to_string();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port]);
        command.args(["--save", "", "--appendonly", "no"]);
        self.program = Some(Program::start(&mut command));
        wait_until("the broker answers", || self.answers());
    }

    fn answers(&self) -> bool {
        let patience = Duration::from_secs(1);
        let Ok(mut socket) = TcpStream::connect_timeout(&self.address, patience) else {
            return false;
        };
        let timed = socket.set_read_timeout(Some(patience));
        let mut heard = [0; 5];
        timed.is_ok()
            && socket.write_all(b"PING\r\n").is_ok()
            && socket.read_exact(&mut heard).is_ok()
            && heard == *b"+PONG"
    }
}

fn node(redis: &Redis, name: &str) -> Served {
    let address = redis.address;
    let toml = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nshards = 2\npin = \"none\"\n\
         [cluster]\nbroker = \"redis\"\nurl = \"redis://{address}\"\nnode = \"{name}\"\nlinger = \"0s\"\npresence_lease = \"1s\"\n\
         [namespaces.kept]\nhistory = 100\n"
    );
    Served::start(env!("CARGO_BIN_EXE_served"), &toml)
}

fn nodes(redis: &Redis) -> [Served; 3] {
    let nodes = ["a", "b", "c"].map(|name| node(redis, name));
    for node in &nodes {
        await_subjects(node, OWN);
    }
    nodes
}

/// The node has subscribed to so many subjects that it still wants.
fn await_subjects(node: &Served, count: u64) {
    wait_until("the node hears what it wants", || {
        let told = node.metric("cluster_subscribes_total");
        let ended = node.metric("cluster_unsubscribes_total");
        node.metric("cluster_connected") == 1
            && node.metric("cluster_subjects") == count
            && told >= ended + count
    });
}

/// A client of the node, after its welcome.
fn client(node: &Served) -> Raw {
    let mut raw = Raw::connect_at(node.address("ws"));
    raw.upgrade();
    let welcome = raw.hear();
    assert!(welcome.contains(r#""type":"welcome""#), "{welcome}");
    raw
}

fn member(node: &Served, room: &str) -> Raw {
    let mut raw = client(node);
    raw.say(&format!(r#"{{"type":"join_room","id":1,"room":"{room}"}}"#));
    let joined = raw.hear();
    assert!(joined.contains(r#""type":"joined""#), "{joined}");
    raw
}

fn say(raw: &mut Raw, room: &str, data: &str) {
    raw.say(&format!(
        r#"{{"type":"broadcast","room":"{room}","data":{data}}}"#
    ));
}

/// The next message: who has sent it, and what it says.
fn message(raw: &mut Raw) -> (String, String) {
    let heard: serde_json::Value = serde_json::from_str(&raw.hear()).expect("JSON");
    assert_eq!(heard["type"], "message", "{heard}");
    let from = heard["from"].as_str().expect("a sender").to_owned();
    (from, heard["data"].to_string())
}

#[test]
fn what_is_said_at_one_node_is_heard_at_all_once_and_in_order() {
    const MESSAGES: usize = 500;
    let Some(redis) = Redis::start() else { return };
    let nodes = nodes(&redis);
    for room in ["r", "kept:r", "größe \u{1F600}"] {
        let mut members = [0, 1, 2].map(|index| member(&nodes[index], room));
        for node in &nodes {
            await_subjects(node, OWN + 1);
        }
        for number in 0..MESSAGES {
            say(&mut members[0], room, &number.to_string());
        }
        for (index, member) in members.iter_mut().enumerate() {
            for number in 0..MESSAGES {
                let (from, data) = message(member);
                assert_eq!(data, number.to_string(), "{room} at {index}");
                assert_eq!(from.ends_with("@a"), index > 0, "{from}");
            }
        }
        // Each member says one thing; whoever hears all of them has heard nothing twice.
        for (index, member) in members.iter_mut().enumerate() {
            say(member, room, &format!("\"last of {index}\""));
        }
        for member in &mut members {
            let mut heard = [0, 1, 2].map(|_| message(member).1);
            heard.sort();
            assert_eq!(heard, [0, 1, 2].map(|index| format!("\"last of {index}\"")));
        }
        drop(members);
        for node in &nodes {
            await_subjects(node, OWN);
        }
    }
}

#[test]
fn everyone_is_at_all_nodes() {
    let Some(redis) = Redis::start() else { return };
    let nodes = nodes(&redis);
    let mut clients = [0, 1, 2].map(|index| client(&nodes[index]));
    clients[1].say(r#"{"type":"broadcast","data":"to all"}"#);
    for client in &mut clients {
        assert_eq!(message(client).1, "\"to all\"");
    }
    wait_until("the own message came back and was dropped", || {
        nodes[1].metric("cluster_echoes_total") >= 1
    });
}

#[test]
fn a_broker_that_goes_away_takes_nothing_from_a_nodes_own_clients() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let nodes = nodes(&redis);
    let [mut speaker, mut near, mut far] = [0, 0, 1].map(|index| member(&nodes[index], "r"));
    await_subjects(&nodes[0], OWN + 1);
    await_subjects(&nodes[1], OWN + 1);
    redis.kill();
    wait_until("the node notices", || {
        nodes[0].metric("cluster_connected") == 0
    });
    say(&mut speaker, "r", "\"alone\"");
    assert_eq!(message(&mut near).1, "\"alone\"");
    assert_eq!(message(&mut speaker).1, "\"alone\"");
    wait_until("what others do not hear is counted", || {
        nodes[0].metric("cluster_sent_lost_total") == 1
    });
    redis.restart();
    for node in &nodes[..2] {
        wait_until("the node has its subjects again", || {
            node.metric("cluster_connected") == 1
                && node.metric("cluster_subscribes_total") >= 2 * (OWN + 1)
        });
    }
    say(&mut speaker, "r", "\"together\"");
    for member in [&mut speaker, &mut near, &mut far] {
        assert_eq!(message(member).1, "\"together\"");
    }
}

/// The nodes that one of them lists, itself first.
fn listed(node: &Served) -> Vec<String> {
    let (status, body) = node.ask("/api/cluster");
    assert_eq!(status, 200, "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let nodes = answer["nodes"].as_array().expect("a list");
    let names = nodes
        .iter()
        .map(|node| node["name"].as_str().expect("a name"));
    names.map(str::to_owned).collect()
}

#[test]
fn nodes_know_each_other_until_one_is_silent() {
    let Some(redis) = Redis::start() else { return };
    let [a, b, c] = nodes(&redis);
    let knows = |node: &Served, names: &[&str]| {
        let mut known = listed(node);
        known[1..].sort();
        known == names
    };
    wait_until("all know all", || {
        knows(&a, &["a", "b", "c"]) && knows(&b, &["b", "a", "c"]) && knows(&c, &["c", "a", "b"])
    });
    // One is killed, and its lease ends; one is told to stop, and says so.
    drop(c);
    wait_until("the dead one is gone", || knows(&a, &["a", "b"]));
    assert_eq!(a.metric("cluster_nodes_expired_total"), 1);
    b.terminate();
    wait_until("the other has left", || knows(&a, &["a"]));
    assert_eq!(a.metric("cluster_nodes_expired_total"), 1);
}

#[test]
fn what_operators_say_at_one_node_holds_at_all() {
    let Some(redis) = Redis::start() else { return };
    let nodes = nodes(&redis);
    let mut members = [0, 1, 2].map(|index| member(&nodes[index], "r"));
    let (status, body) = nodes[0].call("/api/disconnect", r#"{"room":"r"}"#);
    assert_eq!((status, &*body), (200, r#"{"disconnected":1}"#));
    for member in &mut members {
        let (first, payload) = member.frame();
        assert_eq!((first, &payload[..2]), (0x88, &4004_u16.to_be_bytes()[..]));
    }
    let ban = r#"{"address":"127.0.0.1","for":"1h"}"#;
    assert_eq!(nodes[1].call("/api/ban", ban).0, 200);
    for node in &nodes {
        wait_until("the ban holds here", || {
            let mut raw = Raw::connect_at(node.address("ws"));
            raw.send(shardcast_tests::upgrade().as_bytes());
            raw.answer().0.starts_with("HTTP/1.1 403")
        });
    }
    let unban = r#"{"address":"127.0.0.1"}"#;
    assert_eq!(nodes[2].call("/api/unban", unban).1, r#"{"lifted":true}"#);
    for node in &nodes {
        wait_until("the ban is lifted here", || {
            let mut raw = Raw::connect_at(node.address("ws"));
            raw.send(shardcast_tests::upgrade().as_bytes());
            raw.head().starts_with("HTTP/1.1 101")
        });
    }
}
