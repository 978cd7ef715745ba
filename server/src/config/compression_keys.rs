//! The keys of section `[compression]`.

use super::key::{Key, ValueKind};
use shardcast_engine::Compression;

pub(super) const ENABLED: Key = Key {
    name: "compression.enabled",
    flag: None,
    what: "Compresses messages (permessage-deflate) for clients that offer it, as browsers do.",
    kind: ValueKind::Other("true or false", |settings| {
        &mut settings.compression.enabled
    }),
};

pub(super) const THRESHOLD: Key = Key {
    name: "compression.threshold",
    flag: None,
    what: "Shorter messages are sent as they are.",
    kind: ValueKind::Size(Compression::THRESHOLD_BYTES, |settings| {
        &mut settings.compression.threshold_bytes
    }),
};

pub(super) const CONTEXT_TAKEOVER: Key = Key {
    name: "compression.context_takeover",
    flag: None,
    what: "Lets messages refer to earlier ones. Smaller for small messages that are alike, but each connection then takes up to 430 KB, and a broadcast is compressed once for each of them.",
    kind: ValueKind::Other("true or false", |settings| {
        &mut settings.compression.context_takeover
    }),
};

pub(super) const WINDOWS: Key = Key {
    name: "compression.windows",
    flag: None,
    what: "Memory for clients that refer to earlier messages though they were told client_no_context_takeover (Tornado does, browsers do not), shared out evenly to the shards: up to 48 KB each. When it is used up, such a client is closed with 1007.",
    kind: ValueKind::Size(Compression::WINDOWS_BYTES, |settings| {
        &mut settings.compression.windows_bytes_max
    }),
};

pub(super) const MAX_RATIO: Key = Key {
    name: "compression.max_ratio",
    flag: None,
    what: "Bytes that each byte of a client's compressed message may become beyond the first 64KiB; more closes its connection with 1009.",
    kind: ValueKind::Count(
        *Compression::RATIO.start() as usize..=*Compression::RATIO.end() as usize,
        |settings| &mut settings.compression.ratio_max,
    ),
};
