//! The native dialect, v1, read: one object per message with the same keys, in JSON or in
//! MessagePack.
//!
//! [`Keys`] are the keys that mean something, found in one pass; [`Optional::request`] makes a
//! request of them, and is the one place that knows which key belongs to which type. JSON-RPC has
//! the same keys in the `params` of the server's own methods. What the dialect writes is in `reply`
//! and `event`.

pub(super) mod json;
mod key;
pub(super) mod messagepack;

pub(crate) use key::Key;

use super::command::{Command, ReplyMode};
use super::fields::{Fields, Span, Wrong};
use super::id::{ID_BYTES_MAX, Id};
use super::position::{Since, SinceByRoom};
use super::request::{
    Ack, Credential, HistoryQuery, Join, JoinSince, KEY_BYTES_MAX, Method, PRESENCE_BYTES_MAX,
    PresenceQuery, Publish, PublishKeys, PublishTarget, ReadOrder, Request, Resume, RoomList,
    Rooms,
};
use super::value::Value;
use crate::trace_parent::TraceParent;
use std::borrow::Cow;

/// The known keys of a request.
pub(crate) type Keys<S> = Fields<S, { Key::COMMON }, { Key::RARE }>;

impl<'b, S: Span<'b>> Keys<S> {
    /// The request's `id`. It is looked at first: whatever else is wrong is answered under it.
    #[inline(always)]
    pub(crate) fn id(&self) -> Result<Option<Id<'b>>, Wrong> {
        match self.get(Key::Id as usize) {
            None => Ok(None),
            Some(id) if id.into().as_bytes().len() > ID_BYTES_MAX => {
                Err("id is longer than 128 bytes")
            }
            Some(id) if id.is_id() => Ok(Some(Id::checked(id.into()))),
            Some(id) if id.is_null() => Ok(None),
            Some(_) => Err(Key::Id.wrong()),
        }
    }

    /// The command that the keys make up, under an id.
    #[inline(always)]
    fn command(&self, id: Option<Id<'b>>) -> Result<Command<'b>, Wrong> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let reply = match id {
            Some(_) => ReplyMode::Always,
            None => ReplyMode::UnlessDone,
        };
        let sent = self.get(Key::Type as usize).and_then(Span::sent);
        if let Some(method) = sent.and_then(Method::from_bytes) {
            return self.method(method, id, reply);
        }
        let name = self.string(Key::Type)?.ok_or("type is missing")?;
        match Method::from_name(&name) {
            Some(method) => self.method(method, id, reply),
            None => self.call(name, id, reply),
        }
    }

    /// The command of a method of the server's own.
    #[inline(always)]
    pub(crate) fn method(
        &self,
        method: Method,
        id: Option<Id<'b>>,
        reply: ReplyMode,
    ) -> Result<Command<'b>, Wrong> {
        if !self.has_any(Key::OPTIONAL)
            && let Some(request) = Request::bare(method)
        {
            return Ok(Command {
                id,
                reply,
                room: None,
                request,
                data: self.get(Key::Data as usize).map(Into::into),
                trace: self.trace(),
            });
        }
        self.method_with_keys(method, id, reply)
    }

    #[inline(never)]
    fn method_with_keys(
        &self,
        method: Method,
        id: Option<Id<'b>>,
        reply: ReplyMode,
    ) -> Result<Command<'b>, Wrong> {
        let optional = self.optional()?;
        Ok(Command {
            id,
            reply,
            room: optional.room(),
            request: optional.request(method, self)?,
            data: self.get(Key::Data as usize).map(Into::into),
            trace: self.trace(),
        })
    }

    /// The command of a method that somebody else handles.
    #[inline(always)]
    fn call(
        &self,
        name: Cow<'b, str>,
        id: Option<Id<'b>>,
        reply: ReplyMode,
    ) -> Result<Command<'b>, Wrong> {
        Ok(Command {
            id,
            reply,
            room: self.optional()?.room,
            request: Request::Call { name },
            data: self.get(Key::Data as usize).map(Into::into),
            trace: self.trace(),
        })
    }

    /// What the client has the request belong to. What is no `traceparent` is none.
    #[inline(always)]
    fn trace(&self) -> Option<Box<TraceParent>> {
        match self.has_any(Key::Traceparent.bit()) {
            true => self.some_trace(),
            false => None,
        }
    }

    #[cold]
    fn some_trace(&self) -> Option<Box<TraceParent>> {
        let text = self.string(Key::Traceparent).ok().flatten()?;
        TraceParent::parse(&text).map(Box::new)
    }

    /// The keys that only some requests need. Their types are right in every request.
    #[inline(always)]
    fn optional(&self) -> Result<Optional<'b>, Wrong> {
        if !self.has_any(Key::OPTIONAL) {
            return Ok(Optional::NONE);
        }
        Ok(Optional {
            room: self.string(Key::Room)?,
            rooms: self.rooms()?,
            user: self.string(Key::User)?,
            echo: self.boolean(Key::Echo)?,
            report: self.boolean(Key::Report)?.unwrap_or(false),
            limit: self.limit()?,
        })
    }

    #[inline(always)]
    fn string(&self, key: Key) -> Result<Option<Cow<'b, str>>, Wrong> {
        self.typed(key, Span::text)
    }

    #[inline(always)]
    fn boolean(&self, key: Key) -> Result<Option<bool>, Wrong> {
        self.typed(key, Span::boolean)
    }

    #[inline(always)]
    fn limit(&self) -> Result<Option<u32>, Wrong> {
        self.typed(Key::Limit, |value: S| {
            value.unsigned().and_then(|limit| limit.try_into().ok())
        })
    }

    #[inline(always)]
    fn rooms(&self) -> Result<Option<RoomList<'b>>, Wrong> {
        match self.get(Key::Rooms as usize) {
            None => Ok(None),
            Some(rooms) if rooms.is_null() => Ok(None),
            Some(rooms) => RoomList::check(rooms.into()).map(Some),
        }
    }

    /// A value that is there, and not `null`.
    fn some(&self, key: Key) -> Option<S> {
        self.get(key as usize).filter(|value| !value.is_null())
    }

    /// `since` of a request that names one room.
    fn since(&self) -> Result<Option<Since<'b>>, Wrong> {
        let since = self.some(Key::Since);
        since.map(|since| Since::read(since.into())).transpose()
    }

    /// `since` of several rooms.
    fn since_by_room(&self) -> Result<Option<SinceByRoom<'b>>, Wrong> {
        let since = self.some(Key::Since);
        since
            .map(|since| SinceByRoom::check(since.into()))
            .transpose()
    }

    /// `since` of a join.
    #[inline(always)]
    fn join_since(&self, rooms: &Rooms<'b>) -> Result<Option<Box<JoinSince<'b>>>, Wrong> {
        let Some(since) = self.some(Key::Since) else {
            return Ok(None);
        };
        let since = match rooms {
            Rooms::One(_) => JoinSince::Room(Since::read(since.into())?),
            Rooms::Many(_) => JoinSince::Rooms(SinceByRoom::check(since.into())?),
        };
        Ok(Some(Box::new(since)))
    }

    /// `presence` of a join.
    #[inline(always)]
    fn join_presence(&self) -> Result<Option<Box<Value<'b>>>, Wrong> {
        let Some(shown) = self.some(Key::Presence) else {
            return Ok(None);
        };
        let shown: Value<'b> = shown.into();
        match shown.as_bytes().len() {
            0..=PRESENCE_BYTES_MAX => Ok(Some(Box::new(shown))),
            _ => Err(Key::Presence.wrong()),
        }
    }

    /// `token` of a join.
    #[inline(always)]
    fn join_token(&self, rooms: &Rooms<'b>) -> Result<Option<Box<Credential<'b>>>, Wrong> {
        if self.get(Key::Token as usize).is_none() {
            return Ok(None);
        }
        match (self.string(Key::Token)?, rooms) {
            (None, _) => Ok(None),
            (Some(token), Rooms::One(_)) => Ok(Some(Box::new(Credential(token)))),
            (Some(_), Rooms::Many(_)) => Err("token needs room"),
        }
    }

    /// `token` of a request that is about nothing else.
    fn credential(&self) -> Result<Credential<'b>, Wrong> {
        let token = self.string(Key::Token)?;
        token.map(Credential).ok_or("token is missing")
    }

    /// `key` and `conflate`.
    #[inline(always)]
    fn publish_keys(&self) -> Result<Option<Box<PublishKeys<'b>>>, Wrong> {
        if !self.has_any(Key::Idempotency.bit() | Key::Conflate.bit()) {
            return Ok(None);
        }
        let keys = PublishKeys {
            idempotency: self.short_string(Key::Idempotency)?,
            conflation: self.short_string(Key::Conflate)?,
            change: None,
        };
        let is_some = keys.idempotency.is_some() || keys.conflation.is_some();
        Ok(is_some.then(|| Box::new(keys)))
    }

    fn short_string(&self, key: Key) -> Result<Option<Cow<'b, str>>, Wrong> {
        let text = self.string(key)?;
        match &text {
            Some(text) if !(1..=KEY_BYTES_MAX).contains(&text.len()) => Err(key.wrong()),
            _ => Ok(text),
        }
    }

    #[inline(always)]
    fn typed<T>(&self, key: Key, read: impl Fn(S) -> Option<T>) -> Result<Option<T>, Wrong> {
        let Some(value) = self.get(key as usize) else {
            return Ok(None);
        };
        match read(value) {
            None if value.is_null() => Ok(None),
            None => Err(key.wrong()),
            some => Ok(some),
        }
    }
}

const _: () = assert!(Key::Traceparent as usize + 1 == Key::COMMON + Key::RARE);
const _: () = assert!(
    KEY_BYTES_MAX == 128 && PRESENCE_BYTES_MAX == 1024,
    "the texts above say so"
);

/// Keys that were read and not combined yet.
struct Optional<'b> {
    room: Option<Cow<'b, str>>,
    rooms: Option<RoomList<'b>>,
    user: Option<Cow<'b, str>>,
    echo: Option<bool>,
    report: bool,
    limit: Option<u32>,
}

impl<'b> Optional<'b> {
    const NONE: Optional<'b> = Optional {
        room: None,
        rooms: None,
        user: None,
        echo: None,
        report: false,
        limit: None,
    };

    /// A copy of `room`, which nearly always borrows.
    #[inline(always)]
    fn room(&self) -> Option<Cow<'b, str>> {
        match &self.room {
            Some(Cow::Borrowed(room)) => Some(Cow::Borrowed(room)),
            room => room.clone(),
        }
    }

    #[inline(always)]
    fn request<S: Span<'b>>(self, method: Method, keys: &Keys<S>) -> Result<Request<'b>, Wrong> {
        Ok(match method {
            Method::Ping => Request::Ping,
            Method::Echo => Request::Echo,
            Method::JoinRoom => {
                let rooms = self.rooms_asked()?;
                Request::Join(Join {
                    since: keys.join_since(&rooms)?,
                    presence: keys.join_presence()?,
                    token: keys.join_token(&rooms)?,
                    rooms,
                })
            }
            Method::LeaveRoom => Request::Leave(self.rooms_asked()?),
            Method::Broadcast => Request::Broadcast(self.publish(keys)?),
            Method::Publish if self.room.is_none() && self.rooms.is_none() => {
                return Err(NO_ROOMS);
            }
            Method::Publish => Request::Publish(self.publish(keys)?),
            Method::Rooms => Request::Rooms,
            Method::Status => Request::Status,
            Method::Presence => Request::Presence(Box::new(PresenceQuery {
                room: self.room.ok_or(NO_ROOM)?,
                limit: self.limit,
                cursor: keys.string(Key::Cursor)?,
            })),
            Method::History => Request::History(Box::new(HistoryQuery {
                room: self.room.ok_or(NO_ROOM)?,
                since: keys.since()?,
                limit: self.limit,
                order: match keys.boolean(Key::Reverse)? {
                    Some(true) => ReadOrder::Reverse,
                    Some(false) | None => ReadOrder::Forward,
                },
            })),
            Method::Auth => Request::Auth(keys.credential()?),
            Method::Refresh => Request::Refresh(keys.credential()?),
            Method::Resume => Request::Resume(Box::new(Resume {
                token: keys.string(Key::Token)?.ok_or("token is missing")?,
                since: keys.since_by_room()?,
            })),
            Method::Ack => Request::Ack(Box::new(Ack {
                room: self.room.ok_or(NO_ROOM)?,
                offset: keys
                    .typed(Key::Offset, Span::unsigned)?
                    .ok_or("offset is missing")?,
            })),
        })
    }

    #[inline(always)]
    fn rooms_asked(self) -> Result<Rooms<'b>, Wrong> {
        combined(self.room, self.rooms)?.ok_or(NO_ROOMS)
    }

    #[inline(always)]
    fn publish<S: Span<'b>>(self, keys: &Keys<S>) -> Result<Publish<'b>, Wrong> {
        let keys = keys.publish_keys()?;
        let target = match (combined(self.room, self.rooms)?, self.user) {
            (Some(_), Some(_)) => return Err("user excludes room and rooms"),
            (Some(rooms), None) => PublishTarget::Rooms(rooms),
            (None, Some(user)) => PublishTarget::User(user),
            (None, None) => PublishTarget::Everyone,
        };
        if keys.is_some() && !matches!(target, PublishTarget::Rooms(_)) {
            return Err("key and conflate need room or rooms");
        }
        Ok(Publish {
            target,
            echo: self.echo,
            report: self.report,
            keys,
        })
    }
}

/// `room` or `rooms`.
#[inline(always)]
fn combined<'b>(
    room: Option<Cow<'b, str>>,
    rooms: Option<RoomList<'b>>,
) -> Result<Option<Rooms<'b>>, Wrong> {
    match (room, rooms) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err("room and rooms exclude each other"),
        (Some(room), None) => Ok(Some(Rooms::One(room))),
        (None, Some(rooms)) => Ok(Some(Rooms::Many(rooms))),
    }
}

const NO_ROOM: Wrong = "room is missing";
const NO_ROOMS: Wrong = "room or rooms is missing";
