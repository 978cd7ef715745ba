//! What calls tell: rooms, connections and users page by page, the server and its configuration.

use crate::{Folder, client, get, post};
use serde_json::{Value, json};
use shardcast_tests::{Client, Served};
use std::collections::BTreeSet;

/// Every item of a list, page by page.
#[track_caller]
fn all(served: &Served, path: &str, list: &str, limit: usize) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(served, &format!("{path}limit={limit}{cursor}"), 200);
        let found = page[list].as_array().expect("a list");
        assert!(found.len() <= limit);
        items.extend(found.iter().cloned());
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

fn named(items: &[Value], field: &str) -> BTreeSet<String> {
    let names = items
        .iter()
        .map(|item| item[field].as_str().expect("a name").to_owned());
    names.collect()
}

#[test]
fn rooms_are_listed_page_by_page_and_by_what_they_begin_with() {
    let folder = Folder::new("rooms");
    let served = folder.serve("");
    let mut client = client(&served);
    let rooms = [
        "free", "free:a", "free:a/1", "free:a/2", "free:b", "kept:a", "free:ü",
    ];
    for room in rooms {
        client.join(room);
    }
    for limit in [1, 2, 3, 7, 1_000] {
        let found = all(&served, "/api/rooms?", "rooms", limit);
        let names: Vec<&str> = found
            .iter()
            .map(|room| room["room"].as_str().expect("a name"))
            .collect();
        let mut sorted = rooms;
        sorted.sort_unstable();
        assert_eq!(names, sorted);
        for (prefix, count) in [
            ("free", 6),
            ("free:a", 3),
            ("free:a/1", 1),
            ("z", 0),
            ("free:%C3%BC", 1),
        ] {
            let found = all(
                &served,
                &format!("/api/rooms?prefix={prefix}&"),
                "rooms",
                limit,
            );
            assert_eq!(found.len(), count, "{prefix}");
        }
    }
    let slash = get(&served, "/api/rooms/free:a%2F1", 200);
    assert_eq!(
        (&slash["room"], &slash["members"]),
        (&json!("free:a/1"), &json!(1))
    );
    assert_eq!(slash["history"], Value::Null);
    let kept = get(&served, "/api/rooms/kept:a", 200);
    assert_eq!(kept["history"]["offset"], 0);
    assert_eq!(get(&served, "/api/rooms/free:nobody", 200)["members"], 0);
}

#[test]
fn connections_and_members_are_listed_by_what_they_are() {
    let folder = Folder::new("connections");
    let served = folder.serve("");
    let mut clients: Vec<Client> = (0..12).map(|_| client(&served)).collect();
    let mut anns: Vec<Client> = (0..3).map(|_| folder.user(&served, "ann")).collect();
    for client in clients.iter_mut().take(5).chain(&mut anns) {
        client.join("free:a");
    }
    for limit in [1, 4, 100] {
        let count = |query: &str| {
            let path = format!("/api/connections?{query}");
            let found = all(&served, &path, "connections", limit);
            let ids = named(&found, "connection");
            assert_eq!(ids.len(), found.len(), "nobody twice: {query}");
            ids.len()
        };
        assert_eq!(count(""), 15);
        assert_eq!(count("user=ann&"), 3);
        assert_eq!(count("user=bob&"), 0);
        assert_eq!(count("room=free:a&"), 8);
        assert_eq!(count("room=free:a&user=ann&"), 3);
        assert_eq!(count("address=127.0.0.0/8&"), 15);
        assert_eq!(count("address=192.0.2.1&room=free:a&"), 0);
        let mut body = json!({"room": "free:a", "limit": limit});
        let (mut members, mut total) = (BTreeSet::new(), 0);
        loop {
            let page = post(&served, "/api/presence", 200, &body);
            total += page["members"].as_array().expect("members").len();
            members.extend(named(
                page["members"].as_array().expect("members"),
                "connection",
            ));
            assert_eq!(page["total"], 8);
            match page["cursor"].as_str() {
                Some(next) => body["cursor"] = json!(next),
                None => break,
            }
        }
        assert_eq!((members.len(), total), (8, 8));
    }
}

#[test]
fn a_room_may_know_its_members_one_by_one() {
    let folder = Folder::new("presence");
    let served = folder.serve("");
    let mut anns: Vec<Client> = (0..3).map(|_| folder.user(&served, "ann")).collect();
    anns.iter_mut().for_each(|ann| {
        ann.join("free:a");
    });
    let shown = r#"{"type":"join_room","id":1,"room":"seen:a","presence":{"mood":"fine"}}"#;
    for ann in &mut anns {
        ann.say(shown);
    }
    let is_there = || post(&served, "/api/presence", 200, &json!({"room": "seen:a"}));
    shardcast_tests::wait_until("they are there", || is_there()["total"] == 3);
    let page = post(
        &served,
        "/api/presence",
        200,
        &json!({"room": "seen:a", "limit": 2}),
    );
    let next = json!({"room": "seen:a", "cursor": page["cursor"]});
    let rest = post(&served, "/api/presence", 200, &next);
    assert_eq!(rest["members"].as_array().map(Vec::len), Some(1));
    let member = &rest["members"][0];
    assert_eq!(
        (&member["user"], &member["state"]),
        (&json!("ann"), &json!("here"))
    );
    assert_eq!(member["data"], json!({"mood": "fine"}));
    // One of them.
    let id = member["connection"].as_str().expect("an id");
    let one = get(&served, &format!("/api/connections/{id}"), 200);
    assert_eq!(
        (&one["user"], &one["dialect"]),
        (&json!("ann"), &json!("json"))
    );
    let rooms: BTreeSet<&str> = one["rooms"]
        .as_array()
        .expect("rooms")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(rooms, BTreeSet::from(["free:a", "seen:a"]));
    let user = get(&served, "/api/users/ann", 200);
    assert_eq!(
        (&user["connections"], user["first"].as_array().map(Vec::len)),
        (&json!(3), Some(3))
    );
    assert_eq!(user["banned_seconds"], Value::Null);
}

#[test]
fn the_server_tells_of_itself_and_shows_no_secret() {
    let folder = Folder::new("info");
    let served = folder.serve("");
    let mut client = client(&served);
    client.join("free:a");
    let info = get(&served, "/api/info", 200);
    assert_eq!(
        (&info["shards"], &info["connections"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(
        (&info["rooms"], &info["stage"]),
        (&json!(1), &json!("serving"))
    );
    let config = get(&served, "/api/config", 200);
    let values = &config["values"];
    assert_eq!(values["server.shards"], 2);
    assert_eq!(values["namespaces.kept.history"], 100);
    assert_eq!(values["auth.keys.shared.algorithm"], "HS256");
    assert!(!config.to_string().contains(crate::SECRET));
    let document = get(&served, "/openapi.json", 200);
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/api/publish"]["post"].is_object());
}
