//! A published message of one dialect said in another.

use crate::said::{json, pack, packed};
use crate::survival::{random_json, random_name, random_pack};
use fastrand::Rng;
use shardcast_protocol::dialect::{Dialect, Event, translate};

fn written(dialect: Dialect, event: &Event<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    dialect.write_event(&mut out, event).ok().map(|()| out)
}

/// Said by each in each, an event is what the other would have written itself.
fn check(event: &Event<'_>, by: Dialect) {
    let Some(payload) = written(by, event) else {
        return;
    };
    for to in Dialect::ALL {
        let expected = written(to, event);
        let said = translate(by, to, &payload);
        assert_eq!(said, expected, "{event:?} from {by:?} to {to:?}");
        // And what came over comes back, in the form that this dialect would have written from there.
        let back = said.as_deref().and_then(|said| translate(to, by, said));
        let again = back.as_deref().and_then(|back| translate(by, to, back));
        assert_eq!(again, said, "{event:?} from {by:?} to {to:?} and back");
    }
}

#[test]
fn messages_and_events_are_said_in_every_dialect() {
    for seed in 0..5_000 {
        let mut rng = Rng::with_seed(seed);
        let (room, name) = (random_name(&mut rng), random_name(&mut rng));
        let room = rng.bool().then_some(&*room);
        let text = random_json(&mut rng, 3);
        let bytes = random_pack(&mut rng, 3);
        for (data, by) in [
            (json(&text), Dialect::NativeJson),
            (json(&text), Dialect::JsonRpc),
            (pack(&bytes), Dialect::MessagePack),
        ] {
            let data = rng.bool().then_some(data);
            let from = &*name;
            check(&Event::Message { room, from, data }, by);
            let event = &*name;
            check(&Event::Event { event, room, data }, by);
        }
    }
}

#[test]
fn data_of_json_goes_to_json_byte_for_byte() {
    let native = br#"{"type":"message","room":"r","from":"0-1-2","data":{ "a" : 1.0 }}"#;
    let rpc = br#"{"jsonrpc":"2.0","method":"message","params":{"room":"r","from":"0-1-2","data":{ "a" : 1.0 }}}"#;
    let to = |from, to, payload: &[u8]| translate(from, to, payload).unwrap();
    assert_eq!(to(Dialect::NativeJson, Dialect::JsonRpc, native), rpc);
    assert_eq!(to(Dialect::JsonRpc, Dialect::NativeJson, rpc), native);
}

#[test]
fn what_is_not_published_or_cannot_be_said_is_nothing() {
    let message = |data: &str| format!(r#"{{"type":"message","from":"x","data":{data}}}"#);
    for (from, payload) in [
        (Dialect::NativeJson, r#"{"type":"pong"}"#),
        (Dialect::NativeJson, r#"{"type":"message"}"#),
        (Dialect::NativeJson, r#"{"type":"event","from":"x"}"#),
        (Dialect::NativeJson, r#"{"type":"message","from":1}"#),
        (
            Dialect::NativeJson,
            r#"{"type":"message","from":"x","from":"x"}"#,
        ),
        (Dialect::NativeJson, r#"{"type":"message","from":"x"} x"#),
        (Dialect::NativeJson, "[]"),
        (Dialect::NativeJson, ""),
        (Dialect::JsonRpc, r#"{"method":"message"}"#),
        (Dialect::JsonRpc, r#"{"method":"message","params":[]}"#),
        (Dialect::JsonRpc, r#"{"method":"welcome","params":{}}"#),
        (Dialect::JsonRpc, r#"{"result":1}"#),
    ] {
        for to in Dialect::ALL {
            assert_eq!(translate(from, to, payload.as_bytes()), None, "{payload}");
        }
    }
    for bytes in [&b"\xff\xff"[..], b"", b"\x80", b"\x90"] {
        for from in Dialect::ALL {
            for to in Dialect::ALL {
                assert_eq!(translate(from, to, bytes), None);
            }
        }
    }
    // JSON-RPC's params are a container more.
    for (depth, valid) in [(125, true), (126, false)] {
        let deep = message(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        for (from, payload) in [
            (Dialect::NativeJson, deep.as_bytes()),
            (Dialect::MessagePack, &*packed(&deep)),
        ] {
            for to in Dialect::ALL {
                let said = translate(from, to, payload);
                assert_eq!(
                    said.is_some(),
                    valid || to != Dialect::JsonRpc,
                    "{depth} {to:?}"
                );
                let back = said.and_then(|said| translate(to, from, &said));
                assert_eq!(back.is_some(), valid || to != Dialect::JsonRpc);
            }
        }
    }
}
