//! Where a connection stands among its HTTP requests: what the request phase must remember from one
//! read to the next.
//!
//! Invariant: it exists only while a request is unfinished or more may follow one that was
//! answered. Owned by a connection's cold part, driven by the shard's request phase.

use crate::driver::boundary::Millis;
use crate::types::ticket::Address;
use bytes::Bytes;
use shardcast_protocol::deflate::Agreement;
use shardcast_protocol::events::Framing;
use shardcast_protocol::frame::Kind;
use shardcast_protocol::http::{Persistence, Progress};

/// The requests of one connection.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    /// How far the unfinished head was looked at.
    pub(crate) progress: Progress,
    /// Requests answered so far.
    pub(crate) answered: u32,
    pub(crate) stage: ExchangeStage,
    /// What an admission needs that the application has deferred.
    pub(crate) deferred: Option<Box<Deferred>>,
}

/// A complete request whose admission is deferred: what is left of the request.
#[derive(Debug)]
pub(crate) struct Deferred {
    /// Of a WebSocket's upgrade (`Sec-WebSocket-Key`); `None`: an event stream.
    pub(crate) key: Option<Box<str>>,
    /// Of an event stream.
    pub(crate) framing: Framing,
    /// What the request said as the first message, as a client's frame.
    pub(crate) first: Option<Bytes>,
    /// On permessage-deflate.
    pub(crate) agreement: Option<Agreement>,
    /// When its time is over, in milliseconds of the shard's clock.
    pub(crate) due: Millis,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ExchangeStage {
    /// A proxy's header, which says who its client is.
    Introduction,
    /// A request head.
    #[default]
    Head,
    /// The body of a request that is answered already: so many bytes are dropped.
    Dropping { left_bytes: usize },
    /// A request whose body is the first message of a stream: head and body have so many bytes.
    Opening { bytes: usize },
    /// A message for an event stream.
    Posting(Upload),
    /// Nothing yet: the message went to its stream's shard, and the answer is not there.
    Awaiting(Persistence),
}

/// A message that is being posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    /// The event stream that it is for. `None`: the body says so.
    pub(crate) to: Option<Address>,
    pub(crate) kind: Kind,
    /// Its length.
    pub(crate) bytes: usize,
    /// What becomes of the connection after the answer.
    pub(crate) persistence: Persistence,
}

impl Exchange {
    /// Requests that one connection may make before it becomes a WebSocket; the last is answered
    /// with `Connection: close`.
    pub(crate) const REQUESTS_MAX: u32 = 100;
    /// Largest body of a refused request that is read and dropped, in bytes; after a larger one the
    /// connection is closed.
    pub(crate) const DROPPED_BODY_BYTES_MAX: usize = 64 << 10;
}
