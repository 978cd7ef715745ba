//! The native dialect's requests, key by key: what is read, what is refused, and what a refusal says.

use shardcast_protocol::native::{Code, Envelope, Raw, is_room_name};
use std::borrow::Cow;

fn parsed(text: &str) -> Envelope<'_> {
    Envelope::parse(text).unwrap_or_else(|refused| panic!("{text}: {refused:?}"))
}

fn check_refused(text: &str, id: Option<&str>, code: Code, message: &str) {
    let refused = Envelope::parse(text).expect_err(text);
    assert_eq!(refused.id.map(Raw::as_str), id, "{text}");
    assert_eq!(
        (refused.problem.code, &*refused.problem.message),
        (code, message),
        "{text}"
    );
    assert_eq!(refused.problem.retry_after_ms, None, "{text}");
}

#[test]
fn a_request_in_full() {
    let envelope = parsed(
        r#" { "type" : "broadcast" , "id" : -1.50E2 , "room":"r", "rooms" : [ "a" ,"b","a"], "user":"u",
            "data" : { "x" : [ 1 , 2.0 ] } , "echo":false,"report":true, "else":{"type":1} } "#,
    );
    assert_eq!(envelope.kind, "broadcast");
    assert_eq!(envelope.id.map(Raw::as_str), Some("-1.50E2"));
    assert_eq!(envelope.room.as_deref(), Some("r"));
    let rooms = envelope.rooms.unwrap();
    assert_eq!(
        (rooms.count(), rooms.names().collect::<Vec<_>>()),
        (3, vec!["a".into(), "b".into(), "a".into()])
    );
    assert_eq!(envelope.user.as_deref(), Some("u"));
    assert_eq!(
        envelope.data.map(Raw::as_str),
        Some(r#"{ "x" : [ 1 , 2.0 ] }"#)
    );
    assert!(envelope.echo == Some(false) && envelope.report);
}

#[test]
fn only_the_type_is_required() {
    let envelope = parsed(r#"{"type":"ping"}"#);
    assert_eq!(envelope.kind, "ping");
    assert_eq!(
        (envelope.id, envelope.room, envelope.rooms),
        (None, None, None)
    );
    assert_eq!(
        (envelope.user, envelope.data, envelope.echo, envelope.report),
        (None, None, None, false)
    );
}

#[test]
fn nothing_is_copied_unless_it_is_escaped() {
    let envelope = parsed(r#"{"type":"join_room","room":"plain é","user":"es\u0063aped"}"#);
    assert!(matches!(envelope.kind, Cow::Borrowed("join_room")));
    assert!(matches!(envelope.room, Some(Cow::Borrowed("plain é"))));
    assert_eq!(envelope.user, Some(Cow::Owned("escaped".into())));
    let rooms = parsed(r#"{"type":"x","rooms":["a\"b","\\","[,]"]}"#)
        .rooms
        .unwrap();
    assert_eq!(rooms.names().collect::<Vec<_>>(), ["a\"b", "\\", "[,]"]);
}

#[test]
fn data_and_id_stay_as_they_were_sent() {
    for data in [
        "null",
        "0",
        "-0.0",
        "1.0",
        "1e2",
        "12345678901234567890123",
        r#""a\u0062\/""#,
        "\"é\u{2028}\"",
        "[ ]",
        "{ \"b\":1, \"a\" : 1, \"b\":2 }",
        "[\n1 ,\t2]",
    ] {
        let text = format!("{{\"type\":\"echo\",\"id\":\"\\u0041 \\/\",\"data\": {data} }}");
        let envelope = parsed(&text);
        assert_eq!(envelope.data.map(Raw::as_str), Some(data));
        assert_eq!(envelope.id.map(Raw::as_str), Some(r#""\u0041 \/""#));
        assert_eq!(envelope.data.unwrap().to_boxed().as_raw().as_str(), data);
    }
}

#[test]
fn refusals() {
    use Code::{BadJson, BadRequest};
    let one = Some("1");
    for (text, id, code, message) in [
        (
            "",
            None,
            BadJson,
            "not valid JSON at byte 0, where the text ends",
        ),
        ("hello", None, BadJson, "not valid JSON at byte 0"),
        (
            r#"{"id":1,"type":"ping""#,
            None,
            BadJson,
            "not valid JSON at byte 21, where the text ends",
        ),
        (
            r#"{"id":1,"type":"ping"} x"#,
            None,
            BadJson,
            "not valid JSON at byte 23",
        ),
        (
            r#"{"id":1,"type":7,"data":01}"#,
            None,
            BadJson,
            "not valid JSON at byte 25",
        ),
        ("[]", None, BadRequest, "a message is one JSON object"),
        (
            r#""ping""#,
            None,
            BadRequest,
            "a message is one JSON object",
        ),
        ("{}", None, BadRequest, "type is missing"),
        (r#"{"id":1}"#, one, BadRequest, "type is missing"),
        (
            r#"{"id":1,"type":null}"#,
            one,
            BadRequest,
            "type is missing",
        ),
        (
            r#"{"id":1,"type":["ping"]}"#,
            one,
            BadRequest,
            "type must be a string",
        ),
        (
            r#"{"id":true,"type":"ping"}"#,
            None,
            BadRequest,
            "id must be a string or a number",
        ),
        (
            r#"{"id":[1],"type":"ping"}"#,
            None,
            BadRequest,
            "id must be a string or a number",
        ),
        (
            r#"{"id":{},"type":"ping"}"#,
            None,
            BadRequest,
            "id must be a string or a number",
        ),
        (
            r#"{"type":"ping","room":null,"room":"r","id":1}"#,
            one,
            BadRequest,
            "duplicate key",
        ),
        (
            r#"{"type":"ping","room":1,"id":1}"#,
            one,
            BadRequest,
            "room must be a string",
        ),
        (
            r#"{"type":"ping","user":{},"id":1}"#,
            one,
            BadRequest,
            "user must be a string",
        ),
        (
            r#"{"type":"ping","rooms":"a","id":1}"#,
            one,
            BadRequest,
            "rooms must be an array of strings",
        ),
        (
            r#"{"type":"ping","rooms":{},"id":1}"#,
            one,
            BadRequest,
            "rooms must be an array of strings",
        ),
        (
            r#"{"type":"ping","rooms":["a",["b"]],"id":1}"#,
            one,
            BadRequest,
            "rooms must be an array of strings",
        ),
        (
            r#"{"type":"ping","rooms":["a",1],"id":1}"#,
            one,
            BadRequest,
            "rooms must be an array of strings",
        ),
        (
            r#"{"type":"ping","rooms":[ ],"id":1}"#,
            one,
            BadRequest,
            "rooms must not be empty",
        ),
        (
            r#"{"type":"ping","echo":"false","id":1}"#,
            one,
            BadRequest,
            "echo must be true or false",
        ),
        (
            r#"{"type":"ping","report":1,"id":1}"#,
            one,
            BadRequest,
            "report must be true or false",
        ),
        (
            r#"{"type":"ping","type":"ping","id":1}"#,
            one,
            BadRequest,
            "duplicate key",
        ),
        (
            r#"{"type":"ping","id":1,"room":"a","ro\u006fm":"b"}"#,
            one,
            BadRequest,
            "duplicate key",
        ),
        (
            r#"{"type":"ping","id":1,"data":1,"data":1}"#,
            one,
            BadRequest,
            "duplicate key",
        ),
    ] {
        check_refused(text, id, code, message);
    }
}

#[test]
fn unknown_keys_are_ignored_even_twice() {
    let envelope = parsed(r#"{"a":1,"a":{"type":2},"Type":3,"type ":4,"type":"ping","":5}"#);
    assert_eq!(envelope.kind, "ping");
}

#[test]
fn room_names() {
    for (name, valid) in [
        ("", false),
        ("a", true),
        ("12345678", true),
        ("123456789", false),
        ("ééé", true),
        ("ééééé", false),
        ("a b/\"\\", true),
        ("a\0", false),
        ("a\n", false),
        ("\u{1f}", false),
        ("\u{7f}", false),
        ("\u{9f}", false),
        ("\u{a0}", true),
        ("\u{2028}", true),
    ] {
        assert_eq!(is_room_name(name, 8), valid, "{name:?}");
    }
}
