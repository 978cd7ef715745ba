//! Drain, reload and log level: by signals and by calls, which are the same.

use crate::{Folder, client, get, heard, post};
use serde_json::json;
use shardcast_tests::{Client, Raw, Served, wait_until};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a new client is welcomed; `None`: nobody listens any more.
fn welcomes(served: &Served) -> Option<bool> {
    let address = served.address("ws");
    let stream = std::net::TcpStream::connect(address).ok()?;
    drop(stream);
    let mut raw = Raw::connect_at(address);
    raw.upgrade();
    Some(raw.hear().contains("welcome"))
}

#[test]
fn a_call_or_a_signal_drains_and_new_clients_are_served_as_a_lame_duck() {
    for by_call in [true, false] {
        let folder = Folder::new(if by_call { "drain-call" } else { "drain-term" });
        let served = folder.serve("lame_duck = \"1s\"\ndrain_rate = 1000000\n");
        let mut clients: Vec<Client> = (0..20).map(|_| client(&served)).collect();
        assert_eq!(get(&served, "/ready", 200), json!({"status": "ready"}));
        if by_call {
            let told = post(&served, "/api/drain", 200, &json!({}));
            assert_eq!(
                (&told["stage"], &told["lame_duck_ms"]),
                (&json!("lame_duck"), &json!(1_000))
            );
            assert_eq!(told["connections"], 20);
            assert_eq!(served.ask("/ready").0, 503, "at once");
            // To ask again ends nothing.
            post(&served, "/api/drain", 200, &json!({}));
        } else {
            served.terminate();
            wait_until("it is told", || served.ask("/ready").0 == 503);
        }
        assert_eq!(
            welcomes(&served),
            Some(true),
            "balancers have not noticed yet"
        );
        for client in &mut clients {
            let closing = heard(client);
            assert_eq!(
                (&closing["type"], &closing["reason"]),
                (&json!("closing"), &json!("draining"))
            );
            assert!(closing["reconnect_ms"].is_u64());
            assert_eq!(client.closed().0, 1001);
        }
        let (code, log) = served.end();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("every client has left"), "{log}");
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let folder = Folder::new("twice");
    let served = folder.serve("lame_duck = \"1h\"\n");
    let _client = client(&served);
    served.terminate();
    wait_until("it is told", || served.ask("/ready").0 == 503);
    served.terminate();
    assert_eq!(served.end().0, Some(143));
}

#[test]
fn log_lines_begin_and_end_with_the_level() {
    let folder = Folder::new("log");
    let served = folder.serve("[log]\nlevel = \"error\"\n");
    let level = |body| post(&served, "/api/log", 200, &body)["level"].clone();
    assert_eq!(level(json!({})), "error");
    assert_eq!(level(json!({"level": "debug"})), "debug");
    served.hang_up();
    wait_until("the lists were read", || {
        served.log().contains("lists just read")
    });
    assert_eq!(level(json!({"level": "error"})), "error");
    let before = served.log().len();
    post(&served, "/api/reload", 200, &json!({}));
    assert_eq!(served.log().len(), before);
}

/// What a reload is answered: what is applied, and what takes a restart.
pub(crate) fn reloaded(served: &Served) -> (Vec<String>, Vec<String>) {
    let answer = post(served, "/api/reload", 200, &json!({}));
    let list = |name: &str| {
        let names = answer[name].as_array().expect("a list").iter();
        names
            .map(|name| name.as_str().expect("a name").to_owned())
            .collect()
    };
    (list("applied"), list("needs_restart"))
}

/// Publishes without a pause until it is told to stop; how often.
fn publish(mut publisher: Client, done: &AtomicBool) -> u64 {
    let mut sent = 0;
    while !done.load(Ordering::Relaxed) {
        publisher.check(
            &format!(r#"{{"type":"publish","id":1,"room":"chat:a","data":{sent}}}"#),
            r#"{"type":"ack","id":1}"#,
        );
        sent += 1;
    }
    sent
}

/// Has a server read its configuration again in four ways.
fn reload_four_times(served: &Served, configuration: impl Fn(&str) -> String) {
    assert_eq!(reloaded(served), (vec![], vec![]), "nothing has changed");
    // What can be exchanged is, and the rest is named.
    let changed = MORE
        .replace("100000", "200000")
        .replace("join = \"anyone\"", "join = \"nobody\"");
    served.reconfigure(&configuration(&format!("{changed}{OTHERS}")));
    let (applied, restart) = reloaded(served);
    let expected = [
        "access.origins",
        "limits.messages_per_second",
        "log.level",
        "namespaces.chat.join",
    ];
    assert_eq!(applied, expected);
    assert_eq!(restart, ["timeouts.idle"]);
    let value = |name: &str| get(served, "/api/config", 200)["values"][name].clone();
    assert_eq!(value("namespaces.chat.join"), "nobody");
    assert_eq!(value("timeouts.idle"), "2m");
    // One part that cannot be used leaves all as it is.
    served.reconfigure(&configuration(&MORE.replace("100000", "0")));
    let problem = post(served, "/api/reload", 409, &json!({}));
    let why = problem["errors"][0].as_str().expect("a text");
    assert!(why.contains("messages_per_second"), "{why}");
    assert_eq!(value("namespaces.chat.join"), "nobody");
    // What an engine is started with stays.
    served.reconfigure(&configuration(&format!("{changed}history = 7\n")));
    let (_, restart) = reloaded(served);
    assert!(
        restart.contains(&"namespaces.chat.history".to_owned()),
        "{restart:?}"
    );
}

const MORE: &str = "[limits]\nmessages_per_second = 100000\n[namespaces.chat]\npublish = \"anyone\"\njoin = \"anyone\"\n";
const OTHERS: &str =
    "[log]\nlevel = \"warn\"\n[access]\norigins = \"any\"\n[timeouts]\nidle = \"3m\"\n";

#[test]
fn a_reload_exchanges_everything_or_nothing_and_loses_nothing_under_load() {
    let folder = Folder::new("reload");
    let configuration = |more: &str| folder.configuration(&format!("shards = 2\n{more}"));
    let served = Served::start(env!("CARGO_BIN_EXE_served"), &configuration(MORE));
    let mut member = client(&served);
    member.join("chat:a");
    let done = AtomicBool::new(false);
    let published = std::thread::scope(|scope| {
        /// Told when this goes, after a panic, too.
        struct Told<'d>(&'d AtomicBool);
        impl Drop for Told<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let (publisher, is_done) = (client(&served), &done);
        let publisher = scope.spawn(move || publish(publisher, is_done));
        let told = Told(&done);
        reload_four_times(&served, configuration);
        drop(told);
        publisher.join().expect("it publishes")
    });
    let refused = client(&served).ask(r#"{"type":"join_room","id":1,"room":"chat:a"}"#);
    assert!(refused.contains("\"forbidden\""), "{refused}");
    for number in 0..published {
        assert_eq!(
            heard(&mut member)["data"],
            number,
            "in order, and all of them"
        );
    }
    member.check_quiet();
}

/// Each step is logged, of what is debugged alone, and nothing of what was said.
#[test]
fn a_connection_or_a_room_is_debugged_for_a_time() {
    let folder = Folder::new("debugged");
    let served = folder.serve("\n[log]\nlevel = \"error\"\n");
    let (mut ann, mut eve) = (client(&served), client(&served));
    let answered = |body, status| post(&served, "/api/debug", status, &body);
    for wrong in [
        json!({"connection": ann.id(), "room": "r", "for": "1m"}),
        json!({"connection": ann.id()}),
        json!({"room": "r", "for": "2h"}),
        json!({"room": "nowhere:r", "for": "1m"}),
        json!({"connection": "nobody", "for": "1m"}),
    ] {
        answered(wrong, 400);
    }
    answered(json!({"connection": "0-ffff-7", "for": "1m"}), 404);
    assert_eq!(answered(json!({}), 200), json!({"debugged": []}));

    let told = answered(json!({"connection": ann.id(), "for": "10m"}), 200);
    assert_eq!(told["debugged"][0]["connection"], ann.id());
    answered(json!({"room": "free:watched", "for": "10m"}), 200);
    for client in [&mut ann, &mut eve] {
        client.join("free:other");
        client.join("free:watched");
    }
    ann.say(r#"{"type":"broadcast","room":"free:other","data":"hush","echo":false}"#);
    ann.say("no request");
    assert_eq!(heard(&mut ann)["code"], "bad_json");
    let ids = [ann.id().to_owned(), eve.id().to_owned()];
    while heard(&mut eve)["type"] != "message" {}
    eve.say(r#"{"type":"broadcast","room":"free:watched","data":"hush","echo":true}"#);
    for client in [&mut ann, &mut eve] {
        assert_eq!(heard(client)["room"], "free:watched");
    }
    post(
        &served,
        "/api/publish",
        200,
        &json!({"room": "free:watched", "data": "hush"}),
    );
    ann.leave();
    check_debugged(&served, &ids[0], &ids[1]);
    answered(json!({"room": "free:watched", "for": "0s"}), 200);
    let told = answered(json!({"connection": ids[0], "for": "0s"}), 200);
    assert_eq!(told, json!({"debugged": []}));
    for number in 0..16 {
        answered(json!({"room": format!("free:{number}"), "for": "1m"}), 200);
    }
    answered(json!({"room": "free:more", "for": "1m"}), 409);
}

/// What is too much is asked and answered, too.
#[test]
fn what_is_refused_at_once_is_debugged() {
    let folder = Folder::new("debugged-limits");
    let served = folder.serve("\n[log]\nlevel = \"error\"\n[limits]\nmessages_per_second = 1\n");
    let mut ann = client(&served);
    let debug = json!({"connection": ann.id(), "for": "10m"});
    post(&served, "/api/debug", 200, &debug);
    let mut rooms = (0..).map(|number| format!("free:{number}"));
    let refused = rooms.find(|room| {
        let ask = format!(r#"{{"type":"broadcast","id":1,"room":"{room}","data":"hush"}}"#);
        ann.ask(&ask).contains("\"rate_limited\"")
    });
    let room = format!("room=\"{}\"", refused.expect("one is too much"));
    let ann = ann.id();
    for words in [
        &[ann, "request=\"broadcast\"", &room][..],
        &[ann, "answer=\"rate_limited\""],
    ] {
        wait_until(&format!("{words:?}"), || {
            let log = served.errors();
            let mut lines = log.lines().filter(|line| line.contains("debugged"));
            lines.any(|line| words.iter().all(|word| line.contains(word)))
        });
    }
}

/// Ann was debugged, and a room in which both were.
#[track_caller]
fn check_debugged(served: &Served, ann: &str, eve: &str) {
    let logged = |words: &[&str]| {
        let log = served.errors();
        let mut lines = log.lines().filter(|line| line.contains("debugged"));
        lines.any(|line| words.iter().all(|word| line.contains(word)))
    };
    for words in [
        &[ann, "request=\"join_room\"", "room=\"free:other\""][..],
        &[ann, "request=\"broadcast\"", "bytes=6"],
        &[ann, "answer=\"done\""],
        &[ann, "refused=\"bad_json\""],
        &[ann, "ended="],
        &[eve, "request=\"join_room\"", "room=\"free:watched\""],
        &[
            eve,
            "request=\"broadcast\"",
            "room=\"free:watched\"",
            "bytes=6",
        ],
        &["room=free:watched", "step=\"home\"", "shard="],
        &["room=free:watched", "step=\"deliver\"", "delivered="],
    ] {
        wait_until(&format!("{words:?}"), || logged(words));
    }
    assert!(!logged(&[eve, "free:other"]) && !logged(&[eve, "answer="]));
    assert!(!logged(&["hush"]));
}
