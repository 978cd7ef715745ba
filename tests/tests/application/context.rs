//! What handlers know of their connection and do to others: on the shard ([`shardcast::Context`])
//! and in the background ([`shardcast::Background`]), with the same words and the same effect.

use crate::speaker::Speaker;
use crate::{each, guests, settle, told};
use serde::Deserialize;
use serde_json::{Value, json};
use shardcast::{App, Background, ConnectionId, Context, Failure, Handlers, Identity};
use shardcast_engine::Listing;
use shardcast_engine::protocol::close::CloseCode;
use std::sync::mpsc::sync_channel;

/// A command to a connection's handler.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Room(String),
    Rooms(Vec<String>),
    User(String),
    Everyone,
    Connection(String),
}

#[derive(Debug, Deserialize)]
struct Tell {
    to: Order,
    except: Option<String>,
}

fn id(text: &str) -> Result<ConnectionId, Failure> {
    Ok(text.parse()?)
}

/// `sync.tell` and `async.tell` send the event `told`; the rest is told by its name.
fn talkative() -> App {
    let app = guests();
    let handlers = app.handlers();
    handlers
        .on("sync.tell", |cx, tell: Tell| {
            let rooms;
            let emit = match &tell.to {
                Order::Room(room) => cx.to(room),
                Order::Rooms(names) => {
                    rooms = names.iter().map(String::as_str).collect::<Vec<_>>();
                    cx.to_many(&rooms)
                }
                Order::User(user) => cx.to_user(user),
                Order::Everyone => cx.everyone(),
                Order::Connection(connection) => cx.to_connection(id(connection)?),
            };
            match tell.except {
                Some(except) => emit.except(id(&except)?).emit("told", &[1])?,
                None => emit.emit("told", &[1])?,
            }
            Ok(())
        })
        .unwrap();
    handlers
        .on_async("async.tell", |cx: Background, tell: Tell| async move {
            let rooms;
            let emit = match &tell.to {
                Order::Room(room) => cx.to(room),
                Order::Rooms(names) => {
                    rooms = names.iter().map(String::as_str).collect::<Vec<_>>();
                    cx.to_many(&rooms)
                }
                Order::User(user) => cx.to_user(user),
                Order::Everyone => cx.everyone(),
                Order::Connection(connection) => cx.handle().to_connection(id(connection)?),
            };
            match tell.except {
                Some(except) => emit.except(id(&except)?).emit("told", &[1]).await?,
                None => emit.emit("told", &[1]).await?,
            }
            Ok(())
        })
        .unwrap();
    app
}

#[test]
fn events_reach_whom_they_are_for() {
    each(talkative, |server, handle, dialect| {
        let at = |query| Speaker::at(server.address(), dialect, query);
        let mut all = [at(""), at("?user=ann"), at("?user=ann"), at("")];
        settle(server, handle, "ann", 2);
        all[0].join("r");
        all[1].join("r");
        all[1].join("s");
        all[2].join("s");
        let ids = all.each_ref().map(|one| one.id().to_owned());
        for kind in ["sync.tell", "async.tell"] {
            for (order, hearers) in [
                (json!({"to": {"room": "r"}}), [1, 1, 0, 0]),
                (json!({"to": {"room": "nobody"}}), [0, 0, 0, 0]),
                (json!({"to": {"rooms": ["r", "s"]}}), [1, 2, 1, 0]),
                (json!({"to": {"rooms": []}}), [0, 0, 0, 0]),
                (json!({"to": {"user": "ann"}}), [0, 1, 1, 0]),
                (json!({"to": {"user": "nobody"}}), [0, 0, 0, 0]),
                (json!({"to": "everyone"}), [1, 1, 1, 1]),
                (json!({"to": {"connection": ids[3]}}), [0, 0, 0, 1]),
                (json!({"to": {"connection": ids[0]}}), [1, 0, 0, 0]),
                (json!({"to": {"connection": "0-ffff-1"}}), [0, 0, 0, 0]),
                (
                    json!({"to": {"rooms": ["r", "s"]}, "except": ids[1]}),
                    [1, 0, 1, 0],
                ),
                (
                    json!({"to": {"user": "ann"}, "except": ids[2]}),
                    [0, 1, 0, 0],
                ),
                (json!({"to": "everyone", "except": ids[0]}), [0, 1, 1, 1]),
                (
                    json!({"to": {"connection": ids[3]}, "except": ids[3]}),
                    [0, 0, 0, 0],
                ),
            ] {
                all[0].check(kind, order.clone(), Value::Null);
                for (hearer, count) in all.iter_mut().zip(hearers) {
                    for _ in 0..count {
                        hearer.expect_event("told", json!([1]));
                    }
                }
            }
            // Events that were sent before come before what is asked of every shard afterwards.
            all[0].check(kind, json!({"to": "everyone"}), Value::Null);
            for hearer in &mut all {
                hearer.expect_event("told", json!([1]));
                hearer.check_quiet();
            }
            for bad in [
                json!({"to": {"room": ""}}),
                json!({"to": {"room": "a\u{0}"}}),
                json!({"to": {"rooms": ["x", ""]}}),
                json!({"to": {"user": ""}}),
                json!({"to": {"user": "x".repeat(256)}}),
            ] {
                all[0].check_refused(kind, bad, "bad_request");
            }
            all[0].check_refused(kind, json!({"to": {"connection": "x"}}), "handler_failed");
        }
    });
}

/// What the connection knows of itself.
fn known() -> App {
    let app = guests();
    let handlers = app.handlers();
    handlers
        .on("sync.known", |cx, (): ()| {
            assert!(cx.connected() <= std::time::Duration::from_secs(60));
            assert!(cx.connected_at() <= std::time::SystemTime::now());
            Ok(json!({
                "connection": cx.connection().to_string(),
                "user": cx.user(),
                "roles": cx.identity().roles(),
                "peer": cx.remote_address().to_string(),
                "dialect": cx.dialect().subprotocol(),
                "secure": cx.is_secure(),
                "rooms": cx.rooms(),
            }))
        })
        .unwrap();
    handlers
        .on_async("async.known", |cx: Background, (): ()| async move {
            let secure = cx.on_shard(|cx| cx.is_secure()).await?;
            Ok(json!({
                "connection": cx.connection().to_string(),
                "user": cx.user(),
                "roles": cx.identity().roles(),
                "peer": cx.remote_address().to_string(),
                "dialect": cx.dialect().subprotocol(),
                "secure": secure,
                "rooms": cx.rooms().await?,
            }))
        })
        .unwrap();
    app
}

#[test]
fn a_handler_knows_its_connection() {
    each(known, |server, _, dialect| {
        for (query, user, roles) in [
            ("?user=ann&roles=a,b", json!("ann"), json!(["a", "b"])),
            ("", Value::Null, json!([])),
        ] {
            let mut one = Speaker::at(server.address(), dialect, query);
            one.join("s");
            one.join("r");
            let peer = one.client.stream().local_addr().unwrap().to_string();
            let expected = json!({
                "connection": one.id(), "user": user, "roles": roles, "peer": peer,
                "dialect": dialect.subprotocol(), "secure": false, "rooms": ["r", "s"],
            });
            for kind in ["sync.known", "async.known"] {
                one.check(kind, Value::Null, expected.clone());
            }
        }
    });
}

/// Joins are waited for, messages come from then on, and lists are right.
fn joining() -> App {
    let app = guests();
    let handlers = app.handlers();
    handlers
        .on("sync.join", |cx, rooms: Vec<String>| {
            let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
            cx.join_then(&rooms, |cx, joined| match joined {
                Ok(joined) => {
                    let members: Vec<u32> = joined.iter().map(|room| room.members).collect();
                    say(cx, "joined", &json!([members, cx.rooms()]));
                }
                Err(problem) => say(cx, "refused", &json!(problem.code.as_str())),
            })?;
            Ok(())
        })
        .unwrap();
    handlers
        .on_async(
            "async.join",
            |cx: Background, rooms: Vec<String>| async move {
                let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
                let joined = cx.join_many(&rooms).await?;
                let members: Vec<u32> = joined.iter().map(|(_, members)| *members).collect();
                let now = cx.rooms().await?;
                cx.on_shard(move |cx| say(cx, "joined", &json!([members, now])))
                    .await?;
                Ok(())
            },
        )
        .unwrap();
    handlers
        .on("sync.leave", |cx, rooms: Vec<String>| {
            let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
            cx.leave_then(&rooms, |cx| {
                let rooms = json!(cx.rooms());
                say(cx, "left", &rooms);
            })?;
            Ok(())
        })
        .unwrap();
    handlers
        .on_async(
            "async.leave",
            |cx: Background, rooms: Vec<String>| async move {
                let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
                cx.handle().leave(cx.connection(), &rooms).await?;
                let now = cx.rooms().await?;
                cx.on_shard(move |cx| say(cx, "left", &json!(now))).await?;
                Ok(())
            },
        )
        .unwrap();
    listing(&handlers);
    app
}

fn listing(handlers: &Handlers) {
    handlers
        .on("sync.members", |cx, (room,): (String,)| {
            cx.members(&room, |cx, listing| {
                say(cx, "members", &counted(&listing));
            })?;
            Ok(())
        })
        .unwrap();
    handlers
        .on_async(
            "async.members",
            |cx: Background, (room,): (String,)| async move {
                let listing = cx.members(&room).await?;
                cx.on_shard(move |cx| say(cx, "members", &counted(&listing)))
                    .await?;
                Ok(())
            },
        )
        .unwrap();
}

fn say(cx: &mut Context<'_>, event: &str, data: &Value) {
    let me = cx.connection();
    cx.to_connection(me).emit(event, data).expect("it is small");
}

fn counted(listing: &Listing) -> Value {
    let mut users: Vec<Option<&str>> = listing.members.iter().map(|m| m.user.as_deref()).collect();
    users.sort_unstable();
    json!([listing.total, users])
}

#[test]
fn a_join_is_done_when_it_is_told() {
    each(
        || {
            let app = joining();
            app.handlers()
                .on("publish_then_join", |cx, (): ()| {
                    // The room's home has these in this order: the first is not heard.
                    cx.to("order").emit("before", &1)?;
                    cx.join_then(&["order"], |cx, _| {
                        cx.to("order").emit("after", &2).expect("it is small");
                    })
                })
                .unwrap();
            app
        },
        |server, _, dialect| {
            let mut other = Speaker::new(server, dialect);
            other.join("a");
            for kind in ["sync", "async"] {
                let mut one = Speaker::at(server.address(), dialect, "?user=ann");
                let [join, leave, members] =
                    ["join", "leave", "members"].map(|what| format!("{kind}.{what}"));
                one.check(&join, json!(["b", "a"]), Value::Null);
                one.expect_event("joined", json!([[1, 2], ["a", "b"]]));
                other.notify("publish", json!({"room": "a", "data": 1, "echo": false}));
                assert_eq!(one.hear()["data"], 1);
                one.check(&members, json!(["a"]), Value::Null);
                one.expect_event("members", json!([2, [null, "ann"]]));
                one.check(&members, json!(["nowhere"]), Value::Null);
                one.expect_event("members", json!([0, []]));
                // The same once more, and none at all.
                one.check(&join, json!(["a", "a"]), Value::Null);
                let heard = one.hear();
                assert_eq!(heard["data"][1], json!(["a", "b"]), "{heard}");
                one.check(&join, json!([]), Value::Null);
                one.expect_event("joined", json!([[], ["a", "b"]]));

                one.check_refused(&join, json!(["c", ""]), "bad_request");
                one.check_refused(&leave, json!(["a", "x"]), "not_joined");
                one.check("rooms", Value::Null, json!({"rooms": ["a", "b"]}));
                one.check(&leave, json!([]), Value::Null);
                one.expect_event("left", json!(["a", "b"]));
                one.check(&leave, json!(["a", "a"]), Value::Null);
                one.expect_event("left", json!(["b"]));
                other.check("publish", json!({"room": "a", "echo": false}), json!({}));
                one.check(&members, json!(["a"]), Value::Null);
                one.expect_event("members", json!([1, [null]]));
                one.check_refused(&members, json!([""]), "bad_request");
                one.check_quiet();

                one.check("publish_then_join", Value::Null, Value::Null);
                one.expect_event("after", json!(2));
                one.check_quiet();
                // Nobody is in it when the next one comes.
                one.check(&leave, json!(["b"]), Value::Null);
                one.expect_event("left", json!(["order"]));
            }
        },
    );
}

#[test]
fn metadata_is_typed_and_each_connections_own() {
    #[derive(Debug, PartialEq)]
    struct Visits(u32);
    let app = || {
        let app = App::new().on_opened(|cx| {
            assert_eq!(cx.set_metadata(Visits(0)), None);
            Ok(())
        });
        let handlers = app.handlers();
        handlers
            .on("visit", |cx, (): ()| {
                let visits = cx.metadata_mut::<Visits>().expect("since it opened");
                visits.0 += 1;
                Ok(visits.0)
            })
            .unwrap();
        handlers
            .on("name", |cx, (name,): (String,)| Ok(cx.set_metadata(name)))
            .unwrap();
        handlers
            .on("forget", |cx, (): ()| Ok(cx.take_metadata::<String>()))
            .unwrap();
        handlers
            .on_async("look", |cx: Background, (): ()| async move {
                let seen = cx.on_shard(|cx| {
                    let visits = cx.metadata::<Visits>().map(|visits| visits.0);
                    (visits, cx.metadata::<String>().cloned())
                });
                Ok(seen.await?)
            })
            .unwrap();
        app
    };
    each(app, |server, _, dialect| {
        for _ in 0..2 {
            let mut one = Speaker::new(server, dialect);
            let mut other = Speaker::new(server, dialect);
            one.check("visit", Value::Null, json!(1));
            one.check("visit", Value::Null, json!(2));
            one.check("name", json!(["a"]), Value::Null);
            one.check("name", json!(["b"]), json!("a"));
            one.check("look", Value::Null, json!([2, "b"]));
            other.check("look", Value::Null, json!([0, null]));
            one.check("forget", Value::Null, json!("b"));
            one.check("forget", Value::Null, Value::Null);
            one.check("look", Value::Null, json!([2, null]));
            // Whoever gets the slot next has nothing of it.
            drop((one, other));
            server.wait_until_empty();
        }
    });
}

#[test]
fn handlers_close_their_connection() {
    let (gone, goes) = sync_channel(8);
    let app = || {
        let gone = gone.clone();
        let app = guests().on_disconnect(move |cx, reason| {
            let told = format!("{:?} {reason:?} {:?}", cx.user(), cx.rooms());
            gone.send(told).expect("the test listens");
        });
        let handlers = app.handlers();
        let code = || CloseCode::new(4567).expect("an application's");
        handlers
            .on("sync.close", move |cx, (): ()| {
                let me = cx.connection();
                cx.to_connection(me).emit("bye", &())?;
                cx.disconnect(code(), "sync é");
                Ok(())
            })
            .unwrap();
        handlers
            .on_async("async.close", move |cx: Background, (): ()| async move {
                let me = cx.connection();
                cx.handle().to_connection(me).emit("bye", &()).await?;
                cx.disconnect(code(), "async é").await?;
                Ok(())
            })
            .unwrap();
        app
    };
    each(app, |server, _, dialect| {
        for (kind, reason) in [("sync.close", "sync é"), ("async.close", "async é")] {
            let mut one = Speaker::at(server.address(), dialect, "?user=ann");
            one.join("r");
            one.begin(kind, Value::Null);
            one.expect_event("bye", Value::Null);
            assert_eq!(one.client.closed(), (4567, reason.to_owned()));
            let expected = r#"Some("ann") Application(CloseCode(4567)) ["r"]"#;
            assert_eq!(told(&goes), expected);
        }
    });
}

fn identifying() -> App {
    let app = guests();
    let handlers = app.handlers();
    let identity = |user: Option<&str>| match user {
        Some(user) => Ok::<_, Failure>(Identity::user(user)?.in_roles(["member"])),
        None => Ok(Identity::nobody()),
    };
    handlers
        .on("sync.be", move |cx, (user,): (Option<String>,)| {
            cx.identify(identity(user.as_deref())?)?;
            Ok(cx.user().map(str::to_owned))
        })
        .unwrap();
    handlers
        .on_async(
            "async.be",
            move |cx: Background, (user,): (Option<String>,)| async move {
                cx.identify(identity(user.as_deref())?).await?;
                Ok(cx.on_shard(|cx| cx.user().map(str::to_owned)).await?)
            },
        )
        .unwrap();
    handlers
        .on("tell", |cx, (user,): (String,)| {
            cx.to_user(&user).emit("told", &user)?;
            Ok(())
        })
        .unwrap();
    handlers
        .with(shardcast::Options::new().roles(["member"]))
        .on("members only", |_, (): ()| Ok(()))
        .unwrap();
    app
}

#[test]
fn identities_change_at_one_place_in_the_order() {
    each(identifying, |server, handle, dialect| {
        for be in ["sync.be", "async.be"] {
            let mut one = Speaker::at(server.address(), dialect, "?user=ann");
            let status = one.ask("status", Value::Null);
            assert_eq!(status["user"], "ann");
            one.check("tell", json!(["ann"]), Value::Null);
            one.expect_event("told", json!("ann"));
            one.check_refused("members only", Value::Null, "forbidden");

            // All of these one after the other, without a wait: what the connection asks for has
            // one order.
            one.check(be, json!(["bob"]), json!("bob"));
            one.check("tell", json!(["ann"]), Value::Null);
            one.check("tell", json!(["bob"]), Value::Null);
            one.expect_event("told", json!("bob"));
            one.check("members only", Value::Null, Value::Null);
            assert_eq!(one.ask("status", Value::Null)["user"], "bob");
            settle(server, handle, "ann", 0);
            settle(server, handle, "bob", 1);

            one.check(be, json!([null]), Value::Null);
            one.check("tell", json!(["bob"]), Value::Null);
            one.check_refused("members only", Value::Null, "unauthorized");
            settle(server, handle, "bob", 0);
            one.check_quiet();
        }
    });
}
