//! What is written in reply to commands.

use super::{both, bytes, commands, json, message, number};
use shardcast_protocol::delta::{DeltaUnit, delta};
use shardcast_protocol::dialect::centrifuge::{
    CentrifugeReply, Connected, Deltas, Recovering, Refusal, Subscribed, Transport,
};
use shardcast_protocol::dialect::{
    Code, Dialect, Event, HistoryPage, KeptMessage, LogPosition, LossReason, Member, MemberState,
    Origin, Payload, Presence, Problem, Reply, Value,
};
use shardcast_protocol::pack::Pack;

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
