//! Keys of section `[centrifuge]` that are no times. Part of the table in `keys`.

use super::key::{Key, ValueKind};

pub(super) const PERSONAL_CHANNELS: Key = Key {
    name: "centrifuge.personal_channels",
    flag: None,
    what: "What the name of a channel begins with in which every user is from the start, and which ends with the user's name: # makes #ann, inbox:# makes inbox:#ann.",
    kind: ValueKind::Other(
        "none, or 1 to 64 visible ASCII characters without quotes and backslashes",
        |settings| &mut settings.centrifuge.personal_channels,
    ),
};

pub(super) const UNIDIRECTIONAL: Key = Key {
    name: "centrifuge.unidirectional",
    flag: None,
    what: "Serves clients that ask for nothing and hear what their token or the application has them hear, on /connection/uni_websocket, /connection/uni_http_stream and /connection/uni_sse.",
    kind: ValueKind::Other("true or false", |settings| {
        &mut settings.centrifuge.unidirectional
    }),
};
