//! The native dialect's requests: what is taken is text that came, the answers to it are valid JSON
//! with the same id and data, and what is refused is refused with an answer that can be read.

use crate::values::{check_rooms, place};
use shardcast_protocol::dialect::{
    Command, Decoded, Dialect, ID_BYTES_MAX, Id, InvalidRequest, Item, Joined, Payload, Reply,
    Rules, Value,
};

/// The input is a client's message, if it is text.
///
/// # Panics
/// A promise is broken.
pub fn envelope(input: &[u8]) {
    let Ok(message) = str::from_utf8(input) else {
        return;
    };
    let mut out = Vec::new();
    match read(message) {
        Ok(command) => {
            let (id, data) = (command.id, command.data);
            assert!(id.is_none_or(|id| id.value().as_bytes().len() <= ID_BYTES_MAX));
            for value in [id.map(Id::value), data].into_iter().flatten() {
                place(input, value);
            }
            check_rooms(&command.request);
            Dialect::NativeJson.write_reply(&mut out, id, &Reply::Pong { data });
            check(&out, "pong", id, data);
            if let Some(room) = command.room.as_deref() {
                out.clear();
                let joined = Joined {
                    room,
                    members: 1,
                    position: None,
                    recovery: None,
                };
                Dialect::NativeJson.write_reply(&mut out, id, &Reply::Joined(joined));
                let read = check(&out, "joined", id, None);
                assert_eq!(
                    read.room.as_deref(),
                    Some(room),
                    "a name is written as it was read"
                );
            }
        }
        Err(invalid) => {
            if let Some(id) = invalid.id {
                place(input, id.value());
            }
            let error = Reply::Error(&invalid.problem);
            Dialect::NativeJson.write_reply(&mut out, invalid.id, &error);
            check(&out, "error", invalid.id, None);
        }
    }
}

fn read(message: &str) -> Result<Command<'_>, InvalidRequest<'_>> {
    match Dialect::NativeJson.read(Payload::Text(message), &Rules::default()) {
        Decoded::One(Ok(Item::Command(command))) => Ok(command),
        Decoded::One(Err(invalid)) => Err(invalid),
        other => panic!("{other:?}: a message of the dialect is one request"),
    }
}

/// Reads an answer as if it were a request: it has the same keys.
fn check<'b>(
    out: &'b [u8],
    kind: &str,
    id: Option<Id<'_>>,
    data: Option<Value<'_>>,
) -> Command<'b> {
    let text = str::from_utf8(out).expect("UTF-8");
    let command = read(text).unwrap_or_else(|invalid| panic!("{text}: {invalid:?}"));
    assert!(
        command.request.name() == kind && command.id == id && command.data == data,
        "{text}"
    );
    command
}
