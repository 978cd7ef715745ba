//! Coming and going in great numbers, politely or not: who stays loses nothing, and who went leaves
//! nothing behind.

use crate::SHARDS;
use crate::order::counted;
use serde_json::{Value, json};
use shardcast_tests::{CLOSE, Client, FIN, Honest, Raw, Server, TEXT, config, frame, report};
use std::thread;

/// One of the ways to come and go; each is as frequent as the others.
fn come_and_go(server: &Server, number: usize) {
    if number.is_multiple_of(8) {
        // Never gets as far as an upgrade.
        let mut raw = Raw::connect(server);
        raw.send(b"GET /ws HTTP/1.1\r\nHost");
        return;
    }
    let mut raw = Raw::upgraded(server);
    let room = number % 50;
    raw.say(&format!(
        r#"{{"type":"join_room","rooms":["r{room}","all"]}}"#
    ));
    raw.say(&format!(
        r#"{{"type":"broadcast","room":"r{room}","data":{number}}}"#
    ));
    match number % 8 {
        1 => raw.reset(),
        2 => drop(raw),
        3 => {
            raw.say(&format!(
                r#"{{"type":"leave_room","rooms":["r{room}","all"]}}"#
            ));
            drop(raw);
        }
        4 => {
            raw.send(&frame(FIN | CLOSE, b"\x03\xe8"));
            drop(raw);
        }
        5 => {
            raw.send(&frame(FIN | TEXT, b"\xff"));
            raw.reset();
        }
        _ => {
            hear_itself(&mut raw, room, number);
            raw.send(&frame(FIN | CLOSE, b"\x03\xe8"));
            while raw.frame().0 != FIN | CLOSE {}
            raw.ended();
        }
    }
}

/// Hears that it has joined both rooms, and, among what others say, what it has said itself. The
/// room's home may say that before the other room's has answered.
fn hear_itself(raw: &mut Raw, room: usize, number: usize) {
    assert!(raw.hear().starts_with(r#"{"type":"welcome","#));
    let start = format!(r#"{{"type":"joined","rooms":[{{"room":"r{room}","members":"#);
    let message = format!(r#"{{"type":"message","room":"r{room}","from":"#);
    let own = format!(r#","data":{number}}}"#);
    let (mut has_joined, mut has_heard) = (false, false);
    while !(has_joined && has_heard) {
        let heard = raw.hear();
        let is_answer = heard.starts_with(&start);
        assert!(is_answer || heard.starts_with(&message), "{heard}");
        has_joined |= is_answer;
        has_heard |= heard.ends_with(&own);
    }
}

#[test]
fn ten_thousand_come_and_go() {
    const VISITS: usize = 10_000;
    const THREADS: usize = 4;
    let server = Server::native(config(2));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let server = &server;
            scope.spawn(move || {
                (thread..VISITS)
                    .step_by(THREADS)
                    .for_each(|number| come_and_go(server, number));
            });
        }
    });
    server.wait_until("the last accept", |server| {
        server.sum(|shard| &shard.accepts) == VISITS as u64
    });
    server.wait_until_empty();
    let mut client = Client::native(&server);
    assert_eq!(client.join("all"), 1);
    client.check(
        r#"{"type":"broadcast","data":0,"echo":false,"report":true}"#,
        r#"{"type":"ack","delivered":0,"queued":0,"dropped":0,"conflated":0,"catching_up":0}"#,
    );
    // One in eight did not ask, and one asked just now.
    let upgrades = (VISITS - VISITS / 8 + 1) as u64;
    assert_eq!(server.sum(|shard| &shard.upgrades), upgrades);
    assert_eq!(server.sum(|shard| &shard.accepts), VISITS as u64 + 1);
    assert_eq!(server.sum(|shard| &shard.panics), 0);
}

/// Joins the room `r` and vanishes, in one of four ways.
fn vanish(server: &Server, number: usize) {
    let mut raw = Raw::connect(server);
    raw.join("r");
    match number % 4 {
        0 => raw.reset(),
        1 => drop(raw),
        // In the middle of what is being sent to it.
        2 => {
            raw.frame();
            raw.reset();
        }
        _ => {
            raw.send(&frame(FIN | TEXT, b"half a frame")[..9]);
            raw.frame();
        }
    }
}

/// Publishes numbers until `over`, then the end; every other one waits until it has been delivered.
fn publish(client: &Honest, members_max: u64, over: impl Fn() -> bool) {
    let mut number = 0;
    while !over() {
        client.say(client.publishing("r", &number));
        let next = client.publishing("r", &(number + 1));
        let receipt = client.say(next.with_report());
        assert!(
            counted(&receipt) <= members_max,
            "{members_max}: {receipt:?}"
        );
        number += 2;
    }
    client.say(client.publishing("r", &"end"));
}

/// Hears every number in turn, and the end. How many that were.
fn hear_all(client: &mut Honest, from: &str) -> usize {
    for number in 0.. {
        let message = client.hear("r");
        assert_eq!(message.from(), Some(from));
        let data: Value = message.read().expect("JSON");
        if data == "end" {
            return number;
        }
        assert_eq!(data, json!(number));
    }
    unreachable!("there is an end")
}

#[test]
fn whoever_stays_hears_everything_while_others_vanish() {
    const STAY: usize = 8;
    const GO: usize = 120;
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let mut stay: Vec<Honest> = (0..STAY).map(|_| Honest::of(&server)).collect();
        stay.iter_mut().for_each(|client| {
            client.join("r");
        });
        let publisher = Honest::of(&server);
        let from = publisher.id().to_owned();
        thread::scope(|scope| {
            let (server, from) = (&server, &from);
            let staying: Vec<_> = stay
                .iter_mut()
                .map(|client| scope.spawn(move || hear_all(client, from)))
                .collect();
            let going: Vec<_> = (0..3)
                .map(|first| {
                    scope.spawn(move || {
                        (first..GO)
                            .step_by(3)
                            .for_each(|number| vanish(server, number))
                    })
                })
                .collect();
            // Whoever vanished is a member until the server has seen it.
            publish(&publisher, (STAY + GO) as u64, || {
                going.iter().all(|thread| thread.is_finished())
            });
            let counts: Vec<usize> = staying
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect();
            assert!(counts.iter().all(|count| *count == counts[0] && *count > 0));
        });
        server.wait_until("only those who stay", |server| {
            server.sum(|shard| &shard.connections) == STAY as u64 + 1
        });
        let receipt = publisher.say(publisher.publishing("r", &"end").with_report());
        assert_eq!(receipt, report(STAY as u64, 0));
        stay.into_iter().for_each(Honest::leave);
        publisher.leave();
        server.wait_until_empty();
    }
}

/// A broken protocol is answered by a close frame and a FIN. The kernel sends that FIN from a
/// thread of its own, and the slot may have been given to somebody else by then.
#[test]
fn the_end_of_one_connection_is_nobody_elses() {
    const BREAKERS: usize = 3;
    const ROUNDS: usize = 1500;
    let server = Server::echo(config(1));
    thread::scope(|scope| {
        for _ in 0..BREAKERS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let mut raw = Raw::upgraded(&server);
                    raw.send(&frame(FIN | TEXT, b"\xff"));
                    assert_eq!(raw.frame().0, FIN | CLOSE);
                    raw.reset();
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                let mut raw = Raw::upgraded(&server);
                for text in ["one", "two", "three"] {
                    raw.say(text);
                    assert_eq!(raw.hear(), text);
                }
            }
        });
    });
    server.wait_until_empty();
}
