//! What was read, as one line of text: so that a row of a table says all of it. And building what is to be read.

use shardcast_protocol::dialect::{
    Command, Dialect, Id, Incoming, Payload, Refused, Response, Rules, Said, Value, Wants,
};
use shardcast_protocol::json::Raw;
use shardcast_protocol::pack::Pack;

/// One message, read.
pub(crate) fn read<'b>(dialect: Dialect, message: &'b [u8], rules: &Rules) -> Incoming<'b> {
    let payload = match dialect {
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

/// A line for each thing said; those of a batch after one that says so.
pub(crate) fn lines(incoming: &Incoming<'_>) -> Vec<String> {
    match incoming {
        Incoming::One(said) => vec![line(said)],
        Incoming::Batch(batch) => {
            let members: Vec<String> = batch.members().map(|said| line(&said)).collect();
            assert_eq!(members.len(), batch.count());
            [vec![format!("batch of {}", batch.count())], members].concat()
        }
    }
}

fn line(said: &Result<Said<'_>, Refused<'_>>) -> String {
    match said {
        Ok(Said::Command(command)) => command_line(command),
        Ok(Said::Response(response)) => response_line(response),
        Err(refused) => {
            let id = refused
                .id
                .map_or(String::new(), |id| format!(" id={}", id_text(id)));
            let problem = &refused.problem;
            let (code, number) = (problem.code.as_str(), problem.json_rpc());
            format!(
                "{code} {number}{id}{}: {}",
                silence(refused.wants),
                problem.message
            )
        }
    }
}

fn command_line(command: &Command<'_>) -> String {
    let mut line = command.kind.to_string();
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
    add(
        "rooms",
        command.rooms.map(|rooms| {
            let names: Vec<_> = rooms.names().collect();
            assert_eq!(names.len(), rooms.count());
            format!("{names:?}")
        }),
    );
    add(
        "user",
        command.user.as_ref().map(|user| format!("{user:?}")),
    );
    add("data", command.data.map(text));
    add("echo", command.echo.map(|echo| echo.to_string()));
    add("report", command.report.then(|| "true".into()));
    add("limit", command.limit.map(|limit| limit.to_string()));
    line + silence(command.wants)
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

fn silence(wants: Wants) -> &'static str {
    match wants {
        Wants::Answer => "",
        Wants::Silence => " (silence)",
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
