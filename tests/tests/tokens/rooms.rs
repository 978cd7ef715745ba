//! What tokens let their bearers do in rooms: grants, tokens of rooms, rooms of users, and that
//! every refusal is counted and shows in the audit log.

use crate::signed::{Folder, SECRET, claims, hs256, now, with};
use crate::{asked, bearer, serve};
use serde_json::{Value, json};
use shardcast_tests::{Raw, Served};

const NAMESPACES: &str = "
[namespaces.staff]
join = [\"staff\"]
publish = [\"staff\"]
presence = [\"staff\"]
history = 10
history_read = [\"staff\"]
[namespaces.closed]
join = \"nobody\"
publish = \"nobody\"
[namespaces.inbox]
owned_by = \"name\"
[namespaces.talk]
owned_by = \"list\"
";

fn served(folder: &Folder, more: &str) -> Served {
    let secret = folder.write("secret", SECRET);
    serve(&format!(
        "[auth]\ntokens = \"optional\"\n[auth.keys.main]\nsecret_file = \"{secret}\"\n{NAMESPACES}{more}"
    ))
}

/// A connection with this token, and its id.
#[track_caller]
fn connected(served: &Served, claims: &Value) -> (Raw, String) {
    let lines = bearer(&hs256(SECRET, claims));
    let (mut raw, head, _) = asked(served.address("ws"), "/ws", &lines);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let welcome: Value = serde_json::from_str(&raw.hear()).expect("JSON");
    (
        raw,
        welcome["connection"].as_str().expect("an id").to_owned(),
    )
}

/// The code of the error, or the type of the answer.
#[track_caller]
fn ask(raw: &mut Raw, request: &Value) -> String {
    let mut request = request.clone();
    request["id"] = json!(1);
    raw.say(&request.to_string());
    loop {
        let heard: Value = serde_json::from_str(&raw.hear()).expect("JSON");
        if heard["id"] == json!(1) {
            let word = heard["code"].as_str().or(heard["type"].as_str());
            return word.expect("a word").to_owned();
        }
    }
}

fn join(room: &str) -> Value {
    json!({"type": "join_room", "room": room})
}

#[test]
fn a_long_info_is_not_shown_and_changes_no_message() {
    let folder = Folder::new();
    let secret = folder.write("secret", SECRET);
    let served = serve(&format!(
        "[auth]\ntokens = \"optional\"\nmax_token_bytes = \"16KiB\"\n[auth.keys.main]\nsecret_file = \"{secret}\"\n"
    ));
    let (mut other, _) = connected(&served, &claims());
    assert_eq!(ask(&mut other, &join("chat")), "joined");
    // Somebody is there who is shown what tokens say of their bearers.
    let path = "/connection/websocket";
    let (mut shown, head, _) = asked(
        served.address("ws"),
        path,
        &bearer(&hs256(SECRET, &claims())),
    );
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    shown.say(r#"{"id":1,"connect":{}}"#);
    assert!(shown.hear().contains(r#""id":1"#));
    shown.say(r#"{"id":2,"subscribe":{"channel":"chat"}}"#);
    assert!(shown.hear().contains(r#""id":2"#));
    for length in [10, 1_022, 1_023, 5_000] {
        let info = json!("x".repeat(length));
        let (mut speaker, _) = connected(&served, &with("info", info.clone()));
        assert_eq!(ask(&mut speaker, &join("chat")), "joined");
        speaker.say(&json!({"type": "publish", "room": "chat", "data": length}).to_string());
        let heard: Value = serde_json::from_str(&other.hear()).expect("JSON");
        assert_eq!(heard["data"], length, "{heard}");
        let heard: Value = serde_json::from_str(&shown.hear()).expect("JSON");
        let publication = &heard["push"]["pub"];
        assert_eq!(publication["data"], length, "{heard}");
        let is_shown = publication["info"]["conn_info"] == info;
        assert_eq!(is_shown, length <= 1_022, "{heard}");
    }
}

#[test]
fn a_grant_lets_in_where_a_rule_does_not_and_nowhere_else() {
    let folder = Folder::new();
    let served = served(&folder, "");
    let granted = with(
        "rooms",
        json!({"join": ["staff:a", "closed:*"], "publish": ["staff:*"], "history": ["staff:a"], "presence": ["staff:a"]}),
    );
    let (mut ann, _) = connected(&served, &granted);
    let (mut bob, _) = connected(&served, &with("sub", json!("bob")));
    let (mut eve, _) = connected(&served, &with("roles", json!(["staff"])));
    let publish = |room: &str| json!({"type": "broadcast", "room": room, "data": 1});
    let history = |room: &str| json!({"type": "history", "room": room});
    let presence = |room: &str| json!({"type": "presence", "room": room});
    for (request, ann_hears, bob_hears, eve_hears) in [
        (publish("staff:a"), "ack", "forbidden", "ack"),
        (publish("staff:b"), "ack", "forbidden", "ack"),
        (history("staff:a"), "history", "forbidden", "history"),
        (presence("staff:a"), "presence", "forbidden", "presence"),
        (presence("staff:b"), "forbidden", "forbidden", "presence"),
        (join("staff:a"), "joined", "forbidden", "joined"),
        (join("staff:b"), "forbidden", "forbidden", "joined"),
        (history("staff:b"), "forbidden", "forbidden", "history"),
        // What nobody may do no token grants.
        (join("closed:a"), "forbidden", "forbidden", "forbidden"),
        (publish("closed:a"), "forbidden", "forbidden", "forbidden"),
        (
            join("unknown:a"),
            "unknown_namespace",
            "unknown_namespace",
            "unknown_namespace",
        ),
    ] {
        let heard = [&mut ann, &mut bob, &mut eve].map(|raw| ask(raw, &request));
        assert_eq!(heard, [ann_hears, bob_hears, eve_hears], "{request}");
    }
    let (_, metrics) = served.ask("/metrics");
    let counted = r#"shardcast_refusals_total{action="publish",code="forbidden"} "#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn a_room_of_a_user_is_closed_to_others() {
    let folder = Folder::new();
    let served = served(&folder, "");
    let (mut ann, _) = connected(&served, &claims());
    let (mut bob, _) = connected(&served, &with("sub", json!("bob")));
    let support = with(
        "rooms",
        json!({"join": ["inbox:*"], "publish": ["inbox:*"]}),
    );
    let (mut nobody, _) = connected(&served, &with("sub", json!(null)));
    let mut support = support;
    support["sub"] = json!("support");
    let (mut support, _) = connected(&served, &support);
    for (room, want) in [
        (
            "inbox:ann",
            ["joined", "forbidden", "unauthorized", "joined"],
        ),
        (
            "inbox:bob",
            ["forbidden", "joined", "unauthorized", "joined"],
        ),
        (
            "inbox:ann2",
            ["forbidden", "forbidden", "unauthorized", "joined"],
        ),
        (
            "talk:ann,bob",
            ["joined", "joined", "unauthorized", "forbidden"],
        ),
        (
            "talk:bob,carol",
            ["forbidden", "joined", "unauthorized", "forbidden"],
        ),
        (
            "talk:annbob",
            ["forbidden", "forbidden", "unauthorized", "forbidden"],
        ),
    ] {
        let heard =
            [&mut ann, &mut bob, &mut nobody, &mut support].map(|raw| ask(raw, &join(room)));
        assert_eq!(heard, want, "{room}");
    }
    let publish = json!({"type": "broadcast", "room": "inbox:ann", "data": 1});
    assert_eq!(ask(&mut bob, &publish), "forbidden");
    assert_eq!(ask(&mut ann, &publish), "ack");
}

#[test]
fn a_room_s_own_token_lets_its_connection_into_its_room() {
    let folder = Folder::new();
    let served = served(&folder, "");
    let (mut ann, ann_id) = connected(&served, &claims());
    let (mut nobody, nobody_id) = connected(&served, &with("sub", json!(null)));
    let exp = now() + 60;
    let token = |claims: Value| {
        let mut claims = claims;
        claims["exp"] = json!(exp);
        hs256(SECRET, &claims)
    };
    let of_ann = json!({"room": "staff:x", "sub": "ann"});
    let of_connection = json!({"channel": "staff:x", "client": nobody_id});
    let with_token =
        |room: &str, token: &str| json!({"type": "join_room", "room": room, "token": token});
    for (claims, room, ann_hears, nobody_hears) in [
        (of_ann.clone(), "staff:x", "joined", "unauthorized"),
        (of_connection, "staff:x", "unauthorized", "joined"),
        (of_ann, "staff:y", "unauthorized", "unauthorized"),
        (
            json!({"room": "staff:x", "sub": "ann", "client": ann_id}),
            "staff:x",
            "joined",
            "unauthorized",
        ),
        (
            json!({"room": "staff:x", "sub": "bob", "client": ann_id}),
            "staff:x",
            "unauthorized",
            "unauthorized",
        ),
        // Bound to nobody, it would let everybody in.
        (
            json!({"room": "staff:x"}),
            "staff:x",
            "unauthorized",
            "unauthorized",
        ),
        // A connection's token is none of a room.
        (
            json!({"sub": "ann"}),
            "staff:x",
            "unauthorized",
            "unauthorized",
        ),
        (
            json!({"room": "closed:x", "sub": "ann"}),
            "closed:x",
            "forbidden",
            "forbidden",
        ),
    ] {
        let request = with_token(room, &token(claims));
        let heard = [ask(&mut ann, &request), ask(&mut nobody, &request)];
        assert_eq!(heard, [ann_hears, nobody_hears], "{request}");
        for raw in [&mut ann, &mut nobody] {
            ask(raw, &json!({"type": "leave_room", "room": room}));
        }
    }
    // Nor does a room's token make a connection somebody.
    let room = token(json!({"room": "staff:x", "sub": "ann"}));
    let auth = json!({"type": "auth", "token": room});
    assert_eq!(ask(&mut nobody, &auth), "unauthorized");
    let several = json!({"type": "join_room", "rooms": ["a"], "token": room});
    assert_eq!(ask(&mut nobody, &several), "bad_request");
}

#[test]
fn what_is_missing_and_what_is_forbidden_look_the_same_where_a_namespace_is_secret() {
    let folder = Folder::new();
    let served = served(
        &folder,
        "[namespaces.hidden]\nsecret = true\njoin = [\"staff\"]\n",
    );
    let (mut ann, _) = connected(&served, &claims());
    let mut heard = Vec::new();
    for room in ["hidden:a", "missing:a", "hidden:", "missing:"] {
        let request = json!({"type": "join_room", "id": 1, "room": room});
        ann.say(&request.to_string());
        heard.push(ann.hear());
    }
    assert!(heard[0].contains("forbidden"), "{heard:?}");
    assert!(heard.iter().all(|answer| *answer == heard[0]), "{heard:?}");
}
