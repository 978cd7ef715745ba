//! Published data in every dialect: it stands there as its encoding writes it, in no more
//! bytes than were foretold.

use shardcast_protocol::dialect::{Dialect, Encoding, Event, Value};
use shardcast_protocol::json::Raw;
use shardcast_protocol::pack::Pack;

/// The first byte chooses the dialect in whose encoding the rest is.
///
/// # Panics
/// A promise is broken.
pub fn translation(input: &[u8]) {
    let [choice, data @ ..] = input else {
        return;
    };
    let from = Dialect::OWN[usize::from(*choice) % Dialect::OWN.len()];
    let value = match from.encoding() {
        Encoding::Json => str::from_utf8(data)
            .ok()
            .and_then(Raw::parse)
            .map(Value::Json),
        Encoding::Pack => Pack::parse(data).map(Value::Pack),
    };
    let Some(value) = value else { return };
    let (room, data) = (Some("r\u{1}"), Some(value));
    for to in Dialect::ALL {
        let mut expected = Vec::new();
        value.write(&mut expected, to.encoding());
        let bytes_max = value.bytes_max(to.encoding());
        assert!(expected.len() <= bytes_max, "{from:?} {to:?}");
        for event in [
            Event::Message {
                room,
                from: "0-1-1",
                sender: None,
                offset: None,
                data,
            },
            Event::Event {
                event: "e\"",
                room,
                offset: Some(u64::MAX),
                data,
            },
        ] {
            let mut written = Vec::new();
            to.write_event(&mut written, &event)
                .expect("every dialect can encode what is published");
            assert!(written.len() <= event.bytes_max(to.encoding()), "{to:?}");
            let behind = match to {
                Dialect::NativeJson => "}",
                Dialect::JsonRpc => "}}",
                Dialect::MessagePack => "",
                // What stands there is `centrifuge`'s to say.
                Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => continue,
            };
            let data = written.strip_suffix(behind.as_bytes());
            let stands = data.is_some_and(|data| data.ends_with(&expected));
            assert!(stands, "{from:?} {to:?}");
        }
    }
}
