//! More than the server takes at once: floods are pushed back, not lost, and what is given up
//! halfway leaves nothing behind.

use crate::SHARDS;
use shardcast_tests::{Client, FIN, Raw, Server, TEXT, config, frame};
use std::thread;

#[test]
fn a_flood_is_pushed_back_and_loses_nothing() {
    const EACH: usize = 20_000;
    for shards in SHARDS {
        let mut config = config(shards);
        // Who is slow here is the machine: nobody is to be closed for it.
        (config.outbox_bytes_max, config.outbox_frames_max) = (64 << 20, 1 << 20);
        let server = Server::native(config);
        let mut members = server.spread();
        members.iter_mut().for_each(|member| {
            member.join("r");
        });
        let publishers: Vec<Client> = (0..shards).map(|_| Client::native(&server)).collect();
        let ids: Vec<String> = publishers
            .iter()
            .map(|client| client.id().to_owned())
            .collect();
        thread::scope(|scope| {
            for member in &mut members {
                scope.spawn(|| {
                    let mut next = vec![0; ids.len()];
                    for _ in 0..EACH * ids.len() {
                        let text = member.hear();
                        let (from, data) = text
                            .strip_prefix(r#"{"type":"message","room":"r","from":""#)
                            .and_then(|rest| rest.strip_suffix('}'))
                            .and_then(|rest| rest.split_once(r#"","data":"#))
                            .unwrap_or_else(|| panic!("{text}"));
                        let publisher = ids.iter().position(|id| id == from).expect("a publisher");
                        assert_eq!(data.parse(), Ok(next[publisher]));
                        next[publisher] += 1;
                    }
                });
            }
            for mut publisher in publishers {
                scope.spawn(move || {
                    for number in 0..EACH {
                        publisher.say(&format!(
                            r#"{{"type":"broadcast","room":"r","data":{number}}}"#
                        ));
                    }
                    publisher.check_quiet();
                    publisher.leave();
                });
            }
        });
        members.iter_mut().for_each(Client::check_quiet);
        members.into_iter().for_each(Client::leave);
        server.wait_until_empty();
    }
}

#[test]
fn reports_that_nobody_waits_for_any_more_leave_nothing_behind() {
    // More than may be under way on a shard.
    const ROUNDS: usize = 150;
    const REPORTS: usize = 20;
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let mut members = server.spread();
        members.iter_mut().for_each(|member| {
            member.join("r");
        });
        let request = br#"{"type":"broadcast","room":"r","id":1,"report":true}"#;
        let burst = frame(FIN | TEXT, request).repeat(REPORTS);
        for round in 0..ROUNDS {
            let mut raw = Raw::upgraded(&server);
            raw.send(&burst);
            if round % 2 == 0 {
                raw.reset();
            }
        }
        server.wait_until("only the members", |server| {
            server.sum(|shard| &shard.connections) == shards as u64
        });
        for member in &mut members {
            member.say(r#"{"type":"broadcast","room":"other","id":"last","report":true}"#);
            loop {
                let heard = member.hear();
                if heard.starts_with(r#"{"type":"ack""#) {
                    assert_eq!(
                        heard,
                        r#"{"type":"ack","id":"last","delivered":0,"queued":0,"dropped":0,"conflated":0,"catching_up":0}"#
                    );
                    break;
                }
            }
        }
        drop(members);
        server.wait_until_empty();
    }
}

#[test]
fn joins_and_leaves_in_one_segment_end_as_the_last_of_them() {
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let mut witness = Client::native(&server);
        witness.join("r");
        for last_is_join in [true, false] {
            let mut raw = Raw::upgraded(&server);
            raw.hear();
            let mut burst = Vec::new();
            for id in 0..20 {
                burst.extend(frame(
                    FIN | TEXT,
                    format!(r#"{{"type":"join_room","id":{id},"room":"r"}}"#).as_bytes(),
                ));
                if id < 19 || !last_is_join {
                    burst.extend(frame(
                        FIN | TEXT,
                        br#"{"type":"leave_room","id":"l","room":"r"}"#,
                    ));
                }
            }
            raw.send(&burst);
            for id in 0..20 {
                assert_eq!(
                    raw.hear(),
                    format!(r#"{{"type":"joined","id":{id},"room":"r","members":2}}"#)
                );
                if id < 19 || !last_is_join {
                    assert_eq!(raw.hear(), r#"{"type":"left","id":"l","room":"r"}"#);
                }
            }
            let members = 1 + usize::from(last_is_join);
            witness.say(r#"{"type":"broadcast","room":"r","report":true}"#);
            assert!(witness.hear().starts_with(r#"{"type":"message""#));
            assert_eq!(
                witness.hear(),
                format!(
                    r#"{{"type":"ack","delivered":{members},"queued":0,"dropped":0,"conflated":0,"catching_up":0}}"#
                )
            );
            raw.reset();
            server.wait_until("the witness alone", |server| {
                server.sum(|shard| &shard.connections) == 1
            });
        }
        witness.leave();
        server.wait_until_empty();
    }
}

#[test]
fn a_stream_may_be_cut_into_any_segments() {
    const MESSAGES: usize = 400;
    let server = Server::echo(config(2));
    let payload = |number: usize| {
        let bytes = number * number * 7 % 9000;
        format!("{number}:")
            .into_bytes()
            .into_iter()
            .chain((0..bytes).map(|byte| b'a' + (byte % 26) as u8))
            .collect::<Vec<u8>>()
    };
    let stream: Vec<u8> = (0..MESSAGES)
        .flat_map(|number| frame(FIN | TEXT, &payload(number)))
        .collect();
    thread::scope(|scope| {
        for segment in [1, 7, 61, 509, 4099, 16_640, 16_641, 65_537] {
            let (server, stream) = (&server, &stream);
            scope.spawn(move || {
                let mut raw = Raw::upgraded(server);
                // One byte per segment costs a system call each: a piece of the stream will do, in
                // whole messages.
                let messages = if segment == 1 { 12 } else { MESSAGES };
                let bytes: usize = (0..messages)
                    .map(|number| frame(FIN | TEXT, &payload(number)).len())
                    .sum();
                let mut reader = raw.reader();
                let writing = thread::scope(|scope| {
                    let reading = scope.spawn(move || {
                        (0..messages).all(|number| reader.frame() == (FIN | TEXT, payload(number)))
                    });
                    stream[..bytes]
                        .chunks(segment)
                        .for_each(|chunk| raw.send(chunk));
                    reading.join().unwrap()
                });
                assert!(writing, "segments of {segment} bytes");
            });
        }
    });
    server.wait_until_empty();
}

#[test]
fn slow_readers_that_vanish_leave_nothing_behind() {
    const SLOW: usize = 20;
    let data = format!("\"{}\"", "x".repeat(60_000));
    for shards in SHARDS {
        let server = Server::native(config(shards));
        let mut publisher = Client::native(&server);
        let mut slow: Vec<Raw> = (0..SLOW).map(|_| Raw::narrow(&server)).collect();
        slow.iter_mut().for_each(|raw| raw.join("r"));
        // Until all are behind, and some of them are being closed for it.
        let request = format!(r#"{{"type":"broadcast","room":"r","data":{data},"report":true}}"#);
        let mut publish = |reached: &dyn Fn() -> bool| {
            for _ in 0..500 {
                assert!(publisher.ask(&request).starts_with(r#"{"type":"ack","#));
                if reached() {
                    return;
                }
            }
            panic!("{}", server.counters());
        };
        publish(&|| server.sum(|shard| &shard.outboxes) == SLOW as u64);
        let rest = slow.split_off(SLOW / 2);
        slow.into_iter().for_each(Raw::reset);
        publish(&|| server.sum(|shard| &shard.closed_slow) > 0);
        for (index, raw) in rest.into_iter().enumerate() {
            if index % 2 == 0 {
                raw.reset()
            } else {
                drop(raw)
            }
        }
        server.wait_until("only the publisher", |server| {
            server.sum(|shard| &shard.connections) == 1
                && server.sum(|shard| &shard.outbox_bytes) == 0
        });
        publisher.leave();
        server.wait_until_empty();
    }
}
