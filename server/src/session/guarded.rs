//! A request of a connection that is decided in the background, and what the connection has sent
//! behind it. Acted on by the dispatch and the service.

use crate::session::permits::HeldPart;
use crate::traces::tracer::RequestTrace;
use serde_json::value::RawValue;
use shardcast_protocol::dialect::Problem;
use tokio::task::AbortHandle;

/// What is decided about a publish.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It goes its way: rules of namespaces and limits hold all the same.
    Accept,
    /// It goes its way with this data.
    AcceptAs(Box<RawValue>),
    /// The client is told that it was done, and nothing is published.
    Swallow,
}

/// How far the decision is.
#[derive(Debug)]
pub(crate) enum Guarded {
    /// It is awaited.
    Asked(GuardAsked),
    /// It has come, and the request is not taken up again yet.
    Decided(Result<Verdict, Problem>, Option<Box<RequestTrace>>),
}

/// A decision that is awaited.
#[derive(Debug)]
pub(crate) struct GuardAsked {
    pub(crate) serial: u64,
    /// When the server decides itself, by the engine's clock.
    pub(crate) due_ms: u64,
    pub(crate) abort: AbortHandle,
    pub(crate) trace: Option<Box<RequestTrace>>,
}

/// What became of a request that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestState {
    /// It was answered, or goes on.
    Done,
    /// It waits to be decided about; what stands behind it is to wait, too.
    Held,
}

/// A message of which a request waits: those before it are done.
#[derive(Debug)]
pub(crate) struct HeldMessage {
    pub(crate) bytes: Box<[u8]>,
    /// Requests of it that are done. Of the Centrifuge protocol they are cut off instead.
    pub(crate) done: usize,
    /// The batch that the answers go into.
    pub(crate) batch: Option<u32>,
    /// Its bytes are the shard's.
    pub(crate) _counted: HeldPart,
}

impl Guarded {
    /// When the server decides itself.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        match self {
            Guarded::Asked(asked) => Some(asked.due_ms),
            Guarded::Decided(..) => None,
        }
    }

    /// Ends the guard where it waits.
    pub(crate) fn abort(&self) {
        if let Guarded::Asked(asked) = self {
            asked.abort.abort();
        }
    }
}
