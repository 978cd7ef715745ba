//! Order: one per room for all members, one per connection, and sharp edges where a membership
//! begins and ends.

use crate::SHARDS;
use shardcast_tests::{CLOSE, Client, FIN, Raw, Server, TEXT, config, frame};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Room (empty: everyone), sender and number of a message whose data is a number.
fn parse(text: &str) -> (String, String, u32) {
    let value: serde_json::Value = serde_json::from_str(text).expect(text);
    assert_eq!(value["type"], "message", "{text}");
    let text_of = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let number = value["data"].as_u64().expect(text) as u32;
    (text_of("room"), text_of("from"), number)
}

#[test]
fn all_members_see_one_order() {
    const EACH: u32 = 150;
    /// Where message number n goes.
    const TARGETS: [&str; 3] = [r#""room":"a","#, r#""room":"b","#, ""];
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let mut clients = server.spread();
        clients.extend((0..4).map(|_| Client::native(&server)));
        clients.iter_mut().for_each(|client| {
            client.join("a");
            client.join("b");
        });
        let total = EACH as usize * clients.len();
        let heard: Vec<Vec<(String, String, u32)>> = thread::scope(|scope| {
            let threads: Vec<_> = clients
                .iter_mut()
                .map(|client| {
                    scope.spawn(move || {
                        for number in 0..EACH {
                            let target = TARGETS[number as usize % TARGETS.len()];
                            client.say(&format!(
                                r#"{{"type":"broadcast",{target}"data":{number}}}"#
                            ));
                        }
                        (0..total).map(|_| parse(&client.hear())).collect()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        for target in ["a", "b", ""] {
            let of_target = |all: &[(String, String, u32)]| -> Vec<(String, u32)> {
                let mine = all.iter().filter(|(room, ..)| room == target);
                mine.map(|(_, from, number)| (from.clone(), *number))
                    .collect()
            };
            let first = of_target(&heard[0]);
            for other in &heard[1..] {
                assert_eq!(of_target(other), first, "{shards} shards, room {target:?}");
            }
            for client in &clients {
                let numbers: Vec<u32> = first
                    .iter()
                    .filter(|(from, _)| from == client.id())
                    .map(|(_, number)| *number)
                    .collect();
                assert_eq!(numbers.len(), EACH as usize / TARGETS.len());
                assert!(numbers.is_sorted(), "{numbers:?}");
            }
        }
        clients.iter_mut().for_each(Client::check_quiet);
        let deliveries = server.sum(|shard| &shard.deliveries);
        assert_eq!(deliveries, (total * clients.len()) as u64);
    }
}

/// How many members a report counts, whatever became of the message for each.
#[track_caller]
pub(crate) fn counted(ack: &str) -> u64 {
    let value: serde_json::Value = serde_json::from_str(ack).expect(ack);
    assert_eq!(value["type"], "ack", "{ack}");
    let counts = ["delivered", "queued", "dropped"].map(|name| value[name].as_u64());
    counts.into_iter().map(|count| count.expect(ack)).sum()
}

/// Publishes numbers to the room `r` until told to stop, one at a time: each has been delivered
/// when the next one goes.
fn publish_until(client: &mut Client, members_max: u64, stop: &AtomicBool) -> u32 {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return number;
        }
        let ack = client.ask(&format!(
            r#"{{"type":"broadcast","id":1,"room":"r","data":{number},"report":true}}"#
        ));
        assert!(ack.starts_with(r#"{"type":"ack","id":1,"#), "{ack}");
        assert!(counted(&ack) <= members_max, "{members_max}: {ack}");
    }
    unreachable!("four billion messages")
}

/// Sets the flag when dropped, so that a failed assertion ends the publisher too.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Joins, hears some messages without a gap, leaves, and hears no more.
fn come_and_go(client: &mut Client) {
    const JOINED: &str = r#"{"type":"joined","id":1,"#;
    const LEFT: &str = r#"{"type":"left","id":1,"room":"r"}"#;
    let first = client.ask(r#"{"type":"join_room","id":1,"room":"r"}"#);
    assert!(first.starts_with(JOINED), "before the answer: {first}");
    let (_, _, mut last) = parse(&client.hear());
    let mut next = |text: &str| {
        let (_, _, number) = parse(text);
        assert_eq!(number, last + 1, "a gap");
        last = number;
    };
    next(&client.hear());
    client.say(r#"{"type":"leave_room","id":1,"room":"r"}"#);
    loop {
        let heard = client.hear();
        if heard == LEFT {
            return client.check_quiet();
        }
        next(&heard);
    }
}

#[test]
fn a_membership_has_sharp_edges() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let (mut members, mut publisher) = (server.spread(), Client::native(&server));
        let (stop, members_max) = (AtomicBool::new(false), members.len() as u64);
        thread::scope(|scope| {
            scope.spawn(|| publish_until(&mut publisher, members_max, &stop));
            let stop = Stop(&stop);
            let threads: Vec<_> = members
                .iter_mut()
                .map(|member| scope.spawn(|| (0..25).for_each(|_| come_and_go(member))))
                .collect();
            let results: Vec<_> = threads
                .into_iter()
                .map(thread::ScopedJoinHandle::join)
                .collect();
            drop(stop);
            results.into_iter().for_each(|result| result.unwrap());
        });
        members.into_iter().for_each(Client::leave);
        publisher.leave();
        server.wait_until_empty();
    }
}

#[test]
fn a_closing_connection_receives_nothing() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let mut publisher = Client::native(&server);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            // One at a time, and each has left the room when its close is answered.
            scope.spawn(|| publish_until(&mut publisher, 1, &stop));
            let _stop = Stop(&stop);
            for _ in 0..20 {
                let mut raw = Raw::upgraded(&server);
                assert!(raw.frame().1.starts_with(br#"{"type":"welcome","#));
                raw.send(&frame(FIN | TEXT, br#"{"type":"join_room","room":"r"}"#));
                assert!(raw.frame().1.starts_with(br#"{"type":"joined","#));
                let number = |payload: Vec<u8>| parse(std::str::from_utf8(&payload).unwrap()).2;
                let mut last = number(raw.frame().1);
                raw.send(&frame(FIN | CLOSE, b"\x03\xe8"));
                loop {
                    let (first, payload) = raw.frame();
                    if first == FIN | CLOSE {
                        assert_eq!(payload, b"\x03\xe8");
                        break raw.ended();
                    }
                    let next = number(payload);
                    assert_eq!(next, last + 1);
                    last = next;
                }
            }
        });
        publisher.leave();
        server.wait_until_empty();
    }
}
