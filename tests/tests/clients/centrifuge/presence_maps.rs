//! Maps of who is in a channel, as the SDK keeps them: connections and users that come and go,
//! whichever protocol they speak and however they go, and keys that go with their connections.

use super::{Format, Sdk, block_on};
use serde_json::{Value, json};
use shardcast::namespace::{
    ClientKey, History, MapOf, MapRecovery, Namespace, Namespaces, PresenceMaps, RoomMap,
};
use shardcast::{App, Connect, ConnectionId, Identity, Refusal};
use shardcast_patience::wait_until;
use shardcast_tests::{Client, Server, config};

fn app() -> App {
    let map_of = |map| Namespace {
        history: Some(History::default()),
        map: Some(map),
        ..Namespace::default()
    };
    let map = RoomMap::default();
    let told = PresenceMaps {
        connections: Some("clients:".to_owned()),
        users: Some("users:".to_owned()),
    };
    let game = Namespace {
        presence_maps: told,
        ..Namespace::default()
    };
    let of = |of| map_of(RoomMap { of, ..map });
    let cursors = map_of(RoomMap {
        client_key: ClientKey::Connection,
        remove_left: true,
        recovery: MapRecovery::State,
        ..map
    });
    let named = [
        ("game", game),
        ("clients", of(MapOf::Connections)),
        ("users", of(MapOf::Users)),
        ("cursors", cursors),
    ];
    let namespaces = Namespaces::new(Namespace::default(), named).expect("they fit");
    App::new().namespaces(namespaces).on_connect(identify)
}

/// Whoever says `?user=ann` is ann.
fn identify(client: &Connect<'_>) -> Result<Identity, Refusal> {
    match client.parameter("user") {
        Some(user) if !user.is_empty() => Ok(Identity::user(user)?),
        Some(_) | None => Ok(Identity::nobody()),
    }
}

/// Connects as a user; the id of the connection.
#[track_caller]
fn connect(sdk: &mut Sdk, server: &Server, user: &str) -> String {
    let url = format!("ws://{}/connection/websocket?user={user}", server.address());
    sdk.obey("connect", &json!({"url": url, "format": sdk.format.name()}));
    let connected = sdk.event("connected");
    connected["client"].as_str().expect("an id").to_owned()
}

/// A native client of a user, in the channel.
#[track_caller]
fn member(server: &Server, user: &str) -> (Client, String) {
    let path = format!("/ws?user={user}");
    let mut client = Client::asking(server.address(), &path, "shardcast.v1");
    let welcome: Value = serde_json::from_str(&client.hear()).expect("JSON");
    client.join("game:1");
    (
        client,
        welcome["connection"].as_str().expect("an id").to_owned(),
    )
}

/// What a map holds, for somebody who looks at it now.
#[track_caller]
fn watch(sdk: &mut Sdk, channel: &str, kind: &str) -> Vec<Value> {
    sdk.obey("map", &json!({"channel": channel, "kind": kind}));
    let subscribed = sdk.event("subscribed");
    assert_eq!(subscribed["channel"], channel, "{subscribed}");
    let sync = sdk.event("sync");
    sync["entries"].as_array().expect("entries").clone()
}

/// The next changes, in the order of their channels and keys: channel, key, and whether it is
/// there.
#[track_caller]
fn changes(sdk: &mut Sdk, count: usize) -> Vec<(String, String, bool)> {
    let events = sdk.events(count).into_iter();
    let changes = events.map(|event| {
        assert_eq!(event["event"], "update", "{event}");
        let text = |name: &str| event[name].as_str().expect("a text").to_owned();
        (text("channel"), text("key"), event["removed"] != true)
    });
    let mut changes: Vec<_> = changes.collect();
    changes.sort();
    changes
}

fn change(channel: &str, key: &str, is_there: bool) -> (String, String, bool) {
    (channel.to_owned(), key.to_owned(), is_there)
}

const CLIENTS: &str = "clients:game:1";
const USERS: &str = "users:game:1";

#[track_caller]
fn check(format: Format) {
    let (server, _handle) = Server::of(app(), config(2));
    let mut watcher = Sdk::node(format);
    connect(&mut watcher, &server, "watcher");
    assert_eq!(
        watch(&mut watcher, CLIENTS, "connections"),
        [json!(null); 0]
    );
    let mut ann = Sdk::node(format);
    let first = connect(&mut ann, &server, "ann");
    ann.subscribe("game:1");
    let told = watcher.event("update");
    let expected = json!({
        "event": "update", "channel": CLIENTS, "key": first, "data": null, "offset": 1,
        "client": first, "user": "ann",
    });
    assert_eq!(told, expected);
    // Her shard has told both maps, whose homes are two.
    let users = watch(&mut watcher, USERS, "users");
    match users.is_empty() {
        true => assert_eq!(changes(&mut watcher, 1), [change(USERS, "ann", true)]),
        false => assert_eq!(users, [json!({"key": "ann", "data": null, "offset": 1})]),
    }
    come_and_go(&mut watcher, &server, (ann, &first));
    refused(&mut watcher);
    drop(watcher);
    server.wait_until_empty();
}

fn come_and_go(watcher: &mut Sdk, server: &Server, (mut ann, first): (Sdk, &str)) {
    // Another connection of hers is no other user.
    let mut second = Sdk::node(Format::Json);
    let other = connect(&mut second, server, "ann");
    second.subscribe("game:1");
    assert_eq!(changes(watcher, 1), [change(CLIENTS, &other, true)]);
    let (bob, bobs) = member(server, "bob");
    let came = [change(CLIENTS, &bobs, true), change(USERS, "bob", true)];
    assert_eq!(changes(watcher, 2), came);
    // Who unsubscribes has left; she has not.
    second.obey("unsubscribe", &json!(["game:1"]));
    second.event("unsubscribed");
    assert_eq!(changes(watcher, 1), [change(CLIENTS, &other, false)]);
    second.obey("subscribe", &json!(["game:1"]));
    second.event("subscribed");
    assert_eq!(changes(watcher, 1), [change(CLIENTS, &other, true)]);
    // Nor when the first goes without a word.
    ann.obey("disconnect", &Value::Null);
    drop(ann);
    assert_eq!(changes(watcher, 1), [change(CLIENTS, first, false)]);
    drop(second);
    let gone = [change(CLIENTS, &other, false), change(USERS, "ann", false)];
    assert_eq!(changes(watcher, 2), gone);
    let mut late = Sdk::node(Format::Protobuf);
    connect(&mut late, server, "");
    let keys = |entries: Vec<Value>| {
        entries
            .iter()
            .map(|it| it["key"].clone())
            .collect::<Value>()
    };
    assert_eq!(
        keys(watch(&mut late, CLIENTS, "connections")),
        json!([bobs])
    );
    assert_eq!(keys(watch(&mut late, USERS, "users")), json!(["bob"]));
    drop(bob);
    for sdk in [watcher, &mut late] {
        let gone = [change(CLIENTS, &bobs, false), change(USERS, "bob", false)];
        assert_eq!(changes(sdk, 2), gone);
    }
}

/// Such a map is the server's, and no other kind of map.
fn refused(sdk: &mut Sdk) {
    for (order, asked) in [
        (
            "map_publish",
            json!({"channel": CLIENTS, "key": "k", "data": 1}),
        ),
        ("map_remove", json!({"channel": USERS, "key": "watcher"})),
    ] {
        assert_eq!(sdk.obey(order, &asked)["error"], 103, "{order}");
    }
    for (channel, kind) in [
        ("clients:game:2", "users"),
        ("users:game:2", "connections"),
        ("clients:game:3", "published"),
        ("cursors:a", "connections"),
        ("game:4", "connections"),
    ] {
        sdk.obey("map", &json!({"channel": channel, "kind": kind}));
        let refused = sdk.event("unsubscribed");
        let told = (&refused["channel"], &refused["code"]);
        assert_eq!(told, (&channel.into(), &107.into()));
    }
}

#[test]
fn presence_maps_in_json() {
    check(Format::Json);
}

#[test]
fn presence_maps_in_protobuf() {
    check(Format::Protobuf);
}

/// Whoever comes and goes in whatever way: in the end the maps hold who is there.
#[test]
fn presence_maps_hold_who_is_there() {
    let (server, _handle) = Server::of(app(), config(2));
    let mut watcher = Sdk::node(Format::Json);
    connect(&mut watcher, &server, "");
    for (channel, kind) in [(CLIENTS, "connections"), (USERS, "users")] {
        watcher.obey(
            "map",
            &json!({"channel": channel, "kind": kind, "quiet": true}),
        );
    }
    let mut random = fastrand::Rng::with_seed(11);
    let mut there: Vec<(Client, String, String, bool)> = Vec::new();
    for _ in 0..120 {
        let is_full = there.len() == 12;
        match random.usize(..4) {
            0 | 1 if !is_full => {
                let user = ["ann", "bob", "cid", ""][random.usize(..4)];
                let (client, id) = member(&server, user);
                there.push((client, id, user.to_owned(), true));
            }
            2 if !there.is_empty() => {
                let at = random.usize(..there.len());
                let (client, .., is_in) = &mut there[at];
                match *is_in {
                    true => client.check(
                        r#"{"type":"leave_room","id":2,"room":"game:1"}"#,
                        r#"{"type":"left","id":2,"room":"game:1"}"#,
                    ),
                    false => {
                        client.join("game:1");
                    }
                }
                *is_in = !*is_in;
            }
            _ if !there.is_empty() => {
                there.swap_remove(random.usize(..there.len()));
            }
            _ => {}
        }
    }
    let is_in = || there.iter().filter(|(.., is_in)| *is_in);
    let clients = is_in().map(|(_, id, ..)| id.clone());
    let users = is_in().map(|(_, _, user, _)| user.clone());
    let users = users.filter(|user| !user.is_empty());
    let expected = [
        (
            CLIENTS,
            clients
                .map(|id| (id, Value::Null))
                .collect::<serde_json::Map<_, _>>(),
        ),
        (USERS, users.map(|user| (user, Value::Null)).collect()),
    ];
    for (channel, keys) in expected {
        let keys = Value::Object(keys);
        let mut told = Value::Null;
        wait_until("the map holds who is there", || {
            told = watcher.obey("map_held", &json!(channel));
            told["keys"] == keys
        });
        assert_eq!(told["wrong"], json!([]), "{told}");
    }
    drop((there, watcher));
    server.wait_until_empty();
}

/// A key of a connection's own is there as long as the connection is in the channel; and a client
/// that comes back to a map without places reads it anew.
#[test]
fn a_key_goes_with_its_connection() {
    let (server, _handle) = Server::of(app(), config(2));
    let mut watcher = Sdk::node(Format::Json);
    connect(&mut watcher, &server, "");
    let ask = |sdk: &mut Sdk| sdk.obey("map", &json!({"channel": "cursors:a"}));
    ask(&mut watcher);
    let subscribed = watcher.event("subscribed");
    assert_eq!(subscribed["recoverable"], false, "{subscribed}");
    assert_eq!(watcher.event("sync")["entries"], json!([]));
    let mut ann = Sdk::node(Format::Protobuf);
    let id = connect(&mut ann, &server, "ann");
    let said = json!({"channel": "cursors:a", "key": "", "data": {"x": 1}});
    for way in ["unsubscribe", "disconnect"] {
        match way {
            "unsubscribe" => ask(&mut ann),
            _ => ann.obey("map_again", &json!("cursors:a")),
        };
        ann.event("subscribed");
        ann.event("sync");
        ann.check("map_publish", &said, &json!({"published": true}));
        assert_eq!(changes(&mut watcher, 1), [change("cursors:a", &id, true)]);
        assert_eq!(changes(&mut ann, 1), [change("cursors:a", &id, true)]);
        match way {
            "unsubscribe" => ann.obey("map_leave", &json!("cursors:a")),
            _ => ann.obey("disconnect", &Value::Null),
        };
        assert_eq!(changes(&mut watcher, 1), [change("cursors:a", &id, false)]);
        if way == "unsubscribe" {
            ann.event("unsubscribed");
        }
    }
    // It comes back, and reads the map anew.
    watcher.obey("map_leave", &json!("cursors:a"));
    watcher.event("unsubscribed");
    watcher.obey("map_again", &json!("cursors:a"));
    let again = watcher.event("subscribed");
    assert_eq!(again["recovered"], false, "{again}");
    assert_eq!(watcher.event("sync")["entries"], json!([]));
    drop((ann, watcher));
    server.wait_until_empty();
}

/// Whoever becomes another user is there as that one, with the same connection.
#[test]
fn who_becomes_another_user_is_there_anew() {
    let (server, handle) = Server::of(app(), config(2));
    let (client, id) = member(&server, "ann");
    let connection: ConnectionId = id.parse().expect("an id");
    let mut watcher = Sdk::node(Format::Json);
    connect(&mut watcher, &server, "");
    for (channel, kind) in [(CLIENTS, "connections"), (USERS, "users")] {
        if watch(&mut watcher, channel, kind).is_empty() {
            changes(&mut watcher, 1);
        }
    }
    for (before, after) in [("ann", "bob"), ("bob", "")] {
        let identity = match after {
            "" => Identity::nobody(),
            user => Identity::user(user).expect("a name"),
        };
        let identified = handle.on(connection, move |cx| cx.identify(identity));
        block_on(identified).expect("it is there").expect("it may");
        let mut expected = vec![
            change(CLIENTS, &id, false),
            change(CLIENTS, &id, true),
            change(USERS, before, false),
        ];
        if !after.is_empty() {
            expected.push(change(USERS, after, true));
        }
        expected.sort();
        assert_eq!(changes(&mut watcher, expected.len()), expected);
    }
    drop(client);
    assert_eq!(changes(&mut watcher, 1), [change(CLIENTS, &id, false)]);
    drop(watcher);
    server.wait_until_empty();
}
