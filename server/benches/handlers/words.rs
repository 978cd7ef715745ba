//! Dialects without a shard: a request read and its echo written, and a message said whose data
//! came in another dialect. Used by the table of pieces.

use crate::DATA;
use divan::black_box;
use shardcast_engine::protocol::dialect::{
    Decoded, Dialect, Encoding, Event, Item, Payload, Reply, Rules, Value,
};
use shardcast_engine::protocol::json::Raw;
use shardcast_engine::protocol::pack::Pack;

/// The data in the dialect's own encoding.
fn data(dialect: Dialect) -> Vec<u8> {
    match dialect.encoding() {
        Encoding::Json => DATA.into(),
        Encoding::Pack => {
            let value: serde_json::Value = serde_json::from_str(DATA).expect("it is JSON");
            rmp_serde::to_vec_named(&value).expect("it can be packed")
        }
    }
}

fn request(dialect: Dialect) -> Vec<u8> {
    let native = format!(r#"{{"type":"echo","id":1,"data":{DATA}}}"#);
    match dialect {
        Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => unreachable!("it speaks another"),
        Dialect::NativeJson => native.into_bytes(),
        Dialect::JsonRpc => {
            let params = format!(r#"{{"data":{DATA}}}"#);
            format!(r#"{{"jsonrpc":"2.0","method":"echo","id":1,"params":{params}}}"#).into_bytes()
        }
        Dialect::MessagePack => {
            let value: serde_json::Value = serde_json::from_str(&native).expect("it is JSON");
            rmp_serde::to_vec_named(&value).expect("it can be packed")
        }
    }
}

/// A request is read, and answered with what it brought.
pub(crate) fn echo(dialect: Dialect) -> Box<dyn FnMut()> {
    let (message, rules, mut out) = (request(dialect), Rules::default(), Vec::new());
    Box::new(move || {
        let payload = match dialect.encoding() {
            // As the engine has checked it.
            Encoding::Json => Payload::Text(str::from_utf8(&message).expect("it is text")),
            Encoding::Pack => Payload::Binary(&message),
        };
        let Decoded::One(Ok(Item::Command(command))) = dialect.read(payload, &rules) else {
            panic!("it is one request");
        };
        out.clear();
        let reply = Reply::Echo { data: command.data };
        dialect.write_reply(&mut out, command.id, &reply);
        black_box(&out);
    })
}

/// A message to a room, whose data is in the encoding of one dialect, is said in another.
pub(crate) fn translation(from: Dialect, to: Dialect) -> Box<dyn FnMut()> {
    // As long as the process.
    let data: &'static [u8] = data(from).leak();
    let value = match from.encoding() {
        Encoding::Json => str::from_utf8(data)
            .ok()
            .and_then(Raw::parse)
            .map(Value::Json),
        Encoding::Pack => Pack::parse(data).map(Value::Pack),
    };
    let value = value.expect("it is a value");
    Box::new(move || {
        let event = Event::Message {
            room: Some("room"),
            from: "0-1-1",
            sender: None,
            offset: None,
            data: Some(black_box(value)),
        };
        let mut said = Vec::with_capacity(event.bytes_hint());
        let written = to.write_event(&mut said, &event);
        written.expect("every dialect can say it");
        black_box(said);
    })
}
