//! What is said to a user who has no connection: it waits, within its bounds, and the next
//! connection has it in order, before what is said from then on.

use crate::speaker::Speaker;
use crate::{SHARDS, each, guests, settle, told, wait};
use serde_json::{Value, json};
use shardcast::{App, Handle, MissedReason, OfflineOptions, Topic};
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::{Server, config};
use std::sync::mpsc;
use std::time::Duration;

fn with_offline(options: OfflineOptions) -> App {
    guests().offline(options)
}

fn patient() -> App {
    with_offline(OfflineOptions::default())
}

fn ann(server: &Server, dialect: Dialect) -> Speaker {
    Speaker::at(server.address(), dialect, "?user=ann")
}

/// Says a number to a user, and what became of it.
#[track_caller]
fn tell(speaker: &mut Speaker, user: &str, number: u64) -> Value {
    let params = json!({"user": user, "data": number, "report": true});
    speaker.ask("broadcast", params)
}

fn counts(delivered: u32, queued: u32, dropped: u32) -> Value {
    json!({
        "delivered": delivered, "queued": queued, "dropped": dropped,
        "conflated": 0, "catching_up": 0
    })
}

/// Nobody is the user any more, and nothing of it is under way.
#[track_caller]
fn leave(speaker: Speaker, server: &Server, handle: &Handle) {
    drop(speaker);
    settle(server, handle, "ann", 0);
}

/// Ordinary messages, in order, as if they were said now.
#[track_caller]
fn expect_numbers(hearer: &mut Speaker, from: &Speaker, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        hearer.expect(&json!({"type": "message", "from": from.id(), "data": number}));
    }
}

#[test]
fn the_next_connection_is_sent_what_waits() {
    each(patient, |server, handle, dialect| {
        let mut bob = Speaker::new(server, dialect);
        for number in 0..300 {
            assert_eq!(tell(&mut bob, "ann", number), counts(0, 1, 0));
        }
        wait(handle.to_user("ann").emit("word", &"of the application")).unwrap();
        server.wait_until("all of it waits", |server| {
            server.sum(|shard| &shard.offline_queued) == 301
        });
        // 100 wait at most: the others are told of, the oldest first.
        let mut first = ann(server, dialect);
        let missed = json!({"type": "missed", "count": 201, "reason": "trimmed_by_size"});
        first.expect(&missed);
        expect_numbers(&mut first, &bob, 201..300);
        first.expect_event("word", json!("of the application"));
        settle(server, handle, "ann", 1);
        // It goes on, and who comes second has nothing of it.
        assert_eq!(tell(&mut bob, "ann", 300), counts(1, 0, 0));
        expect_numbers(&mut first, &bob, 300..301);
        let mut second = ann(server, dialect);
        settle(server, handle, "ann", 2);
        assert_eq!(tell(&mut bob, "ann", 301), counts(2, 0, 0));
        for window in [&mut first, &mut second] {
            expect_numbers(window, &bob, 301..302);
            window.check_quiet();
        }
        // And once more from the beginning.
        drop(second);
        settle(server, handle, "ann", 1);
        leave(first, server, handle);
        assert_eq!(tell(&mut bob, "ann", 302), counts(0, 1, 0));
        let mut third = ann(server, dialect);
        expect_numbers(&mut third, &bob, 302..303);
        third.check_quiet();
        // What is said to others by itself does not wait.
        assert_eq!(tell(&mut third, "bob", 1), counts(0, 1, 0));
        let everyone = third.ask("broadcast", json!({"data": 1, "report": true}));
        assert_eq!(everyone, counts(2, 0, 0));
    });
}

/// A user with no messages of more than a second's age, of whom there may be sixteen on a shard.
#[test]
fn what_waits_is_bounded() {
    let options = OfflineOptions {
        messages_max: 3,
        ttl: Duration::from_secs(1),
        users_max: 16,
        ..OfflineOptions::default()
    };
    let (sender, missed) = mpsc::sync_channel(64);
    let app = with_offline(options).on_missed(move |_, topic, missed| {
        assert_eq!(topic, Topic::User("ann"));
        let _ = sender.send((missed.count, missed.reason));
    });
    let (server, handle) = Server::of(app, config(1));
    let mut bob = Speaker::new(&server, Dialect::NativeJson);
    for number in 0..2 {
        assert_eq!(tell(&mut bob, "ann", number), counts(0, 1, 0));
    }
    for user in 1..16 {
        assert_eq!(tell(&mut bob, &format!("user-{user}"), 0), counts(0, 1, 0));
    }
    assert_eq!(tell(&mut bob, "user-16", 0), counts(0, 0, 1));
    assert_eq!(server.sum(|shard| &shard.offline_refused), 1);
    server.wait_until("what is too old goes", |server| {
        server.sum(|shard| &shard.log_bytes) == 0
    });
    // What went is told, not sent; then the user's place is free again.
    let ann = ann(&server, Dialect::NativeJson);
    assert_eq!(told(&missed), (2, MissedReason::TrimmedByAge));
    leave(ann, &server, &handle);
    assert_eq!(tell(&mut bob, "user-16", 0), counts(0, 1, 0));
}

/// Several windows that open while much waits: each message reaches one of them at least, none has
/// one twice, and all hear what is said meanwhile.
#[test]
fn windows_that_open_together_share_what_waits() {
    for shards in SHARDS {
        let options = OfflineOptions {
            messages_max: 10_000,
            bytes_max: 64 << 20,
            ..OfflineOptions::default()
        };
        let (server, handle) = Server::of(with_offline(options), config(shards));
        let mut bob = Speaker::new(&server, Dialect::NativeJson);
        let padding = "x".repeat(1_000);
        let said = |number: u64| json!([number, padding]);
        let queued = 2_000;
        for number in 0..queued {
            wait(handle.to_user("ann").emit("n", &said(number))).unwrap();
        }
        server.wait_until("all wait", |server| {
            server.sum(|shard| &shard.offline_queued) == queued
        });
        let mut windows: Vec<Speaker> = (0..4).map(|_| ann(&server, Dialect::NativeJson)).collect();
        settle(&server, &handle, "ann", windows.len());
        let live = 20;
        for number in queued..queued + live {
            let params = json!({"user": "ann", "data": said(number)});
            bob.check("broadcast", params, json!({}));
        }
        let mut heard_by_any = vec![false; queued as usize];
        for window in &mut windows {
            let mut last = None;
            loop {
                let number = window.hear()["data"][0].as_u64().expect("a number");
                assert!(last < Some(number), "{number} after {last:?}");
                last = Some(number);
                if let Some(heard) = heard_by_any.get_mut(number as usize) {
                    *heard = true;
                }
                if number == queued + live - 1 {
                    break;
                }
            }
            window.check_quiet();
        }
        assert!(heard_by_any.iter().all(|heard| *heard));
    }
}

#[test]
fn without_the_option_nothing_waits() {
    let (server, _handle) = Server::of(guests(), config(1));
    let mut bob = Speaker::new(&server, Dialect::NativeJson);
    assert_eq!(tell(&mut bob, "ann", 1), counts(0, 0, 0));
    let mut ann = ann(&server, Dialect::NativeJson);
    ann.check_quiet();
}
