//! What the methods of the server API are asked with. Read by the dispatch of methods, which refuse
//! what has a meaning that this server does not keep; what is unknown is passed over. What acts is
//! written into the audit log as it was understood.

use super::error::ApiError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use shardcast_engine::SetOnly;
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

/// `map_publish`
#[derive(Deserialize)]
pub(crate) struct MapPublishParams<'r> {
    pub(crate) channel: String,
    pub(crate) key: String,
    #[serde(borrow)]
    pub(crate) data: Option<&'r RawValue>,
    pub(crate) b64data: Option<String>,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) tags: Option<BTreeMap<String, String>>,
    #[serde(borrow)]
    stream_data: Option<&'r RawValue>,
    b64stream_data: Option<String>,
    #[serde(default)]
    pub(crate) version: u64,
    #[serde(default)]
    version_epoch: String,
    #[serde(default)]
    score: i64,
    #[serde(default)]
    key_mode: String,
}

impl MapPublishParams<'_> {
    /// Which keys may be set.
    ///
    /// # Errors
    /// There is no such condition; or something is asked for that a map here does not keep: other
    /// data for the stream, an order of its own, and versions that begin anew.
    pub(crate) fn only(&self) -> Result<SetOnly, ApiError> {
        let has_text = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        let is_more = self.stream_data.is_some()
            || has_text(&self.b64stream_data)
            || self.score != 0
            || !self.version_epoch.is_empty();
        match &*self.key_mode {
            _ if is_more => Err(ApiError::NOT_AVAILABLE),
            "" => Ok(SetOnly::Any),
            "if_new" => Ok(SetOnly::New),
            "if_exists" => Ok(SetOnly::Known),
            _ => Err(ApiError::bad_request("key_mode is if_new or if_exists")),
        }
    }
}

/// `map_remove`
#[derive(Deserialize, Serialize)]
pub(crate) struct MapRemoveParams {
    pub(crate) channel: String,
    pub(crate) key: String,
    pub(crate) idempotency_key: Option<String>,
}

/// `map_read_state`
#[derive(Deserialize)]
pub(crate) struct MapStateParams {
    pub(crate) channel: String,
    #[serde(default)]
    pub(crate) cursor: String,
    /// 0: only the place; fewer: as many as there may be.
    #[serde(default)]
    pub(crate) limit: i64,
    #[serde(default)]
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) asc: bool,
    #[serde(default)]
    pub(crate) revision_epoch: String,
}

/// `map_read_stream`
#[derive(Deserialize)]
pub(crate) struct MapStreamParams {
    pub(crate) channel: String,
    #[serde(default)]
    since_offset: u64,
    #[serde(default)]
    since_epoch: String,
    #[serde(default)]
    pub(crate) limit: i64,
    #[serde(default)]
    pub(crate) reverse: bool,
}

impl MapStreamParams {
    /// From where on; `None`: from the beginning.
    pub(crate) fn since(&self) -> Option<PositionParams> {
        let is_some = self.since_offset > 0 || !self.since_epoch.is_empty();
        is_some.then(|| PositionParams {
            offset: self.since_offset,
            epoch: self.since_epoch.clone(),
        })
    }
}

/// `presence` and `presence_stats`
#[derive(Deserialize, Serialize)]
pub(crate) struct ChannelParams {
    pub(crate) channel: String,
}

/// A place in what a channel keeps.
#[derive(Deserialize, Serialize)]
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
#[derive(Deserialize, Serialize)]
pub(crate) struct SubscribeParams {
    pub(crate) user: String,
    pub(crate) channel: String,
    #[serde(default)]
    pub(crate) client: String,
    /// Of what clients show nothing is written down.
    #[serde(skip_serializing)]
    pub(crate) info: Option<Value>,
    pub(crate) recover_since: Option<PositionParams>,
}

/// `unsubscribe`
#[derive(Deserialize, Serialize)]
pub(crate) struct UnsubscribeParams {
    pub(crate) user: String,
    pub(crate) channel: String,
    #[serde(default)]
    pub(crate) client: String,
}

/// `disconnect`
#[derive(Deserialize, Serialize)]
pub(crate) struct DisconnectParams {
    pub(crate) user: String,
    #[serde(default)]
    pub(crate) client: String,
    #[serde(default)]
    pub(crate) whitelist: Vec<String>,
    pub(crate) disconnect: Option<EndParams>,
}

/// With what a connection ends.
#[derive(Deserialize, Serialize)]
pub(crate) struct EndParams {
    #[serde(default)]
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) reason: String,
}

/// `refresh`
#[derive(Deserialize, Serialize)]
pub(crate) struct RefreshParams {
    pub(crate) user: String,
    #[serde(default)]
    pub(crate) client: String,
    #[serde(default)]
    pub(crate) expired: bool,
    pub(crate) expire_at: Option<u64>,
}
