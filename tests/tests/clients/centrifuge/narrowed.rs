//! What a token lets its bearer hear of a channel, and what a client wants to hear of channels that
//! it is in from the start: what passes both is sent, and nothing else; and what filters keep from
//! members is counted.

use super::tokens::{SECRET, VALID, token};
use super::{Format, Sdk, block_on};
use serde_json::{Value, json};
use shardcast::namespace::{History, Namespace, Namespaces};
use shardcast::{App, Auth, Handle, KeyMaterial, TokenAlgorithm, TokenKey};
use shardcast_patience::wait_until;
use shardcast_tests::{Client, Served, Server, config};

fn app() -> App {
    let kept = Namespace {
        history: Some(History::default()),
        ..Namespace::default()
    };
    let whole = Namespace {
        tag_filters: false,
        ..Namespace::default()
    };
    let named = [("kept", kept), ("whole", whole)];
    let namespaces = Namespaces::new(Namespace::default(), named).expect("they fit");
    let key = TokenKey::new("test", TokenAlgorithm::Hs256, KeyMaterial::Secret(SECRET));
    let auth = Auth::required([key.expect("a key")]).expect("one key");
    App::new().namespaces(namespaces).auth(auth)
}

/// Publications of one of these events.
fn one_of(events: &[&str]) -> Value {
    json!({"key": "event", "cmp": "in", "vals": events})
}

/// Each says its own place in its channel.
fn publish(handle: &Handle, channel: &str, events: &[&str]) {
    for (number, event) in events.iter().enumerate() {
        let to = handle.to(channel);
        block_on(to.publish(event, &(number + 1))).expect("it is published");
    }
}

const EVENTS: &[&str] = &["tick", "big", "tock", "tick"];

/// A client without an SDK, which asks for what SDKs do not.
struct Lines(Client);

impl Lines {
    fn connect(server: &Server, token: &str, subs: &Value) -> (Lines, Value) {
        let path = "/connection/websocket";
        let mut client = Lines(Client::asking(server.address(), path, "centrifuge-json"));
        let connect = json!({"id": 1, "connect": {"token": token, "subs": subs}});
        let answer = client.ask(&connect);
        (client, answer)
    }

    #[track_caller]
    fn hear(&mut self) -> Value {
        serde_json::from_str(&self.0.hear()).expect("JSON")
    }

    #[track_caller]
    fn ask(&mut self, command: &Value) -> Value {
        self.0.say(&command.to_string());
        let answer = self.hear();
        assert_eq!(answer["id"], command["id"], "{answer}");
        answer
    }

    /// The next publications of a channel have these data, which are their places.
    #[track_caller]
    fn hears(&mut self, channel: &str, data: &[u64]) {
        for data in data {
            let push = self.hear()["push"].clone();
            let told = (
                &push["channel"],
                &push["pub"]["data"],
                &push["pub"]["offset"],
            );
            assert_eq!(told, (&json!(channel), &json!(data), &json!(data)));
        }
    }
}

#[test]
fn channels_from_the_start_are_heard_through_filters() {
    let (server, handle) = Server::of(app(), config(2));
    let granted = one_of(&["tick", "big"]);
    let claims = json!({
        "sub": "ann",
        "subs": {"kept:a": {"server_tags_filter": granted}, "kept:b": {}, "kept:c": {}},
    });
    let token = token(claims, VALID);
    let subs = json!({
        "kept:a": {"tf": one_of(&["tick", "tock"])},
        "kept:b": {"tf": one_of(&["tock"])},
        "kept:none": {"tf": one_of(&["tick"])},
    });
    let (mut ann, connected) = Lines::connect(&server, &token, &subs);
    let told = &connected["connect"]["subs"]["kept:a"];
    assert_eq!(told["recoverable"], true, "{connected}");
    let epoch = told["epoch"].clone();
    for (channel, heard) in [
        ("kept:a", &[1, 4][..]),
        ("kept:b", &[3]),
        ("kept:c", &[1, 2, 3, 4]),
    ] {
        publish(&handle, channel, EVENTS);
        ann.hears(channel, heard);
    }
    // What the room keeps is no way around the token.
    let history = |channel: &str| json!({"id": 2, "history": {"channel": channel, "limit": 9}});
    assert_eq!(ann.ask(&history("kept:a"))["error"]["code"], 103);
    let all = ann.ask(&history("kept:b"));
    assert_eq!(
        all["history"]["publications"].as_array().map(Vec::len),
        Some(4)
    );
    // Nor is what was missed.
    let had = json!({"kept:a": {"recover": true, "epoch": epoch, "offset": 1}});
    let (mut again, connected) = Lines::connect(&server, &token, &had);
    let told = &connected["connect"]["subs"]["kept:a"];
    assert_eq!(told["recovered"], true, "{connected}");
    let missed = told["publications"].as_array().expect("publications");
    let missed: Vec<&Value> = missed.iter().map(|missed| &missed["data"]).collect();
    assert_eq!(missed, [2, 4]);
    block_on(handle.to("kept:a").publish("tock", &5)).expect("it is published");
    block_on(handle.to("kept:a").publish("big", &6)).expect("it is published");
    again.hears("kept:a", &[6]);
    drop((ann, again));
    server.wait_until_empty();
}

/// A filter that there is not ends no connection; one where there are none does.
#[test]
fn filters_of_a_connect_are_looked_at() {
    let (server, _handle) = Server::of(app(), config(2));
    let token = |subs: Value| token(json!({"sub": "ann", "subs": subs}), VALID);
    let (mut client, refused) = Lines::connect(
        &server,
        &token(json!({})),
        &json!({"kept:a": {"tf": {"key": "a", "cmp": "like"}}}),
    );
    assert_eq!(refused["error"]["code"], 107, "{refused}");
    let again = json!({"id": 2, "connect": {"token": token(json!({}))}});
    assert!(client.ask(&again)["connect"].is_object());
    for (granted, asked, code) in [
        (
            json!({"whole:a": {}}),
            json!({"whole:a": {"tf": one_of(&["a"])}}),
            3501,
        ),
        (
            json!({"kept:a": {"server_tags_filter": {"cmp": "like"}}}),
            json!({}),
            3500,
        ),
    ] {
        let path = "/connection/websocket";
        let mut client = Client::asking(server.address(), path, "centrifuge-json");
        let connect = json!({"id": 1, "connect": {"token": token(granted), "subs": asked}});
        client.say(&connect.to_string());
        assert_eq!(client.closed().0, code);
    }
    drop(client);
    server.wait_until_empty();
}

#[track_caller]
fn check(mut sdk: Sdk) {
    let (server, handle) = Server::of(app(), config(2));
    let url = format!("ws://{}/connection/websocket", server.address());
    let connection = token(json!({"sub": "ann"}), VALID);
    sdk.obey(
        "connect",
        &json!({"url": url, "format": sdk.format.name(), "token": connection}),
    );
    sdk.event("connected");
    let of_channel = |channel: &str, filter: Value| {
        let claims = json!({"sub": "ann", "channel": channel, "server_tags_filter": filter});
        token(claims, VALID)
    };
    let channel = "kept:a";
    let granted = of_channel(channel, one_of(&["tick", "big"]));
    let own = one_of(&["tock", "big"]);
    let asked = json!({"channel": channel, "token": granted, "tagsFilter": own});
    sdk.obey("subscribe_with", &asked);
    sdk.event("subscribed");
    publish(&handle, channel, EVENTS);
    assert_eq!(sdk.hear(channel).0, 2);
    let history = json!({"channel": channel, "limit": 9});
    assert_eq!(sdk.obey("history", &history)["error"], 103);
    // Who is in it without that token may read it.
    sdk.obey("forget", &json!(channel));
    sdk.event("unsubscribed");
    sdk.obey("subscribe_with", &json!({"channel": channel}));
    sdk.event("subscribed");
    let all = sdk.obey("history", &history);
    assert_eq!(all["publications"].as_array().map(Vec::len), Some(4));
    // Deltas would build on what is left out.
    let (channel, granted) = ("kept:b", one_of(&["tick"]));
    let token = of_channel(channel, granted);
    let asked = json!({"channel": channel, "token": token, "delta": "fossil"});
    sdk.obey("subscribe_with", &asked);
    sdk.event("subscribed");
    publish(&handle, channel, EVENTS);
    assert_eq!([sdk.hear(channel).0, sdk.hear(channel).0], [1, 4]);
    let token = of_channel("kept:c", json!({"key": "a"}));
    sdk.obey(
        "subscribe_with",
        &json!({"channel": "kept:c", "token": token}),
    );
    assert_eq!(sdk.event("unsubscribed")["code"], 103);
    drop(sdk);
    server.wait_until_empty();
}

#[test]
fn tokens_narrow_channels_in_json() {
    check(Sdk::node(Format::Json));
}

#[test]
fn tokens_narrow_channels_in_protobuf() {
    check(Sdk::node(Format::Protobuf));
}

/// What is sent and what filters keep back are together what was published, for each member.
#[test]
fn what_filters_keep_back_is_counted() {
    let toml = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
shards = 2
pin = "none"
"#;
    let served = Served::start(env!("CARGO_BIN_EXE_served"), toml);
    let filters = [
        None,
        Some(one_of(&["tick"])),
        Some(one_of(&["tick"])),
        Some(one_of(&["tock", "big"])),
        Some(one_of(&["none"])),
    ];
    let passes = |filter: &Option<Value>, event: &str| {
        let vals = filter.as_ref().and_then(|filter| filter["vals"].as_array());
        vals.is_none_or(|vals| vals.contains(&json!(event)))
    };
    let mut members = Vec::new();
    for filter in &filters {
        let mut sdk = Sdk::node(Format::Json);
        sdk.connect(served.address("ws"));
        let mut asked = json!({"channel": "lobby"});
        if let Some(filter) = filter {
            asked["tagsFilter"] = filter.clone();
        }
        sdk.obey("subscribe_with", &asked);
        sdk.event("subscribed");
        members.push(sdk);
    }
    let before = served.metric("deliveries_total");
    for (number, event) in EVENTS.iter().enumerate() {
        let call = json!({"channel": "lobby", "data": number, "tags": {"event": event}});
        let (status, body) = served.call("/centrifugo/api/publish", &call.to_string());
        assert_eq!(status, 200, "{body}");
    }
    let mut sent = 0;
    for (sdk, filter) in members.iter_mut().zip(&filters) {
        for (number, _) in EVENTS
            .iter()
            .enumerate()
            .filter(|(_, event)| passes(filter, event))
        {
            assert_eq!(sdk.hear("lobby").0, number);
            sent += 1;
        }
    }
    assert_eq!(served.metric("deliveries_total") - before, sent);
    let published = (EVENTS.len() * filters.len()) as u64;
    // Who is sent nothing does not show when it was looked at.
    wait_until("all are looked at", || {
        served.metric("filtered_total") + sent == published
    });
}
