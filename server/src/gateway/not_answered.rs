//! Why an event has no answer, as both transports tell the calls.

/// Why an event has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAnswered {
    /// The backend has not seen the event.
    #[error("the backend cannot be reached: {0}")]
    NotSent(String),
    /// It may have seen it.
    #[error("the backend was lost: {0}")]
    Lost(String),
    /// What it said means nothing.
    #[error("the backend's answer cannot be understood: {0}")]
    Unreadable(String),
}
