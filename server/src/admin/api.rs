//! The calls of the admin port that act on clients: whom to disconnect, and whom to keep out.
//!
//! Invariant: a call that is answered 200 has taken effect; one that is not understood changed
//! nothing. Bodies are JSON of at most 64 KiB. Routes of the port lead here, behind its guard.

use crate::access::bans::{Banishment, Bans};
use crate::access::networks::Networks;
use crate::admin::problem::AdminProblem;
use crate::config;
use crate::session::handle::Handle;
use crate::session::identity::Identity;
use crate::wire::connection_id::ConnectionId;
use crate::wire::failure::Failure;
use axum::body::Bytes;
use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::{Answer, FoundConnection, Query};
use shardcast_protocol::dialect::Code;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// What the calls act on.
#[derive(Debug)]
pub(crate) struct AdminApi {
    handle: Handle,
    bans: Arc<Bans>,
}

/// Whom a call is about: one of these.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whom {
    user: Option<String>,
    address: Option<String>,
    connection: Option<String>,
    room: Option<String>,
    /// Of a ban.
    r#for: Option<String>,
    /// Of a disconnect.
    code: Option<u16>,
    reason: Option<String>,
}

/// The answer to a call.
pub(crate) type Called = Result<Value, AdminProblem>;

impl AdminApi {
    pub(crate) fn new(handle: Handle, bans: Arc<Bans>) -> AdminApi {
        AdminApi { handle, bans }
    }

    /// Keeps a user, an address or a network out for a time, and closes the connections that it
    /// has.
    pub(crate) async fn ban(&self, body: &Bytes) -> Called {
        let whom: Whom = read(body)?;
        if whom.connection.is_some() || whom.room.is_some() || whom.code.is_some() {
            return Err(AdminProblem::bad_request(
                "a ban has user or address, for, and reason",
            ));
        }
        let text = whom.r#for.as_deref();
        let text = text.ok_or_else(|| AdminProblem::bad_request("for: how long, such as 10m"))?;
        let time = config::read_duration(text)
            .filter(|time| !time.is_zero() && *time <= Bans::LONGEST)
            .ok_or_else(|| {
                AdminProblem::bad_request("for must be a number with ms, s, m, h or d, up to 365d")
            })?;
        let banned = banishment(&whom)?;
        let placed = self.bans.ban(banned, Instant::now(), time);
        placed.map_err(|full| AdminProblem::new(StatusCode::CONFLICT, full.to_string()))?;
        let reason = whom.reason.clone().unwrap_or_else(|| "banned".to_owned());
        let (code, reason) = ending(None, Some(reason))?;
        let disconnected = self.end(&whom, code, &reason).await?;
        Ok(json!({ "disconnected": disconnected }))
    }

    /// Lifts a ban.
    pub(crate) async fn unban(&self, body: &Bytes) -> Called {
        let whom: Whom = read(body)?;
        let more = [&whom.connection, &whom.room, &whom.r#for, &whom.reason];
        if more.iter().any(|more| more.is_some()) || whom.code.is_some() {
            return Err(AdminProblem::bad_request("an unban has user or address"));
        }
        let lifted = self.bans.unban(&banishment(&whom)?, Instant::now());
        Ok(json!({ "lifted": lifted }))
    }

    /// Closes connections: one, or those that a user, an address or a room has at this moment.
    pub(crate) async fn disconnect(&self, body: &Bytes) -> Called {
        let mut whom: Whom = read(body)?;
        if whom.r#for.is_some() {
            return Err(AdminProblem::bad_request(
                "a disconnect has no for: see /api/ban",
            ));
        }
        let (code, reason) = ending(whom.code, whom.reason.take())?;
        let disconnected = self.end(&whom, code, &reason).await?;
        Ok(json!({ "disconnected": disconnected }))
    }

    /// Closes whom a call is about, and returns how many they were.
    async fn end(&self, whom: &Whom, code: CloseCode, reason: &str) -> Result<usize, AdminProblem> {
        match (&whom.user, &whom.address, &whom.connection, &whom.room) {
            (Some(user), None, None, None) if Identity::is_name(user) => {
                let ended = self.handle.disconnect_user(user, code, reason).await;
                ended.map_err(problem_of)
            }
            (None, Some(address), None, None) => {
                let mut network = Networks::default();
                let added = network.add(address);
                added.map_err(|error| AdminProblem::bad_request(error.to_string()))?;
                self.end_those(code, reason, |found| {
                    found.peer.address().is_some_and(|it| network.has(it.ip()))
                })
                .await
            }
            (None, None, Some(connection), None) => {
                let id: ConnectionId = connection
                    .parse()
                    .map_err(|_| AdminProblem::bad_request("connection is no connection's id"))?;
                let ended = self.handle.disconnect(id, code, reason).await;
                ended.map(|()| 1).map_err(|_| {
                    AdminProblem::new(StatusCode::NOT_FOUND, "there is no such connection")
                })
            }
            (None, None, None, Some(room)) => {
                let ended = self.handle.disconnect_room(room, code, reason).await;
                ended.map_err(problem_of)
            }
            _ => Err(AdminProblem::bad_request(
                "name one of user, address, connection and room; a user's name has 1 to 255 bytes",
            )),
        }
    }

    /// Closes the connections that are found so, a page at a time.
    async fn end_those(
        &self,
        code: CloseCode,
        reason: &str,
        fits: impl Fn(&FoundConnection) -> bool,
    ) -> Result<usize, AdminProblem> {
        let (mut after, mut ended) = (None, 0);
        loop {
            let query = Query::Connections {
                after,
                limit: Query::ITEMS_MAX,
            };
            let (sender, answer) = oneshot::channel();
            let reply = Box::new(move |answer: Answer| {
                let _nobody_waits = sender.send(answer);
            });
            let busy = || AdminProblem::new(StatusCode::SERVICE_UNAVAILABLE, "the server is busy");
            let engine = self.handle.shared.engine().map_err(|_| busy())?;
            engine.query(query, reply).map_err(|_| busy())?;
            let Ok(Answer::Connections(found)) = answer.await else {
                return Err(busy());
            };
            for found in found.items.iter().filter(|found| fits(found)) {
                let id = ConnectionId(found.address);
                let gone = self.handle.disconnect(id, code, reason).await;
                ended += usize::from(gone.is_ok());
            }
            match found.items.last().filter(|_| found.more) {
                Some(last) => after = Some(last.address),
                None => return Ok(ended),
            }
        }
    }
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, AdminProblem> {
    serde_json::from_slice(body).map_err(|error| AdminProblem::bad_request(error.to_string()))
}

fn banishment(whom: &Whom) -> Result<Banishment, AdminProblem> {
    match (&whom.user, &whom.address) {
        (Some(user), None) if Identity::is_name(user) => Ok(Banishment::of_user(user)),
        (None, Some(address)) => Banishment::of_network(address)
            .map_err(|error| AdminProblem::bad_request(error.to_string())),
        _ => Err(AdminProblem::bad_request(
            "name either user, of 1 to 255 bytes, or address: an address or a network",
        )),
    }
}

/// With which code and reason connections end.
fn ending(code: Option<u16>, reason: Option<String>) -> Result<(CloseCode, String), AdminProblem> {
    let code = match code {
        None => Code::Forbidden.close_code(),
        Some(code) => CloseCode::new(code).ok_or_else(|| {
            AdminProblem::bad_request(
                "code must be one that may be sent: 1000, 1008, 4000 to 4999 …",
            )
        })?,
    };
    let reason = reason.unwrap_or_else(|| "disconnected by an operator".to_owned());
    if reason.len() > REASON_BYTES_MAX {
        return Err(AdminProblem::bad_request("reason has at most 123 bytes"));
    }
    Ok((code, reason))
}

fn problem_of(failure: Failure) -> AdminProblem {
    match failure.problem() {
        Some(problem) if problem.code == Code::Unavailable => {
            AdminProblem::new(StatusCode::SERVICE_UNAVAILABLE, problem.message)
        }
        Some(problem) => AdminProblem::bad_request(problem.message),
        None => AdminProblem::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed"),
    }
}

/// Of a close frame (RFC 6455 §5.5): 125 bytes without the code.
const REASON_BYTES_MAX: usize = 123;
