//! What is published, as each dialect says it: the data stands there as its encoding writes it, and
//! no message is longer than foretold.

use crate::decoding::{json, pack, packed};
use crate::survival::{random_json, random_name, random_pack};
use fastrand::Rng;
use shardcast_protocol::dialect::{Dialect, Encoding, Event, Value};

fn written(dialect: Dialect, event: &Event<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let said = dialect.write_event(&mut out, event);
    said.expect("what is published can be said in every dialect");
    out
}

/// As the data stands in a message of the dialect, and what is behind it.
fn standing(dialect: Dialect, data: Value<'_>) -> Vec<u8> {
    let mut stands = Vec::new();
    match (dialect, data) {
        (Dialect::CentrifugeProtobuf, Value::Pack(pack)) => {
            match rmpv::decode::read_value(&mut pack.as_bytes()) {
                Ok(rmpv::Value::Binary(bytes)) => stands = bytes,
                _ => data.write_json(&mut stands),
            }
        }
        _ => data.write(&mut stands, dialect.encoding()),
    }
    if dialect == Dialect::CentrifugeJson {
        stands
            .iter_mut()
            .filter(|byte| **byte == b'\n')
            .for_each(|byte| *byte = b' ');
    }
    stands.extend(match dialect {
        Dialect::NativeJson => &b"}"[..],
        Dialect::JsonRpc => b"}}",
        Dialect::MessagePack | Dialect::CentrifugeProtobuf => b"",
        Dialect::CentrifugeJson => b"}}}",
    });
    stands
}

fn check(event: &Event<'_>, data: Value<'_>) {
    for dialect in Dialect::ALL {
        let said = written(dialect, event);
        let bytes_max = event.bytes_max(dialect.encoding());
        assert!(said.len() <= bytes_max, "{dialect:?} {event:?}");
        let mut stands = Vec::new();
        data.write(&mut stands, dialect.encoding());
        assert!(stands.len() <= data.bytes_max(dialect.encoding()));
        let stands = standing(dialect, data);
        assert!(said.ends_with(&stands), "{dialect:?} {event:?}");
    }
}

#[test]
fn data_stands_in_every_dialect_as_its_encoding_writes_it() {
    for seed in 0..5_000 {
        let mut rng = Rng::with_seed(seed);
        let (room, name) = (random_name(&mut rng), random_name(&mut rng));
        let room = rng.bool().then_some(&*room);
        let text = random_json(&mut rng, 3);
        let bytes = random_pack(&mut rng, 3);
        for value in [json(&text), pack(&bytes)] {
            let data = Some(value);
            let from = &*name;
            let offset = rng.bool().then(|| rng.u64(..) >> rng.u32(0..64));
            let message = Event::Message {
                room,
                from,
                sender: None,
                offset,
                data,
            };
            check(&message, value);
            let event = Event::Event {
                event: &name,
                room,
                offset,
                data,
            };
            check(&event, value);
        }
    }
}

/// The worst of each: a control character in JSON, numbers that are short in one encoding, keys and
/// lengths of the other.
#[test]
fn what_grows_most_grows_no_further_than_foretold() {
    let controls = "\u{1}".repeat(500);
    let zeros = format!("[{}]", ["-0"; 500].join(","));
    let extensions = [&[0xdc, 1, 0xf4][..], &[0xd4, 0x85, 0].repeat(500)].concat();
    for value in [json("-0"), json(&zeros), pack(&extensions), pack(b"\xc0")] {
        let (room, data) = (Some(&*controls), Some(value));
        for event in [
            Event::Message {
                room,
                from: &controls,
                sender: None,
                offset: Some(u64::MAX),
                data,
            },
            Event::Event {
                event: &controls,
                room,
                offset: Some(u64::MAX),
                data,
            },
        ] {
            check(&event, value);
        }
    }
}

#[test]
fn data_of_an_encoding_goes_there_byte_for_byte() {
    let text = r#"{ "a" : 1.0 }"#;
    let bytes = packed("[1.5,1]");
    let message = |data| Event::Message {
        room: Some("r"),
        from: "0-1-2",
        sender: None,
        offset: None,
        data: Some(data),
    };
    assert_eq!(json(text).bytes_max(Encoding::Json), text.len());
    assert_eq!(pack(&bytes).bytes_max(Encoding::Pack), bytes.len());
    for (dialect, expected) in [
        (
            Dialect::NativeJson,
            r#"{"type":"message","room":"r","from":"0-1-2","data":{ "a" : 1.0 }}"#,
        ),
        (
            Dialect::JsonRpc,
            r#"{"jsonrpc":"2.0","method":"message","params":{"room":"r","from":"0-1-2","data":{ "a" : 1.0 }}}"#,
        ),
    ] {
        let said = written(dialect, &message(json(text)));
        assert_eq!(str::from_utf8(&said), Ok(expected));
    }
    let said = written(Dialect::MessagePack, &message(pack(&bytes)));
    assert!(said.ends_with(&bytes));
}

/// Other events tell how long they are at most, too.
#[test]
fn no_event_is_longer_than_foretold() {
    use shardcast_protocol::dialect::{LossReason, Welcome, WelcomeSession};
    let controls = "\u{1}".repeat(50);
    let welcome = Welcome {
        connection: &controls,
        server: &controls,
        heartbeat_ms: u64::MAX,
        message_bytes_max: usize::MAX,
        session: Some(WelcomeSession {
            token: &controls,
            resume_ms: u64::MAX,
        }),
        rooms: &[&controls, ""],
        data: Some(json(r#"{"a":[-0,1]}"#)),
    };
    let closing = Event::Closing {
        reason: &controls,
        reconnect_ms: u64::MAX,
    };
    let missed = Event::Missed {
        room: Some(&controls),
        count: u64::MAX,
        reason: LossReason::TrimmedBySize,
    };
    for event in [Event::Welcome(welcome), closing, missed] {
        for dialect in Dialect::OWN {
            let said = written(dialect, &event);
            assert!(said.len() <= event.bytes_max(dialect.encoding()));
        }
    }
    let call = Event::Call {
        id: u64::MAX,
        method: &controls,
        params: Some(json("[1]")),
    };
    let said = written(Dialect::JsonRpc, &call);
    assert!(said.len() <= call.bytes_max(Encoding::Json));
}
