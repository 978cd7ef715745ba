//! What the methods of the server API are asked with. Read by the dispatch of methods, which refuse
//! what has a meaning that this server does not keep; what is unknown is passed over.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// `publish`
#[derive(Deserialize)]
pub(crate) struct PublishParams<'r> {
    pub(crate) channel: String,
    #[serde(borrow)]
    pub(crate) data: Option<&'r RawValue>,
    pub(crate) b64data: Option<String>,
    pub(crate) idempotency_key: Option<String>,
    #[serde(default)]
    pub(crate) skip_history: bool,
    pub(crate) tags: Option<BTreeMap<String, String>>,
}

/// `broadcast`
#[derive(Deserialize)]
pub(crate) struct BroadcastParams<'r> {
    pub(crate) channels: Vec<String>,
    #[serde(borrow)]
    pub(crate) data: Option<&'r RawValue>,
    pub(crate) b64data: Option<String>,
    pub(crate) idempotency_key: Option<String>,
    #[serde(default)]
    pub(crate) skip_history: bool,
    pub(crate) tags: Option<BTreeMap<String, String>>,
}

/// `presence` and `presence_stats`
#[derive(Deserialize)]
pub(crate) struct ChannelParams {
    pub(crate) channel: String,
}

/// A place in what a channel keeps.
#[derive(Deserialize)]
pub(crate) struct PositionParams {
    #[serde(default)]
    pub(crate) offset: u64,
    #[serde(default)]
    pub(crate) epoch: String,
}

/// `history`
#[derive(Deserialize)]
pub(crate) struct HistoryParams {
    pub(crate) channel: String,
    #[serde(default)]
    pub(crate) limit: i64,
    pub(crate) since: Option<PositionParams>,
    #[serde(default)]
    pub(crate) reverse: bool,
}

/// `channels`
#[derive(Deserialize)]
pub(crate) struct ChannelsParams {
    #[serde(default)]
    pub(crate) pattern: String,
}

/// `subscribe`
#[derive(Deserialize)]
pub(crate) struct SubscribeParams {
    pub(crate) user: String,
    pub(crate) channel: String,
    #[serde(default)]
    pub(crate) client: String,
    pub(crate) info: Option<Value>,
    pub(crate) recover_since: Option<PositionParams>,
}

/// `unsubscribe`
#[derive(Deserialize)]
pub(crate) struct UnsubscribeParams {
    pub(crate) user: String,
    pub(crate) channel: String,
    #[serde(default)]
    pub(crate) client: String,
}

/// `disconnect`
#[derive(Deserialize)]
pub(crate) struct DisconnectParams {
    pub(crate) user: String,
    #[serde(default)]
    pub(crate) client: String,
    #[serde(default)]
    pub(crate) whitelist: Vec<String>,
    pub(crate) disconnect: Option<EndParams>,
}

/// With what a connection ends.
#[derive(Deserialize)]
pub(crate) struct EndParams {
    #[serde(default)]
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) reason: String,
}

/// `refresh`
#[derive(Deserialize)]
pub(crate) struct RefreshParams {
    pub(crate) user: String,
    #[serde(default)]
    pub(crate) client: String,
    #[serde(default)]
    pub(crate) expired: bool,
    pub(crate) expire_at: Option<u64>,
}
