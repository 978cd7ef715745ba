//! What rooms keep, as clients of every dialect meet it: positions, pages of history, keys, and
//! what is refused.

use crate::speaker::Speaker;
use crate::{SHARDS, each, guests};
use serde_json::{Value, json};
use shardcast::App;
use shardcast::namespace::{ControlPolicy, History, Namespace, Namespaces, Roles, SlowReader, Who};
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::{PATIENCE, Server, config, is_reached_within};
use std::time::Duration;

/// A namespace whose rooms keep something.
pub(crate) fn keeping(history: History) -> Namespace {
    Namespace {
        history: Some(history),
        ..Namespace::default()
    }
}

/// Clients say who they are; `chat` keeps the defaults, and others come with it.
pub(crate) fn chatting(others: &[(&str, Namespace)]) -> App {
    let chat = ("chat", keeping(History::default()));
    let named = others.iter().cloned().chain([chat]);
    let namespaces = Namespaces::new(Namespace::default(), named).expect("they are good");
    guests().namespaces(namespaces)
}

/// Publishes, and takes the place that it got.
#[track_caller]
pub(crate) fn publish(speaker: &mut Speaker, room: &str, data: &Value) -> (String, u64) {
    let params = json!({"room": room, "data": data, "echo": false});
    place_in(&speaker.ask("publish", params))
}

/// Epoch and offset of an answer.
#[track_caller]
pub(crate) fn place_in(answer: &Value) -> (String, u64) {
    let epoch = answer["epoch"].as_str();
    let epoch = epoch.unwrap_or_else(|| panic!("no epoch: {answer}"));
    assert!((1..=16).contains(&epoch.len()), "{epoch}");
    (
        epoch.to_owned(),
        answer["offset"].as_u64().expect("an offset"),
    )
}

#[test]
fn places_are_told_and_rise_by_one() {
    each(
        || chatting(&[]),
        |server, _, dialect| {
            let mut all = [(); 2].map(|()| Speaker::new(server, dialect));
            let joined = all[0].ask("join_room", json!({"room": "chat:a"}));
            let (epoch, offset) = place_in(&joined);
            assert_eq!(
                (offset, joined),
                (
                    0,
                    json!({"room": "chat:a", "members": 1, "epoch": epoch, "offset": 0})
                )
            );
            for offset in 1..=3 {
                let place = publish(&mut all[1], "chat:a", &json!(offset));
                assert_eq!(place, (epoch.clone(), offset));
                let from = all[1].id().to_owned();
                all[0].expect(&json!({
                "type": "message", "room": "chat:a", "from": from, "offset": offset, "data": offset,
            }));
            }
            // Who asks for no answer gets none, and its message a place all the same.
            all[1].notify("publish", json!({"room": "chat:a", "data": 4}));
            assert_eq!(all[0].hear()["offset"], 4);
            all[1].check_quiet();
            // Joining again says where the room is now.
            let again = all[0].ask("join_room", json!({"room": "chat:a"}));
            assert_eq!(place_in(&again), (epoch.clone(), 4));
            assert_eq!(again.get("recovered"), None);
            let report = json!({"room": "chat:a", "data": 5, "report": true});
            all[1].check(
                "broadcast",
                report,
                json!({
                    "epoch": epoch, "offset": 5, "delivered": 1, "queued": 0, "dropped": 0,
                    "conflated": 0, "catching_up": 0,
                }),
            );
            assert_eq!(all[0].hear()["offset"], 5);
            // A room of the same namespace has an order of its own, and one without history has
            // none.
            let (other, offset) = publish(&mut all[1], "chat:b", &json!(1));
            assert!(other != epoch && offset == 1, "{other} {offset}");
            all[1].check("publish", json!({"room": "plain"}), json!({}));
            all[1].check("publish", json!({"rooms": ["plain"]}), json!({}));
            all.iter_mut().for_each(Speaker::check_quiet);
        },
    );
}

#[test]
fn pages_of_history_are_what_was_delivered() {
    each(
        || chatting(&[]),
        |server, handle, dialect| {
            let mut one = Speaker::new(server, dialect);
            let room = "chat:a";
            let empty = one.ask("history", json!({"room": room}));
            let (epoch, _) = place_in(&empty);
            let page = |offset: u64, messages: Value| json!({"room": room, "epoch": epoch, "offset": offset, "messages": messages});
            assert_eq!(empty, page(0, json!([])));
            let data = [
                json!({"a": [1, 2.5, null]}),
                json!("zwei"),
                json!(3),
                json!(null),
            ];
            let mut kept: Vec<Value> = Vec::new();
            for (data, offset) in data.iter().zip(1..) {
                publish(&mut one, room, data);
                kept.push(json!({"offset": offset, "from": one.id(), "data": data}));
            }
            handle
                .to(room)
                .try_emit("price", &json!({"eur": 1.5}))
                .unwrap();
            kept.push(json!({"offset": 5, "event": "price", "data": {"eur": 1.5}}));
            server.wait_until("the event", |server| {
                server.sum(|shard| &shard.publishes) == 5
            });
            let since = |offset: u64| json!({"epoch": epoch, "offset": offset});
            let reversed = |kept: &[Value]| kept.iter().rev().cloned().collect::<Vec<_>>();
            for (params, messages) in [
                (json!({}), kept.clone()),
                (json!({"limit": 5}), kept.clone()),
                (json!({"limit": 2}), kept[..2].to_vec()),
                (json!({"limit": 0}), vec![]),
                (
                    json!({"limit": null, "since": null, "reverse": null}),
                    kept.clone(),
                ),
                (json!({"since": since(2)}), kept[2..].to_vec()),
                (json!({"since": since(2), "limit": 1}), kept[2..3].to_vec()),
                (json!({"since": since(5)}), vec![]),
                (json!({"since": {"offset": 3}}), kept[3..].to_vec()),
                (json!({"since": {"epoch": "", "offset": 0}}), kept.clone()),
                (json!({"reverse": true}), reversed(&kept)),
                (json!({"reverse": true, "limit": 2}), reversed(&kept[3..])),
                (
                    json!({"reverse": true, "since": since(3)}),
                    reversed(&kept[..2]),
                ),
                (json!({"reverse": true, "since": since(1)}), vec![]),
                (json!({"limit": 4_000_000_000_u32}), kept.clone()),
            ] {
                let mut asked = params;
                asked["room"] = json!(room);
                one.check("history", asked, page(5, json!(messages)));
            }
            one.check_quiet();
        },
    );
}

/// Another order, or none at all: what there is comes with the reason.
#[test]
fn a_place_that_is_not_there_is_told() {
    each(
        || chatting(&[]),
        |server, _, dialect| {
            let mut one = Speaker::new(server, dialect);
            publish(&mut one, "chat:a", &json!(1));
            for (epoch, offset) in [("zzz", 1), ("Not an epoch of anybody", 0), ("", 7)] {
                let since = json!({"epoch": epoch, "offset": offset});
                let answer = one.ask("history", json!({"room": "chat:a", "since": since}));
                assert_eq!(
                    (&answer["recovered"], &answer["reason"], &answer["offset"]),
                    (&json!(false), &json!("epoch_changed"), &json!(1)),
                    "{answer}"
                );
            }
        },
    );
}

/// What one dialect has said is read in every other, with the same meaning.
#[test]
fn history_is_read_in_every_dialect() {
    for shards in SHARDS {
        let (server, _) = Server::of(chatting(&[]), config(shards));
        let mut all = Dialect::OWN.map(|dialect| Speaker::new(&server, dialect));
        let data = json!({"text": "größe 🦀", "numbers": [1, -2, 0.5]});
        let mut kept = Vec::new();
        for (offset, speaker) in (1..).zip(&mut all) {
            publish(speaker, "chat:a", &data);
            kept.push(json!({"offset": offset, "from": speaker.id(), "data": data}));
        }
        for speaker in &mut all {
            let page = speaker.ask("history", json!({"room": "chat:a"}));
            assert_eq!(page["messages"], json!(kept), "{:?}", speaker.dialect);
        }
    }
}

#[test]
fn a_page_is_cut_where_its_client_could_take_no_more() {
    const MESSAGE_BYTES: usize = 32 << 10;
    const MESSAGES: u64 = 64;
    let roomy = keeping(History {
        bytes_max: 16 << 20,
        ..History::default()
    });
    each(
        || chatting(&[("big", roomy.clone())]),
        |server, _, dialect| {
            let mut one = Speaker::new(server, dialect);
            for number in 1..=MESSAGES {
                let text = format!("{number:0>MESSAGE_BYTES$}");
                publish(&mut one, "big:a", &json!(text));
            }
            let (mut last, mut pages) = (0, 0);
            while last < MESSAGES {
                let since = json!({"epoch": "", "offset": last});
                let page = one.ask("history", json!({"room": "big:a", "since": since}));
                assert_eq!(page["offset"], MESSAGES);
                let messages = page["messages"].as_array().expect("a list");
                assert!(!messages.is_empty(), "{last}");
                let bytes = messages.len() * MESSAGE_BYTES;
                assert!(bytes <= 512 << 10, "half of an outbox: {bytes}");
                for message in messages {
                    last += 1;
                    assert_eq!(message["offset"], last);
                }
                pages += 1;
            }
            assert!(pages >= 4, "{pages}");
            assert_eq!(server.sum(|shard| &shard.closed_slow), 0);
        },
    );
}

#[test]
fn a_key_makes_a_second_publish_none() {
    let forgetful = keeping(History {
        idempotency: Some(Duration::from_secs(1)),
        ..History::default()
    });
    each(
        || chatting(&[("brief", forgetful.clone())]),
        |server, _, dialect| {
            let mut all = [(); 3].map(|()| Speaker::new(server, dialect));
            all[2].join("chat:a");
            let keyed = |data: u32, key: &str| json!({"room": "chat:a", "data": data, "key": key, "echo": true});
            let first = all[0].ask("publish", keyed(1, "order-17"));
            let (epoch, _) = place_in(&first);
            assert_eq!(first, json!({"epoch": epoch, "offset": 1}));
            // Again, from whomever, whatever it says.
            let repeated = json!({"epoch": epoch, "offset": 1, "duplicate": true});
            all[0].check("publish", keyed(1, "order-17"), repeated.clone());
            all[1].check("broadcast", keyed(2, "order-17"), repeated.clone());
            let mut report = keyed(3, "order-17");
            report["report"] = json!(true);
            let mut counted = repeated;
            for count in ["delivered", "queued", "dropped", "conflated", "catching_up"] {
                counted[count] = json!(0);
            }
            all[1].check("publish", report, counted);
            all[1].notify("publish", keyed(4, "order-17"));
            all[1].check(
                "publish",
                keyed(5, "order-18"),
                json!({"epoch": epoch, "offset": 2}),
            );
            for data in [1, 5] {
                assert_eq!(all[2].hear()["data"], data);
            }
            assert_eq!(server.sum(|shard| &shard.publishes_repeated), 4);
            // Rooms do not share keys.
            let other = json!({"room": "chat:b", "key": "order-17"});
            assert_eq!(all[0].ask("publish", other)["duplicate"], Value::Null);
            // The window ends.
            let brief = json!({"room": "brief:a", "key": "k"});
            assert_eq!(all[0].ask("publish", brief.clone())["offset"], 1);
            let forgotten = || {
                let answer = all[0].ask("publish", brief.clone());
                answer.get("duplicate").is_none()
            };
            assert!(is_reached_within(PATIENCE, forgotten));
            all[2].check_quiet();
        },
    );
}

#[test]
fn several_rooms_have_a_place_each() {
    each(
        || chatting(&[]),
        |server, _, dialect| {
            let mut all = [(); 2].map(|()| Speaker::new(server, dialect));
            let rooms = json!(["chat:a", "plain", "chat:b"]);
            let joined = all[0].ask("join_room", json!({"rooms": rooms}));
            let epochs: Vec<&str> = ["chat:a", "plain", "chat:b"]
                .iter()
                .zip(joined["rooms"].as_array().expect("a list"))
                .map(|(name, room)| {
                    assert_eq!(room["room"], *name);
                    room["epoch"].as_str().unwrap_or_default()
                })
                .collect();
            assert_eq!(epochs[1], "", "{joined}");
            publish(&mut all[1], "chat:b", &json!("first"));
            let place = |room: &str, epoch: &str, offset: u64| json!({"room": room, "epoch": epoch, "offset": offset});
            let asked = json!({"rooms": rooms, "data": 1, "key": "k"});
            // A key is for all rooms of the request or for none.
            all[1].check_refused("publish", asked, "bad_request");
            let asked = json!({"rooms": ["chat:a", "chat:b"], "data": 1, "key": "k"});
            let mut places = json!([place("chat:a", epochs[0], 1), place("chat:b", epochs[2], 2)]);
            all[1].check("publish", asked.clone(), json!({"rooms": places}));
            places[0]["duplicate"] = json!(true);
            places[1]["duplicate"] = json!(true);
            all[1].check("publish", asked, json!({"rooms": places}));
            // Rooms without history are not among the places, and count in a report.
            let asked = json!({"rooms": rooms, "data": 2});
            let places = json!([place("chat:a", epochs[0], 2), place("chat:b", epochs[2], 3)]);
            all[1].check("publish", asked.clone(), json!({"rooms": places}));
            let mut reported = asked;
            reported["report"] = json!(true);
            let places = json!([place("chat:a", epochs[0], 3), place("chat:b", epochs[2], 4)]);
            all[1].check(
                "publish",
                reported,
                json!({
                    "rooms": places, "delivered": 3, "queued": 0, "dropped": 0,
                    "conflated": 0, "catching_up": 0,
                }),
            );
            let one = json!([place("chat:a", epochs[0], 4)]);
            let asked = json!({"rooms": ["chat:a", "chat:a"], "data": 3});
            all[1].check("publish", asked, json!({"rooms": one}));
            all[1].check_quiet();
        },
    );
}

/// Requests that need what their room does not keep, and the option that the answer names.
fn refusals() -> Vec<(&'static str, Value, &'static str)> {
    const KEYS: &str = "history and idempotency";
    const STRANGE: &str = "a room that rooms does not";
    let since = json!({"epoch": "", "offset": 0});
    let by_room = |rooms: Value, since: Value| json!({"rooms": rooms, "since": since});
    let keyed = |room: &str| json!({"room": room, "key": "k"});
    let joining = |room: &str| json!({"room": room, "since": since});
    let (kept, other) = ("chat:a", "chat:b");
    vec![
        ("history", json!({"room": "plain"}), "history"),
        ("history", json!({"room": "slow:a", "limit": 0}), "history"),
        ("join_room", joining("plain"), "history"),
        ("join_room", joining("slow:a"), "history"),
        (
            "join_room",
            by_room(json!([kept, "plain"]), json!({"plain": since})),
            "history",
        ),
        ("publish", keyed("plain"), KEYS),
        ("publish", keyed("keyless:a"), KEYS),
        ("publish", keyed("slow:a"), KEYS),
        (
            "publish",
            json!({"room": "plain", "conflate": "k"}),
            "slow_reader",
        ),
        (
            "broadcast",
            json!({"user": "ann", "key": "k"}),
            "room or rooms",
        ),
        ("broadcast", json!({"conflate": "k"}), "room or rooms"),
        (
            "join_room",
            by_room(json!([kept]), json!({other: since})),
            STRANGE,
        ),
        (
            "join_room",
            by_room(json!([kept]), json!({kept: since, other: since})),
            STRANGE,
        ),
    ]
}

#[test]
fn what_a_room_does_not_keep_is_refused_by_name() {
    let without_keys = keeping(History {
        idempotency: None,
        ..History::default()
    });
    let slow = Namespace {
        slow_reader: SlowReader::Conflate,
        ..Namespace::default()
    };
    let app = || chatting(&[("keyless", without_keys.clone()), ("slow", slow.clone())]);
    each(app, |server, _, dialect| {
        let mut one = Speaker::new(server, dialect);
        for (kind, params, option) in refusals() {
            let refused = one.check_refused(kind, params, "bad_request");
            let message = refused["message"].as_str().expect("a text");
            assert!(message.contains(option), "{message}");
        }
        one.check("rooms", Value::Null, json!({"rooms": []}));
        // What a room keeps for its slow readers only has no places that clients could name.
        one.check(
            "join_room",
            json!({"room": "slow:a"}),
            json!({"room": "slow:a", "members": 1}),
        );
        let params = json!({"room": "slow:a", "conflate": "k", "echo": false});
        one.check("publish", params, json!({}));
        one.check_quiet();
    });
}

#[test]
fn history_is_for_whom_the_namespace_says() {
    let staff = || Who::Roles(Roles::new(["staff"]).expect("a role"));
    let of = |join, history_read| Namespace {
        join,
        history_read,
        ..keeping(History::default())
    };
    let app = || {
        chatting(&[
            ("late", of(Who::Anyone, staff())),
            ("members", of(Who::Users, Who::Anyone)),
            ("sealed", of(Who::Nobody, Who::Anyone)),
        ])
    };
    each(app, |server, handle, dialect| {
        let at = |query| Speaker::at(server.address(), dialect, query);
        let (mut nobody, mut user) = (at(""), at("?user=ann"));
        let mut staff = at("?user=eve&roles=staff");
        let (no, bad) = (Some("unauthorized"), Some("forbidden"));
        for (room, codes) in [
            ("chat:a", [None; 3]),
            ("late:a", [no, bad, None]),
            ("members:a", [no, None, None]),
            ("sealed:a", [bad; 3]),
        ] {
            let callers = [&mut nobody, &mut user, &mut staff];
            for (caller, code) in callers.into_iter().zip(codes) {
                let since = json!({"epoch": "", "offset": 0});
                for (kind, params) in [
                    ("history", json!({"room": room})),
                    ("join_room", json!({"room": room, "since": since})),
                    (
                        "join_room",
                        json!({"rooms": [room], "since": {room: since}}),
                    ),
                ] {
                    match code {
                        Some(code) => drop(caller.check_refused(kind, params, code)),
                        None => {
                            let answer = caller.ask(kind, params);
                            assert!(answer.get("error").is_none(), "{kind} {room}: {answer}");
                        }
                    }
                }
            }
        }
        // Who may join and not read joins, and hears of no place to come back to: it would be
        // refused with it. It comes back without.
        for rooms in [json!({"room": "late:a"}), json!({"rooms": ["late:a"]})] {
            let joined = nobody.ask("join_room", rooms).to_string();
            assert!(joined.contains("members"), "{joined}");
            assert!(!joined.contains("epoch"), "{joined}");
            assert!(!joined.contains("offset"), "{joined}");
        }
        place_in(&staff.ask("join_room", json!({"room": "late:a"})));
        // Whom the server has let in may read what it hears.
        let id = nobody.id().parse().expect("an id");
        crate::wait(handle.join(id, &["sealed:a"])).unwrap();
        let page = nobody.ask("history", json!({"room": "sealed:a"}));
        assert_eq!(page["messages"], json!([]), "{page}");
    });
}

/// A secret room is refused as one that does not exist, whether it keeps something or not.
#[test]
fn secrets_have_no_history_to_tell() {
    let secret = |history| Namespace {
        join: Who::Users,
        publish: Who::Users,
        presence: Who::Users,
        history,
        secret: true,
        ..Namespace::default()
    };
    let app = || {
        chatting(&[
            ("kept", secret(Some(History::default()))),
            ("silent", secret(None)),
        ])
    };
    each(app, |server, _, dialect| {
        let at = |query| Speaker::at(server.address(), dialect, query);
        let (mut nobody, mut user) = (at(""), at("?user=ann"));
        let mut first: Option<Vec<u8>> = None;
        for room in ["kept:a", "silent:a", "unknown:a", "kept:", "unknown:"] {
            let since = json!({"epoch": "k3", "offset": 1});
            for (kind, params) in [
                ("history", json!({"room": room})),
                ("history", json!({"room": room, "since": since, "limit": 0})),
                ("join_room", json!({"room": room, "since": since})),
                (
                    "join_room",
                    json!({"rooms": [room], "since": {room: since}}),
                ),
            ] {
                let request = nobody.request(kind, Some(7), params);
                nobody.say(&request);
                let answer = nobody.client.hear_any().into_data().to_vec();
                let first = first.get_or_insert_with(|| answer.clone());
                assert_eq!(answer, *first, "{kind} {room}");
            }
        }
        let first = String::from_utf8_lossy(&first.expect("an answer")).into_owned();
        assert!(first.contains("forbidden"), "{first}");
        user.check_refused("history", json!({"room": "silent:a"}), "forbidden");
        let page = user.ask("history", json!({"room": "kept:a"}));
        assert_eq!(page["offset"], 0);
    });
}

/// What is stripped on its way is kept as it was delivered.
#[test]
fn what_is_kept_obeys_the_rules_of_what_is_published() {
    let clean = Namespace {
        control_characters: ControlPolicy::Strip,
        publish: Who::Users,
        ..keeping(History::default())
    };
    each(
        || chatting(&[("clean", clean.clone())]),
        |server, _, dialect| {
            let mut user = Speaker::at(server.address(), dialect, "?user=ann");
            let mut nobody = Speaker::new(server, dialect);
            nobody.check_refused(
                "publish",
                json!({"room": "clean:a", "key": "k"}),
                "unauthorized",
            );
            publish(&mut user, "clean:a", &json!("a\u{0}b"));
            let page = nobody.ask("history", json!({"room": "clean:a"}));
            assert_eq!(page["messages"][0]["data"], "ab", "{page}");
            assert_eq!(page["offset"], 1);
        },
    );
}

/// A message that fits by itself fits with its offset, or is refused.
#[test]
fn an_offset_is_a_part_of_what_is_delivered() {
    each(
        || chatting(&[]),
        |server, _, dialect| {
            let mut all = [(); 2].map(|()| Speaker::new(server, dialect));
            all[0].join("chat:a");
            let (mut sent, mut refused) = (0, 0);
            // More would make a request that is larger than a message may be.
            let most = match dialect {
                Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => {
                    unreachable!("it speaks another")
                }
                Dialect::JsonRpc => 65_440,
                Dialect::NativeJson | Dialect::MessagePack => 65_470,
            };
            for bytes in 65_380..most {
                let data = "x".repeat(bytes);
                let params = json!({"room": "chat:a", "data": data});
                let answer = all[1].ask("publish", params);
                match answer.get("error") {
                    None => {
                        assert_eq!(refused, 0, "{bytes}");
                        let heard = all[0].client.hear_any();
                        assert!(heard.len() <= 65_536, "{}", heard.len());
                        sent += 1;
                    }
                    Some(code) => {
                        assert_eq!(*code, "too_large");
                        refused += 1;
                    }
                }
            }
            assert!(sent > 0 && refused > 0, "{sent} {refused}");
        },
    );
}
