//! The Centrifuge protocol: a message holds a bounded number of commands and none behind one that
//! is none, what is taken are parts that came, and what a command says stands in the replies and
//! pushes of both encodings, in no more bytes than were foretold.

use crate::values::{check_rooms, check_value, place};
use shardcast_protocol::dialect::centrifuge::{
    COMMANDS_MAX, CentrifugeRequest, Commands, Emulated, HadOfChannels, Instruction, KeyChange,
    MapEntry, TagFilter, Tags, connect_command, entry_of, named_entry, pushed_alone,
};
use shardcast_protocol::dialect::{
    Command, Decoded, Dialect, Event, Payload, Reply, Request, Rules, Sender, Value,
};
use shardcast_protocol::frame::Kind;
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

/// The input is what decides how the rest is read, and a body that commands come in beside a
/// stream.
///
/// # Panics
/// A promise is broken.
pub fn emulation(input: &[u8]) {
    let [kind, body @ ..] = input else { return };
    let (kind, dialect) = match kind % 2 {
        0 => (Kind::Text, Dialect::CentrifugeJson),
        _ => (Kind::Binary, Dialect::CentrifugeProtobuf),
    };
    let Ok(emulated) = Emulated::read(body, kind) else {
        return;
    };
    assert!(emulated.session.len() + emulated.data.len() <= body.len());
    match (dialect, str::from_utf8(&emulated.data)) {
        (Dialect::CentrifugeJson, Ok(text)) => {
            check(&emulated.data, dialect, Payload::Text(text));
        }
        (Dialect::CentrifugeJson, Err(_)) => panic!("text was read of JSON"),
        _ => check(&emulated.data, dialect, Payload::Binary(&emulated.data)),
    }
}

/// The input is the request of a client that asks for nothing, as it comes in a query or a body.
///
/// # Panics
/// A promise is broken.
pub fn cf_connect(input: &[u8]) {
    let command = connect_command(input);
    assert!(!command.contains(&b'\n'), "it is one line");
    let Ok(text) = str::from_utf8(&command) else {
        return;
    };
    let dialect = Dialect::CentrifugeJson;
    check(&command, dialect, Payload::Text(text));
    let all: Vec<_> = commands(dialect, Payload::Text(text)).collect();
    assert_eq!(all.len(), 1, "{text}");
    let request = Raw::parse(&text[CONNECT.len()..text.len() - 1]);
    let is_object = request.is_some_and(|request| request.as_str().starts_with('{'));
    if let ([Ok(asked)], true) = (&all[..], is_object) {
        assert!(matches!(asked, Instruction::Connect(..)), "{asked:?}");
    }
    let (before, rest) = pushed_alone(input);
    assert!(before.len() + rest.len() <= input.len());
}

/// What stands before such a request.
const CONNECT: &str = r#"{"id":1,"connect":"#;

/// The input is a filter as it is kept, and its tags behind that: what decides where they are, the
/// filter, and texts with line feeds between.
///
/// # Panics
/// A promise is broken.
pub fn filter(input: &[u8]) {
    let [high, low, rest @ ..] = input else {
        return;
    };
    let bytes = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (kept, tags) = rest.split_at(bytes);
    let tags = String::from_utf8_lossy(tags);
    let mut texts = tags.split('\n');
    let tags: Tags<'_> = std::iter::from_fn(|| Some((texts.next()?, texts.next()?))).collect();
    let passes = TagFilter::passes_kept(kept, &tags);
    match TagFilter::of_bytes(kept) {
        Some(filter) => {
            assert_eq!(filter.passes(&tags), passes);
            check_filter(&filter);
        }
        // Whatever it is, nothing but its beginning was read.
        None => assert!(kept.len() > 1 || !passes),
    }
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
            Ok(
                Instruction::Pong
                | Instruction::Refresh(..)
                | Instruction::Unavailable(_)
                | Instruction::BadFilter(..),
            ) => {}
        }
    }
    assert!((1..=COMMANDS_MAX + 1).contains(&count));
}

/// It is kept as it was asked, and what it says of tags does not depend on that.
fn check_filter(filter: &TagFilter) {
    assert!(filter.as_bytes().len() <= TagFilter::BYTES_MAX);
    let kept = TagFilter::of_bytes(filter.as_bytes());
    assert_eq!(kept.as_ref(), Some(filter));
    for tags in [
        &[][..],
        &[("a", "1"), ("b", "")],
        &[("a", "b"), ("k", "-0.5")],
    ] {
        let tags: Tags<'_> = tags.iter().copied().collect();
        let passes = TagFilter::passes_kept(filter.as_bytes(), &tags);
        assert_eq!(filter.passes(&tags), passes);
    }
}

fn check_command(input: &[u8], dialect: Dialect, command: &Command<'_>) {
    check_rooms(&command.request);
    if let Request::Centrifuge(asked) = &command.request {
        assert!(!asked.channel().is_empty());
        if let CentrifugeRequest::Subscribe(asked) = asked {
            asked.filter.as_ref().into_iter().for_each(check_filter);
        }
    }
    let change = match &command.request {
        Request::Publish(asked) => asked.keys.as_deref().and_then(|keys| keys.change),
        _ => None,
    };
    let Some(data) = command.data else {
        return;
    };
    if change == Some(KeyChange::Remove) {
        assert_eq!(data, Value::Json(Raw::NULL), "what is removed has no data");
        return check_removal(&command.request);
    }
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

/// What the name of a removal says is read back, and every dialect has words for it.
fn check_removal(request: &Request<'_>) {
    let Request::Publish(asked) = request else {
        return;
    };
    let key = asked
        .keys
        .as_deref()
        .and_then(|keys| keys.conflation.as_deref());
    let entry = MapEntry::of_server(key.unwrap_or(""), KeyChange::Remove);
    let name = named_entry(None, &entry);
    let read = (!entry.key.is_empty()).then_some(entry);
    assert_eq!(entry_of(&name), read);
    let event = Event::Event {
        event: &name,
        room: Some("r"),
        offset: Some(u64::MAX),
        data: Some(Value::Json(Raw::NULL)),
    };
    for to in Dialect::ALL {
        let mut out = Vec::new();
        to.write_event(&mut out, &event)
            .expect("every dialect can encode it");
        assert!(out.len() <= event.bytes_max(to.encoding()), "{to:?}");
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
