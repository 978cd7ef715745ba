//! Readers that are too slow, and messages that are large: everybody else loses nothing, and the
//! slow one either all of it or its connection.

use shardcast_tests::{CLOSE, Client, FIN, PING, Raw, Server, TEXT, config, frame};
use std::thread;
use std::time::Duration;

const MESSAGE_BYTES: usize = 32 << 10;

/// Message number `number` to the room `r`, and what its members hear.
fn numbered(number: usize, from: &str) -> (String, String) {
    let data = format!("\"{number:0>width$}\"", width = MESSAGE_BYTES);
    (
        format!(r#"{{"type":"broadcast","room":"r","data":{data},"echo":false}}"#),
        format!(r#"{{"type":"message","room":"r","from":"{from}","data":{data}}}"#),
    )
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
    let mut publisher = Client::native(&server);
    let from = publisher.id().to_owned();
    thread::scope(|scope| {
        for client in &mut fast {
            scope.spawn(|| {
                (0..MESSAGES).for_each(|number| client.expect(&numbered(number, &from).1))
            });
        }
        (0..MESSAGES).for_each(|number| publisher.say(&numbered(number, &from).0));
    });
    server.wait_until("only one that waits", |server| {
        server.sum(|shard| &shard.outboxes) == 1
    });
    assert!(server.sum(|shard| &shard.outbox_bytes) > MESSAGE_BYTES as u64);
    publisher.check(
        r#"{"type":"broadcast","room":"r","data":"last","report":true}"#,
        r#"{"type":"ack","delivered":2,"queued":1,"dropped":0,"conflated":0,"catching_up":0}"#,
    );
    (0..MESSAGES).for_each(|number| assert!(slow.hear() == numbered(number, &from).1, "{number}"));
    let last = format!(r#"{{"type":"message","room":"r","from":"{from}","data":"last"}}"#);
    assert_eq!(slow.hear(), last);
    fast.iter_mut().for_each(|client| client.expect(&last));
    server.wait_until("empty outboxes", |server| {
        server.sum(|shard| &shard.outboxes) + server.sum(|shard| &shard.outbox_bytes) == 0
    });
    // From here it is as fast as the others.
    slow.say(r#"{"type":"ping","id":1}"#);
    assert_eq!(slow.hear(), r#"{"type":"pong","id":1}"#);
    assert_eq!(server.sum(|shard| &shard.closed_slow), 0);
}

/// Two members of `r`.
fn server_pair(server: &Server) -> Vec<Client> {
    let mut pair: Vec<Client> = (0..2).map(|_| Client::native(server)).collect();
    pair.iter_mut().for_each(|client| {
        client.join("r");
    });
    pair
}

/// Publishes, the fast members keeping step, until the slow one is closed. How many messages that
/// took.
fn fill(server: &Server, fast: &mut [Client]) -> usize {
    /// 64 MiB: more than any kernel keeps for one socket.
    const MESSAGES_MAX: usize = 2048;
    let from = fast[0].id().to_owned();
    for number in 0..MESSAGES_MAX {
        let (request, heard) = numbered(number, &from);
        fast[0].say(&request);
        fast[1..]
            .iter_mut()
            .for_each(|client| client.expect(&heard));
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
    fast[0].check(
        r#"{"type":"broadcast","room":"r","data":0,"echo":false,"report":true}"#,
        r#"{"type":"ack","delivered":1,"queued":0,"dropped":0,"conflated":0,"catching_up":0}"#,
    );
    let mut heard = 0;
    loop {
        let (first, payload) = slow.frame();
        if first == FIN | CLOSE {
            assert_eq!(payload, b"\x03\xf0too slow");
            break;
        }
        assert!(payload == numbered(heard, &from).1.as_bytes(), "{heard}");
        heard += 1;
    }
    // All but those that found it full.
    assert!(heard > 0 && heard <= messages, "{heard} of {messages}");
    slow.send(&frame(FIN | CLOSE, b"\x03\xf0"));
    slow.ended();
    fast.into_iter().for_each(Client::leave);
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
    fast.into_iter().for_each(Client::leave);
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
