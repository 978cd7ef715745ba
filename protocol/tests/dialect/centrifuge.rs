//! The Centrifuge protocol: what is read of JSON lines and of Protobuf, that both mean the same,
//! and what is written in each.

mod commands;
mod pushes;
mod replies;

use shardcast_protocol::dialect::centrifuge::Commands;
use shardcast_protocol::dialect::{Decoded, Dialect, Payload, Rules, Value};
use shardcast_protocol::json::Raw;

fn commands<'b>(dialect: Dialect, payload: Payload<'b>) -> Commands<'b> {
    match dialect.read(payload, &Rules::default()) {
        Decoded::Commands(commands) => commands,
        other => panic!("{other:?}"),
    }
}

/// Protobuf by hand: a field of bytes, and one of a number.
fn bytes(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag << 3 | 2][..], &length(content.len()), content].concat()
}

/// Of one or two digits.
fn length(bytes: usize) -> Vec<u8> {
    match bytes {
        ..0x80 => vec![bytes as u8],
        0x80..0x4000 => vec![bytes as u8 | 0x80, (bytes >> 7) as u8],
        _ => panic!("it is not short"),
    }
}

fn number(tag: u8, number: u8) -> Vec<u8> {
    assert!(number < 128);
    vec![tag << 3, number]
}

fn message(fields: &[Vec<u8>]) -> Vec<u8> {
    let content = fields.concat();
    [length(content.len()), content].concat()
}

fn both(write: impl Fn(Dialect, &mut Vec<u8>)) -> (String, Vec<u8>) {
    let (mut json, mut protobuf) = (Vec::new(), Vec::new());
    write(Dialect::CentrifugeJson, &mut json);
    write(Dialect::CentrifugeProtobuf, &mut protobuf);
    (String::from_utf8(json).expect("JSON is text"), protobuf)
}

fn json(text: &str) -> Value<'_> {
    Value::Json(Raw::parse(text).expect("JSON"))
}
