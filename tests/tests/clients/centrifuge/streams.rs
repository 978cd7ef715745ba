//! Networks in which SDKs of the Centrifuge protocol have no WebSocket, or lose what they have:
//! which transport they come to, and that nothing is lost on the way. And what has no SDK: a
//! browser's own event source.

use super::{Format, Sdk, app, endpoint, publish};
use crate::installed;
use crate::page::Page;
use serde_json::{Value, json};
use shardcast::{App, Centrifuge, Identity, Origins};
use shardcast_tests::proxy::{Fault, Proxy, Script, Way};
use shardcast_tests::{Client, Server, config};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::Stdio;

/// Connects by these transports, of which the first ones are not there.
#[track_caller]
fn connects_by(mut sdk: Sdk, address: SocketAddr, endpoints: &Value) {
    sdk.obey(
        "connect",
        &json!({
            "url": endpoints,
            "format": sdk.format.name(),
            "emulationEndpoint": format!("http://{address}/emulation"),
        }),
    );
    sdk.event("connected");
    let doubled = json!({"data": {"double": 42}});
    sdk.check("rpc", &json!({"method": "double", "data": 21}), &doubled);
}

#[test]
fn transports_are_tried_in_their_order() {
    let nowhere = |transport: &str, address: SocketAddr| {
        let scheme = if transport == "websocket" {
            "ws"
        } else {
            "http"
        };
        let endpoint = format!("{scheme}://{address}/nowhere");
        json!({"transport": transport, "endpoint": endpoint})
    };
    for make in [Sdk::node, Sdk::chromium] {
        let (server, _) = Server::of(app(), config(2));
        let address = server.address();
        let last = endpoint("http_stream", address);
        let two = json!([nowhere("websocket", address), last]);
        connects_by(make(Format::Protobuf), address, &two);
        let last = endpoint("sse", address);
        let three = json!([
            nowhere("websocket", address),
            nowhere("http_stream", address),
            last
        ]);
        connects_by(make(Format::Json), address, &three);
        assert_eq!(server.sum(|shard| &shard.event_streams), 2);
        assert_eq!(server.sum(|shard| &shard.upgrades), 0);
    }
}

/// A network that resets every WebSocket as soon as it is one.
#[test]
fn who_is_cut_off_from_its_websocket_comes_with_a_stream() {
    let (server, _) = Server::of(app(), config(2));
    let reset = Way {
        fault: Some((1, Fault::Reset)),
        ..Way::default()
    };
    let wire = Proxy::before(server.address(), move |_| Script {
        down: reset,
        ..Script::default()
    });
    let address = server.address();
    let endpoints = json!([
        endpoint("websocket", wire.address()),
        endpoint("http_stream", address)
    ]);
    connects_by(Sdk::node(Format::Json), address, &endpoints);
    assert_eq!(server.sum(|shard| &shard.event_streams), 1);
}

/// Every connection is reset after some of what it brings, and some stop before: every number is
/// heard once, in its order.
fn survives_resets(sdk: Sdk) {
    let (server, _) = Server::of(app(), config(2));
    let wire = Proxy::before(server.address(), |number| {
        let down_bytes = 1_500 + 170 * (number as u64 % 7);
        let down = Way {
            fault: Some((down_bytes, Fault::Reset)),
            piece_bytes: 97,
            ..Way::default()
        };
        Script {
            down,
            ..Script::default()
        }
    });
    let mut sdk = sdk;
    sdk.connect(wire.address());
    sdk.subscribe("kept:a");
    let mut native = Client::native(&server);
    for number in 1..=40 {
        publish(&mut native, number);
        loop {
            let event = sdk.events(1).remove(0);
            match event["event"].as_str() {
                Some("publication") => {
                    assert_eq!(event["data"], number, "{event}");
                    break;
                }
                Some("subscribed") => assert_eq!(event["recovered"], true, "{event}"),
                Some("connecting" | "connected" | "error") => {}
                _ => panic!("{event}"),
            }
        }
    }
    assert!(server.sum(|shard| &shard.event_streams) > 1);
    drop((sdk, native));
    server.wait_until_empty();
}

#[test]
fn nothing_is_lost_when_http_streams_are_cut() {
    survives_resets(Sdk::node(Format::Json).over(&["http_stream"]));
}

#[test]
fn nothing_is_lost_when_http_streams_of_protobuf_are_cut() {
    survives_resets(Sdk::node(Format::Protobuf).over(&["http_stream"]));
}

#[test]
fn nothing_is_lost_when_event_streams_are_cut() {
    survives_resets(Sdk::node(Format::Json).over(&["sse"]));
}

/// A stream that stops for a while: what was said meanwhile comes after it.
#[test]
fn a_stream_that_stalls_goes_on() {
    for transports in [&["http_stream"], &["sse"]] {
        let (server, _) = Server::of(app(), config(1));
        let wire = Proxy::before(server.address(), |number| {
            let stall = (number == 0).then_some((1_200, Fault::Stall));
            let down = Way {
                fault: stall,
                ..Way::default()
            };
            Script {
                down,
                ..Script::default()
            }
        });
        let mut sdk = Sdk::node(Format::Json).over(transports);
        sdk.connect(wire.address());
        sdk.subscribe("kept:a");
        let mut native = Client::native(&server);
        let before = server.sum(|shard| &shard.deliveries);
        (1..=20).for_each(|number| publish(&mut native, number));
        server.wait_until("all is sent", |server| {
            server.sum(|shard| &shard.deliveries) >= before + 20
        });
        wire.resume(0);
        for number in 1..=20 {
            assert_eq!(sdk.hear("kept:a").0, number);
        }
    }
}

/// A browser's own event source hears pushes, without an SDK.
#[test]
fn an_event_source_hears_pushes() {
    let options = Centrifuge {
        personal_channels: Some("#".to_owned()),
        ..Centrifuge::default()
    };
    let app = App::new().centrifuge(options).origins(Origins::any());
    let app = app.on_connect(|client| match client.parameter("user") {
        Some(user) => Ok(Identity::user(user)?),
        None => Ok(Identity::nobody()),
    });
    let (server, _) = Server::of(app, config(2));
    let page = Page::open();
    let url = format!(
        "http://{}/connection/uni_sse?user=ann&cf_connect=%7B%7D",
        server.address()
    );
    page.run(&format!(
        "globalThis.source = new EventSource({url:?}); source.onmessage = (event) => say(event.data);"
    ));
    let heard: Value = serde_json::from_str(&page.said()).expect("JSON");
    assert_eq!(heard["connect"]["subs"], json!({"#ann": {}}));
    let mut native = Client::native(&server);
    for text in ["one", "größe"] {
        let publish = json!({"type": "publish", "room": "#ann", "data": {"text": text}});
        native.say(&publish.to_string());
        let heard: Value = serde_json::from_str(&page.said()).expect("JSON");
        assert_eq!(
            (&heard["channel"], &heard["pub"]["data"]["text"]),
            (&json!("#ann"), &json!(text))
        );
    }
    page.run("source.close(); say('closed');");
    assert_eq!(page.said(), "closed");
    native.leave();
    server.wait_until_empty();
}

/// The examples of `server/examples/centrifuge` do what they say.
#[test]
fn the_examples_talk_with_each_other() {
    let (server, _) = Server::of(App::new().origins(Origins::any()), config(2));
    let address = server.address();
    let page = Page::open();
    let html = include_str!("../../../../server/examples/centrifuge/page.html");
    let html = html.replace("127.0.0.1:8000", &address.to_string());
    let (_, body) = html.split_once("<body>").expect("a body");
    let (shown, script) = body
        .split_once(r#"<script src="centrifuge.js"></script>"#)
        .expect("the SDK");
    let script = script
        .trim_start()
        .strip_prefix("<script>")
        .and_then(|rest| rest.split_once("</script>"));
    let (script, _) = script.expect("a script");
    page.run(&installed::node_module(
        "centrifuge-npm",
        "centrifuge/dist/centrifuge.js",
    ));
    page.run(&format!(
        "document.body.insertAdjacentHTML('beforeend', {});",
        json!(shown)
    ));
    page.run(&format!(
        "(() => {{ {script} chat.on('subscribed', () => say('in')); chat.on('publication', () => say(document.getElementById('said').lastChild.textContent)); }})();"
    ));
    assert_eq!(page.said(), "in");
    let mut python = installed::python_script("centrifuge-python", "");
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../server/examples/centrifuge/chat.py"
    );
    let program = python.get_program().to_owned();
    python = std::process::Command::new(program);
    let mut python = python
        .args([
            script,
            &format!("ws://{address}/connection/websocket"),
            "hello from python",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    assert_eq!(page.said(), "hello from python");
    let mut lines = BufReader::new(python.stdout.take().expect("piped")).lines();
    let line = lines.next().expect("a line").expect("UTF-8");
    assert_eq!(line, "hello from python");
    assert!(python.wait().expect("it ends").success());
    let mut native = Client::native(&server);
    native.join("chat:lobby");
    page.run("document.querySelector('[name=text]').value = 'hello from the page'; document.getElementById('say').requestSubmit();");
    assert_eq!(page.said(), "hello from the page");
    let heard: Value = serde_json::from_str(&native.hear()).expect("JSON");
    assert_eq!(heard["data"], json!({"text": "hello from the page"}));
}
