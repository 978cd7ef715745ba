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
    node_with(redis, name, "")
}

fn node_with(redis: &Redis, name: &str, more: &str) -> Served {
    node_of(redis, name, "", more)
}

/// With further lines of its section, and behind all.
fn node_of(redis: &Redis, name: &str, cluster: &str, more: &str) -> Served {
    let address = redis.address;
    let toml = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nshards = 2\npin = \"none\"\n\
         [cluster]\nbroker = \"redis\"\nurl = \"redis://{address}\"\nnode = \"{name}\"\nlinger = \"0s\"\npresence_lease = \"1s\"\n{cluster}\
         [namespaces.kept]\nhistory = 100\n{more}"
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

/// Whether who connects is refused.
fn is_banned(node: &Served) -> bool {
    let mut raw = Raw::connect_at(node.address("ws"));
    raw.send(shardcast_tests::upgrade().as_bytes());
    raw.head().starts_with("HTTP/1.1 403")
}

#[test]
fn who_comes_later_hears_what_operators_have_said() {
    const USERS: usize = 200;
    let Some(redis) = Redis::start() else { return };
    let first = node(&redis, "first");
    await_subjects(&first, OWN);
    let ban = r#"{"address":"127.0.0.1","for":"1h"}"#;
    assert_eq!(first.call("/api/ban", ban).0, 200);
    for user in 0..USERS {
        // More than a page of what is told at once; the port takes 1,000 requests a second.
        let ban = format!(r#"{{"user":"user-{user}","for":"1h"}}"#);
        let (status, body) = first.call("/api/ban", &ban);
        assert_eq!(status, 200, "{body}");
        std::thread::sleep(Duration::from_millis(2));
    }
    let name = format!("shardcast-bans-{}.json", std::process::id());
    let kept = std::env::temp_dir().join(name);
    let admin = format!("[admin]\nstate_file = \"{}\"\n", kept.display());
    let later = node_with(&redis, "later", &admin);
    wait_until("the ban holds at who came later", || is_banned(&later));
    wait_until("and so do all others, which are kept", || {
        let text = std::fs::read_to_string(&kept).unwrap_or_default();
        text.matches("\"user-").count() == USERS
    });
    drop(later);
    std::fs::remove_file(&kept).expect("the file goes");
}

#[test]
fn what_a_node_cannot_keep_holds_at_the_others() {
    let Some(redis) = Redis::start() else { return };
    let name = format!("shardcast-unkept-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let state = folder.join("state");
    let admin = format!("[admin]\nstate_file = \"{}\"\n", state.display());
    let first = node_with(&redis, "first", &admin);
    let other = node(&redis, "other");
    for node in [&first, &other] {
        await_subjects(node, OWN);
    }
    // Where the file is written anew stands a folder.
    std::fs::create_dir(state.with_extension("new")).expect("a folder");
    let ban = r#"{"address":"127.0.0.1","for":"1h"}"#;
    assert_eq!(first.call("/api/ban", ban).0, 507);
    wait_until("the ban holds at the other", || is_banned(&other));
    let unban = r#"{"address":"127.0.0.1"}"#;
    assert_eq!(first.call("/api/unban", unban).0, 507);
    wait_until("the ban is lifted at the other", || !is_banned(&other));
    drop(first);
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}

/// A backend to which everybody is ann, and that is told of rooms: what has become of which.
fn backend() -> (u16, std::sync::mpsc::Receiver<(String, String)>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("it listens").port();
    let (told, turns) = std::sync::mpsc::sync_channel(1_024);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let told = told.clone();
            std::thread::spawn(move || answer(stream, &told));
        }
    });
    (port, turns)
}

fn answer(stream: TcpStream, told: &std::sync::mpsc::SyncSender<(String, String)>) {
    let mut reader = std::io::BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            match std::io::BufRead::read_line(&mut reader, &mut line) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let event: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        for notice in event["notices"].as_array().into_iter().flatten() {
            let text = |key: &str| notice[key].as_str().expect("a text").to_owned();
            // Whoever listened may be gone.
            let _gone = told.send((text("event"), text("room")));
        }
        let body = match event["event"] == "connect" {
            true => r#"{"user":"ann"}"#,
            false => "{}",
        };
        let length = body.len();
        let yes = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        if reader.get_mut().write_all(yes.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn rooms_are_occupied_and_vacated_at_all_nodes_together() {
    let Some(redis) = Redis::start() else { return };
    let (port, turns) = backend();
    let gateway =
        format!("[gateway]\nurl = \"http://127.0.0.1:{port}/\"\nevents = \"occupied,vacated\"\n");
    let nodes = ["a", "b", "c"].map(|name| node_with(&redis, name, &gateway));
    for node in &nodes {
        await_subjects(node, OWN);
    }
    let is_whole = |node: &Served| {
        std::thread::sleep(Duration::from_millis(20));
        let (_, body) = node.ask("/api/cluster");
        body.matches(r#""knows_all":true"#).count() == 3
    };
    wait_until("all know all", || nodes.iter().all(is_whole));
    // What a node was to tell that has died may be told once more.
    let mut last = std::collections::HashMap::new();
    let mut next = || loop {
        let heard = turns.recv_timeout(shardcast_patience::PATIENCE);
        let (event, room) = heard.expect("a notice");
        if last.insert(room.clone(), event.clone()).as_ref() != Some(&event) {
            return (event, room);
        }
    };
    let told = |event: &str, room: &str| (event.to_owned(), room.to_owned());
    let first = member(&nodes[0], "moving");
    assert_eq!(next(), told("occupied", "moving"));
    // Its members go from node to node, and one is always there.
    let mut there = vec![first];
    for round in 1..7 {
        there.push(member(&nodes[round % 3], "moving"));
        let last = there.remove(0);
        drop(last);
    }
    let away = member(&nodes[1], "other");
    assert_eq!(
        next(),
        told("occupied", "other"),
        "nobody was told of the move"
    );
    drop(there);
    assert_eq!(next(), told("vacated", "moving"));
    // A node that is killed takes its members along.
    let [a, b, c] = nodes;
    let left = member(&c, "left");
    assert_eq!(next(), told("occupied", "left"));
    drop(b);
    assert_eq!(next(), told("vacated", "other"));
    drop((away, left));
    assert_eq!(next(), told("vacated", "left"));
    a.terminate();
    c.terminate();
    let rest = turns.try_iter().find(|(event, _)| event == "occupied");
    assert_eq!(rest, None, "nobody has come");
}

/// The code that the server closes the connection with, behind whatever it says before.
fn closed_with(raw: &mut Raw) -> u16 {
    loop {
        let (first, payload) = raw.frame();
        if first == 0x88 {
            return u16::from_be_bytes([payload[0], payload[1]]);
        }
    }
}

#[test]
fn a_user_has_as_many_connections_at_all_nodes_as_it_may() {
    let Some(redis) = Redis::start() else { return };
    let (port, _turns) = backend();
    for (rule, stays) in [("replace", false), ("reject", true)] {
        let more = format!(
            "[gateway]\nurl = \"http://127.0.0.1:{port}/\"\nevents = \"connect\"\n\
             [sessions]\nsame_user = \"{rule}\"\nmax_per_user = 1\n"
        );
        let [a, b] = ["a", "b"].map(|name| node_with(&redis, name, &more));
        await_subjects(&a, OWN);
        await_subjects(&b, OWN);
        let knows = |node: &Served, count: u64| {
            std::thread::sleep(Duration::from_millis(20));
            let (status, body) = node.ask("/api/users/ann");
            let known = serde_json::from_str::<serde_json::Value>(&body);
            let known = known.map_or(0, |user| user["connections"].as_u64().unwrap_or(0));
            (status == 200 && known == count) || (status == 404 && count == 0)
        };
        let mut old = client(&a);
        wait_until("the other node knows", || knows(&b, 1));
        let mut new = client(&b);
        if stays {
            assert_eq!(closed_with(&mut new), 4120, "{rule}");
        } else {
            assert_eq!(closed_with(&mut old), 4020, "{rule}");
        }
        wait_until("one is left", || knows(&a, 1) && knows(&b, 1));
        let left = if stays { &mut old } else { &mut new };
        left.say(r#"{"type":"join_room","id":1,"room":"r"}"#);
        let joined = left.hear();
        assert!(joined.contains(r#""type":"joined""#), "{joined}");
        drop((old, new));
        wait_until("nobody is left", || knows(&a, 0) && knows(&b, 0));
        // Both at once: one of them stays in the end.
        let both = [client(&a), client(&b)];
        wait_until("one is left", || knows(&a, 1) && knows(&b, 1));
        drop(both);
    }
}

#[test]
fn rooms_that_share_partitions_hear_what_is_theirs() {
    const ROOMS: usize = 12;
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let [a, b, c] = ["a", "b", "c"].map(|name| node_of(&redis, name, "room_partitions = 2\n", ""));
    for node in [&a, &b, &c] {
        await_subjects(node, OWN);
    }
    let name = |room: usize| format!("room-{room}");
    // Those at `a` are in even rooms, those at `b` in odd ones.
    let mut members: Vec<Raw> = (0..ROOMS)
        .map(|room| member([&a, &b][room % 2], &name(room)))
        .collect();
    const HEARD: u64 = OWN + ROOMS as u64 / 2;
    let hear_all = |members: &mut [Raw], data: &str| {
        let mut speaker = client(&c);
        for (room, member) in members.iter_mut().enumerate() {
            say(&mut speaker, &name(room), data);
            assert_eq!(message(member).1, data);
        }
    };
    await_subjects(&a, HEARD);
    await_subjects(&b, HEARD);
    hear_all(&mut members, "1");
    let elsewhere = |node: &Served| node.metric("cluster_received_elsewhere_total");
    assert!(elsewhere(&a) + elsewhere(&b) > 0, "partitions are shared");
    assert_eq!(a.metric("cluster_received_refused_total"), 0);
    let told = |node: &Served| node.metric("cluster_subscribes_total");
    let before = [told(&a), told(&b)];
    redis.kill();
    redis.restart();
    for (node, before) in [&a, &b].into_iter().zip(before) {
        wait_until("all of it is told again", || {
            std::thread::sleep(Duration::from_millis(20));
            told(node) >= before + HEARD
        });
    }
    wait_until("who speaks is there again", || {
        c.metric("cluster_connected") == 1
    });
    hear_all(&mut members, "2");
}
