//! The calls of the admin port that act on clients: whom to disconnect, and whom to keep out.
//!
//! Invariant: a call that is answered 200 has taken effect; one that is not understood changed
//! nothing. Bodies are JSON of at most 64 KiB. Routes of the port lead here, behind its guard.

use crate::access::bans::{Banishment, Bans};
use crate::access::networks::Networks;
use crate::admin::kept::Keeper;
use crate::admin::problem::AdminProblem;
use crate::auth::revocations::{NotRevoked, Revocation, Revocations};
use crate::auth::rules::unix_now;
use crate::config;
use crate::session::context::Context;
use crate::session::handle::Handle;
use crate::session::identity::Identity;
use crate::wire::connection_id::ConnectionId;
use crate::wire::failure::Failure;
use axum::body::Bytes;
use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shardcast_engine::FoundConnection;
use shardcast_engine::protocol::close::CloseCode;
use shardcast_protocol::dialect::Code;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the calls act on.
#[derive(Debug)]
pub(crate) struct AdminApi {
    handle: Handle,
    bans: Arc<Bans>,
    /// `None`: bans and revocations end with the process.
    keeper: Option<Keeper>,
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

/// Which tokens a call is about: one, those of a user, or all that were issued before a moment.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeCall {
    /// Its `jti`.
    token: Option<String>,
    user: Option<String>,
    /// In seconds since 1970.
    issued_before: Option<u64>,
    r#for: Option<String>,
}

impl RevokeCall {
    /// What is revoked, and how long that is remembered.
    fn read(self) -> Result<(Revocation, Duration), AdminProblem> {
        let time = match &self.r#for {
            Some(text) => time_of(text)?,
            None => Revocations::LONGEST,
        };
        let revocation = match (self.token, self.user, self.issued_before) {
            (Some(id), None, None) => Revocation::Token(id.into()),
            (None, Some(name), issued_before) => Revocation::User {
                name: name.into(),
                // A token of this second is older than the call.
                issued_before: issued_before.unwrap_or_else(|| unix_now() + 1),
            },
            (None, None, Some(issued_before)) => Revocation::Everybody { issued_before },
            _ => {
                return Err(AdminProblem::bad_request(
                    "name token (a jti), user, issued_before, or the last two; and for",
                ));
            }
        };
        Ok((revocation, time))
    }
}

/// How long a ban or a revocation lasts.
fn time_of(text: &str) -> Result<Duration, AdminProblem> {
    let time = config::read_duration(text);
    let time = time.filter(|time| !time.is_zero() && *time <= Bans::LONGEST);
    time.ok_or_else(|| {
        AdminProblem::bad_request("for must be a number with ms, s, m, h or d, up to 365d")
    })
}

/// The answer to a call.
pub(crate) type Called = Result<Value, AdminProblem>;

impl AdminApi {
    pub(crate) fn new(handle: Handle, bans: Arc<Bans>, keeper: Option<Keeper>) -> AdminApi {
        AdminApi {
            handle,
            bans,
            keeper,
        }
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
        let time = time_of(text)?;
        let banned = banishment(&whom)?;
        let reason = whom.reason.clone().unwrap_or_else(|| "banned".to_owned());
        let (code, reason) = ending(None, Some(reason))?;
        let placed = self.bans.ban(banned, Instant::now(), time);
        placed.map_err(|full| AdminProblem::new(StatusCode::CONFLICT, full.to_string()))?;
        let disconnected = self.end(&whom, code, &reason).await?;
        self.keep().await?;
        Ok(json!({ "disconnected": disconnected }))
    }

    /// Takes tokens no more, and closes the connections of their bearers.
    pub(crate) async fn revoke(&self, body: &Bytes) -> Called {
        let (revocation, time) = read::<RevokeCall>(body)?.read()?;
        let ended = self.handle.revoke(revocation, time).await;
        let disconnected = ended.map_err(|refused| match refused {
            NotRevoked::BadName => AdminProblem::bad_request(refused.to_string()),
            NotRevoked::Full | NotRevoked::NoTokens => {
                AdminProblem::new(StatusCode::CONFLICT, refused.to_string())
            }
        })?;
        self.keep().await?;
        Ok(json!({ "disconnected": disconnected }))
    }

    /// What is in force outlives the process from here on, if there is a file for it.
    async fn keep(&self) -> Result<(), AdminProblem> {
        let Some(keeper) = &self.keeper else {
            return Ok(());
        };
        keeper.save().await.map_err(|error| {
            let detail = format!("it is in force, and not kept in admin.state_file: {error}");
            AdminProblem::new(StatusCode::INSUFFICIENT_STORAGE, detail)
        })
    }

    /// Lifts a ban.
    pub(crate) async fn unban(&self, body: &Bytes) -> Called {
        let whom: Whom = read(body)?;
        let more = [&whom.connection, &whom.room, &whom.r#for, &whom.reason];
        if more.iter().any(|more| more.is_some()) || whom.code.is_some() {
            return Err(AdminProblem::bad_request("an unban has user or address"));
        }
        let lifted = self.bans.unban(&banishment(&whom)?, Instant::now());
        self.keep().await?;
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
                let fits = |found: &FoundConnection| {
                    let address = found.peer.address();
                    address.is_some_and(|address| network.has(address.ip()))
                };
                let reason = reason.to_owned();
                let end = move |cx: &mut Context<'_>| {
                    cx.disconnect(code, &reason);
                    true
                };
                let stopped =
                    |_| AdminProblem::new(StatusCode::SERVICE_UNAVAILABLE, "the server stops");
                self.handle.on_each(fits, end).await.map_err(stopped)
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
