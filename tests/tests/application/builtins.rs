//! What the server answers itself: every request and every refusal of it.

use crate::speaker::Speaker;
use crate::{each, each_with, guests, settle};
use serde_json::{Value, json};
use shardcast::App;
use shardcast_engine::protocol::dialect::Dialect;

#[test]
fn pings_and_echoes_bring_the_data_back() {
    each(App::new, |server, _, dialect| {
        let mut one = Speaker::new(server, dialect);
        for kind in ["ping", "echo"] {
            one.check(kind, Value::Null, json!({}));
            one.check(kind, json!({}), json!({}));
            for data in [
                Value::Null,
                json!(true),
                json!(0),
                json!(-1),
                json!(u64::MAX),
                json!(i64::MIN),
                json!(1.5),
                json!(""),
                json!("é 漢 😀 \" \\ \n \u{0} \u{7f}"),
                json!([1, [2, [3]], {}]),
                json!({"a": {"b": null}, "type": "x", "id": 7}),
            ] {
                one.check(kind, json!({"data": data}), json!({"data": data}));
            }
        }
    });
}

#[test]
fn rooms_are_joined_listed_and_left() {
    each_with(
        guests,
        |config| config.rooms_per_connection_max = 3,
        |server, _, dialect| {
            let mut one = Speaker::at(server.address(), dialect, "?user=ann");
            let mut two = Speaker::new(server, dialect);
            let joined = |room: &str, members: u32| json!({"room": room, "members": members});
            one.check("join_room", json!({"room": "a"}), joined("a", 1));
            two.check("join_room", json!({"room": "a"}), joined("a", 2));
            two.check("join_room", json!({"room": "a"}), joined("a", 2));
            two.check(
                "join_room",
                json!({"rooms": ["b", "a", "b"]}),
                json!({"rooms": [joined("b", 1), joined("a", 2)]}),
            );
            two.check_refused("join_room", json!({"rooms": ["c", "d"]}), "room_limit");
            two.check("rooms", Value::Null, json!({"rooms": ["a", "b"]}));
            two.join("c");
            two.check_refused("join_room", json!({"room": "d"}), "room_limit");
            two.check("rooms", json!({}), json!({"rooms": ["a", "b", "c"]}));

            let mut presence = one.ask("presence", json!({"room": "a"}));
            presence["members"]
                .as_array_mut()
                .expect("a list")
                .sort_by_key(|member| member["user"].is_null());
            let members = [
                json!({"connection": one.id(), "user": "ann"}),
                json!({"connection": two.id(), "user": null}),
            ];
            let expected = json!({"room": "a", "total": 2, "members": members});
            assert_eq!(presence, expected);
            let nobody = json!({"room": "z", "total": 0, "members": []});
            one.check("presence", json!({"room": "z"}), nobody);

            two.check_refused("leave_room", json!({"rooms": ["a", "x"]}), "not_joined");
            two.check("leave_room", json!({"room": "b"}), json!({"room": "b"}));
            two.check(
                "leave_room",
                json!({"rooms": ["c", "a", "c"]}),
                json!({"rooms": ["c", "a"]}),
            );
            two.check("rooms", Value::Null, json!({"rooms": []}));
            one.check("join_room", json!({"room": "a"}), joined("a", 1));
        },
    );
}

#[test]
fn a_connection_is_told_about_itself() {
    each(guests, |server, _, dialect| {
        for (query, user) in [("?user=ann", json!("ann")), ("", Value::Null)] {
            let mut one = Speaker::at(server.address(), dialect, query);
            one.join("b");
            one.join("a");
            let mut status = one.ask("status", Value::Null);
            let age = status["connected_ms"].take();
            assert!(age.is_u64(), "{age}");
            let expected = json!({
                "connection": one.id(), "user": user, "rooms": ["a", "b"],
                "connected_ms": null, "shard": one.shard(),
            });
            assert_eq!(status, expected);
        }
    });
}

fn counts(delivered: u32) -> Value {
    json!({"delivered": delivered, "queued": 0, "dropped": 0, "conflated": 0, "catching_up": 0})
}

#[test]
fn broadcasts_reach_whom_they_name() {
    each(guests, |server, handle, dialect| {
        let at = |query| Speaker::at(server.address(), dialect, query);
        let mut all = [at(""), at("?user=ann"), at("?user=ann"), at("")];
        settle(server, handle, "ann", 2);
        all[0].join("r");
        all[1].join("r");
        all[1].join("s");
        all[2].join("s");
        let from = all[0].id().to_owned();
        // To whom, who hears it with the echo, and in which order of rooms.
        let (r, s) = (Some("r"), Some("s"));
        let cases: [(Value, [&[Option<&str>]; 4]); 5] = [
            (json!({"room": "r"}), [&[r], &[r], &[], &[]]),
            (
                json!({"rooms": ["r", "s", "r"]}),
                [&[r], &[r, s], &[s], &[]],
            ),
            (json!({"user": "ann"}), [&[], &[None], &[None], &[]]),
            (json!({}), [&[None], &[None], &[None], &[None]]),
            (json!({"room": "nobody"}), [&[], &[], &[], &[]]),
        ];
        let mut number = 0;
        for (target, hearers) in cases {
            for echo in [None, Some(true), Some(false)] {
                for report in [false, true] {
                    for kind in ["broadcast", "publish"] {
                        if kind == "publish" && !has_room(&target) {
                            continue;
                        }
                        number += 1;
                        let mut request = target.clone();
                        request["data"] = json!({"number": number});
                        if let Some(echo) = echo {
                            request["echo"] = echo.into();
                        }
                        if report {
                            request["report"] = true.into();
                        }
                        let skipped = usize::from(echo == Some(false));
                        let count: usize = hearers[skipped..].iter().map(|h| h.len()).sum();
                        let answer = if report {
                            counts(count as u32)
                        } else {
                            json!({})
                        };
                        all[0].check(kind, request, answer);
                        for (hearer, rooms) in all.iter_mut().zip(hearers).skip(skipped) {
                            hear_in(hearer, rooms, &from, number);
                        }
                    }
                }
            }
        }
        all.iter_mut().for_each(Speaker::check_quiet);
    });
}

fn has_room(target: &Value) -> bool {
    target.get("room").is_some() || target.get("rooms").is_some()
}

/// Rooms have an order each, but none among them.
#[track_caller]
fn hear_in(hearer: &mut Speaker, rooms: &[Option<&str>], from: &str, number: u32) {
    let mut heard: Vec<Value> = rooms.iter().map(|_| hearer.hear()).collect();
    heard.sort_by_key(|message| message["room"].to_string());
    let expected = rooms.iter().map(|room| {
        let mut message = json!({"type": "message", "from": from, "data": {"number": number}});
        if let Some(room) = room {
            message["room"] = (*room).into();
        }
        message
    });
    assert_eq!(heard, expected.collect::<Vec<_>>());
}

#[test]
fn a_broadcast_without_an_id_is_not_answered_and_without_data_is_null() {
    each(App::new, |server, _, dialect| {
        let mut one = Speaker::new(server, dialect);
        one.notify("broadcast", json!({}));
        let expected = json!({"type": "message", "from": one.id(), "data": null});
        one.expect(&expected);
        one.check_quiet();
    });
}

#[test]
fn every_refusal_has_its_code_and_changes_nothing() {
    let long = "x".repeat(256);
    each_with(
        App::new,
        |config| config.rooms_per_connection_max = 3,
        |server, _, dialect| {
            let mut one = Speaker::new(server, dialect);
            one.join("a");
            for (kind, params, code) in [
                ("nonsense", json!({}), "unknown_type"),
                ("", json!({}), "unknown_type"),
                ("join_room", json!({}), "bad_request"),
                ("join_room", json!({"room": ""}), "bad_request"),
                ("join_room", json!({"room": 1}), "bad_request"),
                ("join_room", json!({"room": long}), "bad_request"),
                ("join_room", json!({"room": "a\u{0}b"}), "bad_request"),
                ("join_room", json!({"room": "\u{85}"}), "bad_request"),
                (
                    "join_room",
                    json!({"room": "b", "rooms": ["c"]}),
                    "bad_request",
                ),
                ("join_room", json!({"rooms": []}), "bad_request"),
                ("join_room", json!({"rooms": "b"}), "bad_request"),
                ("join_room", json!({"rooms": ["b", 1]}), "bad_request"),
                ("join_room", json!({"rooms": ["b", ""]}), "bad_request"),
                (
                    "join_room",
                    json!({"rooms": ["b", "c", "d", "e"]}),
                    "room_limit",
                ),
                ("leave_room", json!({}), "bad_request"),
                ("leave_room", json!({"room": "x"}), "not_joined"),
                ("leave_room", json!({"rooms": ["a", "x"]}), "not_joined"),
                ("broadcast", json!({"echo": 1}), "bad_request"),
                ("broadcast", json!({"report": "yes"}), "bad_request"),
                ("broadcast", json!({"user": ""}), "bad_request"),
                ("broadcast", json!({"user": long}), "bad_request"),
                ("broadcast", json!({"user": ["ann"]}), "bad_request"),
                (
                    "broadcast",
                    json!({"user": "ann", "room": "a"}),
                    "bad_request",
                ),
                (
                    "broadcast",
                    json!({"room": "a", "rooms": ["a"]}),
                    "bad_request",
                ),
                ("broadcast", json!({"rooms": ["a", ""]}), "bad_request"),
                (
                    "broadcast",
                    json!({"rooms": ["a", "a", "a", "a"]}),
                    "room_limit",
                ),
                ("publish", json!({}), "bad_request"),
                ("publish", json!({"user": "ann"}), "bad_request"),
                ("presence", json!({}), "bad_request"),
                ("presence", json!({"room": ""}), "bad_request"),
            ] {
                let refused = one.check_refused(kind, params, code);
                assert_eq!(refused["retryable"], false, "{refused}");
                assert!(refused["message"].is_string(), "{refused}");
            }
            one.check_quiet();
            one.check("rooms", Value::Null, json!({"rooms": ["a"]}));
        },
    );
}

#[test]
fn what_would_be_too_large_on_delivery_is_refused_and_the_largest_is_delivered() {
    each(App::new, |server, _, dialect| {
        let mut one = Speaker::new(server, dialect);
        let max = shardcast_tests::config(1).message_bytes_max();
        let envelope = |speaker: &Speaker, data: &str| {
            let params = json!({"data": data});
            bytes(dialect, &speaker.request("broadcast", Some(9), params))
        };
        let least = envelope(&one, &"x".repeat(70_000)) - 70_000;
        // The delivery's own keys are a few bytes more than the request's.
        one.check_refused(
            "broadcast",
            json!({"data": "x".repeat(max - least - 1)}),
            "too_large",
        );
        one.check_quiet();
        let data = "x".repeat(max - least - 30);
        one.check("broadcast", json!({"data": data}), json!({}));
        assert_eq!(one.hear()["data"], data);
    });
}

fn bytes(dialect: Dialect, request: &Value) -> usize {
    match dialect {
        Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => unreachable!("it speaks another"),
        Dialect::NativeJson | Dialect::JsonRpc => request.to_string().len(),
        Dialect::MessagePack => {
            let mut bytes = Vec::new();
            let packed = crate::speaker::pack_of(request);
            rmpv::encode::write_value(&mut bytes, &packed).expect("memory");
            bytes.len()
        }
    }
}
