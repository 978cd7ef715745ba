//! Calls that are about connections and users: which there are, and what one does.

use crate::admin::api::AdminApi;
use crate::admin::api::ending::{connection_of, network_of};
use crate::admin::api::paging::{PAGES_MAX, connection_of_cursor, limit_of};
use crate::admin::problem::AdminProblem;
use crate::session::context::Context;
use crate::session::identity::Identity;
use crate::wire::connection_id::ConnectionId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shardcast_engine::{FoundConnection, Query, TopicName};
use shardcast_protocol::dialect::Dialect;
use std::collections::BTreeMap;

/// Which connections: those that fit all that is said.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectionsQuery {
    user: Option<String>,
    room: Option<String>,
    /// An address or a network, such as 203.0.113.0/24.
    address: Option<String>,
    /// Those that have not taken at least so many bytes yet: slow readers.
    waiting: Option<u64>,
    /// Where the answer before ended.
    cursor: Option<String>,
    /// Connections of the answer; 100 without.
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<u32>,
}

/// Open connections, in an order that stays.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ConnectionsPage {
    /// Fewer than asked for, or none, where many had to be looked at: the cursor goes on.
    connections: Vec<ConnectionItem>,
    /// Where the next page goes on; none: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    /// In a cluster: the node whose connections are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
}

/// An open connection.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ConnectionItem {
    connection: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// Address and port, or `unix`.
    address: String,
    /// Bytes that it has not taken yet; none: nothing waits for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_bytes: Option<usize>,
}

/// One connection.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ConnectionDetail {
    connection: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    roles: Vec<String>,
    /// Address and port, or `unix`.
    address: String,
    /// What it speaks: json, messagepack, jsonrpc, centrifuge or centrifuge_protobuf.
    dialect: &'static str,
    /// Whether it is encrypted by this server.
    secure: bool,
    /// How long it has been open.
    connected_seconds: u64,
    rooms: Vec<String>,
}

/// A user.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct UserDetail {
    user: String,
    /// How many it has; in a cluster at all nodes.
    connections: u32,
    /// In a cluster: how many it has by node.
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<BTreeMap<String, u32>>,
    /// The first 100 of those at the server that is asked; the others: `/api/connections?user=`.
    first: Vec<ConnectionItem>,
    /// For how long it is kept out yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    banned_seconds: Option<u64>,
}

impl ConnectionItem {
    fn of(found: &FoundConnection) -> ConnectionItem {
        ConnectionItem {
            connection: ConnectionId(found.address).to_string(),
            user: found.user.as_deref().map(str::to_owned),
            address: found.peer.to_string(),
            waiting_bytes: Some(found.waiting_bytes).filter(|bytes| *bytes > 0),
        }
    }
}

impl AdminApi {
    pub(crate) async fn connections(
        &self,
        asked: ConnectionsQuery,
    ) -> Result<ConnectionsPage, AdminProblem> {
        let limit = limit_of(asked.limit)?;
        let network = asked.address.as_deref().map(network_of).transpose()?;
        let mut after = connection_of_cursor(asked.cursor.as_deref())?;
        let of = match (&asked.room, &asked.user) {
            (Some(room), _) => Some(self.room_topic(room)?),
            (None, Some(user)) => Some(user_topic(user)?),
            (None, None) => None,
        };
        let fits = |found: &FoundConnection| {
            let ip = found.peer.address().map(|address| address.ip());
            let user = asked.user.as_deref();
            network
                .as_ref()
                .is_none_or(|network| ip.is_some_and(|ip| network.has(ip)))
                && user.is_none_or(|user| found.user.as_deref() == Some(user))
                && asked
                    .waiting
                    .is_none_or(|least| found.waiting_bytes as u64 >= least)
        };
        // What fits is looked for among more at a time.
        let filters = network.is_some()
            || asked.waiting.is_some()
            || asked.room.is_some() && asked.user.is_some();
        let at_once = if filters { Query::ITEMS_MAX } else { limit };
        let mut connections = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = self.handle.page_of_connections(of.clone(), after, at_once);
            let page = page.await?;
            for found in &page.items {
                after = Some(found.address);
                if fits(found) {
                    connections.push(ConnectionItem::of(found));
                }
                if connections.len() == limit {
                    break;
                }
            }
            let is_last = page.items.last().map(|last| last.address) == after;
            if is_last && !page.more || page.items.is_empty() {
                after = None;
            }
            if connections.len() == limit || after.is_none() {
                break;
            }
        }
        Ok(ConnectionsPage {
            connections,
            cursor: after.map(|after| ConnectionId(after).to_string()),
            node: self.node_name(),
        })
    }

    pub(crate) async fn connection(&self, id: &str) -> Result<ConnectionDetail, AdminProblem> {
        let id = connection_of(id)?;
        Ok(self.handle.on(id, |cx| detail(cx)).await?)
    }

    pub(crate) async fn user(&self, name: &str) -> Result<UserDetail, AdminProblem> {
        const FIRST: usize = 100;
        let topic = user_topic(name)?;
        let page = self
            .handle
            .page_of_connections(Some(topic.clone()), None, FIRST)
            .await?;
        let banned = self.bans.of_user(name);
        let here = self.handle.topic_at_home(topic.clone()).await?.members;
        let (connections, nodes) = self.at_all_nodes(&topic, here);
        Ok(UserDetail {
            user: name.to_owned(),
            connections,
            nodes,
            first: page.items.iter().map(ConnectionItem::of).collect(),
            banned_seconds: banned.map(|left| left.as_secs().max(1)),
        })
    }
}

fn user_topic(name: &str) -> Result<TopicName, AdminProblem> {
    match Identity::is_name(name) {
        true => Ok(TopicName::User(name.into())),
        false => Err(AdminProblem::bad_request(
            "a user's name has 1 to 255 bytes",
        )),
    }
}

fn detail(cx: &Context<'_>) -> ConnectionDetail {
    let roles = cx.identity().roles().iter();
    ConnectionDetail {
        connection: cx.connection().to_string(),
        user: cx.user().map(str::to_owned),
        roles: roles.map(|role| role.to_string()).collect(),
        address: cx.remote_address().to_string(),
        dialect: name_of(cx.dialect()),
        secure: cx.is_secure(),
        connected_seconds: cx.connected().as_secs(),
        rooms: cx.rooms().iter().map(|room| room.to_string()).collect(),
    }
}

fn name_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::NativeJson => "json",
        Dialect::MessagePack => "messagepack",
        Dialect::JsonRpc => "jsonrpc",
        Dialect::CentrifugeJson => "centrifuge",
        Dialect::CentrifugeProtobuf => "centrifuge_protobuf",
    }
}
