//! The Centrifuge protocol: a message holds a bounded number of commands and none behind one that
//! is none, what is taken are parts that came, and what a command says stands in the replies and
//! pushes of both encodings, in no more bytes than were foretold.

use crate::values::{check_rooms, check_value, place};
use shardcast_protocol::dialect::centrifuge::{COMMANDS_MAX, Commands, HadOfChannels, Instruction};
use shardcast_protocol::dialect::{
    Command, Decoded, Dialect, Event, Payload, Reply, Request, Rules, Sender, Value,
};
use shardcast_protocol::json::Raw;

/// The input is a client's message, if it is text.
///
/// # Panics
/// A promise is broken.
pub fn centrifuge_json(input: &[u8]) {
    if let Ok(text) = str::from_utf8(input) {
        check(input, Dialect::CentrifugeJson, Payload::Text(text));
    }
}

/// The input is a client's message.
///
/// # Panics
/// A promise is broken.
pub fn centrifuge_protobuf(input: &[u8]) {
    check(input, Dialect::CentrifugeProtobuf, Payload::Binary(input));
}

fn commands<'b>(dialect: Dialect, payload: Payload<'b>) -> Commands<'b> {
    match dialect.read(payload, &Rules::default()) {
        Decoded::Commands(commands) => commands,
        other => panic!("{other:?}"),
    }
}

fn check(input: &[u8], dialect: Dialect, payload: Payload<'_>) {
    let mut count = 0;
    let mut is_over = false;
    for command in commands(dialect, payload) {
        assert!(!is_over, "something behind what is no command");
        count += 1;
        match command {
            Err(bad) => {
                assert!(bad.to_string().starts_with("bad request: "));
                is_over = true;
            }
            Ok(Instruction::Command(command)) => {
                let id = command
                    .id
                    .expect("only a message to the application has none");
                place(input, id.value());
                check_command(input, dialect, &command);
            }
            Ok(Instruction::Send(command)) => {
                assert!(command.id.is_none());
                check_command(input, dialect, &command);
            }
            Ok(Instruction::Connect(id, asked)) => {
                place(input, id.value());
                if let Some(data) = asked.data {
                    place(input, data);
                }
                assert!(asked.had.channels().count() <= HadOfChannels::COUNT_MAX);
            }
            Ok(Instruction::SubRefresh { channel, .. }) => assert!(!channel.is_empty()),
            Ok(Instruction::Pong | Instruction::Refresh(..) | Instruction::Unavailable(_)) => {}
        }
    }
    assert!((1..=COMMANDS_MAX + 1).contains(&count));
}

fn check_command(input: &[u8], dialect: Dialect, command: &Command<'_>) {
    check_rooms(&command.request);
    if let Request::Centrifuge(asked) = &command.request {
        assert!(!asked.channel().is_empty());
    }
    let Some(data) = command.data else {
        return;
    };
    place(input, data);
    match data {
        Value::Bytes(_) => assert_eq!(dialect, Dialect::CentrifugeProtobuf),
        data => check_value(data),
    }
    let mut out = Vec::new();
    dialect.write_reply(&mut out, command.id, &Reply::Result(Some(data)));
    let behind = match dialect {
        Dialect::CentrifugeJson => "}}",
        _ => "",
    };
    check_stands(&out, dialect, data, behind);
    let sender = Sender {
        user: Some("u\u{1}"),
        info: Raw::parse(r#"{"a":"\u0001"}"#).map(Value::Json),
    };
    let event = Event::Message {
        room: Some("r\u{1}"),
        from: "0-1-1",
        sender: Some(&sender),
        offset: Some(u64::MAX),
        data: Some(data),
    };
    for to in Dialect::ALL {
        let mut out = Vec::new();
        to.write_event(&mut out, &event)
            .expect("every dialect can encode what is published");
        assert!(out.len() <= event.bytes_max(to.encoding()), "{to:?}");
        match to {
            Dialect::CentrifugeJson => check_stands(&out, to, data, "}}}"),
            Dialect::CentrifugeProtobuf => check_stands(&out, to, data, ""),
            Dialect::NativeJson | Dialect::JsonRpc | Dialect::MessagePack => {}
        }
    }
}

/// One message, which ends with the data and `behind` that.
fn check_stands(out: &[u8], dialect: Dialect, data: Value<'_>, behind: &str) {
    if dialect == Dialect::CentrifugeProtobuf {
        assert!(out.ends_with(data.as_bytes()));
        let mut len = 0_u64;
        let digits = out.iter().position(|byte| byte & 0x80 == 0);
        let digits = digits.expect("a length comes first") + 1;
        for (at, byte) in out[..digits].iter().enumerate() {
            len |= u64::from(byte & 0x7f) << (7 * at);
        }
        assert_eq!(len as usize, out.len() - digits);
        return;
    }
    let text = str::from_utf8(out).expect("JSON is text");
    assert!(!text.contains('\n'), "{text}");
    let mut expected = Vec::new();
    data.write_json(&mut expected);
    let expected = String::from_utf8(expected).expect("JSON is text");
    let expected = expected.replace('\n', " ") + behind;
    assert!(text.ends_with(&expected), "{text}");
}
