//! A background handler under way, as its session remembers it. Started and ended by the dispatch.

use crate::session::call::OwnedCall;
use std::sync::Arc;
use tokio::task::AbortHandle;

/// Names a registration, to remove or replace it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistrationId(pub(crate) u64);

/// A background handler under way.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) serial: u64,
    pub(crate) registration: RegistrationId,
    pub(crate) kind: Arc<str>,
    /// `None`: the request was answered before.
    pub(crate) call: Option<OwnedCall>,
    /// When the server answers for the handler, by the engine's clock.
    pub(crate) due_ms: u64,
    pub(crate) abort: AbortHandle,
}

impl Task {
    /// Ends the handler where it waits.
    pub(crate) fn abort(&self) {
        self.abort.abort();
    }

    /// When the server answers for it.
    pub(crate) fn due_ms(&self) -> u64 {
        self.due_ms
    }
}
