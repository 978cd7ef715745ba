//! Readers that are too slow, and messages that are large: everybody else loses nothing, and the
//! slow one either all of it or its connection.

use shardcast_tests::{CLOSE, Client, FIN, Honest, PING, Raw, Server, TEXT, config, frame, report};
use std::thread;
use std::time::Duration;

const MESSAGE_BYTES: usize = 32 << 10;

/// The data of message number `number`.
fn padded(number: usize) -> String {
    format!("{number:0>MESSAGE_BYTES$}")
}

/// What a member of the room `r` is sent of it.
fn numbered(number: usize, from: &str) -> String {
    let data = padded(number);
    format!(r#"{{"type":"message","room":"r","from":"{from}","data":"{data}"}}"#)
}

/// Publishes it, and not to itself.
#[track_caller]
fn publish(publisher: &Honest, number: usize) {
    publisher.say(publisher.publishing("r", &padded(number)).without_echo());
}

/// A member hears this next.
#[track_caller]
fn check_heard(member: &mut Honest, from: &str, data: &str) {
    let message = member.hear("r");
    assert_eq!(message.from(), Some(from));
    assert!(message.read::<String>().expect("a text") == data);
}

#[test]
fn a_slow_reader_catches_up_in_order() {
    /// 16 MiB: more than all socket buffers on the way hold.
    const MESSAGES: usize = 512;
    let mut config = config(2);
    config.outbox_bytes_max = 2 * MESSAGES * MESSAGE_BYTES;
    let server = Server::native(config);
    let mut slow = Raw::narrow(&server);
    slow.join("r");
    let mut fast = server_pair(&server);
    let publisher = Honest::of(&server);
    let from = publisher.id().to_owned();
    thread::scope(|scope| {
        for client in &mut fast {
            scope.spawn(|| {
                (0..MESSAGES).for_each(|number| check_heard(client, &from, &padded(number)));
            });
        }
        (0..MESSAGES).for_each(|number| publish(&publisher, number));
    });
    server.wait_until("only one that waits", |server| {
        server.sum(|shard| &shard.outboxes) == 1
    });
    assert!(server.sum(|shard| &shard.outbox_bytes) > MESSAGE_BYTES as u64);
    let receipt = publisher.say(publisher.publishing("r", &"last").with_report());
    assert_eq!(receipt, report(2, 1));
    (0..MESSAGES).for_each(|number| assert!(slow.hear() == numbered(number, &from), "{number}"));
    let last = format!(r#"{{"type":"message","room":"r","from":"{from}","data":"last"}}"#);
    assert_eq!(slow.hear(), last);
    fast.iter_mut()
        .for_each(|client| check_heard(client, &from, "last"));
    server.wait_until("empty outboxes", |server| {
        server.sum(|shard| &shard.outboxes) + server.sum(|shard| &shard.outbox_bytes) == 0
    });
    // From here it is as fast as the others.
    slow.say(r#"{"type":"ping","id":1}"#);
    assert_eq!(slow.hear(), r#"{"type":"pong","id":1}"#);
    assert_eq!(server.sum(|shard| &shard.closed_slow), 0);
}

/// Two members of `r`.
fn server_pair(server: &Server) -> Vec<Honest> {
    let mut pair: Vec<Honest> = (0..2).map(|_| Honest::of(server)).collect();
    pair.iter_mut().for_each(|client| {
        client.join("r");
    });
    pair
}

/// Publishes, the fast members keeping step, until the slow one is closed. How many messages that
/// took.
fn fill(server: &Server, fast: &mut [Honest]) -> usize {
    /// 64 MiB: more than any kernel keeps for one socket.
    const MESSAGES_MAX: usize = 2048;
    let from = fast[0].id().to_owned();
    for number in 0..MESSAGES_MAX {
        publish(&fast[0], number);
        fast[1..]
            .iter_mut()
            .for_each(|client| check_heard(client, &from, &padded(number)));
        if server.sum(|shard| &shard.closed_slow) == 1 {
            return number;
        }
    }
    panic!("nobody was closed: {}", server.counters());
}

#[test]
fn a_reader_that_is_too_slow_is_closed_behind_what_it_is_owed() {
    let server = Server::native(config(2));
    let mut slow = Raw::narrow(&server);
    slow.join("r");
    let mut fast = server_pair(&server);
    let from = fast[0].id().to_owned();
    let messages = fill(&server, &mut fast);
    let last = fast[0].publishing("r", &0).without_echo();
    assert_eq!(fast[0].say(last.with_report()), report(1, 0));
    let mut heard = 0;
    loop {
        let (first, payload) = slow.frame();
        if first == FIN | CLOSE {
            assert_eq!(payload, b"\x03\xf0too slow");
            break;
        }
        assert!(payload == numbered(heard, &from).as_bytes(), "{heard}");
        heard += 1;
    }
    // All but those that found it full.
    assert!(heard > 0 && heard <= messages, "{heard} of {messages}");
    slow.send(&frame(FIN | CLOSE, b"\x03\xf0"));
    slow.ended();
    fast.into_iter().for_each(Honest::leave);
    server.wait_until_empty();
}

#[test]
fn a_reader_that_never_reads_is_cut_off() {
    let mut config = config(2);
    config.close_timeout = Duration::from_millis(100);
    let server = Server::native(config);
    let mut slow = Raw::narrow(&server);
    slow.join("r");
    let mut fast = server_pair(&server);
    fill(&server, &mut fast);
    server.wait_until("the close deadline", |server| {
        server.sum(|shard| &shard.connections) == 2 && server.sum(|shard| &shard.outbox_bytes) == 0
    });
    fast.into_iter().for_each(Honest::leave);
    server.wait_until_empty();
    drop(slow);
}

/// Sends one frame over and over and reads nothing, until the server has had enough. Somebody else
/// is served all the while.
fn check_talker(first: u8, payload_bytes: usize) {
    let mut config = config(1);
    config.close_timeout = Duration::from_millis(100);
    let server = Server::echo(config);
    let mut slow = Raw::narrow(&server);
    slow.upgrade();
    // 64 KiB at a time.
    let one = frame(first, &vec![b'x'; payload_bytes]);
    let many = one.repeat((64 << 10) / one.len() + 1);
    let mut other = Client::plain(&server);
    for _ in 0..2048 {
        slow.send_anyway(&many);
        assert_eq!(other.ask("still here"), "still here");
        if server.sum(|shard| &shard.closed_slow) == 1 {
            break;
        }
    }
    server.wait_until("the other alone", |server| {
        server.sum(|shard| &shard.connections) == 1 && server.sum(|shard| &shard.outbox_bytes) == 0
    });
    assert_eq!(server.sum(|shard| &shard.closed_slow), 1);
    assert_eq!(other.ask("still here"), "still here");
}

#[test]
fn answers_fill_an_outbox_too() {
    check_talker(FIN | TEXT, MESSAGE_BYTES);
    check_talker(FIN | TEXT, 100);
    check_talker(FIN | PING, 125);
    check_talker(FIN | PING, 0);
}

#[test]
fn a_megabyte_reaches_a_hundred_clients() {
    const CLIENTS: usize = 100;
    let mut config = config(2);
    (
        config.listeners[0].message_bytes_max,
        config.outbox_bytes_max,
    ) = (2 << 20, 8 << 20);
    let server = Server::native(config);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::native(&server)).collect();
    clients.iter_mut().for_each(|client| {
        client.join("r");
    });
    let mut publisher = Client::native(&server);
    let data = |fill: &str| format!("\"{}\"", fill.repeat(1_000_000 / fill.len()));
    let all = [data("a"), data("\u{e9}"), data("0123456789")];
    thread::scope(|scope| {
        let from = publisher.id().to_owned();
        let expected = all.each_ref().map(|data| {
            format!(r#"{{"type":"message","room":"r","from":"{from}","data":{data}}}"#)
        });
        for some in clients.chunks_mut(CLIENTS / 4) {
            let expected = expected.clone();
            scope.spawn(move || {
                for message in &expected {
                    some.iter_mut()
                        .for_each(|client| assert!(client.hear() == *message));
                }
            });
        }
        for data in &all {
            publisher.say(&format!(
                r#"{{"type":"broadcast","room":"r","data":{data}}}"#
            ));
        }
    });
    clients.iter_mut().for_each(Client::check_quiet);
    assert_eq!(server.sum(|shard| &shard.deliveries), 3 * CLIENTS as u64);
    clients.into_iter().for_each(Client::leave);
    publisher.leave();
    server.wait_until_empty();
}
