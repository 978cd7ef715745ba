//! Clients that come back: what they missed, then what goes on, without a gap or a repeat; or the
//! reason why not. And what newcomers are sent.

use crate::history::{chatting, keeping, place_in, publish};
use crate::speaker::Speaker;
use crate::{each, wait};
use serde_json::{Value, json};
use shardcast::namespace::{History, Namespace, Newcomers};
use shardcast::{
    Background, Failure, HistoryQuery, Loss, Position, ReadOrder, Recovery, Repeat, RoomHistory,
    Since,
};
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::{PATIENCE, Server, is_reached_within};
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

/// The answer to who cannot recover.
fn lost(reason: &str, offset: u64) -> Value {
    json!({"offset": offset, "recovered": false, "reason": reason})
}

/// A new client joins from a place, and is answered so.
#[track_caller]
fn check_recovery(
    server: &Server,
    dialect: Dialect,
    (room, epoch, offset): (&str, &str, u64),
    expected: &Value,
) {
    let mut one = Speaker::new(server, dialect);
    let since = json!({"epoch": epoch, "offset": offset});
    let joined = recover(&mut one, room, since);
    assert_eq!(joined, *expected, "{room} {epoch} {offset}");
    one.pass_over();
}

/// A namespace whose rooms keep less than others.
fn short(change: fn(&mut History)) -> Namespace {
    let mut history = History::default();
    change(&mut history);
    keeping(history)
}

#[test]
fn what_is_lost_by_size_is_told() {
    let few = short(|history| history.publications_max = 3);
    let small = short(|history| history.bytes_max = 80 << 10);
    let app = || chatting(&[("few", few.clone()), ("small", small.clone())]);
    each(app, |server, _, dialect| {
        let mut publisher = Speaker::new(server, dialect);
        let mut epoch = String::new();
        for number in 1..=5 {
            (epoch, _) = publish(&mut publisher, "few:a", &json!(number));
        }
        let recovered = |offset: u64| json!({"offset": offset, "recovered": true});
        let upper = epoch.to_uppercase();
        let (trimmed, changed) = (lost("trimmed_by_size", 5), lost("epoch_changed", 5));
        for (epoch, offset, expected) in [
            (&*epoch, 2, &recovered(5)),
            (&epoch, 1, &trimmed),
            ("", 0, &trimmed),
            // Another order; one that never was so far; texts that are no epochs.
            ("zzz", 5, &changed),
            (&epoch, 6, &changed),
            ("?", 5, &changed),
            (&format!("0{epoch}"), 5, &changed),
        ] {
            check_recovery(server, dialect, ("few:a", epoch, offset), expected);
        }
        let has_letters = upper != epoch;
        if has_letters {
            check_recovery(server, dialect, ("few:a", &upper, 5), &changed);
        }
        for number in 1..=3 {
            let data = json!(format!("{number:0>30000}"));
            (epoch, _) = publish(&mut publisher, "small:a", &data);
        }
        let trimmed = lost("trimmed_by_size", 3);
        check_recovery(server, dialect, ("small:a", &epoch, 0), &trimmed);
        check_recovery(server, dialect, ("small:a", &epoch, 2), &recovered(3));
        let changed = 4 + u64::from(has_letters);
        assert_eq!(server.sum(|shard| &shard.recoveries), 2);
        let counted = server.sum(|shard| &shard.recoveries_lost_epoch_changed);
        assert_eq!(counted, changed);
        let counted = server.sum(|shard| &shard.recoveries_lost_trimmed_by_size);
        assert_eq!(counted, 3);
    });
}

#[test]
fn what_is_lost_by_age_is_told() {
    let brief = short(|history| history.ttl = Duration::from_secs(1));
    let app = || chatting(&[("brief", brief.clone())]);
    each(app, |server, _, dialect| {
        let mut publisher = Speaker::new(server, dialect);
        let place = publish(&mut publisher, "brief:a", &json!(1));
        let is_gone = || {
            let page = publisher.ask("history", json!({"room": "brief:a"}));
            assert_eq!(place_in(&page), place, "the epoch outlives the messages");
            page["messages"] == json!([])
        };
        assert!(is_reached_within(PATIENCE, is_gone));
        let (epoch, _) = &place;
        let trimmed = lost("trimmed_by_age", 1);
        check_recovery(server, dialect, ("brief:a", epoch, 0), &trimmed);
        let counted = server.sum(|shard| &shard.recoveries_lost_trimmed_by_age);
        assert_eq!(counted, 1);
        // Who missed nothing has missed nothing.
        let recovered = json!({"offset": 1, "recovered": true});
        check_recovery(server, dialect, ("brief:a", epoch, 1), &recovered);
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

/// Code of the application reads, publishes and recovers, on the shard, in the background and from
/// outside.
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
