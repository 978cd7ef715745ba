//! SDKs of the Centrifuge protocol that we did not write, unmodified, in both encodings: npm
//! `centrifuge` in Node and in Chromium, PyPI `centrifuge-python`. What they hear of native
//! clients and those of them, how they come back, and when they stay away; and that their own
//! codecs write what ours reads.
//!
//! Invariant: one conversation for all; what they tell without an order is an event, waited for.

mod api;
mod deltas;
mod filters;
mod map_restarts;
mod maps;
mod narrowed;
mod presence_maps;
mod refreshed;
mod streams;
mod tokens;

use crate::installed;
use crate::page::Page;
use crate::puppet::{self, Puppet};
use serde_json::{Value, json};
use shardcast::namespace::{History, Namespace, Namespaces, Who};
use shardcast::{App, Centrifuge, ConnectionId, Handle, Origins};
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::protocol::dialect::centrifuge::Instruction;
use shardcast_engine::protocol::dialect::{Decoded, Dialect, Id, Payload, Rules};
use shardcast_tests::proxy::{Proxy, Script};
use shardcast_tests::{Client, PATIENCE, Server, config};
use std::net::SocketAddr;
use std::time::Duration;

/// Which encoding an SDK is told to speak.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Protobuf,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Protobuf => "protobuf",
        }
    }

    fn dialect(self) -> Dialect {
        match self {
            Format::Json => Dialect::CentrifugeJson,
            Format::Protobuf => Dialect::CentrifugeProtobuf,
        }
    }
}

/// An SDK, and what it may do besides.
struct Sdk {
    puppet: Box<dyn Puppet>,
    format: Format,
    has: Has,
    transports: &'static [&'static str],
}

const WEBSOCKET: &[&str] = &["websocket"];

/// Whether the SDK has what only some have: `send`, and pushes that are no channel's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Has {
    Channels,
    Messages,
}

impl Sdk {
    fn node(format: Format) -> Sdk {
        let mut command = installed::node_script("centrifuge-npm", "client.js");
        command.arg(format.name());
        Sdk {
            puppet: Box::new(puppet::Script::start(&mut command)),
            format,
            has: Has::Messages,
            transports: WEBSOCKET,
        }
    }

    /// The same by other transports, in the order in which it tries them.
    fn over(self, transports: &'static [&'static str]) -> Sdk {
        Sdk { transports, ..self }
    }

    fn python(format: Format) -> Sdk {
        let mut command = installed::python_script("centrifuge-python", "client.py");
        command.arg(format.name());
        Sdk {
            puppet: Box::new(puppet::Script::start(&mut command)),
            format,
            has: Has::Channels,
            transports: WEBSOCKET,
        }
    }

    fn chromium(format: Format) -> Sdk {
        let bundle = match format {
            Format::Json => "centrifuge/dist/centrifuge.js",
            Format::Protobuf => "centrifuge/dist/centrifuge.protobuf.js",
        };
        let page = Page::open();
        page.run(&installed::node_module("centrifuge-npm", bundle));
        page.run(include_str!("../../clients/centrifuge-npm/orders.js"));
        page.run(
            "globalThis.obey = puppetOf(Centrifuge, {}); \
             globalThis.order = async (line) => say(JSON.stringify(await obey(line)));",
        );
        Sdk {
            puppet: Box::new(crate::Browser(page)),
            format,
            has: Has::Messages,
            transports: WEBSOCKET,
        }
    }

    #[track_caller]
    fn obey(&mut self, order: &str, argument: &Value) -> Value {
        self.puppet.obey(&json!({ order: argument }))
    }

    #[track_caller]
    fn check(&mut self, order: &str, argument: &Value, expected: &Value) {
        assert_eq!(self.obey(order, argument), *expected, "{order} {argument}");
    }

    /// The next so many events, those of channels in the order of their channels.
    #[track_caller]
    fn events(&mut self, count: usize) -> Vec<Value> {
        let answer = self.obey("events", &json!([count]));
        answer["events"].as_array().expect("events").clone()
    }

    #[track_caller]
    fn event(&mut self, name: &str) -> Value {
        let event = self.events(1).remove(0);
        assert_eq!(event["event"], name, "{event}");
        event
    }

    /// Connects; the id of the connection.
    #[track_caller]
    fn connect(&mut self, address: SocketAddr) -> String {
        let websocket = format!("ws://{address}/connection/websocket");
        let url = match self.transports {
            &["websocket"] => json!(websocket),
            transports => transports
                .iter()
                .map(|&transport| endpoint(transport, address))
                .collect(),
        };
        self.obey(
            "connect",
            &json!({
                "url": url,
                "format": self.format.name(),
                "emulationEndpoint": format!("http://{address}/emulation"),
            }),
        );
        let connected = self.event("connected");
        connected["client"].as_str().expect("an id").to_owned()
    }

    #[track_caller]
    fn subscribe(&mut self, channel: &str) -> Value {
        self.obey("subscribe", &json!([channel]));
        let subscribed = self.event("subscribed");
        assert_eq!(subscribed["channel"], channel, "{subscribed}");
        subscribed
    }

    /// The next event is a publication: its data, and who said it.
    #[track_caller]
    fn hear(&mut self, channel: &str) -> (Value, Value) {
        let heard = self.event("publication");
        assert_eq!(heard["channel"], channel, "{heard}");
        (heard["data"].clone(), heard["client"].clone())
    }
}

/// Where an SDK finds a transport.
fn endpoint(transport: &str, address: SocketAddr) -> Value {
    let endpoint = match transport {
        "websocket" => format!("ws://{address}/connection/websocket"),
        other => format!("http://{address}/connection/{other}"),
    };
    json!({"transport": transport, "endpoint": endpoint})
}

fn app() -> App {
    let kept = Namespace {
        history: Some(History {
            publications_max: 4,
            ..History::default()
        }),
        ..Namespace::default()
    };
    let team = Namespace {
        presence_events: Some(Default::default()),
        ..Namespace::default()
    };
    let shut = Namespace {
        join: Who::Nobody,
        ..Namespace::default()
    };
    let whole = Namespace {
        deltas: false,
        tag_filters: false,
        ..Namespace::default()
    };
    let named = [
        ("kept", kept),
        ("shut", shut),
        ("team", team),
        ("whole", whole),
    ];
    let namespaces = Namespaces::new(Namespace::default(), named).expect("they fit");
    // The page of the browser is of another origin.
    let app = App::new().namespaces(namespaces).origins(Origins::any());
    let handlers = app.handlers();
    handlers
        .on("double", |_, number: u64| Ok(json!({"double": 2 * number})))
        .expect("a new name");
    handlers
        .on("send", |cx, data: Value| {
            let user = cx.connection();
            cx.to_connection(user).emit("sent", &data)
        })
        .expect("a new name");
    app
}

/// Background handlers of the tests' servers.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, future)
            .await
            .expect("in time")
    })
}

/// What surrounds an SDK that is connected.
struct Scene {
    native: Client,
    /// Between the SDK and the server.
    wire: Proxy,
    handle: Handle,
    /// The SDK's connection.
    id: String,
    server: Server,
}

impl Scene {
    #[track_caller]
    fn of(sdk: &mut Sdk, app: App) -> Scene {
        let (server, handle) = Server::of(app, config(2));
        let wire = Proxy::before(server.address(), |_| Script::default());
        Scene {
            id: sdk.connect(wire.address()),
            native: Client::native(&server),
            wire,
            handle,
            server,
        }
    }

    /// Everybody goes, and leaves nothing behind.
    fn end(self, sdk: Sdk) {
        drop(self.native);
        drop(sdk);
        self.server.wait_until_empty();
    }
}

/// All that an SDK does with channels, calls and a server that ends its connection.
#[track_caller]
fn check(mut sdk: Sdk) {
    let mut scene = Scene::of(&mut sdk, app());
    let Scene {
        native,
        wire,
        handle,
        id,
        server,
    } = &mut scene;
    rooms(&mut sdk, native, id);
    refusals_and_calls(&mut sdk);
    kept(&mut sdk, native);
    recovered(&mut sdk, native, wire);
    members(&mut sdk, server);
    messages(&mut sdk, handle);
    endings(&mut sdk, handle, wire);
    scene.end(sdk);
}

fn rooms(sdk: &mut Sdk, native: &mut Client, id: &str) {
    let subscribed = sdk.subscribe("lobby");
    assert_eq!(subscribed["recoverable"], false, "{subscribed}");
    assert_eq!(native.join("lobby"), 2);
    native.say(r#"{"type":"publish","room":"lobby","data":{ "a" : "größe" }}"#);
    native.hear();
    assert_eq!(
        sdk.hear("lobby"),
        (json!({"a": "größe"}), native.id().into())
    );
    let said = json!({"from": ["the", "sdk"], "number": 1.5});
    sdk.check(
        "publish",
        &json!({"channel": "lobby", "data": said}),
        &json!({"published": true}),
    );
    assert_eq!(sdk.hear("lobby"), (said.clone(), id.into()));
    let heard: Value = serde_json::from_str(&native.hear()).expect("JSON");
    assert_eq!((&heard["data"], &heard["from"]), (&said, &id.into()));
    if sdk.format == Format::Protobuf {
        let bytes = json!({"bytes": [0, 255, 10]});
        let publish = json!({"channel": "lobby", "data": bytes});
        sdk.check("publish", &publish, &json!({"published": true}));
        assert_eq!(sdk.hear("lobby").0, bytes);
        let heard: Value = serde_json::from_str(&native.hear()).expect("JSON");
        assert_eq!(heard["data"], "AP8K");
    }
    let stats = json!({"numClients": 2, "numUsers": 1});
    sdk.check("presence_stats", &json!("lobby"), &stats);
    let mut clients = [id, native.id()];
    clients.sort_unstable();
    sdk.check("presence", &json!("lobby"), &json!({"clients": clients}));
    sdk.obey("unsubscribe", &json!(["lobby"]));
    assert_eq!(sdk.event("unsubscribed")["code"], 0);
}

fn refusals_and_calls(sdk: &mut Sdk) {
    for (channel, code) in [("shut:a", 103), ("none:a", 102)] {
        sdk.obey("subscribe", &json!([channel]));
        let refused = sdk.event("unsubscribed");
        assert_eq!(
            (&refused["channel"], &refused["code"]),
            (&channel.into(), &code.into())
        );
    }
    let doubled = json!({"data": {"double": 42}});
    sdk.check("rpc", &json!({"method": "double", "data": 21}), &doubled);
    for (method, data, code) in [("none", json!(1), 108), ("double", json!("x"), 107)] {
        let refused = sdk.obey("rpc", &json!({"method": method, "data": data}));
        assert_eq!(refused["error"], code, "{refused}");
    }
}

/// Published to the room that keeps something.
fn publish(native: &mut Client, data: u64) {
    native.say(&format!(
        r#"{{"type":"publish","id":"p","room":"kept:a","data":{data}}}"#
    ));
    let ack = native.hear();
    assert!(ack.starts_with(r#"{"type":"ack""#), "{ack}");
}

/// What a room keeps: positions, and history.
fn kept(sdk: &mut Sdk, native: &mut Client) {
    let room = "kept:a";
    let subscribed = sdk.subscribe(room);
    assert_eq!(
        (&subscribed["recoverable"], &subscribed["offset"]),
        (&true.into(), &0.into())
    );
    for data in [1, 2] {
        publish(native, data);
        assert_eq!(sdk.hear(room).0, data);
    }
    let history = sdk.obey("history", &json!({"channel": room, "limit": 0}));
    assert_eq!(
        (&history["offset"], &history["publications"]),
        (&2.into(), &json!([]))
    );
    let history = sdk.obey(
        "history",
        &json!({"channel": room, "limit": -1, "reverse": true}),
    );
    let data: Vec<&Value> = history["publications"]
        .as_array()
        .expect("publications")
        .iter()
        .map(|one| &one["data"])
        .collect();
    assert_eq!(data, [2, 1]);
    let since = json!({"offset": 1, "epoch": history["epoch"]});
    let history = sdk.obey(
        "history",
        &json!({"channel": room, "limit": 9, "since": since}),
    );
    assert_eq!(history["publications"][0]["offset"], 2, "{history}");
    let since = json!({"offset": 1, "epoch": "other"});
    let history = sdk.obey(
        "history",
        &json!({"channel": room, "limit": 9, "since": since}),
    );
    assert_eq!(history["error"], 112, "{history}");
    sdk.obey("unsubscribe", &json!([room]));
    sdk.event("unsubscribed");
}

/// It comes back to what it has missed, or hears that it is lost.
fn recovered(sdk: &mut Sdk, native: &mut Client, wire: &Proxy) {
    let room = "kept:a";
    publish(native, 3);
    let again = sdk.subscribe(room);
    assert_eq!(
        (&again["wasRecovering"], &again["recovered"]),
        (&true.into(), &true.into())
    );
    assert_eq!(sdk.hear(room).0, 3);
    wire.cut();
    sdk.event("connecting");
    sdk.event("connected");
    let again = sdk.event("subscribed");
    assert_eq!(
        (&again["wasRecovering"], &again["recovered"]),
        (&true.into(), &true.into())
    );
    publish(native, 4);
    assert_eq!(sdk.hear(room).0, 4);
    sdk.obey("unsubscribe", &json!([room]));
    sdk.event("unsubscribed");
    // More than the room keeps.
    (5..10).for_each(|data| publish(native, data));
    let lost = sdk.subscribe(room);
    assert_eq!(
        (&lost["wasRecovering"], &lost["recovered"]),
        (&true.into(), &false.into())
    );
    publish(native, 10);
    assert_eq!(sdk.hear(room).0, 10);
    sdk.obey("unsubscribe", &json!([room]));
    sdk.event("unsubscribed");
}

fn members(sdk: &mut Sdk, server: &Server) {
    sdk.subscribe("team:a");
    let mut other = Client::native(server);
    assert_eq!(other.join("team:a"), 2);
    let id: Value = other.id().into();
    let joined = sdk.event("join");
    assert_eq!(
        (&joined["channel"], &joined["client"]),
        (&"team:a".into(), &id)
    );
    other.leave();
    assert_eq!(sdk.event("leave")["client"], id);
    sdk.obey("unsubscribe", &json!(["team:a"]));
    sdk.event("unsubscribed");
}

/// What the application publishes: to rooms, and to everyone.
fn messages(sdk: &mut Sdk, handle: &Handle) {
    sdk.subscribe("news");
    block_on(handle.to("news").emit("tick", &json!([1]))).expect("it is sent");
    let heard = sdk.event("publication");
    assert_eq!(
        (&heard["data"], &heard["tags"]),
        (&json!([1]), &json!({"event": "tick"}))
    );
    if sdk.has == Has::Messages {
        block_on(handle.everyone().emit("all", &json!({"hear": "me"}))).expect("it is sent");
        assert_eq!(sdk.event("message")["data"], json!({"hear": "me"}));
        sdk.check("send", &json!({"b": 2}), &json!({"sent": true}));
        assert_eq!(sdk.event("message")["data"], json!({"b": 2}));
    }
}

/// Codes after which it comes back, and those after which it stays away, whatever the application
/// says as the reason.
fn endings(sdk: &mut Sdk, handle: &Handle, wire: &Proxy) {
    let end = |sdk: &mut Sdk, handle: &Handle, code: u16, reason: &str| {
        let id: ConnectionId = sdk.obey("state", &Value::Null)["client"]
            .as_str()
            .expect("an id")
            .parse()
            .expect("one of ours");
        let code = CloseCode::new(code).expect("a code");
        block_on(handle.disconnect(id, code, reason)).expect("it is there");
    };
    for code in [1001, 1012, 1013, 3000, 4100, 4105, 4200] {
        end(sdk, handle, code, "come back");
        let names: Vec<Value> = sdk
            .events(3)
            .into_iter()
            .map(|one| one["event"].clone())
            .collect();
        assert_eq!(names, ["connecting", "connected", "subscribed"], "{code}");
    }
    for (code, reason, said) in [
        (4003, "who are you", 3500),
        (4050, "", 3503),
        (1000, "null", 3503),
        (1008, r#"{"reason":"x","reconnect":true}"#, 3503),
        (4500, "", 4500),
    ] {
        end(sdk, handle, code, reason);
        let ended = sdk.event("disconnected");
        assert_eq!(ended["code"], said, "{code} {reason}: {ended}");
        assert!(
            ended["reason"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{ended}"
        );
        sdk.connect(wire.address());
        sdk.event("subscribed");
    }
}

#[test]
fn npm_centrifuge_json() {
    check(Sdk::node(Format::Json));
}

#[test]
fn npm_centrifuge_protobuf() {
    check(Sdk::node(Format::Protobuf));
}

#[test]
fn npm_centrifuge_in_chromium() {
    check(Sdk::chromium(Format::Json));
}

#[test]
fn npm_centrifuge_protobuf_in_chromium() {
    check(Sdk::chromium(Format::Protobuf));
}

#[test]
fn npm_centrifuge_json_over_http_streaming() {
    check(Sdk::node(Format::Json).over(&["http_stream"]));
}

#[test]
fn npm_centrifuge_protobuf_over_http_streaming() {
    check(Sdk::node(Format::Protobuf).over(&["http_stream"]));
}

#[test]
fn npm_centrifuge_over_sse() {
    check(Sdk::node(Format::Json).over(&["sse"]));
}

#[test]
fn npm_centrifuge_over_http_streaming_in_chromium() {
    check(Sdk::chromium(Format::Json).over(&["http_stream"]));
}

#[test]
fn npm_centrifuge_protobuf_over_http_streaming_in_chromium() {
    check(Sdk::chromium(Format::Protobuf).over(&["http_stream"]));
}

#[test]
fn npm_centrifuge_over_sse_in_chromium() {
    check(Sdk::chromium(Format::Json).over(&["sse"]));
}

#[test]
fn pypi_centrifuge_json() {
    check(Sdk::python(Format::Json));
}

#[test]
fn pypi_centrifuge_protobuf() {
    check(Sdk::python(Format::Protobuf));
}

/// SDKs answer the pings of the protocol, so a server that asks often keeps them.
#[test]
fn pings_of_the_protocol_are_answered() {
    let times = Centrifuge {
        ping_interval: Duration::from_secs(1),
        pong_timeout: Duration::from_secs(10),
        ..Centrifuge::default()
    };
    let (server, _) = Server::of(app().centrifuge(times), config(1));
    for mut sdk in [
        Sdk::node(Format::Json),
        Sdk::node(Format::Protobuf),
        Sdk::python(Format::Json),
        Sdk::python(Format::Protobuf),
    ] {
        sdk.connect(server.address());
        let before = server.sum(|shard| &shard.frames_out);
        server.wait_until("three pings", |server| {
            server.sum(|shard| &shard.frames_out) >= before + 3
        });
        let doubled = json!({"data": {"double": 2}});
        sdk.check("rpc", &json!({"method": "double", "data": 1}), &doubled);
        sdk.obey("disconnect", &Value::Null);
    }
    assert_eq!(server.sum(|shard| &shard.closed_deadline_pong), 0);
}

/// SDKs subscribe to all their channels at once when they connect.
#[test]
fn a_hundred_channels_are_subscribed_to_at_once() {
    let (server, _) = Server::of(app(), config(2));
    let mut sdk = Sdk::node(Format::Json);
    sdk.connect(server.address());
    let channels: Vec<String> = (0..100).map(|number| format!("c{number}")).collect();
    sdk.obey("subscribe", &json!(channels));
    for event in sdk.events(channels.len()) {
        assert_eq!(event["event"], "subscribed", "{event}");
    }
}

/// Every sort of command, as the SDKs' own codecs write it in each encoding, means the same here.
#[test]
fn the_sdks_own_codecs_write_what_is_read_here() {
    let (server, _) = Server::of(App::new(), config(1));
    let long = "ü".repeat(100);
    let commands = json!([
        {"id": 1, "connect": {"token": "t", "name": "js", "version": "5.8.0", "data": "x"}},
        {"id": 2, "subscribe": {"channel": "c", "flag": 1}},
        {"id": 300, "subscribe": {"channel": long, "recover": true, "epoch": "k3", "offset": 7, "flag": 3, "delta": "fossil"}},
        {"id": 4, "unsubscribe": {"channel": "c"}},
        {"id": 70000, "publish": {"channel": "c", "data": {"text": long, "number": -1.5}}},
        {"id": 6, "presence": {"channel": "c"}},
        {"id": 7, "presence_stats": {"channel": "c"}},
        {"id": 8, "history": {"channel": "c", "limit": -1, "reverse": true, "since": {"offset": 12345, "epoch": "k3"}}},
        {"id": 9, "history": {"channel": "c", "limit": 3}},
        {"id": 10, "rpc": {"method": "m", "data": "x"}},
        {"id": 4294967295_u32, "rpc": {"method": "m", "data": [true]}},
        {"id": 12, "refresh": {"token": long}},
        {"id": 13, "sub_refresh": {"channel": "c", "token": "t"}},
        {"id": 14, "subscribe": {"channel": "c", "tf": {"op": "or", "nodes": [
            {"op": "not", "nodes": [{"key": "größe", "cmp": "in", "vals": [long, "", "x"]}]},
            {"key": "price", "cmp": "gte", "val": "1.5"},
            {"key": "a", "cmp": "ex"},
        ]}}},
    ]);
    let mut expected: Option<Vec<String>> = None;
    for mut sdk in [
        Sdk::node(Format::Json),
        Sdk::node(Format::Protobuf),
        Sdk::python(Format::Json),
        Sdk::python(Format::Protobuf),
    ] {
        sdk.connect(server.address());
        let encoded = sdk.obey("encode", &commands);
        let bytes = encoded["bytes"].as_array().expect("bytes").iter();
        let bytes: Vec<u8> = bytes
            .map(|byte| byte.as_u64().expect("a byte") as u8)
            .collect();
        let read = read(sdk.format.dialect(), &bytes);
        assert_eq!(
            read.len(),
            commands.as_array().expect("commands").len(),
            "{read:#?}"
        );
        let first = expected.get_or_insert_with(|| read.clone());
        assert_eq!(read, *first);
    }
    let read = expected.expect("four");
    let holds = |at: usize, text: &str| assert!(read[at].contains(text), "{}", read[at]);
    holds(0, "1: Connect");
    holds(2, "300: ");
    holds(2, r#"Since { epoch: "k3", offset: 7 }"#);
    holds(7, "offset: 12345");
    holds(10, "4294967295: ");
    holds(13, "filter: Some(TagFilter(");
}

/// A line for each command: its number, and what it asks for.
fn read(dialect: Dialect, bytes: &[u8]) -> Vec<String> {
    let payload = match dialect {
        Dialect::CentrifugeJson => Payload::Text(str::from_utf8(bytes).expect("JSON is text")),
        _ => Payload::Binary(bytes),
    };
    let Decoded::Commands(commands) = dialect.read(payload, &Rules::default()) else {
        panic!("no commands");
    };
    let shown = commands.map(|command| match command.expect("it is valid") {
        Instruction::Connect(id, asked) => format!("{}: Connect {asked:?}", number(id)),
        Instruction::Refresh(id, token) => format!("{}: Refresh {token}", number(id)),
        Instruction::SubRefresh { id, channel, token } => {
            format!("{}: SubRefresh {channel} {token}", number(id))
        }
        Instruction::Command(command) => {
            let id = command.id.expect("it has a number");
            format!(
                "{}: {:?} {:?}",
                number(id),
                command.request,
                data(command.data)
            )
        }
        other => panic!("{other:?}"),
    });
    shown.collect()
}

/// Data without its white space: encoders differ in that.
fn data(value: Option<shardcast::Value<'_>>) -> Option<Value> {
    let json = value.map(|value| serde_json::from_slice(value.as_bytes()));
    json.map(|json| json.expect("JSON"))
}

fn number(id: Id<'_>) -> u64 {
    let bytes = id.value().as_bytes();
    match id.value() {
        shardcast::Value::Json(raw) => raw.as_str().parse().expect("a number"),
        _ => bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 7 | u64::from(byte & 0x7f)),
    }
}
