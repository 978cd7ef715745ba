//! Rooms whose members acknowledge what they are sent: what one has not acknowledged comes again,
//! as long as the room keeps it, and its end is told.

use crate::history::{chatting, keeping, place_in, publish};
use crate::speaker::Speaker;
use crate::{each, told};
use serde_json::{Value, json};
use shardcast::namespace::{AckOptions, History, Namespace};
use shardcast::{App, MissedReason, Topic};
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::{Server, config};
use std::sync::mpsc;
use std::time::Duration;

const ROOM: &str = "task:a";

fn acking(timeout: Duration, publications_max: u32) -> Namespace {
    keeping(History {
        publications_max,
        acks: Some(AckOptions {
            timeout,
            attempts_max: 2,
        }),
        ..History::default()
    })
}

/// Members have so long as they need; the least that may be, for who never acknowledges.
const LONG: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(100);

fn soon() -> App {
    chatting(&[("task", acking(SHORT, 100))])
}

fn late() -> App {
    chatting(&[("task", acking(LONG, 100))])
}

fn message(from: &Speaker, offset: u64) -> Value {
    json!({"type": "message", "room": ROOM, "from": from.id(), "offset": offset, "data": offset})
}

fn again(from: &Speaker, offset: u64) -> Value {
    let mut message = message(from, offset);
    message["redelivered"] = true.into();
    message
}

/// Hears until it was told to have missed so many, and what it heard before that.
fn heard_until_given_up(member: &mut Speaker, count: u64) -> Vec<Value> {
    let (mut heard, mut given_up) = (Vec::new(), 0);
    while given_up < count {
        let next = member.hear();
        match next["type"].as_str() {
            Some("missed") => {
                assert_eq!(next["reason"], "unacknowledged", "{next}");
                given_up += next["count"].as_u64().expect("a number");
            }
            _ => heard.push(next),
        }
    }
    assert_eq!(given_up, count);
    heard
}

#[test]
fn what_is_not_acknowledged_comes_again_until_it_is_given_up() {
    each(soon, |server, _, dialect| {
        let mut bob = Speaker::new(server, dialect);
        let mut ann = Speaker::new(server, dialect);
        let mut carol = Speaker::new(server, dialect);
        ann.join(ROOM);
        carol.join(ROOM);
        for offset in 1..=3 {
            let (_, place) = publish(&mut bob, ROOM, &json!(offset));
            assert_eq!(place, offset);
        }
        while ann.hear()["offset"] != 3 {}
        ann.check("ack", json!({"room": ROOM, "offset": 3}), json!({}));
        let heard = heard_until_given_up(&mut carol, 3);
        let (firsts, repeats): (Vec<_>, Vec<_>) =
            (heard.into_iter()).partition(|heard| heard.get("redelivered").is_none());
        assert_eq!(firsts, [1, 2, 3].map(|offset| message(&bob, offset)));
        for offset in 1..=3 {
            let times = repeats
                .iter()
                .filter(|heard| **heard == again(&bob, offset));
            assert!(times.count() >= 2, "{offset}: {repeats:?}");
        }
        assert_eq!(server.sum(|shard| &shard.missed_unacknowledged), 3);
        // Who has said that it has them is not given up, however late that was.
        assert_eq!(server.sum(|shard| &shard.acknowledged), 3);
        carol.check_quiet();
    });
}

#[test]
fn a_report_says_who_has_acknowledged() {
    each(late, |server, _, dialect| {
        let mut bob = Speaker::new(server, dialect);
        let mut members = [(); 2].map(|()| Speaker::new(server, dialect));
        for member in &mut members {
            member.join(ROOM);
        }
        bob.join(ROOM);
        let params = json!({"room": ROOM, "data": 1, "report": true, "echo": false});
        let asked = bob.begin("broadcast", params);
        for member in &mut members {
            member.expect(&message(&bob, 1));
            member.check("ack", json!({"room": ROOM, "offset": 1}), json!({}));
        }
        let mut answer = bob.answer(asked);
        let place = place_in(&answer);
        assert_eq!(place.1, 1);
        for key in ["epoch", "offset"] {
            answer.as_object_mut().expect("an object").remove(key);
        }
        let counts = json!({
            "delivered": 2, "queued": 0, "dropped": 0, "conflated": 0, "catching_up": 0,
            "acknowledged": 2
        });
        assert_eq!(answer, counts);
        assert_eq!(server.sum(|shard| &shard.acknowledged), 2);
        // Who goes is waited for no more.
        let params = json!({"room": ROOM, "data": 2, "report": true, "echo": false});
        let asked = bob.begin("broadcast", params);
        let [mut stays, goes] = members;
        stays.expect(&message(&bob, 2));
        stays.check("ack", json!({"room": ROOM, "offset": 2}), json!({}));
        drop(goes);
        let answer = bob.answer(asked);
        assert_eq!(answer["acknowledged"], 1, "{answer}");
    });
}

/// Nobody acknowledges: the report does not wait for ever, nor does it name anybody.
#[test]
fn a_report_waits_for_as_long_as_a_member_has() {
    let (server, _handle) = Server::of(soon(), config(2));
    let mut bob = Speaker::new(&server, Dialect::NativeJson);
    let mut ann = Speaker::new(&server, Dialect::NativeJson);
    ann.join(ROOM);
    let params = json!({"room": ROOM, "data": 1, "report": true});
    let answer = bob.ask("broadcast", params);
    assert_eq!(answer["delivered"], 1, "{answer}");
    assert_eq!(answer["acknowledged"], 0, "{answer}");
}

#[test]
fn what_the_room_has_no_more_is_told() {
    let (sender, told_of) = mpsc::sync_channel(64);
    let app = chatting(&[("task", acking(SHORT, 2))]);
    let app = app.on_missed(move |_, topic, missed| {
        assert_eq!(topic, Topic::Room(ROOM));
        let _ = sender.send((missed.count, missed.reason));
    });
    let (server, _handle) = Server::of(app, config(1));
    let mut bob = Speaker::new(&server, Dialect::NativeJson);
    let mut ann = Speaker::new(&server, Dialect::NativeJson);
    ann.join(ROOM);
    for offset in 1..=5 {
        publish(&mut bob, ROOM, &json!(offset));
    }
    let given_up = heard_until_given_up(&mut ann, 5);
    let firsts = given_up
        .iter()
        .filter(|heard| heard.get("redelivered").is_none());
    assert_eq!(firsts.count(), 5);
    let mut sum = 0;
    while sum < 5 {
        let (count, reason) = told(&told_of);
        assert_eq!(reason, MissedReason::Unacknowledged);
        sum += count;
    }
    assert_eq!(sum, 5);
}

#[test]
fn acks_are_for_rooms_that_ask_for_them() {
    each(late, |server, _, dialect| {
        let mut ann = Speaker::new(server, dialect);
        ann.join("chat:a");
        let ack = |room: &str| json!({"room": room, "offset": 1});
        ann.check_refused("ack", ack("chat:a"), "bad_request");
        ann.check_refused("ack", ack(ROOM), "not_joined");
        ann.check_refused("ack", ack("other:a"), "unknown_namespace");
        ann.join(ROOM);
        for wrong in [
            json!({"room": ROOM}),
            json!({"offset": 1}),
            json!({"room": ROOM, "offset": -1}),
            json!({"room": ROOM, "offset": "1"}),
        ] {
            let answer = ann.ask("ack", wrong.clone());
            let is_refused = ["bad_request", "invalid_data"]
                .contains(&answer["error"].as_str().unwrap_or_default());
            assert!(is_refused, "{wrong}: {answer}");
        }
        // What was never sent is no mistake: it is taken as all that was.
        ann.check("ack", ack(ROOM), json!({}));
        assert_eq!(server.sum(|shard| &shard.acknowledged), 0);
    });
}

/// A client comes back with what it has acknowledged: the rest follows, each once.
#[test]
fn who_comes_back_goes_on_behind_what_it_has() {
    each(late, |server, _, dialect| {
        let mut bob = Speaker::new(server, dialect);
        let mut ann = Speaker::new(server, dialect);
        let joined = ann.ask("join_room", json!({"room": ROOM}));
        for offset in 1..=3 {
            publish(&mut bob, ROOM, &json!(offset));
            ann.expect(&message(&bob, offset));
        }
        ann.check("ack", json!({"room": ROOM, "offset": 2}), json!({}));
        drop(ann);
        let mut ann = Speaker::new(server, dialect);
        let since = json!({"epoch": joined["epoch"], "offset": 2});
        let joined = ann.ask("join_room", json!({"room": ROOM, "since": since}));
        assert_eq!(joined["recovered"], true, "{joined}");
        ann.expect(&message(&bob, 3));
        ann.check("ack", json!({"room": ROOM, "offset": 3}), json!({}));
        ann.check_quiet();
    });
}
