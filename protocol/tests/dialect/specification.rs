//! The examples of the JSON-RPC 2.0 specification (§7), spoken with a server of the specification's
//! own methods: what is read, what is answered.

use crate::decoding::read;
use serde_json::{Value as Json, json};
use shardcast_protocol::dialect::{
    Code, Command, Decoded, Dialect, InvalidRequest, Item, Problem, Reply, ReplyMode, Rules, Value,
};

/// The server of the examples.
fn result_of(command: &Command<'_>) -> Result<Json, Problem> {
    let params: Json = match command.data {
        Some(data) => serde_json::from_slice(data.as_bytes()).unwrap(),
        None => Json::Null,
    };
    match command.request.name() {
        "subtract" => {
            let number = |name: &str, place: usize| {
                let number = params.get(name).or_else(|| params.get(place));
                number.and_then(Json::as_i64).unwrap()
            };
            Ok(json!(number("minuend", 0) - number("subtrahend", 1)))
        }
        "sum" => {
            let numbers = params.as_array().unwrap().iter();
            Ok(json!(
                numbers.map(|number| number.as_i64().unwrap()).sum::<i64>()
            ))
        }
        "get_data" => Ok(json!(["hello", 5])),
        "update" | "notify_hello" | "notify_sum" => Ok(Json::Null),
        _ => Err(Problem::new(Code::UnknownType, "Method not found")),
    }
}

fn answer(out: &mut Vec<u8>, item: Result<Item<'_>, InvalidRequest<'_>>) {
    let (id, mode, outcome) = match item {
        Ok(Item::Command(command)) => (command.id, command.reply, result_of(&command)),
        Ok(Item::Response(_)) => return,
        Err(invalid) => (invalid.id, invalid.reply, Err(invalid.problem)),
    };
    if mode == ReplyMode::Never {
        return;
    }
    let result = outcome.as_ref().map(Json::to_string);
    let reply = match &result {
        Ok(text) => Reply::Result(Some(crate::decoding::json(text))),
        Err(problem) => Reply::Error(problem),
    };
    Dialect::JsonRpc.write_reply(out, id, &reply);
}

fn spoken(message: &str) -> Option<Json> {
    let mut out = Vec::new();
    match read(Dialect::JsonRpc, message.as_bytes(), &Rules::default()) {
        Decoded::One(item) => answer(&mut out, item),
        Decoded::Many(items) => {
            let (mut replies, due, mut written) = (items.replies(), items.replies_due(), 0);
            for item in items {
                let before = replies.bytes();
                replies.push_with(|out| answer(out, item));
                written += usize::from(replies.bytes() > before);
            }
            assert_eq!(written, due);
            out = replies.finish().unwrap_or_default();
        }
        Decoded::Commands(_) => unreachable!("it is JSON-RPC"),
    }
    (!out.is_empty()).then(|| serde_json::from_slice(&out).unwrap())
}

/// Errors are compared by number: messages and what goes with them are free (§5.1).
fn reduced(mut answer: Json) -> Json {
    if let Json::Array(answers) = answer {
        return answers.into_iter().map(reduced).collect();
    }
    if let Some(error) = answer.get_mut("error") {
        assert!(error["message"].is_string());
        *error = json!({ "code": error["code"] });
    }
    answer
}

#[track_caller]
fn check(message: &str, expected: &str) {
    let expected = (!expected.is_empty()).then(|| reduced(serde_json::from_str(expected).unwrap()));
    assert_eq!(spoken(message).map(reduced), expected, "{message}");
}

#[test]
fn calls_with_positional_parameters() {
    check(
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}"#,
        r#"{"jsonrpc": "2.0", "result": 19, "id": 1}"#,
    );
    check(
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}"#,
        r#"{"jsonrpc": "2.0", "result": -19, "id": 2}"#,
    );
}

#[test]
fn calls_with_named_parameters() {
    check(
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}"#,
        r#"{"jsonrpc": "2.0", "result": 19, "id": 3}"#,
    );
    check(
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}"#,
        r#"{"jsonrpc": "2.0", "result": 19, "id": 4}"#,
    );
}

#[test]
fn notifications() {
    check(
        r#"{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}"#,
        "",
    );
    check(r#"{"jsonrpc": "2.0", "method": "foobar"}"#, "");
}

#[test]
fn a_method_that_does_not_exist() {
    check(
        r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#,
        r#"{"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "1"}"#,
    );
}

#[test]
fn invalid_json() {
    let parse_error =
        r#"{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}"#;
    check(
        r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#,
        parse_error,
    );
    check(
        r#"[
  {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
  {"jsonrpc": "2.0", "method"
]"#,
        parse_error,
    );
}

#[test]
fn an_invalid_request_object() {
    let invalid = r#"{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}"#;
    check(
        r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#,
        invalid,
    );
    check("[]", invalid);
    check("[1]", &format!("[{invalid}]"));
    check("[1,2,3]", &format!("[{invalid},{invalid},{invalid}]"));
}

#[test]
fn a_batch_of_all_sorts() {
    check(
        r#"[
        {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
    ]"#,
        r#"[
        {"jsonrpc": "2.0", "result": 7, "id": "1"},
        {"jsonrpc": "2.0", "result": 19, "id": "2"},
        {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
        {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "5"},
        {"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"}
    ]"#,
    );
}

#[test]
fn a_batch_of_notifications() {
    check(
        r#"[
        {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
    ]"#,
        "",
    );
}

#[test]
fn replies_are_joined_only_if_there_are_any() {
    let Decoded::Many(items) = read(Dialect::JsonRpc, b"[1]", &Rules::default()) else {
        panic!("a batch of one");
    };
    let mut replies = items.replies();
    replies.push_with(|_| ());
    assert_eq!(replies.clone().finish(), None);
    replies.push(b"1");
    replies.push_with(|_| ());
    replies.push(b"[2]");
    assert_eq!(replies.bytes(), 6);
    assert_eq!(replies.finish().as_deref(), Some(&b"[1,[2]]"[..]));
    let result = Reply::Result(None::<Value<'_>>);
    let mut out = Vec::new();
    Dialect::JsonRpc.write_reply(&mut out, None, &result);
    assert_eq!(out, br#"{"jsonrpc":"2.0","result":null,"id":null}"#);
}
