//! Handlers, their options, groups and middleware, as clients of every dialect meet them.

use crate::speaker::Speaker;
use crate::{each, guests, told};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shardcast::{App, Background, Flow, Handler, Options, Valid};
use shardcast_engine::protocol::dialect::{Code, Dialect, Problem};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

#[derive(Debug, Serialize, Deserialize, Validate)]
struct Order {
    #[garde(length(min = 1, max = 4))]
    symbol: String,
    #[garde(range(min = 1))]
    quantity: u32,
    #[serde(default)]
    #[garde(dive)]
    legs: Vec<Leg>,
}

#[derive(Debug, Serialize, Deserialize, Validate)]
struct Leg {
    #[garde(range(max = 10))]
    price: i64,
}

/// Both sorts of handler for the same: `sync.…` and `async.…`.
const SORTS: [&str; 2] = ["sync.", "async."];

fn orders() -> App {
    let app = guests();
    let handlers = app.handlers();
    let (sync, background) = (handlers.group("sync."), handlers.group("async."));
    let total = |order: &Order| u64::from(order.quantity) * 2;
    sync.on("order", move |_, order: Order| Ok(total(&order)))
        .unwrap();
    background
        .on_async(
            "order",
            move |_, order: Order| async move { Ok(total(&order)) },
        )
        .unwrap();
    sync.on("valid", |_, Valid(order): Valid<Order>| Ok(order))
        .unwrap();
    background
        .on_async(
            "valid",
            |_, Valid(order): Valid<Order>| async move { Ok(order) },
        )
        .unwrap();
    sync.on("nothing", |_, (): ()| Ok(())).unwrap();
    background
        .on_async("nothing", |_, (): ()| async { Ok(()) })
        .unwrap();
    sync.on("same", |_, value: Value| Ok(value)).unwrap();
    background
        .on_async("same", |_, value: Value| async { Ok(value) })
        .unwrap();
    let forbidden = || Problem::new(Code::Forbidden, "not yours").at_field("data.x");
    sync.on("refuse", move |_, (): ()| Err::<(), _>(forbidden().into()))
        .unwrap();
    background
        .on_async("refuse", move |_, (): ()| async move {
            Err::<(), _>(forbidden().into())
        })
        .unwrap();
    app
}

#[test]
fn handlers_answer_and_refuse() {
    each(orders, |server, _, dialect| {
        let mut one = Speaker::new(server, dialect);
        for sort in SORTS {
            let kind = |name: &str| format!("{sort}{name}");
            let order = json!({"symbol": "A", "quantity": 21});
            one.check(&kind("order"), order, json!(42));
            one.check(&kind("nothing"), Value::Null, Value::Null);
            for value in [
                json!({}),
                json!([1, -2, 2.5, "é\u{0}", null, {"a": [true]}]),
            ] {
                one.check(&kind("same"), value.clone(), value);
            }
            one.check(&kind("same"), Value::Null, Value::Null);
            let valid = json!({"symbol": "A", "quantity": 1, "legs": [{"price": 1}]});
            one.check(&kind("valid"), valid.clone(), valid);
            let refused = one.check_refused(&kind("refuse"), Value::Null, "forbidden");
            assert_eq!(
                (&refused["message"], &refused["field"]),
                (&json!("not yours"), &json!("data.x"))
            );
            one.check_refused(&kind("unknown"), json!({}), "unknown_type");
        }
    });
}

#[test]
fn what_does_not_fit_is_named() {
    each(orders, |server, _, dialect| {
        let mut one = Speaker::new(server, dialect);
        for sort in SORTS {
            for (kind, data, field) in [
                ("order", json!({"symbol": "A"}), "data.quantity"),
                ("order", json!({"symbol": 1, "quantity": 1}), "data.symbol"),
                (
                    "order",
                    json!({"symbol": "A", "quantity": -1}),
                    "data.quantity",
                ),
                (
                    "order",
                    json!({"symbol": "A", "quantity": 1, "legs": [{"price": 1}, {}]}),
                    "data.legs[1].price",
                ),
                ("order", Value::Null, "data"),
                ("valid", json!({"symbol": "", "quantity": 1}), "data.symbol"),
                (
                    "valid",
                    json!({"symbol": "A", "quantity": 0}),
                    "data.quantity",
                ),
                (
                    "valid",
                    json!({"symbol": "A", "quantity": 1, "legs": [{"price": 1}, {"price": 11}]}),
                    "data.legs[1].price",
                ),
            ] {
                let kind = format!("{sort}{kind}");
                let refused = one.check_refused(&kind, data, "invalid_data");
                assert_eq!(refused["field"], field, "{refused}");
            }
        }
    });
}

#[test]
fn options_say_who_may_call_with_what() {
    let app = || {
        let app = guests();
        let handlers = app.handlers();
        let odd = Options::new().validate(|data| match data.get::<[u32; 1]>()? {
            [number] if number % 2 == 1 => Ok(()),
            _ => Err(Problem::new(Code::InvalidData, "even").at_field("data[0]")),
        });
        for (group, options) in [
            ("anyone.", Options::new()),
            ("users.", Options::new().auth()),
            ("staff.", Options::new().roles(["admin", "moderator"])),
            ("odd.", odd),
            ("both.", Options::new().auth().roles(["admin"])),
        ] {
            let group = handlers.group(group).with(options);
            group.on("sync", |_, _: Value| Ok("done")).unwrap();
            // A group within a group has the options of the outer one.
            group
                .group("in.")
                .on_async("async", |_, _: Value| async { Ok("done") })
                .unwrap();
        }
        app
    };
    each(app, |server, _, dialect| {
        let at = |query| Speaker::at(server.address(), dialect, query);
        let (mut nobody, mut user) = (at(""), at("?user=ann&roles=reader"));
        let mut admin = at("?user=eve&roles=x,admin");
        let (in_one, two) = (json!([1]), json!([2]));
        for name in ["sync", "in.async"] {
            for (group, answers) in [
                ("anyone.", ["done", "done", "done"]),
                ("users.", ["unauthorized", "done", "done"]),
                ("staff.", ["unauthorized", "forbidden", "done"]),
                ("both.", ["unauthorized", "forbidden", "done"]),
                ("odd.", ["done", "done", "done"]),
            ] {
                let kind = format!("{group}{name}");
                for (caller, expected) in [&mut nobody, &mut user, &mut admin]
                    .into_iter()
                    .zip(answers)
                {
                    match expected {
                        "done" => caller.check(&kind, in_one.clone(), json!("done")),
                        code => drop(caller.check_refused(&kind, in_one.clone(), code)),
                    }
                }
            }
            let refused = nobody.check_refused(&format!("odd.{name}"), two.clone(), "invalid_data");
            assert_eq!(refused["field"], "data[0]");
        }
    });
}

#[test]
fn a_reply_goes_before_what_is_done_afterwards_and_is_the_only_one() {
    let app = || {
        let app = App::new();
        app.handlers()
            .on("early", |cx, (): ()| {
                cx.reply(&"early")?;
                assert!(cx.is_answered());
                assert!(cx.reply(&"again").is_err());
                let me = cx.connection();
                cx.to_connection(me).emit("after", &1)?;
                Ok("late")
            })
            .unwrap();
        app
    };
    each(app, |server, _, dialect| {
        let mut one = Speaker::new(server, dialect);
        let id = one.begin("early", Value::Null);
        // In this order: the answer is not taken out of what was heard.
        assert_eq!(one.hear(), json!({"answer": id, "with": "early"}));
        one.expect_event("after", json!(1));
        one.check_quiet();
    });
}

#[test]
fn an_answer_that_cannot_be_said_is_a_failure() {
    let app = || {
        let app = App::new();
        let handlers = app.handlers();
        // JSON's keys are strings, and those of MessagePack can be said so.
        let odd = || std::collections::BTreeMap::from([([1, 2], 3)]);
        handlers.on("sync.odd", move |_, (): ()| Ok(odd())).unwrap();
        handlers
            .on_async("async.odd", move |_, (): ()| async move { Ok(odd()) })
            .unwrap();
        let deep = || (0..200).fold(json!([]), |inner, _| json!([inner]));
        handlers
            .on("sync.deep", move |_, (): ()| Ok(deep()))
            .unwrap();
        handlers
            .on_async("async.deep", move |_, (): ()| async move { Ok(deep()) })
            .unwrap();
        app
    };
    each(app, |server, _, dialect| {
        let mut one = Speaker::new(server, dialect);
        for sort in SORTS {
            one.check_refused(&format!("{sort}odd"), Value::Null, "handler_failed");
            one.check_refused(&format!("{sort}deep"), Value::Null, "handler_failed");
            one.check_quiet();
        }
    });
}

/// Middleware that writes down what it sees.
fn watched(log: &Arc<Mutex<Vec<String>>>) -> App {
    let app = orders();
    let handlers = app.handlers();
    let write = |log: &Arc<Mutex<Vec<String>>>, line: String| log.lock().unwrap().push(line);
    for (name, pattern) in [
        ("1", "*"),
        ("2", "sync.*"),
        ("3", "sync.same"),
        ("4", "ping"),
    ] {
        let before = log.clone();
        handlers
            .before(pattern, move |_, request| {
                write(&before, format!("before {name} {}", request.kind));
                Ok(Flow::Continue)
            })
            .unwrap();
        let after = log.clone();
        handlers
            .after(pattern, move |_, kind, outcome| {
                let outcome = outcome.map_or_else(|problem| problem.code.as_str(), |()| "done");
                write(&after, format!("after {name} {kind} {outcome}"));
            })
            .unwrap();
    }
    // What is registered later runs later.
    handlers
        .before("*", |cx, request| match request.data.value() {
            Some(_) if request.room == Some("refused") => {
                Err(Problem::new(Code::Forbidden, "by middleware").into())
            }
            Some(_) if request.room == Some("answered") => {
                cx.reply(&"by middleware")?;
                Ok(Flow::Answered)
            }
            Some(_) if request.room == Some("null") => Ok(Flow::Answered),
            _ => Ok(Flow::Continue),
        })
        .unwrap();
    app
}

#[test]
fn middleware_runs_in_its_order_around_handlers_and_built_ins() {
    let log = Arc::default();
    each(
        || watched(&log),
        |server, _, dialect| {
            let mut one = Speaker::new(server, dialect);
            let mut check = |kind: &str, params: Value, lines: &[&str]| {
                one.ask(kind, params);
                // What comes after has run when the next request is answered.
                one.ask("rooms", Value::Null);
                let mut log = log.lock().unwrap();
                let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
                let seen: Vec<String> = log
                    .drain(..)
                    .filter(|line| !line.contains(" rooms"))
                    .collect();
                assert_eq!(seen, lines, "{kind}");
            };
            check(
                "sync.same",
                json!({}),
                &[
                    "before 1 sync.same",
                    "before 2 sync.same",
                    "before 3 sync.same",
                    "after 1 sync.same done",
                    "after 2 sync.same done",
                    "after 3 sync.same done",
                ],
            );
            let refused = [
                "before 1 sync.refuse",
                "before 2 sync.refuse",
                "after 1 sync.refuse forbidden",
                "after 2 sync.refuse forbidden",
            ];
            check("sync.refuse", Value::Null, &refused);
            for (kind, params, outcome) in [
                ("async.refuse", Value::Null, "forbidden"),
                ("async.same", json!({}), "done"),
                ("leave_room", json!({"room": "x"}), "not_joined"),
                ("echo", json!({"data": 1}), "done"),
                (
                    "broadcast",
                    json!({"room": "refused", "data": 1}),
                    "forbidden",
                ),
                ("presence", json!({"room": "answered", "data": 1}), "done"),
            ] {
                let before = format!("before 1 {kind}");
                let after = format!("after 1 {kind} {outcome}");
                check(kind, params, &[&before, &after]);
            }
            check(
                "ping",
                json!({}),
                &[
                    "before 1 ping",
                    "before 4 ping",
                    "after 1 ping done",
                    "after 4 ping done",
                ],
            );
            // A type that nobody handles meets none.
            check("nobody", json!({}), &[]);
        },
    );
}

#[test]
fn middleware_answers_and_refuses() {
    each(
        || watched(&Arc::default()),
        |server, _, dialect| {
            let mut one = Speaker::new(server, dialect);
            for kind in ["join_room", "presence", "publish", "ping"] {
                let params = |room: &str| json!({"room": room, "data": 1});
                let refused = one.check_refused(kind, params("refused"), "forbidden");
                assert_eq!(refused["message"], "by middleware");
                one.check(kind, params("answered"), json!("by middleware"));
                one.check(kind, params("null"), Value::Null);
            }
            one.check("rooms", Value::Null, json!({"rooms": []}));
        },
    );
}

#[test]
fn registrations_are_replaced_and_removed_while_requests_are_under_way() {
    for shards in crate::SHARDS {
        let app = App::new();
        let handlers = app.handlers();
        let (begun, begins) = sync_channel(8);
        let (go, wait) = tokio::sync::watch::channel(false);
        let slow = handlers
            .on_async("work", move |_, (): ()| {
                let (begun, mut wait) = (begun.clone(), wait.clone());
                async move {
                    begun.send(()).unwrap();
                    wait.wait_for(|go| *go).await?;
                    Ok("old")
                }
            })
            .unwrap();
        let (server, _) = shardcast_tests::Server::of(app, shardcast_tests::config(shards));
        let mut all = Dialect::OWN.map(|dialect| Speaker::new(&server, dialect));
        let waiting = all.each_mut().map(|one| one.begin("work", Value::Null));
        for _ in &waiting {
            told(&begins);
        }
        handlers
            .replace(slow, Handler::on_shard(|_, (): ()| Ok("new")))
            .unwrap();
        for one in &mut all {
            one.check("work", Value::Null, json!("new"));
        }
        assert!(handlers.remove(slow) && !handlers.remove(slow));
        for one in &mut all {
            one.check_refused("work", Value::Null, "unknown_type");
        }
        // What was begun ends as it was begun.
        go.send(true).unwrap();
        for (one, id) in all.iter_mut().zip(waiting) {
            assert_eq!(one.answer(id), "old");
            one.check_quiet();
        }
        // Middleware goes, too.
        let refuses = handlers
            .before("ping", |_, _| {
                Err(Problem::new(Code::Forbidden, "no").into())
            })
            .unwrap();
        for one in &mut all {
            one.check_refused("ping", Value::Null, "forbidden");
        }
        assert!(handlers.remove(refuses));
        all.iter_mut().for_each(Speaker::check_quiet);
    }
}

/// A request without an id asks for no confirmation: only a value, or what failed, is told.
#[test]
fn who_gives_no_id_hears_values_and_failures_only() {
    let app = || {
        let app = App::new();
        let handlers = app.handlers();
        handlers.on("move", |_, (): ()| Ok(())).unwrap();
        handlers.on("look", |_, (): ()| Ok(None::<u32>)).unwrap();
        handlers.on("count", |_, (): ()| Ok(7)).unwrap();
        handlers
            .on("fall", |_, (): ()| {
                Err::<(), _>(Problem::new(Code::Forbidden, "no").into())
            })
            .unwrap();
        handlers
            .on_async("move.async", |_: Background, (): ()| async { Ok(()) })
            .unwrap();
        app
    };
    each(app, |server, _, dialect| {
        if dialect == Dialect::JsonRpc {
            // A notification there, which is never answered.
            return;
        }
        let mut one = Speaker::at(server.address(), dialect, "");
        for kind in ["move", "look", "move.async"] {
            one.notify(kind, Value::Null);
            assert_eq!(one.ask(kind, Value::Null), Value::Null, "with an id");
        }
        one.notify("count", Value::Null);
        one.expect(&json!({"answer": null, "with": 7}));
        one.notify("fall", Value::Null);
        assert_eq!(one.hear()["with"]["error"], "forbidden");
        one.check_quiet();
    });
}
