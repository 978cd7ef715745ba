//! Native JSON through the boundary: the reader's own tests are `native_envelope` and `native_validity`.

use crate::said::{check, lines};
use shardcast_protocol::dialect::{Dialect, Payload, Rules};

#[test]
fn commands() {
    for (message, expected) in [
        (r#"{"type":"ping"}"#, "ping"),
        (
            r#"{"type":"broadcast","id":-1.50E2,"rooms":["a","\u0062"],"user":"u","data":{ "x" : 1.0 },"echo":false,"report":true}"#,
            r#"broadcast id=-1.50E2 rooms=["a", "b"] user="u" data={ "x" : 1.0 } echo=false report=true"#,
        ),
        (
            r#"{"type":"presence","id":"\u0041","room":"r","limit":4294967295,"echo":true}"#,
            r#"presence id="\u0041" room="r" echo=true limit=4294967295"#,
        ),
        (
            r#"{"type":"presence","id":1.5,"limit":1e1}"#,
            "presence id=1.5 limit=10",
        ),
        (
            r#"{"type":"presence","id":1,"limit":-0.0}"#,
            "bad_request -32602 id=1: limit must be a whole number below 4294967296",
        ),
        // An optional key that is null is absent; data is null.
        (
            r#"{"type":"x","id":null,"room":null,"rooms":null,"user":null,"data":null,"echo":null,"report":null,"limit":null}"#,
            "x data=null",
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
                let lines = lines(&crate::said::read(dialect, message, &rules));
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
        let lines = lines(&crate::said::read(
            Dialect::JsonRpc,
            batch.as_bytes(),
            &rules,
        ));
        assert_eq!(lines[0], first);
    }
    assert_eq!((Rules::new(0), Rules::new(128)), (None, None));
}

#[test]
fn dialects_have_their_names_and_numbers() {
    let names = Dialect::ALL.map(Dialect::subprotocol);
    assert_eq!(
        names,
        ["shardcast.v1", "jsonrpc-2.0", "shardcast.v1.msgpack"]
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
        (Dialect::from_index(3), Dialect::from_subprotocol("x")),
        (None, None)
    );
}
