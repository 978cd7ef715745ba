//! The way in from other threads: with a runtime and without one, for connections that are there
//! and for those that are gone.

use crate::speaker::Speaker;
use crate::{SHARDS, each, each_with, guests, settle, told, wait};
use serde_json::{Value, json};
use shardcast::namespace::{Namespace, Namespaces};
use shardcast::{App, ConnectionId, Gone, Handle};
use shardcast_engine::Refused;
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::protocol::dialect::{Code, Dialect, Problem};
use shardcast_tests::{PATIENCE, Server, config};
use std::sync::mpsc::sync_channel;

fn id(speaker: &Speaker) -> ConnectionId {
    speaker.id().parse().expect("an id")
}

#[test]
fn events_come_from_other_threads() {
    each(guests, |server, handle, dialect| {
        let at = |query| Speaker::at(server.address(), dialect, query);
        let mut all = [at("?user=ann"), at("?user=ann"), at("")];
        settle(server, handle, "ann", 2);
        all[0].join("r");
        all[2].join("r");
        all[2].join("s");
        let first = id(&all[0]);
        // A thread without a runtime.
        let plain = handle.clone();
        let thread = std::thread::spawn(move || {
            plain.to("r").try_emit("e", &1).unwrap();
            plain.to_many(&["r", "s"]).try_emit("e", &2).unwrap();
            plain.to_user("ann").try_emit("e", &3).unwrap();
            plain.everyone().try_emit("e", &4).unwrap();
            plain.to_connection(first).try_emit("e", &5).unwrap();
            plain.everyone().except(first).try_emit("e", &6).unwrap();
        });
        thread.join().unwrap();
        for (hearer, mut numbers) in
            all.iter_mut()
                .zip([vec![1, 2, 3, 4, 5], vec![3, 4, 6], vec![1, 2, 2, 4, 6]])
        {
            // Rooms, users and everyone have an order each, but none among them.
            let mut heard: Vec<i64> = numbers
                .iter()
                .map(|_| hearer.hear()["data"].as_i64().expect("a number"))
                .collect();
            heard.sort_unstable();
            numbers.sort_unstable();
            assert_eq!(heard, numbers);
        }
        // A task of tokio.
        wait(async {
            handle.to("r").emit("e", &7).await.unwrap();
            handle.to_connection(first).emit("e", &8).await.unwrap();
        });
        all[2].expect_event("e", json!(7));
        let mut heard = [all[0].hear(), all[0].hear()].map(|heard| heard["data"].as_i64());
        heard.sort_unstable();
        assert_eq!(heard, [Some(7), Some(8)]);
        all.iter_mut().for_each(Speaker::check_quiet);
    });
}

/// The code of a refusal for clients.
#[track_caller]
fn code<T: std::fmt::Debug>(refused: Result<T, shardcast::Failure>) -> Code {
    let failure = refused.expect_err("it is refused");
    let problem = failure.problem();
    problem
        .unwrap_or_else(|| panic!("not for clients: {failure:?}"))
        .code
}

/// A refusal that has no code for clients.
#[track_caller]
fn text<T: std::fmt::Debug>(refused: Result<T, shardcast::Failure>) -> String {
    refused.expect_err("it is refused").to_string()
}

#[test]
fn bad_names_and_data_are_refused_outside_too() {
    each_with(
        || {
            let named = [("chat", Namespace::default())];
            guests().namespaces(Namespaces::new(Namespace::default(), named).unwrap())
        },
        |config| config.room_name_bytes_max = 10,
        |server, handle, dialect| {
            let mut one = Speaker::new(server, dialect);
            for (room, expected) in [
                ("", Code::BadRequest),
                ("a\u{0}", Code::BadRequest),
                ("12345678901", Code::BadRequest),
                ("news:x", Code::UnknownNamespace),
            ] {
                for refused in [
                    code(handle.to(room).try_emit("e", &1)),
                    code(wait(handle.to(room).emit("e", &1))),
                    code(handle.to_many(&[room]).try_emit("e", &1)),
                    code(wait(handle.join(id(&one), &[room]))),
                ] {
                    assert_eq!(refused, expected, "{room}");
                }
            }
            let user = "x".repeat(256);
            for user in ["", &user] {
                let refused = code(handle.to_user(user).try_emit("e", &1));
                assert_eq!(refused, Code::BadRequest, "{user}");
            }
            let large = "x".repeat(config(1).message_bytes_max());
            let refused = code(handle.everyone().try_emit("e", &large));
            assert_eq!(refused, Code::TooLarge);
            one.check_quiet();
        },
    );
}

#[test]
fn connections_are_moved_listed_and_asked_from_outside() {
    each(guests, |server, handle, dialect| {
        let mut one = Speaker::at(server.address(), dialect, "?user=ann");
        let mut other = Speaker::new(server, dialect);
        settle(server, handle, "ann", 1);
        let joined = wait(handle.join(id(&other), &["b", "a", "b"])).unwrap();
        let joined: Vec<(&str, u32)> = joined
            .iter()
            .map(|(room, count)| (&**room, *count))
            .collect();
        assert_eq!(joined, [("b", 1), ("a", 1)]);
        assert_eq!(wait(handle.join(id(&one), &["a"])).unwrap()[0].1, 2);
        assert!(wait(handle.join(id(&one), &[])).unwrap().is_empty());
        one.check("rooms", Value::Null, json!({"rooms": ["a"]}));
        other.check("rooms", Value::Null, json!({"rooms": ["a", "b"]}));
        // What is published from here on is heard.
        wait(handle.to("a").emit("e", &1)).unwrap();
        one.expect_event("e", json!(1));
        other.expect_event("e", json!(1));

        let listing = wait(handle.members("a")).unwrap();
        assert_eq!((listing.total, listing.members.len()), (2, 2));
        let listing = wait(handle.connections("ann")).unwrap();
        let users: Vec<_> = listing.members.iter().map(|m| m.user.as_deref()).collect();
        assert_eq!((listing.total, users), (1, vec![Some("ann")]));
        assert_eq!(wait(handle.connections("bob")).unwrap().total, 0);

        wait(handle.leave(id(&other), &["a"])).unwrap();
        let refused = code(wait(handle.leave(id(&other), &["a"])));
        assert_eq!(refused, Code::NotJoined);
        other.check("rooms", Value::Null, json!({"rooms": ["b"]}));
        assert_eq!(wait(handle.members("a")).unwrap().total, 1);

        let seen = wait(handle.on(id(&one), |cx| (cx.dialect(), cx.user().map(str::to_owned))));
        assert_eq!(seen, Ok((dialect, Some("ann".to_owned()))));
        one.check_quiet();
        other.check_quiet();
    });
}

#[test]
fn who_is_gone_is_gone() {
    each(App::new, |server, handle, dialect| {
        let one = Speaker::new(server, dialect);
        let gone = id(&one);
        one.client.leave();
        server.wait_until_empty();
        // Somebody else has its slot, and is not meant.
        let mut heir = Speaker::new(server, dialect);
        assert_eq!(wait(handle.on(gone, |_| ())), Err(Gone));
        assert_eq!(
            wait(handle.disconnect(gone, CloseCode::NORMAL, "")),
            Err(Gone)
        );
        assert_eq!(text(wait(handle.join(gone, &["r"]))), Gone.to_string());
        assert_eq!(text(wait(handle.leave(gone, &["r"]))), Gone.to_string());
        // An event to nobody is none.
        wait(handle.to_connection(gone).emit("e", &1)).unwrap();
        handle.to_connection(gone).try_emit("e", &1).unwrap();
        let nowhere: ConnectionId = "ffff-0-1".parse().unwrap();
        assert_eq!(wait(handle.on(nowhere, |_| ())), Err(Gone));
        handle.to_connection(nowhere).try_emit("e", &1).unwrap();
        heir.check_quiet();
    });
}

#[test]
fn a_user_is_disconnected_on_all_shards() {
    for shards in SHARDS {
        let (server, handle) = Server::of(guests(), config(shards));
        let dialects = Dialect::OWN.into_iter().cycle().take(9);
        let mut anns: Vec<Speaker> = dialects
            .map(|dialect| Speaker::at(server.address(), dialect, "?user=ann"))
            .collect();
        let mut bob = Speaker::at(server.address(), Dialect::NativeJson, "?user=bob");
        settle(&server, &handle, "ann", anns.len());
        let code = CloseCode::new(4001).unwrap();
        let closed = wait(handle.disconnect_user("ann", code, "signed out"));
        assert_eq!(closed.unwrap(), anns.len());
        for ann in &mut anns {
            assert_eq!(ann.client.closed(), (4001, "signed out".to_owned()));
        }
        drop(anns);
        server.wait_until("only bob", |server| {
            server.sum(|shard| &shard.users) == 1 && server.sum(|shard| &shard.connections) == 1
        });
        assert_eq!(wait(handle.disconnect_user("ann", code, "")).unwrap(), 0);
        bob.check_quiet();
    }
}

#[test]
fn handles_say_when_the_server_has_stopped() {
    let (server, handle) = Server::of(App::new(), config(2));
    let one = Speaker::new(&server, Dialect::NativeJson);
    let id = id(&one);
    drop(one);
    assert!(server.drain(PATIENCE));
    let stopped = Refused::Stopped.to_string();
    assert_eq!(text(handle.everyone().try_emit("e", &1)), stopped);
    assert_eq!(text(wait(handle.to("r").emit("e", &1))), stopped);
    assert_eq!(text(wait(handle.members("r"))), stopped);
    assert_eq!(wait(handle.on(id, |_| ())), Err(Gone));
}

#[test]
fn a_handle_goes_anywhere() {
    fn is_free<T: Clone + Send + Sync + 'static>(_: &T) {}
    let (told_of, tells) = sync_channel(1);
    let app = App::new().on_opened(move |cx| {
        let handle: Handle = cx.handle();
        is_free(&handle);
        told_of.send((handle, cx.connection())).unwrap();
        Ok(())
    });
    let handlers = app.handlers();
    let (server, _) = Server::of(app, config(2));
    let mut one = Speaker::new(&server, Dialect::MessagePack);
    // From the hook, over a thread, back to the client; handlers that come later are there at once.
    let (handle, id) = told(&tells);
    handlers
        .on("later", |_, (): ()| -> Result<(), shardcast::Failure> {
            Err(Problem::new(Code::Unavailable, "not today").into())
        })
        .unwrap();
    let thread = std::thread::spawn(move || handle.to_connection(id).try_emit("hello", &()));
    thread.join().unwrap().unwrap();
    one.expect_event("hello", Value::Null);
    let refused = one.check_refused("later", Value::Null, "unavailable");
    assert_eq!(refused["retryable"], true);
}

/// As a program without a runtime starts it, and one with: background handlers run on either.
#[test]
fn an_application_starts_with_a_runtime_of_its_own_or_of_others() {
    let app = || {
        let app = App::new();
        app.handlers()
            .on_async("wait", |_, (): ()| async {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                Ok("done")
            })
            .unwrap();
        app
    };
    let check = |server: shardcast::Server| {
        for dialect in Dialect::OWN {
            let mut one = Speaker::at(server.local_addr().unwrap(), dialect, "");
            one.check("wait", Value::Null, json!("done"));
            wait(server.handle().everyone().emit("e", &1)).unwrap();
            one.expect_event("e", json!(1));
            one.client.leave();
        }
        assert!(server.drain(PATIENCE));
    };
    check(app().start(config(2)).expect("it starts"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let started = {
        let _around = runtime.enter();
        app().start(config(2)).expect("it starts")
    };
    check(started);
}
