//! What clients say and hear, in each dialect: small encoders and decoders of their own, so that
//! both sides are not wrong together.

use serde_json::{Map, Value, json};
use shardcast_engine::protocol::frame::OpCode;
use shardcast_protocol::dialect::Dialect;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) kind: &'static str,
    /// Under its number, or never answered.
    pub(crate) id: Option<u64>,
    pub(crate) n: u64,
    pub(crate) room: String,
    pub(crate) how: u64,
    /// The server's own: its keys stand outside of the data.
    pub(crate) built_in: bool,
}

/// A message in any dialect.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    /// The number of the request, and what became of it.
    Answer(u64, Result<Value, String>),
    /// The answers to a batch.
    Batch(Vec<(u64, Result<Value, String>)>),
    /// `message` or `event`: its room, and the number it bears.
    News(Option<String>, Option<u64>),
    Welcome,
    /// The server calls: its number, and the parameters.
    Call(u64, Value),
}

impl Request {
    /// As a value of the dialect.
    pub(crate) fn value(&self, dialect: Dialect) -> Value {
        let data = json!({ "n": self.n, "room": self.room, "how": self.how });
        let mut keys = match self.built_in {
            true => self.keys(data.clone()),
            false => Map::from_iter([("data".to_owned(), data.clone())]),
        };
        let mut value = Map::new();
        if let Some(id) = self.id {
            value.insert("id".into(), id.into());
        }
        match dialect {
            Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => {
                unreachable!("it speaks another")
            }
            Dialect::JsonRpc => {
                let params = if self.built_in { keys.into() } else { data };
                value.insert("jsonrpc".into(), "2.0".into());
                value.insert("method".into(), self.kind.into());
                value.insert("params".into(), params);
            }
            Dialect::NativeJson | Dialect::MessagePack => {
                value.insert("type".into(), self.kind.into());
                value.append(&mut keys);
            }
        }
        value.into()
    }

    /// What the server's own requests take.
    fn keys(&self, data: Value) -> Map<String, Value> {
        let mut keys = Map::new();
        match self.kind {
            "join_room" | "leave_room" | "presence" => {
                keys.insert("room".into(), self.room.clone().into());
            }
            "publish" => {
                keys.insert("room".into(), self.room.clone().into());
                keys.insert("data".into(), data);
                // Without an id it is only silent in the native dialects if it asks for no report.
                let reports = self.id.is_some() && self.how.is_multiple_of(3);
                keys.insert("report".into(), reports.into());
            }
            _ => {
                keys.insert("data".into(), data);
            }
        }
        keys
    }
}

/// A whole message.
pub(crate) fn encode(dialect: Dialect, value: &Value) -> (OpCode, Vec<u8>) {
    match dialect {
        Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => unreachable!("it speaks another"),
        Dialect::NativeJson | Dialect::JsonRpc => (OpCode::Text, value.to_string().into_bytes()),
        Dialect::MessagePack => {
            let packed = rmp_serde::to_vec_named(value).expect("it can be packed");
            (OpCode::Binary, packed)
        }
    }
}

/// What a text message says; panics if the dialect has no such message.
pub(crate) fn decode_text(dialect: Dialect, text: &str) -> Heard {
    let value: Value = serde_json::from_str(text).expect(text);
    match dialect {
        Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => unreachable!("it speaks another"),
        Dialect::NativeJson => native(&value),
        Dialect::JsonRpc => json_rpc(value),
        Dialect::MessagePack => panic!("text in MessagePack: {text}"),
    }
}

/// What a binary message says.
pub(crate) fn decode_binary(dialect: Dialect, bytes: &[u8]) -> Heard {
    assert_eq!(dialect, Dialect::MessagePack, "a binary message");
    native(&rmp_serde::from_slice(bytes).expect("a whole value"))
}

fn native(value: &Value) -> Heard {
    let id = || value["id"].as_u64().expect("an answer has its id");
    match value["type"].as_str().expect("a type") {
        "welcome" => Heard::Welcome,
        "message" | "event" => news(value),
        "error" => {
            let code = value["code"].as_str().expect("a code");
            Heard::Answer(id(), Err(code.to_owned()))
        }
        "result" => Heard::Answer(id(), Ok(value["data"].clone())),
        "pong" | "echo" | "joined" | "left" | "ack" | "rooms" | "status" | "presence" => {
            Heard::Answer(id(), Ok(Value::Null))
        }
        other => panic!("{other}: {value}"),
    }
}

fn json_rpc(value: Value) -> Heard {
    if let Value::Array(answers) = value {
        let answers = answers.iter().map(answer);
        return Heard::Batch(answers.collect());
    }
    let Some(method) = value["method"].as_str() else {
        let (id, outcome) = answer(&value);
        return Heard::Answer(id, outcome);
    };
    let id = value["id"].as_str();
    let number = id.and_then(|id| id.strip_prefix('s')?.parse().ok());
    match (method, &value["params"], number) {
        ("welcome", _, None) => Heard::Welcome,
        ("message" | "event", params, None) => news(params),
        (_, params, Some(id)) => Heard::Call(id, params.clone()),
        (..) => panic!("{value}"),
    }
}

fn answer(value: &Value) -> (u64, Result<Value, String>) {
    assert_eq!(value["jsonrpc"], "2.0");
    let id = value["id"].as_u64();
    let id = id.unwrap_or_else(|| panic!("an answer has its id: {value}"));
    if let Some(error) = value.get("error") {
        assert!(value.get("result").is_none());
        let code = error["data"]["code"].as_str().expect("a code");
        return (id, Err(code.to_owned()));
    }
    (id, Ok(value.get("result").expect("a result").clone()))
}

fn news(body: &Value) -> Heard {
    let room = body["room"].as_str().map(str::to_owned);
    Heard::News(room, body["data"]["n"].as_u64())
}
