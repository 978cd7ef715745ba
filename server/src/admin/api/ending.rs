//! Calls that keep somebody out: connections that are closed, bans, and tokens that are taken back.

use crate::access::bans::{Banishment, Bans};
use crate::access::networks::Networks;
use crate::admin::api::AdminApi;
use crate::admin::problem::AdminProblem;
use crate::auth::revocations::{NotRevoked, Revocation, Revocations};
use crate::auth::rules::unix_now;
use crate::config;
use crate::session::context::Context;
use crate::session::identity::Identity;
use crate::wire::connection_id::ConnectionId;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::{FoundConnection, TopicName};
use shardcast_protocol::dialect::Code;
use std::time::{Duration, Instant};

/// Whose connections are closed: one of `user`, `address`, `connection` and `room`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DisconnectCall {
    user: Option<String>,
    /// An address or a network, such as 203.0.113.0/24.
    address: Option<String>,
    connection: Option<String>,
    room: Option<String>,
    /// The close code; 4004 without.
    code: Option<u16>,
    /// The close reason, at most 123 bytes.
    reason: Option<String>,
}

/// Who is kept out: a `user`, or an `address` or network.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BanCall {
    user: Option<String>,
    /// An address or a network, such as 203.0.113.0/24.
    address: Option<String>,
    /// How long: a number with ms, s, m, h or d, up to 365d.
    r#for: String,
    /// The close reason of the connections that end, at most 123 bytes.
    reason: Option<String>,
}

/// Whose ban is lifted: a `user`, or an `address` or network.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnbanCall {
    user: Option<String>,
    /// An address or a network, as it was banned.
    address: Option<String>,
}

/// Which tokens are taken no more: one, those of a user, or all that were issued before a moment.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeCall {
    /// The `jti` of one.
    token: Option<String>,
    user: Option<String>,
    /// In seconds since 1970.
    issued_before: Option<u64>,
    /// How long that is remembered: a number with ms, s, m, h or d, up to 365d, which it is
    /// without.
    r#for: Option<String>,
}

/// Connections that were closed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Disconnected {
    disconnected: usize,
}

/// What became of a ban.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Lifted {
    /// Whether there was one.
    lifted: bool,
}

/// Whom a call is about.
enum Whom<'c> {
    User(&'c str),
    Address(&'c str),
    Connection(&'c str),
    Room(&'c str),
}

impl DisconnectCall {
    fn whom(&self) -> Result<Whom<'_>, AdminProblem> {
        let named = (
            self.user.as_deref(),
            self.address.as_deref(),
            self.connection.as_deref(),
            self.room.as_deref(),
        );
        match named {
            (Some(user), None, None, None) if Identity::is_name(user) => Ok(Whom::User(user)),
            (None, Some(address), None, None) => Ok(Whom::Address(address)),
            (None, None, Some(connection), None) => Ok(Whom::Connection(connection)),
            (None, None, None, Some(room)) => Ok(Whom::Room(room)),
            _ => Err(AdminProblem::bad_request(
                "name one of user, address, connection and room; a user's name has 1 to 255 bytes",
            )),
        }
    }
}

impl BanCall {
    /// The close reason of the connections that end.
    fn reason(&self) -> String {
        self.reason.clone().unwrap_or_else(|| "banned".to_owned())
    }

    /// As another node tells of one that has so much time left.
    pub(crate) fn told(user: Option<String>, address: Option<String>, left: Duration) -> BanCall {
        BanCall {
            user,
            address,
            r#for: time_to_tell(left),
            reason: None,
        }
    }
}

impl RevokeCall {
    /// As another node tells of one that is remembered for so much longer.
    pub(crate) fn told(revoked: &Revocation, left: Duration) -> RevokeCall {
        let (token, user, issued_before) = match revoked {
            Revocation::Token(id) => (Some(id.to_string()), None, None),
            Revocation::User {
                name,
                issued_before,
            } => (None, Some(name.to_string()), Some(*issued_before)),
            Revocation::Everybody { issued_before } => (None, None, Some(*issued_before)),
        };
        RevokeCall {
            token,
            user,
            issued_before,
            r#for: Some(time_to_tell(left)),
        }
    }

    /// What is revoked, and how long that is remembered.
    fn read(&self) -> Result<(Revocation, Duration), AdminProblem> {
        let time = match &self.r#for {
            Some(text) => time_of(text)?,
            None => Revocations::LONGEST,
        };
        let named = (&self.token, &self.user, self.issued_before);
        let revocation = match named {
            (Some(id), None, None) => Revocation::Token(id.as_str().into()),
            (None, Some(name), issued_before) => Revocation::User {
                name: name.as_str().into(),
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

/// A time that is left, as calls have it: none is shorter than a second.
fn time_to_tell(left: Duration) -> String {
    let left = left.min(Bans::LONGEST).as_secs().max(1);
    format!("{left}s")
}

/// How long a ban or a revocation lasts.
fn time_of(text: &str) -> Result<Duration, AdminProblem> {
    let time = config::read_duration(text);
    let time = time.filter(|time| !time.is_zero() && *time <= Bans::LONGEST);
    time.ok_or_else(|| {
        AdminProblem::bad_request("for must be a number with ms, s, m, h or d, up to 365d")
    })
}

impl AdminApi {
    /// Keeps a user, an address or a network out for a time, and closes the connections that it
    /// has.
    pub(crate) async fn ban(&self, call: BanCall) -> Result<Disconnected, AdminProblem> {
        self.put_ban(&call)?;
        // It is in force: nothing that fails from here on keeps the rest from being done.
        let told = self.tell_nodes("ban", &call);
        let enforced = self.enforce(&call).await?;
        told.map(|()| enforced)
    }

    pub(crate) async fn ban_here(&self, call: &BanCall) -> Result<Disconnected, AdminProblem> {
        self.put_ban(call)?;
        self.enforce(call).await
    }

    /// Closes the connections of whoever is kept out, and only then waits for the disk: one that is
    /// full lets nobody stay.
    async fn enforce(&self, call: &BanCall) -> Result<Disconnected, AdminProblem> {
        let ended = self.end_banned(call).await;
        self.keep().await?;
        let disconnected = ended?;
        Ok(Disconnected { disconnected })
    }

    /// Keeps somebody out, and nothing else yet.
    pub(crate) fn put_ban(&self, call: &BanCall) -> Result<(), AdminProblem> {
        let time = time_of(&call.r#for)?;
        let banned = banishment(call.user.as_deref(), call.address.as_deref())?;
        ending(None, Some(call.reason()))?;
        let placed = self.bans.ban(banned, Instant::now(), time);
        placed.map_err(|full| AdminProblem::new(StatusCode::CONFLICT, full.to_string()))
    }

    /// Closes the connections of whoever is kept out.
    pub(crate) async fn end_banned(&self, call: &BanCall) -> Result<usize, AdminProblem> {
        let (code, reason) = ending(None, Some(call.reason()))?;
        let whom = match (&call.user, &call.address) {
            (Some(user), _) => Whom::User(user),
            (None, address) => Whom::Address(address.as_deref().unwrap_or_default()),
        };
        self.end(whom, code, &reason).await
    }

    /// Takes tokens no more, and closes the connections of their bearers.
    pub(crate) async fn revoke(&self, call: RevokeCall) -> Result<Disconnected, AdminProblem> {
        // The other nodes' clocks have no say in it.
        let of_user = call.user.as_ref().map(|_| unix_now() + 1);
        let call = RevokeCall {
            issued_before: call.issued_before.or(of_user),
            ..call
        };
        let disconnected = self.put_revocation(&call).await?;
        let told = self.tell_nodes("revoke", &call);
        self.keep().await?;
        told.map(|()| Disconnected { disconnected })
    }

    pub(crate) async fn revoke_here(
        &self,
        call: &RevokeCall,
    ) -> Result<Disconnected, AdminProblem> {
        let disconnected = self.put_revocation(call).await?;
        self.keep().await?;
        Ok(Disconnected { disconnected })
    }

    /// The same, and nothing is kept.
    pub(crate) async fn put_revocation(&self, call: &RevokeCall) -> Result<usize, AdminProblem> {
        let (revocation, time) = call.read()?;
        let ended = self.handle.revoke(revocation, time).await;
        ended.map_err(|refused| match refused {
            NotRevoked::BadName => AdminProblem::bad_request(refused.to_string()),
            NotRevoked::Full | NotRevoked::NoTokens => {
                AdminProblem::new(StatusCode::CONFLICT, refused.to_string())
            }
        })
    }

    /// What is in force outlives the process from here on, if there is a file for it.
    pub(crate) async fn keep(&self) -> Result<(), AdminProblem> {
        let Some(keeper) = &self.keeper else {
            return Ok(());
        };
        keeper.save().await.map_err(|error| {
            let detail = format!("it is in force, and not kept in admin.state_file: {error}");
            AdminProblem::new(StatusCode::INSUFFICIENT_STORAGE, detail)
        })
    }

    /// Lifts a ban.
    pub(crate) async fn unban(&self, call: UnbanCall) -> Result<Lifted, AdminProblem> {
        let lifted = self.lift(&call)?;
        let told = self.tell_nodes("unban", &call);
        self.keep().await?;
        told.map(|()| Lifted { lifted })
    }

    pub(crate) async fn unban_here(&self, call: &UnbanCall) -> Result<Lifted, AdminProblem> {
        let lifted = self.lift(call)?;
        self.keep().await?;
        Ok(Lifted { lifted })
    }

    /// Whether there was a ban, which does not hold any more.
    fn lift(&self, call: &UnbanCall) -> Result<bool, AdminProblem> {
        let banned = banishment(call.user.as_deref(), call.address.as_deref())?;
        Ok(self.bans.unban(&banned, Instant::now()))
    }

    /// Closes connections: one, or those that a user, an address or a room has at this moment.
    pub(crate) async fn disconnect(
        &self,
        call: DisconnectCall,
    ) -> Result<Disconnected, AdminProblem> {
        let ended = self.disconnect_here(&call).await?;
        // A connection's id is one node's own.
        if call.connection.is_none() {
            self.tell_nodes("disconnect", &call)?;
        }
        Ok(ended)
    }

    pub(crate) async fn disconnect_here(
        &self,
        call: &DisconnectCall,
    ) -> Result<Disconnected, AdminProblem> {
        let (code, reason) = ending(call.code, call.reason.clone())?;
        let disconnected = self.end(call.whom()?, code, &reason).await?;
        Ok(Disconnected { disconnected })
    }

    /// Closes whom a call is about, and returns how many they were.
    async fn end(
        &self,
        whom: Whom<'_>,
        code: CloseCode,
        reason: &str,
    ) -> Result<usize, AdminProblem> {
        let text = reason.to_owned();
        let end = move |cx: &mut Context<'_>| {
            cx.disconnect(code, &text);
            true
        };
        let everybody = |_: &FoundConnection| true;
        let ended = match whom {
            Whom::User(user) => {
                let name = user.to_owned();
                let act = move |cx: &mut Context<'_>| cx.user() == Some(&*name) && end(cx);
                let topic = TopicName::User(user.into());
                self.handle.on_each(Some(topic), everybody, act).await?
            }
            Whom::Address(address) => {
                let network = network_of(address)?;
                let fits = |found: &FoundConnection| {
                    let address = found.peer.address();
                    address.is_some_and(|address| network.has(address.ip()))
                };
                self.handle.on_each(None, fits, end).await?
            }
            Whom::Connection(connection) => {
                self.handle
                    .disconnect(connection_of(connection)?, code, reason)
                    .await?;
                1
            }
            Whom::Room(room) => {
                let topic = self.room_topic(room)?;
                let room = room.to_owned();
                let act = move |cx: &mut Context<'_>| cx.is_in(&room) && end(cx);
                self.handle.on_each(Some(topic), everybody, act).await?
            }
        };
        Ok(ended)
    }
}

/// The connection of this id.
///
/// # Errors
/// There can be none.
pub(crate) fn connection_of(text: &str) -> Result<ConnectionId, AdminProblem> {
    let id = text.parse();
    id.map_err(|_| AdminProblem::bad_request("connection is no connection's id"))
}

/// An address, or a network.
///
/// # Errors
/// It is neither.
pub(crate) fn network_of(text: &str) -> Result<Networks, AdminProblem> {
    let mut network = Networks::default();
    let added = network.add(text);
    added.map_err(|error| AdminProblem::bad_request(error.to_string()))?;
    Ok(network)
}

fn banishment(user: Option<&str>, address: Option<&str>) -> Result<Banishment, AdminProblem> {
    match (user, address) {
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

/// Of a close frame (RFC 6455 §5.5): 125 bytes without the code.
const REASON_BYTES_MAX: usize = 123;
