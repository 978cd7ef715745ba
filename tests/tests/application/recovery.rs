//! Clients that come back: what they missed, then what goes on, without a gap or a repeat; or the reason why not. And what newcomers are sent.

use crate::history::{chatting, keeping, place_in, publish};
use crate::speaker::Speaker;
use crate::{each, wait};
use serde_json::{Value, json};
use shardcast::namespace::{History, Newcomers};
use shardcast::{
    Background, Failure, HistoryQuery, Loss, Position, ReadOrder, Recovery, Repeat, RoomHistory,
    Since,
};
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::Server;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;

/// Joins from a place; the answer without what every join says.
#[track_caller]
fn recover(speaker: &mut Speaker, room: &str, since: Value) -> Value {
    let mut joined = speaker.ask("join_room", json!({"room": room, "since": since}));
    assert_eq!(joined["room"], room, "{joined}");
    let joined = joined.as_object_mut().expect("an object");
    for key in ["room", "members", "epoch"] {
        joined.remove(key);
    }
    json!(joined)
}

/// The next messages are these.
#[track_caller]
fn expect_numbers(speaker: &mut Speaker, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let heard = speaker.hear();
        assert_eq!(
            (&heard["offset"], &heard["data"]),
            (&json!(number), &json!(number)),
            "{heard}"
        );
    }
}

#[test]
fn what_was_missed_comes_before_what_goes_on() {
    each(
        || chatting(&[]),
        |server, _, dialect| {
            let mut publisher = Speaker::new(server, dialect);
            let mut epoch = String::new();
            for number in 1..=5 {
                (epoch, _) = publish(&mut publisher, "chat:a", &json!(number));
            }
            for (since, first) in [
                (json!({"epoch": epoch, "offset": 5}), 6),
                (json!({"epoch": epoch, "offset": 3}), 4),
                (json!({"epoch": epoch, "offset": 0}), 1),
                // Any epoch.
                (json!({"epoch": "", "offset": 4}), 5),
                (json!({"offset": 2}), 3),
            ] {
                let mut one = Speaker::new(server, dialect);
                let joined = recover(&mut one, "chat:a", since);
                assert_eq!(joined, json!({"offset": 5, "recovered": true}));
                expect_numbers(&mut one, first..=5);
                one.check_quiet();
            }
            let mut one = Speaker::new(server, dialect);
            recover(&mut one, "chat:a", json!({"epoch": epoch, "offset": 4}));
            publish(&mut publisher, "chat:a", &json!(6));
            expect_numbers(&mut one, 5..=6);
            // A member has missed nothing.
            let again = recover(&mut one, "chat:a", json!({"epoch": epoch, "offset": 1}));
            assert_eq!(again, json!({"offset": 6}));
            one.check_quiet();
        },
    );
}

#[test]
fn several_rooms_are_recovered_at_once() {
    each(
        || chatting(&[]),
        |server, _, dialect| {
            let mut publisher = Speaker::new(server, dialect);
            let mut epochs = Vec::new();
            for room in ["chat:a", "chat:b"] {
                for number in 1..=3 {
                    let (epoch, _) = publish(&mut publisher, room, &json!(number));
                    epochs.push(epoch);
                }
            }
            let mut one = Speaker::new(server, dialect);
            let rooms = json!(["chat:a", "plain", "chat:b", "chat:c"]);
            let since = json!({
                "chat:b": {"epoch": "other", "offset": 1},
                "chat:a": {"epoch": epochs[0], "offset": 1},
            });
            let joined = one.ask("join_room", json!({"rooms": rooms, "since": since}));
            let new = joined["rooms"][3]["epoch"].clone();
            assert_eq!(
                joined,
                json!({"rooms": [
                    {"room": "chat:a", "members": 1, "epoch": epochs[0], "offset": 3, "recovered": true},
                    {"room": "plain", "members": 1},
                    {
                        "room": "chat:b", "members": 1, "epoch": epochs[3], "offset": 3,
                        "recovered": false, "reason": "epoch_changed",
                    },
                    {"room": "chat:c", "members": 1, "epoch": new, "offset": 0},
                ]})
            );
            expect_numbers(&mut one, 2..=3);
            one.check_quiet();
        },
    );
}

#[test]
fn what_is_lost_is_told_with_its_reason() {
    let short = |change: fn(&mut History)| {
        let mut history = History::default();
        change(&mut history);
        keeping(history)
    };
    let few = short(|history| history.publications_max = 3);
    let small = short(|history| history.bytes_max = 80 << 10);
    let brief = short(|history| history.ttl = Duration::from_secs(1));
    let app = || {
        chatting(&[
            ("few", few.clone()),
            ("small", small.clone()),
            ("brief", brief.clone()),
        ])
    };
    each(app, |server, _, dialect| {
        let mut publisher = Speaker::new(server, dialect);
        let mut place = (String::new(), 0);
        for number in 1..=5 {
            place = publish(&mut publisher, "few:a", &json!(number));
        }
        let lost = |reason: &str, offset: u64| json!({"offset": offset, "recovered": false, "reason": reason});
        let check = |room: &str, since: Value, expected: Value| {
            let mut one = Speaker::new(server, dialect);
            assert_eq!(
                recover(&mut one, room, since.clone()),
                expected,
                "{room} {since}"
            );
            one.pass_over();
        };
        let since = |epoch: &str, offset: u64| json!({"epoch": epoch, "offset": offset});
        let recovered = json!({"offset": 5, "recovered": true});
        check("few:a", since(&place.0, 2), recovered);
        check("few:a", since(&place.0, 1), lost("trimmed_by_size", 5));
        check("few:a", since("", 0), lost("trimmed_by_size", 5));
        // Another order; one that never was so far; a text that is no epoch.
        check("few:a", since("zzz", 5), lost("epoch_changed", 5));
        check("few:a", since(&place.0, 6), lost("epoch_changed", 5));
        check("few:a", since("?", 5), lost("epoch_changed", 5));
        let upper = place.0.to_uppercase();
        if upper != place.0 {
            check("few:a", since(&upper, 5), lost("epoch_changed", 5));
        }
        for number in 1..=3 {
            place = publish(
                &mut publisher,
                "small:a",
                &json!(format!("{number:0>30000}")),
            );
        }
        check("small:a", since(&place.0, 0), lost("trimmed_by_size", 3));
        check(
            "small:a",
            since(&place.0, 2),
            json!({"offset": 3, "recovered": true}),
        );
        place = publish(&mut publisher, "brief:a", &json!(1));
        let kept = || {
            let page = publisher.ask("history", json!({"room": "brief:a"}));
            assert_eq!(place_in(&page), place, "the epoch outlives the messages");
            page["messages"] == json!([])
        };
        let patience = shardcast_tests::PATIENCE;
        assert!(shardcast_tests::is_reached_within(patience, kept));
        check("brief:a", since(&place.0, 0), lost("trimmed_by_age", 1));
        // Who missed nothing has missed nothing.
        check(
            "brief:a",
            since(&place.0, 1),
            json!({"offset": 1, "recovered": true}),
        );
    });
}

/// Clients come and go while others publish: each hears every message once, in its place.
#[test]
fn nobody_who_comes_back_misses_or_repeats_anything() {
    const MESSAGES: u64 = 600;
    let deep = keeping(History {
        publications_max: 10_000,
        ..History::default()
    });
    each(
        || chatting(&[("deep", deep.clone())]),
        |server, _, dialect| {
            let ends = AtomicBool::new(false);
            let mut first = Speaker::new(server, dialect);
            let (epoch, _) = place_in(&first.ask("history", json!({"room": "deep:a", "limit": 0})));
            thread::scope(|scope| {
                let readers: Vec<_> = (0..3)
                    .map(|reader| {
                        let (ends, epoch) = (&ends, epoch.clone());
                        scope.spawn(move || come_and_go(server, dialect, reader, &epoch, ends))
                    })
                    .collect();
                let mut publishers: Vec<Speaker> =
                    (0..2).map(|_| Speaker::new(server, dialect)).collect();
                let mut published = 0;
                while published < MESSAGES {
                    for publisher in &mut publishers {
                        publish(publisher, "deep:a", &json!("x"));
                        published += 1;
                    }
                }
                ends.store(true, Ordering::Relaxed);
                for reader in readers {
                    assert_eq!(reader.join().expect("no gap"), MESSAGES);
                }
            });
        },
    );
}

/// Hears some messages, goes, and comes back, until there is nothing more. Where it ended.
fn come_and_go(
    server: &Server,
    dialect: Dialect,
    reader: u64,
    epoch: &str,
    ends: &AtomicBool,
) -> u64 {
    let mut rng = 1 + reader;
    let mut last = 0;
    loop {
        // Asked first: what is published afterwards is heard on the next way.
        let is_last = ends.load(Ordering::Relaxed);
        let mut one = Speaker::new(server, dialect);
        let since = json!({"epoch": epoch, "offset": last});
        let joined = recover(&mut one, "deep:a", since);
        assert_eq!(joined["recovered"], true, "{joined}");
        let reached = joined["offset"].as_u64().expect("an offset");
        assert!(reached >= last);
        rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // All that it has missed, or a part of it.
        let wanted = match is_last {
            true => reached - last,
            false => ((rng >> 33) % (reached - last + 3)).min(reached - last),
        };
        for _ in 0..wanted {
            last += 1;
            let heard = one.hear();
            assert_eq!(heard["offset"], last, "{heard}");
        }
        if is_last && last == reached {
            one.check_quiet();
            return last;
        }
    }
}

#[test]
fn newcomers_are_sent_the_last_value() {
    let of = |last| {
        keeping(History {
            last,
            ..History::default()
        })
    };
    let app = || {
        chatting(&[
            ("newest", of(Newcomers::Newest)),
            ("keyed", of(Newcomers::NewestByKey)),
        ])
    };
    each(app, |server, _, dialect| {
        let mut all = [(); 2].map(|()| Speaker::new(server, dialect));
        for room in ["newest:a", "keyed:a"] {
            // An empty room has nothing to send.
            all[1].join(room);
            all[1].check_quiet();
            all[1].ask("leave_room", json!({"room": room}));
        }
        for (number, key) in (1..=6).zip(["a", "b", "a", "", "b", "c"]) {
            for room in ["newest:a", "keyed:a"] {
                let key = Some(key).filter(|key| !key.is_empty());
                let params = json!({"room": room, "data": number, "conflate": key});
                all[0].ask("publish", params);
            }
        }
        for (room, numbers) in [("newest:a", vec![6]), ("keyed:a", vec![3, 4, 5, 6])] {
            let mut one = Speaker::new(server, dialect);
            let joined = one.ask("join_room", json!({"room": room}));
            assert_eq!(
                (&joined["offset"], joined.get("recovered")),
                (&json!(6), None)
            );
            for number in numbers {
                let heard = one.hear();
                assert_eq!(
                    (&heard["offset"], &heard["data"]),
                    (&json!(number), &json!(number)),
                    "{room}"
                );
            }
            one.check_quiet();
            // Who says where it was is sent what it missed, and nothing else.
            let mut back = Speaker::new(server, dialect);
            recover(
                &mut back,
                room,
                json!({"epoch": joined["epoch"], "offset": 4}),
            );
            expect_numbers(&mut back, 5..=6);
            back.check_quiet();
        }
    });
}

/// Code of the application reads, publishes and recovers, on the shard, in the background and from outside.
#[test]
fn the_application_has_it_all() {
    let app = || {
        let app = chatting(&[]);
        let handlers = app.handlers();
        handlers.on_async("on_shard.say", say_on_shard).unwrap();
        handlers.on_async("on_shard.last", last_on_shard).unwrap();
        handlers.on_async("say", say).unwrap();
        handlers.on_async("last", last).unwrap();
        handlers.on_async("back", back).unwrap();
        app
    };
    each(app, |server, handle, dialect| {
        let mut all = [(); 2].map(|()| Speaker::new(server, dialect));
        all[0].join("chat:a");
        for (kind, offset) in [("on_shard.say", 1), ("say", 2)] {
            all[1].check(kind, json!(["chat:a", offset]), json!(offset));
            all[0].expect_event("said", json!(offset));
        }
        for kind in ["on_shard.last", "last"] {
            let last = all[1].ask(kind, json!(["chat:a"]));
            assert_eq!(last, json!([[2, "said", 2], [1, "said", 1]]), "{kind}");
        }
        // A handler has the connection come back.
        all[1].check("back", json!(["chat:a", 1]), json!([2, true]));
        all[1].expect_event("said", json!(2));
        let keyed = |data: u32| {
            let handle = handle.clone();
            async move { handle.to("chat:a").key("k").publish("said", &data).await }
        };
        let (first, second) = wait(async { (keyed(3).await.unwrap(), keyed(4).await.unwrap()) });
        assert_eq!(
            (first.repeat, second.repeat),
            (Repeat::First, Repeat::Duplicate)
        );
        assert_eq!(first.position, second.position);
        assert_eq!(first.position.map(|position| position.offset), Some(3));
        for speaker in &mut all {
            speaker.expect_event("said", json!(3));
            speaker.check_quiet();
        }
        wait(check_outside(
            handle.clone(),
            first.position.expect("a place"),
        ));
    });
}

async fn check_outside(handle: shardcast::Handle, position: Position) {
    let page = |since: Option<Since>, limit: u32| HistoryQuery {
        since,
        limit,
        order: ReadOrder::Forward,
    };
    let history = handle.history("chat:a", page(None, 0)).await.unwrap();
    assert_eq!(
        (history.position(), history.messages().count()),
        (position, 0)
    );
    assert_eq!((history.room(), history.loss()), ("chat:a", None));
    let since = |epoch, offset| Some(Since { epoch, offset });
    let history = handle
        .history("chat:a", page(since(Some(1), 1), 10))
        .await
        .unwrap();
    assert_eq!(history.loss(), Some(Loss::EpochChanged));
    let epoch = Some(position.epoch);
    let history = handle
        .history("chat:a", page(since(epoch, 2), 10))
        .await
        .unwrap();
    let messages: Vec<_> = history.messages().collect();
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].offset, messages[0].event), (3, Some("said")));
    assert_eq!(messages[0].from, None);
    assert_eq!(messages[0].data.get::<u32>().unwrap(), 3);
    for refused in [
        handle.history("plain", page(None, 1)).await.map(drop),
        handle.to("plain").key("k").publish("e", &1).await.map(drop),
        handle.to("plain").key("k").emit("e", &1).await,
        handle.everyone().key("k").emit("e", &1).await,
        handle.to("chat:a").key("").emit("e", &1).await,
        handle
            .to("chat:a")
            .conflate(&"k".repeat(129))
            .emit("e", &1)
            .await,
    ] {
        let problem = refused
            .expect_err("it is refused")
            .problem()
            .expect("for clients");
        assert_eq!(problem.code.as_str(), "bad_request");
    }
    // Where there is no history there is no place.
    let published = handle.to("plain").publish("e", &1).await.unwrap();
    assert_eq!(
        (published.position, published.repeat),
        (None, Repeat::First)
    );
    let nowhere = handle
        .to_user("nobody is called so")
        .publish("e", &1)
        .await
        .unwrap();
    assert_eq!(nowhere.position, None);
}

/// The same by the methods of the shard, whose continuations tell the place.
async fn say_on_shard(cx: Background, (room, number): (String, u64)) -> Result<u64, Failure> {
    let (sender, placed) = oneshot::channel();
    let said = cx.on_shard(move |cx| {
        cx.to(&room)
            .publish_then("said", &number, move |_, published| {
                let _ = sender.send(published.position.map_or(0, |position| position.offset));
            })
    });
    said.await??;
    Ok(placed.await?)
}

async fn last_on_shard(cx: Background, (room,): (String,)) -> Result<Vec<Said>, Failure> {
    let (sender, read) = oneshot::channel();
    let asked = cx.on_shard(move |cx| {
        cx.history(&room, BACKWARDS, move |_, history| {
            let _ = sender.send(said_in(&history));
        })
    });
    asked.await??;
    read.await?
}

const BACKWARDS: HistoryQuery = HistoryQuery {
    since: None,
    limit: 10,
    order: ReadOrder::Reverse,
};

async fn say(cx: Background, (room, number): (String, u64)) -> Result<u64, Failure> {
    let published = cx.to(&room).publish("said", &number).await?;
    Ok(published.position.map_or(0, |position| position.offset))
}

type Said = (u64, String, u64);

async fn last(cx: Background, (room,): (String,)) -> Result<Vec<Said>, Failure> {
    said_in(&cx.history(&room, BACKWARDS).await?)
}

fn said_in(history: &RoomHistory) -> Result<Vec<Said>, Failure> {
    let said = history.messages().map(|message| {
        let event = message.event.unwrap_or_default().to_owned();
        Ok((message.offset, event, message.data.get()?))
    });
    said.collect()
}

async fn back(cx: Background, (room, offset): (String, u64)) -> Result<(u64, bool), Failure> {
    let since = Since {
        epoch: None,
        offset,
    };
    let joined = cx.join_since(&room, since).await?;
    let log = joined.log.expect("the room keeps history");
    Ok((
        log.position.offset,
        log.recovery == Some(Recovery::Recovered),
    ))
}
