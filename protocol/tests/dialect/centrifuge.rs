//! The Centrifuge protocol: what is read of JSON lines and of Protobuf, that both mean the same,
//! and what is written in each.

use shardcast_protocol::delta::{DeltaUnit, delta};
use shardcast_protocol::dialect::centrifuge::{
    COMMANDS_MAX, CentrifugeReply, Commands, Connected, Deltas, Recovering, Refusal, Subscribed,
    Transport,
};
use shardcast_protocol::dialect::{
    Code, Decoded, Dialect, Event, HistoryPage, KeptMessage, LogPosition, LossReason, Member,
    MemberState, Origin, Payload, Presence, PresenceChange, Problem, Reply, Rules, Value,
};
use shardcast_protocol::json::Raw;
use shardcast_protocol::pack::Pack;

fn commands<'b>(dialect: Dialect, payload: Payload<'b>) -> Commands<'b> {
    match dialect.read(payload, &Rules::default()) {
        Decoded::Commands(commands) => commands,
        other => panic!("{other:?}"),
    }
}

/// One line for each command: what it is, without what differs between the encodings.
fn shown(commands: Commands<'_>) -> Vec<String> {
    let shown = commands.map(|command| match command {
        Ok(instruction) => format!("{instruction:?}"),
        Err(bad) => bad.to_string(),
    });
    shown.collect()
}

fn lines(text: &str) -> Vec<String> {
    shown(commands(Dialect::CentrifugeJson, Payload::Text(text)))
}

fn delimited(bytes: &[u8]) -> Vec<String> {
    let payload = Payload::Binary(bytes);
    shown(commands(Dialect::CentrifugeProtobuf, payload))
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

/// A line and the same in Protobuf are the same command, up to how its number is written.
#[track_caller]
fn check_same(line: &str, fields: &[Vec<u8>], holds: &[&str]) {
    let one = |all: Vec<String>| {
        assert_eq!(all.len(), 1, "{all:?}");
        all.into_iter().next().expect("one")
    };
    let without_id = |text: &str| {
        text.replace("Json(Raw(\"7\"))", "ID")
            .replace("Bytes([7])", "ID")
    };
    let json = without_id(&one(lines(line)));
    let protobuf = without_id(&one(delimited(&message(fields))));
    assert_eq!(json, protobuf);
    for part in holds {
        assert!(json.contains(part), "{json} has no {part}");
    }
}

#[test]
fn a_command_is_the_same_in_both_encodings() {
    let id = || number(1, 7);
    check_same("{}", &[], &["Pong"]);
    check_same(
        r#"{"id":7,"connect":{"token":"t","name":"js","version":"1","data":{"a":1},"subs":{}}}"#,
        &[
            id(),
            bytes(
                4,
                &[
                    bytes(1, b"t"),
                    bytes(2, br#"{"a":1}"#),
                    bytes(4, b"js"),
                    bytes(5, b"1"),
                ]
                .concat(),
            ),
        ],
        &[
            "Connect",
            r#"token: "t""#,
            r#"data: Some(Json(Raw("{\"a\":1}")))"#,
        ],
    );
    check_same(
        r#"{"connect":{},"id":7}"#,
        &[bytes(4, b""), id()],
        &["Connect", r#"token: """#],
    );
}

#[test]
fn a_subscription_is_the_same_in_both_encodings() {
    let id = || number(1, 7);
    check_same(
        r#"{"id":7,"subscribe":{"channel":"c","recover":true,"epoch":"e","offset":5,"flag":3}}"#,
        &[
            id(),
            bytes(
                5,
                &[
                    bytes(1, b"c"),
                    number(3, 1),
                    bytes(6, b"e"),
                    number(7, 5),
                    number(14, 3),
                ]
                .concat(),
            ),
        ],
        &[
            "Subscribe",
            "Since { epoch: \"e\", offset: 5 }",
            "if_lost: Refuse",
        ],
    );
    check_same(
        r#"{"id":7,"subscribe":{"channel":"c","delta":"fossil","flag":1,"token":null}}"#,
        &[
            id(),
            bytes(
                5,
                &[bytes(1, b"c"), bytes(12, b"fossil"), number(14, 1)].concat(),
            ),
        ],
        &[
            "Subscribe",
            "recover: None",
            "if_lost: Begin",
            "deltas: Fossil",
        ],
    );
    for (line, more) in [
        (r#"{"channel":"c","type":1}"#, number(15, 1)),
        (
            r#"{"channel":"c","tf":{"op":"and"}}"#,
            bytes(13, b"\x0a\x03and"),
        ),
    ] {
        let line = format!(r#"{{"id":7,"subscribe":{line}}}"#);
        let subscribe = [bytes(1, b"c"), more].concat();
        check_same(&line, &[id(), bytes(5, &subscribe)], &["Unavailable"]);
    }
    check_same(
        r#"{"id":7,"unsubscribe":{"channel":"c"}}"#,
        &[id(), bytes(6, &bytes(1, b"c"))],
        &["Unsubscribe { channel: \"c\" }"],
    );
    check_same(
        r#"{"id":7,"publish":{"channel":"c","data":null}}"#,
        &[
            id(),
            bytes(7, &[bytes(1, b"c"), bytes(2, b"null")].concat()),
        ],
        &["Publish", r#"Some(Json(Raw("null")))"#],
    );
}

#[test]
fn a_question_is_the_same_in_both_encodings() {
    let id = || number(1, 7);
    check_same(
        r#"{"id":7,"presence":{"channel":"c"}}"#,
        &[id(), bytes(8, &bytes(1, b"c"))],
        &["Presence(PresenceQuery { room: \"c\", limit: None"],
    );
    check_same(
        r#"{"id":7,"presence_stats":{"channel":"c"}}"#,
        &[id(), bytes(9, &bytes(1, b"c"))],
        &["PresenceStats"],
    );
    check_same(
        r#"{"id":7,"history":{"channel":"c","limit":3,"reverse":true,"since":{"offset":2,"epoch":"e"}}}"#,
        &[
            id(),
            bytes(
                10,
                &[
                    bytes(1, b"c"),
                    number(7, 3),
                    bytes(8, &[number(1, 2), bytes(2, b"e")].concat()),
                    number(9, 1),
                ]
                .concat(),
            ),
        ],
        &["limit: Some(3)", "Reverse", "offset: 2"],
    );
    let minus_one = [&[7 << 3][..], &[0xff; 9], &[1]].concat();
    check_same(
        r#"{"id":7,"history":{"channel":"c","limit":-1}}"#,
        &[id(), bytes(10, &[bytes(1, b"c"), minus_one].concat())],
        &["limit: None"],
    );
    check_same(
        r#"{"id":7,"history":{"channel":"c"}}"#,
        &[id(), bytes(10, &bytes(1, b"c"))],
        &["limit: Some(0)"],
    );
}

#[test]
fn a_call_is_the_same_in_both_encodings() {
    let id = || number(1, 7);
    check_same(
        r#"{"send":{"data":[1]}}"#,
        &[bytes(12, &bytes(1, b"[1]"))],
        &["Send", "id: None", "reply: Never"],
    );
    check_same(
        r#"{"id":7,"rpc":{"method":"m","data":"x"}}"#,
        &[
            id(),
            bytes(13, &[bytes(1, br#""x""#), bytes(2, b"m")].concat()),
        ],
        &["Call { name: \"m\" }"],
    );
    check_same(
        r#"{"id":7,"refresh":{"token":"t"}}"#,
        &[id(), bytes(14, &bytes(1, b"t"))],
        &["Refresh"],
    );
    check_same(
        r#"{"id":7,"sub_refresh":{"channel":"c","token":"t"}}"#,
        &[id(), bytes(15, &[bytes(1, b"c"), bytes(2, b"t")].concat())],
        &["SubRefresh"],
    );
}

/// What a client is disconnected for.
#[test]
fn what_is_no_command_is_refused_and_nothing_behind_it_is_taken() {
    for (line, why) in [
        ("", "there is no command in the message"),
        ("\n\n", "there is no command in the message"),
        ("x", "a command is not valid JSON"),
        ("[]", "a command, and each message in it, is an object"),
        (r#"{"id":1}"#, "the command asks for nothing that there is"),
        (
            r#"{"id":1,"ping":{}}"#,
            "the command asks for nothing that there is",
        ),
        (r#"{"connect":{}}"#, "id is missing"),
        (r#"{"id":0,"rpc":{}}"#, "id is missing"),
        (r#"{"id":-1,"rpc":{}}"#, "id is not from 1 to 4294967295"),
        (
            r#"{"id":4294967296,"rpc":{}}"#,
            "id is not from 1 to 4294967295",
        ),
        (r#"{"id":"1","rpc":{}}"#, "id is not from 1 to 4294967295"),
        (r#"{"id":1,"id":1,"rpc":{}}"#, "duplicate key"),
        (r#"{"id":1,"subscribe":{}}"#, "channel is missing"),
        (
            r#"{"id":1,"subscribe":{"channel":""}}"#,
            "channel is missing",
        ),
        (
            r#"{"id":1,"subscribe":{"channel":1}}"#,
            "a field is not of its type",
        ),
        (
            r#"{"id":1,"subscribe":{"channel":"c","delta":"x"}}"#,
            "delta is of a kind that there is not",
        ),
        (r#"{"id":1,"publish":{"channel":"c"}}"#, "data is missing"),
        (
            r#"{"id":1,"history":[]}"#,
            "a command, and each message in it, is an object",
        ),
    ] {
        let read = lines(&format!("{line}\n{line}"));
        assert_eq!(read, [format!("bad request: {why}")], "{line}");
    }
    // What came before counts.
    let read = lines("{}\nx\n{}");
    assert_eq!(read.len(), 2, "{read:?}");
}

#[test]
fn what_is_no_protobuf_is_refused() {
    let cut = "bad request: a message is cut off, or a length is wrong";
    for (bytes, why) in [
        (&b""[..], "bad request: there is no command in the message"),
        (&[5], cut),
        (
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1],
            cut,
        ),
        (
            &[0x80],
            "bad request: a number has more than 64 bits, or is cut off",
        ),
        (
            &[0xff; 12],
            "bad request: a number has more than 64 bits, or is cut off",
        ),
        // A group, a field that is cut off, a text that is none.
        (
            &[1, 0x0b],
            "bad request: a field is written in a way that there is not",
        ),
        (&[2, 0x2a, 9], cut),
        (&[2, 0x09, 1], cut),
        (
            &[8, 0x08, 1, 0x2a, 4, 0x0a, 2, 0xff, 0xff],
            "bad request: a field is not of its type",
        ),
        (
            &[4, 0x08, 1, 0x28, 1],
            "bad request: a field is not of its type",
        ),
    ] {
        assert_eq!(
            delimited(bytes).last().map(String::as_str),
            Some(why),
            "{bytes:?}"
        );
    }
    for (dialect, payload) in [
        (Dialect::CentrifugeJson, Payload::Binary(b"{}")),
        (Dialect::CentrifugeProtobuf, Payload::Text("\0")),
    ] {
        let read = shown(commands(dialect, payload));
        assert!(read[0].starts_with("bad request: "), "{read:?}");
        assert_eq!(read.len(), 1);
    }
}

#[test]
fn fields_that_are_not_known_are_passed_over() {
    let unknown = [
        number(1, 7),
        vec![0x99, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],
        vec![0x95, 0x06, 1, 2, 3, 4],
        bytes(13, &[bytes(2, b"m"), bytes(9, b"?")].concat()),
    ];
    check_same(
        r#"{"id":7,"what":{"is":"this"},"rpc":{"method":"m","x":null}}"#,
        &unknown,
        &["Call { name: \"m\" }"],
    );
}

#[test]
fn many_commands_come_one_after_the_other_and_not_too_many() {
    let read = lines("{\"id\":1,\"rpc\":{}}\n\n{}\r\n{\"id\":2,\"rpc\":{}}\n");
    assert_eq!(read.len(), 3, "{read:?}");
    assert_eq!(delimited(&[0, 0, 0]), ["Pong"; 3]);
    let most = vec![0; COMMANDS_MAX];
    assert_eq!(delimited(&most).len(), COMMANDS_MAX);
    let more = vec![0; COMMANDS_MAX + 2];
    let read = delimited(&more);
    assert_eq!(read.len(), COMMANDS_MAX + 1);
    let why = "bad request: too many commands in one message";
    assert_eq!(read.last().map(String::as_str), Some(why));
}

/// In Protobuf, what is JSON as a whole is JSON to everybody, and anything else is bytes.
#[test]
fn data_of_protobuf_is_json_or_bytes() {
    for (data, shown) in [
        (&br#"{"a":1}"#[..], "Json"),
        (b"17", "Json"),
        (b" 17", "Bytes"),
        (b"17 ", "Bytes"),
        (b"{", "Bytes"),
        (b"\xff\x00", "Bytes"),
        (b"", "Bytes"),
    ] {
        let publish = bytes(7, &[bytes(1, b"c"), bytes(2, data)].concat());
        let read = delimited(&message(&[number(1, 7), publish]));
        assert!(
            read[0].contains(&format!("data: Some({shown}(")),
            "{read:?}"
        );
    }
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

/// The reply to the command 7.
#[track_caller]
fn check_reply(reply: &Reply<'_>, line: &str, fields: &[Vec<u8>]) {
    let mut id = None;
    for dialect in [Dialect::CentrifugeJson, Dialect::CentrifugeProtobuf] {
        let asked = message(&[number(1, 7), bytes(13, b"")]);
        let payload = match dialect {
            Dialect::CentrifugeJson => Payload::Text(r#"{"id":7,"rpc":{}}"#),
            _ => Payload::Binary(&asked),
        };
        let command = commands(dialect, payload)
            .next()
            .expect("one")
            .expect("valid");
        let text = format!("{command:?}");
        let mut out = Vec::new();
        match command {
            shardcast_protocol::dialect::centrifuge::Instruction::Command(command) => {
                dialect.write_reply(&mut out, command.id, reply);
            }
            _ => panic!("{text}"),
        }
        match dialect {
            Dialect::CentrifugeJson => {
                let out = String::from_utf8(out).expect("JSON is text");
                assert_eq!(out, format!(r#"{{"id":7,{line}}}"#));
            }
            _ => id = Some(out),
        }
    }
    let expected = message(&[&[number(1, 7)], fields].concat());
    assert_eq!(id, Some(expected));
}

#[test]
fn streams_and_listeners_are_told_how_they_connect() {
    let on = |transport| {
        Reply::Centrifuge(CentrifugeReply::Connected(Connected {
            data: None,
            client: "c",
            version: "s",
            ping_s: 25,
            transport,
            ttl_s: None,
            subs: &[],
        }))
    };
    let fields = [bytes(1, b"c"), bytes(2, b"s"), number(7, 25)].concat();
    check_reply(
        &on(Transport::Stream { session: "0a" }),
        r#""connect":{"client":"c","version":"s","ping":25,"session":"0a"}"#,
        &[bytes(5, &[&*fields, &bytes(9, b"0a")].concat())],
    );
    check_reply(
        &on(Transport::Unidirectional),
        r#""connect":{"client":"c","version":"s","ping":25}"#,
        &[bytes(5, &fields)],
    );
}

#[test]
fn replies() {
    check_reply(
        &Reply::Centrifuge(CentrifugeReply::Connected(Connected {
            data: None,
            client: "0-1-2",
            version: "s/1",
            ping_s: 25,
            transport: Transport::Connection,
            ttl_s: None,
            subs: &[],
        })),
        r#""connect":{"client":"0-1-2","version":"s/1","ping":25,"pong":true}"#,
        &[bytes(
            5,
            &[
                bytes(1, b"0-1-2"),
                bytes(2, b"s/1"),
                number(7, 25),
                number(8, 1),
            ]
            .concat(),
        )],
    );
    let subscribed = |position, recovery| {
        Reply::Centrifuge(CentrifugeReply::Subscribed(Subscribed {
            position,
            recovery,
            publications: &[],
            deltas: Deltas::Off,
            ttl_s: None,
        }))
    };
    check_reply(
        &subscribed(None, Recovering::No),
        r#""subscribe":{}"#,
        &[bytes(6, b"")],
    );
    let (epoch, offset) = ("k3", 9);
    check_reply(
        &subscribed(Some(LogPosition { epoch, offset }), Recovering::Recovered),
        r#""subscribe":{"recoverable":true,"positioned":true,"epoch":"k3","offset":9,"recovered":true,"was_recovering":true}"#,
        &[bytes(
            6,
            &[
                number(3, 1),
                number(10, 1),
                bytes(6, b"k3"),
                number(9, 9),
                number(8, 1),
                number(12, 1),
            ]
            .concat(),
        )],
    );
    check_reply(
        &subscribed(None, Recovering::Lost),
        r#""subscribe":{"was_recovering":true}"#,
        &[bytes(6, &number(12, 1))],
    );
}

/// In JSON all data of a subscription with deltas is a string, and in Protobuf it is bytes; what is
/// a delta is marked.
#[test]
fn deltas() {
    let text = r#"{"a":"a long \"text\" that stays as it is","n":1}"#;
    let next_text = text.replace("\"n\":1", "\"n\":2");
    let (base, next) = (json(text), json(&next_text));
    let said = |data| Event::Message {
        room: Some("c"),
        from: "0-1-2",
        sender: None,
        offset: Some(7),
        data: Some(data),
    };
    let whole = both(|dialect, out| {
        dialect.write_whole(out, &said(base)).expect("it has one");
    });
    let escaped = serde_json::to_string(text).expect("text");
    let head = r#"{"push":{"channel":"c","pub":{"info":{"client":"0-1-2"},"offset":7,"#;
    assert_eq!(whole.0, format!(r#"{head}"data":{escaped}}}}}}}"#));
    let plain = both(|dialect, out| {
        dialect.write_event(out, &said(base)).expect("it has one");
    });
    assert_eq!(whole.1, plain.1);
    let change = both(|dialect, out| {
        let written = dialect.write_change(out, &said(next), base);
        written.expect("it is shorter");
    });
    let delta = delta(text.as_bytes(), next_text.as_bytes(), DeltaUnit::Characters);
    let delta = String::from_utf8(delta.expect("it is shorter")).expect("UTF-8");
    let escaped = serde_json::to_string(&delta).expect("text");
    assert_eq!(
        change.0,
        format!(r#"{head}"delta":true,"data":{escaped}}}}}}}"#)
    );
    let publication = [
        bytes(5, &bytes(2, b"0-1-2")),
        number(6, 7),
        number(8, 1),
        bytes(4, delta.as_bytes()),
    ];
    let push = [bytes(2, b"c"), bytes(4, &publication.concat())].concat();
    assert_eq!(change.1, message(&[bytes(4, &push)]));
    // What changes too much, what is no publication, and dialects without deltas.
    let mut out = Vec::new();
    let other = said(json("17"));
    let left = Event::PresenceCount {
        room: "c",
        members: 1,
    };
    for (dialect, event) in [
        (Dialect::CentrifugeJson, &other),
        (Dialect::CentrifugeProtobuf, &other),
        (Dialect::CentrifugeJson, &left),
        (Dialect::NativeJson, &said(next)),
    ] {
        assert!(dialect.write_change(&mut out, event, base).is_err());
    }
    assert_eq!(out, b"");
}

/// The first of a reply is whole, and each of the others builds on the one before it.
#[test]
fn deltas_in_a_reply() {
    let texts: Vec<String> = (0..3)
        .map(|n| format!(r#"{{"a":"a long text that stays as it is","n":{n}}}"#))
        .collect();
    let kept: Vec<KeptMessage<'_>> = texts
        .iter()
        .zip(4..)
        .map(|(text, offset)| KeptMessage {
            offset,
            origin: Origin::From("0-1-2"),
            sender: None,
            data: json(text),
        })
        .collect();
    let change = |of: usize, unit| {
        delta(texts[of - 1].as_bytes(), texts[of].as_bytes(), unit).expect("it is shorter")
    };
    let info = r#"{"info":{"client":"0-1-2"},"#;
    let in_json = |of: usize| {
        let delta = String::from_utf8(change(of, DeltaUnit::Characters)).expect("UTF-8");
        let delta = serde_json::to_string(&delta).expect("text");
        format!(r#"{info}"offset":{},"delta":true,"data":{delta}}}"#, of + 4)
    };
    let first = serde_json::to_string(&texts[0]).expect("text");
    let line = format!(
        r#""subscribe":{{"publications":[{info}"offset":4,"data":{first}}},{},{}],"recovered":true,"was_recovering":true,"delta":true}}"#,
        in_json(1),
        in_json(2)
    );
    let field = |of: usize| {
        let from = bytes(5, &bytes(2, b"0-1-2"));
        let offset = number(6, of as u8 + 4);
        bytes(
            7,
            &match of {
                0 => [from, offset, bytes(4, texts[0].as_bytes())].concat(),
                of => {
                    let delta = bytes(4, &change(of, DeltaUnit::Bytes));
                    [from, offset, number(8, 1), delta].concat()
                }
            },
        )
    };
    let fields = [
        field(0),
        field(1),
        field(2),
        number(8, 1),
        number(12, 1),
        number(13, 1),
    ];
    let subscribed = Subscribed {
        position: None,
        recovery: Recovering::Recovered,
        publications: &kept,
        deltas: Deltas::Fossil,
        ttl_s: None,
    };
    check_reply(
        &Reply::Centrifuge(CentrifugeReply::Subscribed(subscribed)),
        &line,
        &[bytes(6, &fields.concat())],
    );
}

#[test]
fn short_replies() {
    check_reply(&Reply::Ack, r#""publish":{}"#, &[bytes(8, b"")]);
    check_reply(
        &Reply::Left { room: "c" },
        r#""unsubscribe":{}"#,
        &[bytes(7, b"")],
    );
    check_reply(
        &Reply::Result(Some(json("[ 1,\n2]"))),
        r#""rpc":{"data":[ 1, 2]}"#,
        &[bytes(13, &bytes(1, b"[ 1,\n2]"))],
    );
    check_reply(&Reply::Result(None), r#""rpc":{}"#, &[bytes(13, b"")]);
    check_reply(
        &Reply::Centrifuge(CentrifugeReply::PresenceStats {
            clients: 3,
            users: 1,
        }),
        r#""presence_stats":{"num_clients":3,"num_users":1}"#,
        &[bytes(10, &[number(1, 3), number(2, 1)].concat())],
    );
}

#[test]
fn who_is_in_a_channel() {
    let member = |connection, user| Member {
        connection,
        user,
        data: None,
        state: MemberState::Here,
    };
    let members = [
        Member {
            data: Some(json("1")),
            ..member(Some("0-1-2"), Some("ann"))
        },
        member(Some("0-1-3"), None),
        member(None, Some("bob")),
    ];
    let presence = |members| {
        Reply::Presence(Presence {
            room: "c",
            total: 3,
            cursor: None,
            members,
        })
    };
    let entry = |key: &[u8], info: Vec<u8>| bytes(1, &[bytes(1, key), bytes(2, &info)].concat());
    check_reply(
        &presence(&members),
        r#""presence":{"presence":{"0-1-2":{"user":"ann","client":"0-1-2","chan_info":1},"0-1-3":{"client":"0-1-3"},"bob":{"user":"bob"}}}"#,
        &[bytes(
            9,
            &[
                entry(
                    b"0-1-2",
                    [bytes(1, b"ann"), bytes(2, b"0-1-2"), bytes(4, b"1")].concat(),
                ),
                entry(b"0-1-3", bytes(2, b"0-1-3")),
                entry(b"bob", bytes(1, b"bob")),
            ]
            .concat(),
        )],
    );
    check_reply(
        &presence(&[]),
        r#""presence":{"presence":{}}"#,
        &[bytes(9, b"")],
    );
}

#[test]
fn what_a_channel_keeps() {
    let pack = [0xc4, 2, 0xff, 0];
    let messages = [
        KeptMessage {
            offset: 4,
            origin: Origin::From("0-1-2"),
            sender: None,
            data: json("{}"),
        },
        KeptMessage {
            offset: 5,
            origin: Origin::Event("tick"),
            sender: None,
            data: Value::Pack(Pack::parse(&pack).expect("bytes")),
        },
    ];
    let (room, offset) = ("c", 5);
    let page = |messages, loss| {
        Reply::History(HistoryPage {
            room,
            position: LogPosition {
                epoch: "k3",
                offset,
            },
            loss,
            messages,
        })
    };
    check_reply(
        &page(&messages, Some(LossReason::TrimmedBySize)),
        r#""history":{"publications":[{"info":{"client":"0-1-2"},"offset":4,"data":{}},{"tags":{"event":"tick"},"offset":5,"data":"/wA="}],"epoch":"k3","offset":5}"#,
        &[bytes(
            11,
            &[
                bytes(
                    1,
                    &[bytes(5, &bytes(2, b"0-1-2")), number(6, 4), bytes(4, b"{}")].concat(),
                ),
                bytes(
                    1,
                    &[
                        bytes(7, &[bytes(1, b"event"), bytes(2, b"tick")].concat()),
                        number(6, 5),
                        bytes(4, &[0xff, 0]),
                    ]
                    .concat(),
                ),
                bytes(2, b"k3"),
                number(3, 5),
            ]
            .concat(),
        )],
    );
    let unrecoverable = [number(1, 112), bytes(2, b"unrecoverable position")].concat();
    check_reply(
        &page(&messages, Some(LossReason::EpochChanged)),
        r#""error":{"code":112,"message":"unrecoverable position"}"#,
        &[bytes(2, &unrecoverable)],
    );
}

#[test]
fn every_problem_has_its_number_and_says_whether_to_ask_again() {
    for (code, number, temporary) in [
        (Code::BadJson, 107, false),
        (Code::BadRequest, 107, false),
        (Code::UnknownType, 108, false),
        (Code::Unauthorized, 101, false),
        (Code::Forbidden, 103, false),
        (Code::NotJoined, 107, false),
        (Code::TooLarge, 106, false),
        (Code::TokenExpired, 109, false),
        (Code::NoSession, 107, false),
        (Code::RateLimited, 111, true),
        (Code::Timeout, 100, true),
        (Code::HandlerFailed, 100, true),
        (Code::RoomLimit, 106, false),
        (Code::Unavailable, 100, true),
        (Code::UnknownNamespace, 102, false),
        (Code::RoomFull, 106, true),
        (Code::InvalidData, 107, false),
    ] {
        let problem = Problem::new(code, "why");
        let (line, _) = both(|dialect, out| {
            dialect.write_reply(out, None, &Reply::Error(&problem));
        });
        let temporary = if temporary {
            r#","temporary":true"#
        } else {
            ""
        };
        let expected = format!(r#"{{"error":{{"code":{number},"message":"why"{temporary}}}}}"#);
        assert_eq!(line, expected);
    }
    let numbers = Refusal::ALL.map(|refusal| {
        let reply = Reply::Centrifuge(CentrifugeReply::Refused(refusal));
        let (line, _) = both(|dialect, out| dialect.write_reply(out, None, &reply));
        let number = line.strip_prefix(r#"{"error":{"code":"#).expect("an error");
        number[..3].parse::<u32>().expect("a number")
    });
    assert_eq!(numbers, [100, 101, 105, 108, 109, 112]);
}

#[track_caller]
fn check_push(event: &Event<'_>, line: &str, fields: &[Vec<u8>]) {
    let (text, protobuf) = both(|dialect, out| {
        dialect
            .write_event(out, event)
            .expect("there is a push for it");
    });
    assert_eq!(text, format!(r#"{{"push":{{{line}}}}}"#));
    assert_eq!(protobuf, message(&[bytes(4, &fields.concat())]));
    for dialect in [Dialect::CentrifugeJson, Dialect::CentrifugeProtobuf] {
        assert!(dialect.has(event));
    }
}

#[test]
fn pushes() {
    let (room, data) = (Some("c"), Some(json("\"x\"")));
    check_push(
        &Event::Message {
            room,
            from: "0-1-2",
            sender: None,
            offset: Some(4),
            data,
        },
        r#""channel":"c","pub":{"info":{"client":"0-1-2"},"offset":4,"data":"x"}"#,
        &[
            bytes(2, b"c"),
            bytes(
                4,
                &[
                    bytes(5, &bytes(2, b"0-1-2")),
                    number(6, 4),
                    bytes(4, br#""x""#),
                ]
                .concat(),
            ),
        ],
    );
    check_push(
        &Event::Event {
            event: "tick",
            room,
            offset: None,
            data: Some(Value::Bytes(&[1, 2, 255])),
        },
        r#""channel":"c","pub":{"tags":{"event":"tick"},"data":"AQL/"}"#,
        &[
            bytes(2, b"c"),
            bytes(
                4,
                &[
                    bytes(7, &[bytes(1, b"event"), bytes(2, b"tick")].concat()),
                    bytes(4, &[1, 2, 255]),
                ]
                .concat(),
            ),
        ],
    );
    check_push(
        &Event::Message {
            room: None,
            from: "0-1-2",
            sender: None,
            offset: None,
            data: None,
        },
        r#""message":{"data":null}"#,
        &[bytes(8, &bytes(1, b"null"))],
    );
}

#[test]
fn pushes_about_members_and_losses() {
    let data = Some(json("\"x\""));
    for (change, name, tag) in [
        (PresenceChange::Join, "join", 5),
        (PresenceChange::Leave, "leave", 6),
    ] {
        check_push(
            &Event::Presence {
                room: "c",
                change,
                connection: Some("0-1-2"),
                was: None,
                user: Some("ann"),
                data,
            },
            &format!(
                r#""channel":"c","{name}":{{"info":{{"user":"ann","client":"0-1-2","chan_info":"x"}}}}"#
            ),
            &[
                bytes(2, b"c"),
                bytes(
                    tag,
                    &bytes(
                        1,
                        &[bytes(1, b"ann"), bytes(2, b"0-1-2"), bytes(4, br#""x""#)].concat(),
                    ),
                ),
            ],
        );
    }
    let code = vec![2 << 3, 0xc4, 0x13];
    check_push(
        &Event::Missed {
            room: Some("c"),
            count: 3,
            reason: LossReason::TrimmedByAge,
        },
        r#""channel":"c","unsubscribe":{"code":2500,"reason":"insufficient state"}"#,
        &[
            bytes(2, b"c"),
            bytes(7, &[code, bytes(3, b"insufficient state")].concat()),
        ],
    );
}

#[test]
fn what_the_protocol_has_no_word_for_is_not_said() {
    let presence = |change| Event::Presence {
        room: "c",
        change,
        connection: None,
        was: None,
        user: Some("ann"),
        data: None,
    };
    for event in [
        presence(PresenceChange::Away),
        presence(PresenceChange::Back),
        Event::PresenceCount {
            room: "c",
            members: 9,
        },
        Event::Closing {
            reason: "draining",
            reconnect_ms: 1,
        },
        Event::Missed {
            room: Some("c"),
            count: 1,
            reason: LossReason::Conflated,
        },
        Event::Call {
            id: 1,
            method: "m",
            params: None,
        },
    ] {
        for dialect in [Dialect::CentrifugeJson, Dialect::CentrifugeProtobuf] {
            let mut out = Vec::new();
            assert!(dialect.write_event(&mut out, &event).is_err(), "{event:?}");
            assert!(out.is_empty() && !dialect.has(&event));
        }
    }
}
