//! One request, and how many of them may wait.
//!
//! Invariant: it is settled once, by whoever holds it last. Made by users' calls and by the core,
//! kept by the requests.

use crate::encoding::{Body, read};
use crate::error::Error;
use crate::rooms::Batch;
use serde::de::DeserializeOwned;
use shardcast_protocol::dialect::Unread;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What becomes of requests for which there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WhenQueueFull {
    /// The new one fails with `queue_full`.
    #[default]
    Refuse,
    /// The oldest fails with `queue_full`.
    DropOldest,
    /// Whoever asks waits for room; its timeout runs.
    Wait,
}

/// What may wait to be sent, while there is no connection above all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueOptions {
    /// Requests: 1 or more.
    pub count: usize,
    /// Bytes that they have.
    pub bytes: usize,
    /// What happens to more.
    pub when_full: WhenQueueFull,
    /// Requests that may be under way, from 1 to 1,024. A server lets a connection wait for 64
    /// answers of rooms, joins among them.
    pub in_flight: usize,
}

impl Default for QueueOptions {
    fn default() -> QueueOptions {
        QueueOptions {
            count: 1_000,
            bytes: 1 << 20,
            when_full: WhenQueueFull::Refuse,
            in_flight: 48,
        }
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) enum Answer {
    Json(String),
    Pack(Vec<u8>),
}

/// What an answer may have room for and not need.
const ANSWER_SPARE_BYTES_MAX: usize = 4 << 10;

impl Answer {
    /// Keeps what was received, in memory that its request needs no more.
    pub(crate) fn keep(received: Unread<'_>, request: &mut Body) -> Answer {
        let mut bytes = request.emptied();
        if bytes.capacity() > received.as_bytes().len() + ANSWER_SPARE_BYTES_MAX {
            bytes = Vec::new();
        }
        match received {
            Unread::Json(text) => {
                // Nothing is always text.
                let mut kept = String::from_utf8(bytes).unwrap_or_default();
                kept.push_str(text);
                Answer::Json(kept)
            }
            Unread::Pack(pack) => {
                bytes.extend_from_slice(pack);
                Answer::Pack(bytes)
            }
        }
    }

    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        read(match self {
            Answer::Json(text) => Unread::Json(text),
            Answer::Pack(bytes) => Unread::Pack(bytes),
        })
    }
}

/// What settles a request of the user.
pub(crate) type Reply = oneshot::Sender<Result<Answer, Error>>;

/// What of an answer its request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    Data,
    Message,
    /// Any answer over this very connection: it is alive.
    Life,
}

/// Who asks.
#[derive(Debug)]
pub(crate) enum Purpose {
    User(Reply, Wants),
    Rooms(Box<Batch>),
    Authenticate,
    Refresh,
}

/// Whether a request may be sent again where the connection goes before the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resend {
    Yes,
    No,
}

/// Who made the key of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyOrigin {
    Automatic,
    Given,
}

#[derive(Debug)]
pub(crate) struct PublishKey {
    pub(crate) room: Arc<str>,
    /// None: the room takes none.
    pub(crate) key: Option<Box<str>>,
    pub(crate) origin: KeyOrigin,
}

/// A request.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) body: Body,
    pub(crate) purpose: Purpose,
    pub(crate) key: Option<PublishKey>,
    pub(crate) resend: Resend,
    /// From `since` on.
    pub(crate) timeout: Duration,
    /// Retries that may still be made where the server refuses for now.
    pub(crate) retries: u32,
    /// What its caller calls it; 0 for the client's own.
    pub(crate) ticket: u64,
    /// When it was taken.
    pub(crate) since: Instant,
}

impl Entry {
    /// Bytes of the message that it becomes, at the most.
    pub(crate) fn bytes(&self) -> usize {
        let key = self.key.as_ref().and_then(|key| key.key.as_deref());
        self.body.bytes_max(key)
    }

    /// When it is too late for an answer.
    pub(crate) fn deadline(&self) -> Instant {
        self.since + self.timeout
    }

    /// Whether it is the client's own.
    pub(crate) fn is_control(&self) -> bool {
        !matches!(self.purpose, Purpose::User(..))
    }

    /// The room that a publish with a key goes to.
    pub(crate) fn room(&self) -> Option<&str> {
        self.key.as_ref().map(|key| &*key.room)
    }

    /// Whether another connection can do it, too.
    pub(crate) fn can_move(&self) -> bool {
        !matches!(self.purpose, Purpose::User(_, Wants::Life))
    }

    /// Whether its caller is gone.
    pub(crate) fn is_abandoned(&self) -> bool {
        matches!(&self.purpose, Purpose::User(reply, _) if reply.is_closed())
    }

    pub(crate) fn settle(self, result: Result<Answer, Error>) {
        if let Purpose::User(reply, _) = self.purpose {
            // Whoever is gone does not mind.
            _ = reply.send(result);
        }
    }
}
