//! JSON-RPC, member by member: what is read, what is refused and under which number.

use crate::decoding::check;
use shardcast_protocol::dialect::{Dialect, ITEMS_MAX};

#[track_caller]
fn one(message: &str, expected: &str) {
    check(Dialect::JsonRpc, message.as_bytes(), &[expected]);
    // Alone in a batch it is the same, unless it is no JSON.
    if !expected.starts_with("bad_json") && !message.starts_with('[') {
        check(
            Dialect::JsonRpc,
            format!(" [ {message} ] ").as_bytes(),
            &["batch of 1", expected],
        );
    }
}

/// `rest` stands behind the version.
#[track_caller]
fn call(rest: &str, expected: &str) {
    one(&format!(r#"{{"jsonrpc":"2.0",{rest}}}"#), expected);
}

#[test]
fn built_in_methods_take_the_native_keys() {
    call(r#""method":"ping","id":1"#, "ping id=1");
    // None has many spellings; libraries use all of them.
    for params in ["null", "[]", "[ ]", "{}", "{\n}"] {
        let rest = format!(r#""method":"ping","params":{params},"id":null"#);
        call(&rest, "ping id=null");
    }
    call(
        r#""method":"echo","params":{"data":[1, 2.0]},"id":"\u0041""#,
        r#"echo id="\u0041" data=[1, 2.0]"#,
    );
    call(
        r#""method":"broadcast","params":{"r\u006fom":"r","data":null,"echo":false,"report":true,"user":null},"id":1"#,
        r#"broadcast id=1 room="r" data=null echo=false report=true"#,
    );
    call(
        r#""method":"join_room","params":{"rooms":["a","b"],"id":7,"type":8,"type":9,"x":1,"x":2},"id":1"#,
        r#"join_room id=1 rooms=["a", "b"]"#,
    );
    // An optional key that is null is absent, but for data and id, whose value it is.
    call(
        r#""method":"ping","params":{"room":null,"rooms":null,"user":null,"data":null,"echo":null,"report":null,"limit":null},"id":null"#,
        "ping id=null data=null",
    );
    call(
        r#""method":"presence","params":{"room":"r","limit":10},"id":1"#,
        r#"presence id=1 room="r" limit=10"#,
    );
    for method in ["leave_room", "publish", "rooms", "status"] {
        call(
            &format!(r#""method":"{method}","params":{{"room":"r"}},"id":1"#),
            &format!(r#"{method} id=1 room="r""#),
        );
    }
    // However the method is escaped.
    call(
        r#""method":"p\u0069ng","params":{"data":1},"id":1"#,
        "ping id=1 data=1",
    );
}

#[test]
fn other_methods_take_their_params_as_data() {
    call(r#""method":"x","id":1.50"#, "x id=1.50");
    call(
        r#""method":"x","params":[ 1,{"room":2} ],"id":1"#,
        r#"x id=1 data=[ 1,{"room":2} ]"#,
    );
    call(
        r#""method":"x","params":{"room":1, "room":2},"id":1"#,
        r#"x id=1 data={"room":1, "room":2}"#,
    );
    call(r#""method":"x","params":null,"id":1"#, "x id=1");
    // What an empty one means, the method's handler says.
    call(r#""method":"x","params":[],"id":1"#, "x id=1 data=[]");
    call(r#""method":"rpc.discover","id":1"#, "rpc.discover id=1");
    call(r#""method":"","id":1"#, " id=1");
}

#[test]
fn notifications_are_never_answered() {
    call(r#""method":"x""#, "x (silence)");
    call(
        r#""method":"ping","params":{"data":1}"#,
        "ping data=1 (silence)",
    );
    call(
        r#""method":"ping","params":[1]"#,
        "bad_request -32602 (silence): params must be an object",
    );
    call(
        r#""method":"join_room","params":{"room":1}"#,
        "bad_request -32602 (silence): room must be a string",
    );
    call(r#""method":"x","params":null"#, "x (silence)");
    call(r#""method":"ping","params":null"#, "ping (silence)");
    for params in ["1", "\"bar\"", "false"] {
        call(
            &format!(r#""method":"x","params":{params}"#),
            "bad_request -32600 (silence): params must be an object or an array",
        );
    }
}

#[test]
fn params_that_do_not_fit_are_invalid_params() {
    for (params, wrong) in [
        ("[1]", "params must be an object"),
        (r#"{"room":true}"#, "room must be a string"),
        (r#"{"rooms":[]}"#, "rooms must not be empty"),
        (r#"{"rooms":["a",1]}"#, "rooms must be an array of strings"),
        (r#"{"user":1}"#, "user must be a string"),
        (r#"{"echo":1}"#, "echo must be true or false"),
        (r#"{"report":1}"#, "report must be true or false"),
        (r#"{"data":1,"d\u0061ta":1}"#, "duplicate key"),
        (
            r#"{"room":"r","rooms":["r"]}"#,
            "room and rooms exclude each other",
        ),
        (r#"{"room":"r","user":"u"}"#, "user excludes room and rooms"),
    ] {
        call(
            &format!(r#""method":"broadcast","params":{params},"id":1"#),
            &format!("bad_request -32602 id=1: {wrong}"),
        );
    }
}

#[test]
fn a_request_that_lacks_what_its_method_needs_is_invalid() {
    for (method, params, wrong) in [
        ("join_room", "{}", "room or rooms is missing"),
        (
            "join_room",
            r#"{"room":"r","rooms":["r"]}"#,
            "room and rooms exclude each other",
        ),
        ("leave_room", r#"{"user":"u"}"#, "room or rooms is missing"),
        ("publish", r#"{"user":"u"}"#, "room or rooms is missing"),
        (
            "publish",
            r#"{"user":"u","room":"r"}"#,
            "user excludes room and rooms",
        ),
        ("presence", r#"{"rooms":["r"]}"#, "room is missing"),
    ] {
        call(
            &format!(r#""method":"{method}","params":{params},"id":1"#),
            &format!("bad_request -32602 id=1: {wrong}"),
        );
        call(
            &format!(r#""method":"{method}","params":{params}"#),
            &format!("bad_request -32602 (silence): {wrong}"),
        );
    }
}

#[test]
fn what_is_no_request_object_is_an_invalid_request() {
    let version = "jsonrpc must be \"2.0\"";
    for (message, id, wrong) in [
        ("1", "", "a request is one object"),
        ("\"x\"", "", "a request is one object"),
        ("null", "", "a request is one object"),
        ("{}", "", version),
        (r#"{"method":"x","id":1}"#, " id=1", version),
        (r#"{"jsonrpc":"1.0","method":"x","id":1}"#, " id=1", version),
        (r#"{"jsonrpc":2.0,"method":"x","id":1}"#, " id=1", version),
        (r#"{"jsonrpc":"2.0","id":1}"#, " id=1", "method is missing"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":1}"#,
            " id=1",
            "method must be a string",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":1}"#,
            " id=1",
            "params must be an object or an array",
        ),
        (
            r#"{"jsonrpc":"2.0","method":1,"params":"bar"}"#,
            "",
            "method must be a string",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","id":true}"#,
            "",
            "id must be a string, a number or null",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","id":[1]}"#,
            "",
            "id must be a string, a number or null",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","id":1,"m\u0065thod":"y"}"#,
            " id=1",
            "duplicate key",
        ),
        (
            r#"{"jsonrpc":"2.0","jsonrpc":"2.0","method":"x","id":1}"#,
            " id=1",
            "duplicate key",
        ),
    ] {
        one(message, &format!("bad_request -32600{id}: {wrong}"));
    }
    let long = format!(r#""method":"x","id":"{}""#, "x".repeat(127));
    call(&long, "bad_request -32600: id is longer than 128 bytes");
    let longest = format!("\"{}\"", "x".repeat(126));
    call(
        &format!(r#""method":"x","id":{longest}"#),
        &format!("x id={longest}"),
    );
}

#[test]
fn responses_answer_calls_of_the_server() {
    call(
        r#""result":{"a":1},"id":"s18446744073709551615""#,
        r#"response 18446744073709551615: {"a":1}"#,
    );
    call(
        r#""error":{"code":-32000,"message":"n\u006f"},"id":"\u0073\u0031""#,
        "response 1: error -32000 no",
    );
    call(
        r#""error":{"code":1,"message":"no","data":[1],"x":1,"x":2},"id":"s1""#,
        "response 1: error 1 no data=[1]",
    );
    // Some libraries say of both what became of it.
    for (rest, outcome) in [
        (r#""result":7,"error":null,"id":"s1""#, "7"),
        (r#""error":null,"id":"s1","result":null"#, "null"),
        (r#""error":null,"id":"s1""#, "null"),
        (
            r#""result":null,"error":{"code":1,"message":"no"},"id":"s1""#,
            "error 1 no",
        ),
    ] {
        call(rest, &format!("response 1: {outcome}"));
    }
    for (rest, wrong) in [
        (r#""result":1"#, "the id is none of ours"),
        // The client's own, and nearly ours.
        (r#""result":1,"id":1"#, "the id is none of ours"),
        (r#""result":1,"id":"1""#, "the id is none of ours"),
        (r#""result":1,"id":"s""#, "the id is none of ours"),
        (r#""result":1,"id":"s01""#, "the id is none of ours"),
        (r#""result":1,"id":"s+1""#, "the id is none of ours"),
        (r#""result":1,"id":null"#, "the id is none of ours"),
        (r#""result":1,"id":1.5"#, "the id is none of ours"),
        (
            r#""result":1,"error":{},"id":"s1""#,
            "result and error exclude each other",
        ),
        (
            r#""error":1,"id":"s1""#,
            "error must be an object with code and message",
        ),
        (
            r#""error":{"code":"1","message":""},"id":"s1""#,
            "error must be an object with code and message",
        ),
        (
            r#""error":{"code":1},"id":"s1""#,
            "error must be an object with code and message",
        ),
        (
            r#""error":{"code":1,"code":1,"message":""},"id":"s1""#,
            "duplicate key",
        ),
        (r#""result":1,"result":1,"id":"s1""#, "duplicate key"),
    ] {
        // Nothing answers an answer, or two that misunderstand each other never end.
        call(rest, &format!("bad_request -32600 (silence): {wrong}"));
    }
    one(
        r#"{"result":1,"id":1}"#,
        "bad_request -32600 (silence): jsonrpc must be \"2.0\"",
    );
    // A method makes it a request.
    call(r#""method":"x","result":1,"id":1"#, "x id=1");
}

#[test]
fn a_batch_is_bounded() {
    let batch = |members: usize| {
        let ping = r#"{"jsonrpc":"2.0","method":"ping","id":1}"#;
        format!("[{}]", vec![ping; members].join(" , "))
    };
    let mut expected = vec!["batch of 64"];
    expected.extend(["ping id=1"; ITEMS_MAX]);
    check(Dialect::JsonRpc, batch(ITEMS_MAX).as_bytes(), &expected);
    one(
        &batch(ITEMS_MAX + 1),
        "bad_request -32600: a batch has at most 64 members",
    );
    one("[ ]", "bad_request -32600: a batch is not empty");
}

#[test]
fn what_is_no_json_is_a_parse_error() {
    let ends = |at| format!("not valid JSON at byte {at}, where the text ends");
    for (message, why) in [
        ("", ends(0)),
        ("{", ends(1)),
        ("[", ends(1)),
        ("[1", ends(2)),
        ("[1,]", "not valid JSON at byte 3".into()),
        ("[1]x", "not valid JSON at byte 3".into()),
        (
            r#"{"jsonrpc":"2.0","method":"x","id":1e999}"#,
            "the number at byte 35 is too large: JSON numbers here are finite 64-bit floats".into(),
        ),
        (
            r#"{"jsonrpc":"2.0","method":"\ud800","id":1}"#,
            "not valid JSON at byte 33".into(),
        ),
    ] {
        one(message, &format!("bad_json -32700: {why}"));
    }
}

#[test]
fn members_of_a_batch_are_looked_at_one_by_one() {
    let nested = "bad_request -32600: a request is one object";
    check(
        Dialect::JsonRpc,
        br#"[[],[{"jsonrpc":"2.0","method":"ping","id":1}],{"jsonrpc":"2.0","result":1,"id":"s1"},{"jsonrpc":"2.0","method":"x"}]"#,
        &["batch of 4", nested, nested, "response 1: 1", "x (silence)"],
    );
}
