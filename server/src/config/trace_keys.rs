//! The keys of section `[tracing]`.

use super::key::{Key, ValueKind};
use std::time::Duration;

const PATH_RULE: &str =
    "none or the path of a file, without quotes, backslashes and control characters";

pub(super) const ENDPOINT: Key = Key {
    name: "tracing.endpoint",
    flag: None,
    what: "Where a collector takes traces by OTLP over HTTP in Protobuf, with its path, such as http://127.0.0.1:4318/v1/traces. https, or http on this host (elsewhere only with server.insecure). none: nothing is recorded.",
    kind: ValueKind::Other(
        "none or a URL of at most 1024 characters, without quotes, backslashes and control characters",
        |settings| &mut settings.tracing.endpoint,
    ),
};
pub(super) const SAMPLE: Key = Key {
    name: "tracing.sample",
    flag: None,
    what: "How many of the requests that belong to no trace are recorded: 0 none, 0.01 one of a hundred, 1 all.",
    kind: ValueKind::Other("a number from 0 to 1, without exponent", |settings| {
        &mut settings.tracing.sample
    }),
};
pub(super) const CALLERS: Key = Key {
    name: "tracing.callers",
    flag: None,
    what: "Whether a request with a traceparent is recorded as that says (follow), or as any other (ignore), for clients that are not to decide.",
    kind: ValueKind::Other("follow or ignore", |settings| &mut settings.tracing.callers),
};
pub(super) const SERVICE_NAME: Key = Key {
    name: "tracing.service_name",
    flag: None,
    what: "What this server is called where traces are shown (service.name).",
    kind: ValueKind::Other(
        "1 to 255 characters, without quotes, backslashes and control characters",
        |settings| &mut settings.tracing.service_name,
    ),
};
pub(super) const HEADERS_FILE: Key = Key {
    name: "tracing.headers_file",
    flag: None,
    what: "File of headers that go with each request to the collector, Name: value, one a line, such as its key.",
    kind: ValueKind::Other(PATH_RULE, |settings| &mut settings.tracing.headers_file),
};
pub(super) const AUTHORITIES: Key = Key {
    name: "tracing.authorities",
    flag: None,
    what: "Certificates in PEM that the collector is trusted by, instead of those that the host trusts.",
    kind: ValueKind::Other(PATH_RULE, |settings| &mut settings.tracing.authorities),
};
pub(super) const TIMEOUT: Key = Key {
    name: "tracing.timeout",
    flag: None,
    what: "How long the collector may take to answer one request; it is sent four times at most.",
    kind: ValueKind::Time(
        Duration::from_millis(100)..=Duration::from_secs(60),
        |settings| &mut settings.tracing.timeout,
    ),
};
pub(super) const QUEUE: Key = Key {
    name: "tracing.queue",
    flag: None,
    what: "Steps of traces that wait to be sent; one more is dropped, and counted.",
    kind: ValueKind::Count(16..=1_048_576, |settings| &mut settings.tracing.queue),
};
