//! The table of the admin API: each call with its path, what it takes, what it answers, and what
//! runs it. Routes of the port, the OpenAPI document and `docs/admin.md` are made of it or checked
//! against it.

use crate::admin::api::batch::{BatchAnswer, BatchCall};
use crate::admin::api::cluster::ClusterAnswer;
use crate::admin::api::connections::{
    ConnectionDetail, ConnectionsPage, ConnectionsQuery, UserDetail,
};
use crate::admin::api::ending::{
    BanCall, DisconnectCall, Disconnected, Lifted, RevokeCall, UnbanCall,
};
use crate::admin::api::membership::{JoinedMany, LeftMany, MembershipCall};
use crate::admin::api::process::{ConfigAnswer, InfoAnswer, TopAnswer, TopQuery};
use crate::admin::api::publishing::{PublishAnswer, PublishCall};
use crate::admin::api::rooms::{
    HistoryCall, HistoryClearCall, HistoryPage, PlaceInHistory, PresenceCall, PresenceMembers,
    RoomDetail, RoomsPage, RoomsQuery,
};
use crate::admin::api::shards::ShardsAnswer;
use crate::admin::api::steering::{DebugAnswer, DebugCall, DrainAnswer, LogAnswer, LogCall};
use crate::admin::api::{AdminApi, Asked, Called, answered};
use crate::admin::lifecycle::Reloaded;
use futures_util::future::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// A call.
pub(crate) struct Operation {
    pub(crate) verb: Verb,
    /// With `{room}`, `{connection}` or `{user}` where it names one.
    pub(crate) path: &'static str,
    /// Its name in the document and in the audit log.
    pub(crate) id: &'static str,
    /// One line.
    pub(crate) about: &'static str,
    pub(crate) takes: Takes,
    pub(crate) gives: SchemaOf,
    pub(crate) audited: Audited,
    pub(crate) run: for<'a> fn(&'a AdminApi, Asked) -> BoxFuture<'a, Called>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
}

/// What a call is asked with, besides what its path names.
#[derive(Clone, Copy)]
pub(crate) enum Takes {
    Nothing,
    Parameters(SchemaOf),
    Body(SchemaOf),
}

/// Whether a call stands in the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audited {
    /// It only reads, or its body has data of messages.
    No,
    /// Each of the calls in its body that acts.
    Parts,
    /// With its body.
    Yes,
}

pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A row of the table. What runs is an expression of the API and of what was asked.
macro_rules! operation {
    ($verb:ident $path:literal $id:literal $about:literal, $takes:expr => $gives:ty, $audited:ident, |$api:ident, $asked:ident| $run:expr) => {
        Operation {
            verb: Verb::$verb,
            path: $path,
            id: $id,
            about: $about,
            takes: $takes,
            gives: schema::<$gives>,
            audited: Audited::$audited,
            run: |$api, $asked| Box::pin(async move { answered(&$run) }),
        }
    };
}

/// Every call.
pub(crate) static OPERATIONS: &[Operation] = &[
    operation!(Post "/api/publish" "publish" "Publishes to a room, several, a user or everyone",
        Takes::Body(schema::<PublishCall>) => PublishAnswer, No,
        |api, asked| api.publish(asked.read()?, asked.trace).await?),
    operation!(Post "/api/batch" "batch" "Does several calls in their order",
        Takes::Body(schema::<BatchCall>) => BatchAnswer, Parts,
        |api, asked| api.batch(asked.read()?, asked.trace).await?),
    operation!(Post "/api/join" "join" "Puts a connection, or all of a user's, into a room",
        Takes::Body(schema::<MembershipCall>) => JoinedMany, Yes,
        |api, asked| api.join(asked.read()?).await?),
    operation!(Post "/api/leave" "leave" "Takes a connection, or all of a user's, out of a room",
        Takes::Body(schema::<MembershipCall>) => LeftMany, Yes,
        |api, asked| api.leave(asked.read()?).await?),
    operation!(Post "/api/disconnect" "disconnect" "Closes a connection, or those of a user, an address or a room",
        Takes::Body(schema::<DisconnectCall>) => Disconnected, Yes,
        |api, asked| api.disconnect(asked.read()?).await?),
    operation!(Post "/api/ban" "ban" "Keeps a user or an address out for a time, and closes what it has",
        Takes::Body(schema::<BanCall>) => Disconnected, Yes,
        |api, asked| api.ban(asked.read()?).await?),
    operation!(Post "/api/unban" "unban" "Lifts a ban",
        Takes::Body(schema::<UnbanCall>) => Lifted, Yes,
        |api, asked| api.unban(asked.read()?).await?),
    operation!(Post "/api/revoke" "revoke" "Takes tokens no more, and closes the connections of their bearers",
        Takes::Body(schema::<RevokeCall>) => Disconnected, Yes,
        |api, asked| api.revoke(asked.read()?).await?),
    operation!(Post "/api/presence" "presence" "Tells who is in a room",
        Takes::Body(schema::<PresenceCall>) => PresenceMembers, No,
        |api, asked| api.presence(asked.read()?).await?),
    operation!(Post "/api/history" "history" "Reads what a room keeps",
        Takes::Body(schema::<HistoryCall>) => HistoryPage, No,
        |api, asked| api.history(asked.read()?).await?),
    operation!(Post "/api/history_clear" "history_clear" "Has a room forget what it keeps",
        Takes::Body(schema::<HistoryClearCall>) => PlaceInHistory, Yes,
        |api, asked| api.history_clear(asked.read()?).await?),
    operation!(Get "/api/rooms" "rooms" "Lists rooms with members",
        Takes::Parameters(schema::<RoomsQuery>) => RoomsPage, No,
        |api, asked| api.rooms(asked.query()?).await?),
    operation!(Get "/api/rooms/{room}" "room" "Tells of one room",
        Takes::Nothing => RoomDetail, No,
        |api, asked| api.room(&asked.name).await?),
    operation!(Get "/api/connections" "connections" "Lists open connections",
        Takes::Parameters(schema::<ConnectionsQuery>) => ConnectionsPage, No,
        |api, asked| api.connections(asked.query()?).await?),
    operation!(Get "/api/connections/{connection}" "connection" "Tells of one connection",
        Takes::Nothing => ConnectionDetail, No,
        |api, asked| api.connection(&asked.name).await?),
    operation!(Get "/api/users/{user}" "user" "Tells of one user",
        Takes::Nothing => UserDetail, No,
        |api, asked| api.user(&asked.name).await?),
    operation!(Get "/api/info" "info" "Tells of the server and how much it does",
        Takes::Nothing => InfoAnswer, No,
        |api, _asked| api.info()),
    operation!(Get "/api/shards" "shards" "Tells of each shard what it has and does, and how long things take",
        Takes::Nothing => ShardsAnswer, No,
        |api, _asked| api.shards()),
    operation!(Get "/api/top" "top" "Tells which rooms most is published to",
        Takes::Parameters(schema::<TopQuery>) => TopAnswer, No,
        |api, asked| api.top(&asked.query()?)?),
    operation!(Get "/api/cluster" "cluster" "Lists the nodes of the cluster",
        Takes::Nothing => ClusterAnswer, No,
        |api, _asked| api.cluster()?),
    operation!(Get "/api/config" "config" "Shows the configuration in force, without secrets",
        Takes::Nothing => ConfigAnswer, No,
        |api, _asked| api.config()),
    operation!(Post "/api/drain" "drain" "Begins to stop the server, as SIGTERM does",
        Takes::Nothing => DrainAnswer, Yes,
        |api, _asked| api.drain().await?),
    operation!(Post "/api/reload" "reload" "Reads the configuration and all files again, as SIGHUP does",
        Takes::Nothing => Reloaded, Yes,
        |api, _asked| api.reload().await?),
    operation!(Post "/api/log" "log" "Says from which level on the server logs, and changes it",
        Takes::Body(schema::<LogCall>) => LogAnswer, Yes,
        |api, asked| api.log(asked.read()?).await?),
    operation!(Post "/api/debug" "debug" "Logs each step of a connection or a room, for a time",
        Takes::Body(schema::<DebugCall>) => DebugAnswer, Yes,
        |api, asked| api.debug(asked.read()?).await?),
];
