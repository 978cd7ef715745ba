//! One data model: what handlers take and say is the same in every dialect, whoever sent the
//! request and whoever hears.

use crate::speaker::{Speaker, pack_of};
use crate::{SHARDS, told};
use rmpv::Value as Pack;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use serde_json::{Value, json};
use shardcast::App;
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::{Server, config};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::mpsc;
use tungstenite::Message;

/// What clients may send for one value, and what all hear of it.
struct Case {
    kind: String,
    /// In JSON, the first as it is said.
    json: Vec<&'static str>,
    /// In MessagePack, likewise.
    pack: Vec<Pack>,
}

#[derive(Debug, Default)]
struct Model {
    app: App,
    cases: Vec<Case>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind)
    }
}

impl Model {
    /// A handler that takes the type, says it to the room, and answers with it. In an array, which
    /// JSON-RPC takes as parameters, too.
    fn on<T>(&mut self, json: &[&'static str], pack: &[Pack])
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let kind = format!("same.{}", self.cases.len());
        let handlers = self.app.handlers();
        handlers
            .on(&kind, |cx, value: (T,)| {
                cx.to("r").emit("told", &value)?;
                Ok(value)
            })
            .expect("a new type");
        handlers
            .on_async(&format!("async.{kind}"), |cx, value: (T,)| async move {
                cx.to("r").emit("told", &value).await?;
                Ok(value)
            })
            .expect("a new type");
        self.cases.push(Case {
            kind,
            json: json.to_vec(),
            pack: pack.to_vec(),
        });
    }
}

#[derive(Serialize, Deserialize)]
enum Sort {
    Unit,
    Newtype(u8),
    Tuple(u8, u8),
    Struct { a: u8 },
}

#[derive(Serialize, Deserialize)]
struct Nothing;

#[derive(Serialize, Deserialize)]
struct Flat {
    at: u64,
    #[serde(flatten)]
    rest: BTreeMap<String, f64>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "is")]
enum Tagged {
    Price { at: u64, cents: i64 },
}

#[derive(Serialize, Deserialize)]
struct Bytes(#[serde(with = "serde_bytes")] Vec<u8>);

fn ext(kind: i8, bytes: &[u8]) -> Pack {
    Pack::Ext(kind, bytes.to_vec())
}

fn map<const N: usize>(pairs: [(Pack, Pack); N]) -> Pack {
    Pack::Map(pairs.to_vec())
}

fn model() -> Model {
    let mut model = Model::default();
    numbers(&mut model);
    texts(&mut model);
    containers(&mut model);
    enums(&mut model);
    odds(&mut model);
    model
}

fn numbers(model: &mut Model) {
    let float = Pack::F64;
    model.on::<bool>(&["true"], &[true.into()]);
    // Whole, however they are written: what npm msgpackr sends for `Date.now()`, too.
    model.on::<u64>(
        &["1732860000000", "1732860000000.0", "173286e7"],
        &[1_732_860_000_000_u64.into(), float(1_732_860_000_000.0)],
    );
    model.on::<i8>(
        &["-7", "-7.0"],
        &[(-7).into(), float(-7.0), Pack::F32(-7.0)],
    );
    model.on::<u64>(&["18446744073709551615"], &[u64::MAX.into()]);
    model.on::<i64>(&["-9223372036854775808"], &[i64::MIN.into()]);
    // Beyond 64 bits: digits, as text. Read as a number where JSON has one, and as rmp-serde writes
    // it.
    model.on::<u128>(
        &["\"18446744073709551616\"", "18446744073709551616"],
        &[
            "18446744073709551616".into(),
            Pack::Binary((1_u128 << 64).to_be_bytes().into()),
        ],
    );
    model.on::<u128>(&["7", "\"7\""], &[7.into(), "7".into()]);
    model.on::<i128>(
        &["\"-9223372036854775809\"", "-9223372036854775809"],
        &["-9223372036854775809".into()],
    );
    model.on::<f32>(&["0.1"], &[float(0.1), Pack::F32(0.1)]);
    model.on::<f64>(&["0.1"], &[float(0.1)]);
    model.on::<f64>(&["2", "2.0"], &[2.into(), float(2.0), Pack::F32(2.0)]);
    model.on::<f64>(&["-0.0", "-0"], &[float(-0.0)]);
    model.on::<f64>(&["1e300"], &[float(1e300)]);
    model.on::<Option<f64>>(
        &["null"],
        &[Pack::Nil, float(f64::NAN), float(f64::INFINITY)],
    );
    model.on::<Value>(&["1", "1.0"], &[1.into(), float(1.0)]);
}

fn texts(model: &mut Model) {
    const UUID: &str = "550e8400-e29b-41d4-a716-446655440000";
    const AT: &str = "2020-01-01T00:00:00.125Z";
    model.on::<String>(&["\"é\\n\"", "\"\\u00e9\\n\""], &["é\n".into()]);
    model.on::<char>(&["\"é\""], &["é".into()]);
    model.on::<uuid::Uuid>(
        &["\"550e8400-e29b-41d4-a716-446655440000\""],
        &[UUID.into()],
    );
    model.on::<IpAddr>(&["\"::1\""], &["::1".into()]);
    model.on::<std::net::SocketAddr>(&["\"127.0.0.1:80\""], &["127.0.0.1:80".into()]);
    let timestamp = ext(-1, &[0x1d, 0xcd, 0x65, 0, 0x5e, 0x0b, 0xe1, 0]);
    model.on::<chrono::DateTime<chrono::Utc>>(
        &[
            "\"2020-01-01T00:00:00.125Z\"",
            "\"2020-01-01T01:00:00.125+01:00\"",
        ],
        &[AT.into(), timestamp.clone()],
    );
    model.on::<String>(&["\"2020-01-01T00:00:00.125Z\""], &[AT.into(), timestamp]);
    model.on::<ByteBuf>(
        &["\"AAH/\"", "[0,1,255]"],
        &[Pack::Binary(vec![0, 1, 255]), "AAH/".into()],
    );
    model.on::<Bytes>(&["\"/w==\"", "\"/w\""], &[Pack::Binary(vec![255])]);
    model.on::<String>(
        &["\"AAH/\""],
        &["AAH/".into(), Pack::Binary(vec![0, 1, 255])],
    );
}

fn containers(model: &mut Model) {
    let nil = Pack::Nil;
    model.on::<()>(&["null"], &[nil.clone(), ext(0, &[0])]);
    model.on::<Nothing>(&["null"], &[nil]);
    model.on::<Option<Vec<u8>>>(&["[1,2]"], &[Pack::Array(vec![1.into(), 2.into()])]);
    // Keys are text.
    model.on::<BTreeMap<u32, u8>>(
        &["{\"7\":1,\"300\":2}"],
        &[
            map([("7".into(), 1.into()), ("300".into(), 2.into())]),
            map([(7.into(), 1.into()), (Pack::F64(300.0), 2.into())]),
        ],
    );
    model.on::<BTreeMap<bool, u8>>(
        &["{\"true\":1}"],
        &[
            map([("true".into(), 1.into())]),
            map([(true.into(), 1.into())]),
        ],
    );
    model.on::<BTreeMap<ByteBuf, u8>>(
        &["{\"/w==\":1}"],
        &[
            map([("/w==".into(), 1.into())]),
            map([(Pack::Binary(vec![255]), 1.into())]),
        ],
    );
    model.on::<BTreeMap<String, u8>>(
        &["{\"-1\":1}"],
        &[
            map([("-1".into(), 1.into())]),
            map([((-1).into(), 1.into())]),
        ],
    );
    model.on::<Flat>(
        &["{\"at\":1732860000000,\"x\":0.5}"],
        &[
            map([
                ("at".into(), 1_732_860_000_000_u64.into()),
                ("x".into(), Pack::F64(0.5)),
            ]),
            map([
                ("at".into(), Pack::F64(1_732_860_000_000.0)),
                ("x".into(), Pack::F32(0.5)),
            ]),
        ],
    );
}

fn enums(model: &mut Model) {
    model.on::<Tagged>(
        &["{\"is\":\"Price\",\"at\":5000000000,\"cents\":-1}"],
        &[
            map([
                ("is".into(), "Price".into()),
                ("at".into(), 5_000_000_000_u64.into()),
                ("cents".into(), (-1).into()),
            ]),
            map([
                ("cents".into(), Pack::F64(-1.0)),
                ("at".into(), Pack::F64(5e9)),
                ("is".into(), "Price".into()),
            ]),
        ],
    );
    for (json, pack) in [
        ("\"Unit\"", json!("Unit")),
        ("{\"Newtype\":1}", json!({"Newtype": 1})),
        ("{\"Tuple\":[1,2]}", json!({"Tuple": [1, 2]})),
        ("{\"Struct\":{\"a\":1}}", json!({"Struct": {"a": 1}})),
    ] {
        model.on::<Sort>(&[json], &[pack_of(&pack)]);
    }
}

fn odds(model: &mut Model) {
    // An extension is the object that it is in JSON.
    model.on::<Value>(
        &[
            "{\"data\":\"AQ==\",\"ext\":5}",
            "{\"ext\":5,\"data\":\"AQ==\"}",
        ],
        &[pack_of(&json!({"data": "AQ==", "ext": 5})), ext(5, &[1])],
    );
    // JSON as it stands.
    model.on::<Box<serde_json::value::RawValue>>(
        &["{\"b\":1,\"a\":[1.5]}"],
        &[map([
            ("b".into(), 1.into()),
            ("a".into(), Pack::Array(vec![Pack::F64(1.5)])),
        ])],
    );
}

/// A request with this one value.
fn ask(speaker: &mut Speaker, kind: &str, json: &str, pack: &Pack) {
    match speaker.dialect {
        Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => unreachable!("it speaks another"),
        Dialect::NativeJson => speaker
            .client
            .say(&format!(r#"{{"type":"{kind}","id":1,"data":[{json}]}}"#)),
        Dialect::JsonRpc => speaker.client.say(&format!(
            r#"{{"jsonrpc":"2.0","method":"{kind}","params":[{json}],"id":1}}"#
        )),
        Dialect::MessagePack => speaker.say_pack(&map([
            ("type".into(), kind.into()),
            ("id".into(), 1.into()),
            ("data".into(), Pack::Array(vec![pack.clone()])),
        ])),
    }
}

/// The value in what is said next, byte for byte in JSON.
#[track_caller]
fn check_said(speaker: &mut Speaker, case: &Case, is_event: bool) {
    let heard = speaker.client.hear_any();
    let (json, kind) = (case.json[0], &case.kind);
    let expected = match (speaker.dialect, is_event) {
        (Dialect::NativeJson, true) => {
            format!(r#"{{"type":"event","event":"told","room":"r","data":[{json}]}}"#)
        }
        (Dialect::NativeJson, false) => format!(r#"{{"type":"result","id":1,"data":[{json}]}}"#),
        (Dialect::JsonRpc, true) => format!(
            r#"{{"jsonrpc":"2.0","method":"event","params":{{"event":"told","room":"r","data":[{json}]}}}}"#
        ),
        (Dialect::JsonRpc, false) => format!(r#"{{"jsonrpc":"2.0","result":[{json}],"id":1}}"#),
        (Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf, _) => {
            unreachable!("it speaks another")
        }
        (Dialect::MessagePack, _) => {
            let Message::Binary(bytes) = heard else {
                panic!("{kind}: {heard:?}");
            };
            let said = rmpv::decode::read_value(&mut &bytes[..]).expect("MessagePack");
            let expected = Pack::Array(vec![case.pack[0].clone()]);
            assert_eq!(said["data"], expected, "{kind}: {said}");
            return;
        }
    };
    assert_eq!(
        heard.into_text().expect("text").as_str(),
        expected,
        "{kind}"
    );
}

#[test]
fn typed_data_is_the_same_whoever_sends_and_whoever_hears() {
    for shards in SHARDS {
        let Model { app, cases } = model();
        let (server, _) = Server::of(app, config(shards));
        let speakers = || Dialect::OWN.map(|dialect| Speaker::new(&server, dialect));
        let (mut askers, mut hearers) = (speakers(), speakers());
        for hearer in &mut hearers {
            hearer.join("r");
        }
        for case in &cases {
            for asker in &mut askers {
                let inputs = match asker.dialect {
                    Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => {
                        unreachable!("it speaks another")
                    }
                    Dialect::NativeJson | Dialect::JsonRpc => case.json.len(),
                    Dialect::MessagePack => case.pack.len(),
                };
                for input in 0..inputs {
                    let json = case.json[input.min(case.json.len() - 1)];
                    let pack = &case.pack[input.min(case.pack.len() - 1)];
                    for prefix in ["", "async."] {
                        ask(asker, &format!("{prefix}{}", case.kind), json, pack);
                        check_said(asker, case, false);
                        for hearer in &mut hearers {
                            check_said(hearer, case, true);
                        }
                    }
                }
            }
        }
    }
}

/// What does not fit is said in the same words, whatever the encoding.
#[test]
fn what_does_not_fit_is_refused_alike() {
    let app = App::new();
    let handlers = app.handlers();
    handlers.on("u8", |_, (_,): (u8,)| Ok(())).expect("new");
    handlers
        .on("bytes", |_, (_,): (ByteBuf,)| Ok(()))
        .expect("new");
    handlers.on("sort", |_, (_,): (Sort,)| Ok(())).expect("new");
    handlers
        .on("pair", |_, (_,): ((u8, u8),)| Ok(()))
        .expect("new");
    let (server, _) = Server::of(app, config(1));
    for dialect in Dialect::OWN {
        let mut one = Speaker::new(&server, dialect);
        for (kind, value, expected) in [
            (
                "u8",
                json!(1.5),
                "invalid type: floating point `1.5`, expected u8",
            ),
            (
                "u8",
                json!(300),
                "invalid value: integer `300`, expected u8",
            ),
            ("u8", json!(null), "invalid type: null, expected u8"),
            ("u8", json!("7"), "invalid type: string \"7\", expected u8"),
            (
                "bytes",
                json!("?"),
                "invalid value: string \"?\", expected bytes in base64",
            ),
            (
                "sort",
                json!("None"),
                "unknown variant `None`, expected one of",
            ),
            (
                "sort",
                json!(7),
                "invalid type: integer `7`, expected the name of a variant",
            ),
            (
                "sort",
                json!({"Unit": null, "Newtype": 1}),
                "there is more than fits",
            ),
            ("pair", json!([1, 2, 3]), "there is more than fits"),
            (
                "pair",
                json!([1]),
                "invalid length 1, expected a tuple of size 2",
            ),
        ] {
            let refused = one.check_refused(kind, json!([value]), "invalid_data");
            let message = refused["message"].as_str().expect("a text");
            assert!(
                message.starts_with(expected),
                "{dialect:?} {value}: {message}"
            );
            assert!(
                refused["field"]
                    .as_str()
                    .expect("a field")
                    .starts_with("data")
            );
        }
        one.check_quiet();
    }
}

/// What a client answers to a call is read by the same model.
#[test]
fn answers_of_clients_are_read_by_the_same_model() {
    let app = App::new();
    let (tell, heard) = mpsc::sync_channel(1);
    app.handlers()
        .on_async("ask.me", move |cx, (): ()| {
            let tell = tell.clone();
            async move {
                let patience = std::time::Duration::from_secs(9);
                let answer: (ByteBuf, u64, u128) =
                    cx.call("what", &(Bytes(vec![1]),), patience).await?;
                tell.send(answer).expect("the test waits");
                Ok(())
            }
        })
        .expect("a new type");
    let (server, _) = Server::of(app, config(1));
    let mut one = Speaker::new(&server, Dialect::JsonRpc);
    one.begin("ask.me", Value::Null);
    let mut call = one.hear();
    assert_eq!(call["params"], json!(["AQ=="]));
    let id = call["id"].take();
    one.say(&json!({"jsonrpc": "2.0", "id": id, "result": ["AgM=", 5e9, "18446744073709551616"]}));
    let expected = (ByteBuf::from(vec![2, 3]), 5_000_000_000, 1 << 64);
    assert_eq!(told(&heard), expected);
}
