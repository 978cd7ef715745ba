//! JSON-RPC 2.0 as its clients meet it: the specification's own examples, batches, notifications,
//! and calls of the server.

use crate::speaker::Speaker;
use crate::{SHARDS, told, wait};
use serde::Deserialize;
use serde_json::{Value, json};
use shardcast::{App, Background, CallError, Gone, Handle};
use shardcast_engine::protocol::dialect::{Dialect, ITEMS_MAX};
use shardcast_tests::{Client, PATIENCE, Server, config};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The example's methods take both forms of params.
#[derive(Deserialize)]
struct Subtract {
    minuend: i64,
    subtrahend: i64,
}

/// The server of the specification's section 7. What notifications bring is told.
fn specified() -> (App, Receiver<String>) {
    let (seen, sees) = sync_channel(64);
    let app = App::new();
    let handlers = app.handlers();
    handlers
        .on(
            "subtract",
            |_,
             Subtract {
                 minuend,
                 subtrahend,
             }| { Ok(minuend - subtrahend) },
        )
        .unwrap();
    handlers
        .on_async("sum", |_, numbers: Vec<i64>| async move {
            Ok(numbers.iter().sum::<i64>())
        })
        .unwrap();
    handlers
        .on("get_data", |_, (): ()| Ok(("hello", 5)))
        .unwrap();
    for method in ["update", "notify_hello", "notify_sum"] {
        let seen = seen.clone();
        handlers
            .on(method, move |_, params: Value| {
                seen.send(format!("{method} {params}")).unwrap();
                Ok(())
            })
            .unwrap();
    }
    (app, sees)
}

/// An error's code stays; its text is ours, and so are the details.
fn without_texts(answer: &mut Value) {
    match answer {
        Value::Array(answers) => {
            answers.iter_mut().for_each(without_texts);
            // "The Response objects being returned from a batch call MAY be returned in any order"
            // (§6).
            answers.sort_by_key(Value::to_string);
        }
        answer => {
            if let Some(error) = answer.get_mut("error") {
                assert!(error["message"].is_string() && error["data"]["code"].is_string());
                *error = json!({"code": error["code"]});
            }
        }
    }
}

fn result(result: Value, id: Value) -> Value {
    json!({"jsonrpc": "2.0", "result": result, "id": id})
}

fn error(code: i32, id: Value) -> Value {
    json!({"jsonrpc": "2.0", "error": {"code": code}, "id": id})
}

/// What is sent, what is answered, and what notifications bring.
type Example = (&'static str, Option<Value>, &'static [&'static str]);

/// Those of §7, in its order, up to the batches.
fn examples() -> Vec<Example> {
    let invalid = || error(-32600, Value::Null);
    vec![
        (
            r#"{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}"#,
            Some(result(json!(19), json!(1))),
            &[],
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}"#,
            Some(result(json!(-19), json!(2))),
            &[],
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}"#,
            Some(result(json!(19), json!(3))),
            &[],
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}"#,
            Some(result(json!(19), json!(4))),
            &[],
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}"#,
            None,
            &["update [1,2,3,4,5]"],
        ),
        (r#"{"jsonrpc": "2.0", "method": "foobar"}"#, None, &[]),
        (
            r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#,
            Some(error(-32601, json!("1"))),
            &[],
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#,
            Some(error(-32700, Value::Null)),
            &[],
        ),
        (
            r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#,
            Some(invalid()),
            &[],
        ),
    ]
}

/// Its batches, likewise.
fn batches() -> Vec<Example> {
    let invalid = || error(-32600, Value::Null);
    vec![
        (
            r#"[
  {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
  {"jsonrpc": "2.0", "method"
]"#,
            Some(error(-32700, Value::Null)),
            &[],
        ),
        ("[]", Some(invalid()), &[]),
        ("[1]", Some(json!([invalid()])), &[]),
        (
            "[1,2,3]",
            Some(json!([invalid(), invalid(), invalid()])),
            &[],
        ),
        (
            r#"[
        {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
    ]"#,
            Some(json!([
                result(json!(7), json!("1")),
                result(json!(19), json!("2")),
                invalid(),
                error(-32601, json!("5")),
                result(json!(["hello", 5]), json!("9")),
            ])),
            &["notify_hello [7]"],
        ),
        (
            r#"[
        {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
    ]"#,
            None,
            &["notify_sum [1,2,4]", "notify_hello [7]"],
        ),
    ]
}

/// Connects and passes over the welcome.
fn client(server: &Server) -> Client {
    let mut client = Client::asking(server.address(), "/ws", Dialect::JsonRpc.subprotocol());
    assert!(client.hear().contains("welcome"));
    client
}

#[track_caller]
fn hear(client: &mut Client) -> Value {
    serde_json::from_str(&client.hear()).expect("JSON")
}

/// A request that is answered behind whatever was answered before.
const FENCE: &str = r#"{"jsonrpc":"2.0","method":"ping","id":"fence"}"#;
const FENCED: &str = r#"{"jsonrpc":"2.0","result":{},"id":"fence"}"#;

#[test]
fn the_specifications_own_examples_pass() {
    for shards in SHARDS {
        let (app, sees) = specified();
        let (server, _) = Server::of(app, config(shards));
        let mut client = client(&server);
        for (sent, expected, notified) in examples().into_iter().chain(batches()) {
            client.say(sent);
            if let Some(mut expected) = expected {
                let mut answer = hear(&mut client);
                without_texts(&mut answer);
                without_texts_sorted(&mut expected);
                assert_eq!(answer, expected, "to {sent}");
            }
            client.check(FENCE, FENCED);
            for line in notified {
                assert_eq!(told(&sees), *line);
            }
            assert!(sees.try_recv().is_err());
        }
    }
}

fn without_texts_sorted(expected: &mut Value) {
    if let Value::Array(answers) = expected {
        answers.sort_by_key(Value::to_string);
    }
}

#[test]
fn notifications_are_never_answered_and_take_effect() {
    for shards in SHARDS {
        let (app, _sees) = specified();
        let (server, _) = Server::of(app, config(shards));
        let mut client = client(&server);
        for sent in [
            r#"{"jsonrpc":"2.0","method":"join_room","params":{"room":"r"}}"#,
            r#"{"jsonrpc":"2.0","method":"join_room","params":{"room":""}}"#,
            r#"{"jsonrpc":"2.0","method":"join_room","params":[1]}"#,
            r#"{"jsonrpc":"2.0","method":"leave_room","params":{"room":"x"}}"#,
            r#"{"jsonrpc":"2.0","method":"subtract","params":[1]}"#,
            r#"{"jsonrpc":"2.0","method":"subtract","params":null}"#,
            r#"{"jsonrpc":"2.0","method":"subtract","params":1}"#,
            r#"{"jsonrpc":"2.0","method":"status","params":null}"#,
            r#"{"jsonrpc":"2.0","method":"foobar","params":null}"#,
            r#"{"jsonrpc":"2.0","method":"sum","params":[1]}"#,
            r#"{"jsonrpc":"2.0","method":"sum","params":["x"]}"#,
            r#"{"jsonrpc":"2.0","method":"status"}"#,
            r#"{"jsonrpc":"2.0","method":"broadcast","params":{"room":"x","report":true}}"#,
        ] {
            client.say(sent);
        }
        client.check(
            r#"{"jsonrpc":"2.0","method":"rooms","id":null}"#,
            r#"{"jsonrpc":"2.0","result":{"rooms":["r"]},"id":null}"#,
        );
        client.check(FENCE, FENCED);
    }
}

/// However a client spells that it has no parameters, every method that needs none takes it, and
/// the others say what is missing.
#[test]
fn no_params_have_four_spellings() {
    #[derive(Deserialize)]
    struct Page {
        #[serde(default)]
        size: u32,
    }
    let app = App::new();
    let handlers = app.handlers();
    handlers.on("unit", |_, (): ()| Ok(0)).unwrap();
    handlers
        .on_async("option", |_, size: Option<u32>| async move { Ok(size) })
        .unwrap();
    handlers.on("page", |_, page: Page| Ok(page.size)).unwrap();
    handlers
        .on("list", |_, list: Vec<u32>| Ok(list.len()))
        .unwrap();
    handlers
        .on("value", |_, value: Value| Ok(vec![value]))
        .unwrap();
    handlers.on("number", |_, size: (u32,)| Ok(size)).unwrap();
    let (server, _) = Server::of(app, config(1));
    let mut client = client(&server);
    for (spelling, value) in [
        ("", "null"),
        (r#""params":null,"#, "null"),
        (r#""params":[ ],"#, "[]"),
        (r#""params":{},"#, "{}"),
    ] {
        let value = format!("[{value}]");
        for (method, result) in [
            ("ping", "{}"),
            ("rooms", r#"{"rooms":[]}"#),
            ("unit", "0"),
            ("option", "null"),
            ("page", "0"),
            ("list", "0"),
            ("value", &value),
        ] {
            client.check(
                &format!(r#"{{"jsonrpc":"2.0","method":"{method}",{spelling}"id":1}}"#),
                &format!(r#"{{"jsonrpc":"2.0","result":{result},"id":1}}"#),
            );
        }
        client.say(&format!(
            r#"{{"jsonrpc":"2.0","method":"number",{spelling}"id":1}}"#
        ));
        let mut answer = hear(&mut client);
        without_texts(&mut answer);
        assert_eq!(answer, error(-32602, json!(1)), "{spelling}");
    }
}

#[test]
fn ids_come_back_as_they_were_sent() {
    let (app, _sees) = specified();
    let (server, _) = Server::of(app, config(2));
    let mut client = client(&server);
    for id in [
        "null",
        "0",
        "-1",
        "1.50",
        "1e3",
        "\"\"",
        "\"\\u0041\"",
        "18446744073709551616",
    ] {
        for (method, result) in [("get_data", r#"["hello",5]"#), ("sum", "6")] {
            let params = if method == "sum" {
                r#""params":[1,2,3],"#
            } else {
                ""
            };
            client.check(
                &format!(r#"{{"jsonrpc":"2.0","method":"{method}",{params}"id":{id}}}"#),
                &format!(r#"{{"jsonrpc":"2.0","result":{result},"id":{id}}}"#),
            );
        }
    }
}

/// A handler that waits (`wait`) until its number is let go.
fn gate(app: &App) -> tokio::sync::watch::Sender<u32> {
    let (go, waits) = tokio::sync::watch::channel(0);
    app.handlers()
        .on_async("wait", move |_, (round,): (u32,)| {
            let mut waits = waits.clone();
            async move {
                waits.wait_for(|go| *go >= round).await?;
                Ok(round)
            }
        })
        .unwrap();
    go
}

#[test]
fn a_batch_is_answered_once_when_its_last_answer_is_there() {
    for shards in SHARDS {
        let (app, sees) = specified();
        let go = gate(&app);
        app.handlers()
            .on("panic", |_, _: Value| -> Result<(), shardcast::Failure> {
                panic!("as asked")
            })
            .unwrap();
        let (server, _) = Server::of(app, config(shards));
        let mut client = client(&server);
        client.say(
            r#"[
            {"jsonrpc":"2.0","method":"wait","params":[1],"id":1},
            {"jsonrpc":"2.0","method":"join_room","params":{"rooms":["a","b"]},"id":2},
            {"jsonrpc":"2.0","method":"join_room","params":{"room":""},"id":3},
            {"jsonrpc":"2.0","method":"notify_hello","params":[7]},
            {"jsonrpc":"2.0","method":"subtract","params":[3,1],"id":4},
            {"jsonrpc":"2.0","method":"panic","params":[],"id":5},
            {"jsonrpc":"2.0","method":"sum","params":["x"],"id":6},
            {"jsonrpc":"2.0","method":"broadcast","params":{"room":"nobody","report":true},"id":7},
            {"jsonrpc":"2.0","method":"presence","params":{"room":"nobody"},"id":8},
            {"jsonrpc":"2.0","result":1,"id":99},
            {"jsonrpc":"2.0","method":"ping","id":9}
        ]"#,
        );
        assert_eq!(told(&sees), "notify_hello [7]");
        // Others are answered in the meantime, batches too.
        client.check(FENCE, FENCED);
        client.check(&format!("[{FENCE}]"), &format!("[{FENCED}]"));
        go.send(1).unwrap();
        let mut answer = hear(&mut client);
        without_texts(&mut answer);
        let members = |room: &str| json!({"room": room, "members": 1});
        let mut expected = json!([
            result(json!(1), json!(1)),
            result(json!({"rooms": [members("a"), members("b")]}), json!(2)),
            error(-32602, json!(3)),
            result(json!(2), json!(4)),
            error(-32603, json!(5)),
            error(-32602, json!(6)),
            result(
                json!({"delivered": 0, "queued": 0, "dropped": 0, "conflated": 0, "catching_up": 0}),
                json!(7)
            ),
            result(
                json!({"room": "nobody", "total": 0, "members": []}),
                json!(8)
            ),
            result(json!({}), json!(9)),
        ]);
        without_texts_sorted(&mut expected);
        assert_eq!(answer, expected);
        client.check(FENCE, FENCED);

        client.leave();
        server.wait_until_empty();
    }
}

/// Of a batch's waiting handlers as many run as may: the others are answered at once.
#[test]
fn batches_do_not_wait_for_each_other() {
    for shards in SHARDS {
        let app = App::new();
        let go = gate(&app);
        let (server, _) = Server::of(app, config(shards));
        let mut client = client(&server);
        for _ in 0..16 {
            client.say(r#"[{"jsonrpc":"2.0","method":"wait","params":[2],"id":1},{"jsonrpc":"2.0","method":"ping","id":2}]"#);
        }
        for _ in 0..8 {
            let mut answer = hear(&mut client);
            without_texts(&mut answer);
            let mut expected = json!([error(-32005, json!(1)), result(json!({}), json!(2))]);
            without_texts_sorted(&mut expected);
            assert_eq!(answer, expected);
        }
        client.check(FENCE, FENCED);
        go.send(2).unwrap();
        for _ in 0..8 {
            let mut answer = hear(&mut client);
            without_texts(&mut answer);
            let mut expected = json!([result(json!(2), json!(1)), result(json!({}), json!(2))]);
            without_texts_sorted(&mut expected);
            assert_eq!(answer, expected);
        }
        client.check(FENCE, FENCED);
        client.leave();
        server.wait_until_empty();
    }
}

#[test]
fn batches_have_bounds() {
    let app = App::new();
    let (go, waits) = tokio::sync::watch::channel(false);
    let options = shardcast::Options::new().at_once(64);
    app.handlers()
        .with(options)
        .on_async("wait", move |_, (): ()| {
            let mut waits = waits.clone();
            async move {
                waits.wait_for(|go| *go).await?;
                Ok(())
            }
        })
        .unwrap();
    app.handlers()
        .on("large", |_, (): ()| Ok("x".repeat(100 << 10)))
        .unwrap();
    let (server, _) = Server::of(app, config(1));
    let mut client = client(&server);
    let pings = |count: usize| {
        let ping = |id| {
            format!(
                r#"{{"jsonrpc":"2.0","method":"join_room","params":{{"room":"r{id}"}},"id":{id}}}"#
            )
        };
        format!("[{}]", (0..count).map(ping).collect::<Vec<_>>().join(","))
    };
    client.say(&pings(ITEMS_MAX + 1));
    let mut answer = hear(&mut client);
    without_texts(&mut answer);
    assert_eq!(answer, error(-32600, Value::Null));
    // None of them was done.
    client.check(
        r#"{"jsonrpc":"2.0","method":"rooms","id":1}"#,
        r#"{"jsonrpc":"2.0","result":{"rooms":[]},"id":1}"#,
    );
    client.say(&pings(ITEMS_MAX));
    let answer = hear(&mut client);
    let answers = answer.as_array().expect("a list");
    assert_eq!(answers.len(), ITEMS_MAX);
    assert!(answers.iter().all(|answer| answer.get("result").is_some()));

    // Answers have a bound together, from which on each further one is too large.
    let large = |id| format!(r#"{{"jsonrpc":"2.0","method":"large","id":{id}}}"#);
    let batch: Vec<String> = (0..5).map(large).collect();
    client.say(&format!("[{}]", batch.join(",")));
    let answer = hear(&mut client);
    let codes = answer.as_array().expect("a list").iter();
    let codes: Vec<Value> = codes.map(|one| one["error"]["code"].clone()).collect();
    let (ok, large) = (Value::Null, json!(-32004));
    assert_eq!(codes, [ok.clone(), ok.clone(), ok, large.clone(), large]);

    // As many wait as may.
    let waiting = r#"[{"jsonrpc":"2.0","method":"wait","id":1}]"#;
    for _ in 0..16 {
        client.say(waiting);
    }
    client.say(waiting);
    let mut answer = hear(&mut client);
    without_texts(&mut answer);
    assert_eq!(answer, error(-32005, Value::Null));
    go.send(true).unwrap();
    for _ in 0..16 {
        client.expect(r#"[{"jsonrpc":"2.0","result":null,"id":1}]"#);
    }
    client.check(FENCE, FENCED);
}

#[test]
fn room_messages_come_as_notifications() {
    for shards in SHARDS {
        let (server, handle) = Server::of(App::new(), config(shards));
        let mut client = client(&server);
        client.check(
            r#"{"jsonrpc":"2.0","method":"join_room","params":{"room":"r"},"id":1}"#,
            r#"{"jsonrpc":"2.0","result":{"room":"r","members":1},"id":1}"#,
        );
        let mut native = Client::native(&server);
        native.say(r#"{"type":"publish","room":"r","data":[1, "é"]}"#);
        client.expect(&format!(
            r#"{{"jsonrpc":"2.0","method":"message","params":{{"room":"r","from":"{}","data":[1, "é"]}}}}"#,
            native.id()
        ));
        wait(handle.to("r").emit("tick", &7)).unwrap();
        client.expect(
            r#"{"jsonrpc":"2.0","method":"event","params":{"event":"tick","room":"r","data":7}}"#,
        );
    }
}

/// Calls from a thread of its own.
fn call(
    handle: &Handle,
    speaker: &Speaker,
    params: Value,
    within: Duration,
) -> JoinHandle<Result<i64, CallError>> {
    let (handle, id) = (handle.clone(), speaker.id().parse().expect("an id"));
    std::thread::spawn(move || wait(handle.call(id, "add", &params, within)))
}

/// Hears a call. Its id, and its params.
#[track_caller]
fn called(speaker: &mut Speaker) -> (String, Value) {
    let call = speaker.hear();
    assert_eq!(
        (&call["type"], &call["method"]),
        (&json!("call"), &json!("add"))
    );
    (
        call["id"].as_str().expect("a string").to_owned(),
        call["params"].clone(),
    )
}

fn answer(speaker: &mut Speaker, id: String, value: Value) {
    speaker.say(&result(value, id.into()));
}

#[test]
fn the_server_calls_clients_and_each_answer_finds_its_call() {
    for shards in SHARDS {
        let (server, handle) = Server::of(App::new(), config(shards));
        let mut one = Speaker::new(&server, Dialect::JsonRpc);
        let mut calls = Vec::new();
        let mut asked = Vec::new();
        for number in 0..10 {
            calls.push(call(&handle, &one, json!([number, 1]), PATIENCE));
            asked.push(called(&mut one));
        }
        // Answered from the last to the first.
        for (id, params) in asked.into_iter().rev() {
            let sum: i64 = params
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_i64)
                .sum();
            answer(&mut one, id, json!(sum));
        }
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(call.join().unwrap(), Ok(number as i64 + 1));
        }
        one.check_quiet();

        let rejected = call(&handle, &one, json!({"a": 1}), PATIENCE);
        let (id, params) = called(&mut one);
        assert_eq!(params, json!({"a": 1}));
        one.say(&json!({"jsonrpc": "2.0", "error": {"code": -5, "message": "no é"}, "id": id}));
        match rejected.join().unwrap() {
            Err(CallError::Rejected(why)) => {
                assert_eq!((why.code, &*why.message), (-5, "no é"));
            }
            other => panic!("{other:?}"),
        }
        // Some libraries always send both keys.
        let both = call(&handle, &one, json!([]), PATIENCE);
        let (id, _) = called(&mut one);
        one.say(&json!({"jsonrpc": "2.0", "result": 7, "error": null, "id": id}));
        assert_eq!(both.join().unwrap(), Ok(7));
        let unfit = call(&handle, &one, json!([]), PATIENCE);
        let (id, _) = called(&mut one);
        answer(&mut one, id, json!("seven"));
        assert!(matches!(unfit.join().unwrap(), Err(CallError::Unfit(_))));

        // Params that are no container, and dialects that have no calls.
        let refused = call(&handle, &one, json!(7), PATIENCE).join().unwrap();
        assert!(matches!(refused, Err(CallError::Refused(_))), "{refused:?}");
        for dialect in [Dialect::NativeJson, Dialect::MessagePack] {
            let mut other = Speaker::new(&server, dialect);
            let refused = call(&handle, &other, json!([]), PATIENCE).join().unwrap();
            assert!(matches!(refused, Err(CallError::Refused(_))), "{refused:?}");
            other.check_quiet();
        }
        // Who goes answers nothing any more.
        let gone = call(&handle, &one, json!([]), PATIENCE);
        called(&mut one);
        let id = one.id().to_owned();
        one.client.leave();
        assert_eq!(gone.join().unwrap(), Err(CallError::Gone(Gone)));
        let never = handle.call::<()>(id.parse().unwrap(), "add", &[1], PATIENCE);
        assert_eq!(wait(never), Err(CallError::Gone(Gone)));
        server.wait_until_empty();
    }
}

#[test]
fn a_late_answer_meets_no_other_call() {
    for shards in SHARDS {
        let (server, handle) = Server::of(App::new(), config(shards));
        let mut one = Speaker::new(&server, Dialect::JsonRpc);
        let short = Duration::from_millis(1);
        let timed_out = call(&handle, &one, json!(["late"]), short);
        assert_eq!(timed_out.join().unwrap(), Err(CallError::Timeout));
        let (late, _) = called(&mut one);
        // Another comes and is answered, so that nothing waits any more.
        let second = call(&handle, &one, json!(["second"]), PATIENCE);
        let (id, _) = called(&mut one);
        answer(&mut one, id, json!(2));
        assert_eq!(second.join().unwrap(), Ok(2));
        let third = call(&handle, &one, json!(["third"]), PATIENCE);
        let (id, _) = called(&mut one);
        answer(&mut one, late, json!(1));
        one.check_quiet();
        answer(&mut one, id, json!(3));
        assert_eq!(third.join().unwrap(), Ok(3));
    }
}

#[test]
fn answers_that_nobody_waits_for_are_passed_over() {
    for shards in SHARDS {
        let (server, handle) = Server::of(App::new(), config(shards));
        let mut one = Speaker::new(&server, Dialect::JsonRpc);
        let waiting = call(&handle, &one, json!([]), PATIENCE);
        let (id, _) = called(&mut one);
        for said in [
            json!({"jsonrpc": "2.0", "result": 1, "id": format!("{id}0")}),
            json!({"jsonrpc": "2.0", "result": 1, "id": "made up"}),
            json!({"jsonrpc": "2.0", "result": 1, "id": null}),
            json!({"jsonrpc": "2.0", "result": 1, "id": 1}),
            json!({"jsonrpc": "2.0", "result": 1}),
            json!({"jsonrpc": "2.0", "error": 7, "id": id}),
            json!({"jsonrpc": "2.0", "error": {"code": "x", "message": "y"}, "id": id}),
            json!({"jsonrpc": "2.0", "result": 1, "error": {"code": 1, "message": ""}, "id": id}),
            json!({"jsonrpc": "1.0", "result": 1, "id": id}),
            json!([{"jsonrpc": "2.0", "result": 1, "id": format!("{id}0")}]),
        ] {
            one.say(&said);
            one.check_quiet();
        }
        // In a batch they count, too.
        one.say(&json!([result(json!(5), id.clone().into())]));
        assert_eq!(waiting.join().unwrap(), Ok(5));
        answer(&mut one, id, json!(6));
        one.check_quiet();
    }
}

#[test]
fn a_handler_calls_its_client_and_at_most_64_wait() {
    for shards in SHARDS {
        let app = App::new();
        app.handlers()
            .on_async("ask me", |cx: Background, (): ()| async move {
                let sum: i64 = cx.call("add", &[1, 2], PATIENCE).await?;
                Ok(sum * 10)
            })
            .unwrap();
        let (server, handle) = Server::of(app, config(shards));
        let mut one = Speaker::new(&server, Dialect::JsonRpc);
        let asked = one.begin("ask me", Value::Null);
        let (id, params) = called(&mut one);
        assert_eq!(params, json!([1, 2]));
        answer(&mut one, id, json!(3));
        assert_eq!(one.answer(asked), 30);

        let calls: Vec<_> = (0..64)
            .map(|number| {
                let call = call(&handle, &one, json!([number]), PATIENCE);
                (call, called(&mut one))
            })
            .collect();
        let refused = call(&handle, &one, json!([]), PATIENCE).join().unwrap();
        assert!(matches!(refused, Err(CallError::Refused(_))), "{refused:?}");
        for (call, (id, params)) in calls {
            answer(&mut one, id, params[0].clone());
            assert_eq!(call.join().unwrap(), Ok(params[0].as_i64().unwrap()));
        }
        one.check_quiet();
    }
}
