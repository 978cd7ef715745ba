//! What calls do, as clients see it: publishing, membership, history, ends.

use crate::{Folder, client, get, heard, post};
use serde_json::{Value, json};
use shardcast_tests::{Client, wait_until};

fn event(room: &str, offset: u64, data: Value) -> Value {
    json!({"type": "event", "event": "publication", "room": room, "offset": offset, "data": data})
}

#[test]
fn who_is_published_to_gets_it_once_and_the_answer_says_how_many_did() {
    let folder = Folder::new("publish");
    let served = folder.serve("");
    let (mut ann, mut eve) = (folder.user(&served, "ann"), client(&served));
    ann.join("kept:a");
    eve.join("kept:a");
    let call = |body: Value| post(&served, "/api/publish", 200, &body);
    // To a room, with a place in its order.
    let first = call(json!({"room": "kept:a", "data": {"n": 1}}));
    assert_eq!(
        (&first["delivered"], &first["offset"]),
        (&json!(2), &json!(1))
    );
    assert!(first["epoch"].is_string());
    let event = |room: &str, offset: u64, data: Value| json!({"type": "event", "event": "publication", "room": room, "offset": offset, "data": data});
    for client in [&mut ann, &mut eve] {
        assert_eq!(heard(client), event("kept:a", 1, json!({"n": 1})));
    }
    // With a key: the second is none.
    let keyed = json!({"room": "kept:a", "data": 2, "key": "k", "event": "publication"});
    assert_eq!(call(keyed.clone())["offset"], 2);
    let again = call(keyed);
    assert_eq!(
        (&again["duplicate"], &again["offset"]),
        (&json!(true), &json!(2))
    );
    assert_eq!(again["delivered"], 0);
    // But for one.
    let id = get(&served, "/api/users/ann", 200)["first"][0]["connection"].clone();
    assert_eq!(
        call(json!({"room": "kept:a", "data": 3, "except": id}))["delivered"],
        1
    );
    assert_eq!(heard(&mut ann), event("kept:a", 2, json!(2)));
    for (offset, data) in [(2, 2), (3, 3)] {
        assert_eq!(heard(&mut eve), event("kept:a", offset, json!(data)));
    }
}

#[test]
fn several_rooms_a_user_and_everyone_are_published_to() {
    let folder = Folder::new("several");
    let served = folder.serve("");
    let (mut ann, mut eve) = (folder.user(&served, "ann"), client(&served));
    for room in ["kept:a", "kept:b"] {
        ann.join(room);
    }
    eve.join("kept:a");
    let call = |body: Value| post(&served, "/api/publish", 200, &body);
    let several = call(json!({"rooms": ["kept:a", "none:x", "kept:b"], "data": 4}));
    let rooms = several["rooms"].as_array().expect("rooms");
    assert_eq!(rooms[0]["delivered"], 2);
    assert_eq!(
        (&rooms[1]["room"], &rooms[1]["problem"]["status"]),
        (&json!("none:x"), &json!(400))
    );
    assert_eq!(
        (&rooms[2]["offset"], &rooms[2]["delivered"]),
        (&json!(1), &json!(1))
    );
    // There is no order between rooms.
    let mut both = [heard(&mut ann), heard(&mut ann)];
    both.sort_by_key(|event| event["room"].to_string());
    assert_eq!(
        both,
        ["kept:a", "kept:b"].map(|room| event(room, 1, json!(4)))
    );
    assert_eq!(heard(&mut eve), event("kept:a", 1, json!(4)));
    // To a user, and to everyone.
    let to_user = call(json!({"user": "ann", "event": "hello", "data": null}));
    assert_eq!(to_user["delivered"], 1);
    assert_eq!(
        heard(&mut ann),
        json!({"type": "event", "event": "hello", "data": null})
    );
    assert_eq!(call(json!({"everyone": true, "data": 5}))["delivered"], 2);
    for client in [&mut ann, &mut eve] {
        assert_eq!(heard(client)["data"], 5);
        client.check_quiet();
    }
}

#[test]
fn what_a_room_keeps_is_read_and_forgotten_when_it_is_told_to() {
    let folder = Folder::new("history");
    let served = folder.serve("");
    let mut eve = client(&served);
    eve.join("kept:a");
    let call = |data: u64| {
        let body = json!({"room": "kept:a", "data": data});
        post(&served, "/api/publish", 200, &body)
    };
    let epoch = call(1)["epoch"].clone();
    for data in 2..=4 {
        call(data);
    }
    for data in 1..=4 {
        assert_eq!(heard(&mut eve)["data"], data);
    }
    let history = json!({"room": "kept:a", "since": {"epoch": epoch, "offset": 2}});
    let kept = post(&served, "/api/history", 200, &history);
    let offsets: Vec<&Value> = kept["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|it| &it["offset"])
        .collect();
    assert_eq!(
        (offsets, &kept["offset"]),
        (vec![&json!(3), &json!(4)], &json!(4))
    );
    let cleared = post(
        &served,
        "/api/history_clear",
        200,
        &json!({"room": "kept:a"}),
    );
    assert_eq!(cleared, json!({"epoch": epoch, "offset": 4}));
    let nothing = post(&served, "/api/history", 200, &history);
    assert_eq!(
        (&nothing["messages"], &nothing["lost"]),
        (&json!([]), &json!("trimmed_by_size"))
    );
    assert_eq!(call(6)["offset"], 5);
    assert_eq!(heard(&mut eve), event("kept:a", 5, json!(6)));
}

/// A call, and the status of its problem.
const REFUSED: &[(&str, &str, u16)] = &[
    ("/api/publish", r#"{"data":1}"#, 400),
    ("/api/publish", r#"{"room":"free:a"}"#, 400),
    (
        "/api/publish",
        r#"{"room":"free:a","user":"ann","data":1}"#,
        400,
    ),
    ("/api/publish", r#"{"everyone":false,"data":1}"#, 400),
    ("/api/publish", r#"{"rooms":[],"data":1}"#, 400),
    (
        "/api/publish",
        r#"{"room":"free:a","data":1,"key":"k"}"#,
        400,
    ),
    (
        "/api/publish",
        r#"{"room":"free:a","data":1,"more":2}"#,
        400,
    ),
    (
        "/api/publish",
        r#"{"room":"free:a","data":1,"except":"me"}"#,
        400,
    ),
    ("/api/publish", r#"{"room":"nowhere:a","data":1}"#, 400),
    ("/api/publish", "[]", 400),
    ("/api/publish", "{", 400),
    ("/api/batch", r#"{"requests":[{"publish":{}}]}"#, 400),
    ("/api/batch", r#"{"requests":[{"nothing":{}}]}"#, 400),
    ("/api/join", r#"{"room":"free:a"}"#, 400),
    (
        "/api/join",
        r#"{"room":"free:a","connection":"0-1-99"}"#,
        404,
    ),
    ("/api/join", r#"{"room":"free:a","connection":"x"}"#, 400),
    ("/api/join", r#"{"room":"nowhere:a","user":"ann"}"#, 400),
    (
        "/api/leave",
        r#"{"room":"free:a","connection":"ff-1-1"}"#,
        404,
    ),
    ("/api/disconnect", r#"{"connection":"0-1-99"}"#, 404),
    ("/api/history", r#"{"room":"free:a"}"#, 400),
    ("/api/history", r#"{"room":"kept:a","limit":1001}"#, 400),
    ("/api/history_clear", r#"{"room":"free:a"}"#, 400),
    ("/api/presence", r#"{"room":"seen:a","cursor":"x"}"#, 400),
    ("/api/presence", r#"{"room":"free:a","limit":0}"#, 400),
    ("/api/log", r#"{"level":"loud"}"#, 400),
    ("/api/nothing", "{}", 404),
    ("/api/rooms", "{}", 405),
];

#[test]
fn what_is_not_understood_is_a_problem_and_changes_nothing() {
    let folder = Folder::new("refused");
    let served = folder.serve("");
    for (path, body, status) in REFUSED {
        let body: Value = serde_json::from_str(body).unwrap_or(json!(body));
        post(&served, path, *status, &body);
    }
    for (path, status) in [
        ("/api/rooms?limit=0", 400),
        ("/api/rooms?limit=1&limit=2", 400),
        ("/api/rooms?what=1", 400),
        ("/api/rooms?cursor=%21", 400),
        ("/api/rooms/nowhere:a", 400),
        ("/api/rooms/%ff", 400),
        ("/api/connections?cursor=x", 400),
        ("/api/connections?address=x", 400),
        ("/api/connections/x", 400),
        ("/api/connections/0-1-99", 404),
        ("/api/publish", 405),
        ("/nothing", 404),
    ] {
        get(&served, path, status);
    }
    assert_eq!(served.metric("publishes_total"), 0);
}

/// A secret namespace hides from clients which others there are, not from operators.
#[test]
fn a_namespace_that_there_is_not_is_a_problem_beside_a_secret_one() {
    let folder = Folder::new("beside");
    let served = folder.serve("[namespaces.hidden]\nsecret = true\njoin = \"users\"\n");
    let mut ann = folder.user(&served, "ann");
    for (path, body) in [
        ("/api/publish", json!({"room": "none:a", "data": 1})),
        ("/api/join", json!({"user": "ann", "room": "none:a"})),
        ("/api/history", json!({"room": "none:a"})),
    ] {
        let problem = post(&served, path, 400, &body);
        assert!(problem["detail"].is_string(), "{path}: {problem}");
    }
    for (path, body) in [
        ("publish", json!({"channel": "none:a", "data": 1})),
        ("subscribe", json!({"user": "ann", "channel": "none:a"})),
        ("history", json!({"channel": "none:a"})),
    ] {
        let answer = post(&served, &format!("/centrifugo/api/{path}"), 200, &body);
        assert_eq!(answer["error"]["code"], 102, "{path}: {answer}");
    }
    let both = json!({"channels": ["none:a", "hidden:a"], "data": 1});
    let answer = post(&served, "/centrifugo/api/broadcast", 200, &both);
    assert_eq!(answer["result"]["responses"][0]["error"]["code"], 102);
    assert!(answer["result"]["responses"][1]["result"].is_object());
    assert_eq!(served.metric("publishes_total"), 1);
    ann.check_quiet();
}

/// Data that no client could read is refused, and not the server's failure.
#[test]
fn data_that_nests_too_deeply_is_not_understood() {
    let folder = Folder::new("deep");
    let served = folder.serve("");
    let deep = |depth| (1..depth).fold(json!([]), |inner, _| json!([inner]));
    for (depth, status) in [(125, 200), (126, 400)] {
        let data = deep(depth);
        let call = json!({"room": "free:a", "data": data});
        let answer = post(&served, "/api/publish", status, &call);
        let batch = json!({"requests": [{"publish": call}]});
        let answers = post(&served, "/api/batch", 200, &batch).to_string();
        let command = json!({"channel": "free:a", "data": data});
        let told = post(&served, "/centrifugo/api/publish", 200, &command);
        if status == 400 {
            let detail = answer["detail"].as_str().expect("a detail");
            assert!(detail.contains("nests too deeply"), "{detail}");
            assert!(answers.contains("nests too deeply"), "{answers}");
            assert_eq!(told["error"]["code"], 107, "{told}");
        } else {
            assert!(told["result"].is_object(), "{told}");
        }
    }
    assert_eq!(served.metric("publishes_total"), 3);
}

#[test]
fn a_batch_is_done_in_its_order_and_each_part_has_its_own_answer() {
    let folder = Folder::new("batch");
    let served = folder.serve("");
    let mut ann = folder.user(&served, "ann");
    let publish = |data: u64| json!({"publish": {"room": "kept:a", "data": data}});
    let mut requests = vec![json!({"join": {"user": "ann", "room": "kept:a"}})];
    requests.extend((0..2_000).map(publish));
    requests.push(json!({"publish": {"room": "nowhere:a", "data": 0}}));
    requests.push(json!({"leave": {"user": "ann", "room": "kept:a"}}));
    requests.push(publish(9));
    requests.push(json!({"history": {"room": "kept:a", "limit": 1, "reverse": true}}));
    let answer = post(&served, "/api/batch", 200, &json!({"requests": requests}));
    let answers = answer["answers"].as_array().expect("answers");
    assert_eq!(answers.len(), requests.len());
    assert_eq!(answers[0], json!({"status": 200, "answer": {"joined": 1}}));
    for (index, answer) in answers[1..=2_000].iter().enumerate() {
        let (offset, delivered) = (&answer["answer"]["offset"], &answer["answer"]["delivered"]);
        let behind = &answer["answer"]["queued"];
        assert_eq!(offset, &json!(index + 1));
        assert_eq!(
            delivered
                .as_u64()
                .zip(behind.as_u64())
                .map(|(one, other)| one + other),
            Some(1)
        );
    }
    assert_eq!(answers[2_001]["status"], 400);
    assert_eq!(answers[2_001]["problem"]["status"], 400);
    assert_eq!(
        answers[2_002],
        json!({"status": 200, "answer": {"left": 1}})
    );
    assert_eq!(answers[2_003]["answer"]["delivered"], 0);
    assert_eq!(answers[2_004]["answer"]["messages"][0]["data"], 9);
    for data in 0..2_000 {
        assert_eq!(heard(&mut ann)["data"], data);
    }
    ann.check_quiet();
    let many = vec![publish(0); 10_001];
    post(&served, "/api/batch", 400, &json!({"requests": many}));
}

#[test]
fn operators_join_remove_and_disconnect_whom_they_name() {
    let folder = Folder::new("ends");
    let served = folder.serve("");
    let mut anns: Vec<Client> = (0..3).map(|_| folder.user(&served, "ann")).collect();
    let mut other = client(&served);
    other.join("free:a");
    // Who is welcome is a connection of its user a moment later, at another shard.
    wait_until("the user has three connections", || {
        get(&served, "/api/users/ann", 200)["connections"] == 3
    });
    let both = json!({"user": "ann", "room": "free:a"});
    assert_eq!(post(&served, "/api/join", 200, &both), json!({"joined": 3}));
    assert_eq!(
        post(&served, "/api/join", 200, &both),
        json!({"joined": 3}),
        "they are in it"
    );
    assert_eq!(get(&served, "/api/rooms/free:a", 200)["members"], 4);
    assert_eq!(post(&served, "/api/leave", 200, &both), json!({"left": 3}));
    assert_eq!(post(&served, "/api/leave", 200, &both), json!({"left": 0}));
    let first = get(&served, "/api/users/ann", 200)["first"][0]["connection"].clone();
    let one = json!({"connection": first, "room": "free:a"});
    assert_eq!(post(&served, "/api/join", 200, &one), json!({"joined": 1}));
    assert_eq!(get(&served, "/api/rooms/free:a", 200)["members"], 2);
    let close = json!({"room": "free:a", "code": 4_005, "reason": "over"});
    assert_eq!(
        post(&served, "/api/disconnect", 200, &close),
        json!({"disconnected": 2})
    );
    assert_eq!(other.closed(), (4_005, "over".to_owned()));
    let close = json!({"user": "ann"});
    assert_eq!(
        post(&served, "/api/disconnect", 200, &close),
        json!({"disconnected": 2})
    );
    for ann in &mut anns {
        assert!([4_004, 4_005].contains(&ann.closed().0));
    }
}
