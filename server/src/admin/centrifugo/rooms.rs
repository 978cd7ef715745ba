//! Methods of the server API that are about channels: publish, and see who is there and what they
//! keep.

use super::Done;
use super::error::ApiError;
use super::requests::{
    BroadcastParams, ChannelParams, ChannelsParams, HistoryParams, PositionParams, PublishParams,
};
use crate::rooms::history::HistoryMessage;
use crate::rooms::published::Published;
use crate::session::handle::Handle;
use crate::wire::connection_id::ConnectionId;
use crate::wire::failure::{Failure, unavailable};
use crate::wire::from_data::Data;
use crate::wire::position::{epoch_text, since_of};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use shardcast_engine::{HistoryQuery, Loss, PresenceQuery, Query, ReadOrder, Since, TopicName};
use shardcast_protocol::dialect;
use shardcast_protocol::dialect::centrifuge::{
    KeyChange, PUBLICATION, TAG_OF_EVENTS, tagged, tags_in,
};
use shardcast_protocol::json::Raw;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

/// Most channels of one broadcast.
const CHANNELS_PER_BROADCAST_MAX: usize = 1_000;
/// Most channels that are listed; whoever has more names them by a pattern.
const CHANNELS_LISTED_MAX: usize = 100_000;
/// Most members that are named.
const MEMBERS_NAMED_MAX: usize = 10_000;

/// What is published: a JSON value as it was sent, or bytes.
pub(super) enum Said<'r> {
    Json(&'r RawValue),
    Bytes(Vec<u8>),
}

impl<'r> Said<'r> {
    pub(super) fn of(
        data: Option<&'r RawValue>,
        b64data: Option<&str>,
    ) -> Result<Said<'r>, ApiError> {
        match (data, b64data) {
            (_, Some(text)) if !text.is_empty() => match BASE64_STANDARD.decode(text) {
                Ok(bytes) => Ok(Said::Bytes(bytes)),
                Err(_) => Err(ApiError::bad_request("b64data is no base64")),
            },
            (Some(data), _) => Ok(Said::Json(data)),
            (None, _) => Err(ApiError::bad_request("data is missing")),
        }
    }
}

impl Serialize for Said<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Said::Json(data) => data.serialize(serializer),
            Said::Bytes(bytes) => serializer.serialize_bytes(bytes),
        }
    }
}

/// What a channel keeps it keeps of everything.
fn keeps_history(skip: bool) -> Result<(), ApiError> {
    match skip {
        true => Err(ApiError::NOT_AVAILABLE),
        false => Ok(()),
    }
}

pub(crate) async fn publish(handle: &Handle, asked: PublishParams<'_>) -> Done {
    keeps_history(asked.skip_history)?;
    let said = Said::of(asked.data, asked.b64data.as_deref())?;
    let event = event_with(asked.tags.as_ref())?;
    let key = asked.idempotency_key.as_deref();
    publish_to(handle, &asked.channel, key, (&event, &said)).await
}

/// Most bytes of a publication's tags, as JSON.
const TAGS_BYTES_MAX: usize = 1024;

/// What is published is called so: its tags stand behind the name.
pub(super) fn event_with(
    tags: Option<&BTreeMap<String, String>>,
) -> Result<Cow<'static, str>, ApiError> {
    let Some(tags) = tags.filter(|tags| !tags.is_empty()) else {
        return Ok(Cow::Borrowed(PUBLICATION));
    };
    let tags = json!(tags).to_string();
    if tags.len() > TAGS_BYTES_MAX {
        return Err(ApiError::bad_request("tags have more than 1024 bytes"));
    }
    let tags = Raw::of_serializer(&tags);
    Ok(Cow::Owned(tagged(tags)))
}

/// That there can be such a channel.
pub(super) fn is_known(handle: &Handle, channel: &str) -> Result<(), ApiError> {
    let room = handle.shared.resolve_for_operator(channel);
    Ok(room.map(|_| ()).map_err(dialect::Problem::from)?)
}

async fn publish_to(
    handle: &Handle,
    channel: &str,
    key: Option<&str>,
    (event, said): (&str, &Said<'_>),
) -> Done {
    is_known(handle, channel)?;
    let to = handle.to(channel);
    let to = match key {
        Some(key) if !key.is_empty() => to.key(key),
        Some(_) | None => to,
    };
    let Published { position, .. } = to.publish(event, said).await?;
    Ok(match position {
        Some(position) => json!({
            "offset": position.offset,
            "epoch": epoch_text(position).as_str(),
        }),
        None => json!({}),
    })
}

pub(crate) async fn broadcast(handle: &Handle, asked: BroadcastParams<'_>) -> Done {
    if asked.channels.len() > CHANNELS_PER_BROADCAST_MAX {
        return Err(ApiError::bad_request("more than 1000 channels"));
    }
    keeps_history(asked.skip_history)?;
    let said = Said::of(asked.data, asked.b64data.as_deref())?;
    let event = event_with(asked.tags.as_ref())?;
    let mut responses = Vec::with_capacity(asked.channels.len());
    for channel in &asked.channels {
        let key = asked.idempotency_key.as_deref();
        responses.push(
            match publish_to(handle, channel, key, (&event, &said)).await {
                Ok(result) => json!({ "result": result }),
                Err(error) => json!({ "error": error }),
            },
        );
    }
    Ok(json!({ "responses": responses }))
}

/// Who is in a channel.
struct Members {
    /// Those that are named: an id, a user, and what it shows.
    named: Vec<(String, String, Option<Value>)>,
    total: u32,
}

async fn members(handle: &Handle, channel: &str) -> Result<Members, ApiError> {
    let knows_members = {
        let room = handle.shared.resolve_for_operator(channel);
        let room = room.map_err(dialect::Problem::from)?;
        room.presence().is_some()
    };
    if !knows_members {
        let listing = handle.members(channel).await?;
        let named = listing.members.into_iter().map(|member| {
            let id = ConnectionId(member.address).to_string();
            (id, user_of(member.user.as_deref()), None)
        });
        return Ok(Members {
            named: named.collect(),
            total: listing.total,
        });
    }
    let (mut named, mut after) = (Vec::new(), None);
    loop {
        let limit = PresenceQuery::LIMIT_MAX;
        let page = handle
            .presence(channel, PresenceQuery { after, limit })
            .await?;
        named.extend(page.members().map(|member| {
            let user = user_of(member.user);
            let id = member.connection.map(|id| id.to_string());
            let id = id.or_else(|| member.elsewhere.map(str::to_owned));
            let id = id.unwrap_or_else(|| user.clone());
            (id, user, member.data.as_ref().and_then(shown))
        }));
        after = page.next().cloned();
        if after.is_none() || named.len() >= MEMBERS_NAMED_MAX {
            let total = page.total();
            return Ok(Members { named, total });
        }
    }
}

fn user_of(user: Option<&str>) -> String {
    user.unwrap_or_default().to_owned()
}

/// A value as JSON, whatever it is written in.
fn shown(data: &Data<'_>) -> Option<Value> {
    let mut json = Vec::new();
    data.value()?.write_json(&mut json);
    serde_json::from_slice(&json).ok()
}

pub(crate) async fn presence(handle: &Handle, asked: ChannelParams) -> Done {
    let members = members(handle, &asked.channel).await?;
    let presence = members.named.into_iter().map(|(client, user, shown)| {
        let mut info = json!({ "client": client, "user": user });
        if let Some(shown) = shown {
            info["chan_info"] = shown;
        }
        (client, info)
    });
    let presence: Map<String, Value> = presence.collect();
    Ok(json!({ "presence": presence }))
}

pub(crate) async fn presence_stats(handle: &Handle, asked: ChannelParams) -> Done {
    let members = members(handle, &asked.channel).await?;
    let users: HashSet<&str> = members.named.iter().map(|(_, user, _)| &**user).collect();
    Ok(json!({ "num_clients": members.total, "num_users": users.len() }))
}

/// A place as the engine has it.
pub(super) fn position_of(position: &PositionParams) -> Since {
    since_of(&dialect::Since {
        epoch: position.epoch.as_str().into(),
        offset: position.offset,
    })
}

/// That a channel keeps history.
fn has_history(handle: &Handle, channel: &str) -> Result<(), ApiError> {
    let room = handle.shared.resolve_for_operator(channel);
    let room = room.map_err(dialect::Problem::from)?;
    let history = room.history();
    history.map(|_| ()).ok_or(ApiError::NOT_AVAILABLE)
}

/// What the channel keeps goes; its epoch and its offsets go on.
pub(crate) async fn history_remove(handle: &Handle, asked: ChannelParams) -> Done {
    has_history(handle, &asked.channel)?;
    handle.clear_history(&asked.channel).await?;
    Ok(json!({}))
}

pub(crate) async fn history(handle: &Handle, asked: HistoryParams) -> Done {
    has_history(handle, &asked.channel)?;
    let most = HistoryQuery::LIMIT_MAX;
    let query = HistoryQuery {
        since: asked.since.as_ref().map(position_of),
        limit: u32::try_from(asked.limit).map_or(most, |limit| limit.min(most)),
        order: match asked.reverse {
            true => ReadOrder::Reverse,
            false => ReadOrder::Forward,
        },
    };
    let found = handle.history(&asked.channel, query).await?;
    if found.loss() == Some(Loss::EpochChanged) {
        return Err(ApiError::UNRECOVERABLE);
    }
    let publications = found.messages().map(|message| publication_of(&message));
    let publications: Vec<Value> = publications.collect();
    let position = found.position();
    Ok(json!({
        "publications": publications,
        "offset": position.offset,
        "epoch": epoch_text(position).as_str(),
    }))
}

/// A publication that a channel keeps.
pub(super) fn publication_of(message: &HistoryMessage<'_>) -> Value {
    let mut publication = json!({
        "offset": message.offset,
        "data": shown(&message.data).unwrap_or_default(),
    });
    if let Some(from) = message.from {
        publication["info"] = json!({ "client": from.to_string() });
    }
    match (message.tags, message.event) {
        (Some(tags), _) => publication["tags"] = tags_in(tags).collect(),
        (None, None | Some(PUBLICATION)) => {}
        (None, Some(event)) => publication["tags"] = json!({ TAG_OF_EVENTS: event }),
    }
    if let Some(entry) = &message.entry {
        publication["key"] = json!(entry.key);
        if entry.change == KeyChange::Remove {
            publication["removed"] = json!(true);
        }
        if !entry.client.is_empty() {
            publication["info"] = json!({ "client": entry.client, "user": entry.user });
        }
    }
    publication
}

pub(crate) async fn channels(handle: &Handle, asked: ChannelsParams) -> Done {
    let (mut channels, mut after) = (Map::new(), None);
    loop {
        let limit = Query::ITEMS_MAX;
        let Ok(found) = handle.page_of_topics(after, limit).await else {
            return Err(Failure::from(unavailable(NOT_LISTED)).into());
        };
        for topic in &found.items {
            // Users stand behind the rooms.
            let TopicName::Room(name) = &topic.topic else {
                return Ok(json!({ "channels": channels }));
            };
            if asked.pattern.is_empty() || fits(&asked.pattern, name) {
                let clients = json!({ "num_clients": topic.members });
                channels.insert(name.to_string(), clients);
            }
        }
        after = match found.items.last().filter(|_| found.more) {
            Some(last) if channels.len() < CHANNELS_LISTED_MAX => Some(last.topic.clone()),
            Some(_) | None => return Ok(json!({ "channels": channels })),
        };
    }
}

const NOT_LISTED: &str = "the server stops";

/// Whether a name fits a pattern, where `*` stands for anything and `?` for one character.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut from) = (0, 0);
    // Behind the last star: where the pattern goes on, and where it was last tried.
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at + 1, from));
                at += 1;
            }
            Some(one) if *one == '?' || *one == name[from] => (at, from) = (at + 1, from + 1),
            Some(_) | None => match star {
                Some((behind, tried)) => {
                    star = Some((behind, tried + 1));
                    (at, from) = (behind, tried + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|one| *one == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_stars_and_question_marks() {
        for (pattern, name, want) in [
            ("*", "", true),
            ("*", "a:b", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("*b", "ba", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("?", "ü", true),
            ("**a", "aaa", true),
        ] {
            assert_eq!(fits(pattern, name), want, "{pattern} {name}");
        }
    }
}
