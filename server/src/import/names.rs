//! The keys of a configuration of Centrifugo by the names that version 6 has for them, sections
//! before a dot: flat ones of version 5 are renamed.

use super::options::OPTIONS;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Keys that nobody has taken yet.
#[derive(Debug)]
pub(super) struct ForeignKeys(BTreeMap<String, Value>);

impl ForeignKeys {
    pub(super) fn new(config: &Map<String, Value>) -> ForeignKeys {
        let mut keys = BTreeMap::new();
        for (name, value) in config {
            match value {
                Value::Object(section) => flatten(&mut keys, name, section),
                value => {
                    keys.insert(name_of(name), value.clone());
                }
            }
        }
        let mut keys = ForeignKeys(keys);
        keys.drop_disabled();
        keys
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// A text that is there, and stays.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A text that is not empty.
    pub(super) fn take_text(&mut self, name: &str) -> Option<String> {
        let value = self.take(name)?;
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    }

    pub(super) fn take_flag(&mut self, name: &str) -> bool {
        self.take(name)
            .is_some_and(|value| value == Value::Bool(true))
    }

    /// Names of what nobody has taken.
    pub(super) fn rest(self) -> Vec<String> {
        self.0.into_keys().collect()
    }

    /// Of a feature that is off, nothing counts.
    fn drop_disabled(&mut self) {
        let off = self.0.iter().filter_map(|(name, value)| {
            let section = name.strip_suffix(".enabled")?;
            (*value == Value::Bool(false)).then(|| format!("{section}."))
        });
        for section in off.collect::<Vec<String>>() {
            self.0.retain(|name, _| !name.starts_with(&section));
        }
    }
}

fn flatten(keys: &mut BTreeMap<String, Value>, section: &str, values: &Map<String, Value>) {
    for (name, value) in values {
        let name = format!("{section}.{name}");
        match value {
            Value::Object(inner) => flatten(keys, &name, inner),
            value => {
                keys.insert(name, value.clone());
            }
        }
    }
}

/// The name of a flat key in version 6; what has none keeps its own.
fn name_of(flat: &str) -> String {
    if OPTIONS.contains(&flat) {
        return format!("channel.without_namespace.{flat}");
    }
    let renamed = RENAMED.iter().find(|(name, _)| *name == flat);
    if let Some((_, name)) = renamed {
        return (*name).to_owned();
    }
    for (beginning, section) in BEGINNINGS {
        if let Some(rest) = flat.strip_prefix(beginning) {
            return format!("{section}{rest}");
        }
    }
    flat.to_owned()
}

/// Flat keys whose names have changed by more than a dot.
const RENAMED: &[(&str, &str)] = &[
    ("address", "http_server.address"),
    ("admin", "admin.enabled"),
    (
        "allow_anonymous_connect_without_token",
        "client.allow_anonymous_connect_without_token",
    ),
    ("allowed_origins", "client.allowed_origins"),
    ("api_external", "http_api.external"),
    ("api_insecure", "http_api.insecure"),
    ("api_key", "http_api.key"),
    ("broker", "broker.type"),
    ("debug", "debug.enabled"),
    (
        "disallow_anonymous_connection_tokens",
        "client.disallow_anonymous_connection_tokens",
    ),
    ("engine", "engine.type"),
    ("global_history_meta_ttl", "channel.history_meta_ttl"),
    ("grpc_api", "grpc_api.enabled"),
    ("health", "health.enabled"),
    ("http_stream", "http_stream.enabled"),
    ("internal_address", "http_server.internal_address"),
    ("internal_port", "http_server.internal_port"),
    ("namespaces", "channel.namespaces"),
    ("ping_interval", "client.ping_interval"),
    ("pong_timeout", "client.pong_timeout"),
    ("port", "http_server.port"),
    ("prometheus", "prometheus.enabled"),
    (
        "separate_subscription_token_config",
        "client.subscription_token.enabled",
    ),
    ("sse", "sse.enabled"),
    ("swagger", "swagger.enabled"),
    ("tls", "http_server.tls.enabled"),
    ("tls_cert", "http_server.tls.cert_pem_file"),
    ("tls_key", "http_server.tls.key_pem_file"),
    ("uni_grpc", "uni_grpc.enabled"),
    ("uni_http_stream", "uni_http_stream.enabled"),
    ("uni_sse", "uni_sse.enabled"),
    ("uni_websocket", "uni_websocket.enabled"),
    ("usage_stats_disable", "usage_stats.disabled"),
    (
        "user_personal_channel_namespace",
        "client.subscribe_to_user_personal_channel.personal_channel_namespace",
    ),
    (
        "user_personal_single_connection",
        "client.subscribe_to_user_personal_channel.single_connection",
    ),
    (
        "user_subscribe_to_personal",
        "client.subscribe_to_user_personal_channel.enabled",
    ),
    ("websocket_disable", "websocket.disabled"),
];

/// What flat keys begin with that became sections.
const BEGINNINGS: &[(&str, &str)] = &[
    ("admin_", "admin."),
    ("channel_", "channel."),
    ("client_", "client."),
    ("grpc_api_", "grpc_api."),
    ("log_", "log."),
    ("nats_", "broker.nats."),
    ("proxy_", "proxy."),
    ("redis_", "engine.redis."),
    ("shutdown_", "shutdown."),
    ("subscription_token_", "client.subscription_token."),
    ("token_", "client.token."),
    ("uni_websocket_", "uni_websocket."),
    ("websocket_", "websocket."),
];
