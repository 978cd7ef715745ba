//! MessagePack: what is taken are bytes that came, answers are valid with the same id and data,
//! what is valid as a whole is valid in its parts, and a value is translated within its bounds and
//! loses its control characters only.

use crate::values::{check_rooms, check_value, place};
use shardcast_protocol::dialect::{
    Decoded, Dialect, ID_BYTES_MAX, Item, Payload, Reply, Rules, Value,
};
use shardcast_protocol::pack::Pack;

/// The input is a client's message, and a value as well.
///
/// # Panics
/// A promise is broken.
pub fn messagepack(input: &[u8]) {
    if let Some(pack) = Pack::parse(input) {
        assert_eq!(pack.as_bytes(), input);
        check_value(Value::Pack(pack));
    }
    let decoded = Dialect::MessagePack.read(Payload::Binary(input), &Rules::default());
    let Decoded::One(item) = decoded else {
        panic!("there are no batches in MessagePack");
    };
    let (id, data) = match &item {
        Ok(Item::Command(command)) => {
            check_rooms(&command.request);
            (command.id, command.data)
        }
        Ok(Item::Response(_)) => panic!("there are no responses in MessagePack"),
        Err(invalid) => (invalid.id, None),
    };
    let mut out = Vec::new();
    let reply = match &item {
        Ok(_) => Reply::Echo { data },
        Err(invalid) => Reply::Error(&invalid.problem),
    };
    Dialect::MessagePack.write_reply(&mut out, id, &reply);
    // An answer has the same keys as a request.
    let read = Dialect::MessagePack.read(Payload::Binary(&out), &Rules::default());
    let Decoded::One(Ok(Item::Command(read))) = read else {
        panic!("{}: {read:?}", out.escape_ascii());
    };
    assert_eq!((read.id, read.data), (id, data));
    if let Some(id) = id {
        place(input, id.value());
        assert!(id.value().as_bytes().len() <= ID_BYTES_MAX);
    }
    if let Some(data) = data {
        place(input, data);
    }
}
