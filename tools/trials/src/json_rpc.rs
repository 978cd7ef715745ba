//! JSON-RPC: what is taken is text that came, a batch is bounded and each member said once, answers
//! are valid JSON with the same id and data, and data is translated within its bounds and loses its
//! control characters only.

use crate::values::{check_rooms, check_value, place};
use shardcast_protocol::dialect::{
    Command, Decoded, Dialect, ID_BYTES_MAX, ITEMS_MAX, InvalidRequest, Item, Payload, Reply,
    ReplyMode, Rules,
};

/// The input is a client's message, if it is text.
///
/// # Panics
/// A promise is broken.
pub fn json_rpc(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    match Dialect::JsonRpc.read(Payload::Text(text), &Rules::default()) {
        Decoded::One(item) => check(text, &item),
        Decoded::Commands(_) => panic!("it is JSON-RPC"),
        Decoded::Many(items) => {
            assert!((1..=ITEMS_MAX).contains(&items.as_slice().len()));
            assert!(items.replies_due() <= items.as_slice().len());
            for item in items {
                check(text, &item);
            }
        }
    }
}

fn check(text: &str, item: &Result<Item<'_>, InvalidRequest<'_>>) {
    match item {
        Ok(Item::Command(command)) => check_command(text, command),
        Ok(Item::Response(response)) => {
            let value = match &response.outcome {
                Ok(value) => Some(*value),
                Err(error) => error.data,
            };
            if let Some(value) = value {
                place(text.as_bytes(), value);
            }
        }
        Err(invalid) => {
            let mut out = Vec::new();
            let error = Reply::Error(&invalid.problem);
            Dialect::JsonRpc.write_reply(&mut out, invalid.id, &error);
            check_json(&out);
        }
    }
}

fn check_command(text: &str, command: &Command<'_>) {
    if let Some(id) = command.id {
        place(text.as_bytes(), id.value());
        assert!(id.value().as_bytes().len() <= ID_BYTES_MAX);
    }
    check_rooms(&command.request);
    let Some(data) = command.data else {
        return;
    };
    place(text.as_bytes(), data);
    check_value(data);
    let mut out = Vec::new();
    Dialect::JsonRpc.write_reply(&mut out, command.id, &Reply::Result(Some(data)));
    check_json(&out);
    let id = command.id.map_or(&b"null"[..], |id| id.value().as_bytes());
    let expected = [
        br#"{"jsonrpc":"2.0","result":"#,
        data.as_bytes(),
        br#","id":"#,
        id,
        b"}",
    ];
    assert_eq!(out, expected.concat());
}

/// An answer reads as a response; whether to a call of ours depends on its id.
fn check_json(out: &[u8]) {
    let text = str::from_utf8(out).expect("UTF-8");
    match Dialect::JsonRpc.read(Payload::Text(text), &Rules::default()) {
        Decoded::One(Ok(Item::Response(_))) => {}
        Decoded::One(Err(invalid)) if invalid.reply == ReplyMode::Never => {
            assert_eq!(invalid.problem.message, "the id is none of ours", "{text}");
        }
        other => panic!("{text}: {other:?}"),
    }
}
