//! Calls about the cluster that the server is a node of, and calls that hold at all of its nodes.

use crate::admin::api::AdminApi;
use crate::admin::problem::AdminProblem;
use crate::admin::state::AdminState;
use crate::broker::counts::{BridgeCount, BridgeCounts};
use crate::broker::share::elsewhere::Elsewhere;
use crate::broker::view::{ClusterView, NodeCall, TooManyCalls};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shardcast_engine::TopicName;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The nodes of a cluster.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ClusterAnswer {
    /// The node that is asked, as the others call it.
    node: String,
    /// All that it knows of, itself first.
    nodes: Vec<NodeAnswer>,
    /// Its way to the others.
    broker: BrokerAnswer,
}

/// A node's way to its broker.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BrokerAnswer {
    /// Whether there is a connection.
    connected: bool,
    /// From a word of the node until it came back, in microseconds, the last time; 0: none has yet.
    round_trip_micros: u64,
    /// Messages that wait for the broker.
    sent_waiting: u64,
    /// Messages of other nodes that wait for the shards.
    received_waiting: u64,
    /// Messages that other nodes do not hear: there was no connection, or no room.
    lost: u64,
    /// Times that messages of other nodes may have been missed.
    gaps: u64,
    /// Messages of ordered rooms that were missed and found in the broker's log.
    repaired: u64,
}

/// One node, as it said of itself.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct NodeAnswer {
    name: String,
    version: String,
    /// Open sockets.
    connections: u64,
    /// Rooms with members there.
    rooms: u64,
    /// Users with connections there.
    users: u64,
    /// It has been there for a lease, and has known what all others have.
    knows_all: bool,
    /// When it was heard, in milliseconds before the answer.
    heard_ms_ago: u64,
}

impl BrokerAnswer {
    fn of(counts: &BridgeCounts) -> BrokerAnswer {
        let get = |count| counts.get(count);
        BrokerAnswer {
            connected: get(BridgeCount::Connected) == 1,
            round_trip_micros: get(BridgeCount::RoundTripMicros),
            sent_waiting: get(BridgeCount::SentWaiting),
            received_waiting: get(BridgeCount::ReceivedWaiting),
            lost: get(BridgeCount::SentLost) + get(BridgeCount::SentDropped),
            gaps: get(BridgeCount::Gaps),
            repaired: get(BridgeCount::OrderedRepaired),
        }
    }
}

impl AdminApi {
    /// The nodes that this one knows of.
    pub(crate) fn cluster(&self) -> Result<ClusterAnswer, AdminProblem> {
        let view = self.cluster.as_ref();
        let view =
            view.ok_or_else(|| AdminProblem::not_found("this server is no node of a cluster"))?;
        let facts = &self.facts;
        let own = NodeAnswer {
            name: view.name.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            connections: facts.connections(),
            rooms: facts.sum(|shard| shard.rooms_home.get()),
            users: facts.sum(|shard| shard.users_home.get()),
            knows_all: view.said_to_know_all(),
            heard_ms_ago: 0,
        };
        let others = view
            .others()
            .into_iter()
            .map(|(node, heard_ms_ago)| NodeAnswer {
                name: node.name.into(),
                version: node.facts.version,
                connections: node.facts.connections,
                rooms: node.facts.rooms,
                users: node.facts.users,
                knows_all: node.facts.knows_all,
                heard_ms_ago,
            });
        Ok(ClusterAnswer {
            node: view.name.to_string(),
            nodes: std::iter::once(own).chain(others).collect(),
            broker: BrokerAnswer::of(&view.counts),
        })
    }

    /// What this node is called. `None`: it is none of a cluster.
    pub(crate) fn node_name(&self) -> Option<String> {
        let view = self.cluster.as_ref();
        view.map(|view| view.name.to_string())
    }

    /// Members of a topic at all nodes, and by node, with so many here.
    pub(crate) fn at_all_nodes(
        &self,
        topic: &TopicName,
        here: u32,
    ) -> (u32, Option<BTreeMap<String, u32>>) {
        let Some(view) = &self.cluster else {
            return (here, None);
        };
        let Elsewhere { members, mut nodes } = view.elsewhere(topic);
        if here > 0 {
            *nodes.entry(view.name.to_string()).or_default() += here;
        }
        (here.saturating_add(members), Some(nodes))
    }

    /// Rooms with members at other nodes: [`ClusterView::rooms_elsewhere`].
    pub(crate) fn rooms_elsewhere(
        &self,
        after: Option<&str>,
        prefix: &str,
        limit: usize,
    ) -> Vec<(Arc<str>, u32)> {
        let view = self.cluster.as_ref();
        view.map(|view| view.rooms_elsewhere(after, prefix, limit))
            .unwrap_or_default()
    }

    /// Whether there is a cluster of which something is not known here.
    pub(crate) fn lacks_something(&self) -> bool {
        let view = self.cluster.as_ref();
        view.is_some_and(|view| view.lacks_something())
    }

    /// Has all other nodes do what was done here, if there are any.
    ///
    /// # Errors
    /// It holds here, and too much waits to be told.
    pub(crate) fn tell_nodes(
        &self,
        call: &'static str,
        body: &impl Serialize,
    ) -> Result<(), AdminProblem> {
        let Some(view) = &self.cluster else {
            return Ok(());
        };
        let told = told(view, call, body);
        told.map_err(|TooManyCalls| {
            let detail = "it holds at this node, and too much waits to be told to the others";
            AdminProblem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        })
    }

    /// Does what was asked of another node.
    async fn do_here(&self, call: NodeCall) -> Result<(), AdminProblem> {
        let NodeCall { call, body, .. } = call;
        match &*call {
            NodeCall::REFUSALS => self.tell_refusals(&read(body)?).await,
            NodeCall::REFUSED => self.refuse_as_told(read(body)?).await,
            "disconnect" => self.disconnect_here(&read(body)?).await.map(drop),
            "ban" => self.ban_here(&read(body)?).await.map(drop),
            "unban" => self.unban_here(&read(body)?).await.map(drop),
            "revoke" => self.revoke_here(&read(body)?).await.map(drop),
            _ => Err(AdminProblem::bad_request("no such call")),
        }
    }
}

fn told(view: &ClusterView, call: &str, body: &impl Serialize) -> Result<(), TooManyCalls> {
    // What was read from JSON can be written.
    let body = serde_json::to_value(body).map_err(|_| TooManyCalls)?;
    let call = call.to_owned();
    let to = None;
    view.tell(NodeCall { call, body, to })
}

fn read<T: DeserializeOwned>(body: serde_json::Value) -> Result<T, AdminProblem> {
    serde_json::from_value(body).map_err(|error| AdminProblem::bad_request(error.to_string()))
}

/// Does what operators ask of other nodes, one call after the other, as long as there is a cluster.
pub(crate) async fn follow(state: Arc<AdminState>) {
    let view = state.api.as_ref().and_then(|api| api.cluster.clone());
    let Some(mut calls) = view.and_then(|view| view.take_to_do()) else {
        return;
    };
    while let Some(call) = calls.recv().await {
        let Some(api) = &state.api else { return };
        let name = call.call.clone();
        if let Err(problem) = api.do_here(call).await {
            tracing::warn!(call = %name, ?problem, "what an operator has asked of another node is not done here");
        }
    }
}
