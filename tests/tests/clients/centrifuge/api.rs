//! The server API of Centrifugo under `/centrifugo/api`, by its server libraries, unmodified: PyPI
//! `cent` (blocking and asyncio) and npm `cent.js`; and what clients of the protocol, and native
//! ones, hear of it.

use super::tokens::{SECRET, VALID, token};
use super::{Format, Sdk};
use crate::installed;
use crate::puppet::{Puppet, Script};
use serde_json::{Value, json};
use shardcast_tests::{Client, Served};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::{fs, process};

const KEY: &str = "api-key-of-this-test-0123456789abcdef";

/// A server with a token for operators, and keys for clients; its files go with it.
struct Guarded {
    served: Served,
    folder: PathBuf,
}

impl Guarded {
    fn start(name: &str) -> Guarded {
        let folder = std::env::temp_dir().join(format!("shardcast-cent-{name}-{}", process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        fs::write(folder.join("key"), KEY).expect("a file");
        fs::write(folder.join("secret"), SECRET).expect("a file");
        let folder_name = folder.display();
        let toml = format!(
            r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
shards = 2
pin = "none"
[admin]
token_file = '{folder_name}/key'
[auth]
tokens = "optional"
[auth.keys.main]
algorithm = "HS256"
secret_file = '{folder_name}/secret'
[namespaces.kept]
history = 10
[namespaces.team]
presence_events = true
"#
        );
        let served = Served::start(env!("CARGO_BIN_EXE_served"), &toml);
        Guarded { served, folder }
    }

    fn url(&self) -> String {
        format!("http://{}/centrifugo/api", self.served.address("http"))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_dir_all(&self.folder);
    }
}

/// A server library.
struct Library(Script);

impl Library {
    fn python(url: &str, key: &str, kind: &str) -> Library {
        let mut command = installed::python_script("cent-python", "client.py");
        Library(Script::start(command.args([url, key, kind])))
    }

    fn npm(url: &str, key: &str) -> Library {
        let mut command = installed::node_script("cent-npm", "client.js");
        Library(Script::start(command.args([url, key])))
    }

    #[track_caller]
    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.0.obey(&json!({ method: params }))
    }

    /// It is refused; with this number, as far as the library tells.
    #[track_caller]
    fn refused(&mut self, method: &str, params: &Value, number: u32) {
        let answer = self.call(method, params);
        let told = &answer["error"];
        assert!(*told == number || *told == "refused", "{method}: {answer}");
    }
}

#[track_caller]
fn check(name: &str, start: impl Fn(&str, &str) -> Library) {
    let guarded = Guarded::start(name);
    let mut library = start(&guarded.url(), KEY);
    let mut sdk = Sdk::node(Format::Json);
    let address = guarded.served.address("ws");
    let url = format!("ws://{address}/connection/websocket");
    let ann = token(json!({"sub": "ann", "info": {"a": 1}}), VALID);
    let asked = json!({"url": url, "format": "json", "token": ann});
    sdk.obey("connect", &asked);
    let connected = sdk.event("connected");
    let id = connected["client"].clone();
    let mut native = Client::native_at(address);
    publishing(&mut library, &mut sdk, &mut native);
    kept(&mut library, &mut sdk);
    who_is_there(&mut library, &mut sdk, &id);
    subscriptions(&mut library, &mut sdk);
    filtered(&mut library, &mut sdk);
    several(&mut library);
    prolonged(&mut library, address, &ann);
    ends(&mut library, &mut sdk, &id);
    let mut stranger = start(&guarded.url(), "wrong");
    let answer = stranger.call("info", &json!({}));
    assert!(
        answer["error"] == "unauthorized" || answer["error"] == "refused",
        "{answer}"
    );
}

/// Who has a filter is sent what passes it.
fn filtered(library: &mut Library, sdk: &mut Sdk) {
    let filter = json!({"op": "and", "nodes": [
        {"key": "symbol", "cmp": "in", "vals": ["ACME", "größe"]},
        {"key": "price", "cmp": "gt", "val": "99.50"},
    ]});
    let subscribe = json!({"channel": "prices", "tagsFilter": filter});
    sdk.obey("subscribe_with", &subscribe);
    sdk.event("subscribed");
    for (data, tags) in [
        (1, json!({"symbol": "ACME", "price": "100"})),
        (2, json!({"symbol": "ACME", "price": "9"})),
        (3, json!({"symbol": "OTHER", "price": "100"})),
        (4, json!({"symbol": "ACME"})),
        (5, json!({"price": "99.51", "symbol": "größe"})),
    ] {
        library.call(
            "publish",
            &json!({"channel": "prices", "data": data, "tags": tags}),
        );
    }
    for data in [1, 5] {
        assert_eq!(sdk.hear("prices").0, data);
    }
    sdk.obey("unsubscribe", &json!(["prices"]));
    sdk.event("unsubscribed");
}

fn publishing(library: &mut Library, sdk: &mut Sdk, native: &mut Client) {
    sdk.subscribe("news");
    assert_eq!(native.join("news"), 2);
    let data = json!({"text": "größe", "number": 1.5, "list": [1, null]});
    let published = library.call("publish", &json!({"channel": "news", "data": data}));
    assert_eq!(published["epoch"].as_str().unwrap_or(""), "");
    let heard = sdk.event("publication");
    assert_eq!(
        (&heard["data"], &heard["tags"]),
        (&data, &Value::Null),
        "{heard}"
    );
    let heard: Value = serde_json::from_str(&native.hear()).expect("JSON");
    assert_eq!(
        (&heard["event"], &heard["data"]),
        (&"publication".into(), &data)
    );
    let tags = json!({"symbol": "ACME", "größe": "\"5\""});
    let tagged = json!({"channel": "news", "data": data, "tags": tags});
    library.call("publish", &tagged);
    let heard = sdk.event("publication");
    assert_eq!((&heard["data"], &heard["tags"]), (&data, &tags), "{heard}");
    // Clients of other dialects have no tags.
    let heard: Value = serde_json::from_str(&native.hear()).expect("JSON");
    assert_eq!(heard["event"], "publication");
    let long = json!({"channel": "news", "data": 1, "tags": {"a": "x".repeat(1024)}});
    library.refused("publish", &long, 107);
    let both = json!({"channels": ["news", "none:a:b", "news"], "data": 7});
    let responses = library.call("broadcast", &both);
    let responses = responses["responses"].as_array().expect("responses");
    assert!(responses[0].get("error").is_none() && responses[2].get("error").is_none());
    assert_eq!(responses[1]["error"]["code"], 102, "{responses:?}");
    for _ in 0..2 {
        assert_eq!(sdk.hear("news").0, 7);
        native.hear();
    }
    library.refused("publish", &json!({"channel": "none:a", "data": 1}), 102);
    library.refused("publish", &json!({"channel": "", "data": 1}), 107);
    sdk.obey("unsubscribe", &json!(["news"]));
    sdk.event("unsubscribed");
}

fn kept(library: &mut Library, sdk: &mut Sdk) {
    sdk.subscribe("kept:a");
    let publish =
        |data: u64, key: &str| json!({"channel": "kept:a", "data": data, "idempotency_key": key});
    let first = library.call("publish", &publish(1, "a"));
    assert_eq!(first["offset"], 1, "{first}");
    assert_eq!(library.call("publish", &publish(1, "a")), first);
    assert_eq!(library.call("publish", &publish(2, "b"))["offset"], 2);
    for data in [1, 2] {
        assert_eq!(sdk.hear("kept:a").0, data);
    }
    let tags = json!({"symbol": "ACME"});
    let tagged = json!({"channel": "kept:c", "data": 1, "tags": tags});
    library.call("publish", &tagged);
    let kept = library.call("history", &json!({"channel": "kept:c", "limit": 1}));
    assert_eq!(kept["publications"][0]["tags"], tags, "{kept}");
    sdk.check(
        "publish",
        &json!({"channel": "kept:a", "data": 3}),
        &json!({"published": true}),
    );
    assert_eq!(sdk.hear("kept:a").0, 3);
    let data = |history: &Value| -> Vec<Value> {
        let publications = history["publications"].as_array().expect("publications");
        publications.iter().map(|one| one["data"].clone()).collect()
    };
    let all = library.call("history", &json!({"channel": "kept:a", "limit": 10}));
    assert_eq!(data(&all), [1, 2, 3]);
    assert_eq!(
        (&all["offset"], &all["epoch"]),
        (&3.into(), &first["epoch"])
    );
    assert!(
        all["publications"][2]["info"]["client"].is_string(),
        "{all}"
    );
    let since = json!({"offset": 1, "epoch": first["epoch"]});
    let page = json!({"channel": "kept:a", "limit": 1, "since": since});
    assert_eq!(data(&library.call("history", &page)), [2]);
    let newest = json!({"channel": "kept:a", "limit": 2, "reverse": true});
    assert_eq!(data(&library.call("history", &newest)), [3, 2]);
    let position = library.call("history", &json!({"channel": "kept:a"}));
    assert_eq!(position["offset"], 3);
    let lost = json!({"channel": "kept:a", "limit": 1, "since": {"offset": 1, "epoch": "other"}});
    library.refused("history", &lost, 112);
    library.refused("history", &json!({"channel": "news", "limit": 1}), 108);
    library.call("history_remove", &json!({"channel": "kept:a"}));
    let none = library.call("history", &json!({"channel": "kept:a", "limit": 10}));
    assert_eq!(data(&none), [Value::Null; 0], "{none}");
    assert_eq!(
        (&none["offset"], &none["epoch"]),
        (&3.into(), &first["epoch"])
    );
    library.refused("history_remove", &json!({"channel": "news"}), 108);
    sdk.obey("unsubscribe", &json!(["kept:a"]));
    sdk.event("unsubscribed");
}

fn who_is_there(library: &mut Library, sdk: &mut Sdk, id: &Value) {
    let id = id.as_str().expect("an id");
    for channel in ["lobby", "team:a"] {
        sdk.subscribe(channel);
        let present = library.call("presence", &json!({"channel": channel}));
        assert_eq!(present["presence"][id]["user"], "ann", "{present}");
        let stats = library.call("presence_stats", &json!({"channel": channel}));
        assert_eq!(
            (&stats["num_clients"], &stats["num_users"]),
            (&1.into(), &1.into())
        );
    }
    let channels = library.call("channels", &json!({"pattern": "*o*"}));
    assert_eq!(
        channels["channels"]["lobby"]["num_clients"], 1,
        "{channels}"
    );
    assert_eq!(channels["channels"].get("team:a"), None, "{channels}");
    let info = library.call("info", &json!({}));
    assert_eq!(info["nodes"][0]["num_clients"], 2, "{info}");
    assert!(
        info["nodes"][0]["name"]
            .as_str()
            .expect("a name")
            .starts_with("shardcast/")
    );
    sdk.obey("unsubscribe", &json!(["lobby", "team:a"]));
    sdk.events(2);
}

/// The server puts clients into channels, and takes them out.
fn subscriptions(library: &mut Library, sdk: &mut Sdk) {
    let ann = json!({"user": "ann", "channel": "kept:a"});
    library.call("subscribe", &ann);
    let subscribed = sdk.event("subscribed");
    assert_eq!(
        (&subscribed["channel"], &subscribed["server"]),
        (&"kept:a".into(), &true.into())
    );
    library.call("publish", &json!({"channel": "kept:a", "data": 4}));
    let heard = sdk.event("publication");
    assert_eq!(
        (&heard["data"], &heard["server"]),
        (&4.into(), &true.into())
    );
    // Once more is none; of nobody it is nothing.
    library.call("subscribe", &ann);
    library.call("subscribe", &json!({"user": "bob", "channel": "kept:a"}));
    library.call("unsubscribe", &ann);
    let left = sdk.event("unsubscribed");
    assert_eq!(
        (&left["channel"], &left["server"]),
        (&"kept:a".into(), &true.into())
    );
    library.refused(
        "subscribe",
        &json!({"user": "ann", "channel": "none:a"}),
        102,
    );
    library.refused("subscribe", &json!({"user": "", "channel": "kept:a"}), 107);
}

/// Several commands in one request.
fn several(library: &mut Library) {
    let commands = json!([
        {"publish": {"channel": "kept:b", "data": 1}},
        {"publish": {"channel": "kept:b", "data": 2}},
        {"history": {"channel": "kept:b", "limit": 5}},
    ]);
    let answer = library.call("batch", &json!({ "commands": commands }));
    let replies = match answer.get("replies") {
        Some(replies) => replies.clone(),
        None => library.call("pipeline", &commands)["results"].clone(),
    };
    assert_eq!(
        (&replies[0]["offset"], &replies[1]["offset"]),
        (&1.into(), &2.into()),
        "{replies}"
    );
    assert_eq!(replies[2]["publications"][1]["data"], 2, "{replies}");
}

/// Who hears pushes alone is told how long it has now.
fn prolonged(library: &mut Library, address: SocketAddr, token: &str) {
    let mut listener = Client::asking(address, "/connection/uni_websocket", "centrifuge-json");
    listener.say(&json!({"token": token}).to_string());
    let mut hear = || -> Value { serde_json::from_str(&listener.hear()).expect("JSON") };
    let id = hear()["connect"]["client"].clone();
    for (expire_at, expires) in [(4_000_000_000_u64, true), (0, false)] {
        let asked = json!({"user": "ann", "client": id, "expire_at": expire_at});
        library.call("refresh", &asked);
        let push = hear();
        let told = push["refresh"].as_object().expect("the push");
        assert_eq!(
            told.get("expires").is_some_and(|told| told == true),
            expires
        );
        let ttl = told.get("ttl").and_then(Value::as_u64);
        assert_eq!(ttl.is_some_and(|ttl| ttl > 1_000_000), expires, "{push}");
    }
}

/// Whose token is made to end comes back; who is disconnected stays away.
fn ends(library: &mut Library, sdk: &mut Sdk, id: &Value) {
    library.call("disconnect", &json!({"user": "ann", "whitelist": [id]}));
    library.call("disconnect", &json!({"user": "bob", "client": id}));
    library.call(
        "refresh",
        &json!({"user": "ann", "client": id, "expire_at": 4_000_000_000_u64}),
    );
    library.call("refresh", &json!({"user": "ann", "expired": true}));
    assert_eq!(sdk.event("connecting")["code"], 3005);
    sdk.event("connected");
    library.call("disconnect", &json!({"user": "ann"}));
    let ended = sdk.event("disconnected");
    assert_eq!(
        (&ended["code"], &ended["reason"]),
        (&3503.into(), &"force disconnect".into())
    );
    library.refused(
        "disconnect",
        &json!({"user": "ann", "disconnect": {"code": 7}}),
        107,
    );
}

#[test]
fn pypi_cent() {
    check("sync", |url, key| Library::python(url, key, "sync"));
}

#[test]
fn pypi_cent_with_asyncio() {
    check("async", |url, key| Library::python(url, key, "async"));
}

#[test]
fn npm_cent() {
    check("npm", Library::npm);
}
