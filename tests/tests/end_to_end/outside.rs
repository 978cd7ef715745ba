//! What other threads of the process ask of a running engine, and when it does not answer.

use crate::SHARDS;
use crate::encodings::{content, guests, hall, said};
use shardcast_engine::{Answer, Handle, Publish, Refused, Reply, Target, Topic};
use shardcast_tests::{Client, PATIENCE};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

fn reply() -> (Reply, Receiver<Answer>) {
    let (sender, receiver) = mpsc::sync_channel(1);
    let reply = Box::new(move |answer| sender.send(answer).unwrap());
    (reply, receiver)
}

fn hello() -> Publish {
    Publish::new(content("hello"))
}

fn reported(handle: &Handle, to: Target<'_>) -> Answer {
    let (reply, receiver) = reply();
    handle.publish_reported(to, hello(), reply).unwrap();
    receiver.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn questions_are_answered() {
    for shards in SHARDS {
        let (server, book) = hall(shards);
        let mut guests = guests(&server, 6);
        guests[1].say("be ann");
        guests[1].check("list user:ann", "listed 1 1:ann");
        let handle = server.handle();
        for (to, hearers) in [
            (Target::Room("r"), 6),
            (Target::User("ann"), 1),
            (Target::Everyone, 6),
            (Target::Room("\u{1}ann"), 0),
            (Target::Room(""), 0),
        ] {
            let answer = reported(&handle, to);
            assert_eq!(
                said(&answer, &book),
                format!("reported {hearers}"),
                "{to:?}"
            );
        }
        for (index, guest) in guests.iter_mut().enumerate() {
            for _ in 0..2 + usize::from(index == 1) {
                guest.expect(&format!("f{} hello", index % 3));
            }
        }
        for (topic, expected) in [
            (Topic::Room("r"), "listed 6 0:- 1:ann 2:- 3:- 4:- 5:-"),
            (Topic::User("ann"), "listed 1 1:ann"),
            (Topic::Room("\u{1}ann"), "listed 0 "),
        ] {
            let (reply, receiver) = reply();
            handle.list(topic, reply).unwrap();
            let answer = receiver.recv_timeout(PATIENCE).unwrap();
            assert_eq!(said(&answer, &book), expected, "{topic:?}");
        }
        // A reply that panics harms nobody.
        let reply = Box::new(|_| panic!("as the test wished"));
        handle.list(Topic::Room("r"), reply).unwrap();
        server.wait_until("the panic", |server| server.sum(|shard| &shard.panics) == 1);
        guests[0].check("who", "nobody in 1");
        guests.into_iter().for_each(Client::leave);
        server.wait_until_empty();
    }
}

#[test]
fn a_connection_is_told_what_others_are_not() {
    for shards in SHARDS {
        let (server, book) = hall(shards);
        let mut guests = guests(&server, 6);
        let handle = server.handle();
        let addresses = book.lock().unwrap().clone();
        let tell = |number: u32, note: &str| {
            let note = Box::new(note.to_owned());
            handle.notify(addresses[&number], note).unwrap();
        };
        for number in 0..6 {
            tell(number, &format!("you are {number}"));
            tell(number, "panic");
        }
        for (number, guest) in guests.iter_mut().enumerate() {
            guest.expect(&format!("you are {number}"));
            // The default of `panicked`.
            assert_eq!(guest.closed(), (1011, "handler failed".to_owned()));
        }
        drop(guests);
        server.wait_until_empty();
        tell(0, "nobody hears it");
        assert_eq!(server.sum(|shard| &shard.panics), 6);
        server.drain(Duration::ZERO);
        // The engine is gone: what was asked comes back, or is dropped without an answer.
        let (refused, note) = handle.notify(addresses[&0], Box::new(7)).unwrap_err();
        assert_eq!(
            (refused, note.downcast_ref::<i32>()),
            (Refused::Stopped, Some(&7))
        );
        assert_eq!(
            handle.publish(Target::Everyone, hello()),
            Err(Refused::Stopped)
        );
        let (reply, receiver) = reply();
        assert_eq!(handle.list(Topic::Room("r"), reply), Err(Refused::Stopped));
        assert!(receiver.recv().is_err());
    }
}
