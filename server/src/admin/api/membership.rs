//! Calls that put connections into rooms, and take them out: one connection, or all of a user's.

use crate::admin::api::AdminApi;
use crate::admin::api::ending::connection_of;
use crate::admin::problem::AdminProblem;
use crate::rooms::entering::RoomToJoin;
use crate::session::context::Context;
use crate::session::identity::Identity;
use crate::wire::connection_id::ConnectionId;
use crate::wire::failure::{Failure, Gone};
use axum::http::StatusCode;
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shardcast_engine::{Query, TopicName};
use shardcast_protocol::dialect::Problem;
use tokio::sync::oneshot;

/// Who joins or leaves which room: a `connection`, or all that a `user` has at this moment.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MembershipCall {
    user: Option<String>,
    connection: Option<String>,
    room: String,
}

/// How many connections joined, those that were in the room already included.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct JoinedMany {
    joined: usize,
}

/// How many connections were in the room and left it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LeftMany {
    left: usize,
}

/// What is done with each connection; true: it counts.
type MemberOutcome = Result<bool, Failure>;

impl AdminApi {
    pub(crate) async fn join(&self, call: MembershipCall) -> Result<JoinedMany, AdminProblem> {
        self.room_topic(&call.room)?;
        let joined = self.each_of(&call, join).await?;
        Ok(JoinedMany { joined })
    }

    pub(crate) async fn leave(&self, call: MembershipCall) -> Result<LeftMany, AdminProblem> {
        self.room_topic(&call.room)?;
        let left = self.each_of(&call, leave).await?;
        Ok(LeftMany { left })
    }

    /// Has it done with each connection that a call is about; returns how many count. A user's that
    /// are gone meanwhile do not; if one is refused, the rest is done all the same.
    async fn each_of(&self, call: &MembershipCall, act: MemberAct) -> Result<usize, AdminProblem> {
        let user = match (&call.connection, &call.user) {
            (Some(connection), None) => {
                let connection = connection_of(connection)?;
                let done = self.one(connection, None, &call.room, act).await?;
                return Ok(usize::from(done));
            }
            (None, Some(user)) if Identity::is_name(user) => user,
            _ => {
                return Err(AdminProblem::bad_request(
                    "name either connection, or user, of 1 to 255 bytes",
                ));
            }
        };
        let (mut after, mut count, mut refused) = (None, 0, Vec::new());
        loop {
            let of = Some(TopicName::User(user.as_str().into()));
            let page = self
                .handle
                .page_of_connections(of, after, Query::ITEMS_MAX)
                .await?;
            let each = page
                .items
                .iter()
                .map(|found| self.one(ConnectionId(found.address), Some(user), &call.room, act));
            for outcome in join_all(each).await {
                match outcome {
                    Ok(done) => count += usize::from(done),
                    Err(failure) if failure.is_gone() => {}
                    Err(failure) => refused.push(failure),
                }
            }
            match page.items.last().filter(|_| page.more) {
                Some(last) => after = Some(last.address),
                None => break,
            }
        }
        match refused.pop() {
            None => Ok(count),
            Some(last) => {
                let problem = AdminProblem::from(last);
                let detail = format!(
                    "{count} connections are done, {} were refused, one of them: {}",
                    refused.len() + 1,
                    problem.detail()
                );
                Err(AdminProblem::new(StatusCode::CONFLICT, detail))
            }
        }
    }

    /// Has it done with one connection, of this user if one is named.
    async fn one(
        &self,
        connection: ConnectionId,
        user: Option<&str>,
        room: &str,
        act: MemberAct,
    ) -> MemberOutcome {
        let (user, room) = (user.map(str::to_owned), room.to_owned());
        let (sender, done) = oneshot::channel();
        let begun = self.handle.on(connection, move |cx| {
            let is_another = user.is_some_and(|user| cx.user() != Some(&*user));
            match is_another {
                true => Err(Gone.into()),
                false => act(cx, &room, sender),
            }
        });
        begun.await??;
        done.await.map_err(|_| Gone)?
    }
}

type MemberAct = fn(&mut Context<'_>, &str, oneshot::Sender<MemberOutcome>) -> Result<(), Failure>;

fn join(
    cx: &mut Context<'_>,
    room: &str,
    done: oneshot::Sender<MemberOutcome>,
) -> Result<(), Failure> {
    if cx.is_in(room) {
        let _nobody_waits = done.send(Ok(true));
        return Ok(());
    }
    let room = RoomToJoin::new(cx.shared, room).map_err(Problem::from)?;
    cx.join_one_then(room, |_, joined| {
        let _nobody_waits = done.send(joined.map(|_| true).map_err(Failure::from));
    })
}

fn leave(
    cx: &mut Context<'_>,
    room: &str,
    done: oneshot::Sender<MemberOutcome>,
) -> Result<(), Failure> {
    if !cx.is_in(room) {
        let _nobody_waits = done.send(Ok(false));
        return Ok(());
    }
    cx.leave_then(&[room], |_| {
        let _nobody_waits = done.send(Ok(true));
    })
}
