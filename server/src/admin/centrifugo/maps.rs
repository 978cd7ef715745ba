//! Methods of the server API that are about maps: publish and remove keys, and read what a map
//! holds.

use super::Done;
use super::error::ApiError;
use super::requests::{
    ChannelParams, MapPublishParams, MapRemoveParams, MapStateParams, MapStreamParams,
};
use super::rooms::{Said, event_with, position_of, publication_of};
use crate::rooms::history::HistoryMessage;
use crate::rooms::published::Published;
use crate::session::handle::Handle;
use crate::wire::failure::{Failure, unavailable};
use crate::wire::position::{epoch_text, since_of};
use serde_json::{Value, json};
use shardcast_engine::{HistoryQuery, Loss, MapOptions, Position, ReadOrder, Repeat, Since};
use shardcast_protocol::dialect;
use shardcast_protocol::dialect::centrifuge::PUBLICATION;

/// That a channel is a map.
fn is_map(handle: &Handle, channel: &str) -> Result<(), ApiError> {
    let room = handle.shared.resolve_for_operator(channel);
    let room = room.map_err(dialect::Problem::from)?;
    let map = room.map().map(|_| ());
    map.ok_or_else(|| ApiError::bad_request("the channel is no map"))
}

/// What became of a change: where the channel is, and why it was none, if it was none.
fn changed(published: Published) -> Value {
    let mut result = match published.position {
        Some(position) => json!({
            "offset": position.offset,
            "epoch": epoch_text(position).as_str(),
        }),
        None => json!({}),
    };
    let reason = match published.repeat {
        Repeat::Duplicate => Some("idempotency"),
        Repeat::NoKey => Some("key_not_found"),
        Repeat::KeyExists => Some("key_exists"),
        Repeat::Outdated => Some("version"),
        Repeat::First | Repeat::Unavailable | Repeat::MapFull => None,
    };
    if let Some(reason) = reason {
        result["suppressed"] = json!(true);
        result["suppress_reason"] = json!(reason);
    }
    result
}

pub(crate) async fn publish(handle: &Handle, asked: MapPublishParams<'_>) -> Done {
    is_map(handle, &asked.channel)?;
    let only = asked.only()?;
    let said = Said::of(asked.data, asked.b64data.as_deref())?;
    let event = event_with(asked.tags.as_ref())?;
    let to = handle.to(&asked.channel).conflate(&asked.key);
    let to = to.only(only).version(asked.version);
    let to = match asked.idempotency_key.as_deref() {
        Some(key) if !key.is_empty() => to.key(key),
        Some(_) | None => to,
    };
    Ok(changed(to.publish(&event, &said).await?))
}

pub(crate) async fn remove(handle: &Handle, asked: MapRemoveParams) -> Done {
    is_map(handle, &asked.channel)?;
    let key = asked.idempotency_key.as_deref();
    Ok(changed(
        remove_key(handle, &asked.channel, &asked.key, key).await?,
    ))
}

async fn remove_key(
    handle: &Handle,
    channel: &str,
    key: &str,
    idempotency: Option<&str>,
) -> Result<Published, ApiError> {
    let to = handle.to(channel).conflate(key).removes();
    let to = match idempotency {
        Some(key) if !key.is_empty() => to.key(key),
        Some(_) | None => to,
    };
    Ok(to.publish(PUBLICATION, &()).await?)
}

/// Keys of a page, where nobody has said how many.
const PAGE_KEYS: u32 = HistoryQuery::LIMIT_MAX;

/// Keys that are looked at for one: so many has the largest map, so whoever has looked at more was
/// overtaken by those who publish.
const KEYS_READ_MAX: usize = *MapOptions::KEYS.end() as usize;
const CHANGES_TOO_FAST: &str = "the map changes faster than it is read: ask again";

fn limit_of(limit: i64) -> u32 {
    u32::try_from(limit).map_or(PAGE_KEYS, |limit| limit.min(PAGE_KEYS))
}

/// What stands between the parts of a cursor: an epoch, and the last offset of the page.
const SEPARATOR: char = '.';

fn since_of_cursor(cursor: &str) -> Result<Option<Since>, ApiError> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let parts = cursor.split_once(SEPARATOR);
    let since = parts.and_then(|(epoch, after)| {
        Some(since_of(&dialect::Since {
            epoch: epoch.into(),
            offset: after.parse().ok()?,
        }))
    });
    let since = since.filter(|since| since.epoch.is_some());
    let no_cursor = || ApiError::bad_request("there is no such cursor");
    since.map(Some).ok_or_else(no_cursor)
}

pub(crate) async fn read_state(handle: &Handle, asked: MapStateParams) -> Done {
    is_map(handle, &asked.channel)?;
    if asked.asc {
        return Err(ApiError::NOT_AVAILABLE);
    }
    let mut since = since_of_cursor(&asked.cursor)?;
    let is_of_revision =
        |epoch: &str| asked.revision_epoch.is_empty() || asked.revision_epoch == epoch;
    let mut read = 0;
    loop {
        let is_one = !asked.key.is_empty();
        let query = HistoryQuery {
            since,
            limit: match is_one {
                true => PAGE_KEYS,
                false => limit_of(asked.limit),
            },
            order: ReadOrder::Map,
        };
        let found = handle.history(&asked.channel, query).await?;
        let position = found.position();
        let epoch = epoch_text(position);
        if found.loss() == Some(Loss::EpochChanged) || !is_of_revision(epoch.as_str()) {
            return Err(ApiError::UNRECOVERABLE);
        }
        let last = found.messages().last().map(|message| message.offset);
        let more = last.filter(|_| found.has_more());
        let is_wanted = |message: &HistoryMessage<'_>| {
            let entry = message.entry.as_ref();
            !is_one || entry.is_some_and(|entry| entry.key == asked.key)
        };
        let entries: Vec<Value> = (found.messages().filter(is_wanted))
            .map(|message| publication_of(&message))
            .collect();
        if let (true, true, Some(last)) = (is_one, entries.is_empty(), more) {
            read += found.messages().count();
            if read > KEYS_READ_MAX {
                return Err(Failure::from(unavailable(CHANGES_TOO_FAST)).into());
            }
            let offset = last;
            let epoch = Some(position.epoch);
            since = Some(Since { epoch, offset });
            continue;
        }
        let cursor = more.filter(|_| !is_one);
        let cursor = cursor.map(|after| format!("{}{SEPARATOR}{after}", epoch.as_str()));
        return Ok(json!({
            "entries": entries,
            "offset": position.offset,
            "epoch": epoch.as_str(),
            "cursor": cursor.unwrap_or_default(),
        }));
    }
}

pub(crate) async fn read_stream(handle: &Handle, asked: MapStreamParams) -> Done {
    is_map(handle, &asked.channel)?;
    let since = asked.since();
    let query = HistoryQuery {
        since: since.as_ref().map(position_of),
        limit: limit_of(asked.limit),
        order: match asked.reverse {
            true => ReadOrder::Reverse,
            false => ReadOrder::Forward,
        },
    };
    let found = handle.history(&asked.channel, query).await?;
    if found.loss().is_some() {
        return Err(ApiError::UNRECOVERABLE);
    }
    let entries: Vec<Value> = found
        .messages()
        .map(|message| publication_of(&message))
        .collect();
    let position = found.position();
    Ok(json!({
        "entries": entries,
        "offset": position.offset,
        "epoch": epoch_text(position).as_str(),
    }))
}

pub(crate) async fn stats(handle: &Handle, asked: ChannelParams) -> Done {
    is_map(handle, &asked.channel)?;
    let query = HistoryQuery {
        since: None,
        limit: 0,
        order: ReadOrder::Map,
    };
    let found = handle.history(&asked.channel, query).await?;
    Ok(json!({ "num_keys": found.keys() }))
}

/// Removes the keys that there are, one by one: members are told of each. A key that is published
/// meanwhile stands behind them, and stays.
pub(crate) async fn clear(handle: &Handle, asked: ChannelParams) -> Done {
    is_map(handle, &asked.channel)?;
    let (mut since, mut end) = (None, None);
    loop {
        let query = HistoryQuery {
            since,
            limit: PAGE_KEYS,
            order: ReadOrder::Map,
        };
        let found = handle.history(&asked.channel, query).await?;
        let Position { epoch, offset } = found.position();
        let end = *end.get_or_insert(offset);
        let last = found.messages().last().map(|message| message.offset);
        let more = last.filter(|last| found.has_more() && *last < end);
        let there = found.messages().filter(|message| message.offset <= end);
        let keys: Vec<String> = there
            .filter_map(|message| Some(message.entry?.key.to_owned()))
            .collect();
        drop(found);
        for key in keys {
            remove_key(handle, &asked.channel, &key, None).await?;
        }
        let Some(offset) = more else {
            return Ok(json!({}));
        };
        let epoch = Some(epoch);
        since = Some(Since { epoch, offset });
    }
}
