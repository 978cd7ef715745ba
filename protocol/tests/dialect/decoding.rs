//! What was read, as one line of text: so that a row of a table says all of it. And building what
//! is to be read.

use shardcast_protocol::dialect::{
    Command, Decoded, Dialect, Id, InvalidRequest, Item, Join, JoinSince, Payload, Publish,
    PublishTarget, ReadOrder, ReplyMode, Request, Response, Rooms, Rules, Since, Value,
};
use shardcast_protocol::json::Raw;
use shardcast_protocol::pack::Pack;

/// One message, read.
pub(crate) fn read<'b>(dialect: Dialect, message: &'b [u8], rules: &Rules) -> Decoded<'b> {
    let payload = match dialect {
        Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => unreachable!("it speaks another"),
        Dialect::NativeJson | Dialect::JsonRpc => {
            Payload::Text(str::from_utf8(message).expect("text messages are UTF-8"))
        }
        Dialect::MessagePack => Payload::Binary(message),
    };
    dialect.read(payload, rules)
}

/// Reads a message and compares the lines.
#[track_caller]
pub(crate) fn check(dialect: Dialect, message: &[u8], expected: &[&str]) {
    let lines = lines(&read(dialect, message, &Rules::default()));
    assert_eq!(lines, expected, "{}", message.escape_ascii());
}

/// A line for each item; those of several after one that says so.
pub(crate) fn lines(decoded: &Decoded<'_>) -> Vec<String> {
    match decoded {
        Decoded::One(item) => vec![line(item)],
        Decoded::Commands(_) => unreachable!("they have tests of their own"),
        Decoded::Many(items) => {
            let items = items.as_slice();
            let lines = items.iter().map(line).collect();
            [vec![format!("batch of {}", items.len())], lines].concat()
        }
    }
}

fn line(item: &Result<Item<'_>, InvalidRequest<'_>>) -> String {
    match item {
        Ok(Item::Command(command)) => command_line(command),
        Ok(Item::Response(response)) => response_line(response),
        Err(invalid) => {
            let id = invalid
                .id
                .map_or(String::new(), |id| format!(" id={}", id_text(id)));
            let problem = &invalid.problem;
            let (code, number) = (problem.code.as_str(), problem.json_rpc());
            format!(
                "{code} {number}{id}{}: {}",
                silence(invalid.reply),
                problem.message
            )
        }
    }
}

fn command_line(command: &Command<'_>) -> String {
    let request = &command.request;
    let mut line = request.name().to_owned();
    let mut add = |key: &str, text: Option<String>| {
        if let Some(text) = text {
            line += &format!(" {key}={text}");
        }
    };
    add("id", command.id.map(id_text));
    add(
        "room",
        command.room.as_ref().map(|room| format!("{room:?}")),
    );
    let publish = match request {
        Request::Broadcast(publish) | Request::Publish(publish) => Some(publish),
        _ => None,
    };
    let target = publish.map(|publish| &publish.target);
    let rooms = match (request, target) {
        (Request::Join(Join { rooms, .. }) | Request::Leave(rooms), _) => Some(rooms),
        (_, Some(PublishTarget::Rooms(rooms))) => Some(rooms),
        _ => None,
    };
    if let Some(Rooms::One(room)) = rooms {
        assert_eq!(Some(room), command.room.as_ref());
    }
    if let Some(Rooms::Many(list)) = rooms {
        let names: Vec<_> = list.names().collect();
        assert_eq!(names.len(), list.count());
        add("rooms", Some(format!("{names:?}")));
    }
    if let Some(PublishTarget::User(user)) = target {
        add("user", Some(format!("{user:?}")));
    }
    add("data", command.data.map(text));
    let echo = publish.and_then(|publish| publish.echo);
    add("echo", echo.map(|echo| echo.to_string()));
    let reports = publish.is_some_and(|publish| publish.report);
    add("report", reports.then(|| "true".into()));
    if let Request::Presence(query) = request {
        assert_eq!(Some(&query.room), command.room.as_ref());
        add("limit", query.limit.map(|limit| limit.to_string()));
        let cursor = query.cursor.as_ref();
        add("cursor", cursor.map(|cursor| format!("{cursor:?}")));
    }
    if let Request::Join(Join {
        presence: Some(shown),
        ..
    }) = request
    {
        add("presence", Some(text(**shown)));
    }
    line += &kept_line(command, publish);
    line + silence(command.reply)
}

/// What of a request is about what rooms keep.
fn kept_line(command: &Command<'_>, publish: Option<&Publish<'_>>) -> String {
    let (request, mut line) = (&command.request, String::new());
    let mut add = |key: &str, text: Option<String>| {
        if let Some(text) = text {
            line += &format!(" {key}={text}");
        }
    };
    if let Request::Join(Join {
        since: Some(since), ..
    }) = request
    {
        let since = match &**since {
            JoinSince::Room(since) => since_text(since),
            JoinSince::Rooms(rooms) => {
                let rooms = rooms.rooms();
                let rooms = rooms.map(|(room, since)| format!("{room:?} {}", since_text(&since)));
                format!("{{{}}}", rooms.collect::<Vec<_>>().join(", "))
            }
        };
        add("since", Some(since));
    }
    if let Request::History(query) = request {
        assert_eq!(Some(&query.room), command.room.as_ref());
        add("limit", query.limit.map(|limit| limit.to_string()));
        add("since", query.since.as_ref().map(since_text));
        let reverse = query.order == ReadOrder::Reverse;
        add("reverse", reverse.then(|| "true".into()));
    }
    if let Request::Resume(resume) = request {
        add("token", Some(format!("{:?}", resume.token)));
        let rooms = resume.since.map(|since| {
            let rooms = since.rooms();
            let rooms = rooms.map(|(room, since)| format!("{room:?} {}", since_text(&since)));
            format!("{{{}}}", rooms.collect::<Vec<_>>().join(", "))
        });
        add("since", rooms);
    }
    if let Some(keys) = publish.and_then(|publish| publish.keys.as_ref()) {
        add(
            "key",
            keys.idempotency.as_ref().map(|key| format!("{key:?}")),
        );
        add(
            "conflate",
            keys.conflation.as_ref().map(|key| format!("{key:?}")),
        );
    }
    line
}

fn since_text(since: &Since<'_>) -> String {
    format!("{:?}/{}", since.epoch, since.offset)
}

fn response_line(response: &Response<'_>) -> String {
    let id = response.id;
    match &response.outcome {
        Ok(value) => format!("response {id}: {}", text(*value)),
        Err(error) => {
            let data = error
                .data
                .map_or(String::new(), |data| format!(" data={}", text(data)));
            format!(
                "response {id}: error {} {}{data}",
                error.code, error.message
            )
        }
    }
}

fn silence(reply: ReplyMode) -> &'static str {
    match reply {
        ReplyMode::Always => "",
        ReplyMode::UnlessDone => " (unless done)",
        ReplyMode::Never => " (silence)",
    }
}

fn id_text(id: Id<'_>) -> String {
    text(id.value())
}

/// JSON as it was sent; MessagePack as JSON.
pub(crate) fn text(value: Value<'_>) -> String {
    let mut out = Vec::new();
    value.write_json(&mut out);
    String::from_utf8(out).expect("JSON is text")
}

pub(crate) fn json(text: &str) -> Value<'_> {
    Value::Json(Raw::parse(text).expect(text))
}

pub(crate) fn pack(bytes: &[u8]) -> Value<'_> {
    Value::Pack(Pack::parse(bytes).expect("MessagePack"))
}

/// JSON as MessagePack, by the oracle.
pub(crate) fn packed(json: &str) -> Vec<u8> {
    let tree: super::tree::Tree = serde_json::from_str(json).expect(json);
    rmp_serde::to_vec(&tree).expect("memory")
}
