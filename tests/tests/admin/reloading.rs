//! Namespaces that a reload brings: rules are exchanged, and what rooms keep stays.

use crate::steering::reloaded;
use crate::{Folder, client, get, post};
use serde_json::json;
use shardcast_tests::{Client, Served};

const BEFORE: &str = "[namespaces.log]\nhistory = 10\n";
/// Rooms of `log` would keep more, and those of `deep` what none did; `twin` is like `log` before.
const AFTER: &str = "[namespaces.log]\nhistory = 20\njoin = \"nobody\"\n[namespaces.twin]\nhistory = 10\n[namespaces.deep]\nhistory = 30\n";

/// What a client hears that would join a room.
fn joining(served: &Served, room: &str) -> String {
    let asked = json!({"type": "join_room", "id": 1, "room": room});
    client(served).ask(&asked.to_string())
}

#[test]
fn namespaces_change_in_all_but_what_their_rooms_keep() {
    let folder = Folder::new("namespaces");
    let configuration = |more: &str| folder.configuration(more);
    let served = Served::start(env!("CARGO_BIN_EXE_served"), &configuration(BEFORE));
    let mut member: Client = client(&served);
    member.join("log:a");
    assert!(joining(&served, "twin:a").contains("unknown_namespace"));
    served.reconfigure(&configuration(AFTER));
    let (applied, restart) = reloaded(&served);
    let has = |names: &[String], name: &str| names.iter().any(|other| other == name);
    for (name, is_applied) in [
        ("namespaces.log.join", true),
        ("namespaces.log.history", false),
        ("namespaces.twin.history", true),
        ("namespaces.deep.history", false),
        ("namespaces.deep.join", false),
    ] {
        assert_eq!(has(&applied, name), is_applied, "{name}: {applied:?}");
        assert_eq!(has(&restart, name), !is_applied, "{name}: {restart:?}");
    }
    let values = get(&served, "/api/config", 200)["values"].clone();
    assert_eq!(values["namespaces.log.history"], 10);
    assert_eq!(values["namespaces.log.join"], "nobody");
    assert!(joining(&served, "log:a").contains("forbidden"));
    let joined = joining(&served, "twin:a");
    assert!(
        joined.contains("\"joined\"") && joined.contains("epoch"),
        "{joined}"
    );
    assert!(joining(&served, "deep:a").contains("unknown_namespace"));
    // Who was there is there, and the room goes on with what it kept.
    let published = json!({"room": "log:a", "data": "still here"});
    let report = post(&served, "/api/publish", 200, &published);
    assert_eq!(report["offset"], 1, "{report}");
    let heard = member.hear();
    assert!(heard.contains("still here"), "{heard}");
    // What has changed before is in force, and what waits for a restart still does.
    let (applied, again) = reloaded(&served);
    assert_eq!((applied, again), (vec![], restart));
    // One part that cannot be used leaves all as it is.
    let wrong = AFTER
        .replace("nobody", "anyone")
        .replace("30", "none of that");
    served.reconfigure(&configuration(&wrong));
    post(&served, "/api/reload", 409, &json!({}));
    assert!(joining(&served, "log:a").contains("forbidden"));
    // Back to the start: nothing waits any more.
    served.reconfigure(&configuration(BEFORE));
    let (applied, restart) = reloaded(&served);
    assert!(
        has(&applied, "namespaces.log.join") && restart.is_empty(),
        "{restart:?}"
    );
    assert!(joining(&served, "log:a").contains("\"joined\""));
    assert!(joining(&served, "twin:a").contains("unknown_namespace"));
}
