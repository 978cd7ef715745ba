//! Maps, as the SDK keeps them: what a map holds by pages, what is published meanwhile and from
//! then on, keys that are removed or whose time is over, deltas of each key, and cuts in the middle
//! of all that.

use super::{Format, Scene, Sdk, block_on};
use serde_json::{Value, json};
use shardcast::namespace::{ClientKey, History, Namespace, Namespaces, RoomMap};
use shardcast::{App, Handle};
use shardcast_engine::{HistoryQuery, ReadOrder, Since};
use shardcast_patience::wait_until;
use shardcast_tests::{Client, Raw, Served};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

fn app() -> App {
    let map_of = |publications_max, map| Namespace {
        history: Some(History {
            publications_max,
            ..History::default()
        }),
        map: Some(map),
        ..Namespace::default()
    };
    let map = RoomMap::default();
    let named = [
        ("map", map_of(100, map)),
        ("short", map_of(2, map)),
        (
            "brief",
            map_of(
                100,
                RoomMap {
                    key_ttl: Some(Duration::from_secs(1)),
                    ..map
                },
            ),
        ),
        (
            "own",
            map_of(
                100,
                RoomMap {
                    client_key: ClientKey::Connection,
                    ..map
                },
            ),
        ),
        ("few", map_of(100, RoomMap { keys_max: 2, ..map })),
    ];
    let namespaces = Namespaces::new(Namespace::default(), named).expect("they fit");
    App::new().namespaces(namespaces)
}

/// The application sets a key.
fn set(handle: &Handle, channel: &str, key: &str, data: &Value) {
    let to = handle.to(channel).conflate(key);
    block_on(to.publish("publication", data)).expect("there is room");
}

fn remove(handle: &Handle, channel: &str, key: &str) {
    let to = handle.to(channel).conflate(key).removes();
    block_on(to.publish("publication", &())).expect("it may");
}

/// Subscribes; what the SDK has of the map then.
#[track_caller]
fn subscribe(sdk: &mut Sdk, channel: &str, more: &Value) -> Vec<Value> {
    let mut asked = more.clone();
    asked["channel"] = json!(channel);
    sdk.obey("map", &asked);
    begun(sdk, channel, false)
}

/// The subscription has begun: its entries, unless it has gone on from where it was.
#[track_caller]
fn begun(sdk: &mut Sdk, channel: &str, recovered: bool) -> Vec<Value> {
    let subscribed = sdk.event("subscribed");
    assert_eq!(subscribed["channel"], channel, "{subscribed}");
    assert_eq!(subscribed["recoverable"], true, "{subscribed}");
    assert_eq!(subscribed["recovered"], recovered, "{subscribed}");
    if recovered {
        return Vec::new();
    }
    let sync = sdk.event("sync");
    sync["entries"].as_array().expect("entries").clone()
}

/// The next event is that a key has changed: its data, or that it was removed.
#[track_caller]
fn update(sdk: &mut Sdk, key: &str) -> Option<Value> {
    let update = sdk.event("update");
    assert_eq!(update["key"], key, "{update}");
    match update["removed"] == true {
        true => None,
        false => Some(update["data"].clone()),
    }
}

fn keys_of(entries: &[Value]) -> Vec<&str> {
    let keys = entries.iter().map(|entry| entry["key"].as_str());
    keys.map(|key| key.expect("a key")).collect()
}

#[track_caller]
fn check(format: Format) {
    let mut sdk = Sdk::node(format);
    let mut scene = Scene::of(&mut sdk, app());
    let Scene {
        native, handle, id, ..
    } = &mut scene;
    let id = id.clone();
    held_and_live(&mut sdk, handle, &id);
    pages(&mut sdk, handle);
    recovered(&mut sdk, handle);
    bounds(&mut sdk, handle, &id);
    passing(&mut sdk, handle);
    deltas(&mut sdk, handle);
    others(&mut sdk, native);
    scene.end(sdk);
}

fn held_and_live(sdk: &mut Sdk, handle: &Handle, id: &str) {
    assert_eq!(subscribe(sdk, "map:empty", &json!({})), [json!(null); 0]);
    for key in ["k2", "k1", "k3"] {
        set(handle, "map:a", key, &json!({ "of": key }));
    }
    remove(handle, "map:a", "k3");
    let entries = subscribe(sdk, "map:a", &json!({}));
    assert_eq!(keys_of(&entries), ["k1", "k2"]);
    let expected = json!({"key": "k1", "data": {"of": "k1"}, "offset": 2});
    assert_eq!(entries[0], expected);
    set(handle, "map:a", "k1", &json!("größe"));
    assert_eq!(update(sdk, "k1"), Some(json!("größe")));
    remove(handle, "map:a", "k2");
    assert_eq!(update(sdk, "k2"), None);
    // What is not there is not removed, which is no fault.
    let gone = json!({"channel": "map:a", "key": "k2"});
    sdk.check("map_remove", &gone, &json!({"removed": true}));
    let said = json!({"channel": "map:a", "key": "mine", "data": [1, 2]});
    sdk.check("map_publish", &said, &json!({"published": true}));
    let heard = sdk.event("update");
    let expected = json!({
        "event": "update", "channel": "map:a", "key": "mine", "data": [1, 2], "offset": 7,
        "client": id,
    });
    assert_eq!(heard, expected);
    let mine = json!({"channel": "map:a", "key": "mine"});
    sdk.check("map_remove", &mine, &json!({"removed": true}));
    assert_eq!(update(sdk, "mine"), None);
}

/// All that a map holds comes, however small pages are.
fn pages(sdk: &mut Sdk, handle: &Handle) {
    let keys: Vec<String> = (10..35).map(|number| format!("k{number}")).collect();
    for key in &keys {
        set(handle, "map:pages", key, &json!(key));
    }
    let entries = subscribe(sdk, "map:pages", &json!({"pageSize": 2}));
    assert_eq!(keys_of(&entries), keys);
    set(handle, "map:pages", "late", &json!(1));
    assert_eq!(update(sdk, "late"), Some(json!(1)));
}

/// Who comes back goes on, or begins again where too much is gone.
fn recovered(sdk: &mut Sdk, handle: &Handle) {
    for (channel, is_recovered) in [("map:back", true), ("short:back", false)] {
        assert_eq!(subscribe(sdk, channel, &json!({})), [json!(null); 0]);
        set(handle, channel, "before", &json!(0));
        assert_eq!(update(sdk, "before"), Some(json!(0)));
        sdk.obey("map_leave", &json!(channel));
        sdk.event("unsubscribed");
        for key in ["a", "b", "c"] {
            set(handle, channel, key, &json!(key));
        }
        remove(handle, channel, "b");
        sdk.obey("map_again", &json!(channel));
        let entries = begun(sdk, channel, is_recovered);
        match is_recovered {
            true => {
                for key in ["a", "b", "c"] {
                    assert_eq!(update(sdk, key), Some(json!(key)));
                }
                assert_eq!(update(sdk, "b"), None);
            }
            false => assert_eq!(keys_of(&entries), ["a", "before", "c"]),
        }
    }
}

/// A key's time, whose keys there are, and how many.
fn bounds(sdk: &mut Sdk, handle: &Handle, id: &str) {
    set(handle, "brief:a", "k", &json!(1));
    let entries = subscribe(sdk, "brief:a", &json!({}));
    if !entries.is_empty() {
        assert_eq!(update(sdk, "k"), None);
    }
    set(handle, "brief:a", "k", &json!(2));
    assert_eq!(update(sdk, "k"), Some(json!(2)));
    assert_eq!(update(sdk, "k"), None);
    subscribe(sdk, "own:a", &json!({}));
    let said = json!({"channel": "own:a", "key": "another's", "data": 1});
    sdk.check("map_publish", &said, &json!({"published": true}));
    assert_eq!(update(sdk, id), Some(json!(1)));
    for (key, answer) in [
        ("a", json!({"published": true})),
        ("b", json!({"published": true})),
    ] {
        let said = json!({"channel": "few:a", "key": key, "data": 1});
        sdk.check("map_publish", &said, &answer);
    }
    let said = json!({"channel": "few:a", "key": "c", "data": 1});
    assert_eq!(sdk.obey("map_publish", &said)["error"], 106);
    // What has no key, or one that is too long, and what is no map. The connection stays.
    let long = "k".repeat(129);
    for (order, asked) in [
        ("map_remove", json!({"channel": "map:a", "key": ""})),
        ("map_remove", json!({"channel": "map:a", "key": long})),
        (
            "map_publish",
            json!({"channel": "map:a", "key": long, "data": 1}),
        ),
        ("publish", json!({"channel": "map:a", "data": 1})),
        (
            "map_publish",
            json!({"channel": "map:a", "key": "", "data": 1}),
        ),
        (
            "map_publish",
            json!({"channel": "lobby", "key": "k", "data": 1}),
        ),
        ("map_remove", json!({"channel": "lobby", "key": "k"})),
    ] {
        assert_eq!(sdk.obey(order, &asked)["error"], 107, "{order} {asked}");
    }
    let longest = json!({"channel": "map:keys", "key": "k".repeat(128), "data": 1});
    sdk.check("map_publish", &longest, &json!({"published": true}));
    sdk.check("map_remove", &longest, &json!({"removed": true}));
    sdk.obey("map", &json!({"channel": "lobby"}));
    assert_eq!(sdk.event("unsubscribed")["code"], 107);
    sdk.obey("subscribe", &json!(["map:b"]));
    assert_eq!(sdk.event("unsubscribed")["code"], 107);
}

/// Pages, what is missed and what is live are what passes.
fn passing(sdk: &mut Sdk, handle: &Handle) {
    let say = |event: &str, key: &str| {
        let to = handle.to("map:tags").conflate(key);
        block_on(to.publish(event, &json!(key))).expect("there is room");
    };
    for (event, key) in [("eng", "a"), ("sales", "b"), ("eng", "c")] {
        say(event, key);
    }
    let filter = json!({"tagsFilter": {"key": "event", "cmp": "eq", "val": "eng"}, "pageSize": 1});
    let entries = subscribe(sdk, "map:tags", &filter);
    assert_eq!(keys_of(&entries), ["a", "c"]);
    say("sales", "d");
    say("eng", "e");
    assert_eq!(update(sdk, "e"), Some(json!("e")));
    // Whoever was sent a key hears that it is gone, though that has no tags.
    remove(handle, "map:tags", "a");
    assert_eq!(update(sdk, "a"), None);
}

/// A document of which little changes.
fn document(number: u64) -> Value {
    json!({
        "rows": (0..20).map(|row| json!({"row": row, "value": "stays"})).collect::<Value>(),
        "number": number,
        "text": "größe \"€\" \\ \n",
    })
}

/// What changes of a key is sent as that, whatever the others do.
fn deltas(sdk: &mut Sdk, handle: &Handle) {
    set(handle, "map:deltas", "a", &document(0));
    let entries = subscribe(sdk, "map:deltas", &json!({"delta": "fossil"}));
    assert_eq!(entries[0]["data"], document(0));
    for number in 1..4 {
        for key in ["a", "b"] {
            set(handle, "map:deltas", key, &document(number));
            assert_eq!(update(sdk, key), Some(document(number)));
        }
    }
    remove(handle, "map:deltas", "a");
    assert_eq!(update(sdk, "a"), None);
    for number in 4..6 {
        set(handle, "map:deltas", "a", &document(number));
        assert_eq!(update(sdk, "a"), Some(document(number)));
    }
    let stats = sdk.obey("deltas", &json!("map:deltas"));
    // What the map held, the first of all, the first of `b`, and that of `a` after its removal.
    assert_eq!(stats, json!({"whole": 4, "deltas": 5}));
}

/// Native clients hear and change the same map.
fn others(sdk: &mut Sdk, native: &mut Client) {
    subscribe(sdk, "map:others", &json!({}));
    native.join("map:others");
    let publish = |keys: &str, data: &str| {
        format!(r#"{{"type":"publish","id":1,"room":"map:others"{keys},"data":{data}}}"#)
    };
    native.say(&publish(r#","conflate":"k""#, "7"));
    // It hears its answer, and itself.
    let heard = [native.hear(), native.hear()];
    let event = heard
        .iter()
        .find(|heard| heard.contains("\"event\""))
        .expect("an event");
    let event: Value = serde_json::from_str(event).expect("JSON");
    let expected = json!({
        "type": "event", "event": "publication", "room": "map:others", "offset": 1,
        "conflate": "k", "data": 7,
    });
    assert_eq!(event, expected);
    assert_eq!(update(sdk, "k"), Some(json!(7)));
    native.say(&publish("", "8"));
    let refused = native.hear();
    assert!(refused.contains("bad_request"), "{refused}");
    let gone = json!({"channel": "map:others", "key": "k"});
    sdk.check("map_remove", &gone, &json!({"removed": true}));
    assert_eq!(update(sdk, "k"), None);
    let heard: Value = serde_json::from_str(&native.hear()).expect("JSON");
    assert_eq!(
        (&heard["conflate"], &heard["removed"]),
        (&json!("k"), &json!(true))
    );
}

#[test]
fn maps_in_json() {
    check(Format::Json);
}

#[test]
fn maps_in_protobuf() {
    check(Format::Protobuf);
}

/// A server, and who calls its API.
struct Operator(Served);

impl Operator {
    fn start() -> Operator {
        let toml = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
shards = 2
pin = "none"
[namespaces.map]
map = true
history = 100
map_keys = 3
[namespaces.large]
map = true
history = 10
[namespaces.plain]
history = 10
"#;
        Operator(Served::start(env!("CARGO_BIN_EXE_served"), toml))
    }

    #[track_caller]
    fn call(&self, method: &str, params: &Value) -> Value {
        let path = format!("/centrifugo/api/{method}");
        let (status, body) = self.0.call(&path, &params.to_string());
        assert_eq!(status, 200, "{method} {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// What a method that does something says.
    #[track_caller]
    fn done(&self, method: &str, params: Value) -> Value {
        let answer = self.call(method, &params);
        assert!(answer.get("error").is_none(), "{method} {params} {answer}");
        answer["result"].clone()
    }

    #[track_caller]
    fn refused(&self, method: &str, params: Value, code: u32) {
        let answer = self.call(method, &params);
        assert_eq!(answer["error"]["code"], code, "{method} {params}");
    }
}

/// What the server API says of maps, and what the SDK hears of it.
#[test]
fn the_server_api_has_maps() {
    let operator = Operator::start();
    let mut sdk = Sdk::node(Format::Json);
    sdk.connect(operator.0.address("ws"));
    subscribe(&mut sdk, "map:a", &json!({}));
    changed(&operator, &mut sdk);
    read_by_pages(&operator);
    let stats = || operator.done("map_stats", json!({"channel": "map:a"}))["num_keys"].clone();
    assert_eq!(stats(), 3);
    operator.done("map_clear", json!({"channel": "map:a"}));
    for key in ["a", "c", "b"] {
        assert_eq!(update(&mut sdk, key), None);
    }
    assert_eq!(stats(), 0);
    refusals(&operator);
    assert_eq!(operator.0.metric("map_refused_total"), 1);
}

/// A key that is published again stands behind all others, so whoever reads by pages meets it
/// twice.
#[test]
fn the_server_api_counts_and_clears_a_map_that_changes_meanwhile() {
    const KEYS: usize = 3_000;
    const EACH: usize = 1_000;
    let operator = Operator::start();
    let address = operator.0.address("http");
    let map = || json!({"channel": "large:a"});
    let publish = |from: usize| {
        let commands = (from..from + EACH).map(|key| {
            let set = json!({"channel": "large:a", "key": format!("k{key}"), "data": 1});
            json!({ "map_publish": set })
        });
        let commands: Vec<Value> = commands.collect();
        let body = json!({ "commands": commands }).to_string();
        let answer = post(address, "/centrifugo/api/batch", &body);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(!answer.contains("\"error\""), "{answer}");
    };
    (0..KEYS).step_by(EACH).for_each(publish);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // It ends after a panic, too.
        let _over = Over(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                publish(0);
            }
        });
        for _ in 0..30 {
            assert_eq!(operator.done("map_stats", map())["num_keys"], KEYS);
        }
        operator.done("map_clear", map());
    });
    // What was published meanwhile may have stayed, and nothing else.
    let left = operator.done("map_stats", map())["num_keys"].as_u64();
    assert!(left.is_some_and(|left| left <= EACH as u64), "{left:?}");
    operator.done("map_clear", map());
    assert_eq!(operator.done("map_stats", map())["num_keys"], 0);
}

/// What the admin port answers, with its head.
#[track_caller]
fn post(address: SocketAddr, path: &str, body: &str) -> String {
    let mut raw = Raw::connect_at(address);
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}");
    raw.send(format!("{head}\r\n\r\n{body}").as_bytes());
    String::from_utf8(raw.rest()).expect("UTF-8")
}

/// Says that it is over when it goes.
struct Over<'f>(&'f AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn changed(operator: &Operator, sdk: &mut Sdk) {
    let set = |key: &str, data: Value| json!({"channel": "map:a", "key": key, "data": data, "tags": {"of": key}});
    for (key, offset) in [("a", 1), ("b", 2), ("c", 3)] {
        let result = operator.done("map_publish", set(key, json!({ "is": key })));
        assert_eq!(result["offset"], offset, "{result}");
        assert_eq!(update(sdk, key), Some(json!({ "is": key })));
    }
    // A key too many.
    operator.refused("map_publish", set("d", json!(1)), 106);
    let b = json!({"channel": "map:a", "key": "b"});
    assert_eq!(operator.done("map_remove", b.clone())["offset"], 4);
    assert_eq!(update(sdk, "b"), None);
    let nothing = operator.done("map_remove", b);
    let told = (&nothing["suppressed"], &nothing["suppress_reason"]);
    assert_eq!(told, (&json!(true), &json!("key_not_found")));
    for (key, more, reason) in [
        ("b", json!({"key_mode": "if_exists"}), "key_not_found"),
        ("a", json!({"key_mode": "if_new"}), "key_exists"),
    ] {
        let mut asked = set(key, json!(0));
        asked["key_mode"] = more["key_mode"].clone();
        let nothing = operator.done("map_publish", asked);
        let told = (&nothing["suppressed"], &nothing["suppress_reason"]);
        assert_eq!(told, (&json!(true), &json!(reason)), "{nothing}");
    }
    let once = json!({"channel": "map:a", "key": "b", "data": 2, "idempotency_key": "i"});
    assert_eq!(operator.done("map_publish", once.clone())["offset"], 5);
    let again = operator.done("map_publish", once);
    assert_eq!(again["suppress_reason"], "idempotency");
    assert_eq!(update(sdk, "b"), Some(json!(2)));
}

fn read_by_pages(operator: &Operator) {
    let of_map = |mut asked: Value| {
        asked["channel"] = json!("map:a");
        asked
    };
    let state = |asked: Value| operator.done("map_read_state", of_map(asked));
    let entry = |key: &str, offset: u64| json!({"key": key, "data": {"is": key}, "offset": offset, "tags": {"of": key}});
    let page = state(json!({"limit": 2}));
    assert_eq!(page["entries"], json!([entry("a", 1), entry("c", 3)]));
    assert_eq!(page["offset"], 5);
    let rest = state(json!({"limit": 2, "cursor": page["cursor"]}));
    let last = json!({"key": "b", "data": 2, "offset": 5});
    assert_eq!(rest["entries"], json!([last]));
    assert_eq!(rest["cursor"], "");
    let one = state(json!({"key": "c"}));
    assert_eq!(one["entries"], json!([entry("c", 3)]));
    for nothing in [json!({"key": "none"}), json!({"limit": 0})] {
        assert_eq!(state(nothing)["entries"], json!([]));
    }
    for (asked, code) in [
        (json!({"revision_epoch": "other"}), 112),
        (json!({"cursor": "other.1", "limit": 2}), 112),
        (json!({"cursor": "x"}), 107),
        (json!({"cursor": "other."}), 107),
        (json!({"cursor": ".1"}), 107),
        (json!({"asc": true}), 108),
    ] {
        operator.refused("map_read_state", of_map(asked), code);
    }
    let stream = of_map(json!({"limit": 10, "since_offset": 3}));
    let stream = operator.done("map_read_stream", stream);
    let removed = json!({"key": "b", "data": null, "offset": 4, "removed": true});
    assert_eq!(stream["entries"], json!([removed, last]));
}

/// What is no map, has no key, or is asked for in vain.
fn refusals(operator: &Operator) {
    let plain = json!({"channel": "plain:a", "key": "k", "data": 1});
    let no_key = json!({"channel": "map:a", "key": "", "data": 1});
    let scored = json!({"channel": "map:a", "key": "k", "data": 1, "score": 7});
    for (method, params, code) in [
        ("map_publish", plain.clone(), 107),
        ("map_remove", plain.clone(), 107),
        ("map_read_state", plain.clone(), 107),
        ("map_read_stream", plain.clone(), 107),
        ("map_stats", plain.clone(), 107),
        ("map_clear", plain, 107),
        ("map_publish", no_key, 107),
        ("map_publish", scored, 108),
        (
            "map_publish",
            json!({"channel": "map:a", "key": "k", "data": 1, "key_mode": "x"}),
            107,
        ),
        ("publish", json!({"channel": "map:a", "data": 1}), 107),
    ] {
        operator.refused(method, params, code);
    }
}

/// Versions of a key, which late publishes do not take back, and keys that are set on a condition.
#[test]
fn the_server_api_keeps_what_is_newer() {
    let operator = Operator::start();
    let publish = |version: u64, mode: &str| {
        let asked = json!({
            "channel": "map:versions", "key": "k", "data": version, "version": version,
            "key_mode": mode,
        });
        let result = operator.done("map_publish", asked);
        let offset = result["offset"].as_u64().expect("an offset");
        (
            offset,
            result["suppress_reason"].as_str().map(str::to_owned),
        )
    };
    let because = |reason: &str| Some(reason.to_owned());
    assert_eq!(publish(3, "if_exists"), (0, because("key_not_found")));
    assert_eq!(publish(3, "if_new"), (1, None));
    assert_eq!(publish(2, ""), (1, because("version")));
    assert_eq!(publish(3, "if_new"), (1, because("version")));
    assert_eq!(publish(4, "if_new"), (1, because("key_exists")));
    assert_eq!(publish(4, "if_exists"), (2, None));
    let state = operator.done(
        "map_read_state",
        json!({"channel": "map:versions", "limit": 9}),
    );
    let entry = json!({"key": "k", "data": 4, "offset": 2});
    assert_eq!(state["entries"], json!([entry]));
    let gone = json!({"channel": "map:versions", "key": "k"});
    assert_eq!(operator.done("map_remove", gone)["offset"], 3);
    assert_eq!(publish(1, ""), (4, None));
    let again = json!({
        "channel": "map:versions", "key": "k", "data": 1, "version": 1, "version_epoch": "e",
    });
    operator.refused("map_publish", again, 108);
}

/// What the server has of a map.
fn held(handle: &Handle, channel: &str) -> (BTreeMap<String, Value>, u64) {
    let (mut keys, mut since) = (BTreeMap::new(), None);
    loop {
        let query = HistoryQuery {
            since,
            limit: 7,
            order: ReadOrder::Map,
        };
        let found = block_on(handle.history(channel, query)).expect("it keeps some");
        let mut last = 0;
        for message in found.messages() {
            let data: Value = message.data.get().expect("JSON");
            let key = data["key"].as_str().expect("a key").to_owned();
            assert_eq!(keys.insert(key, data), None);
            last = message.offset;
        }
        let position = found.position();
        if !found.has_more() {
            return (keys, position.offset);
        }
        since = Some(Since {
            epoch: Some(position.epoch),
            offset: last,
        });
    }
}

/// A client that is cut while it reads pages, while it catches up and while it is live has the map
/// in the end, and was told of each change once.
#[track_caller]
fn cuts(format: Format, more: &Value) {
    let mut sdk = Sdk::node(format);
    let scene = Scene::of(&mut sdk, app());
    let (handle, wire) = (&scene.handle, &scene.wire);
    let mut random = fastrand::Rng::with_seed(7);
    let mut changes = 0_u64;
    let mut change = || {
        let key = format!("k{}", random.usize(..30));
        changes += 1;
        match random.usize(..5) {
            0 => remove(handle, "map:cut", &key),
            _ => {
                let data = json!({"key": key, "number": changes, "text": "stays as it is"});
                set(handle, "map:cut", &key, &data);
            }
        }
    };
    for _ in 0..60 {
        change();
    }
    let mut asked = more.clone();
    asked["channel"] = json!("map:cut");
    asked["quiet"] = json!(true);
    sdk.obey("map", &asked);
    for round in 0..12 {
        for number in 0..20 {
            change();
            if number % 7 == round % 7 {
                wire.cut();
            }
        }
        if round % 4 == 3 {
            // It is live again before the next cuts.
            has_it_all(&mut sdk, handle);
        }
    }
    let told = has_it_all(&mut sdk, handle);
    assert!(
        told["syncs"].as_u64() > Some(0) && told["updates"].as_u64() > Some(0),
        "{told}"
    );
    scene.wire.cut();
    drop(scene.native);
    drop(sdk);
    scene.server.wait_until_empty();
}

#[track_caller]
fn has_it_all(sdk: &mut Sdk, handle: &Handle) -> Value {
    let (keys, offset) = held(handle, "map:cut");
    let mut told = Value::Null;
    wait_until("the client has the map", || {
        told = sdk.obey("map_held", &json!("map:cut"));
        assert_eq!(
            told["wrong"],
            json!([]),
            "changes came twice, or are missing"
        );
        told["last"] == offset
    });
    assert_eq!(told["keys"], json!(keys));
    told
}

#[test]
fn a_map_outlives_cuts() {
    cuts(Format::Json, &json!({"pageSize": 1}));
}

#[test]
fn a_map_of_deltas_outlives_cuts() {
    cuts(Format::Protobuf, &json!({"pageSize": 3, "delta": "fossil"}));
}
