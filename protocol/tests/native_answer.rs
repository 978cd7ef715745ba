//! The native dialect's answers, byte for byte.

use serde_json::Value;
use shardcast_protocol::native::answer::{self, Counts, Status, Welcome};
use shardcast_protocol::native::{Code, Problem, Raw};

fn check(fill: impl FnOnce(&mut Vec<u8>), expected: &str) {
    let mut out = b"before".to_vec();
    fill(&mut out);
    let text = std::str::from_utf8(out.strip_prefix(b"before").expect("only appended")).unwrap();
    assert_eq!(text, expected);
    serde_json::from_str::<Value>(text).expect(expected);
}

fn raw(text: &str) -> Option<Raw<'_>> {
    Some(Raw::parse(text).expect(text))
}

#[test]
fn about_the_connection() {
    let welcome = Welcome {
        connection: "0-1f-3",
        server: "shardcast/0.1.0",
        heartbeat_ms: 25_000,
        message_bytes_max: 65_536,
    };
    check(
        |out| answer::welcome(out, &welcome),
        r#"{"type":"welcome","connection":"0-1f-3","server":"shardcast/0.1.0","heartbeat_ms":25000,"max_message_bytes":65536}"#,
    );
    let status = Status {
        connection: "1-2-3",
        user: None,
        connected_ms: 0,
        shard: 1,
    };
    check(
        |out| answer::status(out, raw("1"), &status, ["a", "b"].into_iter()),
        r#"{"type":"status","id":1,"connection":"1-2-3","user":null,"rooms":["a","b"],"connected_ms":0,"shard":1}"#,
    );
    let status = Status {
        connection: "1-2-3",
        user: Some("a\"b"),
        connected_ms: u64::MAX,
        shard: u16::MAX,
    };
    check(
        |out| answer::status(out, None, &status, [].into_iter()),
        r#"{"type":"status","connection":"1-2-3","user":"a\"b","rooms":[],"connected_ms":18446744073709551615,"shard":65535}"#,
    );
    check(
        |out| answer::closing(out, "draining", 1234),
        r#"{"type":"closing","reason":"draining","reconnect_ms":1234}"#,
    );
}

#[test]
fn to_pings() {
    check(|out| answer::pong(out, None, None), r#"{"type":"pong"}"#);
    check(
        |out| answer::pong(out, raw("1.0"), None),
        r#"{"type":"pong","id":1.0}"#,
    );
    check(
        |out| answer::pong(out, raw(r#""\u0041""#), raw("[ 1 ]")),
        r#"{"type":"pong","id":"\u0041","data":[ 1 ]}"#,
    );
    check(
        |out| answer::echo(out, raw("7"), raw("null")),
        r#"{"type":"echo","id":7,"data":null}"#,
    );
    check(|out| answer::echo(out, None, None), r#"{"type":"echo"}"#);
}

#[test]
fn about_rooms() {
    check(
        |out| answer::joined(out, raw("1"), "r\"\n", 12),
        r#"{"type":"joined","id":1,"room":"r\"\n","members":12}"#,
    );
    check(
        |out| answer::joined_rooms(out, raw("1"), [("a", 1), ("é", 4_294_967_295)].into_iter()),
        r#"{"type":"joined","id":1,"rooms":[{"room":"a","members":1},{"room":"é","members":4294967295}]}"#,
    );
    check(
        |out| answer::left(out, None, "r"),
        r#"{"type":"left","room":"r"}"#,
    );
    check(
        |out| answer::left_rooms(out, raw("2"), ["a", "\\"].into_iter()),
        r#"{"type":"left","id":2,"rooms":["a","\\"]}"#,
    );
    check(
        |out| answer::rooms(out, raw("2"), [].into_iter()),
        r#"{"type":"rooms","id":2,"rooms":[]}"#,
    );
    check(
        |out| answer::rooms(out, None, ["a"].into_iter()),
        r#"{"type":"rooms","rooms":["a"]}"#,
    );
}

#[test]
fn about_broadcasts() {
    check(|out| answer::ack(out, raw("1")), r#"{"type":"ack","id":1}"#);
    let counts = Counts {
        delivered: 10,
        queued: 2,
        dropped: 0,
    };
    check(
        |out| answer::ack_report(out, raw("1"), counts),
        r#"{"type":"ack","id":1,"delivered":10,"queued":2,"dropped":0}"#,
    );
    check(
        |out| answer::ack_report(out, None, counts),
        r#"{"type":"ack","delivered":10,"queued":2,"dropped":0}"#,
    );
    check(
        |out| answer::message(out, Some("r"), "0-1-2", raw(r#"{ "a":1.0 }"#)),
        r#"{"type":"message","room":"r","from":"0-1-2","data":{ "a":1.0 }}"#,
    );
    check(
        |out| answer::message(out, None, "0-1-2", None),
        r#"{"type":"message","from":"0-1-2","data":null}"#,
    );
}

#[test]
fn a_message_has_the_announced_size() {
    for room in [None, Some(""), Some("room"), Some("\"é\\\n\0")] {
        for data in [None, raw("[1,2,3]"), raw("\"é\"")] {
            let mut out = Vec::new();
            answer::message(&mut out, room, "0-1-2", data);
            assert_eq!(
                answer::message_bytes(room, "0-1-2", data),
                out.len(),
                "{room:?} {data:?}"
            );
        }
    }
}

#[test]
fn refusals() {
    check(
        |out| {
            answer::error(
                out,
                raw("1"),
                &Problem::new(Code::NotJoined, "not in \"r\""),
            );
        },
        r#"{"type":"error","id":1,"code":"not_joined","message":"not in \"r\"","retryable":false}"#,
    );
    check(
        |out| answer::error(out, None, &Problem::rate_limited("slow down", 100)),
        r#"{"type":"error","code":"rate_limited","message":"slow down","retryable":true,"retry_after_ms":100}"#,
    );
}

#[test]
fn codes() {
    let table: Vec<(&str, bool)> = Code::ALL
        .iter()
        .map(|code| (code.as_str(), code.is_retryable()))
        .collect();
    assert_eq!(
        table,
        [
            ("bad_json", false),
            ("bad_request", false),
            ("unknown_type", false),
            ("unauthorized", false),
            ("forbidden", false),
            ("not_joined", false),
            ("too_large", false),
            ("rate_limited", true),
            ("timeout", true),
            ("handler_failed", false),
            ("room_limit", false),
            ("unavailable", true),
            ("unknown_namespace", false),
            ("room_full", true),
            ("invalid_data", false),
        ]
    );
}
