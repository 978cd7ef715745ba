//! How long a connection is who it is. Kept by the session; who makes it and acts on it is
//! `auth::expiry`.

/// The times of one connection, by the engine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    /// The client has until then to say who it is.
    Awaited { until_ms: u64 },
    /// The token that said who it is ends then; the client is told at `tell_ms`, once.
    Proved { until_ms: u64, tell_ms: Option<u64> },
}

impl Validity {
    /// When something is to be done.
    pub(crate) fn due_ms(self) -> u64 {
        match self {
            Validity::Awaited { until_ms } => until_ms,
            Validity::Proved { until_ms, tell_ms } => tell_ms.unwrap_or(until_ms),
        }
    }
}
