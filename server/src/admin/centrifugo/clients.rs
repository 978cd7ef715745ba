//! Methods of the server API that are about clients: those of a user, or one of them.

use super::Done;
use super::error::ApiError;
use super::requests::{
    DisconnectParams, EndParams, RefreshParams, SubscribeParams, UnsubscribeParams,
};
use super::rooms::{is_known, position_of};
use crate::auth::rules::unix_now;
use crate::rooms::entering::RoomToJoin;
use crate::session::context::Context;
use crate::session::handle::Handle;
use crate::session::identity::Identity;
use crate::session::pending::JoinedRoom;
use crate::wire::connection_id::ConnectionId;
use crate::wire::failure::Failure;
use serde_json::json;
use shardcast_engine::protocol::close::CloseCode;
use shardcast_protocol::dialect::{Code, Problem};
use std::collections::HashSet;
use std::time::Duration;
use tokio::sync::oneshot;

/// The connections that a command is about: one, or the first 1,000 of a user's.
async fn connections(
    handle: &Handle,
    user: &str,
    client: &str,
) -> Result<Vec<ConnectionId>, ApiError> {
    if !client.is_empty() {
        let one = client.parse();
        return one
            .map(|one| vec![one])
            .map_err(|_| ApiError::bad_request("client is no connection's id"));
    }
    if !Identity::is_name(user) {
        return Err(ApiError::bad_request("user has 1 to 255 bytes"));
    }
    let listing = handle.connections(user).await?;
    let members = listing.members.iter();
    Ok(members.map(|member| ConnectionId(member.address)).collect())
}

/// Has something done with a connection of this user, and waits until it is done. One that is gone,
/// or another user's, is passed over.
async fn each<R: Send + 'static>(
    handle: &Handle,
    connection: ConnectionId,
    user: &str,
    act: impl FnOnce(&mut Context<'_>, oneshot::Sender<Result<R, Failure>>) -> Result<(), Failure>
    + Send
    + 'static,
) -> Result<Option<R>, ApiError> {
    let user = user.to_owned();
    let (sender, done) = oneshot::channel();
    let begun = handle.on(connection, move |cx| {
        if cx.user().unwrap_or_default() != user {
            return Ok(());
        }
        act(cx, sender)
    });
    match begun.await {
        Ok(begun) => begun?,
        Err(_) => return Ok(None),
    }
    match done.await {
        Ok(done) => Ok(Some(done?)),
        Err(_) => Ok(None),
    }
}

pub(crate) async fn subscribe(handle: &Handle, asked: SubscribeParams) -> Done {
    is_known(handle, &asked.channel)?;
    let since = asked.recover_since.as_ref().map(position_of);
    let info = asked.info.filter(|info| !info.is_null());
    for connection in connections(handle, &asked.user, &asked.client).await? {
        let (channel, info) = (asked.channel.clone(), info.clone());
        let subscribed = each(handle, connection, &asked.user, move |cx, done| {
            if cx.is_in(&channel) {
                let _nobody_waits = done.send(Ok(()));
                return Ok(());
            }
            let then = |_: &mut Context<'_>, joined: Result<JoinedRoom, Problem>| {
                let joined = joined.map(|_| ()).map_err(Failure::from);
                let _nobody_waits = done.send(joined);
            };
            match (since, info) {
                (Some(since), _) => cx.join_since_then(&channel, since, then),
                (None, Some(info)) => cx.join_showing_then(&channel, &info, then),
                (None, None) => {
                    let room = RoomToJoin::new(cx.shared, &channel).map_err(Problem::from)?;
                    cx.join_one_then(room, then)
                }
            }
        });
        subscribed.await?;
    }
    Ok(json!({}))
}

pub(crate) async fn unsubscribe(handle: &Handle, asked: UnsubscribeParams) -> Done {
    for connection in connections(handle, &asked.user, &asked.client).await? {
        let channel = asked.channel.clone();
        let left = each(handle, connection, &asked.user, move |cx, done| {
            if !cx.is_in(&channel) {
                let _nobody_waits = done.send(Ok(()));
                return Ok(());
            }
            cx.leave_then(&[&channel], |_| {
                let _nobody_waits = done.send(Ok(()));
            })
        });
        left.await?;
    }
    Ok(json!({}))
}

pub(crate) async fn disconnect(handle: &Handle, asked: DisconnectParams) -> Done {
    let (code, reason) = match asked.disconnect {
        Some(EndParams { code, reason }) if code != 0 => {
            let code = CloseCode::new(code);
            let code = code.ok_or_else(|| ApiError::bad_request("code may not be sent"))?;
            (code, reason)
        }
        Some(_) | None => (CloseCode::POLICY, "force disconnect".to_owned()),
    };
    if reason.len() > REASON_BYTES_MAX {
        return Err(ApiError::bad_request("reason has at most 123 bytes"));
    }
    let kept: HashSet<ConnectionId> = asked
        .whitelist
        .iter()
        .filter_map(|client| client.parse().ok())
        .collect();
    for connection in connections(handle, &asked.user, &asked.client).await? {
        if kept.contains(&connection) {
            continue;
        }
        let reason = reason.clone();
        let ended = each(handle, connection, &asked.user, move |cx, done| {
            cx.disconnect(code, &reason);
            let _nobody_waits = done.send(Ok(()));
            Ok(())
        });
        ended.await?;
    }
    Ok(json!({}))
}

/// Of a close frame (RFC 6455 §5.5): 125 bytes without the code.
const REASON_BYTES_MAX: usize = 123;

pub(crate) async fn refresh(handle: &Handle, asked: RefreshParams) -> Done {
    let (expired, expire_at) = (asked.expired, asked.expire_at);
    for connection in connections(handle, &asked.user, &asked.client).await? {
        let refreshed = each(handle, connection, &asked.user, move |cx, done| {
            if expired {
                cx.disconnect(
                    Code::TokenExpired.close_code(),
                    "the connection has expired",
                );
            } else {
                let left = expire_at.filter(|at| *at > 0);
                let left = left.map(|at| Duration::from_secs(at.saturating_sub(unix_now())));
                cx.prolong(left);
            }
            let _nobody_waits = done.send(Ok(()));
            Ok(())
        });
        refreshed.await?;
    }
    Ok(json!({}))
}
