//! Filters of publications by their tags, as the SDKs ask for them: what does not pass is not sent,
//! live, from what a channel keeps, and after cuts, and keeps its place in the channel's order.

use super::{Format, Scene, Sdk, app, block_on};
use serde_json::{Value, json};
use shardcast::Handle;

/// The publications of a channel that are `tick`, or begin with `big`.
fn filter() -> Value {
    json!({"op": "or", "nodes": [
        {"key": "event", "cmp": "eq", "val": "tick"},
        {"key": "event", "cmp": "sw", "val": "big"},
    ]})
}

/// All others.
fn other_filter() -> Value {
    json!({"op": "not", "nodes": [filter()]})
}

fn publish(handle: &Handle, channel: &str, events: &[(&str, u64)]) {
    for (event, data) in events {
        block_on(handle.to(channel).emit(event, data)).expect("it is sent");
    }
}

#[track_caller]
fn subscribe(sdk: &mut Sdk, channel: &str, filter: &Value) {
    sdk.obey(
        "subscribe_with",
        &json!({"channel": channel, "tagsFilter": filter}),
    );
    sdk.event("subscribed");
}

/// The next publications have these data, and where the channel keeps something these offsets.
#[track_caller]
fn hear(sdk: &mut Sdk, channel: &str, all: &[u64]) {
    for data in all {
        let heard = sdk.event("publication");
        assert_eq!(
            (&heard["channel"], &heard["data"]),
            (&channel.into(), &json!(data))
        );
        if channel.starts_with("kept:") {
            assert_eq!(heard["offset"], *data, "{heard}");
        }
    }
}

#[track_caller]
fn check(mut sdk: Sdk) {
    let mut scene = Scene::of(&mut sdk, app());
    live(&mut sdk, &mut scene);
    recovered(&mut sdk, &scene);
    refused(&mut sdk);
    scene.end(sdk);
}

/// Each subscriber is sent what passes its own.
fn live(sdk: &mut Sdk, scene: &mut Scene) {
    let channel = "lobby";
    let mut others = [
        Sdk::node(sdk.format),
        Sdk::node(Format::Json),
        Sdk::node(sdk.format),
    ];
    for other in &mut others {
        other.connect(scene.server.address());
    }
    subscribe(sdk, channel, &filter());
    let [same, opposite, plain] = &mut others;
    subscribe(same, channel, &filter());
    subscribe(opposite, channel, &other_filter());
    plain.subscribe(channel);
    publish(
        &scene.handle,
        channel,
        &[("tick", 1), ("tock", 2), ("big-one", 3), ("tick", 4)],
    );
    hear(sdk, channel, &[1, 3, 4]);
    hear(same, channel, &[1, 3, 4]);
    hear(opposite, channel, &[2]);
    hear(plain, channel, &[1, 2, 3, 4]);
    // What a client publishes has no tags.
    scene
        .native
        .say(r#"{"type":"publish","id":"p","room":"lobby","data":5}"#);
    assert!(scene.native.hear().starts_with(r#"{"type":"ack""#));
    hear(opposite, channel, &[5]);
    hear(plain, channel, &[5]);
    publish(&scene.handle, channel, &[("tick", 6)]);
    for one in [&mut *sdk, same, plain] {
        hear(one, channel, &[6]);
    }
    sdk.obey("unsubscribe", &json!([channel]));
    sdk.event("unsubscribed");
}

/// What was left out is not missed, and what passes of what was missed comes.
fn recovered(sdk: &mut Sdk, scene: &Scene) {
    let (channel, handle) = ("kept:a", &scene.handle);
    subscribe(sdk, channel, &filter());
    publish(handle, channel, &[("tick", 1), ("tock", 2), ("tick", 3)]);
    hear(sdk, channel, &[1, 3]);
    let away = |sdk: &mut Sdk, missed: &[(&str, u64)]| {
        sdk.obey("disconnect", &Value::Null);
        sdk.event("disconnected");
        publish(handle, channel, missed);
        sdk.obey("connect", &json!({}));
        sdk.event("connected");
        sdk.event("subscribed")["recovered"].clone()
    };
    assert_eq!(away(sdk, &[("tock", 4), ("big", 5), ("tock", 6)]), true);
    hear(sdk, channel, &[5]);
    publish(handle, channel, &[("tock", 7), ("tick", 8)]);
    hear(sdk, channel, &[8]);
    assert_eq!(away(sdk, &[("tock", 9), ("tock", 10)]), true);
    publish(handle, channel, &[("tock", 11), ("tick", 12)]);
    hear(sdk, channel, &[12]);
    scene.wire.cut();
    sdk.event("connecting");
    sdk.event("connected");
    assert_eq!(sdk.event("subscribed")["recovered"], true);
    // More than the channel keeps, and none that passes.
    let missed: Vec<(&str, u64)> = (13..20).map(|data| ("tock", data)).collect();
    assert_eq!(away(sdk, &missed), false);
    publish(handle, channel, &[("tick", 20)]);
    hear(sdk, channel, &[20]);
    sdk.obey("unsubscribe", &json!([channel]));
    sdk.event("unsubscribed");
}

fn refused(sdk: &mut Sdk) {
    for (channel, filter) in [
        ("none", json!({"key": "a", "cmp": "like", "val": "b"})),
        ("whole:a", filter()),
    ] {
        sdk.obey(
            "subscribe_with",
            &json!({"channel": channel, "tagsFilter": filter}),
        );
        let refused = sdk.event("unsubscribed");
        assert_eq!(refused["code"], 107, "{refused}");
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
fn npm_centrifuge_over_http_streaming() {
    check(Sdk::node(Format::Protobuf).over(&["http_stream"]));
}

#[test]
fn pypi_centrifuge_json() {
    check(Sdk::python(Format::Json));
}

#[test]
fn pypi_centrifuge_protobuf() {
    check(Sdk::python(Format::Protobuf));
}
