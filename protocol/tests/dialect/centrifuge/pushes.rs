//! What is written without being asked for.

use super::{both, bytes, json, message, number};
use shardcast_protocol::dialect::{Dialect, Event, LossReason, PresenceChange, Value};
use std::num::NonZeroU32;

#[track_caller]
fn check_push(event: &Event<'_>, line: &str, fields: &[Vec<u8>]) {
    let (text, protobuf) = both(|dialect, out| {
        dialect
            .write_event(out, event)
            .expect("there is a push for it");
    });
    assert_eq!(text, format!(r#"{{"push":{{{line}}}}}"#));
    assert_eq!(protobuf, message(&[bytes(4, &fields.concat())]));
    for dialect in [Dialect::CentrifugeJson, Dialect::CentrifugeProtobuf] {
        assert!(dialect.has(event));
    }
}

#[test]
fn pushes() {
    let (room, data) = (Some("c"), Some(json("\"x\"")));
    check_push(
        &Event::Message {
            room,
            from: "0-1-2",
            sender: None,
            offset: Some(4),
            data,
        },
        r#""channel":"c","pub":{"info":{"client":"0-1-2"},"offset":4,"data":"x"}"#,
        &[
            bytes(2, b"c"),
            bytes(
                4,
                &[
                    bytes(5, &bytes(2, b"0-1-2")),
                    number(6, 4),
                    bytes(4, br#""x""#),
                ]
                .concat(),
            ),
        ],
    );
    check_push(
        &Event::Event {
            event: "tick",
            room,
            offset: None,
            data: Some(Value::Bytes(&[1, 2, 255])),
        },
        r#""channel":"c","pub":{"tags":{"event":"tick"},"data":"AQL/"}"#,
        &[
            bytes(2, b"c"),
            bytes(
                4,
                &[
                    bytes(7, &[bytes(1, b"event"), bytes(2, b"tick")].concat()),
                    bytes(4, &[1, 2, 255]),
                ]
                .concat(),
            ),
        ],
    );
    check_push(
        &Event::Message {
            room: None,
            from: "0-1-2",
            sender: None,
            offset: None,
            data: None,
        },
        r#""message":{"data":null}"#,
        &[bytes(8, &bytes(1, b"null"))],
    );
}

#[test]
fn pushes_about_the_connection() {
    check_push(
        &Event::Prolonged {
            left_s: NonZeroU32::new(90),
        },
        r#""refresh":{"expires":true,"ttl":90}"#,
        &[bytes(12, &[number(1, 1), number(2, 90)].concat())],
    );
    let for_good = Event::Prolonged { left_s: None };
    check_push(&for_good, r#""refresh":{}"#, &[bytes(12, b"")]);
    for native in [Dialect::NativeJson, Dialect::MessagePack, Dialect::JsonRpc] {
        assert!(!native.has(&for_good));
    }
}

#[test]
fn pushes_about_members_and_losses() {
    let data = Some(json("\"x\""));
    for (change, name, tag) in [
        (PresenceChange::Join, "join", 5),
        (PresenceChange::Leave, "leave", 6),
    ] {
        check_push(
            &Event::Presence {
                room: "c",
                change,
                connection: Some("0-1-2"),
                was: None,
                user: Some("ann"),
                data,
            },
            &format!(
                r#""channel":"c","{name}":{{"info":{{"user":"ann","client":"0-1-2","chan_info":"x"}}}}"#
            ),
            &[
                bytes(2, b"c"),
                bytes(
                    tag,
                    &bytes(
                        1,
                        &[bytes(1, b"ann"), bytes(2, b"0-1-2"), bytes(4, br#""x""#)].concat(),
                    ),
                ),
            ],
        );
    }
    let code = vec![2 << 3, 0xc4, 0x13];
    check_push(
        &Event::Missed {
            room: Some("c"),
            count: 3,
            reason: LossReason::TrimmedByAge,
        },
        r#""channel":"c","unsubscribe":{"code":2500,"reason":"insufficient state"}"#,
        &[
            bytes(2, b"c"),
            bytes(7, &[code, bytes(3, b"insufficient state")].concat()),
        ],
    );
}

#[test]
fn what_the_protocol_has_no_word_for_is_not_said() {
    let presence = |change| Event::Presence {
        room: "c",
        change,
        connection: None,
        was: None,
        user: Some("ann"),
        data: None,
    };
    for event in [
        presence(PresenceChange::Away),
        presence(PresenceChange::Back),
        Event::PresenceCount {
            room: "c",
            members: 9,
        },
        Event::Closing {
            reason: "draining",
            reconnect_ms: 1,
        },
        Event::Missed {
            room: Some("c"),
            count: 1,
            reason: LossReason::Conflated,
        },
        Event::Call {
            id: 1,
            method: "m",
            params: None,
        },
    ] {
        for dialect in [Dialect::CentrifugeJson, Dialect::CentrifugeProtobuf] {
            let mut out = Vec::new();
            assert!(dialect.write_event(&mut out, &event).is_err(), "{event:?}");
            assert!(out.is_empty() && !dialect.has(&event));
        }
    }
}
