//! What is read: each command in both encodings, and what is none.

use super::{bytes, commands, message, number};
use shardcast_protocol::dialect::centrifuge::{COMMANDS_MAX, Commands, Instruction};
use shardcast_protocol::dialect::{Dialect, Payload};

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
    check_same(
        r#"{"id":7,"subscribe":{"channel":"c","type":1}}"#,
        &[id(), bytes(5, &[bytes(1, b"c"), number(15, 1)].concat())],
        &["Subscribe", "map: Some(MapStep { phase: Live"],
    );
    for (kind, told) in [(2, "Connections"), (3, "Users")] {
        let line = format!(r#"{{"id":7,"subscribe":{{"channel":"c","type":{kind},"phase":2}}}}"#);
        let asked = [bytes(1, b"c"), number(15, kind), vec![0x80, 1, 2]].concat();
        let holds = format!("map: Some(MapStep {{ phase: State, kind: {told}");
        check_same(&line, &[id(), bytes(5, &asked)], &[&holds]);
    }
    check_same(
        r#"{"id":7,"subscribe":{"channel":"c","type":9}}"#,
        &[id(), bytes(5, &[bytes(1, b"c"), number(15, 9)].concat())],
        &["Unavailable"],
    );
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
fn a_filter_is_the_same_in_both_encodings() {
    let leaf = [bytes(2, b"a"), bytes(3, b"eq"), bytes(4, b"b")].concat();
    let list = [
        bytes(2, b"a"),
        bytes(3, b"in"),
        bytes(5, b"b"),
        bytes(5, b"c"),
    ]
    .concat();
    let deep = |depth| {
        (0..depth).fold(leaf.clone(), |node, _| {
            [bytes(1, b"not"), bytes(6, &node)].concat()
        })
    };
    let deep_json = |depth| {
        let leaf = r#"{"key":"a","cmp":"eq","val":"b"}"#.to_owned();
        (0..depth).fold(leaf, |node, _| {
            format!(r#"{{"op":"not","nodes":[{node}]}}"#)
        })
    };
    let list_json = r#"{"key":"a","cmp":"in","vals":["b","c"]}"#;
    let both = [bytes(1, b"and"), bytes(6, &deep(1)), bytes(6, &list)].concat();
    let both_json = format!(r#"{{"op":"and","nodes":[{},{list_json}]}}"#, deep_json(1));
    const READ: &str = "filter: Some(TagFilter(";
    for (line, filter, delta, holds) in [
        (deep_json(0), leaf.clone(), "", READ),
        (list_json.to_owned(), list, "", READ),
        (both_json, both, "", READ),
        (deep_json(15), deep(15), "", READ),
        (deep_json(16), deep(16), "", "BadFilter(Id(ID), TooLarge)"),
        (
            r#"{"op":"and"}"#.to_owned(),
            bytes(1, b"and"),
            "",
            "BadFilter(Id(ID), Malformed)",
        ),
        (
            deep_json(0),
            leaf.clone(),
            "fossil",
            "BadFilter(Id(ID), WithDeltas)",
        ),
    ] {
        let asked = format!(r#"{{"channel":"c","tf":{line},"delta":"{delta}"}}"#);
        let line = format!(r#"{{"id":7,"subscribe":{asked}}}"#);
        let delta = bytes(12, delta.as_bytes());
        let subscribe = [bytes(1, b"c"), bytes(13, &filter), delta].concat();
        check_same(&line, &[number(1, 7), bytes(5, &subscribe)], &[holds]);
    }
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

/// What a client wants of channels that the server subscribes it to: the rest of what it has had,
/// or not all.
#[test]
fn channels_of_a_connect_are_the_same_in_both_encodings() {
    let filter = r#"{"key":"k","cmp":"eq","val":"v"}"#;
    let line = format!(
        r#"{{"id":7,"connect":{{"subs":{{"a":{{"recover":true,"epoch":"e","offset":3}},"b":{{"tf":{filter}}},"c":{{"tf":{{"cmp":"like"}}}},"d":{{}}}}}}}}"#
    );
    let entry =
        |name: &[u8], asked: Vec<u8>| bytes(3, &[bytes(1, name), bytes(2, &asked)].concat());
    let node = [bytes(2, b"k"), bytes(3, b"eq"), bytes(4, b"v")].concat();
    let subs = [
        entry(b"a", [number(3, 1), bytes(6, b"e"), number(7, 3)].concat()),
        entry(b"b", bytes(13, &node)),
        entry(b"c", bytes(13, &bytes(3, b"like"))),
        entry(b"d", Vec::new()),
    ];
    let wanted = |commands: Commands<'_>| {
        let mut commands = commands;
        let Some(Ok(Instruction::Connect(_, asked))) = commands.next() else {
            panic!("no connect");
        };
        let wanted = asked.had.channels();
        let wanted = wanted.map(|wanted| format!("{wanted:?}"));
        wanted.collect::<Vec<String>>()
    };
    let json = wanted(commands(Dialect::CentrifugeJson, Payload::Text(&line)));
    let message = message(&[number(1, 7), bytes(4, &subs.concat())]);
    let payload = Payload::Binary(&message);
    assert_eq!(wanted(commands(Dialect::CentrifugeProtobuf, payload)), json);
    let holds = [
        ["channel: \"a\"", "offset: 3", "filter: None"],
        [
            "channel: \"b\"",
            "since: None",
            "filter: Some(Ok(TagFilter(",
        ],
        [
            "channel: \"c\"",
            "since: None",
            "filter: Some(Err(Malformed))",
        ],
    ];
    assert_eq!(json.len(), holds.len(), "{json:?}");
    for (wanted, parts) in json.iter().zip(holds) {
        assert!(parts.iter().all(|part| wanted.contains(part)), "{wanted}");
    }
}
