//! Calls that are about rooms: which there are, who is in one, and what it keeps.

use crate::admin::api::AdminApi;
use crate::admin::api::ending::connection_of;
use crate::admin::api::paging::{connection_of_cursor, cursor_of_name, limit_of, name_of_cursor};
use crate::admin::problem::AdminProblem;
use crate::wire::connection_id::ConnectionId;
use crate::wire::from_data::Data;
use crate::wire::position::{epoch_text, loss_reason, since_of};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shardcast_engine::{
    HistoryQuery, Position, PresenceKey, PresenceQuery, PresenceState, Query, ReadOrder, TopicName,
};
use shardcast_protocol::dialect::{Problem, Since};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which rooms.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoomsQuery {
    /// What their names begin with.
    prefix: Option<String>,
    /// Where the answer before ended.
    cursor: Option<String>,
    /// Rooms of the answer; 100 without.
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<u32>,
}

/// Rooms with members, in the order of their names.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RoomsPage {
    rooms: Vec<RoomItem>,
    /// Where the next page goes on; none: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    /// True: this node does not know all of other nodes at the moment.
    #[serde(skip_serializing_if = "is_false")]
    partial: bool,
}

/// A room with members.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RoomItem {
    room: String,
    members: u32,
}

/// One room.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RoomDetail {
    room: String,
    /// Connections in it; in a cluster at all nodes.
    members: u32,
    /// Those of the server that is asked, by shard.
    shards: BTreeMap<u16, u32>,
    /// In a cluster: connections in it by node.
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<BTreeMap<String, u32>>,
    /// True: this node does not know all of other nodes at the moment.
    #[serde(skip_serializing_if = "is_false")]
    partial: bool,
    /// Who is in it as its namespace counts: users, or connections that may be away. None: the
    /// room does not know its members one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    present: Option<u32>,
    /// Where its history is. None: it keeps none.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<PlaceInHistory>,
}

/// A place in what a room keeps.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlaceInHistory {
    /// Which order it is a place of.
    epoch: String,
    offset: u64,
}

/// Whose members.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PresenceCall {
    room: String,
    /// Where the answer before ended.
    cursor: Option<String>,
    /// Members of the answer; 100 without.
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<u32>,
}

/// Some members of a room, in an order that stays.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PresenceMembers {
    /// All of them.
    total: u32,
    members: Vec<MemberItem>,
    /// Where the next page goes on; none: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    /// The node whose members are listed, where those of other nodes are known by their number
    /// alone: in a cluster, of a room without presence.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// True: this node does not know all of other nodes at the moment.
    #[serde(skip_serializing_if = "is_false")]
    partial: bool,
}

/// A member of a room.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MemberItem {
    /// None: the member is a user, whose connections count as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// What it shows of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    /// `here`, or `away`: its connection was lost, and it may come back.
    state: &'static str,
}

/// What of a room's history.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryCall {
    room: String,
    /// Messages behind this place; with `reverse` those before it.
    since: Option<PlaceInHistory>,
    /// Messages of the answer; 100 without. 0: the place alone.
    #[schemars(range(max = 1_000))]
    limit: Option<u32>,
    /// The newest first.
    reverse: Option<bool>,
}

/// A part of what a room keeps.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct HistoryPage {
    /// Of the newest message, which need not be one of these.
    epoch: String,
    offset: u64,
    messages: Vec<HistoryItem>,
    /// Why not all behind `since` is there any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<&'static str>,
}

/// A message that a room keeps.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct HistoryItem {
    offset: u64,
    /// The connection that published it.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// The event's name, if no client published it.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    data: Value,
}

/// Which room's history.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryClearCall {
    room: String,
}

impl AdminApi {
    /// The topic of a room.
    ///
    /// # Errors
    /// No room may be called so.
    pub(crate) fn room_topic(&self, room: &str) -> Result<TopicName, AdminProblem> {
        let resolved = self
            .handle
            .shared
            .resolve_for_operator(room)
            .map_err(Problem::from)?;
        Ok(TopicName::Room(resolved.name().into()))
    }

    pub(crate) async fn rooms(&self, asked: RoomsQuery) -> Result<RoomsPage, AdminProblem> {
        let limit = limit_of(asked.limit)?;
        let prefix = asked.prefix.unwrap_or_default();
        let cursor = asked.cursor.as_deref().map(name_of_cursor).transpose()?;
        let elsewhere = self.rooms_elsewhere(cursor.as_deref(), &prefix, limit + 1);
        let mut rooms = Vec::new();
        let after = match cursor {
            Some(name) => Some(name),
            // Names that begin so stand behind the prefix itself, which may be a room's name.
            None if !prefix.is_empty() => {
                let named = TopicName::Room(prefix.as_str().into());
                let found = self.handle.topic_at_home(named).await?;
                if found.members > 0 {
                    let (room, members) = (prefix.clone(), found.members);
                    rooms.push(RoomItem { room, members });
                }
                Some(prefix.clone())
            }
            None => None,
        };
        let after = after.map(|name| TopicName::Room(name.into()));
        // One more, where there may be one: it tells whether a room follows, or a user.
        let at_once = (limit + 1).min(Query::ITEMS_MAX);
        let page = self.handle.page_of_topics(after, at_once).await?;
        let mut more = page.more;
        for found in page.items {
            match found.topic {
                TopicName::Room(name) if name.starts_with(&prefix) => rooms.push(RoomItem {
                    room: name.to_string(),
                    members: found.members,
                }),
                // Users stand behind the rooms, and other names behind those that begin so.
                TopicName::Room(_) | TopicName::User(_) => {
                    more = false;
                    break;
                }
            }
        }
        let mut rooms = merged(rooms, elsewhere);
        more |= rooms.len() > limit;
        rooms.truncate(limit);
        let cursor = rooms.last().filter(|_| more);
        let cursor = cursor.map(|last| cursor_of_name(&last.room));
        let partial = self.lacks_something();
        Ok(RoomsPage {
            rooms,
            cursor,
            partial,
        })
    }

    pub(crate) async fn room(&self, room: &str) -> Result<RoomDetail, AdminProblem> {
        let topic = self.room_topic(room)?;
        let (knows_members, keeps_history) = {
            let resolved = self
                .handle
                .shared
                .resolve_for_operator(room)
                .map_err(Problem::from)?;
            (resolved.presence().is_some(), resolved.history().is_some())
        };
        let found = self.handle.topic_at_home(topic.clone()).await?;
        let (members, nodes) = self.at_all_nodes(&topic, found.members);
        let mut shards = BTreeMap::new();
        for part in &found.parts {
            *shards.entry(part.shard).or_default() += part.members;
        }
        let present = match knows_members {
            true => {
                let query = PresenceQuery {
                    after: None,
                    limit: 1,
                };
                Some(self.handle.presence(room, query).await?.total())
            }
            false => None,
        };
        let history = match keeps_history {
            true => {
                let found = self.handle.history(room, nothing_but_the_place()).await?;
                Some(place(found.position()))
            }
            false => None,
        };
        Ok(RoomDetail {
            room: room.to_owned(),
            members,
            shards,
            nodes,
            partial: self.lacks_something(),
            present,
            history,
        })
    }

    pub(crate) async fn presence(
        &self,
        call: PresenceCall,
    ) -> Result<PresenceMembers, AdminProblem> {
        let limit = limit_of(call.limit)?;
        let knows_members = {
            let room = self.handle.shared.resolve_for_operator(&call.room);
            room.map_err(Problem::from)?.presence().is_some()
        };
        if !knows_members {
            return self.members(&call, limit).await;
        }
        let after = call.cursor.as_deref().map(presence_cursor).transpose()?;
        let limit = limit as u32;
        let query = PresenceQuery { after, limit };
        let page = self.handle.presence(&call.room, query).await?;
        let members = page.members().map(|member| MemberItem {
            connection: (member.connection.map(|id| id.to_string()))
                .or_else(|| member.elsewhere.map(str::to_owned)),
            user: member.user.map(str::to_owned),
            data: member.data.as_ref().and_then(shown),
            state: match member.state {
                PresenceState::Here => HERE,
                PresenceState::Away => "away",
            },
        });
        Ok(PresenceMembers {
            total: page.total(),
            members: members.collect(),
            cursor: page.next().map(cursor_of_presence),
            node: None,
            partial: self.lacks_something(),
        })
    }

    /// The connections in a room that does not know its members one by one.
    async fn members(
        &self,
        call: &PresenceCall,
        limit: usize,
    ) -> Result<PresenceMembers, AdminProblem> {
        let after = connection_of_cursor(call.cursor.as_deref())?;
        let topic = self.room_topic(&call.room)?;
        let total = self.handle.topic_at_home(topic.clone()).await?.members;
        let (total, nodes) = self.at_all_nodes(&topic, total);
        let of = Some(topic);
        let page = self.handle.page_of_connections(of, after, limit).await?;
        let cursor = page.items.last().filter(|_| page.more);
        let cursor = cursor.map(|last| ConnectionId(last.address).to_string());
        let members = page.items.into_iter().map(|found| MemberItem {
            connection: Some(ConnectionId(found.address).to_string()),
            user: found.user.map(|user| user.to_string()),
            data: None,
            state: HERE,
        });
        Ok(PresenceMembers {
            total,
            members: members.collect(),
            cursor,
            node: nodes.and(self.node_name()),
            partial: self.lacks_something(),
        })
    }

    pub(crate) async fn history(&self, call: HistoryCall) -> Result<HistoryPage, AdminProblem> {
        let limit = match call.limit {
            Some(0) => 0,
            limit => limit_of(limit)? as u32,
        };
        let since = call.since.as_ref().map(|since| {
            since_of(&Since {
                epoch: since.epoch.as_str().into(),
                offset: since.offset,
            })
        });
        let order = match call.reverse {
            Some(true) => ReadOrder::Reverse,
            Some(false) | None => ReadOrder::Forward,
        };
        let query = HistoryQuery {
            since,
            limit,
            order,
        };
        let found = self.handle.history(&call.room, query).await?;
        let messages = found.messages().map(|message| HistoryItem {
            offset: message.offset,
            from: message.from.map(|id| id.to_string()),
            event: message.event.map(str::to_owned),
            data: shown(&message.data).unwrap_or_default(),
        });
        let PlaceInHistory { epoch, offset } = place(found.position());
        Ok(HistoryPage {
            epoch,
            offset,
            messages: messages.collect(),
            lost: found.loss().map(|loss| loss_reason(loss).as_str()),
        })
    }

    /// A room forgets what it keeps. Its epoch and its offsets go on.
    pub(crate) async fn history_clear(
        &self,
        call: HistoryClearCall,
    ) -> Result<PlaceInHistory, AdminProblem> {
        Ok(place(self.handle.clear_history(&call.room).await?))
    }
}

/// Rooms of this node and of others as one list, in the order of their names.
fn merged(here: Vec<RoomItem>, elsewhere: Vec<(Arc<str>, u32)>) -> Vec<RoomItem> {
    if elsewhere.is_empty() {
        return here;
    }
    let mut all: BTreeMap<String, u32> = BTreeMap::new();
    let here = here.into_iter().map(|item| (item.room, item.members));
    let elsewhere = elsewhere.into_iter();
    let elsewhere = elsewhere.map(|(room, members)| (room.to_string(), members));
    for (room, members) in here.chain(elsewhere) {
        let sum = all.entry(room).or_default();
        *sum = sum.saturating_add(members);
    }
    let all = all.into_iter();
    all.map(|(room, members)| RoomItem { room, members })
        .collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(partial: &bool) -> bool {
    !partial
}

const HERE: &str = "here";

fn nothing_but_the_place() -> HistoryQuery {
    HistoryQuery {
        since: None,
        limit: 0,
        order: ReadOrder::Forward,
    }
}

fn place(position: Position) -> PlaceInHistory {
    PlaceInHistory {
        epoch: epoch_text(position).as_str().to_owned(),
        offset: position.offset,
    }
}

/// A value as JSON, whatever it is written in.
fn shown(data: &Data<'_>) -> Option<Value> {
    let mut json = Vec::new();
    data.value()?.write_json(&mut json);
    serde_json::from_slice(&json).ok()
}

const OF_CONNECTION: &str = "c.";
const OF_USER: &str = "u.";
const OF_ELSEWHERE: &str = "e.";

fn cursor_of_presence(key: &PresenceKey) -> String {
    match key {
        PresenceKey::Connection(address) => format!("{OF_CONNECTION}{}", ConnectionId(*address)),
        PresenceKey::User(name) => format!("{OF_USER}{}", cursor_of_name(name)),
        PresenceKey::Elsewhere(name) => format!("{OF_ELSEWHERE}{}", cursor_of_name(name)),
    }
}

fn presence_cursor(cursor: &str) -> Result<PresenceKey, AdminProblem> {
    if let Some(id) = cursor.strip_prefix(OF_CONNECTION) {
        let ConnectionId(address) = connection_of(id)?;
        return Ok(PresenceKey::Connection(address));
    }
    if let Some(name) = cursor.strip_prefix(OF_ELSEWHERE) {
        return Ok(PresenceKey::Elsewhere(name_of_cursor(name)?.into()));
    }
    let name = cursor.strip_prefix(OF_USER).unwrap_or("\n");
    Ok(PresenceKey::User(name_of_cursor(name)?.into()))
}
