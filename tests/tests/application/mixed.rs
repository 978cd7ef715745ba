//! One room with clients of all dialects: each hears everything in its own, in one order, with the
//! same data.

use crate::speaker::{Speaker, pack_of};
use crate::{SHARDS, guests, settle, wait};
use rmpv::Value as Pack;
use serde_json::{Value, json};
use shardcast::{App, Handle};
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::{Server, config};

/// Two of each dialect, all in the room `r` and all `ann`.
fn crowd(app: App, shards: usize) -> (Server, Handle, Vec<Speaker>) {
    let (server, handle) = Server::of(app, config(shards));
    let dialects = Dialect::OWN.into_iter().chain(Dialect::OWN);
    let mut crowd: Vec<Speaker> = dialects
        .map(|dialect| Speaker::at(server.address(), dialect, "?user=ann"))
        .collect();
    crowd.iter_mut().for_each(|speaker| {
        speaker.join("r");
    });
    settle(&server, &handle, "ann", crowd.len());
    (server, handle, crowd)
}

#[test]
fn data_is_the_same_in_every_dialect() {
    let all = [
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(127),
        json!(-33),
        json!(65_536),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1.5),
        json!(-0.1),
        json!(1e300),
        json!(5e-324),
        json!(""),
        json!("é 漢 😀 \u{10ffff} \u{2028} \" \\ / \n \u{0} \u{7f}"),
        json!("x".repeat(300)),
        json!([]),
        json!({}),
        json!([[], {}, [null, [1.25, "a"]]]),
        json!({"type": "message", "room": "x", "": {"é": [1, 2, 3]}, "jsonrpc": "2.0"}),
    ];
    for shards in SHARDS {
        let (server, _, mut crowd) = crowd(guests(), shards);
        for data in &all {
            for sender in 0..crowd.len() {
                let from = crowd[sender].id().to_owned();
                for (target, room) in [
                    (json!({"room": "r"}), json!("r")),
                    (json!({"user": "ann"}), Value::Null),
                    (json!({}), Value::Null),
                ] {
                    let mut request = target;
                    request["data"] = data.clone();
                    request["report"] = true.into();
                    let counts = json!({"delivered": crowd.len(), "queued": 0, "dropped": 0, "conflated": 0, "catching_up": 0});
                    crowd[sender].check("broadcast", request, counts);
                    let mut expected = json!({"type": "message", "from": from, "data": data});
                    if !room.is_null() {
                        expected["room"] = room;
                    }
                    for hearer in &mut crowd {
                        hearer.expect(&expected);
                    }
                }
            }
        }
        drop(crowd);
        server.wait_until_empty();
    }
}

#[test]
fn all_hear_one_order() {
    const EACH: usize = 100;
    for shards in SHARDS {
        let (server, _, mut crowd) = crowd(guests(), shards);
        for number in 0..EACH {
            for speaker in &mut crowd {
                speaker.notify("publish", json!({"room": "r", "data": {"number": number}}));
            }
        }
        let mut heard = crowd.iter_mut().map(|speaker| {
            let messages = (0..6 * EACH).map(|_| speaker.hear());
            messages.collect::<Vec<Value>>()
        });
        let first = heard.next().expect("six of them");
        for other in heard {
            assert_eq!(other, first);
        }
        // And of each sender in its order.
        for speaker in &crowd {
            let own = first
                .iter()
                .filter(|message| message["from"] == speaker.id());
            let numbers: Vec<u64> = own
                .map(|message| message["data"]["number"].as_u64().expect("a number"))
                .collect();
            assert_eq!(numbers, (0..EACH as u64).collect::<Vec<_>>());
        }
        crowd.iter_mut().for_each(Speaker::check_quiet);
        drop(crowd);
        server.wait_until_empty();
    }
}

#[test]
fn events_of_the_server_reach_every_dialect() {
    for shards in SHARDS {
        let app = guests();
        app.handlers()
            .on("tell", |cx, data: Value| {
                cx.to("r").emit("told", &data)?;
                Ok(())
            })
            .expect("a new type");
        let (_server, handle, mut crowd) = crowd(app, shards);
        for sender in 0..crowd.len() {
            let data = json!({"a": [1, -2, 2.5, "é", null]});
            let answer = crowd[sender].ask("tell", data.clone());
            assert_eq!(answer, Value::Null);
            for hearer in &mut crowd {
                hearer
                    .expect(&json!({"type": "event", "event": "told", "room": "r", "data": data}));
            }
        }
        wait(handle.to("r").emit("outside", &json!([1]))).expect("it is sent");
        for hearer in &mut crowd {
            hearer.expect(&json!({"type": "event", "event": "outside", "room": "r", "data": [1]}));
        }
    }
}

#[test]
fn what_json_cannot_say_becomes_the_nearest_that_it_can() {
    let (_server, _, mut crowd) = crowd(guests(), 2);
    // What MessagePack says, what it hears itself, and what JSON hears.
    let cases = [
        (
            Pack::Binary(vec![0, 1, 255]),
            json!({"bytes": [0, 1, 255]}),
            json!("AAH/"),
        ),
        (Pack::Binary(Vec::new()), json!({"bytes": []}), json!("")),
        (Pack::F64(f64::NAN), Value::Null, Value::Null),
        (Pack::F64(f64::INFINITY), Value::Null, Value::Null),
        (Pack::F32(0.5), json!(0.5), json!(0.5)),
        (Pack::F64(3.0), json!(3.0), json!(3)),
        (
            Pack::F64(1_732_860_000_000.0),
            json!(1_732_860_000_000.0),
            json!(1_732_860_000_000_u64),
        ),
        (
            Pack::Ext(5, vec![1, 2]),
            json!({"ext": 5, "bytes": [1, 2]}),
            json!({"ext": 5, "data": "AQI="}),
        ),
        // `undefined` and a `Date` of npm msgpackr.
        (
            Pack::Ext(0, vec![0]),
            json!({"ext": 0, "bytes": [0]}),
            Value::Null,
        ),
        (
            Pack::Ext(-1, vec![0, 0, 0, 1]),
            json!({"ext": -1, "bytes": [0, 0, 0, 1]}),
            json!("1970-01-01T00:00:01.000Z"),
        ),
        (
            Pack::Map(vec![
                (Pack::Nil, Pack::from(1)),
                (Pack::Boolean(true), Pack::from(2)),
            ]),
            json!({"nil": 1, "true": 2}),
            json!({"null": 1, "true": 2}),
        ),
        (
            Pack::Map(vec![(Pack::from(-7), Pack::from("x"))]),
            json!({"-7": "x"}),
            json!({"-7": "x"}),
        ),
    ];
    for (data, own, json) in cases {
        publish_pack(&mut crowd[2], data);
        for hearer in &mut crowd {
            let expected = match hearer.dialect {
                Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => {
                    unreachable!("it speaks another")
                }
                Dialect::MessagePack => &own,
                Dialect::NativeJson | Dialect::JsonRpc => &json,
            };
            assert_eq!(hearer.hear()["data"], *expected);
        }
    }
}

/// A key that is a container has no JSON: nobody hears the message, and its sender is told.
#[test]
fn what_has_no_json_is_refused() {
    for shards in SHARDS {
        let (_server, _, mut crowd) = crowd(guests(), shards);
        for key in [
            Pack::Array(Vec::new()),
            Pack::Map(Vec::new()),
            Pack::Ext(-1, vec![0, 0, 0, 1]),
        ] {
            publish_pack(&mut crowd[2], Pack::Map(vec![(key, Pack::from(1))]));
            let refused = crowd[2].hear();
            assert_eq!(refused["with"]["error"], "bad_request", "{refused}");
            let message = refused["with"]["message"].as_str().expect("a text");
            assert!(message.contains("a key that is an array, a map or an extension"));
            crowd.iter_mut().for_each(Speaker::check_quiet);
        }
    }
}

/// The limit holds for what is delivered, and a message is for all or for nobody.
#[test]
fn what_another_dialect_has_no_room_for_is_refused() {
    // Each byte is six in JSON.
    let (grows, stays) = (json!("\0".repeat(60_000)), json!("a".repeat(60_000)));
    for shards in SHARDS {
        let app = guests();
        app.handlers()
            .on("tell", |cx, data: Value| {
                cx.to("r").emit("told", &data)?;
                Ok(())
            })
            .expect("a new type");
        let (server, handle) = Server::of(app, config(shards));
        let mut pack = [(); 2].map(|()| Speaker::new(&server, Dialect::MessagePack));
        for speaker in &mut pack {
            speaker.join("r");
        }
        let [one, other] = &mut pack;
        // Where nobody speaks another dialect, nothing grows.
        let publish =
            |data: &Value| json!({"room": "r", "data": data, "echo": false, "report": true});
        one.check(
            "publish",
            publish(&grows),
            json!({"delivered": 1, "queued": 0, "dropped": 0, "conflated": 0, "catching_up": 0}),
        );
        assert_eq!(other.hear()["data"], grows);
        let mut native = Speaker::new(&server, Dialect::NativeJson);
        native.join("r");
        let refused = one.check_refused("publish", publish(&grows), "too_large");
        let message = refused["message"].as_str().expect("a text");
        assert!(message.contains("dialect of other clients"), "{message}");
        one.check_refused("tell", grows.clone(), "too_large");
        let outside = wait(handle.to("r").emit("outside", &vec![[7; 3]; 7_000]));
        outside.expect("56 kB in JSON, and less in MessagePack");
        // Floats are 4 bytes in JSON and 9 in MessagePack.
        let floats = vec![0.5; 15_000];
        let refused = wait(handle.to("r").emit("outside", &floats)).expect_err("135 kB");
        let code = refused.problem().expect("for clients to hear").code;
        assert_eq!(code.as_str(), "too_large");
        native.check_refused("publish", publish(&json!(floats)), "too_large");
        one.check(
            "publish",
            publish(&stays),
            json!({"delivered": 2, "queued": 0, "dropped": 0, "conflated": 0, "catching_up": 0}),
        );
        for hearer in [&mut *other, &mut native] {
            assert_eq!(hearer.hear()["event"], "outside");
            assert_eq!(hearer.hear()["data"], stays);
            hearer.check_quiet();
        }
        assert_eq!(one.hear()["event"], "outside");
        // Once nobody speaks JSON any more, nobody's limit is exceeded.
        native.client.leave();
        server.wait_until("only MessagePack", |server| {
            server.sum(|shard| &shard.connections) == 2
        });
        one.check(
            "publish",
            publish(&grows),
            json!({"delivered": 1, "queued": 0, "dropped": 0, "conflated": 0, "catching_up": 0}),
        );
        assert_eq!(other.hear()["data"], grows);
    }
}

#[test]
fn a_server_that_drains_says_so_in_every_dialect() {
    for shards in SHARDS {
        let app = guests().reconnect_window(std::time::Duration::from_millis(700));
        let (server, _, mut crowd) = crowd(app, shards);
        let drained = std::thread::spawn(move || server.drain(shardcast_tests::PATIENCE));
        for speaker in &mut crowd {
            let mut closing = speaker.hear();
            let back = closing["reconnect_ms"].take();
            assert!(back.as_u64() <= Some(700), "{back}");
            let expected = json!({"type": "closing", "reason": "draining", "reconnect_ms": null});
            assert_eq!(closing, expected);
            assert_eq!(speaker.client.closed().0, 1001);
        }
        assert!(drained.join().unwrap());
    }
}

#[track_caller]
fn publish_pack(speaker: &mut Speaker, data: Pack) {
    let Pack::Map(mut request) = pack_of(&json!({"type": "publish", "room": "r"})) else {
        unreachable!("it is a map");
    };
    request.push((Pack::from("data"), data));
    speaker.say_pack(&Pack::Map(request));
}
