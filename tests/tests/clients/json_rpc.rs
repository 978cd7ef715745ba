//! JSON-RPC libraries that we did not write, none of which offers a subprotocol, against the path
//! `/jsonrpc`: npm rpc-websockets, @open-rpc/client-js and jayson, PyPI jsonrpc-websocket and
//! aiorpcX, and the crate jsonrpsee.
//!
//! Invariant: each makes the same calls in its own way and reports what came of them; while the
//! first is under way the server calls back, which some answer and others pass over.

use crate::installed;
use crate::puppet::{Puppet, Script};
use jsonrpsee_core::client::{BatchResponse, ClientT, Error};
use jsonrpsee_core::params::{ArrayParams, BatchRequestBuilder, ObjectParams};
use jsonrpsee_ws_client::WsClientBuilder;
use serde::Deserialize;
use serde_json::{Value, json};
use shardcast::{App, Background, CallError, Options};
use shardcast_tests::{PATIENCE, Server, config};
use std::process::Command;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

#[derive(Deserialize)]
struct Subtract {
    minuend: i64,
    subtrahend: i64,
}

/// The server of all, and what its notifications tell.
fn server() -> (Server, String, Receiver<Vec<u32>>) {
    let app = App::new();
    let handlers = app.handlers();
    let (noted, notes) = sync_channel(8);
    handlers
        .on("add", |_, (a, b): (i64, i64)| Ok(a + b))
        .unwrap();
    handlers
        .on_async("subtract", |_, named: Subtract| async move {
            Ok(named.minuend - named.subtrahend)
        })
        .unwrap();
    handlers.on("unit", |_, (): ()| Ok(())).unwrap();
    handlers
        .on("note", move |_, numbers: Option<Vec<u32>>| {
            Ok(noted.send(numbers.unwrap_or_default())?)
        })
        .unwrap();
    handlers
        .with(Options::new().timeout(PATIENCE))
        .on_async("ask.me", |cx: Background, (): ()| async move {
            // Whoever answers does so at once; whoever never will is waited for no longer than
            // this.
            let within = Duration::from_secs(1);
            match cx.call::<Value>("what", &["is it?"], within).await {
                Ok(answer) => Ok(answer),
                Err(CallError::Timeout) => Ok(json!("no answer")),
                Err(error) => Err(error.into()),
            }
        })
        .unwrap();
    let (server, _) = Server::of(app, config(2));
    let url = format!("ws://{}/jsonrpc", server.address());
    (server, url, notes)
}

/// What every library reports; `asked`: what it made of the server's call.
fn expected(asked: &str) -> Value {
    json!({
        "asked": asked,
        "sum": 5,
        "named": 2,
        "unit": null,
        "rooms": {"rooms": []},
        "error": -32601,
        "echoes": true,
        "last": 9,
    })
}

#[track_caller]
fn check(command: &mut Command, expected: Value, more: Value) {
    let (server, url, notes) = server();
    let mut script = Script::start(command);
    let report = script.obey(&json!({"url": url}));
    check_report(report, expected, more, &notes);
    drop(script);
    server.wait_until_empty();
}

#[track_caller]
fn check_report(report: Value, mut expected: Value, more: Value, notes: &Receiver<Vec<u32>>) {
    let keys = more.as_object().expect("more keys").clone();
    expected.as_object_mut().expect("keys").extend(keys);
    assert_eq!(report, expected);
    for note in [vec![1], vec![]] {
        assert_eq!(notes.recv_timeout(PATIENCE), Ok(note));
    }
}

const HEARD: &str = "hello";

#[test]
fn npm_rpc_websockets() {
    check(
        &mut installed::node_script("jsonrpc-npm", "rpc-websockets.js"),
        expected("no answer"),
        json!({"welcomed": "string", "heard": {"text": HEARD}}),
    );
}

#[test]
fn npm_open_rpc() {
    check(
        &mut installed::node_script("jsonrpc-npm", "open-rpc.js"),
        expected("no answer"),
        json!({"welcomed": "string", "heard": {"text": HEARD}, "batch": [2, 4]}),
    );
}

#[test]
fn npm_jayson() {
    check(
        &mut installed::node_script("jsonrpc-npm", "jayson.js"),
        expected("no answer"),
        json!({"batch": [2, 4]}),
    );
}

#[test]
fn pypi_jsonrpc_websocket() {
    check(
        &mut installed::python_script("jsonrpc-python", "jsonrpc_websocket_client.py"),
        expected("IS IT?"),
        json!({"welcomed": "str", "heard": {"text": HEARD}}),
    );
}

#[test]
fn pypi_aiorpcx() {
    check(
        &mut installed::python_script("jsonrpc-python", "aiorpcx_client.py"),
        expected("IS IT?"),
        json!({"welcomed": "str", "heard": {"text": HEARD}, "batch": [2, 4]}),
    );
}

fn array(numbers: &[i64]) -> ArrayParams {
    let mut params = ArrayParams::new();
    for number in numbers {
        params.insert(number).expect("a number");
    }
    params
}

fn object(keys: &[(&str, Value)]) -> ObjectParams {
    let mut params = ObjectParams::new();
    for (key, value) in keys {
        params.insert(key, value).expect("JSON");
    }
    params
}

/// It ends its connection when it is answered what it did not ask.
async fn by_jsonrpsee(url: &str) -> Result<Value, Error> {
    let client = WsClientBuilder::default().build(url).await?;
    let nothing = ArrayParams::new;
    let mut report = json!({});
    report["asked"] = client.request("ask.me", nothing()).await?;
    report["sum"] = client.request("add", array(&[2, 3])).await?;
    let named = [("minuend", json!(5)), ("subtrahend", json!(3))];
    report["named"] = client.request("subtract", object(&named)).await?;
    report["unit"] = client.request("unit", nothing()).await?;
    report["rooms"] = client.request("rooms", nothing()).await?;
    let unknown = client.request::<Value, _>("nobody.knows", nothing()).await;
    report["error"] = match unknown {
        Err(Error::Call(error)) => error.code().into(),
        other => format!("{other:?}").into(),
    };
    client.notification("note", array(&[1])).await?;
    client.notification("note", nothing()).await?;
    let mut echoes = true;
    let calls: Vec<_> = (0..50)
        .map(|number| client.request::<i64, _>("add", array(&[number, 0])))
        .collect();
    for (number, echo) in (0..).zip(calls) {
        echoes &= echo.await? == number;
    }
    report["echoes"] = echoes.into();
    let mut batch = BatchRequestBuilder::new();
    for number in [1, 2] {
        batch
            .insert("add", array(&[number, number]))
            .expect("a name");
    }
    let answers: BatchResponse<'_, i64> = client.batch_request(batch).await?;
    let answers: Vec<i64> = answers.into_iter().flatten().collect();
    report["batch"] = answers.into();
    report["last"] = client.request("add", array(&[4, 5])).await?;
    Ok(report)
}

#[test]
fn crate_jsonrpsee() {
    let (server, url, notes) = server();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let report =
        runtime.block_on(async { tokio::time::timeout(PATIENCE, by_jsonrpsee(&url)).await });
    let report = report.expect("in time").expect("answers");
    check_report(
        report,
        expected("no answer"),
        json!({"batch": [2, 4]}),
        &notes,
    );
    drop(runtime);
    server.wait_until_empty();
}
