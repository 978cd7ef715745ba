//! What a token claims, read into types: who its bearer is, what it may do where, and until when.
//!
//! Invariant: every claim that means something here has its type, or the token is refused with the
//! claim's name. Whether the claims hold now is the business of `rules`.

use crate::auth::fault::TokenFault;
use crate::auth::grants::Grants;
use serde_json::{Map, Value};
use shardcast_engine::USER_BYTES_MAX;
use shardcast_protocol::dialect::centrifuge::TagFilter;
use shardcast_protocol::json::Raw;
use std::sync::Arc;

/// What a connection's token claims. Its signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    user: Option<Arc<str>>,
    roles: Arc<[Box<str>]>,
    grants: Grants,
    limits: Option<Box<str>>,
    issue: Issue,
    /// `None`: none of them is there.
    channels: Option<Box<ChannelClaims>>,
    /// All that mean nothing here, as they came.
    more: Map<String, Value>,
}

/// What a room's own token claims: its bearer may be in one room. Its signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomClaims {
    room: Box<str>,
    client: Option<Box<str>>,
    user: Option<Arc<str>>,
    issue: Issue,
    /// Of the connection in the room, as JSON.
    info: Option<Box<str>>,
    /// Which publications it is sent there. `None`: all.
    filter: Option<TagFilter>,
}

/// Which token it is, and when it is valid, in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Issue {
    pub(crate) id: Option<Box<str>>,
    pub(crate) issued_at: Option<u64>,
    pub(crate) not_before: Option<u64>,
    pub(crate) expires_at: Option<u64>,
    /// `expire_at`: when what the token permits ends, where that is not when the token does.
    pub(crate) permits_until: Option<PermitEnd>,
    pub(crate) issuer: Option<Box<str>>,
    pub(crate) audience: Box<[Box<str>]>,
}

/// When what a token permits ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PermitEnd {
    /// It does not by itself.
    Never,
    /// In seconds since 1970.
    At(u64),
}

/// What only clients of the Centrifuge protocol have of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ChannelClaims {
    info: Option<Box<str>>,
    channels: Box<[GrantedChannel]>,
}

/// A channel that a token puts its bearer into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrantedChannel {
    pub(crate) name: Box<str>,
    /// What others are told of the bearer there, as JSON.
    pub(crate) info: Option<Box<str>>,
    /// Which publications the bearer is sent there. `None`: all.
    pub(crate) filter: Option<TagFilter>,
}

impl ChannelClaims {
    fn read(claims: &mut Map<String, Value>) -> Result<Option<ChannelClaims>, TokenFault> {
        let mut channels: Vec<GrantedChannel> = Vec::new();
        match claims.remove("channels") {
            None | Some(Value::Null) => {}
            Some(names) => {
                let names = texts(names).ok_or(TokenFault::MalformedClaim("channels"))?;
                let granted = names.into_iter().map(|name| GrantedChannel {
                    name,
                    info: None,
                    filter: None,
                });
                channels.extend(granted);
            }
        }
        match claims.remove("subs") {
            None | Some(Value::Null) => {}
            Some(Value::Object(subs)) => {
                for (name, options) in subs {
                    let Value::Object(mut options) = options else {
                        return Err(TokenFault::MalformedClaim("subs"));
                    };
                    channels.push(GrantedChannel {
                        name: name.into(),
                        filter: filter(&mut options)?,
                        info: info(&options),
                    });
                }
            }
            Some(_) => return Err(TokenFault::MalformedClaim("subs")),
        }
        let read = ChannelClaims {
            info: info(claims),
            channels: channels.into(),
        };
        Ok((read != ChannelClaims::default()).then_some(read))
    }
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To say who a connection is.
    Connection,
    /// To let a connection into one room. Such a token names it (`room`, or `channel`).
    Room,
}

/// What a token claims, by its purpose. Clones are cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verified {
    /// Of a connection.
    Connection(Arc<Claims>),
    /// Of a room.
    Room(Arc<RoomClaims>),
}

impl Verified {
    /// Reads the claims of a token for this purpose.
    pub(crate) fn read(
        mut claims: Map<String, Value>,
        purpose: Purpose,
    ) -> Result<Verified, TokenFault> {
        let issue = Issue::read(&mut claims)?;
        let user = user(&mut claims)?;
        let room = match text(&mut claims, "room")? {
            Some(room) => Some(room),
            None => text(&mut claims, "channel")?,
        };
        match (purpose, room) {
            (Purpose::Connection, None) => Ok(Verified::Connection(Arc::new(Claims {
                user,
                roles: roles(&mut claims)?,
                grants: grants(&mut claims)?,
                limits: text(&mut claims, "limits")?,
                issue,
                channels: ChannelClaims::read(&mut claims)?.map(Box::new),
                more: claims,
            }))),
            (Purpose::Room, Some(room)) => Ok(Verified::Room(Arc::new(RoomClaims {
                room,
                client: text(&mut claims, "client")?,
                user,
                issue,
                filter: filter(&mut claims)?,
                info: info(&claims),
            }))),
            (Purpose::Connection, Some(_)) | (Purpose::Room, None) => Err(TokenFault::Purpose),
        }
    }

    /// `sub`: its user, if it has one.
    pub(crate) fn user(&self) -> Option<&str> {
        match self {
            Verified::Connection(claims) => claims.user(),
            Verified::Room(claims) => claims.user(),
        }
    }

    pub(crate) fn issue(&self) -> &Issue {
        match self {
            Verified::Connection(claims) => &claims.issue,
            Verified::Room(claims) => &claims.issue,
        }
    }
}

impl Claims {
    /// Roles of one token.
    pub const ROLES_MAX: usize = 64;

    /// `sub`: the user; nobody where it is absent or empty.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// `roles`, in the order given.
    pub fn roles(&self) -> &[Box<str>] {
        &self.roles
    }

    /// `rooms`: what is granted where.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// `limits`: the name of the role whose limits hold.
    pub fn limits(&self) -> Option<&str> {
        self.limits.as_deref()
    }

    /// `jti`: the token's own name.
    pub fn id(&self) -> Option<&str> {
        self.issue.id.as_deref()
    }

    /// `iat`, in seconds since 1970.
    pub fn issued_at(&self) -> Option<u64> {
        self.issue.issued_at
    }

    /// `exp`, in seconds since 1970.
    pub fn expires_at(&self) -> Option<u64> {
        self.issue.expires_at
    }

    /// `info`: what others are told of the bearer where clients of the Centrifuge protocol are told
    /// of each other, as JSON.
    pub(crate) fn info(&self) -> Option<&str> {
        self.channels.as_ref()?.info.as_deref()
    }

    /// `channels` and `subs`: which a client of the Centrifuge protocol is in from the start.
    pub(crate) fn channels(&self) -> &[GrantedChannel] {
        self.channels
            .as_ref()
            .map_or(&[], |channels| &channels.channels)
    }

    /// A claim that means nothing to the server, as the issuer wrote it.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.more.get(name)
    }

    /// Which token it is, and when it is valid.
    pub(crate) fn issue(&self) -> &Issue {
        &self.issue
    }

    /// User and roles, shared with the claims.
    pub(crate) fn shared(&self) -> (Option<Arc<str>>, Arc<[Box<str>]>) {
        (self.user.clone(), self.roles.clone())
    }
}

impl RoomClaims {
    /// `room` (or `channel`): the room.
    pub(crate) fn room(&self) -> &str {
        &self.room
    }

    /// `client`: the one connection that the token is for.
    pub(crate) fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// `info`: what others are told of the connection in the room, as JSON.
    pub(crate) fn info(&self) -> Option<&str> {
        self.info.as_deref()
    }

    /// `server_tags_filter`: which publications the connection is sent in the room.
    pub(crate) fn filter(&self) -> Option<&TagFilter> {
        self.filter.as_ref()
    }

    /// Which token it is, and when it is valid.
    pub(crate) fn issue(&self) -> &Issue {
        &self.issue
    }

    /// `sub`: the user that it is for.
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether the token lets this connection of this user into this room. A token without `sub`
    /// is for connections of nobody, unless it names its connection.
    ///
    /// # Errors
    /// It is for another room, connection or user.
    pub(crate) fn check(
        &self,
        user: Option<&str>,
        client: &str,
        room: &str,
    ) -> Result<(), TokenFault> {
        if *self.room != *room {
            return Err(TokenFault::Room);
        }
        if self.client().is_some_and(|bound| bound != client) {
            return Err(TokenFault::Client);
        }
        if self.user() != user && (self.client.is_none() || self.user.is_some()) {
            return Err(TokenFault::User);
        }
        Ok(())
    }
}

impl Issue {
    fn read(claims: &mut Map<String, Value>) -> Result<Issue, TokenFault> {
        Ok(Issue {
            id: text(claims, "jti")?,
            issued_at: moment(claims, "iat")?,
            not_before: moment(claims, "nbf")?,
            expires_at: moment(claims, "exp")?,
            permits_until: match moment(claims, "expire_at")? {
                None => None,
                Some(0) => Some(PermitEnd::Never),
                Some(moment) => Some(PermitEnd::At(moment)),
            },
            issuer: text(claims, "iss")?,
            audience: match claims.remove("aud") {
                None | Some(Value::Null) => Box::default(),
                Some(Value::String(one)) => Box::new([one.into()]),
                Some(several) => texts(several).ok_or(TokenFault::MalformedClaim("aud"))?,
            },
        })
    }
}

/// A claim that is a string. `null` is absent.
fn text(
    claims: &mut Map<String, Value>,
    name: &'static str,
) -> Result<Option<Box<str>>, TokenFault> {
    match claims.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.into())),
        Some(_) => Err(TokenFault::MalformedClaim(name)),
    }
}

/// A claim that is a time in seconds since 1970, with a fraction perhaps (RFC 7519 §2), which is
/// cut off.
fn moment(claims: &mut Map<String, Value>, name: &'static str) -> Result<Option<u64>, TokenFault> {
    /// Beyond it a double does not know seconds any more.
    const SECONDS_MAX: f64 = 9_007_199_254_740_991.0;
    let number = match claims.remove(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number,
        Some(_) => return Err(TokenFault::MalformedClaim(name)),
    };
    let seconds = number.as_f64();
    let seconds = seconds.filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds));
    let seconds = seconds.ok_or(TokenFault::MalformedClaim(name))?;
    Ok(Some(seconds as u64))
}

/// `sub`. An empty one is nobody's, as Centrifuge has it.
fn user(claims: &mut Map<String, Value>) -> Result<Option<Arc<str>>, TokenFault> {
    match text(claims, "sub")? {
        None => Ok(None),
        Some(name) if name.is_empty() => Ok(None),
        Some(name) if name.len() <= USER_BYTES_MAX => Ok(Some(name.into())),
        Some(_) => Err(TokenFault::MalformedClaim("sub")),
    }
}

fn roles(claims: &mut Map<String, Value>) -> Result<Arc<[Box<str>]>, TokenFault> {
    let roles = match claims.remove("roles") {
        None | Some(Value::Null) => return Ok(Arc::default()),
        Some(roles) => texts(roles).filter(|roles| roles.len() <= Claims::ROLES_MAX),
    };
    let roles = roles.ok_or(TokenFault::MalformedClaim("roles"))?;
    Ok(roles.into())
}

fn grants(claims: &mut Map<String, Value>) -> Result<Grants, TokenFault> {
    let grants = match claims.remove("rooms") {
        None | Some(Value::Null) => Grants::default(),
        Some(rooms) => Grants::read(&rooms).ok_or(TokenFault::MalformedClaim("rooms"))?,
    };
    match claims.remove("caps") {
        None | Some(Value::Null) => Ok(grants),
        Some(caps) => grants
            .with_capabilities(&caps)
            .ok_or(TokenFault::MalformedClaim("caps")),
    }
}

/// `info`, which stays among the others for applications. `null` is absent.
fn info(claims: &Map<String, Value>) -> Option<Box<str>> {
    match claims.get("info") {
        None | Some(Value::Null) => None,
        Some(info) => Some(info.to_string().into()),
    }
}

/// `server_tags_filter`, as a client's own filter is written. `null` is absent.
fn filter(claims: &mut Map<String, Value>) -> Result<Option<TagFilter>, TokenFault> {
    const NAME: &str = "server_tags_filter";
    let node = claims.remove(NAME).filter(|node| !node.is_null());
    let Some(node) = node else {
        return Ok(None);
    };
    let text = node.to_string();
    match Raw::parse(&text).map(TagFilter::of_json) {
        Some(Ok(filter)) => Ok(Some(filter)),
        Some(Err(_)) | None => Err(TokenFault::MalformedClaim(NAME)),
    }
}

/// An array of strings.
fn texts(array: Value) -> Option<Box<[Box<str>]>> {
    let Value::Array(items) = array else {
        return None;
    };
    let texts = items.into_iter().map(|item| match item {
        Value::String(text) => Some(text.into()),
        _ => None,
    });
    texts.collect()
}
