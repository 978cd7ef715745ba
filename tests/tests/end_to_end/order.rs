//! Order: one per room for all members, one per connection, and sharp edges where a membership
//! begins and ends.

use crate::SHARDS;
use shardcast_client::{Receipt, Target};
use shardcast_tests::{CLOSE, Client, FIN, Honest, Raw, Server, TEXT, config, frame};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The number that a message's data is.
fn parse(text: &str) -> u32 {
    let value: serde_json::Value = serde_json::from_str(text).expect(text);
    assert_eq!(value["type"], "message", "{text}");
    value["data"].as_u64().expect(text) as u32
}

#[test]
fn all_members_see_one_order() {
    const EACH: u32 = 150;
    /// Where message number n goes, and where it is heard: in a room, or as everyone.
    const TARGETS: [(Target<'static>, &str); 3] = [
        (Target::Room("a"), "a"),
        (Target::Room("b"), "b"),
        (Target::Everyone, ""),
    ];
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let mut clients = Honest::on_each_shard(&server);
        clients.extend((0..4).map(|_| Honest::of(&server)));
        clients.iter_mut().for_each(|client| {
            client.join("a");
            client.join("b");
            client.listen();
        });
        let total = EACH as usize * clients.len();
        let heard: Vec<[Vec<(String, u32)>; 3]> = thread::scope(|scope| {
            let threads: Vec<_> = clients
                .iter_mut()
                .map(|client| {
                    scope.spawn(move || {
                        let publish = |number: u32| {
                            let (target, _) = TARGETS[number as usize % TARGETS.len()];
                            client.publishing(target, &number).send()
                        };
                        let published: Vec<_> = (0..EACH).map(publish).collect();
                        for published in published {
                            client.answer(published);
                        }
                        let each = 0..total / TARGETS.len();
                        TARGETS.map(|(_, room)| each.clone().map(|_| hear(client, room)).collect())
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        for (index, (target, _)) in TARGETS.iter().enumerate() {
            let first = &heard[0][index];
            for other in &heard[1..] {
                assert_eq!(other[index], *first, "{shards} shards, {target:?}");
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
        clients.iter().for_each(Honest::check_quiet);
        let deliveries = server.sum(|shard| &shard.deliveries);
        assert_eq!(deliveries, (total * clients.len()) as u64);
    }
}

/// Sender and number of the next message of a room, or for everyone.
fn hear(client: &mut Honest, room: &str) -> (String, u32) {
    let message = match room {
        "" => client.hear_everyone(),
        room => client.hear(room),
    };
    assert_eq!(message.room().unwrap_or_default(), room);
    let from = message.from().expect("a connection").to_owned();
    (from, message.read().expect("a number"))
}

/// How many members a report counts, whatever became of the message for each.
#[track_caller]
pub(crate) fn counted(receipt: &Receipt) -> u64 {
    let counts = [receipt.delivered, receipt.queued, receipt.dropped];
    let counts = counts.map(|count| count.expect("a report"));
    counts.into_iter().sum()
}

/// Publishes numbers to the room `r` until told to stop, one at a time: each has been delivered
/// when the next one goes.
fn publish_until(client: &Honest, members_max: u64, stop: &AtomicBool) -> u32 {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return number;
        }
        let receipt = client.say(client.publishing("r", &number).with_report());
        assert!(
            counted(&receipt) <= members_max,
            "{members_max}: {receipt:?}"
        );
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
    let mut last = parse(&client.hear());
    let mut next = |text: &str| {
        let number = parse(text);
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
        let (mut members, publisher) = (server.spread(), Honest::of(&server));
        let (stop, members_max) = (AtomicBool::new(false), members.len() as u64);
        thread::scope(|scope| {
            scope.spawn(|| publish_until(&publisher, members_max, &stop));
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
        let publisher = Honest::of(&server);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            // One at a time, and each has left the room when its close is answered.
            scope.spawn(|| publish_until(&publisher, 1, &stop));
            let _stop = Stop(&stop);
            for _ in 0..20 {
                let mut raw = Raw::upgraded(&server);
                assert!(raw.frame().1.starts_with(br#"{"type":"welcome","#));
                raw.send(&frame(FIN | TEXT, br#"{"type":"join_room","room":"r"}"#));
                assert!(raw.frame().1.starts_with(br#"{"type":"joined","#));
                let number = |payload: Vec<u8>| parse(std::str::from_utf8(&payload).unwrap());
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
