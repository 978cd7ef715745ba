//! Strange input: what the table of `protocol/src/dialect/rules.rs` promises, in each dialect.

use crate::each;
use crate::speaker::{Speaker, pack_of};
use crate::{SHARDS, guests};
use rmpv::Value as Pack;
use serde_json::{Value, json};
use shardcast::App;
use shardcast_engine::protocol::dialect::{DEPTH_MAX, Dialect, ID_BYTES_MAX, Rules};
use shardcast_tests::{BINARY, FIN, Raw, Server, TEXT, config, frame, upgrade_with};
use tungstenite::Message;

fn speakers(server: &Server) -> [Speaker; 3] {
    Dialect::OWN.map(|dialect| Speaker::new(server, dialect))
}

/// What is said in text to a JSON dialect is answered this code and this id.
#[track_caller]
fn check_text(speaker: &mut Speaker, text: &str, code: &str, id: &Value) {
    speaker.client.say(text);
    let heard = speaker.hear();
    assert_eq!(heard["with"]["error"], code, "{text}: {heard}");
    assert_eq!(heard["answer"], *id, "{text}: {heard}");
    speaker.check_quiet();
}

/// The same of bytes to MessagePack.
#[track_caller]
fn check_bytes(speaker: &mut Speaker, bytes: &[u8], code: &str) {
    speaker.client.send(Message::binary(bytes.to_vec()));
    let heard = speaker.hear();
    assert_eq!(heard["with"]["error"], code, "{bytes:x?}: {heard}");
    assert_eq!(heard["answer"], Value::Null, "{bytes:x?}: {heard}");
    speaker.check_quiet();
}

#[test]
fn what_is_not_of_the_dialect() {
    for shards in SHARDS {
        let (server, _) = Server::of(App::new(), config(shards));
        let [mut native, mut rpc, mut pack] = speakers(&server);
        for text in [
            "",
            " ",
            "x",
            "{",
            r#"{"type":"ping""#,
            r#"{"type":"ping"} x"#,
            r#"{"type":"ping",}"#,
            "{'type':'ping'}",
            "\"\u{1}\"",
            "{\"type\":\"ping\",\"data\":\"\u{0}\"}",
            "{\"type\":\"ping\",\"data\":\"\n\"}",
            r#"{"type":"ping","data":01}"#,
            r#"{"type":"ping","data":+1}"#,
            r#"{"type":"ping","data":NaN}"#,
            r#"{"type":"ping","data":"\x"}"#,
            "\u{feff}{}",
        ] {
            check_text(&mut native, text, "bad_json", &Value::Null);
            check_text(&mut rpc, text, "bad_json", &Value::Null);
        }
        for text in ["null", "7", "\"ping\"", "[]", "{}"] {
            check_text(&mut native, text, "bad_request", &Value::Null);
            check_text(&mut rpc, text, "bad_request", &Value::Null);
        }
        for bytes in [
            &b""[..],
            b"\xc1",
            b"\x81",
            b"\x81\xa4type",
            b"\x81\xa4type\xa4ping\xc0",
            b"\xc0",
            b"\x07",
            b"\x90",
            b"\x80",
            // A key that is no string, and a string that is not UTF-8.
            b"\x81\x01\x02",
            b"\x82\xa4type\xa4ping\xa4data\xa1\xff",
            b"\x82\xa4type\xa4ping\xa1\xff\x01",
            // Longer than the message says.
            b"\xdf\xff\xff\xff\xff",
            b"\xdd\xff\xff\xff\xff",
            b"\x82\xa4type\xa4ping\xa4data\xc6\xff\xff\xff\xff",
        ] {
            check_bytes(&mut pack, bytes, "bad_request");
        }
        // Text where it is binary, and the reverse.
        native
            .client
            .send(Message::binary(&b"{\"type\":\"ping\"}"[..]));
        assert_eq!(native.hear()["with"]["error"], "bad_request");
        rpc.client.send(Message::binary(&b"{}"[..]));
        assert_eq!(rpc.hear()["with"]["error"], "bad_request");
        pack.client.say(r#"{"type":"ping"}"#);
        assert_eq!(pack.hear()["with"]["error"], "bad_request");
    }
}

#[test]
fn text_that_is_not_utf8_ends_the_connection() {
    let (server, _) = Server::of(App::new(), config(1));
    for dialect in Dialect::OWN {
        let mut raw = Raw::connect(&server);
        let offer = format!("Sec-WebSocket-Protocol: {}\r\n", dialect.subprotocol());
        raw.send(upgrade_with(&offer).as_bytes());
        assert!(raw.head().starts_with("HTTP/1.1 101 "));
        let (first, _welcome) = raw.frame();
        let kind = match dialect {
            Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => {
                unreachable!("it speaks another")
            }
            Dialect::NativeJson | Dialect::JsonRpc => TEXT,
            Dialect::MessagePack => BINARY,
        };
        assert_eq!(first, FIN | kind);
        raw.send(&frame(FIN | TEXT, b"{\"type\":\"\xff\"}"));
        assert_eq!(raw.closed().0, 1007);
    }
}

/// A value of so many containers, one in the other.
fn nested(depth: u32) -> Value {
    (1..depth).fold(json!([]), |inner, _| json!([inner]))
}

#[test]
fn depth_has_a_limit_with_the_message_in_it() {
    for depth_max in [8, DEPTH_MAX] {
        let app = || guests().rules(Rules::new(depth_max).expect("it is one"));
        each(app, |server, _, dialect| {
            let mut one = Speaker::new(server, dialect);
            // JSON-RPC has the data in its params. What the others say can be said there.
            let (outer, depth_max) = match dialect {
                Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => {
                    unreachable!("it speaks another")
                }
                Dialect::JsonRpc => (2, depth_max),
                Dialect::NativeJson | Dialect::MessagePack => (1, depth_max.min(DEPTH_MAX - 1)),
            };
            let data = nested(depth_max - outer);
            one.check("echo", json!({"data": data}), json!({"data": data}));
            let too_deep = nested(depth_max - outer + 1);
            let request = one.request("echo", Some(7), json!({"data": too_deep}));
            one.say(&request);
            let heard = one.hear();
            let code = match dialect {
                Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => {
                    unreachable!("it speaks another")
                }
                Dialect::MessagePack => "bad_request",
                Dialect::NativeJson | Dialect::JsonRpc => "bad_json",
            };
            assert_eq!(heard["with"]["error"], code, "{heard}");
            // There is no id to trust.
            assert_eq!(heard["answer"], Value::Null);
            one.check_quiet();
        });
    }
}

#[test]
fn duplicate_keys_are_refused_where_they_mean_something() {
    for shards in SHARDS {
        let (server, _) = Server::of(App::new(), config(shards));
        let [mut native, mut rpc, mut pack] = speakers(&server);
        for text in [
            r#"{"type":"ping","type":"echo","id":1}"#,
            r#"{"type":"ping","t\u0079pe":"ping","id":1}"#,
            r#"{"type":"ping","data":1,"data":1,"id":1}"#,
            r#"{"type":"join_room","room":"a","room":"a","id":1}"#,
        ] {
            check_text(&mut native, text, "bad_request", &json!(1));
        }
        for text in [
            r#"{"jsonrpc":"2.0","method":"ping","method":"echo","id":1}"#,
            r#"{"jsonrpc":"2.0","jsonrpc":"2.0","method":"ping","id":1}"#,
            r#"{"jsonrpc":"2.0","method":"ping","params":{},"params":{},"id":1}"#,
            r#"{"jsonrpc":"2.0","method":"join_room","params":{"room":"a","r\u006fom":"a"},"id":1}"#,
        ] {
            check_text(&mut rpc, text, "bad_request", &json!(1));
        }
        let pair = |key: &str, value: &str| (Pack::from(key), Pack::from(value));
        let twice = [pair("type", "ping"), pair("type", "ping"), pair("id", "x")];
        pack.say_pack(&Pack::Map(twice.to_vec()));
        let heard = pack.hear();
        assert_eq!(
            (&heard["with"]["error"], &heard["answer"]),
            (&json!("bad_request"), &json!("x"))
        );

        // Others are ignored, and in data they stay as they are.
        native.client.check(
            r#"{"type":"echo","x":1,"x":2,"data":{"a":1,"a":2}}"#,
            r#"{"type":"echo","data":{"a":1,"a":2}}"#,
        );
        rpc.client.check(
            r#"{"jsonrpc":"2.0","method":"echo","x":1,"x":2,"params":{"y":1,"y":2,"data":{"a":1,"a":2}},"id":1}"#,
            r#"{"jsonrpc":"2.0","result":{"data":{"a":1,"a":2}},"id":1}"#,
        );
        let twice = Pack::Map(vec![pair("a", "1"), pair("a", "2")]);
        let request = [
            pair("type", "echo"),
            pair("x", "1"),
            pair("x", "2"),
            (Pack::from("data"), twice.clone()),
        ];
        pack.say_pack(&Pack::Map(request.to_vec()));
        let expected = Pack::Map(vec![pair("type", "echo"), (Pack::from("data"), twice)]);
        let answer = pack.client.hear_any().into_data();
        assert_eq!(
            rmpv::decode::read_value(&mut &answer[..]).unwrap(),
            expected
        );
    }
}

#[test]
fn duplicate_keys_in_data_stay_duplicate_in_every_dialect() {
    for shards in SHARDS {
        let (server, _) = Server::of(App::new(), config(shards));
        let [mut native, mut rpc, mut pack] = speakers(&server);
        for speaker in [&mut native, &mut rpc, &mut pack] {
            speaker.join("r");
        }
        native
            .client
            .say(r#"{"type":"publish","room":"r","data":{"a":1,"a":2}}"#);
        let from = native.id().to_owned();
        rpc.client.expect(&format!(
            r#"{{"jsonrpc":"2.0","method":"message","params":{{"room":"r","from":"{from}","data":{{"a":1,"a":2}}}}}}"#
        ));
        let heard = pack.client.hear_any().into_data();
        let heard = rmpv::decode::read_value(&mut &heard[..]).unwrap();
        let data = Pack::Map(vec![
            (Pack::from("a"), Pack::from(1)),
            (Pack::from("a"), Pack::from(2)),
        ]);
        assert_eq!(heard["data"], data);
    }
}

#[test]
fn escapes_of_half_characters_and_numbers_out_of_range() {
    for shards in SHARDS {
        let (server, _) = Server::of(App::new(), config(shards));
        let [mut native, mut rpc, mut pack] = speakers(&server);
        for value in [
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800x""#,
            r#""\ud800\ud800""#,
            r#""\udc00\ud800""#,
            r#"{"\ud800":1}"#,
            r#"[["\uDBFF"]]"#,
            r#""\u12""#,
            "1e400",
            "-1e400",
            "[1e309]",
        ] {
            let request = format!(r#"{{"type":"echo","id":1,"data":{value}}}"#);
            check_text(&mut native, &request, "bad_json", &Value::Null);
            for kind in ["echo", "unknown"] {
                let request = format!(
                    r#"{{"jsonrpc":"2.0","id":1,"method":"{kind}","params":{{"data":{value}}}}}"#
                );
                check_text(&mut rpc, &request, "bad_json", &Value::Null);
            }
        }
        // Anything else comes back byte for byte.
        for value in [
            r#""\ud83d\ude00""#,
            r#""\u0000""#,
            "1e308",
            "1e-400",
            "-0",
            "123456789012345678901234567890",
            "0.1000000000000000055511151231257827",
        ] {
            native.client.check(
                &format!(r#"{{"type":"echo","data":{value}}}"#),
                &format!(r#"{{"type":"echo","data":{value}}}"#),
            );
            rpc.client.check(
                &format!(
                    r#"{{"jsonrpc":"2.0","method":"echo","params":{{"data":{value}}},"id":1}}"#
                ),
                &format!(r#"{{"jsonrpc":"2.0","result":{{"data":{value}}},"id":1}}"#),
            );
        }
        // A whole number beyond 64 bits is a float in MessagePack, and untouched in JSON.
        for speaker in [&mut native, &mut rpc, &mut pack] {
            speaker.join("r");
        }
        let number = "123456789012345678901234567890";
        native.client.say(&format!(
            r#"{{"type":"publish","room":"r","data":{number}}}"#
        ));
        assert!(rpc.client.hear().contains(&format!(r#""data":{number}"#)));
        assert_eq!(pack.hear()["data"], json!(1.234_567_890_123_456_8e29));
    }
}

#[test]
fn ids_have_a_length_and_a_type() {
    for shards in SHARDS {
        let (server, _) = Server::of(App::new(), config(shards));
        let [mut native, mut rpc, _pack] = speakers(&server);
        let longest = "x".repeat(ID_BYTES_MAX - 2);
        native.client.check(
            &format!(r#"{{"type":"ping","id":"{longest}"}}"#),
            &format!(r#"{{"type":"pong","id":"{longest}"}}"#),
        );
        rpc.client.check(
            &format!(r#"{{"jsonrpc":"2.0","method":"ping","id":"{longest}"}}"#),
            &format!(r#"{{"jsonrpc":"2.0","result":{{}},"id":"{longest}"}}"#),
        );
        let digits = "1".repeat(ID_BYTES_MAX + 1);
        for id in [
            format!(r#""{longest}x""#),
            digits,
            "true".to_owned(),
            "[1]".to_owned(),
            r#"{"a":1}"#.to_owned(),
        ] {
            let text = format!(r#"{{"type":"ping","id":{id}}}"#);
            check_text(&mut native, &text, "bad_request", &Value::Null);
            let text = format!(r#"{{"jsonrpc":"2.0","method":"ping","id":{id}}}"#);
            check_text(&mut rpc, &text, "bad_request", &Value::Null);
        }
        // An optional key that is null is absent.
        native
            .client
            .check(r#"{"type":"ping","id":null}"#, r#"{"type":"pong"}"#);
    }
}

#[test]
fn ids_in_messagepack_are_strings_and_numbers() {
    let ping = |id: Pack| {
        let Pack::Map(mut request) = pack_of(&json!({"type": "ping"})) else {
            unreachable!("it is a map");
        };
        request.push((Pack::from("id"), id));
        Pack::Map(request)
    };
    for shards in SHARDS {
        let (server, _) = Server::of(App::new(), config(shards));
        let [_native, _rpc, mut pack] = speakers(&server);
        // The marker of a longer string takes two bytes.
        for id in ["x".repeat(ID_BYTES_MAX - 2), String::new()] {
            pack.say_pack(&ping(Pack::from(id.as_str())));
            assert_eq!(pack.hear(), json!({"answer": id, "with": {}}));
        }
        for id in [Pack::from(u64::MAX), Pack::from(i64::MIN)] {
            pack.say_pack(&ping(id));
            let answer = pack.hear();
            assert!(answer["answer"].is_number(), "{answer}");
        }
        for absent in [Pack::Nil, Pack::Ext(0, vec![0])] {
            pack.say_pack(&ping(absent));
            assert_eq!(pack.hear(), json!({"answer": null, "with": {}}));
        }
        // Comes back as it was sent: what JavaScript's libraries make of integers from 2^32 on, and
        // any other number.
        for id in [Pack::F64(4_294_967_296.0), Pack::F64(-1.5), Pack::F32(1.0)] {
            pack.say_pack(&ping(id.clone()));
            let answer = pack.client.hear_any().into_data();
            let answer = rmpv::decode::read_value(&mut &answer[..]).expect("MessagePack");
            assert_eq!((&answer["type"], &answer["id"]), (&Pack::from("pong"), &id));
        }
        for id in [
            Pack::from("x".repeat(ID_BYTES_MAX - 1)),
            Pack::F64(f64::NAN),
            Pack::Boolean(true),
            Pack::Binary(vec![1]),
        ] {
            pack.say_pack(&ping(id));
            let refused = pack.hear();
            assert_eq!(refused["with"]["error"], "bad_request");
            assert_eq!(refused["answer"], Value::Null);
        }
        pack.check_quiet();
    }
}
