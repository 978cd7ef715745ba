//! Requests while they are put together: a publish, and whatever else the protocol has.
//!
//! Invariant: nothing is asked before `send`, or before it is awaited. Made by the client and the
//! pool.

use crate::encoding::Body;
use crate::entry::{Answer, KeyOrigin, PublishKey, Resend, Wants};
use crate::error::Error;
use crate::message::Receipt;
use crate::pending::{Asking, Pending, Reader};
use crate::shared::Shared;
use crate::trace::TraceContext;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Whom a publish goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// The members of a room.
    Room(&'a str),
    /// The members of each of these rooms.
    Rooms(&'a [&'a str]),
    /// The connections of a user.
    User(&'a str),
    /// Every connection of the server.
    Everyone,
}

impl<'a> From<&'a str> for Target<'a> {
    fn from(room: &'a str) -> Target<'a> {
        Target::Room(room)
    }
}

impl<'a> From<&'a String> for Target<'a> {
    fn from(room: &'a String) -> Target<'a> {
        Target::Room(room)
    }
}

/// A publish that is being put together: await it, or `send` it.
#[must_use = "nothing is published before it is sent or awaited"]
pub struct Publish {
    shared: Arc<Shared>,
    body: Result<Body, Error>,
    room: Option<Arc<str>>,
    key: Keying,
    timeout: Duration,
    retries: u32,
}

enum Keying {
    Automatic,
    Given(Box<str>),
    None,
}

impl Publish {
    pub(crate) fn new<T: Serialize + ?Sized>(
        shared: &Arc<Shared>,
        target: Target<'_>,
        data: &T,
    ) -> Publish {
        let encoding = shared.settled.options.encoding;
        let kind = match target {
            Target::Room(_) | Target::Rooms(_) => "publish",
            Target::User(_) | Target::Everyone => "broadcast",
        };
        let mut body = Body::new(encoding, kind);
        let mut room = None;
        let written = match target {
            Target::Room(name) => {
                body.text("room", name);
                room = Some(Arc::from(name));
                Ok(())
            }
            Target::Rooms(names) => body.put("rooms", names),
            Target::User(user) => {
                body.text("user", user);
                Ok(())
            }
            Target::Everyone => Ok(()),
        };
        let written = written.and_then(|()| body.put("data", data));
        Publish {
            shared: Arc::clone(shared),
            body: written.map(|()| body),
            key: match room {
                Some(_) => Keying::Automatic,
                None => Keying::None,
            },
            room,
            timeout: shared.settled.options.request_timeout,
            retries: 0,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Body)) -> Publish {
        if let Ok(body) = &mut self.body {
            change(body);
        }
        self
    }

    /// Not to the sender.
    pub fn without_echo(self) -> Publish {
        self.with(|body| body.flag("echo", false))
    }

    /// Counts what became of the copies.
    pub fn with_report(self) -> Publish {
        self.with(|body| body.flag("report", true))
    }

    /// Under this key a newer publish may stand for this one, for who reads slowly.
    pub fn conflate(self, key: &str) -> Publish {
        self.with(|body| body.text("conflate", key))
    }

    /// The trace that it belongs to.
    pub fn trace(self, context: TraceContext) -> Publish {
        self.with(|body| body.text("traceparent", context.as_str()))
    }

    /// A publish to the room with the same key again is none, where your own retries are to count
    /// as one. A publish to one room has a key of its own unless one is given.
    pub fn key(mut self, key: &str) -> Publish {
        self.key = Keying::Given(key.into());
        self
    }

    /// Without a key: sent once at the most.
    pub fn without_key(mut self) -> Publish {
        self.key = Keying::None;
        self
    }

    /// For the answer, the time in the queue included: 24 h at most.
    pub fn timeout(mut self, timeout: Duration) -> Publish {
        self.timeout = timeout;
        self
    }

    /// Tries again so often where the server refuses for now. Then later publishes may overtake it.
    pub fn retries(mut self, retries: u32) -> Publish {
        self.retries = retries;
        self
    }

    /// Publishes. Where the room keeps history, a retry after a reconnect is not a second message.
    pub fn send(self) -> Pending<Receipt> {
        let key = match (self.key, self.room) {
            (Keying::None, _) => None,
            (Keying::Given(key), room) => Some(PublishKey {
                room: room.unwrap_or_else(|| Arc::from("")),
                key: Some(key),
                origin: KeyOrigin::Given,
            }),
            (Keying::Automatic, None) => None,
            (Keying::Automatic, Some(room)) => Some(PublishKey {
                room,
                key: Some(self.shared.lock().requests.keyed.new_key()),
                origin: KeyOrigin::Automatic,
            }),
        };
        let asking = Asking {
            body: self.body,
            key,
            wants: Wants::Message,
            resend: Resend::No,
            timeout: self.timeout,
            retries: self.retries,
        };
        Pending::ask(&self.shared, asking, Answer::read)
    }
}

impl IntoFuture for Publish {
    type Output = Result<Receipt, Error>;
    type IntoFuture = Pending<Receipt>;

    fn into_future(self) -> Pending<Receipt> {
        self.send()
    }
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

/// A request that is being put together: await it, or `send` it.
#[must_use = "nothing is asked before it is sent or awaited"]
pub struct Ask<T> {
    shared: Arc<Shared>,
    body: Result<Body, Error>,
    wants: Wants,
    resend: Resend,
    timeout: Duration,
    retries: u32,
    read: Reader<T>,
}

impl<T: DeserializeOwned> Ask<T> {
    pub(crate) fn new(shared: &Arc<Shared>, kind: &str, wants: Wants, resend: Resend) -> Ask<T> {
        let options = &shared.settled.options;
        Ask {
            shared: Arc::clone(shared),
            body: Ok(Body::new(options.encoding, kind)),
            wants,
            resend,
            timeout: options.request_timeout,
            retries: match resend {
                Resend::Yes => options.retries,
                Resend::No => 0,
            },
            read: Answer::read,
        }
    }

    /// Adds a key of the protocol's.
    pub fn with<V: Serialize + ?Sized>(mut self, key: &str, value: &V) -> Ask<T> {
        let written = match &mut self.body {
            Ok(body) => body.put(key, value),
            Err(_) => Ok(()),
        };
        if let Err(error) = written {
            self.body = Err(error);
        }
        self
    }

    /// The trace that it belongs to.
    pub fn trace(self, context: TraceContext) -> Ask<T> {
        self.with("traceparent", context.as_str())
    }

    /// For the answer, the time in the queue included: 24 h at most.
    pub fn timeout(mut self, timeout: Duration) -> Ask<T> {
        self.timeout = timeout;
        self
    }

    /// It may be sent twice: again where the connection goes before the answer, or where the
    /// server refuses for now.
    pub fn idempotent(mut self) -> Ask<T> {
        self.resend = Resend::Yes;
        self.retries = self.shared.settled.options.retries;
        self
    }

    /// Asks.
    pub fn send(self) -> Pending<T> {
        let asking = Asking {
            body: self.body,
            key: None,
            wants: self.wants,
            resend: self.resend,
            timeout: self.timeout,
            retries: self.retries,
        };
        Pending::ask(&self.shared, asking, self.read)
    }
}

impl<T: DeserializeOwned> IntoFuture for Ask<T> {
    type Output = Result<T, Error>;
    type IntoFuture = Pending<T>;

    fn into_future(self) -> Pending<T> {
        self.send()
    }
}

impl<T> fmt::Debug for Ask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").finish_non_exhaustive()
    }
}
