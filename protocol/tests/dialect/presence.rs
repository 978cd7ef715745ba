//! What clients show of themselves and are told of others, in every dialect: the key of a join, the
//! request for a page, its answer, and the events.

use crate::decoding::{check, json, pack, packed};
use crate::written::{event, reply};
use shardcast_protocol::dialect::{
    Dialect, Encoding, Event, Member, MemberState, PRESENCE_BYTES_MAX, Presence, PresenceChange,
    Reply,
};

/// The keys of a request, and what is read of them in every dialect.
#[track_caller]
fn one(kind: &str, keys: &str, expected: &str) {
    let native = format!(r#"{{"type":"{kind}","id":1,{keys}}}"#);
    let rpc = format!(r#"{{"jsonrpc":"2.0","method":"{kind}","id":1,"params":{{{keys}}}}}"#);
    check(Dialect::NativeJson, native.as_bytes(), &[expected]);
    check(Dialect::MessagePack, &packed(&native), &[expected]);
    check(Dialect::JsonRpc, rpc.as_bytes(), &[expected]);
}

#[test]
fn joins_say_what_is_shown() {
    for (keys, expected) in [
        (
            r#""room":"r","presence":{"name":"Ann","tags":[1,null]}"#,
            r#"join_room id=1 room="r" presence={"name":"Ann","tags":[1,null]}"#,
        ),
        (
            r#""presence":false,"rooms":["a","b"]"#,
            r#"join_room id=1 rooms=["a", "b"] presence=false"#,
        ),
        (
            r#""room":"r","presence":"","since":{"offset":1}"#,
            r#"join_room id=1 room="r" presence="" since=""/1"#,
        ),
        // Nothing is shown.
        (
            r#""room":"r","presence":null"#,
            r#"join_room id=1 room="r""#,
        ),
        (
            r#""room":"r","presence":1,"presence":1"#,
            "bad_request -32602 id=1: duplicate key",
        ),
    ] {
        one("join_room", keys, expected);
    }
    // Elsewhere the key means nothing, whatever it is.
    let long = format!(r#""room":"r","presence":"{}""#, "x".repeat(2_000));
    one("leave_room", &long, r#"leave_room id=1 room="r""#);
}

/// The bound is on what was sent, in the encoding in which it was.
#[test]
fn what_is_shown_is_short() {
    let refused = "bad_request -32602 id=1: presence must be a value of at most 1024 bytes";
    let native =
        |text: &str| format!(r#"{{"type":"join_room","id":1,"room":"r","presence":"{text}"}}"#);
    let taken = |text: &str| format!(r#"join_room id=1 room="r" presence="{text}""#);
    // Quotes in JSON, a head of three bytes in MessagePack.
    for (bytes_over, dialect) in [
        (2, Dialect::NativeJson),
        (2, Dialect::JsonRpc),
        (3, Dialect::MessagePack),
    ] {
        let fitting = "x".repeat(PRESENCE_BYTES_MAX - bytes_over);
        let longer = "x".repeat(PRESENCE_BYTES_MAX - bytes_over + 1);
        let said = |text: &str| {
            match dialect {
                Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => unreachable!("it speaks another"),
            Dialect::NativeJson => native(text).into_bytes(),
            Dialect::MessagePack => packed(&native(text)),
            Dialect::JsonRpc => format!(
                r#"{{"jsonrpc":"2.0","method":"join_room","id":1,"params":{{"room":"r","presence":"{text}"}}}}"#
            )
            .into_bytes(),
        }
        };
        check(dialect, &said(&fitting), &[&taken(&fitting)]);
        check(dialect, &said(&longer), &[refused]);
    }
}

#[test]
fn pages_are_asked_for() {
    for (keys, expected) in [
        (
            r#""room":"r","limit":3,"cursor":"uann""#,
            r#"presence id=1 room="r" limit=3 cursor="uann""#,
        ),
        (
            r#""room":"r","cursor":"","limit":null"#,
            r#"presence id=1 room="r" cursor="""#,
        ),
        (r#""room":"r","cursor":null"#, r#"presence id=1 room="r""#),
        (
            r#""room":"r","cursor":7"#,
            "bad_request -32602 id=1: cursor must be a string",
        ),
        (
            r#""cursor":"uann""#,
            "bad_request -32602 id=1: room is missing",
        ),
    ] {
        one("presence", keys, expected);
    }
    one("rooms", r#""cursor":7"#, "rooms id=1");
}

#[test]
fn pages() {
    let member = |connection, user| Member {
        connection,
        user,
        data: None,
        state: MemberState::Here,
    };
    let members = [
        Member {
            data: Some(json(r#"{"name":"Ann"}"#)),
            ..member(Some("0-1-2"), Some("ann"))
        },
        Member {
            state: MemberState::Away,
            ..member(None, Some("bob"))
        },
        Member {
            data: Some(json("false")),
            state: MemberState::Away,
            ..member(Some("0-1-3"), None)
        },
    ];
    let listed = concat!(
        r#"[{"connection":"0-1-2","user":"ann","data":{"name":"Ann"}},{"user":"bob","away":true},"#,
        r#"{"connection":"0-1-3","user":null,"data":false,"away":true}]"#
    );
    for (cursor, key) in [(None, ""), (Some("c0-1-3"), r#""cursor":"c0-1-3","#)] {
        let presence = Presence {
            room: "r",
            total: 10,
            cursor,
            members: &members,
        };
        reply(
            Reply::Presence(presence),
            &format!(
                r#"{{"type":"presence","id":7,"room":"r","total":10,{key}"members":{listed}}}"#
            ),
            &format!(
                r#"{{"jsonrpc":"2.0","result":{{"room":"r","total":10,{key}"members":{listed}}},"id":7}}"#
            ),
        );
    }
}

#[test]
fn events() {
    let data = Some(json(r#"{"name":"Ann"}"#));
    for (change, connection, was, user, data, keys) in [
        (
            PresenceChange::Join,
            Some("0-1-2"),
            None,
            Some("ann"),
            data,
            r#""event":"join","connection":"0-1-2","user":"ann","data":{"name":"Ann"}"#,
        ),
        (
            PresenceChange::Leave,
            Some("0-1-2"),
            None,
            None,
            None,
            r#""event":"leave","connection":"0-1-2","user":null"#,
        ),
        (
            PresenceChange::Away,
            None,
            None,
            Some("ann"),
            data,
            r#""event":"away","user":"ann","data":{"name":"Ann"}"#,
        ),
        (
            PresenceChange::Back,
            None,
            None,
            Some("ann"),
            None,
            r#""event":"back","user":"ann""#,
        ),
        (
            PresenceChange::Back,
            Some("0-1-3"),
            Some("0-1-2"),
            None,
            None,
            r#""event":"back","connection":"0-1-3","was":"0-1-2","user":null"#,
        ),
    ] {
        event(
            Event::Presence {
                room: "r",
                change,
                connection,
                was,
                user,
                data,
            },
            &format!(r#"{{"type":"presence","room":"r",{keys}}}"#),
            &format!(r#"{{"jsonrpc":"2.0","method":"presence","params":{{"room":"r",{keys}}}}}"#),
        );
    }
    event(
        Event::PresenceCount {
            room: "r",
            members: u32::MAX,
        },
        r#"{"type":"presence","room":"r","event":"count","members":4294967295}"#,
        r#"{"jsonrpc":"2.0","method":"presence","params":{"room":"r","event":"count","members":4294967295}}"#,
    );
}

/// Pages are cut by these bounds.
#[test]
fn no_member_and_no_event_is_longer_than_foretold() {
    let controls = "\u{1}".repeat(50);
    let wide = [0xc7, 0, 5];
    for data in [None, Some(json("[1.5,-0,1e9]")), Some(pack(&wide))] {
        let member = Member {
            connection: Some(&controls),
            user: Some(&controls),
            data,
            state: MemberState::Away,
        };
        let count = Event::PresenceCount {
            room: &controls,
            members: u32::MAX,
        };
        let change = Event::Presence {
            room: &controls,
            change: PresenceChange::Leave,
            connection: Some(&controls),
            was: Some(&controls),
            user: Some(&controls),
            data,
        };
        for dialect in Dialect::OWN {
            let page = |members: &[Member<'_>]| {
                let mut out = Vec::new();
                let presence = Presence {
                    room: "r",
                    total: 1,
                    cursor: None,
                    members,
                };
                dialect.write_reply(&mut out, None, &Reply::Presence(presence));
                out.len()
            };
            let added = page(&[member; 3]) - page(&[member; 2]);
            assert!(added <= member.bytes_max(dialect.encoding()), "{dialect:?}");
            for event in [count, change] {
                let mut out = Vec::new();
                dialect.write_event(&mut out, &event).expect("all say it");
                assert!(out.len() <= event.bytes_max(dialect.encoding()));
            }
        }
        let alone = Member {
            connection: None,
            user: None,
            ..member
        };
        assert!(
            alone.bytes_max(Encoding::Json) > alone.data.map_or(0, |data| data.as_bytes().len())
        );
    }
}
