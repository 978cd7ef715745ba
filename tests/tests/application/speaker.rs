//! A client that speaks one of the dialects, behind one interface: what it says and hears is the
//! native dialect's JSON, whatever travels.
//!
//! Invariant: nothing that the server says is lost: what comes before an answer waits for
//! [`Speaker::hear`]. What it does not expect is a failed test.

use rmpv::Value as Pack;
use serde_json::{Map, Value, json};
use shardcast_engine::protocol::dialect::{Code, Dialect};
use shardcast_tests::{Client, Server, shard_of};
use std::collections::VecDeque;
use std::net::SocketAddr;
use tungstenite::Message;

/// Types whose keys stand beside the type and not in `data`.
const BUILT_IN: [&str; 12] = [
    "ping",
    "echo",
    "join_room",
    "leave_room",
    "broadcast",
    "publish",
    "rooms",
    "status",
    "presence",
    "history",
    "resume",
    "ack",
];

/// A connected client.
#[derive(Debug)]
pub(crate) struct Speaker {
    pub(crate) dialect: Dialect,
    pub(crate) client: Client,
    id: String,
    welcome: Value,
    heard: VecDeque<Value>,
    asked: u64,
}

impl Speaker {
    /// Connects and hears the welcome.
    #[track_caller]
    pub(crate) fn new(server: &Server, dialect: Dialect) -> Speaker {
        Speaker::at(server.address(), dialect, "")
    }

    /// Upgrades with a query (`?user=ann`), and hears the welcome.
    #[track_caller]
    pub(crate) fn at(address: SocketAddr, dialect: Dialect, query: &str) -> Speaker {
        let path = format!("/ws{query}");
        // tungstenite fails unless the server chooses what is offered.
        let client = Client::asking(address, &path, dialect.subprotocol());
        let mut speaker = Speaker {
            dialect,
            client,
            id: String::new(),
            welcome: Value::Null,
            heard: VecDeque::new(),
            asked: 0,
        };
        let welcome = speaker.hear();
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        let id = welcome["connection"].as_str().expect("an id");
        speaker.id = id.to_owned();
        speaker.welcome = welcome;
        speaker
    }

    /// What the server calls it.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// What it heard first.
    pub(crate) fn welcome(&self) -> &Value {
        &self.welcome
    }

    /// Where it is.
    pub(crate) fn shard(&self) -> usize {
        shard_of(&self.id)
    }

    /// Asks, and takes the answer: of what the server answers itself its keys, of a handler its
    /// result, of an error `{"error": CODE, …}`.
    #[track_caller]
    pub(crate) fn ask(&mut self, kind: &str, params: Value) -> Value {
        let id = self.begin(kind, params);
        self.answer(id)
    }

    /// Asks; the answer is taken later.
    #[track_caller]
    pub(crate) fn begin(&mut self, kind: &str, params: Value) -> u64 {
        self.asked += 1;
        let request = self.request(kind, Some(self.asked), params);
        self.say(&request);
        self.asked
    }

    /// Asks without an id.
    #[track_caller]
    pub(crate) fn notify(&mut self, kind: &str, params: Value) {
        let request = self.request(kind, None, params);
        self.say(&request);
    }

    /// A request as this dialect puts it, before it is written.
    pub(crate) fn request(&self, kind: &str, id: Option<u64>, params: Value) -> Value {
        let mut request = Map::new();
        match (self.dialect, BUILT_IN.contains(&kind), params) {
            (Dialect::JsonRpc, _, params) => {
                request.insert("jsonrpc".into(), "2.0".into());
                request.insert("method".into(), kind.into());
                if !params.is_null() {
                    request.insert("params".into(), params);
                }
            }
            (_, true, params) => {
                request.insert("type".into(), kind.into());
                let keys = params.as_object().cloned().unwrap_or_default();
                request.extend(keys);
            }
            (_, false, params) => {
                request.insert("type".into(), kind.into());
                if !params.is_null() {
                    request.insert("data".into(), params);
                }
            }
        }
        if let Some(id) = id {
            request.insert("id".into(), id.into());
        }
        request.into()
    }

    /// Says a value in this dialect's encoding.
    #[track_caller]
    pub(crate) fn say(&mut self, value: &Value) {
        match self.dialect {
            Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => {
                unreachable!("it speaks another")
            }
            Dialect::NativeJson | Dialect::JsonRpc => self.client.say(&value.to_string()),
            Dialect::MessagePack => self.say_pack(&pack_of(value)),
        }
    }

    /// Says a value that JSON cannot.
    #[track_caller]
    pub(crate) fn say_pack(&mut self, value: &Pack) {
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, value).expect("memory");
        self.client.send(Message::binary(bytes));
    }

    /// Takes the answer to what was asked under this id; whatever else comes waits.
    #[track_caller]
    pub(crate) fn answer(&mut self, id: u64) -> Value {
        let is_it = |heard: &Value| heard["answer"] == id;
        if let Some(at) = self.heard.iter().position(is_it) {
            return self.heard.remove(at).expect("it is there")["with"].take();
        }
        loop {
            let mut heard = self.listen();
            if is_it(&heard) {
                return heard["with"].take();
            }
            self.heard.push_back(heard);
        }
    }

    /// The next thing that is no answer taken before.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> Value {
        match self.heard.pop_front() {
            Some(heard) => heard,
            None => self.listen(),
        }
    }

    /// Expects this as the next thing.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &Value) {
        let heard = self.hear();
        assert_eq!(heard, *expected, "{:?} {}", self.dialect, self.id);
    }

    /// Expects an event with this name and data.
    #[track_caller]
    pub(crate) fn expect_event(&mut self, event: &str, data: Value) {
        let heard = self.hear();
        let words = (&heard["type"], &heard["event"], &heard["data"]);
        assert_eq!(
            words,
            (&json!("event"), &json!(event), &data),
            "{:?} {}",
            self.dialect,
            self.id
        );
    }

    /// Nothing was said to it that it did not hear, up to now.
    #[track_caller]
    pub(crate) fn check_quiet(&mut self) {
        let pong = self.ask("ping", json!({"data": "quiet"}));
        assert_eq!(pong, json!({"data": "quiet"}));
        assert!(self.heard.is_empty(), "{}: {:?}", self.id, self.heard);
    }

    /// Asks, and compares the answer.
    #[track_caller]
    pub(crate) fn check(&mut self, kind: &str, params: Value, expected: Value) {
        let answer = self.ask(kind, params.clone());
        assert_eq!(answer, expected, "{:?}: {kind} {params}", self.dialect);
    }

    /// Asks, and expects to be refused with this code.
    #[track_caller]
    pub(crate) fn check_refused(&mut self, kind: &str, params: Value, code: &str) -> Value {
        let answer = self.ask(kind, params.clone());
        assert_eq!(
            answer["error"], code,
            "{:?}: {kind} {params}: {answer}",
            self.dialect
        );
        answer
    }

    /// Forgets everything that was said to it up to now.
    #[track_caller]
    pub(crate) fn pass_over(&mut self) {
        self.ask("ping", json!({}));
        self.heard.clear();
    }

    /// Joins a room. The members.
    #[track_caller]
    pub(crate) fn join(&mut self, room: &str) -> u64 {
        let joined = self.ask("join_room", json!({"room": room}));
        assert_eq!(joined["room"], room, "{joined}");
        joined["members"].as_u64().expect("a number")
    }

    #[track_caller]
    fn listen(&mut self) -> Value {
        let value = self.hear_raw();
        self.normal(value)
    }

    /// The next message as it came, MessagePack as JSON: bytes as `{"bytes": […]}`.
    #[track_caller]
    pub(crate) fn hear_raw(&mut self) -> Value {
        loop {
            match (self.dialect, self.client.hear_any()) {
                (Dialect::NativeJson | Dialect::JsonRpc, Message::Text(text)) => {
                    return serde_json::from_str(text.as_str()).expect("JSON");
                }
                (Dialect::MessagePack, Message::Binary(bytes)) => {
                    let mut rest = &bytes[..];
                    let value = rmpv::decode::read_value(&mut rest).expect("MessagePack");
                    assert!(rest.is_empty(), "{value} and more");
                    return json_of(&value);
                }
                (_, Message::Ping(_) | Message::Pong(_)) => {}
                (_, other) => panic!("{}: {other:?}", self.id),
            }
        }
    }

    /// `{"answer": ID, "with": …}`, `{"type":"call", …}`, or an event of the native dialect.
    #[track_caller]
    fn normal(&self, value: Value) -> Value {
        let Value::Object(mut map) = value else {
            return value;
        };
        if self.dialect == Dialect::JsonRpc {
            return rpc(map);
        }
        let kind = map.get("type").and_then(Value::as_str).expect("a type");
        // An answer to `presence` bears no event.
        let is_event = match kind {
            "welcome" | "message" | "event" | "missed" | "closing" => true,
            "presence" => map.contains_key("event"),
            _ => false,
        };
        if is_event {
            return map.into();
        }
        let kind = kind.to_owned();
        map.remove("type");
        let id = map.remove("id").unwrap_or(Value::Null);
        let with = match &*kind {
            "result" => map.remove("data").expect("a result has data"),
            "error" => {
                let code = map.remove("code").expect("an error has a code");
                let name = code.as_str().expect("a string");
                assert!(Code::from_name(name).is_some(), "{name}");
                map.insert("error".into(), code);
                map.into()
            }
            _ => map.into(),
        };
        json!({"answer": id, "with": with})
    }
}

/// A message of JSON-RPC in the native words.
fn rpc(mut map: Map<String, Value>) -> Value {
    assert_eq!(map.remove("jsonrpc"), Some(json!("2.0")));
    let id = map.remove("id");
    if let Some(method) = map.remove("method") {
        let params = map.remove("params").unwrap_or(Value::Null);
        assert!(map.is_empty(), "{map:?}");
        if let Some(id) = id {
            return json!({"type": "call", "method": method, "params": params, "id": id});
        }
        let mut event = params.as_object().expect("an object").clone();
        event.insert("type".into(), method);
        return event.into();
    }
    let id = id.expect("an answer has an id");
    let (result, error) = (map.remove("result"), map.remove("error"));
    assert!(map.is_empty(), "{map:?}");
    match (result, error) {
        (Some(result), None) => json!({"answer": id, "with": result}),
        (None, Some(error)) => {
            let mut with = error["data"].as_object().expect("details").clone();
            let code = with.remove("code").expect("a code");
            let known = Code::from_name(code.as_str().expect("a string")).expect("one of ours");
            let number = error["code"].as_i64().expect("a number");
            assert!(
                number == i64::from(known.json_rpc()) || number == -32600 && code == "bad_request",
                "{error}"
            );
            with.insert("error".into(), code);
            with.insert("message".into(), error["message"].clone());
            json!({"answer": id, "with": with})
        }
        both => panic!("neither a result nor an error: {both:?}"),
    }
}

/// JSON as MessagePack.
pub(crate) fn pack_of(value: &Value) -> Pack {
    match value {
        Value::Null => Pack::Nil,
        Value::Bool(flag) => Pack::Boolean(*flag),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Pack::from(number),
            (None, Some(number)) => Pack::from(number),
            (None, None) => Pack::F64(number.as_f64().expect("a float")),
        },
        Value::String(text) => Pack::from(text.as_str()),
        Value::Array(items) => Pack::Array(items.iter().map(pack_of).collect()),
        Value::Object(map) => Pack::Map(
            map.iter()
                .map(|(key, value)| (Pack::from(key.as_str()), pack_of(value)))
                .collect(),
        ),
    }
}

fn json_of(value: &Pack) -> Value {
    match value {
        Pack::Nil => Value::Null,
        Pack::Boolean(flag) => json!(flag),
        Pack::Integer(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => json!(number),
            (None, number) => json!(number),
        },
        Pack::F32(number) => json!(number),
        Pack::F64(number) => json!(number),
        Pack::String(text) => json!(text.as_str().expect("UTF-8")),
        Pack::Binary(bytes) => json!({"bytes": bytes}),
        Pack::Array(items) => items.iter().map(json_of).collect(),
        Pack::Map(pairs) => {
            let key = |key: &Pack| key.as_str().map_or_else(|| key.to_string(), str::to_owned);
            let pairs = pairs
                .iter()
                .map(|(name, value)| (key(name), json_of(value)));
            Value::Object(pairs.collect())
        }
        Pack::Ext(kind, bytes) => json!({"ext": kind, "bytes": bytes}),
    }
}
