//! Several connections of one user: as many as the rule lets there be, on whatever shards, however
//! many come at once.

use crate::speaker::Speaker;
use crate::{SHARDS, guests, settle, wait};
use serde_json::{Value, json};
use shardcast::{App, Failure, Handle, Identity};
use shardcast_engine::SameUser;
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::{Server, config};
use std::net::SocketAddr;
use std::thread;
use tungstenite::Message;

/// Close codes, as clients hear them.
const REPLACED: u16 = 4020;
const TOO_MANY: u16 = 4120;

/// A handler by which connections become somebody else.
fn app() -> App {
    let app = guests();
    app.handlers()
        .on("be", |cx, (user,): (String,)| {
            cx.identify(Identity::user(user)?)?;
            Ok::<_, Failure>(())
        })
        .unwrap();
    app
}

/// Runs with a rule, in every dialect.
#[track_caller]
fn with(same_user: SameUser, run: impl Fn(&Server, &Handle, Dialect)) {
    for shards in SHARDS {
        for dialect in Dialect::OWN {
            let mut config = config(shards);
            config.same_user = same_user;
            let (server, handle) = Server::of(app(), config);
            run(&server, &handle, dialect);
            server.wait_until_empty();
        }
    }
}

fn ann(server: &Server, dialect: Dialect) -> Speaker {
    Speaker::at(server.address(), dialect, "?user=ann")
}

#[test]
fn one_more_takes_the_place_of_the_oldest() {
    let replace = SameUser::Replace { connections_max: 2 };
    with(replace, |server, handle, dialect| {
        let (mut first, mut second) = (ann(server, dialect), ann(server, dialect));
        settle(server, handle, "ann", 2);
        let third = ann(server, dialect);
        // Which of two that came at once is the older one, the user's home has decided.
        let goes = |speaker: &mut Speaker| speaker.client.closed().0;
        let is_second = {
            settle(server, handle, "ann", 2);
            let listing = wait(handle.connections("ann")).expect("it runs");
            let is_listed = |speaker: &Speaker| {
                let ids = listing.members.iter();
                ids.clone().any(|member| {
                    shardcast::ConnectionId::from(member.address).to_string() == speaker.id()
                })
            };
            assert!(is_listed(&third));
            !is_listed(&second)
        };
        let (gone, mut stays) = match is_second {
            true => (&mut second, first),
            false => (&mut first, second),
        };
        assert_eq!(goes(gone), REPLACED);
        // Whoever becomes the user by a handler is one more, too.
        let mut bob = Speaker::at(server.address(), dialect, "?user=bob");
        bob.check("be", json!(["ann"]), Value::Null);
        assert_eq!(goes(&mut stays), REPLACED);
        settle(server, handle, "ann", 2);
        // One that leaves makes room.
        drop(third);
        settle(server, handle, "ann", 1);
        let mut last = ann(server, dialect);
        settle(server, handle, "ann", 2);
        bob.check_quiet();
        last.check_quiet();
        assert_eq!(server.sum(|shard| &shard.closed_replaced), 2);
    });
}

#[test]
fn one_more_is_closed() {
    let refuse = SameUser::Refuse { connections_max: 1 };
    with(refuse, |server, handle, dialect| {
        let mut first = ann(server, dialect);
        settle(server, handle, "ann", 1);
        assert_eq!(ann(server, dialect).client.closed().0, TOO_MANY);
        let mut bob = Speaker::at(server.address(), dialect, "?user=bob");
        settle(server, handle, "bob", 1);
        bob.begin("be", json!(["ann"]));
        // Its answer may come before.
        let closed = loop {
            match bob.client.hear_any() {
                Message::Close(close) => break close.expect("a code").code,
                Message::Text(_) | Message::Binary(_) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(u16::from(closed), TOO_MANY);
        // Bob it was until then, and is no more.
        settle(server, handle, "bob", 0);
        // To become who one is changes nothing.
        first.check("be", json!(["ann"]), Value::Null);
        first.check("be", json!(["eve"]), Value::Null);
        settle(server, handle, "ann", 0);
        let mut next = ann(server, dialect);
        settle(server, handle, "ann", 1);
        next.check_quiet();
        first.check_quiet();
        assert_eq!(server.sum(|shard| &shard.closed_too_many), 2);
    });
}

/// All at once: the end of each that is closed, and those that stay.
fn rush(address: SocketAddr, count: usize) -> (Vec<u16>, Vec<Speaker>) {
    let connect = move |number: usize| {
        let dialect = Dialect::OWN[number % Dialect::OWN.len()];
        let mut speaker = Speaker::at(address, dialect, "?user=ann");
        speaker.begin("join_room", json!({"room": "r"}));
        match speaker.client.hear_any() {
            Message::Close(close) => Err(u16::from(close.expect("a code").code)),
            // It is in the room, and may be closed all the same, later.
            Message::Text(_) | Message::Binary(_) => Ok(speaker),
            other => panic!("{other:?}"),
        }
    };
    let threads: Vec<_> = (0..count)
        .map(|number| thread::spawn(move || connect(number)))
        .collect();
    let (mut ends, mut stay) = (Vec::new(), Vec::new());
    for thread in threads {
        match thread.join().expect("no panic") {
            Ok(speaker) => stay.push(speaker),
            Err(code) => ends.push(code),
        }
    }
    (ends, stay)
}

#[test]
fn of_many_that_come_at_once_as_many_stay_as_may() {
    const COUNT: usize = 30;
    const STAY: u32 = 3;
    for shards in [1, 2, 4] {
        for (rule, code) in [
            (
                SameUser::Refuse {
                    connections_max: STAY,
                },
                TOO_MANY,
            ),
            (
                SameUser::Replace {
                    connections_max: STAY,
                },
                REPLACED,
            ),
        ] {
            let mut config = config(shards);
            config.same_user = rule;
            let (server, handle) = Server::of(app(), config);
            let (ends, stay) = rush(server.address(), COUNT);
            assert!(ends.iter().all(|end| *end == code), "{ends:?}");
            let closed = || {
                let counted = [
                    server.sum(|shard| &shard.closed_replaced),
                    server.sum(|shard| &shard.closed_too_many),
                ];
                counted.iter().sum::<u64>()
            };
            server.wait_until("those who may stay", |_| {
                closed() == COUNT as u64 - u64::from(STAY)
            });
            settle(&server, &handle, "ann", STAY as usize);
            assert!(stay.len() >= STAY as usize);
            drop(stay);
            server.wait_until_empty();
        }
    }
}
