//! Native JSON, request by request: what is read, what is refused, and what a refusal says. What is
//! valid at all: `native_validity`.

use crate::decoding::{self, check, lines};
use shardcast_protocol::dialect::{
    Code, Decoded, Dialect, Item, Join, Method, Payload, PublishTarget, Request, Rooms, Rules,
};
use std::borrow::Cow;

#[test]
fn commands() {
    for (message, expected) in [
        (r#"{"type":"ping"}"#, "ping (unless done)"),
        (
            r#"{"type":"broadcast","id":-1.50E2,"rooms":["a","\u0062"],"data":{ "x" : 1.0 },"echo":false,"report":true}"#,
            r#"broadcast id=-1.50E2 rooms=["a", "b"] data={ "x" : 1.0 } echo=false report=true"#,
        ),
        (
            r#"{"type":"presence","id":"\u0041","room":"r","limit":4294967295,"echo":true}"#,
            r#"presence id="\u0041" room="r" limit=4294967295"#,
        ),
        (
            r#"{"type":"presence","id":1.5,"room":"r","limit":1e1}"#,
            r#"presence id=1.5 room="r" limit=10"#,
        ),
        (
            r#"{"type":"presence","id":1,"limit":-0.0}"#,
            "bad_request -32602 id=1: limit must be a whole number below 4294967296",
        ),
        // An optional key that is null is absent; data is null.
        (
            r#"{"type":"x","id":null,"room":null,"rooms":null,"user":null,"data":null,"echo":null,"report":null,"limit":null}"#,
            "x data=null (unless done)",
        ),
        (
            r#"{"type":"presence","id":1,"limit":4294967296}"#,
            "bad_request -32602 id=1: limit must be a whole number below 4294967296",
        ),
        (
            r#"{"type":"presence","id":1,"limit":-1}"#,
            "bad_request -32602 id=1: limit must be a whole number below 4294967296",
        ),
        (
            r#"{"type":"presence","limit":1,"id":1,"limit":1}"#,
            "bad_request -32602 id=1: duplicate key",
        ),
        ("[]", "bad_request -32602: a message is one JSON object"),
        (
            "{",
            "bad_json -32700: not valid JSON at byte 1, where the text ends",
        ),
    ] {
        check(Dialect::NativeJson, message.as_bytes(), &[expected]);
    }
}

/// Of whatever type: what is no `traceparent` is none.
#[test]
fn what_is_no_traceparent_is_taken_as_none() {
    for none in ["5", "[]", "{}", "true", "null", r#""00-ab""#] {
        let message = format!(r#"{{"type":"broadcast","room":"r","data":1,"traceparent":{none}}}"#);
        check(
            Dialect::NativeJson,
            message.as_bytes(),
            &[r#"broadcast room="r" data=1 (unless done)"#],
        );
    }
}

#[test]
fn a_message_of_the_wrong_kind_is_refused() {
    for (dialect, payload, expected) in [
        (
            Dialect::NativeJson,
            Payload::Binary(b"{}"),
            "bad_request -32602: binary messages are not understood: send text",
        ),
        (
            Dialect::JsonRpc,
            Payload::Binary(b"{}"),
            "bad_request -32600: binary messages are not understood: send text",
        ),
        (
            Dialect::MessagePack,
            Payload::Text("{}"),
            "bad_request -32602: text messages are not understood: send binary",
        ),
    ] {
        assert_eq!(lines(&dialect.read(payload, &Rules::default())), [expected]);
    }
}

#[test]
fn nesting_is_limited_by_the_rules() {
    for depth_max in [1, 2, 5, 127] {
        let rules = Rules::new(depth_max).unwrap();
        assert_eq!(rules.depth_max(), depth_max);
        for inner in [depth_max - 2.min(depth_max), depth_max - 1, depth_max] {
            let inner = inner as usize;
            let data = format!("{}1{}", "[".repeat(inner), "]".repeat(inner));
            let native = format!(r#"{{"type":"echo","data":{data}}}"#);
            let pack = [b"\x82\xa4type\xa4echo\xa4data", &*vec![0x91; inner], &[1]].concat();
            let rpc = format!(r#"{{"jsonrpc":"2.0","method":"x","id":1,"x":{data}}}"#);
            // What a native dialect says can be said in JSON-RPC, which is one container deeper.
            let native_max = (depth_max as usize).min(126);
            for (dialect, message, depth_max) in [
                (Dialect::NativeJson, native.as_bytes(), native_max),
                (Dialect::JsonRpc, rpc.as_bytes(), depth_max as usize),
                (Dialect::MessagePack, &pack, native_max),
            ] {
                let lines = lines(&decoding::read(dialect, message, &rules));
                assert_eq!(
                    !lines[0].contains("too deeply"),
                    inner < depth_max,
                    "{depth_max} {lines:?}"
                );
            }
        }
    }
    // In a batch, the array counts.
    let batch = r#"[{"jsonrpc":"2.0","method":"x","id":1}]"#;
    for (depth_max, first) in [
        (
            1,
            "bad_json -32700: nested too deeply at byte 1: 1 arrays and objects are allowed",
        ),
        (2, "batch of 1"),
    ] {
        let rules = Rules::new(depth_max).unwrap();
        let lines = lines(&decoding::read(Dialect::JsonRpc, batch.as_bytes(), &rules));
        assert_eq!(lines[0], first);
    }
    assert_eq!((Rules::new(0), Rules::new(128)), (None, None));
}

#[test]
fn dialects_have_their_names_and_numbers() {
    let names = Dialect::ALL.map(Dialect::subprotocol);
    assert_eq!(
        names,
        [
            "shardcast.v1",
            "jsonrpc-2.0",
            "shardcast.v1.msgpack",
            "centrifuge-json",
            "centrifuge-protobuf"
        ]
    );
    for (index, dialect) in Dialect::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(dialect.index()), index);
        assert_eq!(Dialect::from_index(dialect.index()), Some(dialect));
        assert_eq!(
            Dialect::from_subprotocol(dialect.subprotocol()),
            Some(dialect)
        );
    }
    assert_eq!(
        (Dialect::from_index(5), Dialect::from_subprotocol("x")),
        (None, None)
    );
}

fn one(message: &str, expected: &str) {
    check(Dialect::NativeJson, message.as_bytes(), &[expected]);
}

#[test]
fn a_request_in_full() {
    one(
        r#" { "type" : "broadcast" , "id" : -1.50E2 , "rooms" : [ "a" ,"b","a"],
            "data" : { "x" : [ 1 , 2.0 ] } , "echo":false,"report":true, "else":{"type":1} } "#,
        r#"broadcast id=-1.50E2 rooms=["a", "b", "a"] data={ "x" : [ 1 , 2.0 ] } echo=false report=true"#,
    );
    one(
        r#"{"type":"broadcast","id":1,"user":"u"}"#,
        r#"broadcast id=1 user="u""#,
    );
    one(r#"{"type":"broadcast","id":1}"#, "broadcast id=1");
    one(
        r#"{"type":"join_room","id":1,"rooms":["a\"b","\\","[,]"]}"#,
        r#"join_room id=1 rooms=["a\"b", "\\", "[,]"]"#,
    );
    // Keys that mean nothing to a type are ignored, but for what middleware may look at.
    one(
        r#"{"type":"join_room","id":1,"room":"r","data":1,"user":"u","limit":1,"echo":true}"#,
        r#"join_room id=1 room="r" data=1"#,
    );
    one(
        r#"{"type":"x","id":1,"room":"r","rooms":["r"],"user":"u"}"#,
        r#"x id=1 room="r""#,
    );
    one(
        r#"{"a":1,"a":{"type":2},"Type":3,"type ":4,"type":"ping","":5,"id":1}"#,
        "ping id=1",
    );
}

#[test]
fn nothing_is_copied_unless_it_is_escaped() {
    let read = |text: &'static str| match decoding::read(
        Dialect::NativeJson,
        text.as_bytes(),
        &Rules::default(),
    ) {
        Decoded::One(Ok(Item::Command(command))) => command.request,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        read(r#"{"type":"join_room","room":"plain é"}"#),
        Request::Join(Join {
            rooms: Rooms::One(Cow::Borrowed("plain é")),
            since: None,
            presence: None,
            token: None
        })
    ));
    assert!(matches!(
        read(r#"{"type":"x","room":"r"}"#),
        Request::Call {
            name: Cow::Borrowed("x")
        }
    ));
    let user = Cow::<str>::Owned("escaped".into());
    let Request::Broadcast(publish) = read(r#"{"type":"broadcast","user":"es\u0063aped"}"#) else {
        panic!("another request");
    };
    assert_eq!(publish.target, PublishTarget::User(user));
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
        one(&text, &format!(r#"echo id="\u0041 \/" data={data}"#));
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
        (
            r#"{"type":"join_room","id":1}"#,
            one,
            BadRequest,
            "room or rooms is missing",
        ),
        (
            r#"{"type":"join_room","id":1,"room":"r","rooms":["r"]}"#,
            one,
            BadRequest,
            "room and rooms exclude each other",
        ),
        (
            r#"{"type":"leave_room","id":1,"room":null}"#,
            one,
            BadRequest,
            "room or rooms is missing",
        ),
        (
            r#"{"type":"broadcast","id":1,"room":"r","rooms":["r"]}"#,
            one,
            BadRequest,
            "room and rooms exclude each other",
        ),
        (
            r#"{"type":"broadcast","id":1,"rooms":["r"],"user":"u"}"#,
            one,
            BadRequest,
            "user excludes room and rooms",
        ),
        (
            r#"{"type":"publish","id":1,"user":"u"}"#,
            one,
            BadRequest,
            "room or rooms is missing",
        ),
        (
            r#"{"type":"presence","id":1,"rooms":["r"]}"#,
            one,
            BadRequest,
            "room is missing",
        ),
    ] {
        let id = id.map_or(String::new(), |id| format!(" id={id}"));
        let (name, number) = (code.as_str(), code.json_rpc());
        check(
            Dialect::NativeJson,
            text.as_bytes(),
            &[&format!("{name} {number}{id}: {message}")],
        );
    }
}

#[test]
fn methods_have_their_names() {
    for (index, method) in Method::ALL.into_iter().enumerate() {
        assert_eq!(method.index(), index);
        assert_eq!(Method::from_name(method.name()), Some(method));
        // With all that any of them needs, each is read as itself.
        let text = format!(
            r#"{{"type":"{}","id":1,"room":"r","token":"t","offset":1}}"#,
            method.name()
        );
        let decoded = decoding::read(Dialect::NativeJson, text.as_bytes(), &Rules::default());
        let Decoded::One(Ok(Item::Command(command))) = decoded else {
            panic!("{text}: {decoded:?}");
        };
        assert_eq!(command.request.method(), Some(method));
    }
    for name in ["", "Ping", "ping ", "call"] {
        assert_eq!(Method::from_name(name), None);
    }
}
