//! Deltas, as the SDKs apply them: what they hear of a channel is what was published, whoever comes
//! in between, after cuts, and in channels that keep nothing; and that most of it came as deltas.

use super::{Format, Scene, Sdk, app};
use serde_json::{Value, json};
use shardcast_tests::proxy::Proxy;
use shardcast_tests::{Client, Server};

/// A document of which little changes, with everything that strings have to escape.
fn document(number: u64) -> Value {
    json!({
        "title": "größe \"€\" \\ 😀\n",
        "rows": (0..20).map(|row| json!({"row": row, "value": "stays as it is"})).collect::<Value>(),
        "number": number,
        "end": ["ü", number % 3],
    })
}

/// What an SDK was sent of a channel: as a whole, and as deltas.
#[track_caller]
fn sent(sdk: &mut Sdk, channel: &str) -> (u64, u64) {
    let stats = sdk.obey("deltas", &json!(channel));
    let count = |name: &str| stats[name].as_u64().expect("a count");
    (count("whole"), count("deltas"))
}

#[track_caller]
fn subscribe(sdk: &mut Sdk, channel: &str) {
    sdk.obey(
        "subscribe_with",
        &json!({"channel": channel, "delta": "fossil"}),
    );
    sdk.event("subscribed");
}

fn publish(native: &mut Client, channel: &str, data: &Value) {
    // With line feeds between its parts, which end a line of the protocol.
    let data = serde_json::to_string_pretty(data).expect("JSON");
    native.say(&format!(
        r#"{{"type":"publish","id":"p","room":"{channel}","data":{data}}}"#
    ));
    let ack = native.hear();
    assert!(ack.starts_with(r#"{"type":"ack""#), "{ack}");
}

#[track_caller]
fn hear(sdks: &mut [&mut Sdk], channel: &str, data: &Value) {
    for sdk in sdks {
        assert_eq!(sdk.hear(channel).0, *data);
    }
}

#[track_caller]
fn check(mut sdk: Sdk) {
    let mut scene = Scene::of(&mut sdk, app());
    let Scene {
        native,
        wire,
        server,
        ..
    } = &mut scene;
    for channel in ["lobby", "kept:a"] {
        newcomers(&mut sdk, server, native, channel);
    }
    missed(&mut sdk, native, wire);
    switched_off(&mut sdk, native);
    scene.end(sdk);
}

/// Where the namespace has none, who asks for them is sent everything as it is.
fn switched_off(sdk: &mut Sdk, native: &mut Client) {
    subscribe(sdk, "whole:a");
    for number in 0..3 {
        publish(native, "whole:a", &document(number));
        hear(&mut [sdk], "whole:a", &document(number));
    }
    assert_eq!(sent(sdk, "whole:a").1, 0);
}

/// Who comes is sent the next publication as a whole, and all others what it changes.
fn newcomers(sdk: &mut Sdk, server: &Server, native: &mut Client, channel: &str) {
    subscribe(sdk, channel);
    for number in 0..4 {
        publish(native, channel, &document(number));
        hear(&mut [sdk], channel, &document(number));
    }
    assert_eq!(sent(sdk, channel), (1, 3));
    let mut other = Sdk::node(sdk.format);
    other.connect(server.address());
    subscribe(&mut other, channel);
    let mut plain = Sdk::node(sdk.format);
    plain.connect(server.address());
    plain.subscribe(channel);
    for number in 4..6 {
        publish(native, channel, &document(number));
        let all = &mut [&mut *sdk, &mut other, &mut plain];
        hear(all, channel, &document(number));
    }
    assert_eq!(sent(sdk, channel), (1, 5));
    assert_eq!(sent(&mut other, channel), (1, 1));
    // Nothing of it is the same.
    publish(native, channel, &json!(17));
    hear(&mut [sdk, &mut other, &mut plain], channel, &json!(17));
    assert_eq!(sent(sdk, channel), (2, 5));
    let text = json!("a message of the SDK's own, which comes back to it");
    let said = json!({"channel": channel, "data": text});
    for _ in 0..2 {
        sdk.check("publish", &said, &json!({"published": true}));
        hear(&mut [sdk, &mut other, &mut plain], channel, &text);
    }
    assert_eq!(sent(sdk, channel), (3, 6));
    if sdk.format == Format::Protobuf {
        bytes(sdk, channel);
    }
}

/// What is no JSON has deltas, too.
fn bytes(sdk: &mut Sdk, channel: &str) {
    for last in [1, 2] {
        let mut bytes: Vec<u8> = (0..100_u8)
            .map(|byte| byte.wrapping_mul(7) | 0x80)
            .collect();
        bytes.push(last);
        let bytes = json!({ "bytes": bytes });
        let said = json!({"channel": channel, "data": bytes});
        sdk.check("publish", &said, &json!({"published": true}));
        hear(&mut [sdk], channel, &bytes);
    }
    assert_eq!(sent(sdk, channel), (4, 7));
}

/// What was missed comes in the reply, the first as a whole, and the others as deltas.
fn missed(sdk: &mut Sdk, native: &mut Client, wire: &Proxy) {
    let channel = "kept:a";
    let (whole, deltas) = sent(sdk, channel);
    sdk.obey("unsubscribe", &json!(["lobby"]));
    sdk.event("unsubscribed");
    wire.cut();
    sdk.event("connecting");
    sdk.event("connected");
    sdk.event("subscribed");
    sdk.obey("disconnect", &Value::Null);
    sdk.event("disconnected");
    for number in 10..13 {
        publish(native, channel, &document(number));
    }
    sdk.obey("connect", &json!({}));
    sdk.event("connected");
    assert_eq!(sdk.event("subscribed")["recovered"], true);
    for number in 10..13 {
        hear(&mut [sdk], channel, &document(number));
    }
    for number in 13..15 {
        publish(native, channel, &document(number));
        hear(&mut [sdk], channel, &document(number));
    }
    assert_eq!(sent(sdk, channel), (whole + 2, deltas + 3));
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
fn pypi_centrifuge_json() {
    check(Sdk::python(Format::Json));
}

#[test]
fn pypi_centrifuge_protobuf() {
    check(Sdk::python(Format::Protobuf));
}
