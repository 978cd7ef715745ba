//! What waits: its bounds, when a batch leaves, and what goes to another connection.

use super::{Refusal, Requests};
use crate::encoding::{Body, Encoding};
use crate::entry::{Answer, Entry, Purpose, QueueOptions, Resend, Wants};
use crate::error::{Error, ErrorKind};
use crate::keyed::KeyedRooms;
use crate::outbox::Outbox;
use rand::SeedableRng;
use rand::rngs::StdRng;
use shardcast_protocol::frame::OpCode;
use std::time::{Duration, Instant};
use tokio::sync::oneshot::{Receiver, channel};

/// Requests that may be sent, with this room to wait.
fn requests(count: usize, bytes: usize) -> Requests {
    let options = QueueOptions {
        count,
        bytes,
        ..QueueOptions::default()
    };
    let keyed = KeyedRooms::new(&mut StdRng::seed_from_u64(1));
    let mut requests = Requests::new(options, keyed);
    requests.attach(1 << 16);
    requests.ready();
    requests
}

fn outbox() -> Outbox {
    Outbox::new(OpCode::Text, StdRng::seed_from_u64(2))
}

fn entry(since: Instant, ticket: u64, wants: Wants) -> (Entry, Receiver<Result<Answer, Error>>) {
    let (reply, receiver) = channel();
    let entry = Entry {
        body: Body::new(Encoding::Json, "status"),
        purpose: Purpose::User(reply, wants),
        key: None,
        resend: Resend::Yes,
        timeout: Duration::from_secs(30),
        retries: 1,
        ticket,
        since,
    };
    (entry, receiver)
}

/// The id that the first request gets.
const FIRST_ID: u64 = 1 << super::SLOT_BITS;

#[test]
fn a_batch_leaves_when_it_is_old_or_large_enough() {
    let start = Instant::now();
    let (delay, mut requests) = (Duration::from_millis(50), requests(100, 1 << 20));
    assert_eq!(requests.batch_due(delay, 1_000), None);
    let (first, _receiver) = entry(start, 1, Wants::Message);
    let bytes = first.bytes();
    requests.ask(first).expect("there is room");
    assert_eq!(requests.batch_due(delay, 3 * bytes), Some(start + delay));
    let mut receivers = Vec::new();
    for ticket in 2..=3 {
        let later = start + Duration::from_millis(ticket);
        let (more, receiver) = entry(later, ticket, Wants::Message);
        requests.ask(more).expect("there is room");
        receivers.push(receiver);
    }
    // Large enough: nobody waits any longer.
    assert_eq!(requests.batch_due(delay, 3 * bytes), Some(start));
    assert_eq!(requests.batch_due(delay, 4 * bytes), Some(start + delay));
    let mut outbox = outbox();
    requests.send_waiting(&mut outbox);
    assert_eq!(outbox.messages, 3);
    assert_eq!(requests.batch_due(delay, 1), None);
    // While the connection ends, none leaves.
    let (late, _receiver) = entry(start, 4, Wants::Message);
    requests.ask(late).expect("there is room");
    requests.hold();
    assert_eq!(requests.batch_due(delay, 1), None);
}

#[test]
fn what_is_asked_again_later_takes_its_room_until_then() {
    let start = Instant::now();
    let (first, _receiver) = entry(start, 1, Wants::Message);
    let bytes = first.bytes();
    let mut requests = requests(100, 2 * bytes);
    requests.ask(first).expect("there is room");
    requests.send_waiting(&mut outbox());
    assert_eq!((requests.queued(), requests.queued_bytes()), (0, 0));
    let refused = requests.take(FIRST_ID).expect("it is under way");
    let pause = Duration::from_secs(1);
    requests.later(start + pause, refused);
    assert_eq!((requests.queued(), requests.queued_bytes()), (1, bytes));
    let (second, _receiver) = entry(start, 2, Wants::Message);
    requests.ask(second).expect("there is room");
    let (third, _receiver) = entry(start, 3, Wants::Message);
    let Err(Refusal::Failed(third, error)) = requests.ask(third) else {
        panic!("there is no room");
    };
    assert_eq!(error.kind(), ErrorKind::QueueFull);
    assert!(requests.expire(start + pause).is_empty());
    assert_eq!((requests.queued(), requests.queued_bytes()), (2, 2 * bytes));
    // Withdrawn while it waits for its time, it makes room.
    requests.later(start + 2 * pause, *third);
    requests.withdraw(3);
    assert_eq!((requests.queued(), requests.queued_bytes()), (2, 2 * bytes));
}

#[test]
fn what_is_to_be_asked_again_is_late_at_its_own_deadline() {
    let start = Instant::now();
    let second = Duration::from_secs(1);
    let mut requests = requests(100, 1 << 20);
    // The first is answered, and only its deadline is looked at still.
    let (first, _receiver) = entry(start, 1, Wants::Message);
    let looked = first.deadline();
    requests.ask(first).expect("there is room");
    requests.send_waiting(&mut outbox());
    drop(requests.take(FIRST_ID));
    let (refused, mut receiver) = entry(start + second, 2, Wants::Message);
    let deadline = refused.deadline();
    requests.later(start + 100 * second, refused);
    assert!(requests.expire(looked).is_empty());
    assert!(receiver.try_recv().is_err(), "it has time still");
    assert_eq!(requests.deadline(), Some(deadline));
    assert!(requests.expire(deadline).is_empty());
    let settled = receiver.try_recv().expect("it is too late");
    let error = settled.err().map(|error| error.kind());
    assert_eq!(error, Some(ErrorKind::Timeout));
}

#[test]
fn signs_of_life_do_not_move_to_another_connection() {
    let start = Instant::now();
    let mut requests = requests(100, 1 << 20);
    let mut receivers = Vec::new();
    for (ticket, wants) in [(1, Wants::Message), (2, Wants::Life), (3, Wants::Data)] {
        let (entry, receiver) = entry(start, ticket, wants);
        requests.ask(entry).expect("there is room");
        receivers.push(receiver);
    }
    let moved: Vec<u64> = requests
        .take_waiting()
        .iter()
        .map(|entry| entry.ticket)
        .collect();
    assert_eq!((moved, requests.queued()), (vec![1, 3], 1));
}

#[test]
fn what_nobody_waits_for_any_more_is_not_sent() {
    let mut requests = requests(100, 1 << 20);
    let (gone, receiver) = entry(Instant::now(), 1, Wants::Message);
    requests.ask(gone).expect("there is room");
    drop(receiver);
    let mut outbox = outbox();
    requests.send_waiting(&mut outbox);
    assert_eq!((outbox.messages, requests.pending()), (0, 0));
    assert_eq!(requests.queued_bytes(), 0);
}
