//! Every answer and event in every dialect, byte for byte; MessagePack through the oracle.

use crate::decoding::{json, pack, packed};
use shardcast_protocol::dialect::{
    Code, Counts, Dialect, Event, Id, Joined, LogPosition, LossReason, Member, MemberState, Places,
    Presence, Problem, Recovery, Reply, Resumed, ResumedRoom, Resumption, Status, Unencodable,
    Welcome, WelcomeSession,
};
use shardcast_protocol::json::Raw;

/// MessagePack is what the oracle makes of the native JSON.
fn check_all(fill: impl Fn(Dialect, &mut Vec<u8>), native: &str, rpc: &str) {
    for (dialect, expected) in [
        (Dialect::NativeJson, native.as_bytes()),
        (Dialect::JsonRpc, rpc.as_bytes()),
        (Dialect::MessagePack, &*packed(native)),
    ] {
        let mut out = b"before".to_vec();
        fill(dialect, &mut out);
        let written = out.strip_prefix(b"before").expect("only appended");
        assert_eq!(
            written.escape_ascii().to_string(),
            expected.escape_ascii().to_string(),
            "{dialect:?}"
        );
    }
}

/// `native` without type and id is the result, unless `rpc` says otherwise.
#[track_caller]
pub(crate) fn reply(reply: Reply<'_>, native: &str, rpc: &str) {
    let id = Id::from_json(Raw::parse("7").unwrap());
    check_all(
        |dialect, out| dialect.write_reply(out, id, &reply),
        native,
        rpc,
    );
    let without = |text: &str| text.replacen(r#","id":7"#, "", 1);
    let null = rpc.replacen(r#""id":7}"#, r#""id":null}"#, 1);
    check_all(
        |dialect, out| dialect.write_reply(out, None, &reply),
        &without(native),
        &null,
    );
}

#[track_caller]
pub(crate) fn event(event: Event<'_>, native: &str, rpc: &str) {
    check_all(
        |dialect, out| {
            let written = dialect.write_event(out, &event);
            assert!(out.len() - "before".len() <= event.bytes_hint());
            written.expect(native);
        },
        native,
        rpc,
    );
}

#[test]
fn answers() {
    let data = Some(json(r#"[1,"x",2.5,{"a":null}]"#));
    reply(
        Reply::Pong { data },
        r#"{"type":"pong","id":7,"data":[1,"x",2.5,{"a":null}]}"#,
        r#"{"jsonrpc":"2.0","result":{"data":[1,"x",2.5,{"a":null}]},"id":7}"#,
    );
    reply(
        Reply::Echo { data: None },
        r#"{"type":"echo","id":7}"#,
        r#"{"jsonrpc":"2.0","result":{},"id":7}"#,
    );
    let joined = |room, members| Joined {
        room,
        members,
        position: None,
        recovery: None,
    };
    reply(
        Reply::Joined(joined("r\"\n", 12)),
        r#"{"type":"joined","id":7,"room":"r\"\n","members":12}"#,
        r#"{"jsonrpc":"2.0","result":{"room":"r\"\n","members":12},"id":7}"#,
    );
    reply(
        Reply::JoinedRooms(&[joined("a", 1), joined("b", u32::MAX)]),
        r#"{"type":"joined","id":7,"rooms":[{"room":"a","members":1},{"room":"b","members":4294967295}]}"#,
        r#"{"jsonrpc":"2.0","result":{"rooms":[{"room":"a","members":1},{"room":"b","members":4294967295}]},"id":7}"#,
    );
    reply(
        Reply::Left { room: "r" },
        r#"{"type":"left","id":7,"room":"r"}"#,
        r#"{"jsonrpc":"2.0","result":{"room":"r"},"id":7}"#,
    );
    reply(
        Reply::LeftRooms(&["a", "é"]),
        r#"{"type":"left","id":7,"rooms":["a","é"]}"#,
        r#"{"jsonrpc":"2.0","result":{"rooms":["a","é"]},"id":7}"#,
    );
    reply(
        Reply::Ack,
        r#"{"type":"ack","id":7}"#,
        r#"{"jsonrpc":"2.0","result":{},"id":7}"#,
    );
    let many = vec!["room"; 20];
    let listed = format!("[{}]", vec!["\"room\""; 20].join(","));
    reply(
        Reply::Rooms(&many),
        &format!(r#"{{"type":"rooms","id":7,"rooms":{listed}}}"#),
        &format!(r#"{{"jsonrpc":"2.0","result":{{"rooms":{listed}}},"id":7}}"#),
    );
    reply(
        Reply::Result(data),
        r#"{"type":"result","id":7,"data":[1,"x",2.5,{"a":null}]}"#,
        r#"{"jsonrpc":"2.0","result":[1,"x",2.5,{"a":null}],"id":7}"#,
    );
    reply(
        Reply::Result(None),
        r#"{"type":"result","id":7,"data":null}"#,
        r#"{"jsonrpc":"2.0","result":null,"id":7}"#,
    );
}

#[test]
fn answers_with_counts() {
    let counts = Counts {
        delivered: 10,
        queued: 300,
        dropped: 70_000,
        conflated: 4,
        catching_up: 5,
        acknowledged: None,
    };
    reply(
        Reply::Published {
            places: Places::Nowhere,
            counts: Some(counts),
        },
        r#"{"type":"ack","id":7,"delivered":10,"queued":300,"dropped":70000,"conflated":4,"catching_up":5}"#,
        r#"{"jsonrpc":"2.0","result":{"delivered":10,"queued":300,"dropped":70000,"conflated":4,"catching_up":5},"id":7}"#,
    );
    let acknowledged = Counts {
        acknowledged: Some(6),
        ..counts
    };
    reply(
        Reply::Published {
            places: Places::Nowhere,
            counts: Some(acknowledged),
        },
        r#"{"type":"ack","id":7,"delivered":10,"queued":300,"dropped":70000,"conflated":4,"catching_up":5,"acknowledged":6}"#,
        r#"{"jsonrpc":"2.0","result":{"delivered":10,"queued":300,"dropped":70000,"conflated":4,"catching_up":5,"acknowledged":6},"id":7}"#,
    );
}

#[test]
fn answers_about_connections() {
    let status = Status {
        connection: "1-2-3",
        user: None,
        connected_ms: u64::MAX,
        shard: 1,
    };
    reply(
        Reply::Status { status, rooms: &[] },
        r#"{"type":"status","id":7,"connection":"1-2-3","user":null,"rooms":[],"connected_ms":18446744073709551615,"shard":1}"#,
        r#"{"jsonrpc":"2.0","result":{"connection":"1-2-3","user":null,"rooms":[],"connected_ms":18446744073709551615,"shard":1},"id":7}"#,
    );
    let members = [("0-1-2", Some("ann")), ("0-1-3", None)].map(|(connection, user)| Member {
        connection: Some(connection),
        user,
        data: None,
        state: MemberState::Here,
    });
    let presence = Presence {
        room: "r",
        total: 2000,
        cursor: None,
        members: &members,
    };
    reply(
        Reply::Presence(presence),
        r#"{"type":"presence","id":7,"room":"r","total":2000,"members":[{"connection":"0-1-2","user":"ann"},{"connection":"0-1-3","user":null}]}"#,
        r#"{"jsonrpc":"2.0","result":{"room":"r","total":2000,"members":[{"connection":"0-1-2","user":"ann"},{"connection":"0-1-3","user":null}]},"id":7}"#,
    );
}

#[test]
fn errors() {
    reply(
        Reply::Error(&Problem::new(Code::NotJoined, "not in \"r\"")),
        r#"{"type":"error","id":7,"code":"not_joined","message":"not in \"r\"","retryable":false}"#,
        r#"{"jsonrpc":"2.0","error":{"code":-32003,"message":"not in \"r\"","data":{"code":"not_joined","retryable":false}},"id":7}"#,
    );
    reply(
        Reply::Error(&Problem::rate_limited("slow down", 100)),
        r#"{"type":"error","id":7,"code":"rate_limited","message":"slow down","retryable":true,"retry_after_ms":100}"#,
        r#"{"jsonrpc":"2.0","error":{"code":-32005,"message":"slow down","data":{"code":"rate_limited","retryable":true,"retry_after_ms":100}},"id":7}"#,
    );
    reply(
        Reply::Error(&Problem::new(Code::InvalidData, "too cheap").at_field("data.price")),
        r#"{"type":"error","id":7,"code":"invalid_data","message":"too cheap","retryable":false,"field":"data.price"}"#,
        r#"{"jsonrpc":"2.0","error":{"code":-32602,"message":"too cheap","data":{"code":"invalid_data","retryable":false,"field":"data.price"}},"id":7}"#,
    );
}

#[test]
fn sessions() {
    let session = Some(WelcomeSession {
        token: "0-1f-3-00ff",
        resume_ms: 60_000,
    });
    event(
        Event::Welcome(Welcome {
            connection: "0-1f-3",
            server: "shardcast/0.1.0",
            heartbeat_ms: 25_000,
            message_bytes_max: 65_536,
            session,
            rooms: &[],
            data: None,
        }),
        r#"{"type":"welcome","connection":"0-1f-3","server":"shardcast/0.1.0","heartbeat_ms":25000,"max_message_bytes":65536,"resume":"0-1f-3-00ff","resume_ms":60000}"#,
        r#"{"jsonrpc":"2.0","method":"welcome","params":{"connection":"0-1f-3","server":"shardcast/0.1.0","heartbeat_ms":25000,"max_message_bytes":65536,"resume":"0-1f-3-00ff","resume_ms":60000}}"#,
    );
    let position = |epoch, offset| LogPosition { epoch, offset };
    let room = |room, outcome| ResumedRoom { room, outcome };
    let rooms = [
        room(
            "a",
            Resumption::Member {
                position: Some(position("k3", 44)),
                recovery: Recovery::Recovered,
            },
        ),
        room(
            "b",
            Resumption::Member {
                position: Some(position("m7", 1)),
                recovery: Recovery::Lost(LossReason::NoPosition),
            },
        ),
        room(
            "c",
            Resumption::Member {
                position: None,
                recovery: Recovery::Lost(LossReason::NoHistory),
            },
        ),
        room("d", Resumption::Refused(Code::RoomFull)),
    ];
    let keys = r#""connection":"0-1f-4","previous":"0-1f-3","user":"ann","rooms":[{"room":"a","epoch":"k3","offset":44,"recovered":true},{"room":"b","epoch":"m7","offset":1,"recovered":false,"reason":"no_position"},{"room":"c","recovered":false,"reason":"no_history"},{"room":"d","joined":false,"code":"room_full"}]"#;
    reply(
        Reply::Resumed(Resumed {
            connection: "0-1f-4",
            previous: "0-1f-3",
            user: Some("ann"),
            rooms: &rooms,
        }),
        &format!(r#"{{"type":"resumed","id":7,{keys}}}"#),
        &format!(r#"{{"jsonrpc":"2.0","result":{{{keys}}},"id":7}}"#),
    );
}

/// A welcome with no more than it always has.
const BARE: Welcome<'static> = Welcome {
    connection: "0-1f-3",
    server: "shardcast/0.1.0",
    heartbeat_ms: 25_000,
    message_bytes_max: 65_536,
    session: None,
    rooms: &[],
    data: None,
};

#[test]
fn welcome_with_rooms() {
    let welcome = Welcome {
        rooms: &["a", "b"],
        data: Some(json(r#"{"x":1}"#)),
        ..BARE
    };
    event(
        Event::Welcome(welcome),
        r#"{"type":"welcome","connection":"0-1f-3","server":"shardcast/0.1.0","heartbeat_ms":25000,"max_message_bytes":65536,"rooms":["a","b"],"data":{"x":1}}"#,
        r#"{"jsonrpc":"2.0","method":"welcome","params":{"connection":"0-1f-3","server":"shardcast/0.1.0","heartbeat_ms":25000,"max_message_bytes":65536,"rooms":["a","b"],"data":{"x":1}}}"#,
    );
}

#[test]
fn events() {
    event(
        Event::Welcome(BARE),
        r#"{"type":"welcome","connection":"0-1f-3","server":"shardcast/0.1.0","heartbeat_ms":25000,"max_message_bytes":65536}"#,
        r#"{"jsonrpc":"2.0","method":"welcome","params":{"connection":"0-1f-3","server":"shardcast/0.1.0","heartbeat_ms":25000,"max_message_bytes":65536}}"#,
    );
    event(
        Event::Message {
            room: Some("r"),
            from: "0-1-2",
            sender: None,
            offset: None,
            data: Some(json("[1]")),
        },
        r#"{"type":"message","room":"r","from":"0-1-2","data":[1]}"#,
        r#"{"jsonrpc":"2.0","method":"message","params":{"room":"r","from":"0-1-2","data":[1]}}"#,
    );
    event(
        Event::Message {
            room: None,
            from: "0-1-2",
            sender: None,
            offset: None,
            data: None,
        },
        r#"{"type":"message","from":"0-1-2","data":null}"#,
        r#"{"jsonrpc":"2.0","method":"message","params":{"from":"0-1-2","data":null}}"#,
    );
    event(
        Event::Event {
            event: "price",
            room: Some("r"),
            offset: None,
            data: Some(json(r#"{"eur":1.5}"#)),
        },
        r#"{"type":"event","event":"price","room":"r","data":{"eur":1.5}}"#,
        r#"{"jsonrpc":"2.0","method":"event","params":{"event":"price","room":"r","data":{"eur":1.5}}}"#,
    );
    event(
        Event::Event {
            event: "tick",
            room: None,
            offset: None,
            data: None,
        },
        r#"{"type":"event","event":"tick","data":null}"#,
        r#"{"jsonrpc":"2.0","method":"event","params":{"event":"tick","data":null}}"#,
    );
    event(
        Event::Closing {
            reason: "draining",
            reconnect_ms: 1234,
        },
        r#"{"type":"closing","reason":"draining","reconnect_ms":1234}"#,
        r#"{"jsonrpc":"2.0","method":"closing","params":{"reason":"draining","reconnect_ms":1234}}"#,
    );
    event(
        Event::Expiring { in_ms: 30_000 },
        r#"{"type":"expiring","in_ms":30000}"#,
        r#"{"jsonrpc":"2.0","method":"expiring","params":{"in_ms":30000}}"#,
    );
}

#[test]
fn calls_are_for_json_rpc_only() {
    let call = |params| Event::Call {
        id: 9,
        method: "x",
        params,
    };
    for (params, expected) in [
        (None, Ok(r#"{"jsonrpc":"2.0","method":"x","id":"s9"}"#)),
        (
            Some("[1]"),
            Ok(r#"{"jsonrpc":"2.0","method":"x","params":[1],"id":"s9"}"#),
        ),
        (
            Some(r#"{"a":1}"#),
            Ok(r#"{"jsonrpc":"2.0","method":"x","params":{"a":1},"id":"s9"}"#),
        ),
        (Some("1"), Err(Unencodable::Params)),
        (Some("null"), Err(Unencodable::Params)),
    ] {
        let mut out = Vec::new();
        let written = Dialect::JsonRpc.write_event(&mut out, &call(params.map(json)));
        let written = written.map(|()| str::from_utf8(&out).unwrap());
        assert_eq!(written, expected);
    }
    for dialect in [Dialect::NativeJson, Dialect::MessagePack] {
        let mut out = b"before".to_vec();
        let written = dialect.write_event(&mut out, &call(None));
        assert_eq!(
            (written, &*out),
            (Err(Unencodable::Message), &b"before"[..])
        );
    }
}

#[test]
fn values_of_the_other_encoding_are_translated() {
    let bytes = packed(r#"{"a":[1,-1,"x"]}"#);
    let data = Some(pack(&bytes));
    reply(
        Reply::Result(data),
        r#"{"type":"result","id":7,"data":{"a":[1,-1,"x"]}}"#,
        r#"{"jsonrpc":"2.0","result":{"a":[1,-1,"x"]},"id":7}"#,
    );
}
