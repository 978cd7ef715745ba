//! Keys that have one counterpart each, those that are so here anyway, and why others have none.

use super::imported::Imported;
use super::names::ForeignKeys;
use super::page::Page;
use super::values::{count, duration};
use serde_json::Value;

/// How a value is written here.
#[derive(Clone, Copy)]
enum Sort {
    Duration,
    /// 0 stands for none, which is the default.
    Count,
    Flag,
}

/// Their name, and ours.
const SAME: &[(&str, &str, Sort)] = &[
    (
        "channel.max_length",
        "limits.max_room_name_bytes",
        Sort::Count,
    ),
    (
        "client.channel_limit",
        "limits.max_rooms_per_connection",
        Sort::Count,
    ),
    (
        "client.connection_limit",
        "limits.max_connections",
        Sort::Count,
    ),
    (
        "client.ping_interval",
        "centrifuge.ping_interval",
        Sort::Duration,
    ),
    (
        "client.pong_timeout",
        "centrifuge.pong_timeout",
        Sort::Duration,
    ),
    ("client.queue_max_size", "limits.outbox_bytes", Sort::Count),
    (
        "client.stale_close_delay",
        "centrifuge.connect_timeout",
        Sort::Duration,
    ),
    ("shutdown.timeout", "server.drain_timeout", Sort::Duration),
    ("websocket.compression", "compression.enabled", Sort::Flag),
    (
        "websocket.compression_min_size",
        "compression.threshold",
        Sort::Count,
    ),
    (
        "websocket.message_size_limit",
        "limits.max_message_bytes",
        Sort::Count,
    ),
];

/// What is so here whatever they say, or with this value.
const NEEDLESS: &[(&str, Option<&str>)] = &[
    ("channel.namespace_boundary", Some(":")),
    ("channel.user_boundary", Some("#")),
    ("channel.user_separator", Some(",")),
    ("client.allowed_delta_types", None),
    ("emulation.handler_prefix", Some("/emulation")),
    ("engine.type", Some("memory")),
    ("health.enabled", None),
    (
        "http_stream.handler_prefix",
        Some("/connection/http_stream"),
    ),
    ("prometheus.enabled", None),
    ("sse.handler_prefix", Some("/connection/sse")),
    (
        "uni_http_stream.handler_prefix",
        Some("/connection/uni_http_stream"),
    ),
    ("uni_sse.handler_prefix", Some("/connection/uni_sse")),
    (
        "uni_websocket.handler_prefix",
        Some("/connection/uni_websocket"),
    ),
    ("usage_stats.disabled", None),
    ("websocket.handler_prefix", Some("/connection/websocket")),
];

/// What stands here for whole sections, or what does not.
const REASONS: &[(&str, &str)] = &[
    (
        "admin.",
        "there is no web interface; the admin port is docs/operations.md",
    ),
    ("broker.", "the broker has no such option here"),
    (
        "channel.proxy",
        "what asks a backend is configured otherwise",
    ),
    (
        "client.connect_proxy",
        "what asks a backend is configured otherwise",
    ),
    (
        "client.proxy",
        "what asks a backend is configured otherwise",
    ),
    (
        "client.refresh_proxy",
        "what asks a backend is configured otherwise",
    ),
    ("consumers", "nothing is consumed from queues and tables"),
    ("engine.", "the broker has no such option here"),
    ("graphite.", "metrics are read at /metrics"),
    ("grpc_api.", "the server API speaks HTTP"),
    ("proxies", "what asks a backend is configured otherwise"),
    ("proxy", "what asks a backend is configured otherwise"),
    ("rpc.", "what asks a backend is configured otherwise"),
    (
        "uni_grpc.",
        "unidirectional clients connect with HTTP and WebSocket",
    ),
    ("webtransport.", "there is no WebTransport"),
];

pub(super) fn import(keys: &mut ForeignKeys, page: &mut Page, imported: &mut Imported) {
    for (theirs, ours, sort) in SAME {
        let Some(value) = keys.take(theirs) else {
            continue;
        };
        match (sort, &value) {
            (Sort::Flag, Value::Bool(flag)) => page.set(ours, flag),
            (Sort::Count, value) if value.as_u64() == Some(0) => {}
            (Sort::Count, value) if count(value).is_some() => page.set(ours, value),
            (Sort::Duration, value) if duration(value).is_some() => {
                let text = duration(value).unwrap_or_default();
                page.set(ours, format!("\"{text}\""));
            }
            _ => imported
                .left_out
                .push(format!("{theirs}: {value} cannot be {ours}")),
        }
    }
    if let Some(level) = keys.take_text("log.level") {
        let ours = match &*level {
            "trace" | "debug" | "info" | "warn" | "error" => &level,
            _ => "error",
        };
        page.set("log.level", format!("\"{ours}\""));
    }
    transports(keys, page);
    for (name, value) in NEEDLESS {
        let given = keys.take(name);
        let differs = value.is_some() && given.as_ref().and_then(Value::as_str) != *value;
        if given.is_some() && differs {
            imported.left_out.push(format!(
                "{name}: it is always {}",
                value.unwrap_or_default()
            ));
        }
    }
}

/// Streams are there unless they are turned off, and were not unless they were turned on.
fn transports(keys: &mut ForeignKeys, page: &mut Page) {
    let has = |keys: &mut ForeignKeys, name: &str| keys.take_flag(&format!("{name}.enabled"));
    let streams = ["http_stream", "sse"].map(|name| has(keys, name));
    let others = ["uni_websocket", "uni_http_stream", "uni_sse"].map(|name| has(keys, name));
    page.set("fallback.enabled", streams.contains(&true));
    page.set("centrifuge.unidirectional", others.contains(&true));
}

/// Why a key has no counterpart.
pub(super) fn why(name: &str) -> &'static str {
    let mut reasons = REASONS.iter();
    let reason = reasons.find(|(beginning, _)| name.starts_with(beginning));
    reason.map_or("there is no such key", |(_, reason)| reason)
}
