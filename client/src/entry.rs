//! One request, and how many of them may wait.
//!
//! Invariant: it is settled once, by whoever holds it last. Made by users' calls and by the core,
//! kept by the requests.

use crate::encoding::{Body, Encoding};
use crate::error::Error;
use crate::rooms::Batch;
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
pub(crate) struct Answer {
    pub(crate) encoding: Encoding,
    pub(crate) bytes: Box<[u8]>,
}

/// What settles a request of the user.
pub(crate) type Reply = oneshot::Sender<Result<Answer, Error>>;

/// What of an answer its request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    Data,
    Message,
}

/// Who asks.
#[derive(Debug)]
pub(crate) enum Purpose {
    User(Reply, Wants),
    Rooms(Batch),
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
    pub(crate) deadline: Instant,
    pub(crate) timeout: Duration,
    /// Retries that may still be made where the server refuses for now.
    pub(crate) retries: u32,
    /// What its caller calls it; 0 for the client's own.
    pub(crate) ticket: u64,
    /// When it was taken, for batches.
    pub(crate) since: Instant,
    /// It goes back to the queue then.
    pub(crate) not_before: Option<Instant>,
}

impl Entry {
    /// Bytes of the message that it becomes, at the most.
    pub(crate) fn bytes(&self) -> usize {
        let key = self.key.as_ref().and_then(|key| key.key.as_deref());
        self.body.bytes_max(key)
    }

    /// Whether it is the client's own.
    pub(crate) fn is_control(&self) -> bool {
        !matches!(self.purpose, Purpose::User(..))
    }

    /// The room that a publish with a key goes to.
    pub(crate) fn room(&self) -> Option<&str> {
        self.key.as_ref().map(|key| &*key.room)
    }

    pub(crate) fn settle(self, result: Result<Answer, Error>) {
        if let Purpose::User(reply, _) = self.purpose {
            // Whoever is gone does not mind.
            _ = reply.send(result);
        }
    }
}
